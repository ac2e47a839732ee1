//! The pump: brings the world's events to the peer and carries out what it answers, in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use grange_api::{Line, Problem, Reply as Answer};
use grange_disk::DiskError;
use grange_gateway::{Target, VisitError, Visited};
use grange_net::{Net, NetEvent, Protocol, Reply, Topic};
use grange_peer::{Action, CallId, Channel, Event, RequestId, Visit};
use grange_types::{AccountId, BlobId, DeploymentId, Millis, PeerId, Time, Wire};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::exchange;
use crate::ingress::Ingress;
use crate::keeping::Keeping;
use crate::mind::Mind;
use crate::papers::Papers;
use crate::shares::Shares;
use crate::storage::Storage;

use crate::workloads::{Workloads, chain};

/// Everybody who trades listens to one topic; regions get their own when there are many.
const OFFERS: &str = "offers";
/// How often others get to read how the peer is.
const STATE_EVERY: Millis = Millis(100);

/// Where a call's answer goes.
pub(crate) enum Waiting {
    /// One answer.
    Reply(oneshot::Sender<Result<Answer, Problem>>),
    /// Lines until the last.
    Lines(mpsc::UnboundedSender<Result<Line, Problem>>),
}

/// Calls that wait for the peer.
#[derive(Default)]
pub(crate) struct Calls {
    waiting: Mutex<(u64, BTreeMap<CallId, Waiting>)>,
}

impl Calls {
    /// Gives a call its name.
    pub(crate) fn register(&self, waiting: Waiting) -> CallId {
        let mut calls = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        calls.0 += 1;
        let id = CallId(calls.0);
        calls.1.insert(id, waiting);
        id
    }

    fn reply(&self, id: CallId, reply: Result<Answer, Problem>) {
        match self.waiting.lock().unwrap_or_else(PoisonError::into_inner).1.remove(&id) {
            // Whoever asked may be gone.
            Some(Waiting::Reply(sender)) => drop(sender.send(reply)),
            Some(Waiting::Lines(sender)) => drop(reply.map_err(|problem| sender.send(Ok(Line::Problem(problem))))),
            None => {}
        }
    }

    fn line(&self, id: CallId, line: Line, last: bool) {
        let mut calls = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Waiting::Lines(sender)) = calls.1.get(&id) {
            let _ = sender.send(Ok(line));
        }
        if last {
            calls.1.remove(&id);
        }
    }
}

/// What the pump drives.
pub(crate) struct Pump {
    pub(crate) peer: Mind,
    pub(crate) storage: Storage,
    pub(crate) net: Arc<Net>,
    pub(crate) workloads: Arc<Workloads>,
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) keeping: Arc<Keeping>,
    pub(crate) shares: Arc<Shares>,
    pub(crate) calls: Arc<Calls>,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) clock: Clock,
    pub(crate) state: Arc<Mutex<PumpState>>,
    pub(crate) requests: BTreeMap<RequestId, Reply>,
    pub(crate) next_request: u64,
    pub(crate) routes: u64,
    pub(crate) next_state: Time,
}

/// What others may read of the peer without asking it.
#[derive(Debug, Clone, Default)]
pub(crate) struct PumpState {
    /// The account that the node acts for; unknown before it has looked around.
    pub(crate) account: Option<AccountId>,
    pub(crate) reason: Option<String>,
    pub(crate) metrics: Vec<(&'static str, u64)>,
    pub(crate) linked: Vec<(PeerId, String)>,
}

impl PumpState {
    /// A node that has not looked around yet.
    pub(crate) fn starting() -> Self {
        Self { reason: Some("the node is starting".to_owned()), ..Self::default() }
    }
}

impl Pump {
    /// Runs until `shutdown`, or until the disk or the ledger says that going on would be wrong.
    pub(crate) async fn run(
        mut self,
        mut net_events: mpsc::Receiver<NetEvent>,
        mut events: mpsc::Receiver<Event>,
        shutdown: CancellationToken,
    ) -> Result<(), PumpError> {
        self.net.subscribe(Topic::named(OFFERS));
        let mut count = tokio::time::interval(Duration::from_secs(1));
        count.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        self.carry_out()?;
        loop {
            let wait = self.peer.poll_timeout().map_or(Duration::from_secs(1), |time| self.clock.until(time));
            // No order among them: peers that talk without end must not keep users waiting, nor the other way round.
            let event = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                event = net_events.recv() => match event {
                    Some(event) => self.translate(event),
                    None => return Ok(()),
                },
                event = events.recv() => event,
                _ = count.tick() => {
                    self.count();
                    None
                }
                () = tokio::time::sleep(wait) => Some(Event::Tick),
            };
            if let Some(event) = event {
                self.peer.handle(self.clock.now(), event);
            }
            self.carry_out()?;
        }
    }

    /// Tells the peer what our gateway counted, and what was taken from our replicas by whom; itself, since it is the only one
    /// who empties its own inbox.
    fn count(&mut self) {
        for (from, lease, requests, egress) in self.workloads.tally().drain() {
            self.peer.handle(self.clock.now(), Event::Taken { from, lease, requests, egress });
        }
        for (lease, (requests, egress)) in self.ingress.drain() {
            self.peer.handle(self.clock.now(), Event::Counted { lease, requests, egress });
        }
    }

