//! The two bodies of an exchange: the request's on its way to the replica, the answer's on its way to the client.

use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::time::{Duration, Instant};

use super::pool::Lent;
use super::{Resolver, Target, UsageSink};
use crate::BodyError;

/// How far a request's body has come, told from the one who streams it to the one who waits for the answer.
pub(super) struct Progress {
    began: Instant,
    /// Milliseconds from `began` to the last piece that was passed on.
    last: AtomicU64,
    ended: AtomicBool,
}

impl Progress {
    fn new() -> Self {
        Self { began: Instant::now(), last: AtomicU64::new(0), ended: AtomicBool::new(false) }
    }

    fn moved(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(millis, Ordering::Relaxed);
    }

    /// How long nothing has moved.
    pub(super) fn silent(&self) -> Duration {
        self.began.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }

    /// Whether the whole body was passed on.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// A request's body on its way to the replica.
pub(super) enum RequestBody {
    /// There is none.
    Empty,
    /// What the client sends.
    Streamed {
        /// The client's.
        body: Incoming,
        /// How far it has come.
        progress: Arc<Progress>,
    },
}

impl RequestBody {
    /// The body that a client sends.
    pub(super) fn new(body: Incoming) -> Self {
        if body.is_end_stream() {
            return Self::Empty;
        }
        Self::Streamed { body, progress: Arc::new(Progress::new()) }
    }

    /// How far it has come, if there is one.
    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        match self {
            Self::Empty => None,
            Self::Streamed { progress, .. } => Some(Arc::clone(progress)),
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self::Streamed { body, progress } = self.get_mut() else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        if polled.is_ready() {
            progress.moved();
            if body.is_end_stream() || matches!(polled, Poll::Ready(None)) {
                progress.ended.store(true, Ordering::Release);
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streamed { body, .. } => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streamed { body, .. } => body.size_hint(),
        }
    }
}

/// An answer's body on its way to the client.
pub(crate) enum AnswerBody {
    /// The gateway's own words.
    Page(Full<Bytes>),
    /// A replica's.
    Replica(Box<ReplicaBody>),
}

/// A replica's body: counted as it passes, and at its end its stream is given back.
pub(crate) struct ReplicaBody {
    body: Incoming,
    target: Target,
    usage: Arc<dyn UsageSink>,
    resolver: Arc<dyn Resolver>,
    request: Option<Arc<Progress>>,
    lent: Option<Lent>,
}

impl ReplicaBody {
    pub(super) fn new(
        body: Incoming,
        target: Target,
        usage: Arc<dyn UsageSink>,
        resolver: Arc<dyn Resolver>,
        request: Option<Arc<Progress>>,
        lent: Lent,
    ) -> Self {
        let mut body = Self { body, target, usage, resolver, request, lent: Some(lent) };
        if body.body.is_end_stream() {
            body.ended();
        }
        body
    }

    /// The answer is complete: its stream may serve the next request, unless this one is still being sent.
    fn ended(&mut self) {
        let sent = self.request.as_ref().is_none_or(|request| request.ended());
        if let Some(lent) = self.lent.take().filter(|_| sent) {
            lent.give_back();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        // To ask for a piece is what lets the stream read one: drive, ask, and if there is none yet, both once more.
        for _ in 0..2 {
            if let Some(lent) = &mut self.lent {
                lent.exchange.drive(cx);
            }
            if let Poll::Ready(polled) = Pin::new(&mut self.body).poll_frame(cx) {
                return Poll::Ready(self.passed(polled));
            }
        }
        Poll::Pending
    }

    fn passed(
        &mut self,
        polled: Option<Result<Frame<Bytes>, hyper::Error>>,
    ) -> Option<Result<Frame<Bytes>, BodyError>> {
        match polled {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.usage.count(&self.target, 0, data.len() as u64);
                }
                if self.body.is_end_stream() {
                    self.ended();
                }
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.lent = None;
                self.resolver.failed(&self.target);
                tracing::debug!(lease = %self.target.lease.short(), %error, "ingress.answer-broke-off");
                Some(Err(error.into()))
            }
            None => {
                self.ended();
                None
            }
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Page(body) => Pin::new(body).poll_frame(cx).map_err(|never| match never {}),
            Self::Replica(body) => body.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Page(body) => body.is_end_stream(),
            Self::Replica(body) => body.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Page(body) => body.size_hint(),
            Self::Replica(body) => body.body.size_hint(),
        }
    }
}
