//! The one signature scheme, behind a trait so that a simulated world can sign faster.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::key::{KeyError, PublicKey, Signature};

/// How signatures are made and judged. Keys are ed25519 keys under every scheme.
pub(crate) trait Scheme {
    /// The signature of a key over bytes.
    fn sign(key: &SigningKey, message: &[u8]) -> Signature;
    /// Whether a signature is a key's over these bytes.
    fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), KeyError>;
}

/// Ed25519 with `verify_strict`, which refuses malleable signatures and small-order keys.
pub(crate) struct Ed25519;

impl Scheme for Ed25519 {
    fn sign(key: &SigningKey, message: &[u8]) -> Signature {
        Signature(key.sign(message).to_bytes())
    }

    fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        let key = VerifyingKey::from_bytes(&key.0).map_err(|_| KeyError::BadSignature)?;
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        key.verify_strict(message, &signature).map_err(|_| KeyError::BadSignature)
    }
}

#[cfg(not(feature = "simulation"))]
pub(crate) use Ed25519 as Chosen;

#[cfg(feature = "simulation")]
pub(crate) use crate::simulation::Chosen;
