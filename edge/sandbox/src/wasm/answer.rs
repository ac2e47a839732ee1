//! The answer of a component as a body for its client: counted, and honest about how it ended.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::run::{Listener, Verdict};
use crate::body::BodyError;

/// The body of an answer.
pub(super) struct AnswerBody {
    // Only a lock makes a body `Sync` that is merely `Send`; nobody ever waits for it.
    inner: Mutex<HyperOutgoingBody>,
    verdict: Verdict,
    egress: Arc<AtomicU64>,
    /// Tells the instance when the client goes or has everything.
    listener: Option<Listener>,
}

impl AnswerBody {
    pub(super) const fn new(
        inner: HyperOutgoingBody,
        verdict: Verdict,
        egress: Arc<AtomicU64>,
        listener: Listener,
    ) -> Self {
        Self { inner: Mutex::new(inner), verdict, egress, listener: Some(listener) }
    }

    /// The end of the stream is the end of the answer only if the instance was not cut off.
    fn end(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        self.listener = None;
        self.verdict.get().map(|failure| Err(BodyError::Replica { source: failure.clone() }))
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let inner = this.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        let frame = std::task::ready!(Pin::new(inner).poll_frame(context));
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.egress.fetch_add(bytes as u64, Ordering::Relaxed);
                Some(Ok(frame))
            }
            None => this.end(),
            Some(Err(source)) => Some(this.end().unwrap_or(Err(BodyError::Unfinished { source }))),
        })
    }

    fn is_end_stream(&self) -> bool {
        // Whether a verdict follows is not known before the end was polled.
        self.listener.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.size_hint()
    }
}
