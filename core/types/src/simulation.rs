//! Seams for a simulated world. Without the feature `simulation`, which no shipped program has, none of this exists.
//!
//! Signatures: a world of thousands of seeds spends most of its time on ed25519. On a thread that asks for it they are a
//! keyed hash instead. Everybody could forge it, which the villains of a world do not do; they sign with their own keys.
//!
//! Plants: see [`crate::plant`].

use core::cell::Cell;

use ed25519_dalek::SigningKey;

use crate::key::{KeyError, PublicKey, Signature};
use crate::plant::Plant;
use crate::signature::{Ed25519, Scheme};

thread_local! {
    static KEYED_HASH: Cell<bool> = const { Cell::new(false) };
    static SOWN: Cell<Option<Plant>> = const { Cell::new(None) };
}

/// Whether signatures of this thread are a keyed hash from now on.
pub fn sign_by_keyed_hash(on: bool) {
    KEYED_HASH.set(on);
}

/// Whether signatures of this thread are a keyed hash.
#[must_use]
pub fn signs_by_keyed_hash() -> bool {
    KEYED_HASH.get()
}

/// Breaks a rule on this thread, or none.
pub fn sow(plant: Option<Plant>) {
    SOWN.set(plant);
}

pub(crate) fn sown() -> Option<Plant> {
    SOWN.get()
}

/// BLAKE3 keyed by the public key.
struct KeyedHash;

impl Scheme for KeyedHash {
    fn sign(key: &SigningKey, message: &[u8]) -> Signature {
        Signature(tag(key.verifying_key().as_bytes(), message))
    }

    fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        if tag(&key.0, message) == signature.0 { Ok(()) } else { Err(KeyError::BadSignature) }
    }
}

fn tag(key: &[u8; 32], message: &[u8]) -> [u8; 64] {
    let mut tag = [0; 64];
    blake3::Hasher::new_keyed(key).update(message).finalize_xof().fill(&mut tag);
    tag
}

/// What this thread has asked for; ed25519 unless it asked.
pub(crate) struct Chosen;

impl Scheme for Chosen {
    fn sign(key: &SigningKey, message: &[u8]) -> Signature {
        if KEYED_HASH.get() { KeyedHash::sign(key, message) } else { Ed25519::sign(key, message) }
    }

    fn verify(key: &PublicKey, message: &[u8], signature: &Signature) -> Result<(), KeyError> {
        if KEYED_HASH.get() {
            KeyedHash::verify(key, message, signature)
        } else {
            Ed25519::verify(key, message, signature)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SecretKey;

    #[test]
    fn a_keyed_hash_holds_for_its_bytes_and_key_only_and_only_on_its_thread() {
        let (key, other) = (SecretKey::from_bytes(&[7; 32]), SecretKey::from_bytes(&[8; 32]));
        sign_by_keyed_hash(true);
        let signature = key.sign(b"message");
        assert_eq!(key.public().verify(b"message", &signature), Ok(()));
        assert_eq!(key.public().verify(b"massage", &signature), Err(KeyError::BadSignature));
        assert_eq!(other.public().verify(b"message", &signature), Err(KeyError::BadSignature));
        sign_by_keyed_hash(false);
        assert_eq!(key.public().verify(b"message", &signature), Err(KeyError::BadSignature));
    }
}
