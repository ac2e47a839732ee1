//! An authenticated map: a crit-bit tree over hashed keys whose root names its whole content.
//!
//! # Rules
//! - A leaf holds a 32-byte key hash and a 32-byte value hash. An inner node holds the number of the first bit
//!   at which the keys below it differ, and two children: left where that bit is 0, right where it is 1. Bit
//!   numbers rise on the way down. Such a tree is determined by its content alone, never by its history.
//! - leaf = BLAKE3 keyed "leaf" (key ‖ value); inner = BLAKE3 keyed with "node" and the bit (left ‖ right). Each
//!   takes 64 bytes, one compression. The root of nothing is 32 zero bytes.
//! - Setting and removing marks the path; [`Tree::root`] hashes marked nodes only, each once.
//! - Two arenas hold the nodes: 108 bytes for each entry, and no pointer.

mod arena;
mod proof;
#[cfg(test)]
mod tests;

use arena::Arena;
pub use proof::{ProofError, StateProof, Step, verify_proof};
pub(crate) use proof::{key_hash, value_hash};

/// A hash.
pub(crate) type Hash = [u8; 32];

/// The root of nothing.
pub(crate) const EMPTY: Hash = [0; 32];

/// The hash of a leaf.
pub(crate) fn leaf_hash(key: &Hash, value: &Hash) -> Hash {
    keyed(*b"grange state tree leaf..........", key, value)
}

/// The hash of an inner node.
pub(crate) fn node_hash(bit: u8, left: &Hash, right: &Hash) -> Hash {
    let mut domain = *b"grange state tree node..........";
    domain[31] = bit;
    keyed(domain, left, right)
}

fn keyed(domain: Hash, left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [0; 64];
    bytes[..32].copy_from_slice(left);
    bytes[32..].copy_from_slice(right);
    *blake3::keyed_hash(&domain, &bytes).as_bytes()
}

/// Whether bit number `bit` of a key is set, counted from the most significant.
pub(crate) fn is_set(key: &Hash, bit: u8) -> bool {
    key[usize::from(bit >> 3)] & (0x80 >> (bit & 7)) != 0
}

/// The first bit at which two keys differ.
fn first_difference(left: &Hash, right: &Hash) -> Option<u8> {
    let byte = (0..32).find(|byte| left[*byte] != right[*byte])?;
    let bit = byte * 8 + (left[byte] ^ right[byte]).leading_zeros() as usize;
    u8::try_from(bit).ok()
}

/// A leaf or an inner node: its place in its arena, leaves marked by the highest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Child(u32);

const LEAF: u32 = 1 << 31;

impl Child {
    const fn leaf(place: u32) -> Self {
        Self(place | LEAF)
    }

    const fn is_leaf(self) -> bool {
        self.0 & LEAF != 0
    }

    const fn place(self) -> u32 {
        self.0 & !LEAF
    }
}

/// What a walk needs of an inner node; its hash lies apart.
#[derive(Debug, Clone, Copy)]
struct Node {
    children: [Child; 2],
    bit: u8,
    /// Whether something below changed since the hash was computed.
    stale: bool,
}

/// An authenticated map from key hashes to value hashes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    top: Option<Child>,
    /// Key hashes, and apart from them value hashes.
    leaves: Arena<Hash, Hash>,
    /// Inner nodes, and apart from them their hashes.
    nodes: Arena<Node, Hash>,
}

impl Tree {
    /// How many entries there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Sets the value of a key.
    pub(crate) fn set(&mut self, key: &Hash, value: &Hash) {
        let Some(top) = self.top else {
            self.top = Some(Child::leaf(self.leaves.add(*key, *value)));
            return;
        };
        let near = self.nearest(top, key);
        let Some(bit) = first_difference(self.leaves.hot(near), key) else {
            if self.leaves.cold(near) != value {
                *self.leaves.cold_mut(near) = *value;
                self.mark(key, u16::MAX);
            }
            return;
        };
        self.mark(key, u16::from(bit));
        let fresh = Child::leaf(self.leaves.add(*key, *value));
        self.splice(bit, is_set(key, bit), fresh, key);
    }

