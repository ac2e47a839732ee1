//! What runs here: starts and stops replicas in the sandbox, and finds them for requests.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use grange_disk::Blobs;
use grange_gateway::{Body, ReplicaLookup, Serve, ServeFailure};
use grange_net::Net;
use grange_peer::{Event, WorkEvent};
use grange_sandbox::{BodyError, Replica, SandboxError, Sandboxes, ServeError};
use grange_types::{Counters, DeploymentId, LeaseId, Millis, PeerId, Work, Workload};
use http_body_util::{BodyExt, BodyStream, StreamBody};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::exchange;
use crate::ingress::Ingress;
use crate::shares::Shares;
use crate::tally::{Taken, Tally};

/// How often a replica's own counters are told to the peer.
const COUNT_EVERY: Duration = Duration::from_secs(1);

/// The replicas of this node.
pub(crate) struct Workloads {
    sandboxes: Arc<Sandboxes>,
    blobs: Arc<Blobs>,
    net: Arc<Net>,
    events: mpsc::Sender<Event>,
    shares: Arc<Shares>,
    ingress: OnceLock<Weak<Ingress>>,
    running: RwLock<BTreeMap<LeaseId, Running>>,
    /// The leases whose strangers have had what they are served for nothing.
    closed: RwLock<BTreeSet<LeaseId>>,
    tally: Tally,
}

struct Running {
    deployment: DeploymentId,
    generation: u64,
    replica: Option<Arc<dyn Replica>>,
    stop: CancellationToken,
}

impl Workloads {
    pub(crate) fn new(
        sandboxes: Arc<Sandboxes>,
        blobs: Arc<Blobs>,
        net: Arc<Net>,
        events: mpsc::Sender<Event>,
        shares: Arc<Shares>,
    ) -> Self {
        Self {
            sandboxes,
            blobs,
            net,
            events,
            shares,
            ingress: OnceLock::new(),
            running: RwLock::default(),
            closed: RwLock::default(),
            tally: Tally::default(),
        }
    }

    /// Gives it the table that says who may have shares, which cannot be made without it.
    pub(crate) fn attach(&self, ingress: &Arc<Ingress>) {
        // Once, when the node starts.
        let _ = self.ingress.set(Arc::downgrade(ingress));
    }

