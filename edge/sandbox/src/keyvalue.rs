//! Key-value stores on this node's disk: one for each generation of each slot.
//!
//! A store is `kv/<deployment>/<service>/<replica>/<generation>/store.redb`. A new generation begins empty, or,
//! when its host says that the one before served here, with a copy of that one's entries. Before it is copied
//! an old store is sealed for good, so that a replica which is late to stop cannot write what nobody would see.

mod content;
mod export;
mod lane;
mod outbox;
mod replicate;
mod store;
mod succeed;
mod table;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime};

use grange_objects::log::{LogId, View};
use grange_types::{ByteCount, DecodeError, DeploymentId, PeerId};

pub(crate) use content::Sealer;
pub use export::Export;
pub(crate) use lane::Write;
pub(crate) use replicate::{Replicated, Replication};
pub(crate) use store::Store;
pub(crate) use succeed::{Progress, Successor};

/// Why a key-value store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeyValueError {
    /// A key is empty or too long.
    #[error("a key of {length} bytes; keys have 1 to {} bytes", grange_types::limits::KEY_VALUE_KEY_BYTES)]
    KeyLength {
        /// Its length.
        length: usize,
    },
    /// A value is too long.
    #[error("a value of {length} bytes; values have at most {} bytes", grange_types::limits::KEY_VALUE_VALUE_BYTES)]
    ValueLength {
        /// Its length.
        length: usize,
    },
    /// The store is full.
    #[error("the store is full: {limit} are its limit")]
    Full {
        /// The limit, for keys and values together.
        limit: ByteCount,
    },
    /// A batch has too many keys.
    #[error("a batch of {length} keys; a batch has at most {limit}")]
    BatchLength {
        /// How many.
        length: usize,
        /// How many there may be.
        limit: usize,
    },
    /// The value to increment is no decimal number.
    #[error("the value is no decimal number below 2^64")]
    NotANumber,
    /// The sum would be too large.
    #[error("the sum is not below 2^64")]
    Overflow,
    /// A newer generation continues the data.
    #[error("generation {generation} continues this store")]
    Sealed {
        /// The newer generation.
        generation: u64,
    },
    /// The database failed.
    #[error("the database failed")]
    Database {
        /// How.
        source: Arc<redb::Error>,
    },
    /// No keeper has it: it is not acknowledged, and may still come about.
    #[error("keyvalue write: no second copy: {} did not take it within {} s", names(.keepers), .within.as_secs())]
    NoSecondCopy {
        /// Keepers that count and do not answer.
        keepers: Vec<PeerId>,
        /// How long it waited.
        within: Duration,
    },
    /// A write is too large to be sent to keepers in one piece.
    #[error("a write of {length} bytes; keys and values of one write have at most {limit} bytes together")]
    WriteLength {
        /// Its length.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// A content cannot be opened: it was altered, or sealed under another key.
    #[error("what a keeper holds under number {number} cannot be opened with the deployment's key")]
    Unreadable {
        /// Which.
        number: u64,
    },
    /// A copy is not what its hash says.
    #[error("the copy of keeper {} is not what its hash says", .keeper.short())]
    Digest {
        /// Whose.
        keeper: PeerId,
    },
    /// This generation has written before, and what it wrote is not on this disk.
    #[error("generation {generation} has written before, and its store is not on this disk; it must be placed anew")]
    Forgotten {
        /// The generation.
        generation: u64,
    },
    /// This node's own keeper could not make its promise durable.
    #[error("the keeper on this node cannot write its promise")]
    NoPromise,
    /// A record of the store cannot be read.
    #[error("a record of the store cannot be read")]
    Record {
        /// Why.
        source: DecodeError,
    },
    /// The thread that wrote ended without a word.
    #[error("the write was interrupted")]
    Interrupted,
    /// A folder or file of the store cannot be used.
    #[error("cannot use {}", .path.display())]
    Files {
        /// The path.
        path: PathBuf,
        /// Why.
        source: Arc<io::Error>,
    },
}

impl<E: Into<redb::Error>> From<E> for KeyValueError {
    fn from(error: E) -> Self {
        Self::Database { source: Arc::new(error.into()) }
    }
}

