//! Static sites: files looked up in a map and streamed from the node's blobs.

mod answer;
mod media;
mod range;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use grange_types::{
    BlobId, ByteCount, Counters, Isolation, Kind, Millis, SiteFile, SiteIndex, Wire as _, Work, Workload, limits,
};
use tokio::sync::Semaphore;

use crate::blobs::BlobSource;
use crate::body::Body;
use crate::config::Limits;
use crate::error::{SandboxError, ServeError};
use crate::logs::{Log, LogReader, Logs};
use crate::work::{Capability, LimitsEnforced, Replica, Sandbox, Usage};

/// Serves sites.
pub struct SiteSandbox {
    limits: Limits,
    blobs: Arc<dyn BlobSource>,
    logs: Arc<Logs>,
}

impl SiteSandbox {
    pub(crate) fn new(limits: Limits, blobs: Arc<dyn BlobSource>, logs: Arc<Logs>) -> Self {
        Self { limits, blobs, logs }
    }

    /// Reads the index of a site and checks that all of it is here.
    async fn read(&self, spec: &Work) -> Result<BTreeMap<String, SiteFile>, SandboxError> {
        let Workload::Site { index, .. } = spec.workload else {
            return Err(SandboxError::WrongKind { runs: Kind::Site, asked: spec.workload.kind() });
        };
        let blobs = Arc::clone(&self.blobs);
        let reading = tokio::task::spawn_blocking(move || read_index(blobs.as_ref(), index));
        reading
            .await
            .unwrap_or_else(|error| Err(SandboxError::ReadBlob { blob: index, source: std::io::Error::other(error) }))
    }
}

fn read_index(blobs: &dyn BlobSource, index: BlobId) -> Result<BTreeMap<String, SiteFile>, SandboxError> {
    let missing = |blob| SandboxError::MissingBlob { blob };
    let path = blobs.path(&index).ok_or_else(|| missing(index))?;
    let read = |source| SandboxError::ReadBlob { blob: index, source };
    let size = path.metadata().map_err(read)?.len();
    if size > limits::SITE_INDEX_BYTES as u64 {
        let length = usize::try_from(size).unwrap_or(usize::MAX);
        let source = grange_types::DecodeError::TooLong { name: SiteIndex::NAME, length, limit: SiteIndex::LIMIT };
        return Err(SandboxError::SiteIndex { index, source });
    }
    let bytes = std::fs::read(path).map_err(read)?;
    let site = SiteIndex::decode(&bytes).map_err(|source| SandboxError::SiteIndex { index, source })?;
    let largest = site.files.iter().map(|file| file.size).max().unwrap_or_default();
    if site.files.len() > limits::SITE_FILES || largest > limits::SITE_FILE_BYTES {
        return Err(SandboxError::SiteTooLarge { index, files: site.files.len(), largest });
    }
    let mut files: BTreeMap<String, SiteFile> = BTreeMap::new();
    for file in site.files {
        let sorted = files.last_key_value().is_none_or(|(last, _)| *last < file.path);
        if !sorted || !is_relative(&file.path) {
            return Err(SandboxError::SitePath { index, path: file.path });
        }
        blobs.path(&file.blob).ok_or_else(|| missing(file.blob))?;
        files.insert(file.path.clone(), file);
    }
    Ok(files)
}

/// Whether a path names a file below its root and nothing else.
fn is_relative(path: &str) -> bool {
    path.split('/').all(|part| !part.is_empty() && part != "." && part != "..") && !path.contains('\0')
}

impl Sandbox for SiteSandbox {
    fn capability(&self) -> Capability {
        Capability {
            kind: Kind::Site,
            isolation: Isolation::Wasm,
            // Nothing of the buyer's runs, so there is no memory or disk to exceed; but nothing shares out the
            // processor time of sending files either.
            limits_enforced: LimitsEnforced { cpu: false, memory: true, disk: true },
        }
    }

    fn prepare<'a>(&'a self, spec: &'a Work) -> BoxFuture<'a, Result<(), SandboxError>> {
        async move { self.read(spec).await.map(drop) }.boxed()
    }

    fn start<'a>(&'a self, spec: Work) -> BoxFuture<'a, Result<Arc<dyn Replica>, SandboxError>> {
        async move {
            let files = self.read(&spec).await?;
            let log = self.logs.log(spec.lease);
            let log = log.map_err(|source| SandboxError::Logs { path: self.logs.folder().to_owned(), source })?;
            let replica: Arc<dyn Replica> = Arc::new(SiteReplica {
                files,
                blobs: Arc::clone(&self.blobs),
                log,
                stopped: AtomicBool::new(false),
                started: Instant::now(),
                requests: AtomicU64::new(0),
                egress: Arc::default(),
                streams: Arc::new(Semaphore::new(self.limits.site_streams as usize)),
                stream_limit: self.limits.site_streams,
            });
            Ok(replica)
        }
        .boxed()
    }
}

/// A running site.
struct SiteReplica {
    files: BTreeMap<String, SiteFile>,
    blobs: Arc<dyn BlobSource>,
    log: Arc<Log>,
    stopped: AtomicBool,
    started: Instant,
    requests: AtomicU64,
    egress: Arc<AtomicU64>,
    streams: Arc<Semaphore>,
    stream_limit: u32,
}

impl SiteReplica {
    fn running(&self) -> u32 {
        self.stream_limit - u32::try_from(self.streams.available_permits()).unwrap_or(0).min(self.stream_limit)
    }
}

impl Replica for SiteReplica {
    fn serve(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, ServeError>> {
        async move {
            if self.stopped.load(Ordering::Relaxed) {
                return Err(ServeError::Stopped);
            }
            let answer = self.answer(&request).await?;
            self.requests.fetch_add(1, Ordering::Relaxed);
            Ok(answer)
        }
        .boxed()
    }

    fn healthy(&self) -> BoxFuture<'_, bool> {
        // The first file stands for all: blobs stay while a replica runs.
        let first = self.files.values().next();
        let readable = first.is_none_or(|file| self.blobs.path(&file.blob).is_some());
        std::future::ready(readable && !self.stopped.load(Ordering::Relaxed)).boxed()
    }

    fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    fn logs(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.log))
    }

    fn counters(&self) -> Counters {
        Counters {
            served: Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)),
            requests: self.requests.load(Ordering::Relaxed),
            egress: ByteCount(self.egress.load(Ordering::Relaxed)),
        }
    }

    fn usage(&self) -> Usage {
        let disk = self.files.values().map(|file| file.size.0).sum();
        Usage { disk: ByteCount(disk), running: self.running(), ..Usage::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_below_their_root() {
        for path in ["index.html", "a/b/c.txt", "...", ".well-known/x", "a b"] {
            assert!(is_relative(path), "{path}");
        }
        for path in ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a\0b"] {
            assert!(!is_relative(path), "{path:?}");
        }
    }
}
