//! Single values: whole numbers, switches, times, sizes, processors.

use grange_types::{ByteCount, Millis};

use crate::finding::{Findings, quote};
use crate::shape::text;
use crate::yaml::Entry;

/// Why a text is not the value that a key wants. Reads after the key's name: "`replicas` is …".
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ScalarError {
    #[error("is a whole number from {least} to {most}")]
    Whole { least: u32, most: u32 },
    #[error("is true or false")]
    Switch,
    #[error("is a time such as 1m30s or 500ms (units h, m, s, ms, us)")]
    Duration,
    #[error("is a time between 1ms and 24h")]
    DurationRange,
    #[error("is a size such as 64M or 1.5g (units b, k, m, g, t)")]
    Size,
    #[error("is a size between 1 byte and 16 TiB")]
    SizeRange,
    #[error("is a number of processors such as 0.25, with at most three decimal places")]
    Processors,
    #[error("is a number of processors from 0.001 to {most}")]
    ProcessorsRange { most: u32 },
}

/// Reads the single value of a key, or says at the value what is wrong with it.
pub(crate) fn parsed<T>(
    findings: &mut Findings,
    entry: &Entry,
    parse: impl FnOnce(&str) -> Result<T, ScalarError>,
) -> Option<T> {
    let text = text(findings, &entry.key, &entry.node)?;
    match parse(text) {
        Ok(value) => Some(value),
        Err(error) => {
            findings.error(entry.node.at, format!("`{}` {error}, not {}", entry.key, quote(text)));
            None
        }
    }
}

pub(crate) fn whole(text: &str, least: u32, most: u32) -> Result<u32, ScalarError> {
    let number = if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None };
    number.filter(|number| (least..=most).contains(number)).ok_or(ScalarError::Whole { least, most })
}

/// A switch, in YAML 1.2's words and those that compose still takes from YAML 1.1.
pub(crate) fn switch(text: &str) -> Result<bool, ScalarError> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "y" | "1" => Ok(true),
        "false" | "no" | "off" | "n" | "0" => Ok(false),
        _ => Err(ScalarError::Switch),
    }
}

/// A time: numbers with units, largest unit first or not, each with at most nine decimals.
pub(crate) fn duration(text: &str) -> Result<Millis, ScalarError> {
    // In nanoseconds, so that fractions of any unit are exact.
    const UNITS: [(&str, u128); 6] = [
        ("ms", 1_000_000),
        ("us", 1_000),
        ("µs", 1_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
    ];
    let (mut rest, mut total) = (text, 0u128);
    if text.is_empty() {
        return Err(ScalarError::Duration);
    }
    while !rest.is_empty() {
        let (number, after) = leading_decimal(rest).ok_or(ScalarError::Duration)?;
        let unit = UNITS.iter().find_map(|(unit, nanos)| after.strip_prefix(unit).map(|after| (after, *nanos)));
        let (after, nanos) = unit.ok_or(ScalarError::Duration)?;
        total = total.saturating_add(number.times(nanos));
        rest = after;
    }
    let millis = Millis(u64::try_from(total / 1_000_000).unwrap_or(u64::MAX));
    if millis.0 == 0 || millis > Millis::DAY { Err(ScalarError::DurationRange) } else { Ok(millis) }
}

/// A size in compose's units, all of them powers of 1,024, in either case, with or without a `b` or `ib` behind.
pub(crate) fn size(text: &str) -> Result<ByteCount, ScalarError> {
    const MOST: u128 = 16 << 40;
    let (number, unit) = leading_decimal(text).ok_or(ScalarError::Size)?;
    let unit = unit.trim_start_matches(' ').to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        // A lone `ib` is no unit.
        "" if unit != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return Err(ScalarError::Size),
    };
    match number.times(1 << shift) {
        0 => Err(ScalarError::SizeRange),
        bytes if bytes > MOST => Err(ScalarError::SizeRange),
        bytes => Ok(ByteCount(u64::try_from(bytes).unwrap_or(u64::MAX))),
    }
}

/// Processors, in thousandths of one.
pub(crate) fn processors(text: &str, most: u32) -> Result<u32, ScalarError> {
    let (number, rest) = leading_decimal(text).ok_or(ScalarError::Processors)?;
    if !rest.is_empty() || number.fraction % 1_000_000 != 0 {
        return Err(ScalarError::Processors);
    }
    let millis = number.times(1_000);
    let range = 1..=u128::from(most) * 1_000;
    let millis = if range.contains(&millis) { u32::try_from(millis).ok() } else { None };
    millis.ok_or(ScalarError::ProcessorsRange { most })
}

