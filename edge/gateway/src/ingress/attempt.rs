//! One request to one replica: a stream, the request, the head of the answer.

use core::future::{Future, poll_fn};
use core::pin::pin;
use std::io;
use std::sync::Arc;

use http::{Method, Request, Response, request};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::carry::{Progress, RequestBody};
use super::pool::{Exchange, Lent, Streams};
use super::{Ingress, Resolved, Target};
use crate::frame::{FrameError, StreamAnswer, StreamHeader, read_frame, write_frame};
use crate::provider::{FAILURE, ServeFailure};

/// Why a replica gave no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AttemptError {
    /// No stream to its node could be opened.
    #[error("its node cannot be reached")]
    Connect(#[source] io::Error),
    /// No stream could be opened in time.
    #[error("its node did not answer in time")]
    ConnectLate,
    /// The node did not follow the protocol at the beginning of a stream.
    #[error("its node broke off the stream")]
    Frame(#[from] FrameError),
    /// The stream broke before the head of the answer.
    #[error("it broke off before its answer began")]
    Broken(#[source] hyper::Error),
    /// The replica took the request and was silent.
    #[error("it was silent for too long")]
    Silent,
    /// Another replica has taken its place.
    #[error("another replica has taken its place")]
    Superseded,
    /// The node refused, or the replica failed.
    #[error("{0}")]
    Served(#[source] ServeFailure),
}

/// A failed attempt, and what it leaves of the request.
pub(super) struct Failed {
    /// Why.
    pub(super) error: AttemptError,
    /// Whether the same request may be sent to another replica.
    pub(super) again: bool,
}

/// The request, as it can be sent more than once.
pub(super) struct Message<'a> {
    /// Its head, with the fields that the replica gets.
    pub(super) head: &'a request::Parts,
    /// Its body; taken once it was sent.
    pub(super) body: Option<RequestBody>,
}

impl Message<'_> {
    /// Whether it may be sent although it may have been done: it has the same effect twice, and no body is lost.
    fn repeatable(&self) -> bool {
        let idempotent =
            matches!(self.head.method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE);
        idempotent && self.complete()
    }

    /// Whether nothing of its body is gone.
    fn complete(&self) -> bool {
        self.body.is_some()
    }

    /// The request to send. A streamed body is gone with it, unless the stream gives it back unsent.
    fn take(&mut self) -> Request<RequestBody> {
        let streamed = matches!(self.body, Some(RequestBody::Streamed { .. }));
        let body = if streamed { self.body.take() } else { None }.unwrap_or(RequestBody::Empty);
        let mut request = Request::new(body);
        *request.method_mut() = self.head.method.clone();
        *request.uri_mut() = self.head.uri.clone();
        *request.headers_mut() = self.head.headers.clone();
        request
    }
}

/// An answer whose head has come.
pub(super) struct Answered {
    /// The answer.
    pub(super) response: Response<Incoming>,
    /// The stream it comes on.
    pub(super) lent: Lent,
    /// How far the request's body has come.
    pub(super) progress: Option<Arc<Progress>>,
}

impl Ingress {
    /// Sends the request to one replica and waits for the head of the answer.
    pub(super) async fn attempt(
        &self,
        name: &str,
        target: &Target,
        message: &mut Message<'_>,
    ) -> Result<Answered, Failed> {
        let streams = self.pool.streams(target);
        let mut may_reuse = true;
        loop {
            let (lent, reused) = match timeout(self.deadlines.connect, self.stream(target, &streams, may_reuse)).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(Failed { error, again: message.complete() }),
                Err(_) => return Err(Failed { error: AttemptError::ConnectLate, again: message.complete() }),
            };
            match self.exchange(name, target, message, lent).await {
                // An idle stream may break at the moment it is used again: that says nothing of the replica.
                Err(Failed { error: AttemptError::Broken(_), again: true }) if reused => may_reuse = false,
                result => return result,
            }
        }
    }

    /// A stream to the replica, and whether it was used before.
    async fn stream(
        &self,
        target: &Target,
        streams: &Arc<Streams>,
        may_reuse: bool,
    ) -> Result<(Lent, bool), AttemptError> {
        let permit = streams.permit().await.ok_or(AttemptError::ConnectLate)?;
        if may_reuse && let Some(exchange) = streams.idle().await {
            return Ok((Arc::clone(streams).lend(exchange, permit), true));
        }
        let exchange = self.open(target).await?;
        Ok((Arc::clone(streams).lend(exchange, permit), false))
    }

    async fn open(&self, target: &Target) -> Result<Exchange, AttemptError> {
        let mut stream = self.connector.connect(target).await.map_err(AttemptError::Connect)?;
        let header = StreamHeader { lease: target.lease, generation: target.generation };
        write_frame(&mut stream, &header).await?;
        match read_frame(&mut stream).await? {
            StreamAnswer::Accepted => {}
            StreamAnswer::NotRunning => return Err(AttemptError::Served(ServeFailure::NotRunning)),
        }
        Exchange::over(stream).await.map_err(AttemptError::Broken)
    }

    async fn exchange(
        &self,
        name: &str,
        target: &Target,
        message: &mut Message<'_>,
        mut lent: Lent,
    ) -> Result<Answered, Failed> {
        let request = message.take();
        let progress = request.body().progress();
        let began = Instant::now();
        let sent = {
            let mut sending = pin!(lent.exchange.sender.try_send_request(request));
            loop {
                let driven = poll_fn(|cx| {
                    lent.exchange.drive(cx);
                    sending.as_mut().poll(cx)
                });
                match timeout(self.deadlines.watch, driven).await {
                    Ok(sent) => break sent,
                    Err(_) => self.still_waiting(name, target, began, progress.as_deref()).map_err(|error| {
                        // What is silent may be doing it; what was superseded may have done it.
                        let again = matches!(error, AttemptError::Superseded) && message.repeatable();
                        Failed { error, again }
                    })?,
                }
            }
        };
        let mut response = match sent {
            Ok(response) => response,
            Err(mut failed) => {
                let unsent = failed.take_message();
                let again = unsent.is_some() || message.repeatable();
                if let Some(request) = unsent {
                    message.body = Some(request.into_body());
                }
                return Err(Failed { error: AttemptError::Broken(failed.into_error()), again });
            }
        };
        if let Some(word) = response.headers_mut().remove(FAILURE) {
            let failure = ServeFailure::from_word(&word);
            let again = if failure.untouched() { message.complete() } else { message.repeatable() };
            return Err(Failed { error: AttemptError::Served(failure), again });
        }
        Ok(Answered { response, lent, progress })
    }

    /// Whether to wait on for an answer that has not begun.
    fn still_waiting(
        &self,
        name: &str,
        target: &Target,
        began: Instant,
        progress: Option<&Progress>,
    ) -> Result<(), AttemptError> {
        let silent = progress.map_or_else(|| began.elapsed(), Progress::silent);
        if silent >= self.deadlines.first_byte {
            return Err(AttemptError::Silent);
        }
        if let Resolved::Targets { routes } = self.resolver.resolve(name) {
            let current = routes.iter().any(|route| route.targets.contains(target));
            return if current { Ok(()) } else { Err(AttemptError::Superseded) };
        }
        Ok(())
    }
}

impl AttemptError {
    /// Whether the replica did not answer at all, which its deployment's watchers want to know. A replica that
    /// answers badly is its owner's affair.
    pub(super) const fn silent_replica(&self) -> bool {
        match self {
            Self::Connect(_) | Self::ConnectLate | Self::Frame(_) | Self::Broken(_) | Self::Silent => true,
            Self::Served(failure) => matches!(failure, ServeFailure::NotRunning),
            Self::Superseded => false,
        }
    }
}
