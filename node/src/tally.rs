//! Which peer took how much from which replica of ours, so that what nobody will pay for is not waited for.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use grange_types::{LeaseId, PeerId};

/// What one peer's requests have taken from one replica since it was last asked.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    requests: AtomicU64,
    egress: AtomicU64,
}

impl Taken {
    /// One request more was answered.
    pub(crate) fn request(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
    }

    /// So many bytes more were sent.
    pub(crate) fn egress(&self, bytes: usize) {
        self.egress.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// The counts of all peers that are answered now.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    counts: Mutex<BTreeMap<(PeerId, LeaseId), Arc<Taken>>>,
}

impl Tally {
    /// Where to count what a peer takes from a replica.
    pub(crate) fn of(&self, peer: PeerId, lease: LeaseId) -> Arc<Taken> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counts.entry((peer, lease)).or_default())
    }

    /// What was taken since the last call, in requests and bytes. What no answer under way counts in any more is forgotten.
    pub(crate) fn drain(&self) -> Vec<(PeerId, LeaseId, u64, u64)> {
        let mut drained = Vec::new();
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|(peer, lease), taken| {
            // Looked at first: whoever lets go of it afterwards is read at the next call.
            let used = Arc::strong_count(taken) > 1;
            let (requests, egress) =
                (taken.requests.swap(0, Ordering::Relaxed), taken.egress.swap(0, Ordering::Relaxed));
            if (requests, egress) != (0, 0) {
                drained.push((*peer, *lease, requests, egress));
            }
            used
        });
        drained
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_told_once_and_forgotten_with_its_last_answer() {
        let (tally, peer, lease) = (Tally::default(), PeerId([1; 32]), LeaseId([2; 32]));
        let answer = tally.of(peer, lease);
        answer.request();
        answer.egress(7);
        tally.of(peer, lease).request();
        tally.of(PeerId([3; 32]), lease).request();
        assert_eq!(tally.drain(), [(peer, lease, 2, 7), (PeerId([3; 32]), lease, 1, 0)]);
        assert_eq!(tally.counts.lock().unwrap().len(), 1, "one answer is under way");
        // The rest of a long answer.
        answer.egress(5);
        drop(answer);
        assert_eq!(tally.drain(), [(peer, lease, 0, 5)]);
        assert!(tally.drain().is_empty() && tally.counts.lock().unwrap().is_empty());
    }
}
