//! What a [`Net`](crate::Net) tells the layers above.

use std::time::Duration;

use grange_types::{BlobId, PeerId};
use tokio::sync::oneshot;

use crate::address::PeerAddress;
use crate::protocol::Protocol;
use crate::stream::PeerStream;

/// Something that happened. Events wait in a bounded channel; when it is full, reading from peers stops.
#[derive(Debug)]
pub enum NetEvent {
    /// A link to the peer stands.
    Connected(PeerId),
    /// The link to the peer is gone; messages to it that were queued are lost.
    Disconnected(PeerId),
    /// A message, in order within its peer and protocol.
    Message {
        /// Who sent it.
        from: PeerId,
        /// In which protocol.
        protocol: Protocol,
        /// What it says.
        bytes: Vec<u8>,
    },
    /// A request that waits for an answer.
    Request {
        /// Who asks.
        from: PeerId,
        /// In which protocol.
        protocol: Protocol,
        /// What it asks.
        bytes: Vec<u8>,
        /// Where the answer goes.
        reply: Reply,
    },
    /// A stream that the peer opened.
    Stream {
        /// Who opened it.
        from: PeerId,
        /// In which protocol.
        protocol: Protocol,
        /// The stream.
        stream: PeerStream,
    },
    /// A gossiped message of a subscribed topic; each content comes once.
    Gossip {
        /// Its topic.
        topic: Topic,
        /// The neighbour that delivered it, which is not always who wrote it.
        from: PeerId,
        /// What it says.
        bytes: Vec<u8>,
    },
    /// A linked peer told its own addresses, or changed them: worth keeping for the next start.
    Learned(PeerAddress),
}

/// Where the answer to a request goes. Dropped without an answer, the asker gets
/// [`RequestError::Refused`](crate::RequestError::Refused).
#[derive(Debug)]
pub struct Reply(pub(crate) oneshot::Sender<Vec<u8>>);

impl Reply {
    /// Answers. An answer above the protocol's limit is a refusal.
    pub fn send(self, answer: Vec<u8>) {
        // The asker may have given up; then nobody wants the answer.
        let _ = self.0.send(answer);
    }

    /// Whether the asker has given up.
    #[must_use]
    pub fn is_abandoned(&self) -> bool {
        self.0.is_closed()
    }
}

/// What a gossiped message is about; a hash of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(pub(crate) [u8; 32]);

impl Topic {
    /// The topic of this name, such as `offers/eu`. Names of different networks never meet.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self(BlobId::of(&[b"grange/topic/1\0", name.as_bytes()].concat()).0)
    }
}

/// How packets reach a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// Straight from socket to socket.
    Direct,
    /// Through a relay.
    Relayed,
}

/// What is known of one peer now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Who it is.
    pub peer: PeerId,
    /// Whether a link stands.
    pub connected: bool,
    /// The smoothed round trip of the link's path.
    pub rtt: Option<Duration>,
    /// How packets reach it.
    pub path: Option<PathKind>,
    /// How long the link has stood.
    pub connected_for: Option<Duration>,
    /// Where it can be dialled, as far as known.
    pub address: PeerAddress,
}