    /// Fetches what is missing and starts a replica; tells the peer how it went.
    pub(crate) fn start(self: &Arc<Self>, work: Work, from: Vec<PeerId>) {
        let stop = CancellationToken::new();
        let Work { deployment, generation, .. } = work;
        let running = Running { deployment, generation, replica: None, stop: stop.clone() };
        let before = self.write(|map| map.insert(work.lease, running));
        if let Some(before) = before {
            before.end();
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let lease = work.lease;
            tokio::select! {
                () = stop.cancelled() => {}
                () = this.run(work, from) => {}
            }
            tracing::debug!(lease = %lease, "workload.ended");
        });
    }

    async fn run(&self, mut work: Work, from: Vec<PeerId>) {
        let lease = work.lease;
        let started = Instant::now();
        if !self.fetch(&work.workload, &from).await {
            let reason = "what it runs could not be fetched from the deployment's stewards".to_owned();
            return self.tell(lease, WorkEvent::Failed { reason }).await;
        }
        let events = self.events.clone();
        let progress = move |reason: String| {
            let (events, event) = (events.clone(), WorkEvent::Waiting { reason });
            tokio::spawn(async move { events.send(Event::Work { lease, event }).await });
        };
        let sealed = !work.keepers.is_empty() || work.workload.has_secrets();
        if let Some(ingress) = self.ingress.get().and_then(Weak::upgrade).filter(|_| sealed) {
            work.seal = Some(self.shares.key(&work, &ingress, &progress).await);
        }
        match self.sandboxes.start_telling(work, &progress).await {
            Ok(replica) => {
                self.write(|map| {
                    if let Some(running) = map.get_mut(&lease) {
                        running.replica = Some(Arc::clone(&replica));
                    }
                });
                tracing::info!(lease = %lease, ms = started.elapsed().as_millis() as u64, "workload.serving");
                self.tell(lease, WorkEvent::Serving).await;
                self.count(lease, &*replica).await;
            }
            Err(error) => {
                tracing::warn!(lease = %lease, error = &error as &dyn std::error::Error, "workload.failed");
                self.tell(lease, WorkEvent::Failed { reason: chain(&error) }).await;
            }
        }
    }

    /// Tells the replica's own counters as long as it runs.
    async fn count(&self, lease: LeaseId, replica: &dyn Replica) {
        let since = Instant::now();
        loop {
            tokio::time::sleep(COUNT_EVERY).await;
            let counters = Counters { served: Millis(since.elapsed().as_millis() as u64), ..replica.counters() };
            self.tell(lease, WorkEvent::Counters(counters)).await;
        }
    }

    async fn tell(&self, lease: LeaseId, event: WorkEvent) {
        // The pump ends only with the process.
        let _ = self.events.send(Event::Work { lease, event }).await;
    }

    async fn fetch(&self, workload: &Workload, from: &[PeerId]) -> bool {
        match workload {
            Workload::Wasm { component, .. } | Workload::Furnished { component, .. } => {
                exchange::fetch(&self.net, &self.blobs, *component, from).await
            }
            Workload::Site { index, .. } => exchange::fetch_site(&self.net, &self.blobs, *index, from).await,
        }
    }

    /// Checks that a workload of our own user's can run at all; compiles it into the cache on the way.
    pub(crate) async fn check(&self, work: &Work) -> Result<(), SandboxError> {
        self.sandboxes.prepare(work).await
    }

    /// Serves the requests of strangers to a lease's replica from now on, or refuses them.
    pub(crate) fn strangers(&self, lease: LeaseId, served: bool) {
        tracing::info!(lease = %lease, served, "workload.strangers");
        let mut closed = self.closed.write().unwrap_or_else(PoisonError::into_inner);
        if served {
            closed.remove(&lease)
        } else {
            closed.insert(lease)
        };
    }

    fn is_closed(&self, lease: LeaseId) -> bool {
        self.closed.read().unwrap_or_else(PoisonError::into_inner).contains(&lease)
    }

    fn is_stranger(&self, peer: PeerId, deployment: DeploymentId) -> bool {
        let table = self.ingress.get().and_then(Weak::upgrade).map(|ingress| ingress.table());
        table.is_some_and(|table| table.is_stranger(peer, deployment))
    }

    /// Stops a replica. Its data stays.
    pub(crate) fn stop(&self, lease: LeaseId) {
        self.closed.write().unwrap_or_else(PoisonError::into_inner).remove(&lease);
        if let Some(running) = self.write(|map| map.remove(&lease)) {
            running.end();
        }
    }

    /// Stops all of them.
    pub(crate) fn stop_all(&self) {
        for (_, running) in self.write(std::mem::take) {
            running.end();
        }
    }

    pub(crate) const fn sandboxes(&self) -> &Arc<Sandboxes> {
        &self.sandboxes
    }

    /// The replicas for the requests of a peer, whose share of all that is taken is counted.
    pub(crate) fn for_peer(self: &Arc<Self>, peer: PeerId) -> Arc<dyn ReplicaLookup> {
        Arc::new(Visitor { workloads: Arc::clone(self), peer })
    }

    /// What peers have taken.
    pub(crate) const fn tally(&self) -> &Tally {
        &self.tally
    }

    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<LeaseId, Running>) -> T) -> T {
        change(&mut self.running.write().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Running {
    fn end(&self) {
        self.stop.cancel();
        if let Some(replica) = &self.replica {
            replica.stop();
        }
    }
}

/// An error and its causes as one sentence.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A peer whose requests find their replicas here.
struct Visitor {
    workloads: Arc<Workloads>,
    peer: PeerId,
}

impl ReplicaLookup for Visitor {
    fn find(&self, lease: LeaseId, generation: u64) -> Option<Arc<dyn Serve>> {
        let running = self.workloads.running.read().unwrap_or_else(PoisonError::into_inner);
        let found = running.get(&lease).filter(|running| running.generation == generation)?;
        let replica = found.replica.clone()?;
        let (taken, deployment) = (self.workloads.tally.of(self.peer, lease), found.deployment);
        let stranger = self.workloads.is_stranger(self.peer, deployment).then(|| Arc::clone(&self.workloads));
        Some(Arc::new(Served { replica, taken, lease, stranger }))
    }
}

/// A replica as a peer's gateway sees it.
struct Served {
    replica: Arc<dyn Replica>,
    taken: Arc<Taken>,
    lease: LeaseId,
    /// Where to ask whether strangers are still served, if the peer is one.
    stranger: Option<Arc<Workloads>>,
}

impl Serve for Served {
    fn serve(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, ServeFailure>> {
        Box::pin(async move {
            if self.stranger.as_ref().is_some_and(|workloads| workloads.is_closed(self.lease)) {
                return Err(ServeFailure::Stranger);
            }
            let request = request.map(|body| body.map_err(|source| BodyError::Client { source }).boxed());
            match self.replica.serve(request).await {
                Ok(response) => {
                    self.taken.request();
                    Ok(response.map(|body| self.counted(body)))
                }
                Err(error) => {
                    tracing::debug!(error = &error as &dyn std::error::Error, "request.failed");
                    Err(failure(&error))
                }
            }
        })
    }
}

impl Served {
    /// The body of an answer, whose bytes are counted as they go; a stranger's breaks off where he has had enough.
    fn counted(&self, body: grange_sandbox::Body) -> Body {
        let taken = Arc::clone(&self.taken);
        let body = body.inspect_frame(move |frame| taken.egress(frame.data_ref().map_or(0, Bytes::len)));
        let body = body.map_err(Into::into);
        let Some(workloads) = self.stranger.clone() else { return body.boxed() };
        let lease = self.lease;
        broken_off(body.boxed(), move || workloads.is_closed(lease))
    }
}

/// A body that ends with an error once it is to end.
fn broken_off(body: Body, ends: impl Fn() -> bool + Send + Sync + 'static) -> Body {
    let frames = BodyStream::new(body).map(move |frame| match ends() {
        true => Err(ServeFailure::Stranger.into()),
        false => frame,
    });
    BodyExt::boxed(StreamBody::new(frames))
}

const fn failure(error: &ServeError) -> ServeFailure {
    match error {
        ServeError::Overloaded { .. } => ServeFailure::Overloaded,
        ServeError::Stopped => ServeFailure::NotRunning,
        ServeError::TooSlow { .. } => ServeFailure::TooSlow,
        ServeError::BadRequest { .. } => ServeFailure::BadRequest,
        _ => ServeFailure::Crashed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[tokio::test]
    async fn an_answer_under_way_is_broken_off_where_a_stranger_has_had_enough() {
        let pages =
            futures_util::stream::repeat_with(|| Ok::<_, grange_gateway::BodyError>(Bytes::from_static(b"page")));
        let endless = BodyExt::boxed(StreamBody::new(pages.map(|page| page.map(http_body::Frame::data))));
        let enough = Arc::new(AtomicBool::new(false));
        let asks = Arc::clone(&enough);
        let mut body = broken_off(endless, move || asks.load(Ordering::Relaxed));
        for _ in 0..3 {
            assert!(body.frame().await.unwrap().is_ok());
        }
        enough.store(true, Ordering::Relaxed);
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(error.to_string().contains("on no ledger"), "{error}");
    }
}
