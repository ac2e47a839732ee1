//! The node's disk: opens what there is, and carries out the actions that must be durable.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grange_disk::{Blobs, Chain, DiskError, Page, Snapshots, Tail, Turns, Wal};
use grange_peer::{Archive, Recovery, ledger_pieces};
use grange_sandbox::BlobSource;
use grange_types::{BlobId, Height};

use crate::settings::Folder;

/// Everything a node keeps.
pub(crate) struct Storage {
    wal: Wal,
    chain: Arc<Mutex<Chain>>,
    turns: Arc<Mutex<Turns>>,
    snapshots: Arc<Snapshots>,
    /// What was seen of others.
    evidence: Page,
    pub(crate) blobs: Arc<Blobs>,
}

impl Storage {
    /// Opens the folder; gives what a peer starts from.
    pub(crate) fn open(folder: &Folder) -> Result<(Self, Recovery), DiskError> {
        let (wal, logged) = Wal::open(&folder.at("wal"))?;
        report("wal", logged.tail);
        if logged.damaged {
            tracing::error!(silent_below = logged.height.0, "wal.damaged");
        }
        let (mut chain, tail) = Chain::open(&folder.at("chain"))?;
        report("chain", tail);
        let snapshots = Snapshots::open(&folder.at("snapshots"))?;
        let mut snapshot = Vec::new();
        let mut from = Height::GENESIS;
        for height in snapshots.heights()? {
            if let Some(state) = snapshots.read(height)? {
                (snapshot, from) = (state, height);
                break;
            }
            tracing::warn!(height = height.0, "snapshot.damaged");
        }
        let mut blocks = Vec::new();
        for height in from.0 + 1..=chain.last().0 {
            match chain.read(Height(height))? {
                Some(stored) => blocks.push(stored.block),
                // Peers have it; sync fetches it and what follows.
                None => break,
            }
        }
        let recovered = Height(from.0 + blocks.len() as u64);
        if recovered != chain.last() {
            tracing::warn!(from = chain.last().0, to = recovered.0, "chain.cut");
            chain.end_at(recovered)?;
        }
        let (turns, tail) = Turns::open(&folder.at("turns"))?;
        report("turns", tail);
        let blobs = Arc::new(Blobs::open(&folder.at("blobs"))?);
        let first = chain.first();
        let (chain, turns) = (Arc::new(Mutex::new(chain)), Arc::new(Mutex::new(turns)));
        let trust = Page::at(&folder.at("trust"));
        let evidence = trust.read()?.unwrap_or_default();
        let storage = Self { wal, chain, turns, snapshots: Arc::new(snapshots), evidence: trust, blobs };
        let (wal_height, wal) = (logged.height, logged.entries);
        Ok((storage, Recovery { snapshot, blocks, first, wal_height, wal, evidence }))
    }

    pub(crate) fn wal_append(&mut self, entry: &[u8]) -> Result<(), DiskError> {
        self.wal.append(entry)
    }

    pub(crate) fn wal_flush(&mut self) -> Result<(), DiskError> {
        self.wal.flush()
    }

    pub(crate) fn wal_reset(&mut self, height: Height) -> Result<(), DiskError> {
        self.wal.reset(height)
    }

    pub(crate) fn commit(&self, height: Height, block: &[u8], certificate: &[u8]) -> Result<(), DiskError> {
        locked(&self.chain).append(height, block, certificate)
    }

    pub(crate) fn turn(&self, height: Height, turn: &[u8]) -> Result<(), DiskError> {
        locked(&self.turns).append(height, turn)
    }

    /// Begins anew behind a snapshot of a peer's.
    pub(crate) fn install(&self, height: Height, state: &[Vec<u8>]) -> Result<(), DiskError> {
        self.snapshots.write(height, state)?;
        locked(&self.chain).end_at(height)
    }

    pub(crate) fn prune(&self, first: Height) -> Result<(), DiskError> {
        locked(&self.chain).begin_at(first)
    }

    pub(crate) fn snapshot(&self, height: Height, state: &[Vec<u8>]) -> Result<(), DiskError> {
        self.snapshots.write(height, state)
    }

    pub(crate) fn evidence(&self, book: &[u8]) -> Result<(), DiskError> {
        self.evidence.write(book)
    }

    /// The chain and the snapshots, to be read beside the node's own work.
    pub(crate) fn archive(&self) -> Stored {
        let (chain, turns) = (Arc::clone(&self.chain), Arc::clone(&self.turns));
        Stored { chain, turns, snapshots: Arc::clone(&self.snapshots) }
    }
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What peers and auditors read. Everything here blocks.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    chain: Arc<Mutex<Chain>>,
    turns: Arc<Mutex<Turns>>,
    snapshots: Arc<Snapshots>,
}