/// Keepers for a sentence.
fn names(keepers: &[PeerId]) -> String {
    keepers.iter().map(PeerId::short).collect::<Vec<_>>().join(", ")
}

fn files_error(path: &Path) -> impl FnOnce(io::Error) -> KeyValueError {
    let path = path.to_owned();
    move |source| KeyValueError::Files { path, source: Arc::new(source) }
}

/// Which store: a slot's generation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StoreName {
    pub(crate) deployment: DeploymentId,
    pub(crate) service: String,
    pub(crate) replica: u32,
    pub(crate) generation: u64,
}

impl StoreName {
    /// The log of this store and of those of other generations.
    pub(crate) fn log(&self) -> LogId {
        LogId { deployment: self.deployment, service: self.service.clone(), replica: self.replica }
    }

    fn folder(&self, root: &Path) -> PathBuf {
        root.join(self.deployment.to_string())
            .join(&self.service)
            .join(self.replica.to_string())
            .join(self.generation.to_string())
    }

    fn file(&self, root: &Path) -> PathBuf {
        self.folder(root).join("store.redb")
    }
}

/// All stores of this node. A store is open at most once, however many use it.
#[derive(Debug)]
pub(crate) struct Stores {
    root: PathBuf,
    open: Mutex<OpenStores>,
}

type OpenStores = BTreeMap<StoreName, Weak<Store>>;

