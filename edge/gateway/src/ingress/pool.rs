//! Streams to replicas that are open and idle, so that a request costs no new handshake.
//!
//! # Rules
//! - At most [`limits::STREAMS_PER_TARGET`] streams to one replica, busy and idle together: who wants one more waits.
//! - The stream used last is used next; one that was idle for [`limits::STREAM_IDLE`] is closed.
//! - A stream has no task of its own: whoever has lent it drives it ([`Exchange::drive`]), so that a request and its answer
//!   pass through the gateway in one task, from the client's socket to the peer's stream and back.

use core::future::poll_fn;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper::client::conn::http1::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::carry::RequestBody;
use super::{BoxedStream, Target};
use crate::limits;

/// The pool of all replicas.
#[derive(Default)]
pub(super) struct Pool {
    targets: Mutex<HashMap<Target, Arc<Streams>>>,
}

/// The streams to one replica.
pub(super) struct Streams {
    idle: Mutex<Vec<Idle>>,
    permits: Arc<Semaphore>,
}

/// An HTTP/1.1 connection over a stream to a peer.
pub(super) struct Exchange {
    /// Sends the request.
    pub(super) sender: SendRequest<RequestBody>,
    /// Writes and reads; gone once the stream has ended.
    connection: Option<Box<Connection<TokioIo<BoxedStream>, RequestBody>>>,
}

struct Idle {
    exchange: Exchange,
    since: Instant,
}

/// A stream that serves one request, and may serve another one after it.
pub(super) struct Lent {
    /// The stream.
    pub(super) exchange: Exchange,
    streams: Arc<Streams>,
    // Held for as long as the stream is busy.
    _permit: OwnedSemaphorePermit,
}

/// Nothing panics while it holds one of the locks, and if it did the data would still be whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    /// The streams to a replica.
    pub(super) fn streams(&self, target: &Target) -> Arc<Streams> {
        let mut targets = lock(&self.targets);
        let new = || {
            let permits = Arc::new(Semaphore::new(limits::STREAMS_PER_TARGET));
            Arc::new(Streams { idle: Mutex::default(), permits })
        };
        Arc::clone(targets.entry(*target).or_insert_with(new))
    }

    /// Closes streams that were idle for too long, and forgets replicas that have none.
    pub(super) fn sweep(&self) {
        lock(&self.targets).retain(|_, streams| {
            let mut idle = lock(&streams.idle);
            idle.retain(|idle| idle.since.elapsed() < limits::STREAM_IDLE);
            !idle.is_empty() || Arc::strong_count(streams) > 1
        });
    }
}

impl Exchange {
    /// Speaks HTTP/1.1 over a stream whose header was accepted.
    pub(super) async fn over(stream: BoxedStream) -> hyper::Result<Self> {
        let (sender, connection) = http1::Builder::new()
            .max_headers(limits::HEADERS)
            .max_buf_size(limits::BUFFER_BYTES)
            .handshake(TokioIo::new(stream))
            .await?;
        Ok(Self { sender, connection: Some(Box::new(connection)) })
    }

    /// Writes and reads what can be written and read now, and wakes the task when there is more.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(connection) = &mut self.connection
            && let Poll::Ready(result) = Pin::new(connection.as_mut()).poll(cx)
        {
            // Whoever waits for an answer gets the error from the other half.
            if let Err(error) = result {
                tracing::debug!(%error, "ingress.stream-ended");
            }
            self.connection = None;
        }
    }

    /// Whether another request may be sent: the exchange before has ended and the peer has not closed the stream.
    ///
    /// Both bodies have ended by then. What may still be on its way is the end of a request that its replica answered
    /// without reading it, and such a stream is not worth waiting for.
    async fn ready(&mut self) -> bool {
        let ready = poll_fn(|cx| {
            self.drive(cx);
            if self.connection.is_none() { Poll::Ready(false) } else { self.sender.poll_ready(cx).map(|it| it.is_ok()) }
        });
        timeout(limits::REUSE_TIMEOUT, ready).await.unwrap_or(false)
    }
}

impl Streams {
    /// Waits until one more stream may be busy.
    pub(super) async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).acquire_owned().await.ok()
    }

    /// Takes the idle stream that was used last.
    pub(super) async fn idle(&self) -> Option<Exchange> {
        loop {
            let mut idle = {
                let mut streams = lock(&self.idle);
                streams.pop()?
            };
            if idle.since.elapsed() < limits::STREAM_IDLE && idle.exchange.ready().await {
                return Some(idle.exchange);
            }
        }
    }

    /// A stream lent for one request.
    pub(super) fn lend(self: Arc<Self>, exchange: Exchange, permit: OwnedSemaphorePermit) -> Lent {
        Lent { exchange, streams: self, _permit: permit }
    }
}

impl Lent {
    /// Gives the stream back for the next request; both bodies have ended.
    pub(super) fn give_back(self) {
        if self.exchange.connection.is_some() {
            lock(&self.streams.idle).push(Idle { exchange: self.exchange, since: Instant::now() });
        }
    }
}
