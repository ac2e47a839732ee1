//! The words of matching: an offer as a node knows it, a need, a match, and the sentence when there is none.

use core::fmt;
use std::collections::BTreeMap;

use grange_types::{
    AccountId, Amount, Isolation, Kind, Millis, On, PeerId, PriceSheet, Prices, Region, Resources, Time,
};
use serde::{Deserialize, Serialize};

/// The highest price per unit that is indexed: a million credits. With it every cost of a need fits an [`Amount`].
pub const PRICE_LIMIT: Amount = Amount::credits(1_000_000);

/// Measured trust in a provider, in thousandths: 0 nothing is known, 1000 nothing ever went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Trust(pub u16);

impl Trust {
    /// The most there is.
    pub const FULL: Self = Self(1_000);
}

impl fmt::Display for Trust {
    /// A number between 0 and 1 with three places.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1_000, self.0 % 1_000)
    }
}

/// What a node knows of one provider's offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The provider's own words.
    pub sheet: PriceSheet,
    /// What is free: by the last delta, or all of its capacity when that lapsed.
    pub free: Resources,
    /// Whether it takes no new work.
    pub paused: bool,
    /// How far it is trusted here.
    pub trust: Trust,
    /// The round trip to it; none when it was never measured.
    pub distance: Option<Millis>,
    /// When it last said anything new: its sheet, or what is free.
    pub heard: Time,
}

/// Why an offer or a delta was not taken into the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// An equal or later one is known already.
    #[error("sequence {sequence} of {} is not after {known}", .provider.short())]
    Stale {
        /// The provider.
        provider: PeerId,
        /// What arrived.
        sequence: u64,
        /// What is known.
        known: u64,
    },
    /// Older than a sheet lives.
    #[error("the price sheet of {} expired at {expired}", .provider.short())]
    Expired {
        /// The provider.
        provider: PeerId,
        /// When it expired.
        expired: Time,
    },
    /// Issued later than now, by more than clocks may differ.
    #[error("the price sheet of {} is issued in the future, at {issued}", .provider.short())]
    Future {
        /// The provider.
        provider: PeerId,
        /// When it says that it was made.
        issued: Time,
    },
    /// A delta numbered by a clock that is ahead of ours by more than clocks may differ.
    #[error("sequence {sequence} of {} is from the future", .provider.short())]
    Ahead {
        /// The provider.
        provider: PeerId,
        /// What arrived.
        sequence: u64,
    },
    /// A display name, or the list of kinds, is longer than it may be.
    #[error("the price sheet of {} is malformed", .provider.short())]
    Malformed {
        /// The provider.
        provider: PeerId,
    },
    /// A price above [`PRICE_LIMIT`].
    #[error("a price of {} is above {PRICE_LIMIT} credits", .provider.short())]
    TooDear {
        /// The provider.
        provider: PeerId,
    },
    /// The index is full of offers that are more trusted or nearer.
    #[error("the index is full with {limit} offers that are more trusted or nearer")]
    Full {
        /// How many it holds.
        limit: usize,
    },
    /// A delta of a provider whose sheet is not known.
    #[error("no price sheet of {} is known", .provider.short())]
    Unknown {
        /// The provider.
        provider: PeerId,
    },
}

/// What one replica needs of its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Need {
    /// What runs.
    pub kind: Kind,
    /// What it may use.
    pub resources: Resources,
    /// The weakest isolation accepted.
    pub isolation: Option<Isolation>,
    /// Where.
    pub region: Option<Region>,
    /// The most the resources may cost per hour.
    pub price_max: Option<Amount>,
    /// The least trust accepted.
    pub trust_min: Option<Trust>,
    /// The longest round trip accepted; a provider never measured does not show that it is near enough.
    pub latency_max: Option<Millis>,
    /// Whose capacity.
    pub on: On,
    /// Who pays: an offer of this operator is the buyer's own, and free.
    pub owner: AccountId,
    /// Operators that hold other replicas of the same service.
    pub distinct_from: Vec<AccountId>,
    /// Providers known to be dead or to have refused.
    pub exclude: Vec<PeerId>,
    /// What providers have free for the asker where that is not what they told: less what he has placed with them since, or
    /// more by what he gives back.
    pub rooms: BTreeMap<PeerId, Resources>,
}

impl Need {
    /// A need of these resources without any other constraint.
    #[must_use]
    pub const fn new(owner: AccountId, kind: Kind, resources: Resources) -> Self {
        Self {
            kind,
            resources,
            isolation: None,
            region: None,
            price_max: None,
            trust_min: None,
            latency_max: None,
            on: On::Market,
            owner,
            distinct_from: Vec::new(),
            exclude: Vec::new(),
            rooms: BTreeMap::new(),
        }
    }
}

/// An offer that satisfies a need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// The node to ask for a quote.
    pub provider: PeerId,
    /// The account that is paid.
    pub operator: AccountId,
    /// The prices to expect; all zero for one's own capacity.
    pub prices: Prices,
    /// What the resources cost per hour.
    pub per_hour: Amount,
    /// What the lease may cost per hour: the resources, an allowance for requests and traffic, never above `price_max`.
    pub max_rate: Amount,
    /// Whether it is the buyer's own.
    pub own: bool,
}

