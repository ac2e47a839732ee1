//! Blocks that were proposed by their hash, and are fetched from those who show that they have them.
//!
//! A prevote for a block says that its validator has it; so does the proposal. One of them is asked at a time, and the next
//! one when the answer does not come. What is not here cannot be voted for, so that what is decided is with two thirds.

use std::collections::{BTreeMap, BTreeSet};

use grange_types::{BlockId, Millis, PeerId, SignedProposal, Time};

/// Blocks looked for at once. A height sees one; many only when round after round fails.
const WANTED: usize = 32;
/// Who does not answer for so long is not waited for any more: a block of two megabytes needs 60 Mbit/s to be in time, and
/// is taken also when it is late.
const PATIENCE: Millis = Millis(300);
/// How often one peer is given one block.
const SERVED: u32 = 8;

/// The blocks of one height that are looked for.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    wanted: BTreeMap<BlockId, Wanted>,
    /// How often a block was given to a peer.
    served: BTreeMap<(PeerId, BlockId), u32>,
}

#[derive(Debug)]
struct Wanted {
    /// By round: the proposals that wait for the block.
    proposals: BTreeMap<u32, SignedProposal>,
    /// Who has it, by his own word.
    holders: BTreeSet<PeerId>,
    asked: BTreeSet<PeerId>,
    next: Time,
}

impl Bodies {
    /// A proposal whose block is not here.
    pub(crate) fn offered(&mut self, now: Time, from: PeerId, signed: SignedProposal) {
        let block = signed.proposal.block;
        if self.wanted.len() >= WANTED && !self.wanted.contains_key(&block) {
            return;
        }
        let fresh =
            || Wanted { proposals: BTreeMap::new(), holders: BTreeSet::new(), asked: BTreeSet::new(), next: now };
        let wanted = self.wanted.entry(block).or_insert_with(fresh);
        wanted.holders.insert(from);
        if wanted.proposals.len() < WANTED {
            wanted.proposals.insert(signed.proposal.round, signed);
        }
    }

    /// A validator voted for a block: it has it.
    pub(crate) fn held_by(&mut self, block: BlockId, peer: PeerId) {
        if let Some(wanted) = self.wanted.get_mut(&block) {
            wanted.holders.insert(peer);
        }
    }

    /// Whether anybody was asked for this block.
    pub(crate) fn wants(&self, block: BlockId) -> bool {
        self.wanted.contains_key(&block)
    }

    /// Whether any block is looked for.
    pub(crate) fn is_idle(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The next question whose time has come, and whom it is put to.
    pub(crate) fn ask(&mut self, now: Time) -> Option<(PeerId, BlockId)> {
        self.wanted.iter_mut().find_map(|(block, wanted)| {
            if wanted.next > now {
                return None;
            }
            if wanted.holders.is_subset(&wanted.asked) {
                wanted.asked.clear();
            }
            let peer = *wanted.holders.difference(&wanted.asked).next()?;
            wanted.asked.insert(peer);
            wanted.next = now.after(PATIENCE);
            Some((peer, *block))
        })
    }

    /// When to ask again.
    pub(crate) fn due(&self) -> Option<Time> {
        self.wanted.values().map(|wanted| wanted.next).min()
    }

    /// A block has come: the proposals that waited for it, by round.
    pub(crate) fn arrived(&mut self, block: BlockId) -> Vec<SignedProposal> {
        self.wanted.remove(&block).map_or_else(Vec::new, |wanted| wanted.proposals.into_values().collect())
    }

    /// Whether a peer may be given a block once more.
    pub(crate) fn may_serve(&mut self, peer: PeerId, block: BlockId) -> bool {
        let times = self.served.entry((peer, block)).or_default();
        *times += 1;
        *times <= SERVED
    }
}

#[cfg(test)]
mod tests {
    use grange_types::{Height, Proposal, Signature};

    use super::*;

    fn proposal(round: u32, block: u8) -> SignedProposal {
        let proposer = PeerId([1; 32]);
        let proposal = Proposal { height: Height(1), round, block: BlockId([block; 32]), polka_round: None, proposer };
        SignedProposal { proposal, signature: Signature([0; 64]) }
    }

    #[test]
    fn who_has_a_block_is_asked_in_turn_until_it_comes() {
        let (mut bodies, peer, block) = (Bodies::default(), |fill| PeerId([fill; 32]), BlockId([9; 32]));
        assert!(bodies.is_idle() && bodies.ask(Time(0)).is_none());
        bodies.offered(Time(0), peer(1), proposal(0, 9));
        bodies.held_by(block, peer(2));
        bodies.held_by(BlockId([8; 32]), peer(3));
        assert_eq!(bodies.ask(Time(0)), Some((peer(1), block)));
        assert_eq!((bodies.ask(Time(0)), bodies.due()), (None, Some(Time(300))));
        assert_eq!(bodies.ask(Time(300)), Some((peer(2), block)));
        assert_eq!(bodies.ask(Time(600)), Some((peer(1), block)), "and from the beginning");
        bodies.offered(Time(600), peer(2), proposal(1, 9));
        assert_eq!(bodies.arrived(block), [proposal(0, 9), proposal(1, 9)]);
        assert!(bodies.is_idle() && !bodies.wants(block));
    }

    #[test]
    fn nobody_makes_us_look_for_everything_or_give_without_end() {
        let mut bodies = Bodies::default();
        for fill in 0..100 {
            bodies.offered(Time(0), PeerId([1; 32]), proposal(0, fill));
        }
        assert_eq!(bodies.wanted.len(), WANTED);
        let served = (0..100).filter(|_| bodies.may_serve(PeerId([1; 32]), BlockId([1; 32]))).count();
        assert_eq!(served, SERVED as usize);
    }
}
