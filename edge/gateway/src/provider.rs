//! The provider's end of a stream between peers: checks lease and generation, then serves HTTP/1.1.

use core::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use grange_types::LeaseId;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::frame::{FrameError, StreamAnswer, StreamHeader, read_frame, write_frame};
use crate::ingress::headers;
use crate::{Body, limits};

/// Finds the replicas that this node runs.
pub trait ReplicaLookup: Send + Sync + 'static {
    /// The replica of this lease in exactly this generation, if this node runs it and may serve it.
    fn find(&self, lease: LeaseId, generation: u64) -> Option<Arc<dyn Serve>>;
}

/// A replica that answers requests.
pub trait Serve: Send + Sync {
    /// Answers one request.
    fn serve(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, ServeFailure>>;
}

/// Why a replica gave no answer. It travels to the gateway as a word in a header field that no replica can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServeFailure {
    /// The node does not run the lease in that generation.
    #[error("the node does not run this replica any more")]
    NotRunning,
    /// The gateway's node is on no ledger, and has had what strangers are served for nothing.
    #[error(
        "the gateway's node is on no ledger, and what strangers are served for nothing is used up; ask through a node that \
         is registered, or one of the owner's"
    )]
    Stranger,
    /// As many requests wait as may wait.
    #[error("the replica has too many requests under way")]
    Overloaded,
    /// It took longer than a request may.
    #[error("the replica took too long")]
    TooSlow,
    /// The request's body is larger than the replica takes.
    #[error("the request is larger than the replica takes")]
    TooLarge,
    /// The request is none that can be handed to the replica.
    #[error("the request cannot be handed to the replica")]
    BadRequest,
    /// It crashed, ran out of memory, or ended without an answer.
    #[error("the replica crashed or ended without an answer")]
    Crashed,
}

/// Carries a [`ServeFailure`]'s word from provider to gateway.
pub(crate) const FAILURE: HeaderName = HeaderName::from_static("grange-failure");

impl ServeFailure {
    /// All of them.
    const ALL: [Self; 7] = [
        Self::NotRunning,
        Self::Stranger,
        Self::Overloaded,
        Self::TooSlow,
        Self::TooLarge,
        Self::BadRequest,
        Self::Crashed,
    ];

    /// The HTTP status that tells a client the same.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::NotRunning | Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Stranger => StatusCode::TOO_MANY_REQUESTS,
            Self::TooSlow => StatusCode::GATEWAY_TIMEOUT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Crashed => StatusCode::BAD_GATEWAY,
        }
    }

    /// Whether the request was refused before the replica saw it, so that any request may be tried elsewhere.
    #[must_use]
    pub(crate) const fn untouched(self) -> bool {
        matches!(self, Self::NotRunning | Self::Stranger | Self::Overloaded)
    }

    const fn word(self) -> &'static str {
        match self {
            Self::NotRunning => "not-running",
            Self::Stranger => "stranger",
            Self::Overloaded => "overloaded",
            Self::TooSlow => "too-slow",
            Self::TooLarge => "too-large",
            Self::BadRequest => "bad-request",
            Self::Crashed => "crashed",
        }
    }

    /// The failure that a word names; an unknown word is a crash of some kind.
    pub(crate) fn from_word(word: &HeaderValue) -> Self {
        Self::ALL.into_iter().find(|failure| failure.word() == word).unwrap_or(Self::Crashed)
    }
}

/// Serves one stream that a peer's gateway opened, until it ends.
pub async fn serve_peer_stream(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    lookup: Arc<dyn ReplicaLookup>,
) {
    let opened = tokio::time::timeout(limits::STREAM_HEADER_TIMEOUT, accept(&mut stream, &*lookup)).await;
    let header = match opened {
        Ok(Ok(Some(header))) => header,
        Ok(Ok(None)) => return,
        Ok(Err(error)) => return tracing::debug!(%error, "peer-stream.no-header"),
        Err(_) => return tracing::debug!("peer-stream.header-late"),
    };
    let service = hyper::service::service_fn(move |request| {
        let lookup = Arc::clone(&lookup);
        async move { Ok::<_, core::convert::Infallible>(answer(header, &*lookup, request).await) }
    });
    let connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::PEER_STREAM_IDLE)
            .max_headers(limits::HEADERS)
            .max_buf_size(limits::BUFFER_BYTES)
            .auto_date_header(false)
            .serve_connection(TokioIo::new(stream), service)
    );
    if let Err(error) = connection.await {
        tracing::debug!(lease = %header.lease.short(), %error, "peer-stream.ended");
    }
}

/// Reads the header and says whether requests may follow.
async fn accept(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    lookup: &dyn ReplicaLookup,
) -> Result<Option<StreamHeader>, FrameError> {
    let header: StreamHeader = read_frame(stream).await?;
    let runs = lookup.find(header.lease, header.generation).is_some();
    let answer = if runs { StreamAnswer::Accepted } else { StreamAnswer::NotRunning };
    write_frame(stream, &answer).await?;
    Ok(runs.then_some(header))
}

async fn answer(header: StreamHeader, lookup: &dyn ReplicaLookup, request: Request<Incoming>) -> Response<Body> {
    // The stream may be older than the replica's successor: ask before every request.
    let Some(replica) = lookup.find(header.lease, header.generation) else {
        return failure(ServeFailure::NotRunning);
    };
    match replica.serve(request.map(|body| body.map_err(Into::into).boxed())).await {
        Ok(mut response) => {
            headers::strip_hop_by_hop(response.headers_mut());
            headers::strip_internal(response.headers_mut());
            response
        }
        Err(reason) => {
            tracing::debug!(lease = %header.lease.short(), %reason, "peer-stream.no-answer");
            failure(reason)
        }
    }
}

fn failure(reason: ServeFailure) -> Response<Body> {
    let text = Bytes::from(format!("{reason}\n"));
    let mut response = Response::new(Full::new(text).map_err(|never| match never {}).boxed());
    *response.status_mut() = reason.status();
    let fields = response.headers_mut();
    fields.insert(FAILURE, HeaderValue::from_static(reason.word()));
    fields.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if reason == ServeFailure::NotRunning {
        fields.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
