//! What a validator signs: votes and proposals, and two of them that contradict each other.
//!
//! `consensus` exchanges them, `ledger` judges who has signed two for one place.

use serde::{Deserialize, Serialize};

use crate::codec::Wire;
use crate::id::{BlockId, NetworkId, PeerId};
use crate::key::{KeyError, PublicKey, SecretKey, Signature};
use crate::unit::Height;

/// The two votes of a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum VoteKind {
    /// This block (or none) was seen as valid in this round.
    Prevote,
    /// Two thirds prevoted this block (or none of them may win) in this round.
    Precommit,
}

/// A vote; what is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vote {
    /// Which of the two votes.
    pub kind: VoteKind,
    /// The height it is for.
    pub height: Height,
    /// The round it is for.
    pub round: u32,
    /// The block, or none.
    pub block: Option<BlockId>,
    /// Who votes.
    pub validator: PeerId,
}

/// A vote with its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedVote {
    /// The vote.
    pub vote: Vote,
    /// Its validator's signature.
    pub signature: Signature,
}

/// A proposal; what is signed. The block travels beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// The height it is for.
    pub height: Height,
    /// The round it is for.
    pub round: u32,
    /// The block.
    pub block: BlockId,
    /// The earlier round in which two thirds prevoted this block, if that is why it is proposed.
    pub polka_round: Option<u32>,
    /// Who proposes.
    pub proposer: PeerId,
}

/// A proposal with its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedProposal {
    /// The proposal.
    pub proposal: Proposal,
    /// Its proposer's signature.
    pub signature: Signature,
}

impl Wire for Vote {
    const NAME: &'static str = "consensus-vote";
    const LIMIT: usize = 128;
}

impl Wire for Proposal {
    const NAME: &'static str = "consensus-proposal";
    const LIMIT: usize = 128;
}

impl SignedVote {
    /// Signs a vote; the caller makes sure that it contradicts no earlier one.
    #[must_use]
    pub fn seal(network: NetworkId, key: &SecretKey, vote: Vote) -> Self {
        Self { vote, signature: key.sign(&signed_bytes(network, &vote)) }
    }

    /// Whether the signature is its validator's, in this network.
    pub fn verify(&self, network: NetworkId) -> Result<(), KeyError> {
        PublicKey::from(self.vote.validator).verify(&signed_bytes(network, &self.vote), &self.signature)
    }
}

impl SignedProposal {
    /// Signs a proposal; the caller makes sure that it contradicts no earlier one.
    #[must_use]
    pub fn seal(network: NetworkId, key: &SecretKey, proposal: Proposal) -> Self {
        Self { proposal, signature: key.sign(&signed_bytes(network, &proposal)) }
    }

    /// Whether the signature is its proposer's, in this network.
    pub fn verify(&self, network: NetworkId) -> Result<(), KeyError> {
        PublicKey::from(self.proposal.proposer).verify(&signed_bytes(network, &self.proposal), &self.signature)
    }
}

/// Two statements of one validator for the same place that contradict each other: the proof that it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Equivocation {
    /// Two votes of one kind.
    Votes(SignedVote, SignedVote),
    /// Two proposals.
    Proposals(SignedProposal, SignedProposal),
}

/// Why two statements prove nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EquivocationError {
    /// They are of different validators, heights, rounds or kinds.
    #[error("the two statements are not for one place, so that both may stand")]
    Apart,
    /// They say the same.
    #[error("the two statements say the same")]
    Same,
    /// One of them was not signed by its validator.
    #[error("a statement has a false signature")]
    Signature(#[source] KeyError),
}

impl Equivocation {
    /// Who made both.
    #[must_use]
    pub const fn validator(&self) -> PeerId {
        match self {
            Self::Votes(one, _) => one.vote.validator,
            Self::Proposals(one, _) => one.proposal.proposer,
        }
    }

    /// The height that both are for.
    #[must_use]
    pub const fn height(&self) -> Height {
        match self {
            Self::Votes(one, _) => one.vote.height,
            Self::Proposals(one, _) => one.proposal.height,
        }
    }

    /// Whether the two contradict each other, whoever signed them.
    pub fn check(&self) -> Result<(), EquivocationError> {
        let (together, same) = match self {
            Self::Votes(SignedVote { vote: one, .. }, SignedVote { vote: other, .. }) => {
                let place = |vote: &Vote| (vote.validator, vote.height, vote.round, vote.kind);
                (place(one) == place(other), one == other)
            }
            Self::Proposals(SignedProposal { proposal: one, .. }, SignedProposal { proposal: other, .. }) => {
                let place = |proposal: &Proposal| (proposal.proposer, proposal.height, proposal.round);
                (place(one) == place(other), one == other)
            }
        };
        match (together, same) {
            (false, _) => Err(EquivocationError::Apart),
            (true, true) => Err(EquivocationError::Same),
            (true, false) => Ok(()),
        }
    }

    /// Whether the validator signed both, in this network.
    pub fn verify(&self, network: NetworkId) -> Result<(), EquivocationError> {
        let verified = match self {
            Self::Votes(one, other) => one.verify(network).and_then(|()| other.verify(network)),
            Self::Proposals(one, other) => one.verify(network).and_then(|()| other.verify(network)),
        };
        verified.map_err(EquivocationError::Signature)
    }
}

/// The bytes under a signature: `"grange/1/" NAME 0 network` and the canonical encoding.
///
/// No expiry stands in them: a vote counts for its height and round for ever.
fn signed_bytes<T: Wire>(network: NetworkId, statement: &T) -> Vec<u8> {
    let mut bytes = b"grange/1/".to_vec();
    bytes.extend_from_slice(T::NAME.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(network.as_bytes());
    bytes.extend_from_slice(&statement.encode());
    bytes
}