    fn translate(&mut self, event: NetEvent) -> Option<Event> {
        Some(match event {
            NetEvent::Connected(peer) => {
                self.ingress.refresh();
                Event::Connected(peer)
            }
            NetEvent::Disconnected(peer) => {
                self.ingress.refresh();
                Event::Disconnected(peer)
            }
            NetEvent::Message { from, protocol, bytes } => Event::Message { from, channel: channel(protocol)?, bytes },
            NetEvent::Request { from, protocol: Protocol::Steward, bytes, reply } => {
                tokio::spawn(Arc::clone(&self.shares).serve(from, bytes, reply, Arc::clone(&self.ingress)));
                return None;
            }
            NetEvent::Request { from, protocol: Protocol::Keep, bytes, reply } => {
                tokio::spawn(Arc::clone(&self.keeping).serve(from, bytes, reply));
                return None;
            }
            NetEvent::Request { from, protocol, bytes, reply } => {
                let channel = channel(protocol)?;
                self.next_request += 1;
                let id = RequestId(self.next_request);
                self.requests.retain(|_, reply| !reply.is_abandoned());
                self.requests.insert(id, reply);
                Event::Request { id, from, channel, bytes }
            }
            NetEvent::Stream { from, protocol, stream } => {
                self.stream(from, protocol, stream);
                return None;
            }
            NetEvent::Gossip { bytes, .. } => Event::Gossip { bytes },
            NetEvent::Learned(_) => return None,
        })
    }

    fn stream(&self, from: PeerId, protocol: Protocol, stream: grange_net::PeerStream) {
        match protocol {
            Protocol::Http => {
                tokio::spawn(grange_gateway::serve_peer_stream(stream, self.workloads.for_peer(from)));
            }
            Protocol::Blob => {
                let (blobs, ingress) = (Arc::clone(&self.storage.blobs), Arc::clone(&self.ingress));
                tokio::spawn(async move {
                    if let Err(error) = exchange::serve(stream, from, &blobs, &ingress).await {
                        tracing::debug!(peer = %from, %error, "blob.serve_failed");
                    }
                });
            }
            Protocol::Steward => {
                let (net, ingress) = (Arc::clone(&self.net), Arc::clone(&self.ingress));
                let papers = Papers { net, ingress, sandboxes: Arc::clone(self.workloads.sandboxes()) };
                tokio::spawn(papers.serve(stream, from));
            }
            other => tracing::debug!(peer = %from, protocol = %other, "stream.unexpected"),
        }
    }

    /// Carries out everything the peer wants, in order.
    fn carry_out(&mut self) -> Result<(), PumpError> {
        // Whoever is told that the node changed its account acts for the new one with his next call.
        self.state.lock().unwrap_or_else(PoisonError::into_inner).account = Some(self.peer.account());
        while let Some(action) = self.peer.poll_action() {
            self.carry_out_one(action)?;
        }
        if self.routes != self.peer.routes_version() {
            self.routes = self.peer.routes_version();
            self.ingress.publish(self.peer.routes());
        }
        self.tell_state();
        Ok(())
    }

    /// Lets others read how the peer is; a tenth of a second old is new enough for them.
    fn tell_state(&mut self) {
        let now = self.clock.now();
        if now >= self.next_state {
            self.next_state = now.after(STATE_EVERY);
            let state = PumpState {
                account: Some(self.peer.account()),
                reason: self.peer.reason(),
                metrics: self.peer.metrics(),
                linked: self.peer.linked(),
            };
            *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
        }
    }

