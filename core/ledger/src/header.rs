//! A block's header shown to who does not have the block.
//!
//! A block's id is the BLAKE3 hash of its bytes, which is a tree over chunks of 1,024 bytes; the header stands at the
//! beginning of the first one. So the first chunk and the hashes of what stands beside the way from it to the root show
//! the header: about 1.7 KB of a block of a megabyte.

use blake3::hazmat::{ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root};
use grange_types::{BlockId, Wire};
use serde::{Deserialize, Serialize};

use crate::block::{Block, BlockHeader};

/// What one leaf of BLAKE3's tree covers.
const CHUNK: usize = blake3::CHUNK_LEN;
/// The way from a leaf to the root of the largest block.
const DEPTH: usize = (usize::BITS - (Block::LIMIT / CHUNK).leading_zeros()) as usize;

/// The header of one block, and what shows that the block's id covers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderProof {
    /// The header.
    pub header: BlockHeader,
    /// What follows it within the first 1,024 bytes.
    pub rest: Vec<u8>,
    /// The hashes beside the way, from the first chunk up to the root; none for a block of one chunk.
    pub beside: Vec<[u8; 32]>,
}

impl Wire for HeaderProof {
    const NAME: &'static str = "header-proof";
    /// A chunk, the hashes, and three lengths.
    const LIMIT: usize = CHUNK + 32 * DEPTH + 8;
}

/// Why a header is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the proof of a header has {first} bytes of the first chunk and {beside} hashes beside it, which is no block")]
pub struct HeaderProofError {
    /// How many bytes of the first chunk it has.
    pub first: usize,
    /// How many hashes.
    pub beside: usize,
}

impl HeaderProof {
    /// Shows the header of a block to who has the block's id.
    #[must_use]
    pub fn of(block: &Block) -> Self {
        let bytes = block.encode();
        let header = block.header.clone();
        let (mut end, mut beside) = (bytes.len(), Vec::new());
        while end > CHUNK {
            let left = left_subtree_len(end as u64) as usize;
            beside.push(subtree(left, &bytes[left..end]));
            end = left;
        }
        beside.reverse();
        let rest = bytes[header.encode().len().min(end)..end].to_vec();
        Self { header, rest, beside }
    }

    /// The id of the block whose header this is. A header that is not this block's leads to another id.
    pub fn id(&self) -> Result<BlockId, HeaderProofError> {
        let mut first = self.header.encode();
        first.extend_from_slice(&self.rest);
        let legal = if self.beside.is_empty() { first.len() <= CHUNK } else { first.len() == CHUNK };
        if !legal || self.beside.len() > DEPTH {
            return Err(HeaderProofError { first: first.len(), beside: self.beside.len() });
        }
        let Some((last, lower)) = self.beside.split_last() else {
            return Ok(BlockId(*blake3::hash(&first).as_bytes()));
        };
        let way = subtree(0, &first);
        let way = lower.iter().fold(way, |way, beside| merge_subtrees_non_root(&way, beside, Mode::Hash));
        Ok(BlockId(*merge_subtrees_root(&way, last, Mode::Hash).as_bytes()))
    }
}

/// The hash of a part of the tree that is not the whole: `bytes` stand `offset` bytes after the beginning.
fn subtree(offset: usize, bytes: &[u8]) -> ChainingValue {
    let mut hasher = blake3::Hasher::new();
    hasher.set_input_offset(offset as u64).update(bytes);
    hasher.finalize_non_root()
}
