//! The ingress: finds the replica that a name and a path lead to, and streams the request to it.
//!
//! # Rules
//! - Upon a request for `NAME.localhost`: the resolver says what NAME is; the longest route that is a prefix of
//!   the path, part by part, takes it; healthy replicas take turns, the others come after them.
//! - Upon a replica that cannot be reached, refuses or breaks off before its answer: the resolver is told, and the
//!   request is tried again if nothing of it can have been done, or if it may be done twice.
//! - Upon a replica that is superseded while it is silent: it is given up, as if it had broken off.
//! - Upon failure: a page that says what failed, in the form that the client accepts, with the status that fits.

mod answer;
mod attempt;
mod carry;
pub(crate) mod headers;
pub(crate) mod host;
mod page;
mod pool;
mod route;

use core::time::Duration;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use futures_util::future::BoxFuture;
use grange_types::{LeaseId, PeerId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{limits, listen};

/// A replica, and where it is: what a request is sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Target {
    /// The node that runs it.
    pub provider: PeerId,
    /// The lease it runs under.
    pub lease: LeaseId,
    /// Its generation.
    pub generation: u64,
}

/// One service of a deployment, as the ingress sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteEntry {
    /// The path prefix that leads to it, such as `/` or `/entries`.
    pub prefix: String,
    /// Its replicas of the current generation, the healthy ones first.
    pub targets: Vec<Target>,
    /// How many of them are healthy; requests take turns among these.
    pub healthy: usize,
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resolved {
    /// To services. Shared, so that a resolver may keep it from request to request.
    Targets {
        /// The services that have a route.
        routes: Arc<[RouteEntry]>,
    },
    /// To nothing: nobody holds the name.
    Unknown,
    /// To a deployment that has no replica now.
    NoReplica {
        /// Why, such as `the budget is used`.
        reason: String,
    },
}

/// Knows where a name is served: the node's view of the ledger.
pub trait Resolver: Send + Sync + 'static {
    /// What the name leads to now. Called for every request, so it answers from memory.
    fn resolve(&self, name: &str) -> Resolved;

    /// A replica could not be reached, refused or broke off.
    fn failed(&self, target: &Target);
}

/// A stream to a peer.
pub trait PeerStream: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> PeerStream for T {}

/// A stream to a peer, of whatever transport.
pub type BoxedStream = Box<dyn PeerStream>;

/// Opens streams to the nodes that run replicas.
pub trait Connector: Send + Sync + 'static {
    /// A new stream that ends in [`crate::serve_peer_stream`] on the target's provider.
    fn connect(&self, target: &Target) -> BoxFuture<'_, io::Result<BoxedStream>>;
}

/// The payer's meter.
pub trait UsageSink: Send + Sync + 'static {
    /// That many requests were answered, and that many bytes of bodies passed on, since the last call. Called as it
    /// happens, from many threads: for every answer, and for every piece of a body.
    fn count(&self, target: &Target, requests: u64, egress: u64);
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// A stream to a replica may take this long to open.
    pub connect: Duration,
    /// A replica may be silent for this long before its answer begins.
    pub first_byte: Duration,
    /// How often a gateway that waits looks whether the replica is still the current one.
    pub watch: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self { connect: limits::CONNECT_TIMEOUT, first_byte: limits::FIRST_BYTE_TIMEOUT, watch: limits::WATCH_INTERVAL }
    }
}

/// Everything the ingress needs to serve; make it with [`Ingress::new`].
pub struct Ingress {
    resolver: Arc<dyn Resolver>,
    connector: Arc<dyn Connector>,
    usage: Arc<dyn UsageSink>,
    deadlines: Deadlines,
    pool: pool::Pool,
    /// Counts requests, so that replicas take turns.
    turn: AtomicUsize,
}

impl Ingress {
    /// An ingress with the usual deadlines.
    #[must_use]
    pub fn new(resolver: Arc<dyn Resolver>, connector: Arc<dyn Connector>, usage: Arc<dyn UsageSink>) -> Self {
        Self {
            resolver,
            connector,
            usage,
            deadlines: Deadlines::default(),
            pool: pool::Pool::default(),
            turn: AtomicUsize::new(0),
        }
    }

    /// The same with other deadlines.
    #[must_use]
    pub fn with_deadlines(mut self, deadlines: Deadlines) -> Self {
        self.deadlines = deadlines;
        self
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, listener: TcpListener, shutdown: CancellationToken) {
        let ingress = Arc::new(self);
        let sweeping = async {
            loop {
                tokio::time::sleep(limits::STREAM_SWEEP).await;
                ingress.pool.sweep();
            }
        };
        tokio::select! {
            () = listen::serve(listener, limits::INGRESS_CONNECTIONS, Arc::clone(&ingress), shutdown) => {}
            () = sweeping => {}
        }
    }
}

/// Serves `http://NAME.localhost:PORT/` until `shutdown`.
pub async fn serve_ingress(
    listener: TcpListener,
    resolver: Arc<dyn Resolver>,
    connector: Arc<dyn Connector>,
    usage: Arc<dyn UsageSink>,
    shutdown: CancellationToken,
) {
    Ingress::new(resolver, connector, usage).serve(listener, shutdown).await;
}
