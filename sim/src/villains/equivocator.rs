//! Votes for a block to some and for none to others, and proposes two blocks.

use grange_consensus::{Message, SignedProposal, SignedVote, Vote};
use grange_ledger::Block;
use grange_peer::{Action, Channel};
use grange_types::{Millis, PeerId, Wire};

use super::{Me, Villain};

pub(crate) struct Equivocator;

impl Villain for Equivocator {
    fn name(&self) -> &'static str {
        "equivocator"
    }

    fn votes_falsely(&self) -> bool {
        true
    }

    fn act(&mut self, me: &Me<'_>, action: Action) -> Vec<Action> {
        let Action::Send { to, channel: Channel::Consensus, bytes } = &action else { return vec![action] };
        if !told_otherwise(me, *to) {
            return vec![action];
        }
        let other = match Message::decode(bytes) {
            Ok(Message::Vote(signed)) if signed.vote.validator == me.peer() && signed.vote.block.is_some() => {
                Message::Vote(SignedVote::seal(me.network, me.key, Vote { block: None, ..signed.vote }))
            }
            Ok(Message::Proposal { proposal, block }) if proposal.proposal.proposer == me.peer() => {
                let Some(block) = later(&block) else { return vec![action] };
                let id = grange_types::BlockId(*blake3::hash(&block).as_bytes());
                let proposal = grange_consensus::Proposal { block: id, ..proposal.proposal };
                Message::Proposal { proposal: SignedProposal::seal(me.network, me.key, proposal), block }
            }
            _ => return vec![action],
        };
        vec![Action::Send { to: *to, channel: Channel::Consensus, bytes: other.encode() }]
    }
}

/// Every second of the others hears the other story.
fn told_otherwise(me: &Me<'_>, to: PeerId) -> bool {
    me.others.iter().position(|other| *other == to).is_some_and(|place| place % 2 == 1)
}

/// The same block a moment later.
fn later(block: &[u8]) -> Option<Vec<u8>> {
    let mut block = Block::decode(block).ok()?;
    block.header.time = block.header.time.after(Millis(1));
    Some(block.encode())
}
