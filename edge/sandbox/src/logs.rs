//! What replicas wrote: one capped log per lease, numbered so that a reader can resume.
//!
//! A log is a folder `logs/<lease>/` of text files named by the number of their first line. A line is
//! `NUMBER TIME STREAM TEXT`, with the time in milliseconds since the Unix epoch. Numbers begin at 1 and have no
//! gaps; when the files together reach [`LOG_BYTES`](grange_types::limits::LOG_BYTES), the oldest goes.

mod file;
mod line;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use grange_types::{ByteCount, LeaseId};
use tokio::sync::watch;

use file::LogFile;
pub(crate) use line::LineWriter;
pub use line::{LogLine, LogStream};

/// Logs of leases that are kept; at the start the ones written longest ago are removed.
const LEASES: usize = 512;

/// All logs of this node.
#[derive(Debug)]
pub(crate) struct Logs {
    folder: PathBuf,
    limit: ByteCount,
    open: Mutex<BTreeMap<LeaseId, Weak<Log>>>,
}

impl Logs {
    pub(crate) fn open(folder: PathBuf, limit: ByteCount) -> io::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        remove_oldest(&folder, LEASES)?;
        Ok(Self { folder, limit, open: Mutex::default() })
    }

    /// The log of a lease, made if there is none.
    pub(crate) fn log(&self, lease: LeaseId) -> io::Result<Arc<Log>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = open.get(&lease).and_then(Weak::upgrade) {
            return Ok(log);
        }
        open.retain(|_, log| log.strong_count() > 0);
        let file = LogFile::open(self.folder.join(lease.to_string()), self.limit)?;
        let (last, _) = watch::channel(file.last());
        let log = Arc::new(Log { file: Mutex::new(file), last });
        open.insert(lease, Arc::downgrade(&log));
        Ok(log)
    }

    /// The log of a lease, if there is one.
    pub(crate) fn existing(&self, lease: LeaseId) -> io::Result<Option<Arc<Log>>> {
        match self.folder.join(lease.to_string()).try_exists()? {
            true => self.log(lease).map(Some),
            false => Ok(None),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// One lease's log.
#[derive(Debug)]
pub(crate) struct Log {
    file: Mutex<LogFile>,
    last: watch::Sender<u64>,
}

impl Log {
    /// Adds one line. A line that cannot be written is lost; the work goes on.
    pub(crate) fn write(&self, stream: LogStream, text: &str) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        match file.append(stream, text) {
            Ok(last) => {
                drop(file);
                self.last.send_replace(last);
            }
            Err(error) => tracing::warn!(%error, "log_line_lost"),
        }
    }
}

/// Reads the log of one lease.
#[derive(Debug, Clone)]
pub struct LogReader {
    log: Arc<Log>,
}

impl LogReader {
    pub(crate) const fn new(log: Arc<Log>) -> Self {
        Self { log }
    }

    /// The number of the newest line; 0 if there is none.
    #[must_use]
    pub fn last(&self) -> u64 {
        *self.log.last.borrow()
    }

    /// At most `limit` lines with numbers above `sequence`, oldest first. Those no longer kept are passed over.
    /// Reads files: call it where blocking is allowed.
    pub fn read_after(&self, sequence: u64, limit: usize) -> io::Result<Vec<LogLine>> {
        let files = self.log.file.lock().unwrap_or_else(PoisonError::into_inner).after(sequence);
        file::read(&files, sequence, limit)
    }

    /// Waits until there is a line with a number above `sequence`.
    pub async fn wait_after(&self, sequence: u64) {
        let mut last = self.log.last.subscribe();
        // The sender lives in the log that this reader holds, so waiting ends only with a line.
        let _ = last.wait_for(|last| *last > sequence).await;
    }
}

/// Keeps the folders that were written last.
fn remove_oldest(folder: &Path, keep: usize) -> io::Result<()> {
    let mut folders = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        folders.push((entry.metadata()?.modified()?, entry.path()));
    }
    folders.sort();
    let surplus = folders.len().saturating_sub(keep);
    folders.iter().take(surplus).try_for_each(|(_, path)| std::fs::remove_dir_all(path))
}

#[cfg(test)]
mod tests;