impl Archive for Stored {
    fn last(&self) -> Height {
        locked(&self.chain).last()
    }

    fn block(&self, height: Height) -> Option<(Vec<u8>, Vec<u8>)> {
        let stored = locked(&self.chain).read(height).ok().flatten()?;
        Some((stored.block, stored.certificate))
    }

    fn turn_above(&self, height: Height) -> Option<Vec<u8>> {
        locked(&self.turns).above(height).ok().flatten()
    }

    fn snapshots(&self) -> Vec<Height> {
        self.snapshots.heights().unwrap_or_default()
    }

    fn pieces(&self, height: Height) -> Option<u32> {
        self.snapshots.pieces(height).ok().flatten()
    }

    fn piece(&self, height: Height, index: u32) -> Option<Vec<u8>> {
        self.snapshots.piece(height, index).ok().flatten()
    }
}

/// A snapshot of the ledger, without what else the node keeps in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StoredSnapshot {
    /// The height of the last block before it.
    pub(crate) height: Height,
    /// The ledger's pieces, in order.
    pub(crate) pieces: Vec<Vec<u8>>,
}

impl Stored {
    /// The heights of the first and the last block there are.
    pub(crate) fn ends(&self) -> (Height, Height) {
        let chain = locked(&self.chain);
        (chain.first(), chain.last())
    }

    /// A page of blocks from a height on, each with its certificate; empty where the first of them cannot be read.
    pub(crate) fn page(&self, from: Height) -> Vec<(Vec<u8>, Vec<u8>)> {
        grange_peer::page(self, from).blocks
    }

    /// The newest readable snapshot at or below a height, `None` when there is none.
    pub(crate) fn snapshot(&self, at: Height) -> Result<Option<StoredSnapshot>, DiskError> {
        for height in self.snapshots.heights()?.into_iter().filter(|height| *height <= at) {
            if let Some(snapshot) = self.snapshots.read(height)? {
                return Ok(Some(StoredSnapshot { height, pieces: ledger_pieces(snapshot) }));
            }
        }
        Ok(None)
    }
}

fn report(file: &'static str, tail: Tail) {
    if let Tail::Torn(bytes) = tail {
        tracing::warn!(file, bytes, "disk.torn_tail_cut");
    }
}

/// Blobs as the sandbox sees them.
pub(crate) struct LocalBlobs(pub(crate) Arc<Blobs>);

impl BlobSource for LocalBlobs {
    fn path(&self, blob: &BlobId) -> Option<PathBuf> {
        self.0.has(*blob).then(|| self.0.path(*blob))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three blocks of so many bytes are more than a message holds.
    const HALF_PAGE: usize = grange_types::limits::MESSAGE_BYTES / 2 - (16 << 10);

    fn archive(folder: &std::path::Path) -> (Storage, Stored) {
        let (storage, _) = Storage::open(&Folder(folder.to_path_buf())).unwrap();
        let archive = storage.archive();
        (storage, archive)
    }

    #[test]
    fn an_auditor_reads_pages_of_blocks_that_end_with_the_chain() {
        let folder = tempfile::tempdir().unwrap();
        let (storage, archive) = archive(folder.path());
        assert_eq!(archive.page(Height(1)), []);
        // Three of these are more than a page.
        for height in 1..=5 {
            storage.commit(Height(height), &vec![height as u8; HALF_PAGE], b"certificate").unwrap();
        }
        assert_eq!(archive.ends(), (Height(1), Height(5)));
        let (mut next, mut pages) = (1, 0);
        while next <= 5 {
            let page = archive.page(Height(next));
            for (block, certificate) in &page {
                assert_eq!((block[0], &certificate[..]), (next as u8, &b"certificate"[..]));
                next += 1;
            }
            pages += 1;
        }
        assert_eq!(pages, 3);
        assert_eq!(archive.page(Height(6)), []);
    }

    #[test]
    fn an_auditor_gets_the_newest_snapshot_below_without_the_nodes_own_history() {
        let folder = tempfile::tempdir().unwrap();
        let (storage, archive) = archive(folder.path());
        assert_eq!(archive.snapshot(Height(9)).unwrap(), None);
        for height in [4, 8] {
            storage.snapshot(Height(height), &[vec![height as u8], b"history".to_vec()]).unwrap();
        }
        let found = |at| archive.snapshot(Height(at)).unwrap();
        assert_eq!(found(3), None);
        let snapshot = |height| Some(StoredSnapshot { height: Height(height), pieces: vec![vec![height as u8]] });
        assert_eq!((found(7), found(u64::MAX)), (snapshot(4), snapshot(8)));
        let path = folder.path().join("snapshots/8.snapshot");
        std::fs::write(path, b"damaged").unwrap();
        assert_eq!(found(8), snapshot(4), "a damaged one is passed over");
    }
}