/// A reason why an offer does not satisfy a need. An offer is counted under the first it fails, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Constraint {
    /// Own capacity when the market was asked, or the market's when own capacity was.
    Own,
    /// Known to be dead or to have refused.
    Excluded,
    /// Its operator already holds another replica.
    Operator,
    /// It does not run this kind of work.
    Kind,
    /// It isolates more weakly than asked.
    Isolation,
    /// It stands elsewhere.
    Region,
    /// It is trusted too little.
    Trust,
    /// It is too far away, or its distance is not known.
    Latency,
    /// It costs too much.
    Price,
    /// It has too little free.
    Resources,
    /// It takes no new work.
    Paused,
}

impl Constraint {
    /// How many there are.
    pub(crate) const COUNT: usize = 11;
    /// All, in the order in which they are tested.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Own,
        Self::Excluded,
        Self::Operator,
        Self::Kind,
        Self::Isolation,
        Self::Region,
        Self::Trust,
        Self::Latency,
        Self::Price,
        Self::Resources,
        Self::Paused,
    ];
}

/// No offer satisfies the need: which constraint excluded how many.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct NoOffer {
    /// How many offers are known.
    pub considered: usize,
    /// How many of them failed which constraint first; together they are all.
    pub excluded: BTreeMap<Constraint, usize>,
    /// The kind that was asked for.
    pub kind: Kind,
    /// Whose capacity was asked for.
    pub on: On,
    /// The price that was asked for.
    pub price_max: Option<Amount>,
    /// The least trust that was asked for.
    pub trust_min: Option<Trust>,
    /// The most that any provider of others which is known is trusted.
    pub trust_best: Trust,
}

impl fmt::Display for NoOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        if self.considered == 0 {
            return f.write_str("no offer: no provider is known yet");
        }
        write!(f, "no offer: of {} provider{}", self.considered, plural(self.considered))?;
        for (place, (constraint, count)) in self.excluded.iter().enumerate() {
            f.write_str(if place == 0 { " " } else { ", " })?;
            write!(f, "{count} ")?;
            self.reason(f, *constraint, *count == 1)?;
        }
        Ok(())
    }
}

impl NoOffer {
    fn reason(&self, f: &mut fmt::Formatter<'_>, constraint: Constraint, one: bool) -> fmt::Result {
        let be = if one { "is" } else { "are" };
        match constraint {
            Constraint::Own if self.on == On::Own => write!(f, "{}", if one { "is another's" } else { "are others'" }),
            Constraint::Own => write!(f, "{be} your own"),
            Constraint::Excluded => write!(f, "{be} dead or refused"),
            Constraint::Operator => write!(f, "{be} of an operator already used"),
            Constraint::Kind => write!(f, "{} not run {}", if one { "does" } else { "do" }, self.kind),
            Constraint::Isolation => write!(f, "{} too weakly", if one { "isolates" } else { "isolate" }),
            Constraint::Region => write!(f, "{be} in another region"),
            Constraint::Trust => {
                let (least, best) = (self.trust_min.unwrap_or_default().0 / 10, self.trust_best.0 / 10);
                write!(f, "{be} trusted less than the {least} that is asked for (the most trusted: {best})")
            }
            Constraint::Latency => write!(f, "{be} too far away"),
            Constraint::Price => {
                let price = self.price_max.unwrap_or(Amount::MAX);
                write!(f, "{} more than {price} an hour", if one { "costs" } else { "cost" })
            }
            Constraint::Resources => write!(f, "{} too little free", if one { "has" } else { "have" }),
            Constraint::Paused => write!(f, "{be} paused"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(excluded: &[(Constraint, usize)], on: On, expected: &str) {
        let refusal = NoOffer {
            considered: excluded.iter().map(|(_, count)| count).sum(),
            excluded: excluded.iter().copied().collect(),
            kind: Kind::Wasm,
            on,
            price_max: Some("0.01".parse().unwrap()),
            trust_min: Some(crate::offer::Trust(600)),
            trust_best: crate::offer::Trust(333),
        };
        assert_eq!(refusal.to_string(), expected);
    }

    #[test]
    fn the_sentence_says_which_constraint_excluded_how_many() {
        use Constraint::{Excluded, Isolation, Kind, Latency, Operator, Own, Paused, Price, Region, Resources, Trust};
        check(&[], On::Market, "no offer: no provider is known yet");
        check(
            &[(Resources, 1), (Region, 2), (Price, 1)],
            On::Market,
            "no offer: of 4 providers 2 are in another region, 1 costs more than 0.01 an hour, 1 has too little free",
        );
        check(&[(Own, 1)], On::Market, "no offer: of 1 provider 1 is your own");
        check(&[(Own, 3)], On::Own, "no offer: of 3 providers 3 are others'");
        check(
            &[(Excluded, 1), (Operator, 2), (Kind, 1), (Isolation, 1), (Trust, 2), (Latency, 1), (Paused, 2)],
            On::OwnFirst,
            "no offer: of 10 providers 1 is dead or refused, 2 are of an operator already used, 1 does not run wasm, \
             1 isolates too weakly, 2 are trusted less than the 60 that is asked for (the most trusted: 33), 1 is too far away, 2 are paused",
        );
    }

    #[test]
    fn constraints_are_tested_in_their_order() {
        assert!(Constraint::ALL.is_sorted());
        assert_eq!(Constraint::ALL.map(|constraint| constraint as usize), core::array::from_fn(|place| place));
    }
}