    fn carry_out_one(&mut self, action: Action) -> Result<(), PumpError> {
        let disk = |source| PumpError::Disk { source };
        match action {
            Action::WalAppend(entry) => self.storage.wal_append(&entry).map_err(disk)?,
            Action::WalFlush => blocking(|| self.storage.wal_flush()).map_err(disk)?,
            Action::WalReset(height) => blocking(|| self.storage.wal_reset(height)).map_err(disk)?,
            Action::Commit { height, block, certificate } => {
                blocking(|| self.storage.commit(height, &block, &certificate)).map_err(disk)?;
            }
            Action::Snapshot { height, state } => {
                blocking(|| self.storage.snapshot(height, &state)).map_err(disk)?;
            }
            Action::Keep { bytes } => drop(blocking(|| self.storage.blobs.insert(&bytes)).map_err(disk)?),
            Action::KeepKey { deployment, key } => blocking(|| self.shares.keep_key(deployment, &key)),
            Action::Send { to, channel, bytes } => self.net.send(to, protocol(channel), bytes),
            Action::Gossip(bytes) => self.net.publish(Topic::named(OFFERS), bytes),
            Action::Request { id, to, channel, bytes, within } => self.request(id, to, channel, bytes, within),
            Action::Respond { id, bytes } => {
                if let Some(reply) = self.requests.remove(&id) {
                    reply.send(bytes);
                }
            }
            Action::Turn { height, turn } => blocking(|| self.storage.turn(height, &turn)).map_err(disk)?,
            Action::Install { height, state } => blocking(|| self.storage.install(height, &state)).map_err(disk)?,
            Action::Evidence(book) => blocking(|| self.storage.evidence(&book)).map_err(disk)?,
            Action::Prune { first } => blocking(|| self.storage.prune(first)).map_err(disk)?,
            Action::Serve { id, request } => {
                if let Some(reply) = self.requests.remove(&id) {
                    let stored = self.storage.archive();
                    tokio::task::spawn_blocking(move || {
                        if let Some(bytes) = grange_peer::serve(&stored, &request) {
                            reply.send(bytes);
                        }
                    });
                }
            }
            Action::Fetch { deployment, blobs, from } => self.fetch(deployment, blobs, from),
            Action::Retain(kept) => {
                let (blobs, sandboxes) = (Arc::clone(&self.storage.blobs), Arc::clone(self.workloads.sandboxes()));
                let shares = Arc::clone(&self.shares);
                tokio::task::spawn_blocking(move || crate::retention::retain(*kept, &blobs, &sandboxes, &shares));
            }
            Action::Start { work, from } => self.workloads.start(*work, from),
            Action::Visit { lease, generation, provider, name, path, within, whole } => {
                let target = Target { provider, lease, generation };
                self.visit(target, format!("{name}.localhost"), path, Duration::from_millis(within), whole);
            }
            Action::Stop { lease } => self.workloads.stop(lease),
            Action::Strangers { lease, served } => self.workloads.strangers(lease, served),
            Action::Reply { call, reply } => self.calls.reply(call, *reply),
            Action::Line { call, line, last } => self.calls.line(call, *line, last),
            Action::Note { event, purpose, reason } => tracing::info!(purpose, reason, "{event}"),
            Action::Halt(why) => return Err(PumpError::Ledger(why)),
        }
        Ok(())
    }

    fn request(&self, id: RequestId, to: PeerId, channel: Channel, bytes: Vec<u8>, within: u64) {
        let (net, events) = (Arc::clone(&self.net), self.events.clone());
        tokio::spawn(async move {
            let answer = net.request(to, protocol(channel), bytes, Duration::from_millis(within)).await.ok();
            let _ = events.send(Event::Response { id, answer }).await;
        });
    }

    fn visit(&self, target: Target, host: String, path: String, within: Duration, whole: bool) {
        let (ingress, events) = (Arc::clone(&self.ingress), self.events.clone());
        tokio::spawn(async move {
            let visit = match grange_gateway::visit(&*ingress, &target, &host, &path, within, whole).await {
                Ok(Visited { status, content: Some(content) }) => Visit::Read { status: status.as_u16(), content },
                Ok(Visited { status, content: None }) => Visit::Answered(status.as_u16()),
                Err(VisitError::Late { .. }) => Visit::Late,
                Err(error) => Visit::Failed { reason: chain(&error) },
            };
            let _ = events.send(Event::Visited { lease: target.lease, visit }).await;
        });
    }

    /// Fetches blobs, and the files of those that are sites; gives small ones, which may be manifests, to the peer.
    fn fetch(&self, deployment: DeploymentId, wanted: Vec<BlobId>, from: Vec<PeerId>) {
        let (net, blobs, events) = (Arc::clone(&self.net), Arc::clone(&self.storage.blobs), self.events.clone());
        tokio::spawn(async move {
            let (mut here, mut manifests) = (Vec::new(), Vec::new());
            for blob in exchange::fetch_all(&net, &blobs, &wanted, &from).await {
                let Ok(Some(bytes)) = blobs.read(blob) else { continue };
                let site = grange_types::SiteIndex::decode(&bytes).is_ok();
                if !site || exchange::fetch_site(&net, &blobs, blob, &from).await {
                    here.push(blob);
                }
                if grange_types::Manifest::decode(&bytes).is_ok() {
                    manifests.push((blob, bytes));
                }
            }
            let _ = events.send(Event::Fetched { deployment, here, manifests }).await;
        });
    }
}

/// Why a node stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum PumpError {
    /// What must be durable could not be made so.
    #[error("the disk failed; this node stops so that it says nothing it could forget")]
    Disk {
        /// The operation.
        source: DiskError,
    },
    /// The ledger and consensus disagree.
    #[error("the ledger cannot go on")]
    Ledger(#[source] grange_peer::Halt),
}

/// Disk work on a thread that may wait.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

const fn protocol(channel: Channel) -> Protocol {
    match channel {
        Channel::Consensus => Protocol::Consensus,
        Channel::Transactions => Protocol::Transactions,
        Channel::Sync => Protocol::Sync,
        Channel::Market => Protocol::Market,
        Channel::Steward => Protocol::Steward,
    }
}

const fn channel(protocol: Protocol) -> Option<Channel> {
    match protocol {
        Protocol::Consensus => Some(Channel::Consensus),
        Protocol::Transactions => Some(Channel::Transactions),
        Protocol::Sync => Some(Channel::Sync),
        Protocol::Market => Some(Channel::Market),
        Protocol::Steward => Some(Channel::Steward),
        _ => None,
    }
}
