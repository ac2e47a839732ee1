//! Keep an owner's key: sealed with a passphrase, and as words that restore it.
//!
//! An owner's key is made of 256 random bits, which people keep as the 24 words of a [`Phrase`] (BIP-39, English). A
//! machine keeps them in a [`Keystore`], a file that opens with a passphrase. Nodes' own keys are not kept here: a node
//! starts without asking anybody, and a new machine gets a new one.
//!
//! # Rules
//! - The key is BLAKE3's `derive_key` with the context [`CONTEXT`] over the 64 bytes of the words' BIP-39 seed without a
//!   passphrase of its own. The same words are the same key, on every machine, for ever.
//! - The file is sealed with XChaCha20-Poly1305 under a key that Argon2id makes of the passphrase; what stands in the
//!   clear (account, public key, cost, salt, nonce) is bound to it and cannot be altered either.
//! - A wrong passphrase and an altered file cannot be told apart, and both are refused.
//! - Nothing here is printed by accident, and what was secret is wiped when it is dropped.
//!
//! # Limits
//! [`Cost`] is bounded before any memory is taken, so that a file of strangers cannot ask for all of it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod phrase;
mod store;

pub use phrase::{CONTEXT, Phrase, PhraseError, WORDS};
pub use store::{Cost, Keystore, KeystoreError, Passphrase};
