//! The chain: every decided block with the certificate that decided it, in one append-only file.

use std::path::Path;

use grange_types::{Height, limits};

use crate::error::DiskError;
use crate::journal::{Journal, Tail};

/// A decided block and its certificate, as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredBlock {
    /// The block.
    pub block: Vec<u8>,
    /// The certificate.
    pub certificate: Vec<u8>,
}

/// The blocks from `first` on, without a gap. The index (one offset a block) is rebuilt when opening.
#[derive(Debug)]
pub struct Chain {
    journal: Journal,
    first: u64,
    offsets: Vec<u64>,
}

/// A record is {height u64 LE, length of the block u32 LE, block, certificate}.
const HEAD: usize = 12;

impl Chain {
    /// Opens the chain, cutting off a torn last block: it was never acknowledged.
    pub fn open(path: &Path) -> Result<(Self, Tail), DiskError> {
        let (mut first, mut offsets, mut consecutive) = (1, Vec::new(), true);
        let (journal, tail) = Journal::open(path, limits::MESSAGE_BYTES + HEAD, |offset, payload| {
            let height = payload.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
            if offsets.is_empty() {
                first = height;
            }
            consecutive &= height == first + offsets.len() as u64;
            offsets.push(offset);
        })?;
        if !consecutive {
            return Err(DiskError::Format { path: path.to_path_buf() });
        }
        Ok((Self { journal, first, offsets }, tail))
    }

    /// The height of the last block, or of the genesis.
    #[must_use]
    pub fn last(&self) -> Height {
        Height(self.first + self.offsets.len() as u64 - 1)
    }

    /// The height of the first block there is.
    #[must_use]
    pub fn first(&self) -> Height {
        Height(self.first)
    }

    /// Stores the block after the last one; durable when this returns.
    pub fn append(&mut self, height: Height, block: &[u8], certificate: &[u8]) -> Result<(), DiskError> {
        if self.offsets.is_empty() {
            self.first = height.0;
        } else if height != self.last().next() {
            return Err(DiskError::Gap { given: height.0, last: self.last().0 });
        }
        let mut payload = Vec::with_capacity(HEAD + block.len() + certificate.len());
        payload.extend_from_slice(&height.0.to_le_bytes());
        payload.extend_from_slice(&(block.len() as u32).to_le_bytes());
        payload.extend_from_slice(block);
        payload.extend_from_slice(certificate);
        let offset = self.journal.append(&payload)?;
        self.journal.flush()?;
        self.offsets.push(offset);
        Ok(())
    }

    /// Makes a height the last one, before the next block is stored. What is behind it goes; and all, where the block of that
    /// height is not here: a state that was read from a snapshot may be past a block that is damaged, and the chain then
    /// goes on behind the snapshot.
    pub fn end_at(&mut self, last: Height) -> Result<(), DiskError> {
        let kept = (last.0 + 1).checked_sub(self.first).and_then(|kept| usize::try_from(kept).ok());
        match kept.filter(|kept| *kept <= self.offsets.len()) {
            Some(kept) => {
                if let Some(offset) = self.offsets.get(kept) {
                    self.journal.cut(*offset)?;
                    self.offsets.truncate(kept);
                }
            }
            None => {
                self.journal.clear()?;
                self.journal.flush()?;
                self.offsets.clear();
            }
        }
        if self.offsets.is_empty() {
            self.first = last.0 + 1;
        }
        Ok(())
    }

    /// Makes a height the first one: what is before it goes, and with it the room it took. The blocks that stay are written
    /// into a file beside, which then takes the place of this one.
    pub fn begin_at(&mut self, first: Height) -> Result<(), DiskError> {
        let gone = first.0.saturating_sub(self.first);
        let Some(kept) = usize::try_from(gone).ok().and_then(|gone| self.offsets.get(gone..)) else { return Ok(()) };
        if gone == 0 || kept.is_empty() {
            return Ok(());
        }
        let path = self.journal.path().to_path_buf();
        let mut beside = Journal::replacing(&path, limits::MESSAGE_BYTES + HEAD)?;
        let mut offsets = Vec::with_capacity(kept.len());
        for offset in kept {
            // Damage among what stays is for the next start to find and for peers to mend; nothing is let go meanwhile.
            let Some(payload) = self.journal.read(*offset)? else { return Ok(()) };
            offsets.push(beside.append(&payload)?);
        }
        self.journal = beside.take_place(&path)?;
        (self.first, self.offsets) = (first.0, offsets);
        Ok(())
    }

