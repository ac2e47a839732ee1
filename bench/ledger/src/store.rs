//! A node's disk, as far as others read it: the very files of a node.

use std::path::Path;

use grange_disk::{Chain, Snapshots, Turns};
use grange_peer::Archive;
use grange_types::Height;

use crate::Fault;

/// Chain, turns and snapshots in a folder.
pub(crate) struct Store {
    pub(crate) chain: Chain,
    pub(crate) turns: Turns,
    pub(crate) snapshots: Snapshots,
}

impl Store {
    pub(crate) fn open(folder: &Path) -> Result<Self, Fault> {
        std::fs::create_dir_all(folder)?;
        let (chain, _) = Chain::open(&folder.join("chain"))?;
        let (turns, _) = Turns::open(&folder.join("turns"))?;
        Ok(Self { chain, turns, snapshots: Snapshots::open(&folder.join("snapshots"))? })
    }
}

impl Archive for Store {
    fn last(&self) -> Height {
        self.chain.last()
    }

    fn block(&self, height: Height) -> Option<(Vec<u8>, Vec<u8>)> {
        let stored = self.chain.read(height).ok().flatten()?;
        Some((stored.block, stored.certificate))
    }

    fn turn_above(&self, height: Height) -> Option<Vec<u8>> {
        self.turns.above(height).ok().flatten()
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
