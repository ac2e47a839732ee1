//! Proofs that the state behind a root has an entry, or has none.
//!
//! A proof is the way from the root to the leaf at which the key's bits end. If that leaf is the key's, its
//! entry is shown; if it is another's, or the tree is empty, the key has no entry: in a crit-bit tree a key
//! that is present is found by following its own bits.

use grange_types::{StateRoot, Wire};
use serde::{Deserialize, Serialize};

use super::{EMPTY, Hash, is_set, leaf_hash, node_hash};
use crate::entry::{Entry, StateKey};

/// One inner node on the way down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The bit it decides by.
    pub bit: u8,
    /// The hash of the child that is not on the way.
    pub sibling: [u8; 32],
}

/// The way from the root to a leaf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateProof {
    /// The inner nodes, from the top.
    pub steps: Vec<Step>,
    /// Where the way ends if the key has no entry: another key's hash and its leaf's. None otherwise.
    pub other: Option<([u8; 32], [u8; 32])>,
}

impl Wire for StateProof {
    const NAME: &'static str = "state-proof";
    /// At most 256 steps of 33 bytes, and a leaf.
    const LIMIT: usize = 9 << 10;
}

/// Why a proof shows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// The entry belongs to another key.
    #[error("the entry belongs to another key")]
    OtherEntry,
    /// The way's bits do not rise, or its end is not where the key's bits lead.
    #[error("the proof's way is not one through a state tree")]
    Malformed,
    /// The way leads from another root.
    #[error("the proof leads from another root")]
    OtherRoot,
}

/// The name of a key in the tree.
pub(crate) fn key_hash(key: &StateKey) -> Hash {
    *blake3::hash(&key.encode()).as_bytes()
}

/// The name of an entry in the tree.
pub(crate) fn value_hash(entry: &Entry) -> Hash {
    *blake3::hash(&entry.encode()).as_bytes()
}

/// Checks that the state behind `root` has this entry at `key`, or none if `entry` is none. Needs no state:
/// it is what a light node asks before it believes a follower.
pub fn verify_proof(
    root: StateRoot,
    key: &StateKey,
    entry: Option<&Entry>,
    proof: &StateProof,
) -> Result<(), ProofError> {
    let key_name = key_hash(key);
    if proof.steps.windows(2).any(|pair| pair[0].bit >= pair[1].bit) {
        return Err(ProofError::Malformed);
    }
    let end = match (entry, proof.other) {
        (Some(entry), None) if entry.key() == *key => Some(leaf_hash(&key_name, &value_hash(entry))),
        (Some(_), None) => return Err(ProofError::OtherEntry),
        (None, Some((other, value))) if is_elsewhere(&key_name, &other, &proof.steps) => {
            Some(leaf_hash(&other, &value))
        }
        (None, None) if proof.steps.is_empty() => None,
        _ => return Err(ProofError::Malformed),
    };
    let mut hash = end.unwrap_or(EMPTY);
    for step in proof.steps.iter().rev() {
        let right = is_set(&key_name, step.bit);
        let (left, right) = if right { (step.sibling, hash) } else { (hash, step.sibling) };
        hash = node_hash(step.bit, &left, &right);
    }
    if hash == root.0 { Ok(()) } else { Err(ProofError::OtherRoot) }
}

/// Whether a leaf of another key can stand at the end of this key's way: they agree in every bit decided by.
fn is_elsewhere(key: &Hash, other: &Hash, steps: &[Step]) -> bool {
    key != other && steps.iter().all(|step| is_set(key, step.bit) == is_set(other, step.bit))
}
