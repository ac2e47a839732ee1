//! The log of one height: what a validator must not forget, in the order in which it happened.
//!
//! Replaying the entries through the core leads to the same votes, whose recorded signatures are used again. Blocks
//! stand before the first entry that names them, so that a replay needs nobody.

use grange_types::{BlockId, Height, PeerId, Record, SignedProposal, SignedVote, limits};
use malachitebft_core_consensus::ProposedValue;
use malachitebft_core_types::{Round, Timeout, TimeoutKind, Validity, ValueOrigin};
use serde::{Deserialize, Serialize};

use crate::certificate::PolkaCertificate;
use crate::chain::{self, Address, CoreInput, Value, number};
use crate::message::raw;

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    /// A block that later entries name.
    Block(#[serde(with = "raw")] Vec<u8>),
    /// A vote was cast or received.
    Vote(SignedVote),
    /// A proposal was made or received.
    Proposal(SignedProposal),
    /// The host built or judged a block.
    Judged {
        /// The round it was proposed in.
        round: u32,
        /// The earlier round in which two thirds prevoted it, if that is why.
        polka_round: Option<u32>,
        /// Who proposed it.
        proposer: PeerId,
        /// The block.
        block: BlockId,
        /// Whether it may follow its parent.
        valid: bool,
    },
    /// Waiting came to an end.
    Timeout {
        /// What was waited for.
        step: Step,
        /// The round.
        round: u32,
    },
    /// Two thirds' prevotes were received as one.
    Polka(PolkaCertificate),
}

/// What a round waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// The proposal.
    Propose,
    /// Two thirds of prevotes for one thing.
    Prevote,
    /// Two thirds of precommits for one thing.
    Precommit,
}

impl Record for Entry {
    const NAME: &'static str = "consensus-entry";
    const LIMIT: usize = limits::MESSAGE_BYTES;
}

impl Entry {
    /// The entry for an input that the core wants logged.
    pub(crate) fn of(input: &CoreInput) -> Option<Self> {
        Some(match input {
            CoreInput::Vote(vote) => Self::Vote(chain::signed_vote(vote)),
            CoreInput::Proposal(proposal) => Self::Proposal(chain::signed_proposal(proposal)),
            CoreInput::PolkaCertificate(certificate) => Self::Polka(chain::polka(certificate)),
            CoreInput::ProposedValue(value, _) => Self::Judged {
                round: number(value.round),
                polka_round: value.valid_round.as_u32(),
                proposer: value.proposer.0,
                block: value.value.0,
                valid: value.validity.is_valid(),
            },
            CoreInput::TimeoutElapsed(timeout) => {
                let step = match timeout.kind {
                    TimeoutKind::Propose => Step::Propose,
                    TimeoutKind::Prevote => Step::Prevote,
                    TimeoutKind::Precommit => Step::Precommit,
                    TimeoutKind::Rebroadcast | TimeoutKind::FinalizeHeight(_) => return None,
                };
                Self::Timeout { step, round: number(timeout.round) }
            }
            CoreInput::StartHeight(..)
            | CoreInput::Propose(_)
            | CoreInput::RoundCertificate(_)
            | CoreInput::SyncValueResponse(_) => return None,
        })
    }

    /// The input that the entry stands for; a block is none.
    pub(crate) fn input(&self, height: Height) -> Option<CoreInput> {
        Some(match self {
            Self::Block(_) => return None,
            Self::Vote(vote) => CoreInput::Vote(chain::signed_vote_to_core(vote)),
            Self::Proposal(proposal) => CoreInput::Proposal(chain::signed_proposal_to_core(proposal)),
            Self::Polka(certificate) => CoreInput::PolkaCertificate(chain::polka_to_core(certificate)),
            &Self::Judged { round, polka_round, proposer, block, valid } => {
                judged(height, round, polka_round, proposer, block, valid)
            }
            &Self::Timeout { step, round } => {
                let kind = match step {
                    Step::Propose => TimeoutKind::Propose,
                    Step::Prevote => TimeoutKind::Prevote,
                    Step::Precommit => TimeoutKind::Precommit,
                };
                CoreInput::TimeoutElapsed(Timeout::new(Round::new(round), kind))
            }
        })
    }
}

/// The core's input for a block that the host has judged.
pub(crate) fn judged(
    height: Height,
    round: u32,
    polka_round: Option<u32>,
    proposer: PeerId,
    block: BlockId,
    valid: bool,
) -> CoreInput {
    let value = ProposedValue {
        height: height.into(),
        round: Round::new(round),
        valid_round: polka_round.into(),
        proposer: Address(proposer),
        value: Value(block),
        validity: Validity::from_bool(valid),
    };
    CoreInput::ProposedValue(value, ValueOrigin::Consensus)
}
