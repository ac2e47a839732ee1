//! Rules broken on purpose: for each there is a checker that has to find it.

use core::fmt;
use core::str::FromStr;

use grange_types::Plant;

/// What is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sabotage {
    /// Disks say that they flushed and did not.
    FlushSkipped,
    /// An honest validator votes for a block and, to others, for none.
    VoteSentTwice,
    /// The ledger pays a receipt's whole amount each time.
    ReceiptPaidTwice,
    /// Providers take no receipts into their books.
    ReceiptIgnored,
    /// Providers go on serving what the ledger has closed or moved.
    FenceIgnored,
    /// Offers of the dead stay in the index.
    OfferNeverExpires,
    /// Validators vote for blocks of any time.
    ClockRuleDropped,
    /// Keepers say that they have a write and do not keep it.
    KeeperForgets,
    /// Providers take no receipts into their books, and go on serving all the same.
    CreditUnlimited,
    /// Gateways tell no payer of crowds that come, and providers look at unpaid time alone.
    ExposureIgnored,
}

impl Sabotage {
    /// All of them, with their names.
    pub const ALL: [(Self, &'static str); 10] = [
        (Self::FlushSkipped, "flush-skipped"),
        (Self::VoteSentTwice, "vote-sent-twice"),
        (Self::ReceiptPaidTwice, "receipt-paid-twice"),
        (Self::ReceiptIgnored, "receipt-ignored"),
        (Self::FenceIgnored, "fence-ignored"),
        (Self::OfferNeverExpires, "offer-never-expires"),
        (Self::ClockRuleDropped, "clock-rule-dropped"),
        (Self::KeeperForgets, "keeper-forgets"),
        (Self::CreditUnlimited, "credit-unlimited"),
        (Self::ExposureIgnored, "exposure-ignored"),
    ];

    /// The check that has to find it: what another one finds on the way does not show that this one works.
    #[must_use]
    pub const fn check(self) -> &'static str {
        match self {
            Self::FlushSkipped | Self::VoteSentTwice => "votes",
            Self::ReceiptPaidTwice => "money",
            // Whoever takes no receipt stops serving what it takes for unpaid, wherever it is placed.
            Self::ReceiptIgnored => "recovery",
            Self::FenceIgnored => "fence",
            Self::OfferNeverExpires => "offers",
            Self::ClockRuleDropped => "clock",
            Self::KeeperForgets => "writes",
            Self::CreditUnlimited => "loss",
            Self::ExposureIgnored => "debt",
        }
    }

    /// The rule inside the system that this breaks; the others are broken at its border.
    pub(crate) const fn plant(self) -> Option<Plant> {
        match self {
            Self::ReceiptPaidTwice => Some(Plant::ReceiptPaidTwice),
            Self::OfferNeverExpires => Some(Plant::OfferNeverExpires),
            Self::ClockRuleDropped => Some(Plant::ClockRuleDropped),
            Self::CreditUnlimited => Some(Plant::CreditUnlimited),
            Self::ExposureIgnored => Some(Plant::ExposureIgnored),
            Self::FlushSkipped
            | Self::VoteSentTwice
            | Self::ReceiptIgnored
            | Self::FenceIgnored
            | Self::KeeperForgets => None,
        }
    }
}

impl fmt::Display for Sabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(one, _)| one == self).map_or("", |(_, name)| *name);
        f.pad(name)
    }
}

/// No sabotage has this name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownSabotage;

impl fmt::Display for UnknownSabotage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = Sabotage::ALL.iter().map(|(_, name)| *name).collect();
        write!(f, "no such plant; there are {}", names.join(", "))
    }
}

impl core::error::Error for UnknownSabotage {}

impl FromStr for Sabotage {
    type Err = UnknownSabotage;

    fn from_str(text: &str) -> Result<Self, UnknownSabotage> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(one, _)| *one).ok_or(UnknownSabotage)
    }
}