    /// Removes a key, if it is there.
    pub(crate) fn remove(&mut self, key: &Hash) {
        let Some(top) = self.top else { return };
        let near = self.nearest(top, key);
        if self.leaves.hot(near) != key {
            return;
        }
        self.mark(key, u16::MAX);
        self.leaves.remove(near);
        // The leaf's parent goes too; its other child takes its place below the grandparent.
        let (mut grandparent, mut parent, mut here) = (None, None, top);
        while !here.is_leaf() {
            (grandparent, parent) = (parent, Some(here));
            here = self.step(here, key);
        }
        let Some(parent) = parent else {
            self.top = None;
            return;
        };
        let node = *self.nodes.hot(parent.place());
        let other = node.children[usize::from(!is_set(key, node.bit))];
        self.nodes.remove(parent.place());
        self.hang(grandparent, key, other);
    }

    /// The root, hashing what changed.
    pub(crate) fn root(&mut self) -> Hash {
        match self.top {
            Some(top) => self.refresh(top),
            None => EMPTY,
        }
    }

    /// The way from the top to where a key stands or would stand, and the key and value found there. The tree must be hashed ([`Tree::root`]).
    pub(crate) fn path(&self, key: &Hash) -> (Vec<Step>, Option<(Hash, Hash)>) {
        let mut steps = Vec::new();
        let Some(mut here) = self.top else { return (steps, None) };
        while !here.is_leaf() {
            let node = self.nodes.hot(here.place());
            let right = usize::from(is_set(key, node.bit));
            steps.push(Step { bit: node.bit, sibling: self.hash_of(node.children[1 - right]) });
            here = node.children[right];
        }
        (steps, Some((*self.leaves.hot(here.place()), *self.leaves.cold(here.place()))))
    }

    fn hash_of(&self, child: Child) -> Hash {
        if child.is_leaf() {
            return leaf_hash(self.leaves.hot(child.place()), self.leaves.cold(child.place()));
        }
        *self.nodes.cold(child.place())
    }

    fn step(&self, from: Child, key: &Hash) -> Child {
        let node = self.nodes.hot(from.place());
        node.children[usize::from(is_set(key, node.bit))]
    }

    /// The leaf that a walk by the key's bits ends at: it shares the longest prefix with the key.
    fn nearest(&self, top: Child, key: &Hash) -> u32 {
        let mut here = top;
        while !here.is_leaf() {
            here = self.step(here, key);
        }
        here.place()
    }

    /// Marks the inner nodes on the key's way whose bit is below `until`.
    fn mark(&mut self, key: &Hash, until: u16) {
        let Some(mut here) = self.top else { return };
        while !here.is_leaf() {
            let node = self.nodes.hot_mut(here.place());
            if u16::from(node.bit) >= until {
                return;
            }
            node.stale = true;
            here = node.children[usize::from(is_set(key, node.bit))];
        }
    }

    /// Puts a new inner node with this bit on the key's way, above everything with a higher bit.
    fn splice(&mut self, bit: u8, right: bool, fresh: Child, key: &Hash) {
        let (mut parent, mut here) = (None, self.top);
        while let Some(child) = here.filter(|child| !child.is_leaf()) {
            if self.nodes.hot(child.place()).bit > bit {
                break;
            }
            parent = Some(child);
            here = Some(self.step(child, key));
        }
        let Some(rest) = here else { return };
        let children = if right { [rest, fresh] } else { [fresh, rest] };
        let node = Child(self.nodes.add(Node { children, bit, stale: true }, EMPTY));
        self.hang(parent, key, node);
    }

    /// Makes a child the one on the key's way below a parent, or the top.
    fn hang(&mut self, parent: Option<Child>, key: &Hash, child: Child) {
        match parent {
            Some(parent) => {
                let node = self.nodes.hot_mut(parent.place());
                node.children[usize::from(is_set(key, node.bit))] = child;
            }
            None => self.top = Some(child),
        }
    }

    /// The hash of a child, computed anew where marked. As deep as keys have bits, so at most 256 calls.
    fn refresh(&mut self, child: Child) -> Hash {
        if child.is_leaf() {
            return self.hash_of(child);
        }
        let node = *self.nodes.hot(child.place());
        if !node.stale {
            return *self.nodes.cold(child.place());
        }
        let (left, right) = (self.refresh(node.children[0]), self.refresh(node.children[1]));
        let hash = node_hash(node.bit, &left, &right);
        *self.nodes.cold_mut(child.place()) = hash;
        self.nodes.hot_mut(child.place()).stale = false;
        hash
    }
}