    /// The block at a height, or `None` where there is none or its bytes no longer pass their checksum.
    pub fn read(&self, height: Height) -> Result<Option<StoredBlock>, DiskError> {
        let index = height.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let Some(offset) = index.and_then(|index| self.offsets.get(index)) else { return Ok(None) };
        let Some(payload) = self.journal.read(*offset)? else {
            tracing::error!(height = height.0, path = %self.journal.path().display(), "chain.checksum");
            return Ok(None);
        };
        Ok(split(&payload))
    }
}

fn split(payload: &[u8]) -> Option<StoredBlock> {
    let rest = payload.get(8..)?;
    let (length, rest) = rest.split_first_chunk()?;
    let (block, certificate) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    Some(StoredBlock { block: block.to_vec(), certificate: certificate.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_by_height_also_after_reopening() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chain");
        let (mut chain, _) = Chain::open(&path).unwrap();
        assert_eq!(chain.last(), Height(0));
        for height in 1..=3 {
            chain.append(Height(height), &[height as u8; 5], b"certificate").unwrap();
        }
        assert!(matches!(chain.append(Height(5), b"", b""), Err(DiskError::Gap { given: 5, last: 3 })));
        let (chain, tail) = Chain::open(&path).unwrap();
        assert_eq!((chain.first(), chain.last(), tail), (Height(1), Height(3), Tail::Clean));
        let stored = StoredBlock { block: vec![2; 5], certificate: b"certificate".to_vec() };
        assert_eq!(chain.read(Height(2)).unwrap(), Some(stored));
        assert_eq!(chain.read(Height(0)).unwrap(), None);
        assert_eq!(chain.read(Height(4)).unwrap(), None);
    }

    #[test]
    fn a_chain_may_begin_at_a_snapshot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chain");
        let (mut chain, _) = Chain::open(&path).unwrap();
        chain.append(Height(41), b"a", b"b").unwrap();
        let (chain, _) = Chain::open(&path).unwrap();
        assert_eq!((chain.first(), chain.last()), (Height(41), Height(41)));
    }

    #[test]
    fn a_pruned_chain_keeps_the_rest_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chain");
        let (mut chain, _) = Chain::open(&path).unwrap();
        for height in 1..=9 {
            chain.append(Height(height), &[height as u8; 50], b"").unwrap();
        }
        let before = std::fs::metadata(&path).unwrap().len();
        // What is not there cannot become the first.
        for (first, kept) in [(1, 1), (6, 6), (3, 6), (12, 6)] {
            chain.begin_at(Height(first)).unwrap();
            assert_eq!((chain.first(), chain.last()), (Height(kept), Height(9)));
        }
        assert!(std::fs::metadata(&path).unwrap().len() < before / 2);
        chain.append(Height(10), &[10; 50], b"").unwrap();
        let (chain, tail) = Chain::open(&path).unwrap();
        assert_eq!((chain.first(), chain.last(), tail), (Height(6), Height(10), Tail::Clean));
        assert_eq!(chain.read(Height(5)).unwrap(), None);
        for height in 6..=10 {
            assert_eq!(chain.read(Height(height)).unwrap().unwrap().block, [height as u8; 50]);
        }
    }

    #[test]
    fn a_chain_ends_where_the_state_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("chain");
        let (mut chain, _) = Chain::open(&path).unwrap();
        for height in 1..=5 {
            chain.append(Height(height), &[height as u8; 5], b"").unwrap();
        }
        for (last, first) in [(5, 1), (3, 1), (0, 1), (40, 41)] {
            chain.end_at(Height(last)).unwrap();
            assert_eq!((chain.last(), chain.first()), (Height(last), Height(first)));
            chain.append(Height(last + 1), b"next", b"").unwrap();
            chain = Chain::open(&path).unwrap().0;
            assert_eq!((chain.last(), chain.first()), (Height(last + 1), Height(first)));
            assert_eq!(chain.read(Height(last + 1)).unwrap().unwrap().block, b"next");
        }
        // Before what is here, as after a snapshot that is older than the chain's first block.
        chain.end_at(Height(7)).unwrap();
        assert_eq!((chain.last(), chain.read(Height(41)).unwrap()), (Height(7), None));
    }
}
