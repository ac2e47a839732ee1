//! A session: all that is shared with one linked peer, from `Connected` to `Disconnected`.
//!
//! A session outlives its link's connection only when both sides dialled at once and the second connection takes the
//! place of the first. Everything that happens with a peer runs as a task of its session, so that when the session
//! ends nothing of it is left before `Disconnected` is told.

use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use grange_types::PeerId;
use iroh::endpoint::{Connection, VarInt};
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::address::PeerAddress;
use crate::config::Limits;
use crate::event::{NetEvent, PathKind, PeerStatus};
use crate::gossip::GossipInput;
use crate::net::Shared;
use crate::outbox::Outbox;
use crate::protocol::Protocol;
use crate::rate::{Strikes, TokenBucket};

/// How long a session waits for the link that its peer prefers to the one it closed.
const REPLACED_WITHIN: Duration = Duration::from_secs(1);

/// Why a connection is closed, as its application error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// The node stops.
    Leaving = 0,
    /// The peer is of another network.
    ForeignNetwork = 1,
    /// Another link to the same peer stands.
    Duplicate = 2,
    /// The node has as many links as it may.
    Full = 3,
    /// The peer exceeded a limit too often, or sent what makes no sense.
    Violation = 4,
    /// A connection that is no link came from a peer without one.
    NotLinked = 5,
    /// The session it belonged to is over.
    Over = 6,
}

impl CloseCode {
    /// Closes a connection for this reason.
    pub(crate) fn close(self, connection: &Connection) {
        connection.close(VarInt::from_u32(self as u32), format!("{self:?}").as_bytes());
    }

    /// Whether a connection was closed by its other side for this reason.
    pub(crate) fn closed(self, connection: &Connection) -> bool {
        match connection.close_reason() {
            Some(iroh::endpoint::ConnectionError::ApplicationClosed(close)) => {
                close.error_code == VarInt::from_u32(self as u32)
            }
            _ => false,
        }
    }
}

/// The connection of a link and who dialled it.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    /// The connection.
    pub(crate) connection: Connection,
    /// Whether this node dialled.
    pub(crate) dialed: bool,
}

/// What one protocol keeps within a session.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The connection that messages, requests and streams go out on.
    pub(crate) connection: tokio::sync::Mutex<Option<Connection>>,
    /// Messages waiting to go out; made at the first.
    pub(crate) outbox: OnceLock<Outbox>,
    /// Connections of the peer that are being served.
    pub(crate) served: AtomicUsize,
}

/// All that is shared with one linked peer.
#[derive(Debug)]
pub(crate) struct Session {
    /// The peer.
    pub(crate) peer: PeerId,
    /// The number the peer drew at its start.
    pub(crate) incarnation: u64,
    /// When the session began.
    pub(crate) since: Instant,
    link: Mutex<Link>,
    swapped: Notify,
    /// Cancelled once `Connected` has been told.
    pub(crate) announced: CancellationToken,
    /// Cancelled when the session is to end.
    pub(crate) over: CancellationToken,
    /// Cancelled once `Disconnected` has been told.
    pub(crate) ended: CancellationToken,
    /// The session's tasks.
    pub(crate) tasks: TaskTracker,
    /// One for each protocol.
    pub(crate) lanes: [Lane; Protocol::ALL.len()],
    /// Bytes of messages waiting to go out.
    pub(crate) queued_bytes: AtomicUsize,
    /// Requests of ours that wait for an answer.
    pub(crate) asking: Arc<Semaphore>,
    /// Requests of the peer that wait for an answer.
    pub(crate) answering: Arc<Semaphore>,
    /// Streams that the peer has opened.
    pub(crate) streams: Arc<Semaphore>,
    /// Streams that we have opened.
    pub(crate) opened: Arc<Semaphore>,
    bucket: Mutex<TokenBucket>,
    strikes: Mutex<Strikes>,
}

