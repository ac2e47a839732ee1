//! Messages of heights we have not come to yet: kept for a few heights ahead, bounded per peer.

use std::collections::{BTreeMap, VecDeque};

use grange_types::{Height, PeerId, limits};

use crate::message::Message;
use crate::validators::ValidatorSet;

/// How many heights ahead are kept: those decided while a block comes from a peer.
const AHEAD: u64 = 8;
/// Messages kept of one peer: a few votes for each of those heights.
const MESSAGES: usize = 128;
/// Bytes kept of one peer: the largest proposal and small ones beside it.
const BYTES: usize = limits::MESSAGE_BYTES + (256 << 10);
/// Peers kept for: all validators of two sets.
const PEERS: usize = 2 * limits::VALIDATORS;

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<(usize, Message)>,
    bytes: usize,
}

/// The early messages.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    queues: BTreeMap<PeerId, Queue>,
}

impl Inbox {
    /// Keeps an early message of so many bytes; the peer's oldest ones make room for it.
    pub(crate) fn push(&mut self, from: PeerId, size: usize, message: Message, ours: Height) {
        let height = message.height().0;
        if height <= ours.0 || height - ours.0 > AHEAD || size > BYTES {
            return;
        }
        if !self.queues.contains_key(&from) && self.queues.len() >= PEERS {
            return;
        }
        let queue = self.queues.entry(from).or_default();
        while queue.messages.len() >= MESSAGES || queue.bytes + size > BYTES {
            match queue.messages.pop_front() {
                Some((freed, _)) => queue.bytes -= freed,
                None => break,
            }
        }
        queue.bytes += size;
        queue.messages.push_back((size, message));
    }

    /// Whether a validator has spoken of this height.
    pub(crate) fn speaks_of(&self, height: Height, validators: &ValidatorSet) -> bool {
        let speaks = |queue: &Queue| queue.messages.iter().any(|(_, message)| message.height() == height);
        self.queues.iter().any(|(peer, queue)| validators.contains(*peer) && speaks(queue))
    }

    /// Takes what was kept for a height and forgets what was kept for lower ones.
    pub(crate) fn take(&mut self, height: Height) -> Vec<(PeerId, Message)> {
        let mut taken = Vec::new();
        self.queues.retain(|peer, queue| {
            for (size, message) in core::mem::take(&mut queue.messages) {
                if message.height() > height {
                    queue.messages.push_back((size, message));
                    continue;
                }
                queue.bytes -= size;
                if message.height() == height {
                    taken.push((*peer, message));
                }
            }
            !queue.messages.is_empty()
        });
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(height: u64) -> Message {
        Message::Begin { height: Height(height) }
    }

    #[test]
    fn only_the_next_heights_are_kept_and_each_once() {
        let mut inbox = Inbox::default();
        let peer = PeerId([1; 32]);
        for height in 0..100 {
            inbox.push(peer, 10, begin(height), Height(5));
        }
        let kept = |inbox: &mut Inbox, height| inbox.take(Height(height)).len();
        assert_eq!((5..15).map(|height| kept(&mut inbox, height)).collect::<Vec<_>>(), [0, 1, 1, 1, 1, 1, 1, 1, 1, 0]);
        assert!(inbox.queues.is_empty());
    }

    #[test]
    fn a_peer_that_floods_loses_its_own_oldest_only() {
        let mut inbox = Inbox::default();
        let (loud, quiet) = (PeerId([1; 32]), PeerId([2; 32]));
        inbox.push(quiet, 10, begin(1), Height(0));
        for _ in 0..1_000 {
            inbox.push(loud, BYTES / 2, begin(1), Height(0));
        }
        assert_eq!(inbox.queues[&loud].messages.len(), 2);
        assert!(inbox.queues[&loud].bytes <= BYTES);
        for _ in 0..1_000 {
            inbox.push(loud, 1, begin(2), Height(0));
        }
        assert_eq!(inbox.queues[&loud].messages.len(), MESSAGES);
        assert_eq!(inbox.take(Height(1)), [(quiet, begin(1))]);
        for number in 0..=255u8 {
            inbox.push(PeerId([number; 32]), 1, begin(2), Height(1));
            inbox.push(PeerId([number; 32].map(|byte: u8| byte ^ 0x55)), 1, begin(2), Height(1));
        }
        assert!(inbox.queues.len() <= PEERS);
    }
}
