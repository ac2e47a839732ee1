//! Serving what a peer sends on a connection: its messages, its requests and its streams.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use iroh::endpoint::{Connection, RecvStream, SendStream, VarInt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::oneshot;

use crate::event::{NetEvent, Reply};
use crate::frame::{FrameError, append_frame, read_frame};
use crate::gossip::GossipInput;
use crate::net::Shared;
use crate::protocol::Protocol;
use crate::session::{CloseCode, Session};
use crate::stream::PeerStream;

/// The first byte of a bidirectional stream: a request follows.
pub(crate) const REQUEST: u8 = 0;
/// The first byte of a bidirectional stream: whatever both sides like follows.
pub(crate) const STREAM: u8 = 1;

/// The first byte of an answer: it follows.
pub(crate) const ANSWERED: u8 = 0;
/// The first byte of an answer: there is none.
pub(crate) const REFUSED: u8 = 1;
/// The first byte of an answer: too many requests of this peer are waiting.
pub(crate) const BUSY: u8 = 2;

/// Why a stream is cut off, as its application error code.
pub(crate) const GIVEN_UP: VarInt = VarInt::from_u32(1);

/// Takes in a greeted connection of the peer, uses it for what goes out if there is none yet, and serves it.
pub(crate) fn adopt(shared: &Arc<Shared>, session: &Arc<Session>, protocol: Protocol, connection: Connection) {
    if let Ok(mut ours) = session.lane(protocol).connection.try_lock()
        && ours.as_ref().is_none_or(|ours| ours.close_reason().is_some())
    {
        *ours = Some(connection.clone());
    }
    serve(shared, session, protocol, connection);
}

/// Serves a connection as a task of its session; at the session's end it is closed.
pub(crate) fn serve(shared: &Arc<Shared>, session: &Arc<Session>, protocol: Protocol, connection: Connection) {
    let (shared, serving) = (shared.clone(), session.clone());
    session.lane(protocol).served.fetch_add(1, Ordering::Relaxed);
    session.tasks.spawn(async move {
        tokio::select! {
            () = serving.over.cancelled() => {}
            () = take_streams(&shared, &serving, protocol, &connection) => {}
        }
        let code = if shared.stop.is_cancelled() { CloseCode::Leaving } else { CloseCode::Over };
        code.close(&connection);
        serving.lane(protocol).served.fetch_sub(1, Ordering::Relaxed);
    });
}

/// Takes in the peer's streams until the connection breaks, not before the peer was announced.
async fn take_streams(shared: &Arc<Shared>, session: &Arc<Session>, protocol: Protocol, connection: &Connection) {
    session.announced.cancelled().await;
    loop {
        tokio::select! {
            accepted = connection.accept_uni() => {
                let Ok(recv) = accepted else { return };
                let (shared, of) = (shared.clone(), session.clone());
                session.spawn(async move { take_messages(&shared, &of, protocol, recv).await });
            }
            accepted = connection.accept_bi() => {
                let Ok((send, recv)) = accepted else { return };
                let (shared, of) = (shared.clone(), session.clone());
                session.spawn(async move { take_exchange(&shared, &of, protocol, send, recv).await });
            }
        }
    }
}

/// Hands on the messages of one stream, in order.
async fn take_messages(shared: &Arc<Shared>, session: &Arc<Session>, protocol: Protocol, recv: RecvStream) {
    let mut reader = BufReader::with_capacity(16 << 10, recv);
    loop {
        let bytes = match read_frame(&mut reader, protocol.message_limit()).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(FrameError::Broken(_)) => return,
            Err(error) => return session.punish(shared, &error.to_string()),
        };
        if !session.admit(shared) {
            continue;
        }
        shared.counters.bytes_received.add(bytes.len() as u64);
        if protocol == Protocol::Gossip {
            shared.offer_gossip(GossipInput::Heard { from: session.peer, bytes });
            continue;
        }
        shared.counters.messages_received.count();
        shared.emit(NetEvent::Message { from: session.peer, protocol, bytes }).await;
    }
}

/// Takes in a bidirectional stream: a request or a stream, as its first byte says.
async fn take_exchange(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    protocol: Protocol,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    let Ok(kind) = recv.read_u8().await else { return };
    if !protocol.is_open() {
        return session.punish(shared, "a request in a protocol that has none");
    }
    match kind {
        REQUEST => take_request(shared, session, protocol, send, recv).await,
        STREAM => match session.streams.clone().try_acquire_owned() {
            Ok(permit) => {
                shared.counters.streams_accepted.count();
                let stream = PeerStream::new(session.peer, protocol, send, recv, permit);
                shared.emit(NetEvent::Stream { from: session.peer, protocol, stream }).await;
            }
            Err(_) => {
                shared.counters.violations.count();
                let _ = send.reset(GIVEN_UP);
                let _ = recv.stop(GIVEN_UP);
            }
        },
        _ => session.punish(shared, "a stream of unknown kind"),
    }
}

/// Hands on a request and sends back its answer.
async fn take_request(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    protocol: Protocol,
    mut send: SendStream,
    mut recv: RecvStream,
) {
    let Ok(_permit) = session.answering.clone().try_acquire_owned() else {
        shared.counters.requests_refused.count();
        return answer(&mut send, BUSY, &[]).await;
    };
    if !session.admit(shared) {
        shared.counters.requests_refused.count();
        return answer(&mut send, BUSY, &[]).await;
    }
    let bytes = match read_frame(&mut recv, protocol.message_limit()).await {
        Ok(Some(bytes)) => bytes,
        Ok(None) | Err(FrameError::Broken(_)) => return,
        Err(error) => return session.punish(shared, &error.to_string()),
    };
    shared.counters.requests_received.count();
    shared.counters.bytes_received.add(bytes.len() as u64);
    let (reply, replied) = oneshot::channel();
    shared.emit(NetEvent::Request { from: session.peer, protocol, bytes, reply: Reply(reply) }).await;
    let replied = tokio::select! {
        replied = tokio::time::timeout(shared.limits.reply_within, replied) => replied,
        // The asker gave up; dropping the receiver tells the answerer.
        _ = send.stopped() => return,
    };
    match replied {
        Ok(Ok(bytes)) if bytes.len() <= protocol.message_limit() => {
            shared.counters.bytes_sent.add(bytes.len() as u64);
            answer(&mut send, ANSWERED, &bytes).await;
        }
        Ok(Ok(bytes)) => {
            tracing::warn!(%protocol, length = bytes.len(), limit = protocol.message_limit(), "answer_too_long");
            answer(&mut send, REFUSED, &[]).await;
        }
        Ok(Err(_)) | Err(_) => answer(&mut send, REFUSED, &[]).await,
    }
}

/// Sends an answer. If the connection breaks meanwhile, the asker finds out by itself.
async fn answer(send: &mut SendStream, status: u8, bytes: &[u8]) {
    let mut framed = Vec::with_capacity(5 + bytes.len());
    framed.push(status);
    append_frame(&mut framed, bytes);
    if send.write_all(&framed).await.is_ok() {
        let _ = send.shutdown().await;
    }
}
