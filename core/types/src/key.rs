//! Ed25519 keys and what they may do.

use core::fmt;
use core::str::FromStr;

use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::id::{AccountId, ParseIdError, PeerId, parse_hex32};
use crate::signature::{Chosen, Scheme};

/// An ed25519 public key, not yet shown to be a point of the curve; [`PublicKey::verify`] finds out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// An ed25519 signature.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signature(pub [u8; 64]);

/// An ed25519 secret key. Neither printed nor compared; wiped when dropped.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

/// Why a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The key is no point of the curve, or the signature is not the key's over these bytes.
    #[error("the signature is not by this key over these bytes")]
    BadSignature,
}

impl PublicKey {
    /// The one signature predicate: `verify_strict`, which refuses malleable signatures and small-order keys.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        Chosen::verify(self, message, signature)
    }

    /// The account whose first key this is.
    #[must_use]
    pub const fn account(self) -> AccountId {
        AccountId(self.0)
    }

    /// The node whose key this is.
    #[must_use]
    pub const fn peer(self) -> PeerId {
        PeerId(self.0)
    }
}

impl From<PeerId> for PublicKey {
    fn from(peer: PeerId) -> Self {
        Self(peer.0)
    }
}

impl SecretKey {
    /// The key with these secret bytes. The caller brings the randomness.
    #[must_use]
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(secret))
    }

    /// The secret bytes, for a key file readable by its owner alone.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs bytes that already carry their domain; see [`crate::Signed`].
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Signature {
        Chosen::sign(&self.0, message)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretKey(of {:?})", self.public())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        AccountId(self.0).fmt(f)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", AccountId(self.0).short())
    }
}

impl FromStr for PublicKey {
    type Err = ParseIdError;
    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        parse_hex32(text).map(Self)
    }
}

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::id::serialize_bytes32(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::id::deserialize_bytes32(deserializer).map(Self)
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({})", data_encoding::HEXLOWER.encode(&self.0[..5]))
    }
}

impl Serialize for Signature {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (left, right) = self.0.split_at(32);
        (<[u8; 32]>::try_from(left).unwrap_or_default(), <[u8; 32]>::try_from(right).unwrap_or_default())
            .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Signature {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (left, right) = <([u8; 32], [u8; 32])>::deserialize(deserializer)?;
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(&left);
        bytes[32..].copy_from_slice(&right);
        Ok(Self(bytes))
    }
}

/// What a key may sign for its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// Anything, also changing the key set.
    Owner,
    /// Offers, quotes and settlements of the account's node.
    Node,
    /// Consensus votes.
    Validator,
    /// Transfers, deployments and receipts, up to an amount a day.
    Spend {
        /// The most that may leave the account through this key in one day of block time.
        per_day: Amount,
    },
}

/// One key of an account's key set, and its roles.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyGrant {
    /// The key.
    pub key: PublicKey,
    /// What it may do; at most [`crate::limits::ROLES_PER_KEY`].
    pub roles: Vec<Role>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_verifies_over_its_bytes_only() {
        let key = SecretKey::from_bytes(&[7; 32]);
        let signature = key.sign(b"message");
        assert_eq!(key.public().verify(b"message", &signature), Ok(()));
        assert_eq!(key.public().verify(b"massage", &signature), Err(KeyError::BadSignature));
        let other = SecretKey::from_bytes(&[8; 32]);
        assert_eq!(other.public().verify(b"message", &signature), Err(KeyError::BadSignature));
        // A small-order key accepts anything under the lax rule, and nothing under the strict one.
        let mut identity = [0; 32];
        identity[0] = 1;
        let mut forged = [0; 64];
        forged[0] = 1;
        assert_eq!(PublicKey(identity).verify(b"message", &Signature(forged)), Err(KeyError::BadSignature));
    }

    #[test]
    fn a_secret_is_never_printed() {
        let key = SecretKey::from_bytes(&[7; 32]);
        let printed = format!("{key:?}");
        assert!(!printed.contains("0707"), "{printed}");
    }
}
