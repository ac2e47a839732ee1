//! The node's disk: opens what there is, and carries out the actions that must be durable.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use grange_disk::{Blobs, Chain, DiskError, Snapshots, Tail, Wal};
use grange_peer::{Recovery, SyncReply};
use grange_sandbox::BlobSource;
use grange_types::{BlobId, Height, limits};

use crate::settings::Folder;

/// Blocks are handed out in pages that fit one message with room for its frame.
const PAGE_BYTES: usize = limits::MESSAGE_BYTES - (16 << 10);

/// Everything a node keeps.
pub(crate) struct Storage {
    wal: Wal,
    chain: Arc<Mutex<Chain>>,
    snapshots: Snapshots,
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
        let blobs = Arc::new(Blobs::open(&folder.at("blobs"))?);
        let storage = Self { wal, chain: Arc::new(Mutex::new(chain)), snapshots, blobs };
        Ok((storage, Recovery { snapshot, blocks, wal_height: logged.height, wal: logged.entries }))
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
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).append(height, block, certificate)
    }

    pub(crate) fn snapshot(&self, height: Height, state: &[Vec<u8>]) -> Result<(), DiskError> {
        self.snapshots.write(height, state)
    }

    /// The chain, to hand out blocks from another thread.
    pub(crate) fn chain(&self) -> Arc<Mutex<Chain>> {
        Arc::clone(&self.chain)
    }
}

/// A page of blocks from a height on.
pub(crate) fn page(chain: &Mutex<Chain>, from: Height) -> SyncReply {
    let chain = chain.lock().unwrap_or_else(PoisonError::into_inner);
    let mut blocks = Vec::new();
    let mut bytes = 0;
    for height in from.0..=chain.last().0 {
        let Ok(Some(stored)) = chain.read(Height(height)) else { break };
        bytes += stored.block.len() + stored.certificate.len() + 16;
        if bytes > PAGE_BYTES && !blocks.is_empty() {
            break;
        }
        blocks.push((stored.block, stored.certificate));
    }
    SyncReply { blocks }
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
