//! What validators say to one another, and how it is signed.

use grange_types::{BlockId, Height, KeyError, NetworkId, PeerId, PublicKey, SecretKey, Signature, Wire, limits};
use serde::{Deserialize, Serialize};

use crate::certificate::{PolkaCertificate, RoundCertificate};

/// The longest block that can be proposed: a message, less a proposal's own fields.
pub const BLOCK_LIMIT: usize = limits::MESSAGE_BYTES - 512;

/// The highest round anybody can speak of. Rounds take longer and longer, so that none comes near.
pub(crate) const ROUND_LIMIT: u32 = 1 << 20;

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

/// What one validator sends to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// A vote.
    Vote(SignedVote),
    /// A proposal and its block.
    Proposal {
        /// The proposal.
        proposal: SignedProposal,
        /// The block's bytes.
        #[serde(with = "raw")]
        block: Vec<u8>,
    },
    /// Two thirds prevoted one block.
    Polka(PolkaCertificate),
    /// Why a round may be entered.
    Round(RoundCertificate),
    /// The sender works on this height; everything below is decided and durable with it.
    Status {
        /// The height.
        height: Height,
    },
    /// The sender has begun this height (a transaction waits, or the pause is over): begin it too.
    Begin {
        /// The height.
        height: Height,
    },
}

impl Wire for Vote {
    const NAME: &'static str = "consensus-vote";
    const LIMIT: usize = 128;
}

impl Wire for Proposal {
    const NAME: &'static str = "consensus-proposal";
    const LIMIT: usize = 128;
}

impl Wire for Message {
    const NAME: &'static str = "consensus-message";
    const LIMIT: usize = limits::MESSAGE_BYTES;
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

impl Message {
    /// The height it is about.
    #[must_use]
    pub const fn height(&self) -> Height {
        match self {
            Self::Vote(signed) => signed.vote.height,
            Self::Proposal { proposal, .. } => proposal.proposal.height,
            Self::Polka(certificate) => certificate.height,
            Self::Round(certificate) => certificate.height,
            Self::Status { height } | Self::Begin { height } => *height,
        }
    }

    /// The round it is about; 0 where there is none.
    #[must_use]
    pub const fn round(&self) -> u32 {
        match self {
            Self::Vote(signed) => signed.vote.round,
            Self::Proposal { proposal, .. } => proposal.proposal.round,
            Self::Polka(certificate) => certificate.round,
            Self::Round(certificate) => certificate.round,
            Self::Status { .. } | Self::Begin { .. } => 0,
        }
    }
}

/// The id of a block: BLAKE3 over its bytes.
pub(crate) fn block_id(block: &[u8]) -> BlockId {
    BlockId(*blake3::hash(block).as_bytes())
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

/// Bytes in one piece. The encoding is that of `Vec<u8>`, but a block of a megabyte is copied, not walked through.
pub(crate) mod raw {
    use core::fmt;

    use serde::de::{Error, Visitor};
    use serde::{Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        deserializer.deserialize_byte_buf(Bytes)
    }

    struct Bytes;

    impl Visitor<'_> for Bytes {
        type Value = Vec<u8>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("bytes")
        }

        fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
            Ok(bytes.to_vec())
        }

        fn visit_byte_buf<E: Error>(self, bytes: Vec<u8>) -> Result<Vec<u8>, E> {
            Ok(bytes)
        }
    }
}
