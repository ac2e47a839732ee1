//! The greeting at the start of every connection.
//!
//! The dialer opens the first bidirectional stream and says [`Hello`]. On a link the other side answers with its own;
//! on any other connection the dialer does not wait, and the other side listens to nothing before it has read it.

use std::sync::Arc;
use std::time::Duration;

use grange_types::{NetworkId, PeerId, Wire};
use iroh::endpoint::{Connection, RecvStream, SendStream};
use tokio::io::AsyncWriteExt;

use crate::address::PeerAddress;
use crate::frame::{FrameError, frame, read_frame};
use crate::net::Shared;
use crate::session::CloseCode;
use crate::wire::Hello;

/// How long one side of a greeting may take.
pub(crate) const GREET_WITHIN: Duration = Duration::from_secs(3);

/// Why two peers did not get acquainted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GreetError {
    /// The connection broke, or was closed by the peer.
    #[error("the connection broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What came is no greeting.
    #[error("the peer's greeting makes no sense")]
    Nonsense(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The peer did not greet in time.
    #[error("the peer did not greet in time")]
    Late,
    /// The peer is of another network.
    #[error("the peer is of network {}, this is network {}", .theirs.short(), .ours.short())]
    ForeignNetwork {
        /// The network the peer is in.
        theirs: NetworkId,
        /// The network this node is in.
        ours: NetworkId,
    },
}

impl GreetError {
    fn broken(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Broken(Box::new(error))
    }
}

/// Says hello on a stream.
pub(crate) async fn say(send: &mut SendStream, hello: &Hello) -> Result<(), GreetError> {
    send.write_all(&frame(&hello.encode())).await.map_err(GreetError::broken)?;
    send.flush().await.map_err(GreetError::broken)
}

/// Hears the peer's hello and checks that it is of this network and speaks for itself.
pub(crate) async fn hear(shared: &Shared, peer: PeerId, recv: &mut RecvStream) -> Result<Hello, GreetError> {
    let read = tokio::time::timeout(GREET_WITHIN, read_frame(recv, Hello::LIMIT));
    let bytes = match read.await.map_err(|_| GreetError::Late)? {
        Ok(bytes) => bytes.unwrap_or_default(),
        Err(FrameError::Broken(source)) => return Err(GreetError::broken(source)),
        Err(error) => return Err(GreetError::Nonsense(Box::new(error))),
    };
    let mut hello = Hello::decode(&bytes).map_err(|error| GreetError::Nonsense(Box::new(error)))?;
    if hello.network != shared.network {
        return Err(GreetError::ForeignNetwork { theirs: hello.network, ours: shared.network });
    }
    // Nobody speaks for another: the key of the connection is the peer.
    hello.address = PeerAddress { peer, ..hello.address }.cleaned();
    Ok(hello)
}

/// Tells the peer why its connection is refused, and the log.
pub(crate) fn refuse(shared: &Shared, peer: PeerId, connection: &Connection, error: &GreetError) {
    match error {
        GreetError::ForeignNetwork { theirs, ours } => {
            shared.counters.foreign_refused.count();
            tracing::warn!(peer = %peer.short(), theirs = %theirs.short(), ours = %ours.short(), "foreign_peer_refused");
            CloseCode::ForeignNetwork.close(connection);
        }
        error => {
            tracing::debug!(peer = %peer.short(), %error, "greeting_failed");
            CloseCode::Violation.close(connection);
        }
    }
}

/// The hello of a link, or of another connection, where the address is not repeated.
pub(crate) fn hello(shared: &Arc<Shared>, link: bool) -> Hello {
    let nowhere = PeerAddress { peer: shared.me, addresses: Vec::new(), relays: Vec::new() };
    let address = if link { shared.own_address() } else { nowhere };
    Hello { network: shared.network, incarnation: shared.incarnation, address }
}
