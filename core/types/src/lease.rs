//! The words of a lease that market, ledger and peers share: counters, quote, terms, receipt.

use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::codec::Wire;
use crate::id::{AccountId, BlobId, DeploymentId, LeaseId, PeerId};
use crate::price::{Isolation, Kind, Prices, Resources};
use crate::unit::{ByteCount, Millis, Time};

/// What a replica has done since its lease began. Only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Counters {
    /// How long it served.
    pub served: Millis,
    /// How many requests it answered.
    pub requests: u64,
    /// Bytes it sent to clients.
    pub egress: ByteCount,
}

impl Counters {
    /// Whether nothing went backwards since `earlier`.
    #[must_use]
    pub const fn extends(&self, earlier: &Self) -> bool {
        self.served.0 >= earlier.served.0 && self.requests >= earlier.requests && self.egress.0 >= earlier.egress.0
    }

    /// Each counter and the other's, together.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            served: Millis(self.served.0.saturating_add(other.served.0)),
            requests: self.requests.saturating_add(other.requests),
            egress: ByteCount(self.egress.0.saturating_add(other.egress.0)),
        }
    }

    /// How far each counter is above the other's; nothing where it is not.
    #[must_use]
    pub const fn minus(&self, other: &Self) -> Self {
        Self {
            served: Millis(self.served.0.saturating_sub(other.served.0)),
            requests: self.requests.saturating_sub(other.requests),
            egress: ByteCount(self.egress.0.saturating_sub(other.egress.0)),
        }
    }

    /// The smaller of each counter.
    #[must_use]
    pub fn min(&self, other: &Self) -> Self {
        Self {
            served: self.served.min(other.served),
            requests: self.requests.min(other.requests),
            egress: self.egress.min(other.egress),
        }
    }

    /// The larger of each counter.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        Self {
            served: self.served.max(other.served),
            requests: self.requests.max(other.requests),
            egress: self.egress.max(other.egress),
        }
    }
}

/// What a lease fixes for its whole life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseTerms {
    /// The node that serves.
    pub provider: PeerId,
    /// The account that is paid.
    pub operator: AccountId,
    /// What runs.
    pub kind: Kind,
    /// What it runs: a component's or a site index's blob.
    pub workload: BlobId,
    /// What it may use.
    pub resources: Resources,
    /// What separates it from its host.
    pub isolation: Isolation,
    /// The locked prices; all zero for an operator's own capacity.
    pub prices: Prices,
    /// The most the lease may cost per hour, requests and traffic included.
    pub max_rate: Amount,
}

/// A provider's signed reservation of capacity for one slot: valid until block time passes `valid_until`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quote {
    /// The deployment it was asked for.
    pub deployment: DeploymentId,
    /// The slot of the deployment.
    pub slot: u32,
    /// The generation that the lease will have.
    pub generation: u64,
    /// The terms.
    pub terms: LeaseTerms,
    /// The last block time at which a lease may be opened on it.
    pub valid_until: Time,
    /// Distinguishes quotes of equal terms.
    pub nonce: u64,
}

impl Wire for Quote {
    const NAME: &'static str = "quote";
    const LIMIT: usize = 1 << 10;
}

/// The payer's cumulative word on what a lease has earned. A larger one replaces a smaller one.
///
/// Signed ([`crate::Signed`]) by the deployment's owner or a delegate, never by a key of the lease's own operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// The lease.
    pub lease: LeaseId,
    /// The lease's generation.
    pub generation: u64,
    /// Grows with every receipt.
    pub sequence: u64,
    /// What was delivered since the lease began.
    pub counters: Counters,
    /// What that costs: [`Prices::charge`] of the counters, up to what the ledger pays by then.
    pub amount: Amount,
    /// What the provider asks beyond that and the payer does not grant: it is held until they agree or the claim window ends.
    pub disputed: Amount,
}

impl Receipt {
    /// The largest number that nodes take from out of the blue, so much time after the lease began: one a millisecond, and a
    /// day's more for clocks that stood still. A payer signs one a second; a number far beyond would leave the payers after it
    /// no room. What goes on from a number that is known is taken all the same.
    #[must_use]
    pub const fn latest(elapsed: Millis) -> u64 {
        elapsed.0.saturating_add(Millis::DAY.0)
    }
}

