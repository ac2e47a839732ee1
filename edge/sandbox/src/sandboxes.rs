//! All sandboxes of one node, chosen by the kind of work.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use grange_objects::log::{KeepReply, KeepRequest, LogId, View};
use grange_types::{ByteCount, DeploymentId, Kind, LeaseId, Work, limits};

use crate::blobs::BlobSource;
use crate::config::Config;
use crate::error::SandboxError;
use crate::keep::{Copies, KeepMetrics, Kept};
use crate::keyvalue::{Export, KeyValueError, Stores};
use crate::logs::{LogReader, Logs};
use crate::site::SiteSandbox;
use crate::wasm::WasmSandbox;
use crate::work::{Capability, Replica, Sandbox};

/// The sandboxes of one node. One per data folder.
pub struct Sandboxes {
    wasm: WasmSandbox,
    site: SiteSandbox,
    logs: Arc<Logs>,
    stores: Arc<Stores>,
    copies: Arc<Copies>,
    metrics: Arc<KeepMetrics>,
    /// The room of a slot whose lease names none.
    disk: ByteCount,
}

impl Sandboxes {
    /// Opens the data folder and makes the wasm engine. Blocks for some milliseconds.
    pub fn open(config: Config, blobs: Arc<dyn BlobSource>) -> Result<Self, SandboxError> {
        let logs = config.data.join("logs");
        let logs = Arc::new(Logs::open(logs.clone(), limits::LOG_BYTES).map_err(logs_error(&logs))?);
        let stores = config.data.join("kv");
        let stores = Arc::new(
            Stores::open(stores.clone()).map_err(|source| SandboxError::KeyValueFolder { path: stores, source })?,
        );
        let (copies, disk) = (config.data.join("keep"), config.limits.disk);
        let copies = Arc::new(
            Copies::open(copies.clone()).map_err(|source| SandboxError::KeyValueFolder { path: copies, source })?,
        );
        let metrics = Arc::new(KeepMetrics::default());
        let site = SiteSandbox::new(config.limits.clone(), Arc::clone(&blobs), Arc::clone(&logs));
        let kept = (Arc::clone(&stores), Arc::clone(&copies));
        let wasm = WasmSandbox::open(config, blobs, Arc::clone(&logs), kept, Arc::clone(&metrics))?;
        Ok(Self { wasm, site, logs, stores, copies, metrics, disk })
    }

    /// The sandbox for a kind of work.
    #[must_use]
    pub const fn sandbox(&self, kind: Kind) -> &dyn Sandbox {
        match kind {
            Kind::Wasm => &self.wasm,
            Kind::Site => &self.site,
        }
    }

    /// What each of them can promise.
    #[must_use]
    pub fn capabilities(&self) -> Vec<Capability> {
        [Kind::Site, Kind::Wasm].map(|kind| self.sandbox(kind).capability()).to_vec()
    }

    /// [`Sandbox::prepare`] by the sandbox for this kind of work.
    pub async fn prepare(&self, spec: &Work) -> Result<(), SandboxError> {
        self.sandbox(spec.workload.kind()).prepare(spec).await
    }

    /// [`Sandbox::start`] by the sandbox for this kind of work.
    pub async fn start(&self, spec: Work) -> Result<Arc<dyn Replica>, SandboxError> {
        self.sandbox(spec.workload.kind()).start(spec).await
    }

    /// The same; `progress` is told what the start waits for, when it has to wait.
    pub async fn start_telling(
        &self,
        spec: Work,
        progress: &(dyn Fn(String) + Send + Sync),
    ) -> Result<Arc<dyn Replica>, SandboxError> {
        match spec.workload.kind() {
            Kind::Wasm => self.wasm.start_telling(spec, progress).await,
            Kind::Site => self.site.start(spec).await,
        }
    }

    /// Answers, as a keeper, the node that holds a slot's lease; the caller has asked the ledger whether it does. Its
    /// contents may take `room`, or the usual if that is 0. Blocks until what is answered is on the disk.
    pub fn keep(&self, request: &KeepRequest, room: ByteCount) -> Kept {
        let mut kept = self.copies.answer(request, if room == ByteCount(0) { self.disk } else { room });
        if let KeepReply::Sealed(standing) = &mut kept.reply {
            // What was written here itself is in a store, not in a copy.
            standing.mention(self.stores.last_view(request.log(), request.generation()));
        }
        kept
    }

    /// Who counts as a keeper of each log that this node keeps a copy of. Reads files.
    pub fn views(&self) -> Vec<(LogId, View)> {
        self.copies.views()
    }

    /// What is counted about second copies.
    #[must_use]
    pub fn keep_metrics(&self) -> &KeepMetrics {
        &self.metrics
    }

    /// What a lease wrote, also when it no longer runs; `None` if this node has no log of it. Reads files.
    pub fn logs(&self, lease: LeaseId) -> io::Result<Option<LogReader>> {
        Ok(self.logs.existing(lease)?.map(LogReader::new))
    }

    /// Every key-value entry that this node holds of a deployment, or of one service of it, of all generations.
    /// Reads files, here and in each step.
    pub fn export(&self, deployment: DeploymentId, service: Option<&str>) -> Result<Export, KeyValueError> {
        Export::new(&self.stores, deployment, service)
    }

    /// Removes the key-value data of deployments that are not `known` and whose data nobody wrote since `since`. Gives
    /// how many there were. Reads and removes files.
    pub fn retain(&self, known: impl Fn(DeploymentId) -> bool, since: SystemTime) -> Result<usize, KeyValueError> {
        let copies = self
            .copies
            .retain(&known, since)
            .map_err(|source| KeyValueError::Files { path: self.copies.root().to_owned(), source: Arc::new(source) })?;
        Ok(self.stores.retain(known, since)? + copies)
    }
}

fn logs_error(path: &Path) -> impl FnOnce(io::Error) -> SandboxError {
    let path = PathBuf::from(path);
    move |source| SandboxError::Logs { path, source }
}
