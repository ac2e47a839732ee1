//! What validators say to one another.

use grange_types::{BlockId, Height, SignedProposal, SignedVote, Wire, limits};
use serde::{Deserialize, Serialize};

use crate::certificate::{PolkaCertificate, RoundCertificate};

/// The longest block that can be proposed: a message, less a proposal's own fields.
pub const BLOCK_LIMIT: usize = limits::MESSAGE_BYTES - 512;

/// The highest round anybody can speak of. Rounds take longer and longer, so that none comes near.
pub(crate) const ROUND_LIMIT: u32 = 1 << 20;

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
    /// A proposal by its hash alone: who does not have the block asks for it.
    Offer(SignedProposal),
    /// Asks for a block.
    Want {
        /// Its height.
        height: Height,
        /// Its id.
        block: BlockId,
    },
    /// A block that was asked for.
    Body {
        /// Its height.
        height: Height,
        /// Its bytes.
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

impl Wire for Message {
    const NAME: &'static str = "consensus-message";
    const LIMIT: usize = limits::MESSAGE_BYTES;
}

impl Message {
    /// The height it is about.
    #[must_use]
    pub const fn height(&self) -> Height {
        match self {
            Self::Vote(signed) => signed.vote.height,
            Self::Proposal { proposal, .. } | Self::Offer(proposal) => proposal.proposal.height,
            Self::Polka(certificate) => certificate.height,
            Self::Round(certificate) => certificate.height,
            Self::Status { height }
            | Self::Begin { height }
            | Self::Want { height, .. }
            | Self::Body { height, .. } => *height,
        }
    }

    /// The round it is about; 0 where there is none.
    #[must_use]
    pub const fn round(&self) -> u32 {
        match self {
            Self::Vote(signed) => signed.vote.round,
            Self::Proposal { proposal, .. } | Self::Offer(proposal) => proposal.proposal.round,
            Self::Polka(certificate) => certificate.round,
            Self::Round(certificate) => certificate.round,
            Self::Status { .. } | Self::Begin { .. } | Self::Want { .. } | Self::Body { .. } => 0,
        }
    }
}

/// The id of a block: BLAKE3 over its bytes.
pub(crate) fn block_id(block: &[u8]) -> BlockId {
    BlockId(*blake3::hash(block).as_bytes())
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
