//! Asking a peer and opening streams to it.

use std::sync::Arc;
use std::time::Duration;

use grange_types::PeerId;
use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::address::PeerAddress;
use crate::error::RequestError;
use crate::frame::{FrameError, append_frame, read_frame};
use crate::handshake::{hello, say};
use crate::net::Shared;
use crate::protocol::Protocol;
use crate::serving::{ANSWERED, BUSY, REQUEST, STREAM, serve};
use crate::session::{Session, lock};
use crate::stream::PeerStream;

/// How long a request waits for the link to a peer that is being dialled.
const REACH_WITHIN: Duration = Duration::from_secs(1);
/// How long a connection to a linked peer may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long a peer may take to grant a stream. It has room for as many as we ever ask for at once, so only the news that
/// others have ended may be on its way.
const GRANT_WITHIN: Duration = Duration::from_secs(2);

/// The connection to a peer was lost, or never came about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lost;

/// Asks a peer; the answer, or why there is none.
pub(crate) async fn ask(
    shared: &Arc<Shared>,
    peer: PeerId,
    protocol: Protocol,
    body: &[u8],
    deadline: Duration,
) -> Result<Vec<u8>, RequestError> {
    let limit = protocol.message_limit();
    if body.len() > limit {
        return Err(RequestError::TooLong { protocol, length: body.len(), limit });
    }
    let ends = tokio::time::Instant::now() + deadline;
    let session = reach(shared, peer, protocol, deadline).await?;
    let Ok(_permit) = session.asking.clone().try_acquire_owned() else {
        return Err(RequestError::Busy { peer, protocol });
    };
    let asked = async {
        let (mut send, mut recv) = open(shared, &session, protocol).await?;
        let mut framed = Vec::with_capacity(5 + body.len());
        framed.push(REQUEST);
        append_frame(&mut framed, body);
        send.write_all(&framed).await.map_err(|_| RequestError::Lost { peer, protocol })?;
        let _ = send.shutdown().await;
        shared.counters.requests_sent.count();
        shared.counters.bytes_sent.add(body.len() as u64);
        answer(peer, protocol, &mut recv).await
    };
    tokio::select! {
        biased;
        answer = tokio::time::timeout_at(ends, asked) => {
            let answer = answer.unwrap_or(Err(RequestError::Deadline { peer, protocol, deadline }))?;
            shared.counters.bytes_received.add(answer.len() as u64);
            Ok(answer)
        }
        () = session.over.cancelled() => Err(RequestError::Lost { peer, protocol }),
    }
}

/// Opens a stream to a peer.
pub(crate) async fn open_stream(
    shared: &Arc<Shared>,
    peer: PeerId,
    protocol: Protocol,
) -> Result<PeerStream, RequestError> {
    let session = reach(shared, peer, protocol, REACH_WITHIN).await?;
    let Ok(permit) = session.opened.clone().try_acquire_owned() else {
        return Err(RequestError::Busy { peer, protocol });
    };
    let opened = async {
        let (mut send, recv) = open(shared, &session, protocol).await?;
        send.write_all(&[STREAM]).await.map_err(|_| RequestError::Lost { peer, protocol })?;
        shared.counters.streams_opened.count();
        Ok(PeerStream::new(peer, protocol, send, recv, permit))
    };
    let late = RequestError::Deadline { peer, protocol, deadline: CONNECT_WITHIN };
    tokio::time::timeout(CONNECT_WITHIN, opened).await.unwrap_or(Err(late))
}

/// The session with a peer. Waits a little if the peer is being dialled for the first time, or was just lost.
async fn reach(
    shared: &Arc<Shared>,
    peer: PeerId,
    protocol: Protocol,
    deadline: Duration,
) -> Result<Arc<Session>, RequestError> {
    if !protocol.is_open() {
        return Err(RequestError::Reserved { protocol });
    }
    let linked = shared.switch.wait_for(|| match shared.switch.get(peer) {
        Some(session) => Some(Ok(session)),
        None if lock(&shared.book).is_hopeful(peer) && !shared.stop.is_cancelled() => None,
        None => Some(Err(RequestError::Unreachable { peer })),
    });
    let reached = tokio::time::timeout(deadline.min(REACH_WITHIN), linked).await;
    reached.unwrap_or(Err(RequestError::Unreachable { peer }))
}

/// Opens a bidirectional stream. A connection that turns out to be broken is replaced once: nothing was sent on it. A
/// peer that grants no stream is busy, whatever the asker's own deadline.
async fn open(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    protocol: Protocol,
) -> Result<(SendStream, RecvStream), RequestError> {
    let peer = session.peer;
    for _ in 0..2 {
        let Ok(connection) = connection(shared, session, protocol).await else { break };
        match tokio::time::timeout(GRANT_WITHIN, connection.open_bi()).await {
            Ok(Ok(streams)) => return Ok(streams),
            Ok(Err(_)) => {}
            Err(_) => return Err(RequestError::Busy { peer, protocol }),
        }
    }
    Err(RequestError::Lost { peer, protocol })
}

/// The connection of a protocol to a linked peer; dialled, if there is none.
pub(crate) async fn connection(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    protocol: Protocol,
) -> Result<Connection, Lost> {
    let mut ours = session.lane(protocol).connection.lock().await;
    if let Some(open) = ours.as_ref().filter(|open| open.close_reason().is_none()) {
        return Ok(open.clone());
    }
    *ours = None;
    // A peer that nobody could dial, behind NAT perhaps, is reached on the path of the link it dialled.
    let nowhere = || PeerAddress { peer: session.peer, addresses: Vec::new(), relays: Vec::new() };
    let address = lock(&shared.book).address(session.peer).unwrap_or_else(nowhere);
    let target = address.to_endpoint().ok_or(Lost)?;
    let endpoint = shared.endpoint().ok_or(Lost)?;
    let dialed = tokio::time::timeout(CONNECT_WITHIN, async {
        let connection = endpoint.connect(target, protocol.alpn()).await.map_err(|_| Lost)?;
        let (mut send, _) = connection.open_bi().await.map_err(|_| Lost)?;
        say(&mut send, &hello(shared, false)).await.map_err(|_| Lost)?;
        Ok(connection)
    });
    let connection: Connection = dialed.await.map_err(|_| Lost)??;
    *ours = Some(connection.clone());
    serve(shared, session, protocol, connection.clone());
    Ok(connection)
}

/// Reads an answer.
async fn answer(peer: PeerId, protocol: Protocol, recv: &mut RecvStream) -> Result<Vec<u8>, RequestError> {
    let lost = RequestError::Lost { peer, protocol };
    let Ok(status) = recv.read_u8().await else { return Err(lost) };
    match status {
        ANSWERED => match read_frame(recv, protocol.message_limit()).await {
            Ok(Some(bytes)) => Ok(bytes),
            Err(FrameError::TooLong { length, limit }) => Err(RequestError::TooLong { protocol, length, limit }),
            Ok(None) | Err(_) => Err(lost),
        },
        BUSY => Err(RequestError::Busy { peer, protocol }),
        _ => Err(RequestError::Refused { peer, protocol }),
    }
}
