//! The one trait: a [`Sandbox`] starts work, and what it started is a [`Replica`].

use std::sync::Arc;

use futures_util::future::BoxFuture;
use grange_types::{ByteCount, Counters, Isolation, Kind, Millis, Work};

use crate::body::Body;
use crate::error::{SandboxError, ServeError};
use crate::logs::LogReader;

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
    fn prepare<'a>(&'a self, spec: &'a Work) -> BoxFuture<'a, Result<(), SandboxError>>;

    /// Starts a replica. It serves until it is stopped.
    fn start<'a>(&'a self, spec: Work) -> BoxFuture<'a, Result<Arc<dyn Replica>, SandboxError>>;
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
