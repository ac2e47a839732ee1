//! Values whose form is checked while arguments are read.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

use grange_types::{AccountId, Amount, IdStart, ParseAmountError, PublicKey, Region, Right};

use crate::node_process::RULES;

/// Why a text is no value of its argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ValueError {
    #[error("a time is a whole number and a unit, such as 45s, 30m, 1h or 2d")]
    Duration,
    #[error("a time is at least a second and at most {days} days")]
    DurationRange { days: u64 },
    #[error("an address is an IP address and a port, such as 127.0.0.1:8081")]
    Address,
    #[error("the API is for this machine alone: a loopback address such as 127.0.0.1:8081")]
    NotLoopback,
    #[error("give a whole number from {least} to {most}")]
    Whole { least: u64, most: u64 },
    #[error("a cap is an amount, or `none` for no cap")]
    Cap { source: ParseAmountError },
    #[error(
        "an account is 64 hexadecimal digits, all of which are needed here; its owner reads it off `grange wallet balance`"
    )]
    Account,
    #[error("an account is 64 hexadecimal digits, of which the first 8 or more will do here")]
    AccountStart,
    #[error("a lease is 64 hexadecimal digits, of which the first 8 or more will do; `grange usage` shows them")]
    Lease,
    #[error(
        "a key is 64 hexadecimal digits, of which the first 8 or more will do here; `grange identity device list` shows them"
    )]
    PublicKeyStart,
    #[error("a public key is 64 hexadecimal digits; a node's is its id, which `grange status` shows")]
    PublicKey,
}

const MOST_SECONDS: u64 = 30 * 86_400;
const LONG_SECONDS: u64 = 3_650 * 86_400;

/// A whole number within bounds.
pub(crate) fn whole<T>(bounds: RangeInclusive<T>) -> impl Fn(&str) -> Result<T, ValueError> + Clone
where
    T: FromStr + PartialOrd + Copy + Into<u64>,
{
    move |text: &str| {
        let number = text.parse::<T>().ok().filter(|number| bounds.contains(number));
        number.ok_or(ValueError::Whole { least: (*bounds.start()).into(), most: (*bounds.end()).into() })
    }
}

/// A version of the ledger's rules that this program knows.
pub(crate) fn rules() -> impl Fn(&str) -> Result<u16, ValueError> + Clone {
    whole(1..=RULES)
}

/// A length of time in seconds, from a text such as `1h`.
pub(crate) fn duration(text: &str) -> Result<u64, ValueError> {
    within(text, MOST_SECONDS)
}

/// The same, of up to ten years.
pub(crate) fn long_duration(text: &str) -> Result<u64, ValueError> {
    within(text, LONG_SECONDS)
}

/// A cap in credits, or its absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cap(pub(crate) Option<Amount>);

/// A cap, from an amount or the word `none`.
pub(crate) fn cap(text: &str) -> Result<Cap, ValueError> {
    let amount = || text.parse().map(Some).map_err(|source| ValueError::Cap { source });
    Ok(Cap(if text == "none" { None } else { amount()? }))
}

/// A word for what a key may do.
pub(crate) fn right(text: &str) -> Result<Right, grange_types::rights::UnknownRight> {
    text.parse()
}

fn within(text: &str, most: u64) -> Result<u64, ValueError> {
    let unit = text.chars().last().ok_or(ValueError::Duration)?;
    let scale = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(ValueError::Duration),
    };
    let digits = &text[..text.len() - 1];
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ValueError::Duration);
    }
    let number: u64 = digits.parse().map_err(|_| ValueError::DurationRange { days: most / 86_400 })?;
    match number.checked_mul(scale) {
        Some(seconds) if (1..=most).contains(&seconds) => Ok(seconds),
        _ => Err(ValueError::DurationRange { days: most / 86_400 }),
    }
}

/// A region.
pub(crate) fn region(text: &str) -> Result<Region, grange_types::price::RegionError> {
    Region::try_from(text.to_owned())
}

/// An account.
pub(crate) fn account(text: &str) -> Result<AccountId, ValueError> {
    text.parse().map_err(|_| ValueError::Account)
}

/// An account to look up: nobody is paid who was only nearly named.
pub(crate) fn account_start(text: &str) -> Result<IdStart, ValueError> {
    text.parse().map_err(|_| ValueError::AccountStart)
}

/// A lease to look up.
pub(crate) fn lease_start(text: &str) -> Result<IdStart, ValueError> {
    text.parse().map_err(|_| ValueError::Lease)
}

/// A public key.
pub(crate) fn public_key(text: &str) -> Result<PublicKey, ValueError> {
    text.parse().map_err(|_| ValueError::PublicKey)
}

/// A key of the account's, to look up.
pub(crate) fn public_key_start(text: &str) -> Result<IdStart, ValueError> {
    text.parse().map_err(|_| ValueError::PublicKeyStart)
}

/// An address and a port.
pub(crate) fn address(text: &str) -> Result<SocketAddr, ValueError> {
    text.parse().map_err(|_| ValueError::Address)
}

/// An address that only this machine reaches.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, ValueError> {
    let address = address(text)?;
    if address.ip().is_loopback() { Ok(address) } else { Err(ValueError::NotLoopback) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        let check = |text: &str, expected: Result<u64, ValueError>| assert_eq!(duration(text), expected, "{text}");
        check("45s", Ok(45));
        check("30m", Ok(1_800));
        check("1h", Ok(3_600));
        check("2d", Ok(172_800));
        check("0s", Err(ValueError::DurationRange { days: 30 }));
        assert_eq!(long_duration("31d"), Ok(2_678_400));
        check("31d", Err(ValueError::DurationRange { days: 30 }));
        check("99999999999999999999h", Err(ValueError::DurationRange { days: 30 }));
        for bad in ["", "h", "1", "1.5h", "-1h", "1h30m", " 1h", "1é"] {
            check(bad, Err(ValueError::Duration));
        }
    }

    #[test]
    fn an_api_address_is_loopback() {
        assert!(loopback("127.0.0.1:80").is_ok());
        assert!(loopback("[::1]:80").is_ok());
        assert_eq!(loopback("0.0.0.0:80"), Err(ValueError::NotLoopback));
        assert_eq!(loopback("localhost:80"), Err(ValueError::Address));
    }
}
