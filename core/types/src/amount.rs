//! Money as an integer: a count of 10⁻¹² credit, so that no bill is ever rounded twice.

use core::fmt;
use core::iter::Sum;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Decimal places of one credit.
const PLACES: usize = 12;

/// An amount of money, in units of 10⁻¹² credit. Never negative; text form is a decimal number of credits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount(pub u128);

/// Why an arithmetic step on amounts was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The result is above the largest representable amount.
    #[error("the amount is above {}", Amount::MAX)]
    Overflow,
    /// The result would be below zero.
    #[error("the amount would be below zero")]
    Underflow,
}

/// Why a text is no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseAmountError {
    /// Not digits with at most one point.
    #[error("an amount is a decimal number of credits, from 0 up, such as 12.5")]
    Syntax,
    /// More than twelve places after the point.
    #[error("an amount has at most 12 decimal places")]
    Precision,
    /// Above [`Amount::MAX`].
    #[error("the amount is above {}", Amount::MAX)]
    Range,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One credit.
    pub const CREDIT: Self = Self(1_000_000_000_000);
    /// The largest amount: 2⁹⁶ − 1 units, about 7.9 × 10¹⁶ credits. Below 2⁹⁶ so that an amount times any
    /// 32-bit factor cannot overflow a `u128`.
    pub const MAX: Self = Self((1 << 96) - 1);

    /// A whole number of credits.
    #[must_use]
    pub const fn credits(credits: u32) -> Self {
        Self(credits as u128 * Self::CREDIT.0)
    }

    /// The sum, or [`AmountError::Overflow`].
    #[expect(clippy::should_implement_trait, reason = "an operator cannot refuse")]
    pub fn add(self, other: Self) -> Result<Self, AmountError> {
        match self.0.checked_add(other.0) {
            Some(sum) if sum <= Self::MAX.0 => Ok(Self(sum)),
            _ => Err(AmountError::Overflow),
        }
    }

    /// The difference, or [`AmountError::Underflow`].
    #[expect(clippy::should_implement_trait, reason = "an operator cannot refuse")]
    pub fn sub(self, other: Self) -> Result<Self, AmountError> {
        self.0.checked_sub(other.0).map(Self).ok_or(AmountError::Underflow)
    }

    /// The difference, or nothing.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The sum, capped at [`Amount::MAX`].
    #[must_use]
    pub fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0).min(Self::MAX.0))
    }

    /// `floor(self × quantity / scale)` with a 256-bit intermediate, capped at [`Amount::MAX`].
    ///
    /// This is the one rounding of a bill, applied to cumulative quantities. A `scale` of zero yields nothing.
    #[must_use]
    pub fn scaled(self, quantity: u128, scale: u128) -> Self {
        Self(mul_div(self.0, quantity, scale).unwrap_or(Self::MAX.0).min(Self::MAX.0))
    }

    /// For a sentence: the amount and what it is an amount of.
    #[must_use]
    pub fn in_words(self) -> String {
        let unit = if self == Self::CREDIT { "credit" } else { "credits" };
        format!("{self} {unit}")
    }

    /// Whether this is nothing.
    #[must_use]
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// `floor(a × b / c)`, or `None` when it does not fit; zero when `c` is zero.
fn mul_div(a: u128, b: u128, c: u128) -> Option<u128> {
    if c == 0 {
        return Some(0);
    }
    if let Some(product) = a.checked_mul(b) {
        return Some(product / c);
    }
    let (mut high, mut low) = wide_mul(a, b);
    if high >= c {
        return None;
    }
    // Long division, bit by bit, of the 256-bit product; the remainder stays below `c`.
    let mut quotient: u128 = 0;
    for _ in 0..128 {
        let carry = high >> 127;
        high = (high << 1) | (low >> 127);
        low <<= 1;
        quotient <<= 1;
        if carry == 1 || high >= c {
            high = high.wrapping_sub(c);
            quotient |= 1;
        }
    }
    Some(quotient)
}

