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
    /// Takes down what our own store or copy says; never of an older generation. Says who has newly been found to keep a
    /// copy in this generation, and whom it newly goes on without.
    pub(crate) fn learn(&mut self, log: LogId, mut copies: Copies) -> (Vec<PeerId>, Vec<PeerId>) {
        let (mut kept, mut lost) = (copies.keepers.clone(), copies.without.clone());
        if let Some(known) = self.logs.get(&log) {
            if known.generation > copies.generation {
                return (Vec::new(), Vec::new());
            }
            if known.generation == copies.generation {
                kept.retain(|peer| !known.keepers.contains(peer));
                lost.retain(|peer| !known.without.contains(peer));
                copies.without.extend(&known.without);
            }
        }
        self.logs.insert(log, copies);
        (kept.into_iter().collect(), lost.into_iter().collect())
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
