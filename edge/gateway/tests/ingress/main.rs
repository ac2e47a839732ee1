//! The ingress over real TCP and the providers' ends of its streams, with replicas that are real HTTP servers.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod routing;
mod streaming;
mod world;