/// The 256-bit product as (high, low).
fn wide_mul(a: u128, b: u128) -> (u128, u128) {
    const MASK: u128 = u64::MAX as u128;
    let (a1, a0, b1, b0) = (a >> 64, a & MASK, b >> 64, b & MASK);
    let (p00, p01, p10, p11) = (a0 * b0, a0 * b1, a1 * b0, a1 * b1);
    let middle = (p00 >> 64) + (p01 & MASK) + (p10 & MASK);
    let low = (p00 & MASK) | (middle << 64);
    let high = p11 + (p01 >> 64) + (p10 >> 64) + (middle >> 64);
    (high, low)
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = self.0 / Self::CREDIT.0;
        let fraction = self.0 % Self::CREDIT.0;
        if fraction == 0 {
            return f.pad(&whole.to_string());
        }
        let digits = format!("{fraction:0PLACES$}");
        f.pad(&format!("{whole}.{}", digits.trim_end_matches('0')))
    }
}

impl fmt::Debug for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Amount({self})")
    }
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    fn from_str(text: &str) -> Result<Self, ParseAmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || text.ends_with('.') {
            return Err(ParseAmountError::Syntax);
        }
        if fraction.len() > PLACES {
            return Err(ParseAmountError::Precision);
        }
        if whole.len() > 20 {
            return Err(ParseAmountError::Range);
        }
        let units = format!("{whole}{fraction:0<PLACES$}");
        match units.parse::<u128>() {
            Ok(units) if units <= Self::MAX.0 => Ok(Self(units)),
            _ => Err(ParseAmountError::Range),
        }
    }
}

impl Sum for Amount {
    /// Adds amounts, capped at [`Amount::MAX`]; conservation checks use [`Amount::add`].
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Self::saturating_add)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&self.to_string())
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            text.parse().map_err(serde::de::Error::custom)
        } else {
            let units = u128::deserialize(deserializer)?;
            if units > Self::MAX.0 {
                return Err(serde::de::Error::custom(AmountError::Overflow));
            }
            Ok(Self(units))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<u128, ParseAmountError>) {
        assert_eq!(text.parse::<Amount>().map(|amount| amount.0), expected, "{text}");
    }

    #[test]
    fn text_is_a_decimal_number_of_credits() {
        check("0", Ok(0));
        check("1", Ok(1_000_000_000_000));
        check("12.5", Ok(12_500_000_000_000));
        check("0.000000000001", Ok(1));
        check("0.0000000000001", Err(ParseAmountError::Precision));
        check("79228162514264337.593543950335", Ok(Amount::MAX.0));
        check("79228162514264337.593543950336", Err(ParseAmountError::Range));
        check("999999999999999999999", Err(ParseAmountError::Range));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", " 1", "1,5", "١"] {
            check(bad, Err(ParseAmountError::Syntax));
        }
    }

    #[test]
    fn display_is_the_shortest_exact_text() {
        for text in ["0", "1", "0.5", "12.000000000001", "79228162514264337.593543950335"] {
            assert_eq!(text.parse::<Amount>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn one_credit_is_one() {
        assert_eq!(Amount::CREDIT.in_words(), "1 credit");
        for (amount, words) in
            [("0", "0 credits"), ("0.1", "0.1 credits"), ("1.5", "1.5 credits"), ("10", "10 credits")]
        {
            assert_eq!(amount.parse::<Amount>().unwrap().in_words(), words);
        }
    }

    #[test]
    fn scaling_rounds_down_once_and_never_overflows() {
        assert_eq!(Amount(10).scaled(1, 3), Amount(3));
        assert_eq!(Amount(10).scaled(7, 0), Amount::ZERO);
        assert_eq!(Amount::MAX.scaled(u128::MAX, 1), Amount::MAX);
        assert_eq!(Amount::MAX.scaled(u128::MAX, u128::MAX), Amount::MAX);
        // Checked against Python: (2**96-1) * (10**37+7) // (10**37).
        assert_eq!(mul_div((1 << 96) - 1, 10u128.pow(37) + 7, 10u128.pow(37)), Some((1 << 96) - 1));
        assert_eq!(mul_div(u128::MAX, u128::MAX, u128::MAX - 1), None);
        assert_eq!(mul_div(u128::MAX, u128::MAX - 1, u128::MAX), Some(u128::MAX - 1));
    }

    #[test]
    fn sums_are_checked() {
        assert_eq!(Amount::MAX.add(Amount(1)), Err(AmountError::Overflow));
        assert_eq!(Amount(1).sub(Amount(2)), Err(AmountError::Underflow));
        assert_eq!(Amount(1).add(Amount(2)), Ok(Amount(3)));
    }
}