/// A decimal number with at most nine places.
struct Decimal {
    whole: u64,
    /// In 10⁻⁹.
    fraction: u64,
}

impl Decimal {
    const SCALE: u128 = 1_000_000_000;

    /// The product, rounded down. Fits: the whole part is below 10¹⁸, units below 10¹³.
    fn times(&self, unit: u128) -> u128 {
        let nanos = u128::from(self.whole) * Self::SCALE + u128::from(self.fraction);
        nanos.saturating_mul(unit) / Self::SCALE
    }
}

/// The decimal number at the start of a text, and what follows it.
fn leading_decimal(text: &str) -> Option<(Decimal, &str)> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let (whole, mut rest) = text.split_at(digits(text));
    let mut fraction = "";
    if let Some(after) = rest.strip_prefix('.') {
        (fraction, rest) = after.split_at(digits(after));
        if fraction.is_empty() {
            return None;
        }
    }
    if whole.is_empty() || whole.len() > 18 || fraction.len() > 9 {
        return None;
    }
    let decimal = Decimal { whole: whole.parse().ok()?, fraction: format!("{fraction:0<9}").parse().ok()? };
    Some((decimal, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_numbers_are_digits_in_range() {
        let error = Err(ScalarError::Whole { least: 1, most: 32 });
        for (text, expected) in [("1", Ok(1)), ("32", Ok(32)), ("007", Ok(7))] {
            assert_eq!(whole(text, 1, 32), expected, "{text}");
        }
        for text in ["", "0", "33", "-1", "+1", "1.0", "1e1", "0x1", "one", "99999999999"] {
            assert_eq!(whole(text, 1, 32), error, "{text}");
        }
    }

    #[test]
    fn switches_take_the_words_of_both_yamls() {
        for text in ["true", "True", "yes", "ON", "y", "1"] {
            assert_eq!(switch(text), Ok(true), "{text}");
        }
        for text in ["false", "No", "off", "n", "0"] {
            assert_eq!(switch(text), Ok(false), "{text}");
        }
        for text in ["", "maybe", "2", "truee"] {
            assert_eq!(switch(text), Err(ScalarError::Switch), "{text}");
        }
    }

    #[test]
    fn durations_add_up_their_units() {
        let table = [
            ("1m30s", 90_000),
            ("500ms", 500),
            ("1.5s", 1_500),
            ("1h", 3_600_000),
            ("24h", 86_400_000),
            ("2000us", 2),
            ("10s20ms", 10_020),
            ("1h5m30s20ms", 3_930_020),
        ];
        for (text, millis) in table {
            assert_eq!(duration(text), Ok(Millis(millis)), "{text}");
        }
        for text in ["", "10", "s", "1 s", "1d", "-1s", "1..5s", "1.s", "1e3s", "99999999999999999999s"] {
            assert_eq!(duration(text), Err(ScalarError::Duration), "{text}");
        }
        for text in ["0s", "1us", "25h", "999999999999999999h"] {
            assert_eq!(duration(text), Err(ScalarError::DurationRange), "{text}");
        }
    }

    #[test]
    fn sizes_are_binary() {
        let table = [
            ("1048576", 1 << 20),
            ("64M", 64 << 20),
            ("64m", 64 << 20),
            ("64MiB", 64 << 20),
            ("64mb", 64 << 20),
            ("1.5g", 3 << 29),
            ("1 GB", 1 << 30),
            ("300b", 300),
            ("16t", 16 << 40),
        ];
        for (text, bytes) in table {
            assert_eq!(size(text), Ok(ByteCount(bytes)), "{text}");
        }
        for text in ["", "M", "-1", "64x", "64ib", "1e6", "1,5g", "64 M B", "infinity"] {
            assert_eq!(size(text), Err(ScalarError::Size), "{text}");
        }
        for text in ["0", "0.1b", "17t", "999999999999999999t"] {
            assert_eq!(size(text), Err(ScalarError::SizeRange), "{text}");
        }
    }

    #[test]
    fn processors_are_thousandths() {
        let table = [("0.25", 250), ("1", 1_000), ("0.001", 1), ("1024", 1_024_000), ("2.50000", 2_500)];
        for (text, millis) in table {
            assert_eq!(processors(text, 1_024), Ok(millis), "{text}");
        }
        for text in ["", "0.0001", ".5", "1.", "50%", "1e0", "-1", "two"] {
            assert_eq!(processors(text, 1_024), Err(ScalarError::Processors), "{text}");
        }
        for text in ["0", "0.000", "1024.001", "999999999999999999"] {
            assert_eq!(processors(text, 1_024), Err(ScalarError::ProcessorsRange { most: 1_024 }), "{text}");
        }
    }
}
