//! The blocks of the present height: bytes by id, who proposed them, and whether they were judged.

use std::collections::BTreeMap;

use grange_types::{BlockId, PeerId};

/// Blocks held at once. A height sees one block; many only when round after round fails.
const HELD: usize = 32;

/// Whether the host has said what it thinks of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Nobody asked.
    Unasked,
    /// The host was asked.
    Asked,
    /// The host refused it, perhaps only for its time by a clock that is wrong; it is asked once more if two thirds prevote
    /// the block all the same.
    Refused,
    /// The host was asked once more.
    AskedAgain,
    /// The core knows the last answer.
    Given,
}

/// The proposal that brought a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    pub(crate) round: u32,
    pub(crate) polka_round: Option<u32>,
    pub(crate) proposer: PeerId,
}

/// One block.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) bytes: Vec<u8>,
    pub(crate) verdict: Verdict,
    /// Whether the log holds it.
    pub(crate) logged: bool,
    /// The first accepted proposal of it.
    pub(crate) origin: Option<Origin>,
    /// The last one that names a round in which two thirds prevoted it.
    again: Option<Origin>,
    /// The last round that spoke of it.
    round: u32,
}

/// The blocks of one height.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    held: BTreeMap<BlockId, Held>,
}

impl Blocks {
    pub(crate) fn get(&self, id: BlockId) -> Option<&Held> {
        self.held.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: BlockId) -> Option<&mut Held> {
        self.held.get_mut(&id)
    }

    pub(crate) fn contains(&self, id: BlockId) -> bool {
        self.held.contains_key(&id)
    }

    /// Holds a block. When there are too many, the one spoken of longest ago goes, but never `locked`, on which the
    /// height may still be decided. Should a decision fall on one that went, it comes from a peer that committed it.
    pub(crate) fn insert(&mut self, id: BlockId, bytes: Vec<u8>, round: u32, logged: bool, locked: Option<BlockId>) {
        if self.held.len() >= HELD && !self.held.contains_key(&id) {
            let oldest = self.held.iter().filter(|&(held, _)| Some(*held) != locked).min_by_key(|(_, held)| held.round);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.held.remove(&oldest);
            }
        }
        let held = Held { bytes, verdict: Verdict::Unasked, logged, origin: None, again: None, round };
        self.held.entry(id).or_insert(held);
    }

    /// Notes that the core accepted a proposal of a block.
    pub(crate) fn accepted(&mut self, id: BlockId, origin: Origin) {
        if let Some(held) = self.held.get_mut(&id) {
            held.round = held.round.max(origin.round);
            held.origin.get_or_insert(origin);
            held.again = Some(origin).filter(|origin| origin.polka_round.is_some()).or(held.again);
        }
    }

    /// Notes that the core knows, or is about to be told, whether a block is valid.
    pub(crate) fn judged(&mut self, id: BlockId, valid: bool) {
        if let Some(held) = self.held.get_mut(&id) {
            let first = matches!(held.verdict, Verdict::Unasked | Verdict::Asked);
            held.verdict = if first && !valid { Verdict::Refused } else { Verdict::Given };
        }
    }

    /// Whether a proposal of this round was accepted.
    pub(crate) fn proposed_in(&self, round: u32) -> bool {
        self.held.values().any(|held| held.round == round && held.origin.is_some())
    }

    /// A block that the host refused and that two thirds prevoted in an earlier round, as `prevoted` knows.
    pub(crate) fn refused(&mut self, prevoted: impl Fn(BlockId, u32) -> bool) -> Option<(BlockId, Origin, &mut Held)> {
        self.held.iter_mut().find_map(|(id, held)| match (held.verdict, held.again) {
            (Verdict::Refused, Some(origin)) if origin.polka_round.is_some_and(|round| prevoted(*id, round)) => {
                Some((*id, origin, held))
            }
            _ => None,
        })
    }

    /// The next block of which the host is to be asked what it thinks.
    pub(crate) fn unasked(&mut self) -> Option<(BlockId, Origin, &mut Held)> {
        self.held.iter_mut().find_map(|(id, held)| match (held.verdict, held.origin) {
            (Verdict::Unasked, Some(origin)) => Some((*id, origin, held)),
            _ => None,
        })
    }
}

impl Held {
    /// The proposal on whose account the host has been asked.
    pub(crate) fn cause(&self) -> Option<Origin> {
        match self.verdict {
            Verdict::Asked => self.origin,
            Verdict::AskedAgain => self.again,
            Verdict::Unasked | Verdict::Refused | Verdict::Given => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_locked_block_outlives_any_number_of_others() {
        let mut blocks = Blocks::default();
        let id = |number: u32| BlockId([number as u8; 32]);
        blocks.insert(id(0), vec![0], 0, true, None);
        for number in 1..100 {
            blocks.insert(id(number), vec![1], number, true, Some(id(0)));
        }
        assert_eq!(blocks.held.len(), HELD);
        assert!(blocks.contains(id(0)) && blocks.contains(id(99)) && !blocks.contains(id(1)));
    }
}
