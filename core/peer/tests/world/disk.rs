//! A disk in memory that keeps everything it was given.

use std::collections::BTreeMap;

use grange_peer::{Action, Archive, Recovery};
use grange_types::{BlobId, DeploymentId, Height, SealKey};

#[derive(Default)]
pub(crate) struct Disk {
    snapshot: Vec<Vec<u8>>,
    snapshot_height: u64,
    pub(crate) blocks: BTreeMap<u64, (Vec<u8>, Vec<u8>)>,
    turns: BTreeMap<u64, Vec<u8>>,
    wal_height: Height,
    pub(crate) wal: Vec<Vec<u8>>,
    pub(crate) flushed: usize,
    pub(crate) blobs: BTreeMap<BlobId, Vec<u8>>,
    pub(crate) keys: BTreeMap<DeploymentId, SealKey>,
    evidence: Vec<u8>,
    /// How often a snapshot of another's took the place of what was here.
    pub(crate) installed: usize,
}

impl Disk {
    /// Carries out what concerns the ledger.
    pub(crate) fn write(&mut self, action: Action) {
        match action {
            Action::WalAppend(entry) => self.wal.push(entry),
            Action::WalFlush => self.flushed = self.wal.len(),
            Action::WalReset(height) => {
                self.wal.clear();
                (self.wal_height, self.flushed) = (height, 0);
            }
            Action::Turn { height, turn } => drop(self.turns.insert(height.0, turn)),
            Action::Commit { height, block, certificate } => {
                self.blocks.insert(height.0, (block, certificate));
            }
            Action::Snapshot { height, state } => (self.snapshot_height, self.snapshot) = (height.0, state),
            Action::Install { height, state } => {
                (self.snapshot_height, self.snapshot) = (height.0, state);
                self.blocks.clear();
                self.installed += 1;
            }
            Action::Evidence(bytes) => self.evidence = bytes,
            Action::Prune { first } => self.blocks = self.blocks.split_off(&first.0),
            other => unreachable!("{other:?} does not concern the ledger"),
        }
    }

    /// What a peer starts from.
    pub(crate) fn recovery(&self) -> Recovery {
        let behind = self.blocks.range(self.snapshot_height + 1..);
        let first = self.blocks.first_key_value().map_or(self.snapshot_height + 1, |(first, _)| *first);
        Recovery {
            snapshot: self.snapshot.clone(),
            blocks: behind.map(|(_, (block, _))| block.clone()).collect(),
            first: Height(first),
            wal_height: self.wal_height,
            wal: self.wal.clone(),
            evidence: self.evidence.clone(),
        }
    }
}

impl Archive for Disk {
    fn last(&self) -> Height {
        Height(self.blocks.last_key_value().map_or(0, |(height, _)| *height))
    }

    fn block(&self, height: Height) -> Option<(Vec<u8>, Vec<u8>)> {
        self.blocks.get(&height.0).cloned()
    }

    fn turn_above(&self, height: Height) -> Option<Vec<u8>> {
        self.turns.range(height.0 + 1..).next().map(|(_, turn)| turn.clone())
    }

    fn snapshots(&self) -> Vec<Height> {
        let there = !self.snapshot.is_empty();
        there.then_some(Height(self.snapshot_height)).into_iter().collect()
    }

    fn pieces(&self, height: Height) -> Option<u32> {
        (height.0 == self.snapshot_height).then_some(self.snapshot.len() as u32)
    }

    fn piece(&self, height: Height, index: u32) -> Option<Vec<u8>> {
        let here = (height.0 == self.snapshot_height).then_some(&self.snapshot)?;
        here.get(index as usize).cloned()
    }
}
