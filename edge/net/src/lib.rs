//! Carry messages and streams between peers over iroh; LAN discovery; embedded relay.
//!
//! A [`Net`] is one node's presence in one network. It keeps a **link** to every peer it knows (up to a limit),
//! redials it when it breaks, and tells the layers above when one stands ([`NetEvent::Connected`]) and when it
//! is gone ([`NetEvent::Disconnected`]). Everything else (messages, requests, streams, gossip) travels beside a
//! link and lives no longer than it.
//!
//! # Rules
//! - **No public infrastructure.** No default relays, no public name servers, no address publishing, no port
//!   mapping, no probes to anyone but the configured relays. It works with the internet cable pulled.
//! - **One network.** The first frame of every connection names the network. A peer of another network is told
//!   so, logged, and never becomes connected.
//! - **One ALPN per protocol** ([`Protocol::alpn`]), so each can move to `/2` alone. A connection of a protocol is
//!   opened at its first use and shared by all its messages, requests and streams in both directions.
//! - **Connected, then content, then disconnected.** For one peer, no message, request or stream event comes
//!   before its `Connected` nor after its `Disconnected`.
//! - **Silence is death.** A link that hears nothing for [`Limits::silence`] is gone; its dialer pings at a quarter
//!   of that. A peer that was restarted says so in its greeting and replaces its former self at once.
//! - **Messages** of one peer and protocol arrive in order, at most once, or are dropped and counted: they are
//!   queued only while the peer is linked. **Requests** have a deadline. **Streams** push back.
//! - **Limits everywhere** ([`Limits`], [`Protocol::message_limit`]). What exceeds one is dropped and counted; a
//!   frame that is too long or makes no sense, or a hundred drops within ten seconds, closes the link, and its peer is
//!   not answered for five seconds.
//! - **Peer exchange.** Linked peers tell each other the addresses of the peers they are linked with now.
//!
//! # What it leaves out
//! Who may speak: any key of the network may link; what it may say is decided above. Gossip tells who delivered a
//! message, not who wrote it: what matters is signed. Public addresses are not discovered: that needs a relay with
//! TLS and QUIC address discovery; without them hole punching works only between addresses the peers see themselves.
//!
//! ```no_run
//! # async fn example(network: grange_types::NetworkId, key: grange_types::SecretKey) -> Result<(), Box<dyn std::error::Error>> {
//! use grange_net::{Config, Net, NetEvent, Protocol};
//!
//! let (net, mut events) = Net::start(Config::new(network, key)).await?;
//! while let Some(event) = events.recv().await {
//!     match event {
//!         NetEvent::Connected(peer) => net.send(peer, Protocol::Consensus, b"hello".to_vec()),
//!         NetEvent::Request { reply, bytes, .. } => reply.send(bytes),
//!         _ => {}
//!     }
//! }
//! # Ok(()) }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod address;
mod book;
mod config;
mod dialing;
mod endpoint;
mod error;
mod event;
mod exchange;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod gossip;
mod handshake;
mod lan;
mod listening;
mod metrics;
mod net;
mod outbox;
mod protocol;
mod rate;
mod relay;
mod request;
mod serving;
mod session;
mod stream;
mod switch;
mod wire;

#[cfg(test)]
mod tests;

pub use address::PeerAddress;
pub use config::{Config, Limits, RelayOffer};
pub use error::{NetError, RequestError};
pub use event::{NetEvent, PathKind, PeerStatus, Reply, Topic};
pub use metrics::NetMetrics;
pub use net::Net;
pub use protocol::Protocol;
pub use stream::PeerStream;
