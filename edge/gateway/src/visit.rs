//! One look at a replica: a payer asks what a gateway would ask, on the same way.
//!
//! A provider's word that a replica serves costs it nothing; an answer to a request does. Nothing is counted for a
//! visit, and nothing of the body is read.

use core::time::Duration;
use std::io;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::frame::{FrameError, StreamAnswer, StreamHeader, read_frame, write_frame};
use crate::ingress::{BoxedStream, Connector, Target};
use crate::limits;
use crate::provider::{FAILURE, ServeFailure};

/// Why a visit found nobody.
#[derive(Debug, thiserror::Error)]
pub enum VisitError {
    /// Its node took the request, and no answer came in time.
    #[error("it did not answer within {} ms", .within.as_millis())]
    Late {
        /// How long was waited.
        within: Duration,
    },
    /// Its node did not take the request in time.
    #[error("its node did not take the request within {} ms", .within.as_millis())]
    NotTaken {
        /// How long was waited.
        within: Duration,
    },
    /// No stream to its node could be opened.
    #[error("its node cannot be reached")]
    Connect(#[source] io::Error),
    /// The node did not follow the protocol at the beginning of a stream.
    #[error("its node broke off the stream")]
    Frame(#[from] FrameError),
    /// The stream broke before the head of the answer.
    #[error("it broke off before its answer began")]
    Broken(#[from] hyper::Error),
    /// The path is none that can be asked for.
    #[error("{path} is no path")]
    Path {
        /// The path.
        path: String,
        /// Why.
        source: http::Error,
    },
    /// The node does not run it.
    #[error("its node does not run it")]
    NotRunning,
}

/// Gets `path` from one replica over a stream of its own; the status of the answer.
pub async fn visit(
    connector: &dyn Connector,
    target: &Target,
    host: &str,
    path: &str,
    within: Duration,
) -> Result<StatusCode, VisitError> {
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, "grange-visit")
        .body(Empty::<Bytes>::new())
        .map_err(|source| VisitError::Path { path: path.to_owned(), source })?;
    let deadline = Instant::now() + within;
    let opened = timeout_at(deadline, open(connector, target)).await;
    let stream = opened.unwrap_or(Err(VisitError::NotTaken { within }))?;
    timeout_at(deadline, ask(stream, request)).await.unwrap_or(Err(VisitError::Late { within }))
}

/// A stream whose other end has said that it runs the replica.
async fn open(connector: &dyn Connector, target: &Target) -> Result<BoxedStream, VisitError> {
    let mut stream = connector.connect(target).await.map_err(VisitError::Connect)?;
    let header = StreamHeader { lease: target.lease, generation: target.generation };
    write_frame(&mut stream, &header).await?;
    match read_frame(&mut stream).await? {
        StreamAnswer::Accepted => Ok(stream),
        StreamAnswer::NotRunning => Err(VisitError::NotRunning),
    }
}

async fn ask(stream: BoxedStream, request: Request<Empty<Bytes>>) -> Result<StatusCode, VisitError> {
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(limits::HEADERS)
        .max_buf_size(limits::BUFFER_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    // The connection ends first only when it breaks; then the request says why.
    let response = tokio::select! {
        response = sender.send_request(request) => response?,
        Err(error) = connection => return Err(error.into()),
    };
    match response.headers().get(FAILURE).map(ServeFailure::from_word) {
        Some(ServeFailure::NotRunning) => Err(VisitError::NotRunning),
        // It runs and answers badly, or is busy: whether that is good enough its health check says.
        _ => Ok(response.status()),
    }
}
