//! Rules that a simulated world can break on purpose, to see that its checkers find it.
//!
//! Each stands beside the rule it breaks, as `if is_sown(Plant::…)`. Only a build with the feature `simulation` can sow
//! one; in every other build [`is_sown`] is the constant `false` and the compiler removes what depends on it.

/// A rule that can be broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Plant {
    /// The ledger pays a receipt's whole amount each time, not what is new.
    ReceiptPaidTwice,
    /// Validators vote for blocks of any time.
    ClockRuleDropped,
    /// Offers stay in the index for ever.
    OfferNeverExpires,
    /// Providers go on serving what nobody pays for.
    CreditUnlimited,
    /// Providers look at unpaid time alone, whatever requests and bytes come to.
    ExposureIgnored,
}

/// Whether this rule is broken on this thread.
#[cfg(feature = "simulation")]
#[must_use]
pub fn is_sown(plant: Plant) -> bool {
    crate::simulation::sown() == Some(plant)
}

/// Whether this rule is broken: never in this build.
#[cfg(not(feature = "simulation"))]
#[must_use]
pub const fn is_sown(_: Plant) -> bool {
    false
}
