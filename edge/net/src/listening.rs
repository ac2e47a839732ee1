//! Taking in the connections of others.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use grange_types::PeerId;
use iroh::endpoint::{Connection, Incoming};
use tokio::time::Instant;

use crate::book::Outcome;
use crate::dialing::welcome;
use crate::handshake::{GREET_WITHIN, GreetError, hear, hello, refuse, say};
use crate::net::Shared;
use crate::protocol::Protocol;
use crate::session::{CloseCode, Link, Session};

/// How long a connection that is no link may wait for its peer's link, which may come over another path.
const LINK_WITHIN: Duration = Duration::from_secs(2);
/// Connections of one peer in one protocol: ours, theirs, and one of each that is being closed.
const CONNECTIONS_PER_LANE: usize = 4;

/// Takes in connections until the node stops.
pub(crate) async fn listen(shared: Arc<Shared>) {
    let Some(endpoint) = shared.endpoint() else { return };
    loop {
        let incoming = tokio::select! {
            () = shared.stop.cancelled() => return,
            incoming = endpoint.accept() => incoming,
        };
        let Some(incoming) = incoming else { return };
        let Ok(permit) = shared.handshakes.clone().try_acquire_owned() else {
            shared.counters.connections_refused.count();
            incoming.refuse();
            continue;
        };
        // Under load an address must show that it can be answered before it takes a place.
        if shared.handshakes.available_permits() < shared.limits.links && !incoming.remote_addr_validated() {
            let _ = incoming.retry();
            continue;
        }
        let shared = shared.clone();
        shared.clone().tasks.spawn(async move {
            let accepted = tokio::select! {
                () = shared.stop.cancelled() => return,
                accepted = accept(&shared, incoming) => accepted,
            };
            drop(permit);
            if let Some((session, protocol, connection)) = accepted {
                crate::serving::adopt(&shared, &session, protocol, connection);
            }
        });
    }
}

/// Greets one connection. A link is installed; any other connection is given back with the session it belongs to.
async fn accept(shared: &Arc<Shared>, incoming: Incoming) -> Option<(Arc<Session>, Protocol, Connection)> {
    let accepting = incoming.accept().ok()?;
    let connection = tokio::time::timeout(GREET_WITHIN, accepting).await.ok()?.ok()?;
    let peer = PeerId(*connection.remote_id().as_bytes());
    let protocol = Protocol::from_alpn(connection.alpn())?;
    if shared.switch.is_quarantined(peer, Instant::now()) {
        CloseCode::Violation.close(&connection);
        return None;
    }
    let greeted = match protocol {
        Protocol::Exchange => accept_link(shared, peer, &connection).await.map(|()| None),
        _ => accept_lane(shared, peer, &connection).await,
    };
    match greeted {
        Ok(session) => session.map(|session| (session, protocol, connection)),
        Err(error) => {
            refuse(shared, peer, &connection, &error);
            None
        }
    }
}

/// Greets a link. It is installed before the answer goes out, so that a dialer that knows of its link may rely on it.
async fn accept_link(shared: &Arc<Shared>, peer: PeerId, connection: &Connection) -> Result<(), GreetError> {
    let broken = |error| GreetError::Broken(Box::new(error));
    let opened = tokio::time::timeout(GREET_WITHIN, connection.accept_bi()).await.map_err(|_| GreetError::Late)?;
    let (mut send, mut recv) = opened.map_err(broken)?;
    let theirs = hear(shared, peer, &mut recv).await?;
    let link = Link { connection: connection.clone(), dialed: false };
    let welcomed = welcome(shared, peer, theirs.incarnation, link, theirs.address);
    if welcomed == Outcome::Linked && connection.close_reason().is_none() {
        // If this fails the link is broken, and its session finds out.
        let _ = say(&mut send, &hello(shared, true)).await;
    }
    Ok(())
}

/// Greets a connection that is no link and finds the session it belongs to.
async fn accept_lane(
    shared: &Arc<Shared>,
    peer: PeerId,
    connection: &Connection,
) -> Result<Option<Arc<Session>>, GreetError> {
    let broken = |error| GreetError::Broken(Box::new(error));
    let opened = tokio::time::timeout(GREET_WITHIN, connection.accept_bi()).await.map_err(|_| GreetError::Late)?;
    let (_, mut recv) = opened.map_err(broken)?;
    let theirs = hear(shared, peer, &mut recv).await?;
    let linked =
        shared.switch.wait_for(|| shared.switch.get(peer).filter(|session| session.incarnation == theirs.incarnation));
    let Ok(session) = tokio::time::timeout(LINK_WITHIN, linked).await else {
        CloseCode::NotLinked.close(connection);
        return Ok(None);
    };
    let Some(protocol) = Protocol::from_alpn(connection.alpn()) else { return Ok(None) };
    if session.lane(protocol).served.load(Ordering::Relaxed) >= CONNECTIONS_PER_LANE {
        shared.counters.connections_refused.count();
        CloseCode::Full.close(connection);
        return Ok(None);
    }
    Ok(Some(session))
}
