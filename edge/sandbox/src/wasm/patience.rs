//! A body whose pauses are limited.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

/// Ends a body with an error when the next part takes too long.
pub(super) struct Patient<B: Body> {
    body: B,
    limit: Duration,
    timer: Pin<Box<Sleep>>,
    /// Whether somebody waits for the next part: only then does time count.
    waiting: bool,
    error: fn() -> B::Error,
}

impl<B: Body> Patient<B> {
    pub(super) fn new(body: B, limit: Duration, error: fn() -> B::Error) -> Self {
        Self { body, limit, timer: Box::pin(tokio::time::sleep(limit)), waiting: false, error }
    }
}

impl<B: Body<Data = Bytes> + Unpin> Body for Patient<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            this.waiting = false;
            return Poll::Ready(frame);
        }
        if !std::mem::replace(&mut this.waiting, true) {
            this.timer.as_mut().reset(Instant::now() + this.limit);
        }
        ready!(this.timer.as_mut().poll(context));
        Poll::Ready(Some(Err((this.error)())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
