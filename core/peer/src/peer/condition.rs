//! How a peer fares: its numbers, its links, and why it is not ready.

use grange_types::{Millis, PeerId};

use super::Peer;
use crate::describe;

/// A quorum that is linked and still decides nothing for so long is a halt.
const HALTED_AFTER: Millis = Millis::seconds(15);
/// A node that lacks so many blocks is not up to date.
const LAG: u64 = 10;

impl Peer {
    /// Numbers for the metrics page: (name, value).
    #[must_use]
    pub fn metrics(&self) -> Vec<(&'static str, u64)> {
        let (workloads, serving) = self.seller.count();
        vec![
            ("grange_ledger_height", self.spine.ledger.height().0),
            ("grange_consensus_round", u64::from(self.spine.round())),
            ("grange_mempool_transactions", self.spine.mempool_len() as u64),
            ("grange_peers_linked", self.ctx.linked.len() as u64),
            ("grange_offers_indexed", self.shelf.index.len() as u64),
            ("grange_budgets_half_used", self.alerts.count() as u64),
            ("grange_workloads", workloads as u64),
            ("grange_workloads_serving", serving as u64),
            ("grange_trust_operators", self.witness.book.len() as u64),
        ]
    }

    /// The peers that are linked, with their names for people.
    #[must_use]
    pub fn linked(&self) -> Vec<(PeerId, String)> {
        self.ctx.linked.iter().map(|peer| (*peer, describe::display(&self.spine.ledger, *peer))).collect()
    }

    /// Why the node is not ready, if it is not.
    #[must_use]
    pub fn reason(&self) -> Option<String> {
        if let Some(outdated) = self.spine.outdated() {
            return Some(format!("this node is left behind: {outdated}; running apps go on"));
        }
        let quorum = self.spine.quorum();
        if quorum.total > 0 && !quorum.reached() {
            return Some(format!(
                "the ledger is halted: validators with {} of {} votes are linked, {} are needed; running apps go on",
                quorum.connected, quorum.total, quorum.needed
            ));
        }
        if let Some(fault) = self.spine.fault() {
            return Some(format!(
                "this validator is silent: {fault}; restart it, and if that does not help, remove its log"
            ));
        }
        let behind = self.sync.behind(&self.spine.validators(), self.spine.ledger.height());
        if behind > LAG {
            return Some(format!("this node is {behind} blocks behind and catches up; running apps go on"));
        }
        let quiet = self.ctx.now.since(self.spine.moved);
        if quiet > HALTED_AFTER {
            return Some(format!("the ledger has not moved for {} s; running apps go on", quiet.0 / 1_000));
        }
        None
    }
}
