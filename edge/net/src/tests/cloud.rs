//! A few nodes, what they have seen, and waiting for it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use grange_types::{NetworkId, PeerId, SecretKey};
use tokio::sync::{mpsc, watch};

use crate::{Config, Net, NetEvent, PeerAddress, Protocol, Topic};

/// The network of these tests.
pub(super) const NETWORK: NetworkId = NetworkId([42; 32]);
/// Longer than anything here takes, on a machine that does much else.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// Something a node has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Seen {
    Connected(PeerId),
    Disconnected(PeerId),
    Message(PeerId, Protocol, Vec<u8>),
    Gossip(Topic, Vec<u8>),
    Learned(PeerAddress),
}

/// A node with its log.
pub(super) struct Node {
    pub(super) net: Net,
    log: Arc<Mutex<Vec<Seen>>>,
    grown: watch::Receiver<usize>,
}

/// A configuration on a free loopback port.
pub(super) fn config(key: u8) -> Config {
    let mut config = Config::new(NETWORK, SecretKey::from_bytes(&[key; 32]));
    config.bind = Some(([127, 0, 0, 1], 0).into());
    config
}

/// The id of a key.
pub(super) fn peer(key: u8) -> PeerId {
    SecretKey::from_bytes(&[key; 32]).public().peer()
}

impl Node {
    /// A node that knows these addresses.
    pub(super) async fn new(key: u8, bootstrap: &[PeerAddress]) -> Self {
        let mut config = config(key);
        config.bootstrap = bootstrap.to_vec();
        Self::start(config).await
    }

    /// A node of this configuration. It answers requests in [`Protocol::Market`] with their own bytes, never those in
    /// [`Protocol::Steward`], refuses all others, and echoes streams.
    pub(super) async fn start(config: Config) -> Self {
        let (net, events) = Net::start(config).await.unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (grow, grown) = watch::channel(0);
        tokio::spawn(pump(events, log.clone(), grow));
        Self { net, log, grown }
    }

    pub(super) fn id(&self) -> PeerId {
        self.net.peer_id()
    }

    pub(super) fn log(&self) -> Vec<Seen> {
        self.log.lock().unwrap().clone()
    }

    /// Waits until the log fulfils a condition.
    pub(super) async fn wait(&mut self, what: &str, condition: impl Fn(&[Seen]) -> bool) {
        let log = self.log.clone();
        let fulfilled = self.grown.wait_for(|_| condition(&log.lock().unwrap()));
        let waited = tokio::time::timeout(PATIENCE, fulfilled).await.is_ok_and(|fulfilled| fulfilled.is_ok());
        assert!(waited, "{what} did not happen; seen: {:?}", self.log());
    }

    /// Waits until this has been seen so many times.
    pub(super) async fn wait_for(&mut self, seen: Seen, times: usize) {
        let what = format!("{seen:?} {times} times");
        self.wait(&what, |log| log.iter().filter(|one| **one == seen).count() >= times).await;
    }

    /// Waits until a link to this peer stands.
    pub(super) async fn wait_connected(&mut self, peer: PeerId) {
        self.wait_for(Seen::Connected(peer), 1).await;
    }
}

async fn pump(mut events: mpsc::Receiver<NetEvent>, log: Arc<Mutex<Vec<Seen>>>, grow: watch::Sender<usize>) {
    let mut unanswered = Vec::new();
    while let Some(event) = events.recv().await {
        let seen = match event {
            NetEvent::Connected(peer) => Seen::Connected(peer),
            NetEvent::Disconnected(peer) => Seen::Disconnected(peer),
            NetEvent::Message { from, protocol, bytes } => Seen::Message(from, protocol, bytes),
            NetEvent::Gossip { topic, bytes, .. } => Seen::Gossip(topic, bytes),
            NetEvent::Learned(address) => Seen::Learned(address),
            NetEvent::Request { protocol, bytes, reply, .. } => {
                match protocol {
                    Protocol::Market => reply.send(bytes),
                    Protocol::Steward => unanswered.push(reply),
                    _ => drop(reply),
                }
                continue;
            }
            NetEvent::Stream { stream, .. } => {
                tokio::spawn(async move {
                    let (mut read, mut write) = tokio::io::split(stream);
                    tokio::io::copy(&mut read, &mut write).await?;
                    tokio::io::AsyncWriteExt::shutdown(&mut write).await
                });
                continue;
            }
        };
        log.lock().unwrap().push(seen);
        grow.send_modify(|length| *length += 1);
    }
}

/// Two linked nodes.
pub(super) async fn pair(first: u8, second: u8) -> (Node, Node) {
    let mut a = Node::new(first, &[]).await;
    let mut b = Node::new(second, &[a.net.addresses()]).await;
    a.wait_connected(b.id()).await;
    b.wait_connected(a.id()).await;
    (a, b)
}

/// Waits until a condition that no event announces holds; it is asked again whenever the runtime has nothing else.
pub(super) async fn until(what: &str, condition: impl Fn() -> bool) {
    let asking = async {
        let mut pause = tokio::time::interval(Duration::from_millis(5));
        while !condition() {
            pause.tick().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, asking).await.is_ok(), "{what} did not come about");
}
