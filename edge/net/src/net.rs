//! The face of the crate: one node's presence in one network.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grange_types::{NetworkId, PeerId};
use iroh::Endpoint;
use iroh::endpoint::QuicTransportConfig;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::address::PeerAddress;
use crate::book::{Book, Source};
use crate::config::{Config, Limits};
use crate::error::{NetError, RequestError};
use crate::event::{NetEvent, PeerStatus, Topic};
use crate::gossip::GossipInput;
use crate::metrics::{Counters, NetMetrics};
use crate::outbox::post;
use crate::protocol::Protocol;
use crate::relay::Relay;
use crate::session::lock;
use crate::stream::PeerStream;
use crate::switch::Switch;

/// Connections that may be in the middle of their greeting: two for every link.
const HANDSHAKES_PER_LINK: usize = 2;
/// Attempts to link at the same time.
const DIALS: usize = 16;
/// How long a stopping node waits for its peers to hear that it leaves.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);
/// How long it waits after that for its relay to end, and as long, at the same time, for its port to be free.
const RELEASE_WITHIN: Duration = Duration::from_millis(500);
/// How often a stopping node looks whether its port is free.
const RELEASE_POLL: Duration = Duration::from_millis(2);

/// One node's presence in one network. Clones are the same node; when the last is dropped the node stops at once and
/// its peers find out by its silence, while [`Net::shutdown`] tells them.
#[derive(Debug, Clone)]
pub struct Net {
    shared: Arc<Shared>,
    relay: Arc<tokio::sync::Mutex<Option<Relay>>>,
    _guard: Arc<DropGuard>,
}

/// What the tasks of a node share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) network: NetworkId,
    pub(crate) me: PeerId,
    /// Drawn at the start, so that peers notice a restart.
    pub(crate) incarnation: u64,
    pub(crate) limits: Limits,
    /// Until the node stops: whoever keeps it keeps its port taken.
    endpoint: Mutex<Option<Endpoint>>,
    /// The relay that this node offers.
    relay_url: Option<String>,
    pub(crate) link_transport: QuicTransportConfig,
    pub(crate) counters: Counters,
    pub(crate) book: Mutex<Book>,
    pub(crate) switch: Switch,
    pub(crate) wake_dialer: Notify,
    pub(crate) wake_exchange: Notify,
    pub(crate) handshakes: Arc<Semaphore>,
    pub(crate) dials: Semaphore,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    events: mpsc::Sender<NetEvent>,
    gossip: mpsc::Sender<GossipInput>,
}

impl Shared {
    /// The transport endpoint; none once the node has stopped.
    pub(crate) fn endpoint(&self) -> Option<Endpoint> {
        lock(&self.endpoint).clone()
    }

