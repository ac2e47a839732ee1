//! How many copies there are of each replica's key-values, as far as this node writes or keeps one.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::Ledger;
use grange_objects::log::LogId;
use grange_types::PeerId;

/// The copies of one log, beside its writer's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Copies {
    pub(crate) generation: u64,
    pub(crate) keepers: BTreeSet<PeerId>,
    /// Keepers of before that the generation went on without.
    pub(crate) without: BTreeSet<PeerId>,
}

/// What is known of them.
#[derive(Debug, Default)]
pub(crate) struct Known {
    logs: BTreeMap<LogId, Copies>,
}

impl Known {
    /// Takes down what our own store or copy says; never of an older generation.
    pub(crate) fn learn(&mut self, log: LogId, mut copies: Copies) {
        if let Some(known) = self.logs.get(&log) {
            if known.generation > copies.generation {
                return;
            }
            if known.generation == copies.generation {
                copies.without.extend(&known.without);
            }
        }
        self.logs.insert(log, copies);
    }

    /// The copies of this generation.
    pub(crate) fn of(&self, log: &LogId, generation: u64) -> Option<&Copies> {
        self.logs.get(log).filter(|copies| copies.generation == generation)
    }

    /// Forgets logs of deployments that the ledger does not know.
    pub(crate) fn sweep(&mut self, ledger: &Ledger) {
        let view = ledger.view();
        self.logs.retain(|log, _| view.deployment(log.deployment).is_some());
    }
}
