//! What a [`Net`](crate::Net) is told at its start.

use std::net::SocketAddr;
use std::time::Duration;

use grange_types::{NetworkId, SecretKey};

use crate::address::PeerAddress;

/// How a node takes part in its network's traffic.
#[derive(Debug, Clone)]
pub struct Config {
    /// The network. Peers of any other are refused.
    pub network: NetworkId,
    /// The node's key; its public half is the node's [`PeerId`](grange_types::PeerId).
    pub key: SecretKey,
    /// The UDP address to listen on. With a port that is not 0 the port is kept across restarts. `None` takes any
    /// free port on all interfaces of both families.
    pub bind: Option<SocketAddr>,
    /// A relay that this node offers to others.
    pub relay: Option<RelayOffer>,
    /// URLs of relays that this node is reachable through, such as `http://192.0.2.7:3340`. The nearest is used.
    pub relays: Vec<String>,
    /// Whether to look for peers of the same network on the local network, and be found there.
    pub mdns: bool,
    /// Peers to link with from the start, and for ever.
    pub bootstrap: Vec<PeerAddress>,
    /// Maxima.
    pub limits: Limits,
}

impl Config {
    /// A node on any free port that knows nobody and offers nothing.
    #[must_use]
    pub fn new(network: NetworkId, key: SecretKey) -> Self {
        Self {
            network,
            key,
            bind: None,
            relay: None,
            relays: Vec::new(),
            mdns: false,
            bootstrap: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// A relay that a node offers: it forwards encrypted packets between peers that cannot reach each other.
///
/// It speaks plain HTTP. Between peers nothing is lost by that, since what it forwards is encrypted end to end and a
/// client proves its key to the relay by signing a challenge. What is lost without TLS: an onlooker sees which keys
/// talk through the relay, networks that let only HTTPS through are not crossed, and there is no QUIC address
/// discovery, so a peer behind NAT does not learn its public address and stays relayed unless both can see each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelayOffer {
    /// The TCP address to listen on.
    pub bind: SocketAddr,
    /// The URL under which others reach it. `None` makes one from the bound address or, bound to all, from one of the
    /// node's own; right for loopback and a LAN, wrong behind NAT.
    pub public_url: Option<String>,
    /// The most clients at once.
    pub clients: usize,
    /// The most bytes a second one client may send.
    pub client_bytes_per_second: u32,
}

impl RelayOffer {
    /// A relay on this address for 256 clients of 4 MiB/s each.
    #[must_use]
    pub const fn new(bind: SocketAddr) -> Self {
        Self { bind, public_url: None, clients: 256, client_bytes_per_second: 4 << 20 }
    }
}

/// What one node grants its peers, each of them unless said otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Links of this node. Each is a QUIC connection with a ping every quarter of [`Limits::silence`].
    pub links: usize,
    /// A link that hears nothing for so long is gone. Detection of a killed peer takes at most 1.25 times this.
    pub silence: Duration,
    /// Peers whose addresses are remembered.
    pub known_peers: usize,
    /// Bytes of messages waiting to be sent to one peer, over all protocols: four of the largest.
    pub queued_bytes: usize,
    /// Messages waiting to be sent to one peer in one protocol.
    pub queued_messages: usize,
    /// Messages a second that one peer may send us, on average; four times as many in a burst.
    pub messages_per_second: u32,
    /// Requests of one peer that are being answered.
    pub requests: usize,
    /// Streams that one peer has opened.
    pub streams: usize,
    /// Events waiting for the reader of the channel; then reading from peers stops until it catches up.
    pub events: usize,
    /// How long an unanswered [`Reply`](crate::Reply) holds its place.
    pub reply_within: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            links: 64,
            silence: Duration::from_millis(1_200),
            known_peers: 1_024,
            queued_bytes: 4 * grange_types::limits::MESSAGE_BYTES,
            queued_messages: 8_192,
            messages_per_second: 10_000,
            requests: 128,
            streams: 512,
            events: 1_024,
            reply_within: Duration::from_secs(60),
        }
    }
}