    /// Tells the layers above; waits while they are busy, unless the node stops.
    pub(crate) async fn emit(&self, event: NetEvent) {
        tokio::select! {
            biased;
            _ = self.events.send(event) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Tells the gossip machine what it must know.
    pub(crate) async fn tell_gossip(&self, input: GossipInput) {
        tokio::select! {
            biased;
            _ = self.gossip.send(input) => {}
            () = self.stop.cancelled() => {}
        }
    }

    /// Tells the gossip machine what it may miss.
    pub(crate) fn offer_gossip(&self, input: GossipInput) {
        if self.gossip.try_send(input).is_err() {
            self.counters.gossip_dropped.count();
        }
    }

    /// Where this node can be reached, as it knows itself. The relay it offers is named before its own connection to it
    /// stands: an invitation made meanwhile is of no use to a peer behind NAT without it.
    pub(crate) fn own_address(&self) -> PeerAddress {
        let offered =
            PeerAddress { peer: self.me, addresses: Vec::new(), relays: self.relay_url.iter().cloned().collect() };
        match self.endpoint() {
            Some(endpoint) => offered.joined(&PeerAddress::from_endpoint(&endpoint.addr())).cleaned(),
            None => offered,
        }
    }
}

impl Net {
    /// Starts the node: binds its socket, offers its relay, and begins to link with the peers it knows. Events must be
    /// read from the receiver, or the node stops reading from its peers.
    ///
    /// # Errors
    /// When the address or port cannot be bound, the relay does not start, or a relay's URL is none.
    pub async fn start(config: Config) -> Result<(Self, mpsc::Receiver<NetEvent>), NetError> {
        let relay = match &config.relay {
            Some(offer) => Some(Relay::start(offer).await?),
            None => None,
        };
        let endpoint = crate::endpoint::bind(&config).await?;
        let own = PeerAddress::from_endpoint(&endpoint.addr());
        let relay_url = relay.as_ref().map(|relay| relay.url(&own));
        if let Some(url) = &relay_url {
            // A node that offers a relay is reachable through it like anybody.
            crate::endpoint::use_relay(&endpoint, url).await;
        }
        let (events, received) = mpsc::channel(config.limits.events.max(1));
        let (gossip, gossiped) = mpsc::channel(crate::gossip::INPUTS);
        let me = config.key.public().peer();
        let stop = CancellationToken::new();
        let mut book = Book::new(me, config.limits.known_peers);
        for address in config.bootstrap {
            book.add(Instant::now(), Source::Given, address);
        }
        let shared = Arc::new(Shared {
            network: config.network,
            me,
            incarnation: rand::random(),
            link_transport: crate::endpoint::link_transport(config.limits.silence),
            counters: Counters::default(),
            book: Mutex::new(book),
            switch: Switch::new(),
            wake_dialer: Notify::new(),
            wake_exchange: Notify::new(),
            handshakes: Arc::new(Semaphore::new(config.limits.links.max(1) * HANDSHAKES_PER_LINK)),
            dials: Semaphore::new(DIALS),
            stop: stop.clone(),
            tasks: TaskTracker::new(),
            limits: config.limits,
            endpoint: Mutex::new(Some(endpoint)),
            relay_url,
            events,
            gossip,
        });
        shared.tasks.spawn(crate::gossip::run(shared.clone(), gossiped));
        shared.tasks.spawn(crate::listening::listen(shared.clone()));
        shared.tasks.spawn(crate::dialing::keep_linked(shared.clone()));
        shared.tasks.spawn(crate::exchange::tell_news(shared.clone()));
        if config.mdns {
            shared.tasks.spawn(crate::lan::look(shared.clone()));
        }
        let relay = Arc::new(tokio::sync::Mutex::new(relay));
        Ok((Self { shared, relay, _guard: Arc::new(stop.drop_guard()) }, received))
    }

    /// What the tasks share, for tests that look inside.
    #[cfg(test)]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// The node's id.
    #[must_use]
    pub fn peer_id(&self) -> PeerId {
        self.shared.me
    }

    /// Where this node can be reached now: its sockets, the relay it offers, and the relay it uses, once it is connected
    /// to it. For invitations.
    #[must_use]
    pub fn addresses(&self) -> PeerAddress {
        self.shared.own_address()
    }

    /// The URL of the relay this node offers, if it offers one.
    #[must_use]
    pub fn relay_url(&self) -> Option<&str> {
        self.shared.relay_url.as_deref()
    }

    /// Sends a message: in order within its peer and protocol, at most once. Dropped and counted when the peer is not
    /// linked, too much waits for it already, or the message is longer than [`Protocol::message_limit`].
    pub fn send(&self, to: PeerId, protocol: Protocol, message: Vec<u8>) {
        match self.shared.switch.get(to) {
            Some(session) if protocol.is_open() && message.len() <= protocol.message_limit() => {
                post(&self.shared, &session, protocol, message);
            }
            _ => self.shared.counters.messages_dropped.count(),
        }
    }

    /// Asks a peer and waits for its answer.
    ///
    /// # Errors
    /// [`RequestError::Unreachable`] at once when the peer is known to be out of reach, and within a second when it is
    /// being dialled; the others as they say.
    pub async fn request(
        &self,
        to: PeerId,
        protocol: Protocol,
        body: Vec<u8>,
        deadline: Duration,
    ) -> Result<Vec<u8>, RequestError> {
        let answer = crate::request::ask(&self.shared, to, protocol, &body, deadline).await;
        if answer.is_err() {
            self.shared.counters.requests_failed.count();
        }
        answer
    }

    /// Opens a stream to a peer: one of many on the connection that the peer's streams of this protocol share.
    ///
    /// # Errors
    /// As [`Net::request`].
    pub async fn open_stream(&self, to: PeerId, protocol: Protocol) -> Result<PeerStream, RequestError> {
        crate::request::open_stream(&self.shared, to, protocol).await
    }

    /// Wants the messages of a topic: [`NetEvent::Gossip`].
    pub fn subscribe(&self, topic: Topic) {
        self.shared.offer_gossip(GossipInput::Subscribe(topic));
    }

    /// Wants them no more.
    pub fn unsubscribe(&self, topic: Topic) {
        self.shared.offer_gossip(GossipInput::Unsubscribe(topic));
    }

    /// Tells all who subscribed to the topic; not this node itself. The same content is told once in 90 s. A message
    /// above [`GOSSIP_BYTES`](grange_types::limits::GOSSIP_BYTES) is dropped and counted.
    pub fn publish(&self, topic: Topic, message: Vec<u8>) {
        if message.len() > grange_types::limits::GOSSIP_BYTES {
            self.shared.counters.gossip_dropped.count();
            return;
        }
        self.shared.offer_gossip(GossipInput::Publish(topic, message));
    }

    /// Makes a peer known: it is linked soon, and redialled for ever.
    pub fn add_address(&self, address: PeerAddress) {
        if lock(&self.shared.book).add(Instant::now(), Source::Given, address) {
            self.shared.wake_dialer.notify_one();
        }
    }

    /// All known peers, linked or not.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let known: Vec<PeerAddress> = lock(&self.shared.book).all().collect();
        let unlinked = |address: PeerAddress| PeerStatus {
            peer: address.peer,
            connected: false,
            rtt: None,
            path: None,
            connected_for: None,
            address,
        };
        let status = |address: PeerAddress| match self.shared.switch.get(address.peer) {
            Some(session) => session.status(address),
            None => unlinked(address),
        };
        known.into_iter().map(status).collect()
    }

    /// Whether a link to the peer stands.
    #[must_use]
    pub fn is_connected(&self, peer: PeerId) -> bool {
        self.shared.switch.get(peer).is_some()
    }

    /// What was counted so far.
    #[must_use]
    pub fn metrics(&self) -> NetMetrics {
        self.shared.counters.links.set(self.shared.switch.len() as u64);
        self.shared.counters.known_peers.set(lock(&self.shared.book).len() as u64);
        self.shared.counters.read()
    }

    /// Tells the peers that this node leaves, and stops it. Also its clones are of no use afterwards. Its port is free
    /// again when this returns, for the next node that starts with the same settings, unless another process took it.
    pub async fn shutdown(self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        let endpoint = self.shared.endpoint();
        let sockets = endpoint.as_ref().map(Endpoint::bound_sockets).unwrap_or_default();
        let left = async {
            self.shared.tasks.wait().await;
            if let Some(endpoint) = &endpoint {
                endpoint.close().await;
            }
        };
        if tokio::time::timeout(LEAVE_WITHIN, left).await.is_err() {
            tracing::warn!(within = ?LEAVE_WITHIN, "left_without_farewell");
        }
        // Whoever keeps the endpoint keeps the port taken.
        drop((lock(&self.shared.endpoint).take(), endpoint));
        // The relay carried the farewell to whoever is behind it, so it goes last; it and the port, which another process
        // may take at once, do not wait for each other.
        let relay = async {
            let Some(relay) = self.relay.lock().await.take() else { return };
            if tokio::time::timeout(RELEASE_WITHIN, relay.stop()).await.is_err() {
                tracing::warn!(within = ?RELEASE_WITHIN, "relay_cut_off");
            }
        };
        let port = async {
            if tokio::time::timeout(RELEASE_WITHIN, released(&sockets)).await.is_err() {
                tracing::warn!(?sockets, within = ?RELEASE_WITHIN, "port_not_released");
            }
        };
        tokio::join!(relay, port);
    }
}

/// Waits until the system has taken the sockets back: the transport closes them in the background.
async fn released(sockets: &[SocketAddr]) {
    while sockets.iter().any(|socket| UdpSocket::bind(socket).is_err()) {
        tokio::time::sleep(RELEASE_POLL).await;
    }
}
