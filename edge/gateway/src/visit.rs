//! One look at a replica: a payer asks what a gateway would ask, on the same way.
//!
//! A provider's word that a replica serves costs it nothing; an answer to a request does. Nothing is counted for a
//! visit, and nothing of the body is read unless the whole answer is what counts.

use core::time::Duration;
use std::io;

use bytes::Bytes;
use grange_types::BlobId;
use http::header::{HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::frame::{FrameError, StreamAnswer, StreamHeader, read_frame, write_frame};
use crate::ingress::{BoxedStream, Connector, Target};
use crate::limits;
use crate::provider::{FAILURE, ServeFailure};

/// Of a body so much is read at most.
const WHOLE_BYTES: usize = 64 << 10;

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

/// What a replica answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Visited {
    /// The status.
    pub status: StatusCode,
    /// The hash of the body, if that was asked for.
    pub content: Option<BlobId>,
}

/// Gets `path` from one replica over a stream of its own; with `whole`, reads the body too, as far as 64 KiB.
pub async fn visit(
    connector: &dyn Connector,
    target: &Target,
    host: &str,
    path: &str,
    within: Duration,
    whole: bool,
) -> Result<Visited, VisitError> {
    let request = Request::get(path)
        .header(HOST, host)
        .header(USER_AGENT, "grange-visit")
        .body(Empty::<Bytes>::new())
        .map_err(|source| VisitError::Path { path: path.to_owned(), source })?;
    let deadline = Instant::now() + within;
    let opened = timeout_at(deadline, open(connector, target)).await;
    let stream = opened.unwrap_or(Err(VisitError::NotTaken { within }))?;
    timeout_at(deadline, ask(stream, request, whole)).await.unwrap_or(Err(VisitError::Late { within }))
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

async fn ask(stream: BoxedStream, request: Request<Empty<Bytes>>, whole: bool) -> Result<Visited, VisitError> {
    let (sender, connection) = http1::Builder::new()
        .max_headers(limits::HEADERS)
        .max_buf_size(limits::BUFFER_BYTES)
        .handshake(TokioIo::new(stream))
        .await?;
    // The connection ends first only when it breaks; then the request says why. One that is done has carried everything.
    let broken = async {
        match connection.await {
            Err(error) => error,
            Ok(()) => core::future::pending().await,
        }
    };
    tokio::select! {
        visited = answer(sender, request, whole) => visited,
        error = broken => Err(error.into()),
    }
}

async fn answer(
    mut sender: http1::SendRequest<Empty<Bytes>>,
    request: Request<Empty<Bytes>>,
    whole: bool,
) -> Result<Visited, VisitError> {
    let response = sender.send_request(request).await?;
    let status = response.status();
    match response.headers().get(FAILURE).map(ServeFailure::from_word) {
        Some(ServeFailure::NotRunning) => Err(VisitError::NotRunning),
        // It runs and answers badly, or is busy: whether that is good enough its health check says.
        _ if !whole => Ok(Visited { status, content: None }),
        _ => Ok(Visited { status, content: Some(read(response.into_body()).await?) }),
    }
}

/// The hash of a body; of a longer one than anybody asks for the hash of its beginning, which is another.
async fn read(mut body: hyper::body::Incoming) -> Result<BlobId, VisitError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame?.into_data() {
            bytes.extend_from_slice(&data);
        }
        if bytes.len() > WHOLE_BYTES {
            break;
        }
    }
    Ok(BlobId::of(&bytes))
}
