//! Trust in an operator, measured: a number from what was seen of it, which decays and names its evidence.
//!
//! # Rules
//! - Evidence is about an operator and by an operator, never by or about a key: who has a thousand nodes is looked at as
//!   often as who has one ([`Lookout`]), and his thousand nodes are one witness.
//! - What one saw oneself is believed. What others say counts only of operators that answer for it with a bond or a vote
//!   ([`Eyes::answers`]), the more the longer they have been heard, up to [`HEARSAY_EACH`] for one of them and
//!   [`HEARSAY_ALL`] for all together. What an operator says of itself counts for nothing.
//! - Evidence weighs half after [`HALF_LIFE`], in whole steps of an integer, and is gone after [`KEEP`]. What counts is the
//!   day on which it was seen, so the order in which it came makes no difference.
//! - Trust is slow to gain and quick to lose: good evidence is believed up to a bound, so that a long past hides no present,
//!   and one's own bad evidence counts three times.
//! - The number is `1000 × good ÷ (good + bad + PRIOR)`: nothing is known, nothing is trusted.
//!
//! # Limits
//! [`SUBJECTS`] operators, [`WITNESSES`] others heard of each, [`OBSERVERS`] heard at all. A full book takes a newcomer in
//! only for somebody of whom nothing was seen today; so a flood of fresh names forgets nobody who is there.
//!
//! # Left out
//! Who answers with a bond, who signed what, and what a lease came to: the caller asks the ledger. Who colludes with whom.

mod book;
mod lookout;

pub use book::{Book, Grounds, Seen, Shown, Standing};
pub use lookout::Lookout;

use grange_types::{AccountId, Millis};
use serde::{Deserialize, Serialize};

/// After so long evidence weighs half.
pub const HALF_LIFE: Millis = Millis(7 * Millis::DAY.0);
/// After so long it is gone.
pub const KEEP: Millis = Millis(4 * HALF_LIFE.0);
/// Of one's own evidence so much counts at most, good and bad alike.
pub const OWN: u64 = 20_000;
/// Of what one other operator says so much counts at most, once it has been heard for [`MATURE`].
pub const HEARSAY_EACH: u64 = 2_000;
/// Of what all others say together so much counts at most.
pub const HEARSAY_ALL: u64 = 6_000;
/// A witness counts in full once it has been heard for so long, and before that in proportion.
pub const MATURE: Millis = Millis::DAY;
/// One's own bad evidence counts so many times.
pub const BAD: u64 = 3;
/// So much good evidence makes a trust of one half.
pub const PRIOR: u64 = 2_000;

/// Operators of whom evidence is kept.
pub const SUBJECTS: usize = 512;
/// Other operators whose word on one operator is kept.
pub const WITNESSES: usize = 16;
/// Other operators that are heard at all.
pub const OBSERVERS: usize = 1_024;

/// Between two looks at one operator.
pub const LOOK_EVERY: Millis = Millis::minutes(1);
/// Operators that are looked at in one round.
pub const LOOKS: usize = 32;
/// What was seen is told to others once in so long.
pub const PERIOD: Millis = Millis::minutes(5);
/// The most looks that one period has room for.
pub const LOOKS_A_PERIOD: u8 = (PERIOD.0 / LOOK_EVERY.0) as u8;

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// One of its nodes answered a look, or did not.
    Uptime,
    /// A replica that it runs for us answered a visit, or its node did not.
    Served,
    /// A lease that others or we paid for came to its end, or was broken.
    Lease,
    /// It kept a second copy of key-values, or the writer had to go on without it.
    Copy,
    /// An order that was placed to see served, or did not.
    Canary,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Uptime, Self::Served, Self::Lease, Self::Copy, Self::Canary];

    /// Its name.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Uptime => "uptime",
            Self::Served => "served",
            Self::Lease => "lease",
            Self::Copy => "copy",
            Self::Canary => "canary",
        }
    }

    /// What one piece of good and one of bad evidence of this kind weigh while they are fresh.
    #[must_use]
    pub const fn points(self) -> (u32, u32) {
        match self {
            Self::Uptime => (100, 100),
            // About one a second while something runs there.
            Self::Served => (5, 50),
            Self::Lease => (2_000, 5_000),
            Self::Copy => (300, 2_000),
            Self::Canary => (2_000, 5_000),
        }
    }
}

/// Who looks, and whose word he may take.
#[derive(Clone, Copy)]
pub struct Eyes<'a> {
    /// The account whose evidence is one's own.
    pub me: AccountId,
    /// Whether an operator answers for what it says, with a bond or a vote.
    pub answers: &'a dyn Fn(&AccountId) -> bool,
}

impl core::fmt::Debug for Eyes<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Eyes").field("me", &self.me).finish_non_exhaustive()
    }
}