/// Locks, also after a panic elsewhere: what these locks guard is never left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Session {
    /// A session that begins with this link and ends with `stop`.
    pub(crate) fn new(peer: PeerId, incarnation: u64, link: Link, limits: &Limits, stop: &CancellationToken) -> Self {
        let now = Instant::now();
        Self {
            peer,
            incarnation,
            since: now,
            link: Mutex::new(link),
            swapped: Notify::new(),
            announced: CancellationToken::new(),
            over: stop.child_token(),
            ended: CancellationToken::new(),
            tasks: TaskTracker::new(),
            lanes: Default::default(),
            queued_bytes: AtomicUsize::new(0),
            asking: Arc::new(Semaphore::new(limits.requests)),
            answering: Arc::new(Semaphore::new(limits.requests)),
            streams: Arc::new(Semaphore::new(limits.streams)),
            opened: Arc::new(Semaphore::new(limits.streams)),
            bucket: Mutex::new(TokenBucket::new(limits.messages_per_second, now)),
            strikes: Mutex::new(Strikes::new(now)),
        }
    }

    /// The link that stands.
    pub(crate) fn link(&self) -> Link {
        lock(&self.link).clone()
    }

    /// Puts another link to the same incarnation in the place of the present one, which is closed.
    pub(crate) fn swap(&self, link: Link) {
        let former = std::mem::replace(&mut *lock(&self.link), link);
        self.swapped.notify_one();
        CloseCode::Duplicate.close(&former.connection);
    }

    /// The lane of a protocol.
    pub(crate) const fn lane(&self, protocol: Protocol) -> &Lane {
        &self.lanes[protocol.index()]
    }

    /// Runs a task of this session, dropped when the session is over.
    pub(crate) fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let over = self.over.clone();
        self.tasks.spawn(async move {
            let _ = over.run_until_cancelled(task).await;
        });
    }

    /// Whether the peer may send one more message now. If not it is counted, and too many end the session.
    pub(crate) fn admit(&self, shared: &Shared) -> bool {
        let now = Instant::now();
        if lock(&self.bucket).take(now) {
            return true;
        }
        shared.counters.violations.count();
        if lock(&self.strikes).note(now) {
            self.punish(shared, "too many messages");
        }
        false
    }

    /// Ends the session because of what the peer did, and does not answer the peer for a while.
    pub(crate) fn punish(&self, shared: &Shared, offence: &str) {
        if self.over.is_cancelled() {
            return;
        }
        tracing::warn!(peer = %self.peer.short(), offence, "peer_punished");
        shared.counters.violations.count();
        shared.counters.links_closed_for_violation.count();
        shared.switch.quarantine(self.peer, Instant::now());
        CloseCode::Violation.close(&self.link().connection);
        self.over.cancel();
    }

    /// The session's state for people and for the layers above.
    pub(crate) fn status(&self, address: PeerAddress) -> PeerStatus {
        let link = self.link();
        let (mut rtt, mut path) = (None, None);
        for candidate in link.connection.paths().iter().filter(|candidate| candidate.is_selected()) {
            rtt = Some(candidate.rtt());
            path = Some(if candidate.is_relay() { PathKind::Relayed } else { PathKind::Direct });
        }
        PeerStatus { peer: self.peer, connected: true, rtt, path, connected_for: Some(self.since.elapsed()), address }
    }

    /// Waits until the session is to end: its link broke, or something above ended it.
    async fn until_over(&self) {
        loop {
            let link = self.link();
            tokio::select! {
                () = self.over.cancelled() => return,
                () = self.swapped.notified() => {}
                reason = link.connection.closed() => {
                    // The peer keeps another link, whose greeting may still be on its way to us.
                    let spare = CloseCode::Duplicate.closed(&link.connection);
                    let replaced = spare && tokio::select! {
                        () = self.over.cancelled() => false,
                        swapped = tokio::time::timeout(REPLACED_WITHIN, self.swapped.notified()) => swapped.is_ok(),
                    };
                    if !replaced && self.link().connection.stable_id() == link.connection.stable_id() {
                        tracing::debug!(peer = %self.peer.short(), %reason, "link_lost");
                        return;
                    }
                }
            }
        }
    }
}

/// Runs a session from `Connected` to `Disconnected`, after the former one of the same peer, if there was one.
pub(crate) async fn drive(
    shared: Arc<Shared>,
    session: Arc<Session>,
    former: Option<CancellationToken>,
    learned: Option<PeerAddress>,
) {
    if let Some(former) = former {
        former.cancelled().await;
    }
    let peer = session.peer;
    tracing::info!(peer = %peer.short(), "peer_connected");
    shared.counters.connected.count();
    shared.emit(NetEvent::Connected(peer)).await;
    session.announced.cancel();
    if let Some(learned) = learned {
        shared.emit(NetEvent::Learned(learned)).await;
    }
    shared.tell_gossip(GossipInput::Linked(peer)).await;
    session.until_over().await;

    session.over.cancel();
    shared.switch.touch();
    let code = if shared.stop.is_cancelled() { CloseCode::Leaving } else { CloseCode::Over };
    code.close(&session.link().connection);
    session.tasks.close();
    session.tasks.wait().await;
    shared.counters.disconnected.count();
    shared.tell_gossip(GossipInput::Unlinked(peer)).await;
    tracing::info!(peer = %peer.short(), "peer_disconnected");
    shared.emit(NetEvent::Disconnected(peer)).await;
    // Until here a new link to the peer finds this session and waits for its end.
    shared.switch.remove(&session);
    session.ended.cancel();
    if shared.switch.get(peer).is_none() {
        let pause =
            if shared.switch.is_quarantined(peer, Instant::now()) { Duration::from_secs(5) } else { Duration::ZERO };
        lock(&shared.book).lost(Instant::now(), peer, pause);
    }
    shared.wake_dialer.notify_one();
    shared.wake_exchange.notify_one();
}