impl Stores {
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        Ok(Self { root, open: Mutex::default() })
    }

    /// Opens a store to write up to a limit, making it if there is none. Blocks.
    pub(crate) fn store(&self, name: &StoreName, limit: ByteCount) -> Result<Arc<Store>, KeyValueError> {
        let store = self.open_locked(&mut self.lock(), name)?;
        store.set_limit(limit);
        Ok(store)
    }

    /// Opens a store to read. Blocks.
    pub(crate) fn reading(&self, name: &StoreName) -> Result<Arc<Store>, KeyValueError> {
        self.open_locked(&mut self.lock(), name)
    }

    fn lock(&self) -> MutexGuard<'_, OpenStores> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open_locked(&self, open: &mut OpenStores, name: &StoreName) -> Result<Arc<Store>, KeyValueError> {
        if let Some(store) = open.get(name).and_then(Weak::upgrade) {
            return Ok(store);
        }
        open.retain(|_, store| store.strong_count() > 0);
        let folder = name.folder(&self.root);
        std::fs::create_dir_all(&folder).map_err(files_error(&folder))?;
        let store = Arc::new(Store::open(&name.file(&self.root), name.generation)?);
        open.insert(name.clone(), Arc::downgrade(&store));
        Ok(store)
    }

    /// The newest generation of a slot below this one that has a store here.
    pub(crate) fn earlier(&self, name: &StoreName) -> Result<Option<StoreName>, KeyValueError> {
        let mut names = self.names(name.deployment, Some(&name.service))?;
        names.retain(|found| found.replica == name.replica && found.generation < name.generation);
        Ok(names.pop())
    }

    /// The newest view in a store that an earlier generation of a log wrote here.
    pub(crate) fn last_view(&self, log: &LogId, generation: u64) -> Option<View> {
        let LogId { deployment, service, replica } = log.clone();
        let earlier = self.earlier(&StoreName { deployment, service, replica, generation });
        let store = earlier.ok().flatten().and_then(|name| self.reading(&name).ok())?;
        store.standing().ok()?.view
    }

    /// A place for a store that comes into being elsewhere, made anew.
    pub(crate) fn partial(&self, name: &StoreName) -> Result<PathBuf, KeyValueError> {
        let folder = name.folder(&self.root);
        std::fs::create_dir_all(&folder).map_err(files_error(&folder))?;
        let partial = folder.join("store.partial");
        let _ = std::fs::remove_file(&partial);
        Ok(partial)
    }

    /// Makes what came into being there the store of this name.
    pub(crate) fn complete(&self, name: &StoreName, partial: &Path) -> Result<(), KeyValueError> {
        std::fs::rename(partial, name.file(&self.root)).map_err(files_error(partial))?;
        sync_folder(&name.folder(&self.root))
    }

    /// Removes a store that was never begun.
    pub(crate) fn discard(&self, name: &StoreName) -> Result<(), KeyValueError> {
        let file = name.file(&self.root);
        std::fs::remove_file(&file).map_err(files_error(&file))
    }

    /// Whether there is a store of that name.
    pub(crate) fn has(&self, name: &StoreName) -> bool {
        name.file(&self.root).exists()
    }

    /// Continues the data of an older generation of the same slot: seals its store and copies it. Does nothing if
    /// this generation already has a store, or the older one has none. Blocks.
    pub(crate) fn adopt(&self, name: &StoreName, previous: u64) -> Result<(), KeyValueError> {
        let older = StoreName { generation: previous, ..name.clone() };
        if previous >= name.generation || self.has(name) || !self.has(&older) {
            return Ok(());
        }
        // Held to the end, so that nobody opens the new store before it is whole.
        let mut open = self.lock();
        let source = self.open_locked(&mut open, &older)?;
        source.seal(name.generation)?;
        // Under another name until it is whole: a crash in between begins again.
        let partial = self.partial(name)?;
        source.copy_to(&partial)?;
        self.complete(name, &partial)
    }

    /// Removes the stores of deployments that are not known and that nobody has written since. Gives how many.
    pub(crate) fn retain(
        &self,
        known: impl Fn(DeploymentId) -> bool,
        since: SystemTime,
    ) -> Result<usize, KeyValueError> {
        let mut count = 0;
        for child in children(&self.root)? {
            // Only what is named like a deployment is ours to remove.
            let Ok(deployment) = child.parse::<DeploymentId>() else { continue };
            let folder = self.root.join(child);
            // Held to the end, so that nobody opens what goes.
            let open = self.lock();
            let used = open.iter().any(|(name, store)| name.deployment == deployment && store.strong_count() > 0);
            if used || known(deployment) || newest(&folder)?.is_none_or(|newest| newest >= since) {
                continue;
            }
            std::fs::remove_dir_all(&folder).map_err(files_error(&folder))?;
            count += 1;
        }
        Ok(count)
    }

    /// The stores of a deployment, or of one service of it, by service, replica and generation.
    fn names(&self, deployment: DeploymentId, service: Option<&str>) -> Result<Vec<StoreName>, KeyValueError> {
        let root = self.root.join(deployment.to_string());
        let mut names = Vec::new();
        for found in children(&root)?.into_iter().filter(|found| service.is_none_or(|service| service == found)) {
            for replica in numbers(&root.join(&found))? {
                for generation in numbers(&root.join(&found).join(replica.to_string()))? {
                    let Ok(replica) = u32::try_from(replica) else { continue };
                    let name = StoreName { deployment, service: found.clone(), replica, generation };
                    names.extend(self.has(&name).then_some(name));
                }
            }
        }
        names.sort();
        Ok(names)
    }
}

fn sync_folder(folder: &Path) -> Result<(), KeyValueError> {
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(files_error(folder))
}

/// The names in a folder; none if it is not there.
fn children(folder: &Path) -> Result<Vec<String>, KeyValueError> {
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(files_error(folder))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(files_error(folder))?.file_name().into_string().ok());
    }
    Ok(names)
}

/// When anything in a folder was last written.
fn newest(folder: &Path) -> Result<Option<SystemTime>, KeyValueError> {
    let mut newest = None;
    for entry in std::fs::read_dir(folder).map_err(files_error(folder))? {
        let entry = entry.map_err(files_error(folder))?;
        let path = entry.path();
        let found = entry.metadata().map_err(files_error(&path))?;
        let inside = if found.is_dir() { self::newest(&path)? } else { None };
        newest = newest.max(inside).max(found.modified().ok());
    }
    Ok(newest)
}

fn numbers(folder: &Path) -> Result<Vec<u64>, KeyValueError> {
    Ok(children(folder)?.iter().filter_map(|name| name.parse().ok()).collect())
}

#[cfg(test)]
mod tests;