impl Wire for Receipt {
    const NAME: &'static str = "receipt";
    const LIMIT: usize = 128;
}

impl LeaseTerms {
    /// The most that may be paid after `elapsed` of block time: `max_rate` × elapsed, rounded down.
    #[must_use]
    pub fn cap(&self, elapsed: Millis) -> Amount {
        self.max_rate.scaled(u128::from(elapsed.0), u128::from(Millis::HOUR.0))
    }

    /// What cumulative counters cost after `elapsed`: the charge, never above [`LeaseTerms::cap`].
    #[must_use]
    pub fn amount(&self, counters: &Counters, elapsed: Millis) -> Amount {
        self.prices.charge(&self.resources, counters).min(self.cap(elapsed))
    }

    /// How far an amount pays on the way from some counters to larger ones: the whole way where it covers what those cost,
    /// else time first, then requests, then bytes. What a receipt counts beyond that binds nobody: whoever signs it pays
    /// nothing for it, and others would.
    #[must_use]
    pub fn paid(&self, from: &Counters, to: &Counters, amount: Amount) -> Counters {
        let covers = |counters: &Counters| self.prices.charge(&self.resources, counters) <= amount;
        let to = from.max(to);
        if covers(&to) {
            return to;
        }
        let mut paid = *from;
        let served = |served| Counters { served: Millis(served), ..paid };
        paid.served = Millis(furthest(paid.served.0, to.served.0, |number| covers(&served(number))));
        let requests = |requests| Counters { requests, ..paid };
        paid.requests = furthest(paid.requests, to.requests, |number| covers(&requests(number)));
        let egress = |egress| Counters { egress: ByteCount(egress), ..paid };
        paid.egress = ByteCount(furthest(paid.egress.0, to.egress.0, |number| covers(&egress(number))));
        paid
    }
}

/// The largest number of a range that is covered, by halving; the first where none is.
fn furthest(mut low: u64, mut high: u64, covers: impl Fn(u64) -> bool) -> u64 {
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        if covers(middle) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an amount pays from (seconds, requests, GiB) to others, at a credit for each of them.
    #[track_caller]
    fn check(from: (u64, u64, u64), to: (u64, u64, u64), amount: u32, expected: (u64, u64, u64)) {
        let terms = LeaseTerms {
            provider: PeerId([1; 32]),
            operator: AccountId([2; 32]),
            kind: Kind::Wasm,
            workload: BlobId([3; 32]),
            resources: Resources { cpu_millis: 1_000, memory: ByteCount(0), disk: ByteCount(0) },
            isolation: Isolation::Wasm,
            prices: Prices {
                cpu_hour: Amount::credits(3_600),
                request_million: Amount::credits(1_000_000),
                egress_gib: Amount::CREDIT,
                ..Prices::default()
            },
            max_rate: Amount::CREDIT,
        };
        let counters = |(seconds, requests, gib)| Counters {
            served: Millis::seconds(seconds),
            requests,
            egress: ByteCount(ByteCount::gib(1).0 * gib),
        };
        let paid = terms.paid(&counters(from), &counters(to), Amount::credits(amount));
        assert_eq!(paid, counters(expected), "{from:?} to {to:?} for {amount}");
    }

    #[test]
    fn an_amount_pays_time_then_requests_then_bytes_and_never_less_than_was_paid() {
        check((1, 1, 1), (2, 3, 4), 9, (2, 3, 4));
        check((1, 1, 1), (2, 3, 4), 7, (2, 3, 2));
        check((1, 1, 1), (2, 3, 4), 5, (2, 2, 1));
        check((1, 1, 1), (2, 3, 4), 3, (1, 1, 1));
        // What was counted before and not paid is no way to more.
        check((5, 5, 5), (6, 6, 6), 3, (5, 5, 5));
        check((5, 5, 5), (1, 9, 5), 19, (5, 9, 5));
        check((1, 0, 0), (4_000_000_000, 0, 0), 7, (7, 0, 0));
    }

    #[test]
    fn numbers_at_their_largest_are_no_trouble() {
        assert_eq!(furthest(0, u64::MAX, |number| number <= 12_345), 12_345);
        assert_eq!(furthest(0, u64::MAX, |_| true), u64::MAX);
        assert_eq!(furthest(7, u64::MAX, |_| false), 7);
    }
}
