//! Blocks that were proposed by their hash, and are fetched from those who show that they have them.
//!
//! A prevote for a block says that its validator has it; so does the proposal. One of them is asked at a time, and the next
//! one when the answer does not come. What is not here cannot be voted for, so that what is decided is with two thirds.
//!
//! A round has one proposal, and so one block that is looked for on its account: a proposer that offers many spends its own
//! rounds and nobody else's. The second one proves that it lies.

use std::collections::{BTreeMap, BTreeSet};

use grange_types::{BlockId, Millis, PeerId, Proposal, SignedProposal, Time};

/// Rounds whose proposals are remembered, the last. A height sees one; many only when round after round fails.
const ROUNDS: usize = 32;
/// Who does not answer for so long is not waited for any more: a block of two megabytes needs 60 Mbit/s to be in time, and
/// is taken also when it is late.
const PATIENCE: Millis = Millis(300);
/// How often one peer is given one block.
const SERVED: u32 = 8;

/// The blocks of one height that are looked for.
#[derive(Debug, Default)]
pub(crate) struct Bodies {
    /// By round: the first proposal for it whose signature held.
    first: BTreeMap<u32, SignedProposal>,
    wanted: BTreeMap<BlockId, Wanted>,
    /// How often a block was given to a peer.
    served: BTreeMap<(PeerId, BlockId), u32>,
}

#[derive(Debug)]
struct Wanted {
    /// Who has it, by his own word.
    holders: BTreeSet<PeerId>,
    asked: BTreeSet<PeerId>,
    next: Time,
}

impl Bodies {
    /// Notes a proposal whose signature holds. Gives the first one of its round, if that says something else.
    pub(crate) fn noted(&mut self, signed: SignedProposal) -> Option<SignedProposal> {
        let first = *self.first.entry(signed.proposal.round).or_insert(signed);
        if self.first.len() > ROUNDS
            && let Some((_, gone)) = self.first.pop_first()
            && self.proposals_of(gone.proposal.block).next().is_none()
        {
            self.wanted.remove(&gone.proposal.block);
        }
        Some(first).filter(|first| first.proposal != signed.proposal)
    }

    /// A proposal that was noted, and whose block is not here. Only the first of its round is worth looking for.
    pub(crate) fn offered(&mut self, now: Time, from: PeerId, proposal: &Proposal) {
        if self.first.get(&proposal.round).is_some_and(|first| first.proposal == *proposal) {
            let fresh = || Wanted { holders: BTreeSet::new(), asked: BTreeSet::new(), next: now };
            self.wanted.entry(proposal.block).or_insert_with(fresh).holders.insert(from);
        }
    }

    fn proposals_of(&self, block: BlockId) -> impl Iterator<Item = SignedProposal> {
        self.first.values().filter(move |signed| signed.proposal.block == block).copied()
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
        self.wanted.remove(&block).map_or_else(Vec::new, |_| self.proposals_of(block).collect())
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

    fn offer(bodies: &mut Bodies, now: u64, from: u8, signed: SignedProposal) -> Option<SignedProposal> {
        let other = bodies.noted(signed);
        bodies.offered(Time(now), PeerId([from; 32]), &signed.proposal);
        other
    }

    fn proposal(round: u32, block: u8) -> SignedProposal {
        let proposer = PeerId([1; 32]);
        let proposal = Proposal { height: Height(1), round, block: BlockId([block; 32]), polka_round: None, proposer };
        SignedProposal { proposal, signature: Signature([0; 64]) }
    }

    #[test]
    fn who_has_a_block_is_asked_in_turn_until_it_comes() {
        let (mut bodies, peer, block) = (Bodies::default(), |fill| PeerId([fill; 32]), BlockId([9; 32]));
        assert!(bodies.is_idle() && bodies.ask(Time(0)).is_none());
        assert_eq!(offer(&mut bodies, 0, 1, proposal(0, 9)), None);
        bodies.held_by(block, peer(2));
        bodies.held_by(BlockId([8; 32]), peer(3));
        assert_eq!(bodies.ask(Time(0)), Some((peer(1), block)));
        assert_eq!((bodies.ask(Time(0)), bodies.due()), (None, Some(Time(300))));
        assert_eq!(bodies.ask(Time(300)), Some((peer(2), block)));
        assert_eq!(bodies.ask(Time(600)), Some((peer(1), block)), "and from the beginning");
        assert_eq!(offer(&mut bodies, 600, 2, proposal(1, 9)), None);
        assert_eq!(bodies.arrived(block), [proposal(0, 9), proposal(1, 9)]);
        assert!(bodies.is_idle() && !bodies.wants(block));
    }

    #[test]
    fn whoever_offers_many_blocks_for_a_round_has_that_round_alone_and_is_proven() {
        let mut bodies = Bodies::default();
        for fill in 1..100 {
            assert_eq!(offer(&mut bodies, 0, 1, proposal(0, fill)), (fill > 1).then(|| proposal(0, 1)));
        }
        assert_eq!(bodies.wanted.keys().collect::<Vec<_>>(), [&BlockId([1; 32])]);
        offer(&mut bodies, 0, 2, proposal(1, 200));
        assert!(bodies.wants(BlockId([200; 32])));
    }

    #[test]
    fn the_lowest_round_makes_room_and_nobody_is_given_without_end() {
        let mut bodies = Bodies::default();
        for round in 0..100 {
            // The last one comes back to a block of a round that makes room for it.
            offer(&mut bodies, 0, 1, proposal(round, if round == 99 { 67 } else { round as u8 }));
        }
        // A round that has made room stays away.
        offer(&mut bodies, 0, 1, proposal(5, 5));
        assert_eq!((bodies.first.len(), bodies.wanted.len()), (ROUNDS, ROUNDS));
        assert!(bodies.wants(BlockId([67; 32])) && !bodies.wants(BlockId([66; 32])) && !bodies.wants(BlockId([5; 32])));
        let served = (0..100).filter(|_| bodies.may_serve(PeerId([1; 32]), BlockId([1; 32]))).count();
        assert_eq!(served, SERVED as usize);
    }
}
