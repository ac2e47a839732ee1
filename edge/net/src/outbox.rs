//! Messages on their way out: one queue and one stream for each peer and protocol.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use iroh::endpoint::SendStream;
use tokio::sync::mpsc;

use crate::frame::append_frame;
use crate::net::Shared;
use crate::protocol::Protocol;
use crate::session::Session;

/// Bytes written to a stream at once when many messages wait.
const BATCH_BYTES: usize = 64 << 10;

/// The queue of one protocol to one peer.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: mpsc::Sender<Vec<u8>>,
}

/// Queues a message, or drops and counts it: when the queue is full or holds too many bytes.
pub(crate) fn post(shared: &Arc<Shared>, session: &Arc<Session>, protocol: Protocol, message: Vec<u8>) {
    let length = message.len();
    let waiting = session.queued_bytes.fetch_add(length, Ordering::Relaxed);
    let outbox = session.lane(protocol).outbox.get_or_init(|| {
        let (queue, waiting) = mpsc::channel(shared.limits.queued_messages);
        let (shared, of) = (shared.clone(), session.clone());
        session.spawn(async move { carry(&shared, &of, protocol, waiting).await });
        Outbox { queue }
    });
    if waiting + length > shared.limits.queued_bytes || outbox.queue.try_send(message).is_err() {
        session.queued_bytes.fetch_sub(length, Ordering::Relaxed);
        shared.counters.messages_dropped.count();
    }
}

/// Writes the queue to a stream until the session is over. A stream that breaks is opened again once for the batch
/// it broke with; then the batch is dropped.
async fn carry(shared: &Arc<Shared>, session: &Arc<Session>, protocol: Protocol, mut queue: mpsc::Receiver<Vec<u8>>) {
    let mut stream: Option<SendStream> = None;
    let mut batch = Vec::new();
    while let Some(first) = queue.recv().await {
        let (mut messages, mut bytes) = (1, first.len());
        batch.clear();
        append_frame(&mut batch, &first);
        while batch.len() < BATCH_BYTES
            && let Ok(more) = queue.try_recv()
        {
            messages += 1;
            bytes += more.len();
            append_frame(&mut batch, &more);
        }
        let mut written = write(shared, session, protocol, &mut stream, &batch).await;
        if !written {
            written = write(shared, session, protocol, &mut stream, &batch).await;
        }
        session.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
        if written {
            shared.counters.messages_sent.add(messages);
            shared.counters.bytes_sent.add(bytes as u64);
        } else {
            shared.counters.messages_dropped.add(messages);
        }
        // A batch of large messages shall not hold its memory for ever.
        if batch.capacity() > 4 * BATCH_BYTES {
            batch = Vec::new();
        }
    }
}

/// Writes one batch, opening the stream if there is none; whether that worked.
async fn write(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    protocol: Protocol,
    stream: &mut Option<SendStream>,
    batch: &[u8],
) -> bool {
    if stream.is_none() {
        let Ok(connection) = crate::request::connection(shared, session, protocol).await else { return false };
        *stream = connection.open_uni().await.ok();
    }
    let Some(open) = stream else { return false };
    let written = open.write_all(batch).await.is_ok();
    if !written {
        *stream = None;
    }
    written
}
