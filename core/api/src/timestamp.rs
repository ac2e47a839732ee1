//! An instant as text: RFC 3339 in UTC with milliseconds, such as `2026-11-20T23:59:59.999Z`.

use core::fmt;
use core::str::FromStr;

use grange_types::Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A [`Time`] that JSON carries as RFC 3339 text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub Time);

/// Why a text is no timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a time is written as 2026-11-20T23:59:59.999Z")]
pub struct ParseTimestampError;

impl From<Time> for Timestamp {
    fn from(time: Time) -> Self {
        Self(time)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Reads exactly the form that [`Time`] prints; a text that would print differently is refused.
    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        let millis = parse(text).ok_or(ParseTimestampError)?;
        let time = Self(Time(millis));
        if time.to_string() == text { Ok(time) } else { Err(ParseTimestampError) }
    }
}

fn parse(text: &str) -> Option<u64> {
    let field = |start: usize, end: usize| -> Option<u64> {
        let digits = text.get(start..end)?;
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse().ok() } else { None }
    };
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second, milli) = (field(11, 13)?, field(14, 16)?, field(17, 19)?, field(20, 23)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 {
        return None;
    }
    let seconds = ((days_from_civil(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1_000 + milli)
}

/// Howard Hinnant's `days_from_civil`, for years from 1970.
fn days_from_civil(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year / 400;
    let year_of_era = year % 400;
    let month_index = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_index + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back_to_the_same_instant() {
        for millis in
            [0, 1, 951_782_400_000, 951_868_799_999, 1_795_219_199_999, 4_107_542_400_000, 253_402_300_799_999]
        {
            let timestamp = Timestamp(Time(millis));
            assert_eq!(timestamp.to_string().parse(), Ok(timestamp));
            let json = serde_json::to_string(&timestamp).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), timestamp);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            "2026-11-20",
            "2026-11-20T23:59:59Z",
            "2026-11-20T23:59:59.999+01:00",
            "2026-02-30T00:00:00.000Z",
            "1969-12-31T23:59:59.999Z",
            "2026-13-01T00:00:00.000Z",
            "2026-11-20T24:00:00.000Z",
            "2026-11-20T23:60:00.000Z",
            "2026-11-20 23:59:59.999Z",
            "+026-11-20T23:59:59.999Z",
            "2026-11-20T23:59:59.999Zé",
        ] {
            assert_eq!(bad.parse::<Timestamp>(), Err(ParseTimestampError), "{bad}");
        }
    }
}
