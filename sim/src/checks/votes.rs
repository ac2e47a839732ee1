//! No honest validator signs two statements of which it may sign one, however often it died between them.

use std::collections::BTreeMap;

use grange_consensus::{Message, VoteKind};
use grange_types::{BlockId, PeerId};

/// Heights that are remembered.
const HEIGHTS: u64 = 50;

/// What honest validators said.
#[derive(Default)]
pub(crate) struct Votes {
    votes: BTreeMap<(u64, u32, VoteKind, PeerId), Option<BlockId>>,
    proposals: BTreeMap<(u64, u32, PeerId), BlockId>,
}

impl Votes {
    /// Holds a validator's own word against what it said before.
    pub(super) fn said(&mut self, who: PeerId, message: &Message) -> Result<(), String> {
        match message {
            Message::Vote(signed) if signed.vote.validator == who => {
                let vote = signed.vote;
                let key = (vote.height.0, vote.round, vote.kind, who);
                let before = *self.votes.entry(key).or_insert(vote.block);
                self.forget(vote.height.0);
                if before == vote.block {
                    return Ok(());
                }
                let name = |block: Option<BlockId>| block.map_or("nothing".to_owned(), |block| block.short());
                Err(format!(
                    "{} signed two {:?}s at height {} round {}: for {} and for {}",
                    who.short(),
                    vote.kind,
                    vote.height,
                    vote.round,
                    name(before),
                    name(vote.block)
                ))
            }
            Message::Proposal { proposal, .. } | Message::Offer(proposal) if proposal.proposal.proposer == who => {
                let proposal = proposal.proposal;
                let key = (proposal.height.0, proposal.round, who);
                let before = *self.proposals.entry(key).or_insert(proposal.block);
                if before == proposal.block {
                    return Ok(());
                }
                Err(format!(
                    "{} proposed two blocks at height {} round {}",
                    who.short(),
                    proposal.height,
                    proposal.round
                ))
            }
            _ => Ok(()),
        }
    }

    fn forget(&mut self, height: u64) {
        let old = |first: Option<u64>| first.is_some_and(|first| first + HEIGHTS < height);
        while old(self.votes.first_key_value().map(|(key, _)| key.0)) {
            self.votes.pop_first();
        }
        while old(self.proposals.first_key_value().map(|(key, _)| key.0)) {
            self.proposals.pop_first();
        }
    }
}
