//! The gateway's view of the node: names from the route table, streams over the transport, counts for the payers.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use grange_gateway::{
    BoxedStream, Connector, ReplicaLookup, Resolved, Resolver, RouteEntry, Target, UsageSink, serve_peer_stream,
};
use grange_net::{Net, Protocol};
use grange_objects::log::LogId;
use grange_peer::{Route, RouteTable, Routed};
use grange_types::{BlobId, ByteCount, LeaseId, PeerId};
use tokio::sync::Notify;

/// Bytes that may wait between a gateway and a replica of the same node.
const LOCAL_BUFFER: usize = 64 << 10;
/// How much later than another node we may hear of a block.
const HEARS_LATER: Duration = Duration::from_secs(1);

/// What every request needs to find its replica; replaced as a whole when the ledger moves.
pub(crate) struct Ingress {
    me: PeerId,
    net: Arc<Net>,
    /// The replicas of this node, for what comes through its own gateway.
    lookup: Arc<dyn ReplicaLookup>,
    table: RwLock<Arc<RouteTable>>,
    resolved: RwLock<BTreeMap<String, Resolved>>,
    counts: Mutex<BTreeMap<LeaseId, (u64, u64)>>,
    /// The ledger moved.
    moved: Notify,
}

impl Ingress {
    pub(crate) fn new(net: Arc<Net>, lookup: Arc<dyn ReplicaLookup>) -> Self {
        Self {
            me: net.peer_id(),
            net,
            lookup,
            table: RwLock::default(),
            resolved: RwLock::default(),
            counts: Mutex::default(),
            moved: Notify::new(),
        }
    }

    /// The ledger moved.
    pub(crate) fn publish(&self, table: RouteTable) {
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(table);
        self.refresh();
        self.moved.notify_waiters();
    }

    /// A peer came or went: which replicas are healthy may have changed.
    pub(crate) fn refresh(&self) {
        let table = self.table();
        let resolve = |(name, named): (&String, &grange_peer::Named)| (name.clone(), self.route(&named.routes));
        let resolved = table.names.iter().map(resolve).collect();
        *self.resolved.write().unwrap_or_else(PoisonError::into_inner) = resolved;
    }

    /// The route table as it is.
    pub(crate) fn table(&self) -> Arc<RouteTable> {
        Arc::clone(&self.table.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a peer may read a manifest. A provider may hear of its lease a moment before we do, so a no is waited for.
    pub(crate) async fn may_read(&self, peer: PeerId, manifest: BlobId) -> bool {
        let listed = || self.table().readers.get(&manifest).is_some_and(|readers| readers.contains(&peer));
        let until_listed = async {
            loop {
                let moved = self.moved.notified();
                if listed() {
                    return;
                }
                moved.await;
            }
        };
        tokio::time::timeout(HEARS_LATER, until_listed).await.is_ok()
    }

    /// Whether a peer writes this log in this generation, and the room it has. A no is waited for: the peer may hear of
    /// its lease a moment before we do.
    pub(crate) async fn may_write(&self, peer: PeerId, log: &LogId, generation: u64) -> Option<ByteCount> {
        let until_listed = async {
            loop {
                let moved = self.moved.notified();
                match self.table().room_of(peer, log, generation) {
                    Some(room) => return room,
                    None => moved.await,
                }
            }
        };
        tokio::time::timeout(HEARS_LATER, until_listed).await.ok()
    }

    /// Ends when the ledger moves after this was called, or after so long.
    pub(crate) fn moved_within(&self, within: Duration) -> impl Future<Output = ()> {
        let moved = self.moved.notified();
        async move {
            // Late or not, the table is looked at again.
            let _ = tokio::time::timeout(within, moved).await;
        }
    }

    fn route(&self, routes: &[Route]) -> Resolved {
        if routes.iter().all(|route| route.replicas.is_empty()) {
            let reason = "no provider holds a lease for it now; `grange ps` says why".to_owned();
            return Resolved::NoReplica { reason };
        }
        let target =
            |routed: &Routed| Target { provider: routed.provider, lease: routed.lease, generation: routed.generation };
        let entry = |route: &Route| {
            let (healthy, others): (Vec<Target>, Vec<Target>) =
                route.replicas.iter().map(target).partition(|target| self.reaches(target.provider));
            RouteEntry { prefix: route.prefix.clone(), healthy: healthy.len(), targets: [healthy, others].concat() }
        };
        Resolved::Targets { routes: routes.iter().map(entry).collect() }
    }

    fn reaches(&self, peer: PeerId) -> bool {
        peer == self.me || self.net.is_connected(peer)
    }

    /// What was counted since the last call.
    pub(crate) fn drain(&self) -> BTreeMap<LeaseId, (u64, u64)> {
        std::mem::take(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Resolver for Ingress {
    fn resolve(&self, name: &str) -> Resolved {
        let resolved = self.resolved.read().unwrap_or_else(PoisonError::into_inner);
        resolved.get(name).cloned().unwrap_or(Resolved::Unknown)
    }

    fn failed(&self, target: &Target) {
        tracing::debug!(provider = %target.provider, lease = %target.lease, "replica.failed");
    }
}

impl Connector for Ingress {
    fn connect(&self, target: &Target) -> BoxFuture<'_, io::Result<BoxedStream>> {
        let provider = target.provider;
        Box::pin(async move {
            if provider == self.me {
                let (near, far) = tokio::io::duplex(LOCAL_BUFFER);
                tokio::spawn(serve_peer_stream(far, Arc::clone(&self.lookup)));
                return Ok(Box::new(near) as BoxedStream);
            }
            let stream = self.net.open_stream(provider, Protocol::Http).await.map_err(io::Error::other)?;
            Ok(Box::new(stream) as BoxedStream)
        })
    }
}

impl UsageSink for Ingress {
    fn count(&self, target: &Target, requests: u64, egress: u64) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(target.lease).or_default();
        count.0 = count.0.saturating_add(requests);
        count.1 = count.1.saturating_add(egress);
    }
}
