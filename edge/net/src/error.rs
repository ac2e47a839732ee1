//! What can go wrong, one variant per operation.

use std::net::SocketAddr;
use std::time::Duration;

use grange_types::PeerId;

use crate::protocol::Protocol;

/// Why a [`Net`](crate::Net) did not start.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The address to listen on makes no sense.
    #[error("cannot listen on UDP {address}")]
    BindAddress {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: iroh::endpoint::InvalidSocketAddr,
    },
    /// The sockets cannot be bound: mostly because another process has the port.
    #[error("cannot listen on UDP {}; is another node running with this port?", .address.map_or_else(|| "any port".to_owned(), |address| address.to_string()))]
    Bind {
        /// The address, if one was asked for.
        address: Option<SocketAddr>,
        /// Why.
        source: Box<iroh::endpoint::BindError>,
    },
    /// The offered relay does not start.
    #[error("cannot offer a relay on TCP {address}")]
    OfferRelay {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: Box<iroh_relay::server::SpawnError>,
    },
    /// A relay's URL is none.
    #[error("{url} is no relay URL; one looks like http://192.0.2.7:3340")]
    RelayUrl {
        /// The text.
        url: String,
        /// Why.
        source: iroh::RelayUrlParseError,
    },
}

/// Why a request got no answer, or a stream did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no link to the peer, and none came up in time.
    #[error("peer {} cannot be reached", .peer.short())]
    Unreachable {
        /// The peer.
        peer: PeerId,
    },
    /// The peer did not answer in time. It may have acted on the request.
    #[error("peer {} did not answer a {protocol} request within {} ms", .peer.short(), .deadline.as_millis())]
    Deadline {
        /// The peer.
        peer: PeerId,
        /// In which protocol.
        protocol: Protocol,
        /// The time it had.
        deadline: Duration,
    },
    /// The connection was lost on the way. The peer may have acted on the request.
    #[error("the connection to peer {} was lost during a {protocol} request", .peer.short())]
    Lost {
        /// The peer.
        peer: PeerId,
        /// In which protocol.
        protocol: Protocol,
    },
    /// The peer has too much to do, or we have too many requests open with it.
    #[error("peer {} takes no more {protocol} requests now; try again later or ask another peer", .peer.short())]
    Busy {
        /// The peer.
        peer: PeerId,
        /// In which protocol.
        protocol: Protocol,
    },
    /// The peer gave no answer: it does not serve this protocol, or it refused this request.
    #[error("peer {} does not answer this {protocol} request", .peer.short())]
    Refused {
        /// The peer.
        peer: PeerId,
        /// In which protocol.
        protocol: Protocol,
    },
    /// The request or its answer is longer than the protocol allows.
    #[error("a {protocol} message of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// In which protocol.
        protocol: Protocol,
        /// How long it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The protocol is not for the layers above.
    #[error("{protocol} is spoken by the network itself")]
    Reserved {
        /// The protocol.
        protocol: Protocol,
    },
}
