//! Secrets of a deployment, sealed under its key: they stand in the manifest, which stewards and providers hold.
//!
//! A sealed secret is a byte for this way of sealing, the nonce, and the value sealed with AES-256-GCM. The sealing key is derived
//! from the deployment's for the secret's name, so that none is opened in another's place. The nonce is a keyed hash of the
//! value: sealing needs no dice, the same value is sealed to the same bytes, and so a deployment that is ordered again
//! unchanged is the same. What this tells is that a value is the same as before, and how long it is.
//!
//! Source: Rogaway and Shrimpton, Deterministic Authenticated-Encryption (2006).

use aes_gcm::aead::{Aead as _, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _, Nonce};
use grange_types::{DeploymentId, SealKey};

const WAY: u8 = 1;
const NONCE: usize = 12;
/// What a sealed secret has beside its value: the way, the nonce, the tag.
pub const OVERHEAD: usize = 1 + NONCE + 16;

/// Seals the value of a secret.
#[must_use]
pub fn seal(key: &SealKey, deployment: DeploymentId, name: &str, value: &[u8]) -> Vec<u8> {
    let own = derived("grange 2026 secret nonce 1", key, deployment, name);
    let hash = blake3::keyed_hash(own.as_bytes(), value);
    let mut nonce = [0; NONCE];
    nonce.copy_from_slice(&hash.as_bytes()[..NONCE]);
    let sealed = cipher(key, deployment, name).encrypt(&Nonce::from(nonce), Payload { msg: value, aad: &[WAY] });
    // Fails only for more bytes than memory holds; what is empty is opened by nobody.
    sealed.map_or_else(|_| Vec::new(), |sealed| [&[WAY], &nonce[..], &sealed].concat())
}

/// The value of a sealed secret; none if it was sealed with another key, for another place, or is not whole.
#[must_use]
pub fn open(key: &SealKey, deployment: DeploymentId, name: &str, sealed: &[u8]) -> Option<Vec<u8>> {
    let (head, sealed) = sealed.split_at_checked(1 + NONCE)?;
    let nonce: [u8; NONCE] = head.get(1..)?.try_into().ok()?;
    if head.first() != Some(&WAY) {
        return None;
    }
    cipher(key, deployment, name).decrypt(&Nonce::from(nonce), Payload { msg: sealed, aad: &[WAY] }).ok()
}

fn cipher(key: &SealKey, deployment: DeploymentId, name: &str) -> Aes256Gcm {
    Aes256Gcm::new(derived("grange 2026 secret 1", key, deployment, name).as_bytes().into())
}

/// A key of its own for each secret and purpose.
fn derived(purpose: &str, key: &SealKey, deployment: DeploymentId, name: &str) -> SealKey {
    let mut hasher = blake3::Hasher::new_derive_key(purpose);
    hasher.update(key.as_bytes()).update(deployment.as_bytes()).update(name.as_bytes());
    SealKey::new(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: DeploymentId = DeploymentId([1; 32]);

    fn key(byte: u8) -> SealKey {
        SealKey::new([byte; 32])
    }

    #[test]
    fn a_secret_is_opened_only_in_its_place() {
        let sealed = seal(&key(7), SHOP, "token", b"correct horse");
        assert_eq!(sealed.len(), 13 + OVERHEAD);
        assert!(!sealed.windows(5).any(|window| window == b"horse"));
        assert_eq!(open(&key(7), SHOP, "token", &sealed).as_deref(), Some(&b"correct horse"[..]));
        assert_eq!(open(&key(8), SHOP, "token", &sealed), None, "with another key");
        assert_eq!(open(&key(7), SHOP, "other", &sealed), None, "under another name");
        assert_eq!(open(&key(7), DeploymentId([2; 32]), "token", &sealed), None, "in another deployment");
        for at in 0..sealed.len() {
            let mut bad = sealed.clone();
            bad[at] ^= 1;
            assert_eq!(open(&key(7), SHOP, "token", &bad), None, "with byte {at} changed");
            assert_eq!(open(&key(7), SHOP, "token", &sealed[..at]), None, "cut after {at}");
        }
    }

    #[test]
    fn the_same_value_is_sealed_to_the_same_bytes_and_another_is_not() {
        let sealed = |value: &[u8]| seal(&key(7), SHOP, "token", value);
        assert_eq!(sealed(b"one"), sealed(b"one"));
        assert_ne!(sealed(b"one")[1..13], sealed(b"two")[1..13], "a nonce is for one value");
        assert_ne!(sealed(b"one")[1..], seal(&key(7), SHOP, "other", b"one")[1..]);
        assert_eq!(open(&key(7), SHOP, "token", &sealed(b"")).as_deref(), Some(&b""[..]));
    }
}
