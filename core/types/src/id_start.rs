//! The beginning of an id: what a person types who saw one printed short.
//!
//! # Rules
//! - At least [`SHORTEST`] digits, so that what a program prints short ([`crate::AccountId::short`]) is enough, and what is
//!   typed by mistake is not.
//! - Of things whose ids are looked through, it means the only one whose id begins so; where there are several it means none.

use core::fmt;
use core::str::FromStr;

use crate::id::{AccountId, LeaseId};

/// How many digits are enough.
pub const SHORTEST: usize = 8;
/// The digits of a whole id.
const WHOLE: usize = 64;

/// A whole id, or its first digits.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdStart(String);

/// Why a text is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is 64 lower-case hexadecimal digits; its first {SHORTEST} or more will do")]
pub struct ParseIdStartError;

/// Several things have an id that begins so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{count} ids begin so")]
pub struct AmbiguousId {
    /// How many.
    pub count: usize,
}

impl IdStart {
    /// Whether an id begins so.
    #[must_use]
    pub fn begins(&self, id: &[u8; 32]) -> bool {
        let digits = id.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        self.0.bytes().zip(digits).all(|(typed, digit)| value(typed) == Some(digit))
    }

    /// The only one of some things whose id begins so; a thing may be there by more than one id.
    pub fn only<'a, T: PartialEq>(
        &self,
        things: impl IntoIterator<Item = (&'a [u8; 32], T)>,
    ) -> Result<Option<T>, AmbiguousId> {
        let mut found: Vec<T> = Vec::new();
        for (_, thing) in things.into_iter().filter(|(id, _)| self.begins(id)) {
            if !found.contains(&thing) {
                found.push(thing);
            }
        }
        match found.len() {
            0 | 1 => Ok(found.pop()),
            count => Err(AmbiguousId { count }),
        }
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id, where all of it is there.
    #[must_use]
    pub fn whole<T: FromStr>(&self) -> Option<T> {
        self.0.parse().ok()
    }
}

const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl FromStr for IdStart {
    type Err = ParseIdStartError;

    fn from_str(text: &str) -> Result<Self, ParseIdStartError> {
        let fits = (SHORTEST..=WHOLE).contains(&text.len()) && text.bytes().all(|digit| value(digit).is_some());
        fits.then(|| Self(text.to_owned())).ok_or(ParseIdStartError)
    }
}

impl fmt::Display for IdStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<AccountId> for IdStart {
    fn from(id: AccountId) -> Self {
        Self(id.to_string())
    }
}

impl From<LeaseId> for IdStart {
    fn from(id: LeaseId) -> Self {
        Self(id.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(first: [u8; 5]) -> AccountId {
        let mut bytes = [0; 32];
        bytes[..5].copy_from_slice(&first);
        AccountId(bytes)
    }

    #[test]
    fn the_first_eight_digits_are_enough_and_seven_are_not() {
        let whole = id([0xab, 0xcd, 0xef, 0x01, 0x23]);
        let check = |text: &str, expected: Option<bool>| {
            assert_eq!(text.parse().ok().map(|start: IdStart| start.begins(&whole.0)), expected, "{text}");
        };
        check("abcdef0", None);
        check("abcdef01", Some(true));
        check("abcdef012", Some(true));
        check("abcdef013", Some(false));
        check("abcdef02", Some(false));
        check(&whole.short(), Some(true));
        check(&whole.to_string(), Some(true));
        check(&format!("{whole}0"), None);
        check("ABCDEF01", None);
        check("shop-001", None);
        check("", None);
    }

    #[test]
    fn of_several_none_is_meant() {
        let (one, other) = (id([1, 2, 3, 4, 5]), id([1, 2, 3, 4, 6]));
        let find = |text: &str, things: &[(AccountId, char)]| {
            let start: IdStart = text.parse().unwrap();
            start.only(things.iter().map(|(id, thing)| (id.as_bytes(), *thing)))
        };
        assert_eq!(find("01020304", &[(one, 'a'), (other, 'b')]), Err(AmbiguousId { count: 2 }));
        assert_eq!(find("0102030405", &[(one, 'a'), (other, 'b')]), Ok(Some('a')));
        assert_eq!(find("01020304", &[(one, 'a'), (other, 'a')]), Ok(Some('a')), "one thing by two ids is one");
        assert_eq!(find("01020305", &[(one, 'a'), (other, 'b')]), Ok(None));
        assert_eq!(IdStart::from(one).whole(), Some(one));
        assert_eq!("01020304".parse::<IdStart>().unwrap().whole::<AccountId>(), None);
    }
}
