//! Who cheats. Each villain runs the honest machine and meddles with what it says and hears.

mod double_spender;
mod equivocator;
mod greedy_steward;
mod lazy_host;
mod meter_inflater;
mod non_payer;
mod silent;
mod withholder;

use grange_ledger::{Lease, LedgerView};
use grange_peer::{Action, Config, Peer};
use grange_types::{Amount, Counters, NetworkId, PeerId, Receipt, SecretKey, Time};

use crate::dice::Dice;

/// Every villain's name.
pub(crate) const NAMES: &[&str] = &[
    "equivocator",
    "silent",
    "withholder",
    "double_spender",
    "lazy_host",
    "meter_inflater",
    "non_payer",
    "greedy_steward",
];

/// The villain of this number.
pub(crate) fn cast(number: u64) -> Box<dyn Villain> {
    match number % 8 {
        0 => Box::new(equivocator::Equivocator),
        1 => Box::new(silent::Silent),
        2 => Box::new(withholder::Withholder),
        3 => Box::new(double_spender::DoubleSpender::default()),
        4 => Box::new(lazy_host::LazyHost::default()),
        5 => Box::new(meter_inflater::MeterInflater::default()),
        6 => Box::new(non_payer::NonPayer),
        _ => Box::new(greedy_steward::GreedySteward::default()),
    }
}

/// What a villain knows of itself and the others.
pub(crate) struct Me<'a> {
    pub(crate) key: &'a SecretKey,
    pub(crate) network: NetworkId,
    pub(crate) now: Time,
    pub(crate) others: &'a [PeerId],
}

impl Me<'_> {
    pub(crate) fn peer(&self) -> PeerId {
        self.key.public().peer()
    }
}

/// A receipt for requests that nobody made, up to what the lease's rate allows.
pub(crate) fn exaggerated(view: LedgerView<'_>, lease: &Lease, dice: &mut Dice) -> Receipt {
    let counters = Counters {
        served: view.elapsed(lease).max(lease.counters.served),
        requests: lease.counters.requests + 1_000_000_000,
        egress: lease.counters.egress,
    };
    let earned = lease.terms.prices.charge(&lease.terms.resources, &counters);
    Receipt {
        lease: lease.id,
        generation: lease.generation,
        sequence: lease.sequence + 1 + dice.below(100),
        counters,
        amount: earned.min(view.claimable(lease)),
        disputed: Amount::ZERO,
    }
}

/// A way to cheat.
pub(crate) trait Villain {
    fn name(&self) -> &'static str;

    /// Whether it cheats as a validator, so that there may only be so many of it.
    fn votes_falsely(&self) -> bool {
        false
    }

    /// What it says of itself at the start.
    fn pretend(&self, _config: &mut Config) {}

    /// What it makes of what its honest machine wants done.
    fn act(&mut self, _me: &Me<'_>, action: Action) -> Vec<Action> {
        vec![action]
    }

    /// What it says that a workload did.
    fn counters(&self, truth: Counters) -> Counters {
        truth
    }

    /// Whether its workloads answer requests.
    fn serves(&self) -> bool {
        true
    }

    /// What it does of its own accord, once a second.
    fn scheme(&mut self, _me: &Me<'_>, _peer: &Peer, _dice: &mut Dice) -> Vec<Action> {
        Vec::new()
    }
}
