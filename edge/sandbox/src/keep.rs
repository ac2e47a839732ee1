//! Copies of others' key-values: what this node keeps as a keeper, and how a provider here reaches its own keepers.
//!
//! A copy is `keep/<deployment>/<service>/<replica>/copy.redb`: contents by number, sealed by whoever wrote them, and how the copy
//! stands to its log. A whole copy that comes in pages is put aside in `coming.redb` and takes the other's place when its
//! hash is right. Every answer that says that something is held or promised is given after it is on the disk.

mod copy;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use grange_objects::log::{Content, KeepReply, KeepRequest, LogId, Refusal, Standing, View};
use grange_types::{ByteCount, DeploymentId, PeerId};

use crate::wasm::check_service_name;
use copy::Copy;

/// Copies whose database is open at the same time, and not in use.
const OPEN: usize = 64;

/// How a provider reaches the keepers of what runs here.
pub trait KeeperLink: Send + Sync + fmt::Debug {
    /// Asks a keeper; nothing when it does not answer in time.
    fn ask(&self, keeper: PeerId, request: KeepRequest) -> BoxFuture<'_, Option<KeepReply>>;

    /// Is told which keepers count for a log from now on.
    fn counts(&self, log: &LogId, generation: u64, view: &View);
}

/// What is counted about second copies on this node, since its start.
#[derive(Debug, Default)]
pub struct KeepMetrics {
    /// Entries of logs that have a second copy.
    pub replicated: AtomicU64,
    /// How long they waited for it, all together, in microseconds.
    pub second_copy_micros: AtomicU64,
    /// Entries that wait for it now.
    pub waiting: AtomicU64,
}

/// A hash over contents in their order.
#[derive(Debug, Default)]
pub(crate) struct Digest(blake3::Hasher);

impl Digest {
    pub(crate) fn add(&mut self, contents: &[Content]) {
        for (number, content) in contents {
            self.one(*number, content);
        }
    }

    fn one(&mut self, number: u64, content: &[u8]) {
        self.0.update(&number.to_le_bytes()).update(&(content.len() as u64).to_le_bytes()).update(content);
    }

    pub(crate) fn finish(&self) -> [u8; 32] {
        *self.0.finalize().as_bytes()
    }
}

/// A keeper's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// What the asker is told.
    pub reply: KeepReply,
    /// The newest view of the log, if the request brought it one.
    pub view: Option<View>,
}

/// All copies on this node.
#[derive(Debug)]
pub(crate) struct Copies {
    root: PathBuf,
    open: Mutex<BTreeMap<LogId, Arc<Mutex<Copy>>>>,
}

impl Copies {
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        std::fs::create_dir_all(&root)?;
        Ok(Self { root, open: Mutex::default() })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Answers a request about a log whose contents may take so much. Blocks until what is answered is on the disk.
    pub(crate) fn answer(&self, request: &KeepRequest, limit: ByteCount) -> Kept {
        let answered = self.copy(request.log()).and_then(|copy| {
            let mut copy = copy.lock().unwrap_or_else(PoisonError::into_inner);
            copy.answer(request, limit)
        });
        answered.unwrap_or_else(|error| {
            tracing::warn!(error = &error as &dyn std::error::Error, "keep.failed");
            Kept { reply: KeepReply::Refused(Refusal::Failed), view: None }
        })
    }

    /// How this node's own keeper of a log stands. Reads a file.
    pub(crate) fn standing(&self, log: &LogId) -> Result<Standing, KeepError> {
        let copy = self.copy(log)?;
        let standing = copy.lock().unwrap_or_else(PoisonError::into_inner).standing();
        Ok(standing)
    }

    fn copy(&self, log: &LogId) -> Result<Arc<Mutex<Copy>>, KeepError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(copy) = open.get(log) {
            return Ok(Arc::clone(copy));
        }
        if open.len() >= OPEN {
            open.retain(|_, copy| Arc::strong_count(copy) > 1);
        }
        // The ledger takes any text as a service's name; only a plain one becomes a folder.
        check_service_name(&log.service).map_err(|_| KeepError::Service)?;
        let folder = self.root.join(log.deployment.to_string()).join(&log.service).join(log.replica.to_string());
        let copy = Arc::new(Mutex::new(Copy::open(folder)?));
        open.insert(log.clone(), Arc::clone(&copy));
        Ok(copy)
    }

    /// The view of each copy here, with its log; of those that have one.
    pub(crate) fn views(&self) -> Vec<(LogId, View)> {
        let mut found = Vec::new();
        for log in self.logs() {
            let Ok(copy) = self.copy(&log) else { continue };
            let view = copy.lock().unwrap_or_else(PoisonError::into_inner).view();
            found.extend(view.map(|view| (log, view)));
        }
        found
    }

    fn logs(&self) -> Vec<LogId> {
        let mut logs = Vec::new();
        for deployment in children(&self.root) {
            let Ok(id) = deployment.parse::<DeploymentId>() else { continue };
            let folder = self.root.join(&deployment);
            for service in children(&folder) {
                for replica in children(&folder.join(&service)).iter().filter_map(|name| name.parse().ok()) {
                    logs.push(LogId { deployment: id, service: service.clone(), replica });
                }
            }
        }
        logs
    }

    /// Removes the copies of deployments that are not known and that nobody has written since. Gives how many.
    pub(crate) fn retain(&self, known: impl Fn(DeploymentId) -> bool, since: SystemTime) -> io::Result<usize> {
        let mut count = 0;
        for child in children(&self.root) {
            let Ok(deployment) = child.parse::<DeploymentId>() else { continue };
            let folder = self.root.join(&child);
            // Held to the end, so that nobody opens what goes.
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if known(deployment) || newest(&folder).is_none_or(|newest| newest >= since) {
                continue;
            }
            open.retain(|log, _| log.deployment != deployment);
            std::fs::remove_dir_all(&folder)?;
            count += 1;
        }
        Ok(count)
    }
}

/// Why a copy cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeepError {
    #[error("the copy's database failed")]
    Database { source: redb::Error },
    #[error("cannot use {}", .path.display())]
    Files { path: PathBuf, source: io::Error },
    #[error("its service has a name that is no folder")]
    Service,
    #[error("how the copy stands cannot be read")]
    Standing { source: grange_types::DecodeError },
}

impl<E: Into<redb::Error>> From<E> for KeepError {
    fn from(error: E) -> Self {
        Self::Database { source: error.into() }
    }
}

/// The names in a folder; none if it cannot be read.
fn children(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// When anything in a folder was last written.
fn newest(folder: &Path) -> Option<SystemTime> {
    let entries = std::fs::read_dir(folder).ok()?.flatten();
    let of = |entry: std::fs::DirEntry| {
        let found = entry.metadata().ok()?;
        let inside = if found.is_dir() { newest(&entry.path()) } else { None };
        inside.max(found.modified().ok())
    };
    entries.filter_map(of).max()
}

#[cfg(test)]
mod tests;
