//! Speak to the outside: websites and ingress, the HTTP API.
//!
//! Three doors, each a function that runs until it is told to stop:
//! - [`serve_api`]: the HTTP API of `grange-api` on the loopback address, for whoever holds the token; it turns
//!   requests into calls and a [`Backend`]'s answers into responses.
//! - [`serve_ingress`]: `http://NAME.localhost:PORT/`; it asks a [`Resolver`] where a name is served, and streams the
//!   request to a replica over a [`Connector`]'s stream to that replica's node.
//! - [`serve_peer_stream`]: the other end of such a stream, on the node that runs the replica.
//!
//! And one that looks for itself: [`visit`], a payer's own request to a replica.
//!
//! # Rules
//! - A stream between peers begins with a [`StreamHeader`]: the lease and the generation it wants. A node that does
//!   not run exactly these refuses, at the beginning and before every request: the old lease serves nothing.
//! - Bodies are streamed both ways with back-pressure; nothing is read ahead of the one who takes it.
//! - A request that reached no replica is tried on another one; one that was sent is tried once more only when it is
//!   idempotent and has no body. What fails then is said, with the status that fits: nothing is pretended.
//! - The payer's meter counts here: one request for each answer of a replica, and each byte of a body that is
//!   passed on, when it is passed on ([`UsageSink`]).
//! - Tokens are compared in constant time and never logged. A key is asked for its rights before anything of a request is
//!   read, and every call is written down when it is over: who, what, about what, and what came of it.
//!
//! # Limits
//! All in [`limits`].
//!
//! # What is left out
//! TLS and names other than `NAME.localhost`, websockets and other upgrades (refused with 501), HTTP/2.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod api;
mod backend;
mod frame;
#[doc(hidden)]
pub mod fuzz;
mod ingress;
pub mod limits;
mod listen;
mod provider;
mod visit;

pub use api::serve_api;
pub use backend::{Answer, Backend, BlobWriter, CallRecord, CallResult, Lines, Principal, SecretToken, TokenRefusal};
pub use frame::{FrameError, StreamAnswer, StreamHeader};
pub use ingress::{
    BoxedStream, Connector, Deadlines, Ingress, PeerStream, Resolved, Resolver, RouteEntry, Target, UsageSink,
    serve_ingress,
};
pub use provider::{ReplicaLookup, Serve, ServeFailure, serve_peer_stream};
pub use visit::{VisitError, Visited, visit};

/// A request's or an answer's body: a stream that can fail.
pub type Body = http_body_util::combinators::BoxBody<bytes::Bytes, BodyError>;

/// Why a body ended before its end.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
