//! A stream between two peers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use grange_types::PeerId;
use iroh::endpoint::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;

use crate::protocol::Protocol;
use crate::serving::GIVEN_UP;

/// A stream of bytes to a peer and back, with back-pressure both ways.
///
/// `shutdown` ends the writing side in good order. Dropped without it, the stream is cut off: the peer's reads fail
/// instead of ending, so that half a body is never taken for a whole one.
#[derive(Debug)]
pub struct PeerStream {
    peer: PeerId,
    protocol: Protocol,
    send: SendStream,
    recv: RecvStream,
    ended: bool,
    _place: OwnedSemaphorePermit,
}

impl PeerStream {
    /// A stream over both halves, which takes a place among the peer's streams while it lives.
    pub(crate) const fn new(
        peer: PeerId,
        protocol: Protocol,
        send: SendStream,
        recv: RecvStream,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self { peer, protocol, send, recv, ended: false, _place: place }
    }

    /// The peer at the other end.
    #[must_use]
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// The protocol it was opened in.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }
}

impl AsyncRead for PeerStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.recv).poll_read(context, buffer)
    }
}

impl AsyncWrite for PeerStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        AsyncWrite::poll_write(Pin::new(&mut self.send), context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        AsyncWrite::poll_flush(Pin::new(&mut self.send), context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.ended = true;
        AsyncWrite::poll_shutdown(Pin::new(&mut self.send), context)
    }
}

impl Drop for PeerStream {
    fn drop(&mut self) {
        if !self.ended {
            // Fails only when the stream is gone already.
            let _ = self.send.reset(GIVEN_UP);
        }
    }
}
