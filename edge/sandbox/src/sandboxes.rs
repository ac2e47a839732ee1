//! All sandboxes of one node, chosen by the kind of work.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use grange_types::{DeploymentId, Kind, LeaseId, Work, limits};

use crate::blobs::BlobSource;
use crate::config::Config;
use crate::error::SandboxError;
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
        let site = SiteSandbox::new(config.limits.clone(), Arc::clone(&blobs), Arc::clone(&logs));
        let wasm = WasmSandbox::open(config, blobs, Arc::clone(&logs), Arc::clone(&stores))?;
        Ok(Self { wasm, site, logs, stores })
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
        self.stores.retain(known, since)
    }
}

fn logs_error(path: &Path) -> impl FnOnce(io::Error) -> SandboxError {
    let path = PathBuf::from(path);
    move |source| SandboxError::Logs { path, source }
}
