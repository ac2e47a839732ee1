//! The bodies that go in and out of a replica: streams that can fail.

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full};

use crate::error::ServeError;

/// A request's or an answer's body.
pub type Body = http_body_util::combinators::BoxBody<Bytes, BodyError>;

/// Why a body ended before its end.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The one who sends the request stopped sending.
    #[error("the request's body ended early")]
    Client {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The replica stopped in the middle of its answer.
    #[error("the answer's body ended early")]
    Replica {
        /// Why.
        source: ServeError,
    },
    /// The replica did not finish the body it began.
    #[error("the replica left the answer's body unfinished")]
    Unfinished {
        /// What the engine says.
        source: wasmtime_wasi_http::Error,
    },
    /// A file of a site cannot be read.
    #[error("cannot read a file of the site")]
    ReadFile(#[from] std::io::Error),
}

/// A body without bytes.
#[must_use]
pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A body that is there in full.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}
