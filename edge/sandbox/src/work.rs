//! The one trait: a [`Sandbox`] starts work, and what it started is a [`Replica`].

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use grange_types::{ByteCount, Counters, DeploymentId, Isolation, Kind, LeaseId, Millis, Resources, Workload};

use crate::body::Body;
use crate::error::{SandboxError, ServeError};
use crate::logs::LogReader;

/// One replica to run: what the lease and the manifest say about it.
#[derive(Debug, Clone)]
pub struct WorkSpec {
    /// The lease it runs under; its logs are kept by it.
    pub lease: LeaseId,
    /// The deployment; its data is kept by it.
    pub deployment: DeploymentId,
    /// The deployment's name.
    pub name: String,
    /// The service.
    pub service: String,
    /// Which replica of the service.
    pub replica: u32,
    /// The slot's generation under this lease.
    pub generation: u64,
    /// The generation of the same slot whose data continues here, if that generation served on this node: its
    /// store is sealed and copied. Without it, or if this node holds no such store, the data starts empty.
    pub previous: Option<u64>,
    /// What runs.
    pub workload: Workload,
    /// What it may use; a zero means the node's usual limit.
    pub resources: Resources,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Hosts it may call, exact names with optional `:port`; without a port, the scheme's usual one.
    pub allow_http: Vec<String>,
}

/// What a sandbox can truthfully promise to a buyer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capability {
    /// The kind of work.
    pub kind: Kind,
    /// What separates it from its host and its neighbours.
    pub isolation: Isolation,
    /// Which of a lease's resources it cannot exceed.
    pub limits_enforced: LimitsEnforced,
}

/// Which of a lease's resources a replica cannot exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsEnforced {
    /// Processor time: over a second, no more than the share plus one tick of 10 ms per request under way.
    pub cpu: bool,
    /// Memory: linear memories and tables, summed over the requests that the replica works on.
    pub memory: bool,
    /// Disk: the keys and values of its store.
    pub disk: bool,
}

/// What a replica uses now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Memory of the requests it works on.
    pub memory: ByteCount,
    /// Keys and values of its store.
    pub disk: ByteCount,
    /// Processor time since it started.
    pub cpu: Millis,
    /// Requests it works on.
    pub running: u32,
    /// Requests that wait for it.
    pub waiting: u32,
}

/// Something that can run one kind of work.
pub trait Sandbox: Send + Sync {
    /// The kind of work.
    fn kind(&self) -> Kind {
        self.capability().kind
    }

    /// What it can promise.
    fn capability(&self) -> Capability;

    /// Makes everything ready that a start needs, and finds every reason why it would fail: checks, compiles and
    /// instantiates once. To be called on a quote, so that a start is quick; a start without it does the same.
    fn prepare<'a>(&'a self, spec: &'a WorkSpec) -> BoxFuture<'a, Result<(), SandboxError>>;

    /// Starts a replica. It serves until it is stopped.
    fn start<'a>(&'a self, spec: WorkSpec) -> BoxFuture<'a, Result<Arc<dyn Replica>, SandboxError>>;
}

/// One running replica.
pub trait Replica: Send + Sync {
    /// Answers a request. Bodies stream both ways with back-pressure. Dropping the future or the answer's body
    /// says that nobody listens any more.
    fn serve(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, ServeError>>;

    /// Whether it could serve now.
    fn healthy(&self) -> BoxFuture<'_, bool>;

    /// Stops it at once: requests under way end with an error, later ones are refused.
    fn stop(&self);

    /// What it wrote.
    fn logs(&self) -> LogReader;

    /// What it did since it was started here; `served` is the time since then.
    fn counters(&self) -> Counters;

    /// What it uses now.
    fn usage(&self) -> Usage;
}
