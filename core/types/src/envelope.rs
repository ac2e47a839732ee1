//! Signed envelopes: a body, who says it, in which network, and until when.
//!
//! # Rules
//! - The signed bytes are `"grange/1/" NAME 0 network`, then the canonical encoding of {signer, expires, body}; the
//!   network stands inside the signed bytes and in the envelope, so a stranger's envelope is named as such.
//! - An envelope's id is BLAKE3 over the signed bytes: a second signature over the same statement is the same id.
//! - [`Signed::open`] checks in this order: network, expiry, signature. Replay is refused by whoever keeps ids
//!   (the ledger keeps a transaction's until it expires).

use serde::{Deserialize, Serialize};

use crate::codec::{DecodeError, Wire};
use crate::id::{NetworkId, TxId};
use crate::key::{PublicKey, SecretKey, Signature};
use crate::unit::Time;

/// Why an envelope was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Made for another network.
    #[error("the envelope is for network {}, this is network {}", .theirs.short(), .ours.short())]
    ForeignNetwork {
        /// The network it names.
        theirs: NetworkId,
        /// The network it arrived in.
        ours: NetworkId,
    },
    /// Past its expiry.
    #[error("the envelope expired at {expired}")]
    Expired {
        /// When it expired.
        expired: Time,
    },
    /// The signature is not the signer's over these bytes.
    #[error("the envelope was altered or not signed by {}", .signer.account().short())]
    BadSignature {
        /// Who is said to have signed.
        signer: PublicKey,
    },
    /// The bytes are no envelope.
    #[error("the envelope cannot be read")]
    Undecodable(#[from] DecodeError),
}

/// A body signed by a key, for one network, until a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Signed<T> {
    /// The network it is meant for.
    pub network: NetworkId,
    /// The key that signs.
    pub signer: PublicKey,
    /// The last instant at which it counts.
    pub expires: Time,
    /// What is said.
    pub body: T,
    /// The signature over [`Signed::signed_bytes`].
    pub signature: Signature,
}

impl<T: Wire> Wire for Signed<T> {
    const NAME: &'static str = T::NAME;
    // network 32, signer 32, expiry ≤ 10, signature 64.
    const LIMIT: usize = T::LIMIT + 138;
}

impl<T: Wire> Signed<T> {
    /// Signs a body.
    #[must_use]
    pub fn seal(network: NetworkId, key: &SecretKey, expires: Time, body: T) -> Self {
        let signer = key.public();
        let message = signed_bytes(network, signer, expires, &body);
        Self { network, signer, expires, body, signature: key.sign(&message) }
    }

    /// The bytes under the signature.
    #[must_use]
    pub fn signed_bytes(&self) -> Vec<u8> {
        signed_bytes(self.network, self.signer, self.expires, &self.body)
    }

    /// The statement's name: BLAKE3 over the signed bytes.
    #[must_use]
    pub fn id(&self) -> TxId {
        TxId(*blake3::hash(&self.signed_bytes()).as_bytes())
    }

    /// Checks network, expiry and signature, and gives the id.
    ///
    /// What the signer may say is a question for the ledger's key sets, not for the envelope.
    pub fn open(&self, network: NetworkId, now: Time) -> Result<TxId, EnvelopeError> {
        if self.network != network {
            return Err(EnvelopeError::ForeignNetwork { theirs: self.network, ours: network });
        }
        if now > self.expires {
            return Err(EnvelopeError::Expired { expired: self.expires });
        }
        let message = self.signed_bytes();
        self.signer
            .verify(&message, &self.signature)
            .map_err(|_| EnvelopeError::BadSignature { signer: self.signer })?;
        Ok(TxId(*blake3::hash(&message).as_bytes()))
    }
}

fn signed_bytes<T: Wire>(network: NetworkId, signer: PublicKey, expires: Time, body: &T) -> Vec<u8> {
    let mut message = b"grange/1/".to_vec();
    message.extend_from_slice(T::NAME.as_bytes());
    message.push(0);
    message.extend_from_slice(network.as_bytes());
    message.extend_from_slice(&signer.0);
    message.extend_from_slice(&expires.0.to_le_bytes());
    message.extend_from_slice(&body.encode());
    message
}
