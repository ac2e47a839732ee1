//! What writers, successors and keepers say to each other.

use std::collections::{BTreeMap, BTreeSet};

use grange_types::{DeploymentId, PeerId, Record, Wire, limits};
use serde::{Deserialize, Serialize};

/// The contents of one request or answer, all together. A single write takes at most this much, so that it is one entry.
pub const PAYLOAD_BYTES: usize = limits::KEEP_PAYLOAD_BYTES;

/// Which log: a replica of a service of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogId {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The service.
    pub service: String,
    /// Which replica of it.
    pub replica: u32,
}

/// A position in a log: the entry's number, and the generation that wrote it. Ordered as they follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Mark {
    /// The generation of the writer.
    pub generation: u64,
    /// The number of the entry; 0 is before the first.
    pub sequence: u64,
}

/// The keepers that count from an entry on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The entry that says so.
    pub at: Mark,
    /// The keepers.
    pub keepers: BTreeSet<PeerId>,
    /// Those that counted before; while this view is being brought about, only those in both count.
    pub before: BTreeSet<PeerId>,
    /// Keepers of an earlier generation that this one went on without: what only they had is missing.
    pub without: BTreeSet<PeerId>,
}

impl Record for View {
    const NAME: &'static str = "view";
    // Three lists of at most 16 keepers, and the mark.
    const LIMIT: usize = 4 << 10;
}

/// What a keeper has promised a generation: to accept nothing older.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promise {
    /// The generation.
    pub generation: u64,
    /// The keepers that it may use.
    pub keepers: BTreeSet<PeerId>,
}

/// How a keeper stands to a log. Kept on its disk beside the contents, and told to who seals it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Promises to generations above that of the mark, by generation.
    pub promises: BTreeMap<u64, BTreeSet<PeerId>>,
    /// How far it holds the log.
    pub mark: Mark,
    /// The newest view in it.
    pub view: Option<View>,
}

impl Standing {
    /// The highest generation that it knows of: everything below is refused.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.promises.keys().next_back().map_or(self.mark.generation, |promised| (*promised).max(self.mark.generation))
    }
}

impl Standing {
    /// Who keeps a generation that this node writes: those that its own keeper promised it when it was first started,
    /// else those that are chosen now. Until a generation has its first entry, only promises tell its successor whom it
    /// could have written to, and those who hold the first promise know of no others.
    #[must_use]
    pub fn keepers_of(&self, generation: u64, chosen: BTreeSet<PeerId>) -> BTreeSet<PeerId> {
        self.promises.get(&generation).filter(|first| !first.is_empty()).cloned().unwrap_or(chosen)
    }

    /// Tells of a view of another generation as well, if it is newer. The view that belongs to the mark stays: beside it the
    /// other one is told like a promise, which asks for the same keepers.
    pub fn mention(&mut self, view: Option<View>) {
        let Some(view) = view.filter(|view| self.view.as_ref().is_none_or(|ours| ours.at < view.at)) else { return };
        if self.mark == Mark::default() {
            self.view = Some(view);
        } else if view.at.generation > self.mark.generation {
            self.promises.insert(view.at.generation, view.keepers);
        }
    }
}

impl Record for Standing {
    const NAME: &'static str = "standing";
    // Thirty-two promises of at most 64 keepers each, and a view.
    const LIMIT: usize = 96 << 10;
}

/// A content by its number; none once it is deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The number of its key.
    pub number: u64,
    /// What it is now.
    pub content: Option<Vec<u8>>,
}

/// A content and its number.
pub type Content = (u64, Vec<u8>);

/// One entry of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Entry {
    /// What it changes.
    pub changes: Vec<Change>,
    /// The view that begins here, if one does.
    pub view: Option<View>,
}

impl Entry {
    /// Bytes of contents, and some for what stands around each.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let content = |change: &Change| change.content.as_ref().map_or(0, Vec::len) + 16;
        self.changes.iter().map(content).sum::<usize>() + if self.view.is_some() { 512 } else { 16 }
    }
}

/// What a keeper is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeepRequest {
    /// Accept nothing older than this generation from now on, and say how you stand.
    Seal {
        /// The log.
        log: LogId,
        /// What is promised.
        promise: Promise,
    },
    /// Add entries to what you hold up to a mark.
    Write {
        /// The log.
        log: LogId,
        /// The writer's generation.
        generation: u64,
        /// What you hold.
        after: Mark,
        /// The entries that follow it.
        entries: Vec<Entry>,
    },
    /// Put a page of a whole copy aside; with the last, it becomes what you hold.
    Copy {
        /// The log.
        log: LogId,
        /// The writer's generation.
        generation: u64,
        /// How far the copy reaches.
        to: Mark,
        /// The newest view in it.
        view: View,
        /// Which page, from 0.
        page: u32,
        /// The page, by number.
        contents: Vec<Content>,
        /// With the last page: the hash over all contents.
        whole: Option<[u8; 32]>,
    },
    /// Give a page of what you hold at this mark.
    Read {
        /// The log.
        log: LogId,
        /// The reader's generation.
        generation: u64,
        /// What is wanted.
        mark: Mark,
        /// Contents with higher numbers than this.
        after: u64,
    },
}

impl KeepRequest {
    /// The log that is meant.
    #[must_use]
    pub const fn log(&self) -> &LogId {
        match self {
            Self::Seal { log, .. } | Self::Write { log, .. } | Self::Copy { log, .. } | Self::Read { log, .. } => log,
        }
    }

    /// For which generation the asker speaks.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        match self {
            Self::Seal { promise, .. } => promise.generation,
            Self::Write { generation, .. } | Self::Copy { generation, .. } | Self::Read { generation, .. } => {
                *generation
            }
        }
    }
}

impl Wire for KeepRequest {
    const NAME: &'static str = "keep-request";
    const LIMIT: usize = limits::KEEP_BYTES;
}

/// What a keeper answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeepReply {
    /// How it stands; from now on it refuses what is older than the promise.
    Sealed(Standing),
    /// It holds the log up to here, durably.
    Stored(Mark),
    /// The page is put aside.
    Aside,
    /// A page of contents, by number.
    Page {
        /// The page.
        contents: Vec<Content>,
        /// With the last page: the hash over all contents.
        whole: Option<[u8; 32]>,
    },
    /// No.
    Refused(Refusal),
}

impl Wire for KeepReply {
    const NAME: &'static str = "keep-reply";
    const LIMIT: usize = limits::KEEP_BYTES;
}

/// Why a keeper refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// It has promised a newer generation.
    Fenced {
        /// Which.
        generation: u64,
    },
    /// It holds the log up to another mark.
    Elsewhere(Mark),
    /// The slot has no room for it.
    Full,
    /// By its ledger the asker does not hold the slot's lease of this generation.
    Denied,
    /// Its disk failed.
    Failed,
}
