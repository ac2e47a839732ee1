//! Keeping a link to every known peer: whom to dial, when, and how it ended.

use std::sync::Arc;
use std::time::Duration;

use grange_types::PeerId;
use iroh::endpoint::{ConnectOptions, Connection};
use tokio::time::Instant;

use crate::address::PeerAddress;
use crate::book::{Outcome, Source};
use crate::handshake::{GreetError, hear, hello, say};
use crate::net::Shared;
use crate::protocol::Protocol;
use crate::session::{CloseCode, Link, lock};
use crate::switch::Installed;

/// Attempts to link at the same time.
const DIALS: usize = 16;
/// How long an attempt may take. The first packet is repeated after 0.3, 0.9 and 2.1 s; a relayed one needs three
/// round trips more.
const DIAL_WITHIN: Duration = Duration::from_secs(3);

/// Dials due peers until the node stops.
pub(crate) async fn keep_linked(shared: Arc<Shared>) {
    loop {
        let room = shared.limits.links.saturating_sub(shared.switch.len()).min(DIALS);
        let busy = shared.dials.available_permits();
        let (due, next) = {
            let mut book = lock(&shared.book);
            let due = book.take_due(Instant::now(), room.min(busy));
            shared.counters.known_peers.set(book.len() as u64);
            // With no room there is nothing to wait for but a change.
            (due, if room == 0 || busy == 0 { None } else { book.next_due() })
        };
        for address in due {
            shared.tasks.spawn(attempt(shared.clone(), address));
        }
        let pause = async {
            match next {
                Some(next) => tokio::time::sleep_until(next.max(Instant::now() + Duration::from_millis(10))).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.wake_dialer.notified() => {}
            () = pause => {}
        }
    }
}

/// One attempt to link, and its note in the book.
async fn attempt(shared: Arc<Shared>, address: PeerAddress) {
    let Ok(_permit) = shared.dials.acquire().await else { return };
    let peer = address.peer;
    let outcome = if shared.switch.get(peer).is_some() {
        lock(&shared.book).linked(peer);
        Outcome::Linked
    } else if shared.switch.is_quarantined(peer, Instant::now()) {
        Outcome::Refused
    } else {
        shared.counters.dials.count();
        let dialing = tokio::time::timeout(DIAL_WITHIN, link(&shared, &address));
        tokio::select! {
            () = shared.stop.cancelled() => return,
            outcome = dialing => outcome.unwrap_or(Outcome::Failed),
        }
    };
    if outcome != Outcome::Linked {
        shared.counters.dials_failed.count();
    }
    lock(&shared.book).dialed(Instant::now(), peer, outcome);
    shared.switch.touch();
    shared.wake_dialer.notify_one();
}

/// Connects, exchanges greetings and installs the link.
async fn link(shared: &Arc<Shared>, address: &PeerAddress) -> Outcome {
    let peer = address.peer;
    let Some(target) = address.to_endpoint() else { return Outcome::Refused };
    let Some(endpoint) = shared.endpoint() else { return Outcome::Refused };
    let options = ConnectOptions::new().with_transport_config(shared.link_transport.clone());
    let connecting = endpoint.connect_with_opts(target, Protocol::Exchange.alpn(), options);
    let connection = match connecting.await {
        Ok(connecting) => match connecting.await {
            Ok(connection) => connection,
            Err(error) => return failed(peer, &error),
        },
        Err(error) => return failed(peer, &error),
    };
    if shared.switch.get(peer).is_some() {
        // The peer was faster while we connected.
        CloseCode::Duplicate.close(&connection);
        return Outcome::Linked;
    }
    match greet(shared, peer, &connection).await {
        Ok((incarnation, told)) => {
            let link = Link { connection: connection.clone(), dialed: true };
            welcome(shared, peer, incarnation, link, told)
        }
        Err(error) => declined(shared, peer, &connection, &error),
    }
}

fn failed(peer: PeerId, error: &dyn std::error::Error) -> Outcome {
    tracing::debug!(peer = %peer.short(), %error, "dial_failed");
    Outcome::Failed
}

/// The dialer's side of the greeting: the peer's incarnation, and where it says it can be reached.
async fn greet(shared: &Arc<Shared>, peer: PeerId, connection: &Connection) -> Result<(u64, PeerAddress), GreetError> {
    let opened = connection.open_bi().await;
    let (mut send, mut recv) = opened.map_err(|error| GreetError::Broken(Box::new(error)))?;
    say(&mut send, &hello(shared, true)).await?;
    let theirs = hear(shared, peer, &mut recv).await?;
    Ok((theirs.incarnation, theirs.address))
}

/// Why the peer did not greet back.
fn declined(shared: &Arc<Shared>, peer: PeerId, connection: &Connection, error: &GreetError) -> Outcome {
    if CloseCode::ForeignNetwork.closed(connection) {
        shared.counters.foreign_refused.count();
        tracing::warn!(peer = %peer.short(), ours = %shared.network.short(), "foreign_peer_refused_us");
        return Outcome::Refused;
    }
    if CloseCode::Duplicate.closed(connection) {
        return Outcome::Linked;
    }
    let refused = CloseCode::Full.closed(connection) || CloseCode::Violation.closed(connection);
    crate::handshake::refuse(shared, peer, connection, error);
    if refused || matches!(error, GreetError::ForeignNetwork { .. }) { Outcome::Refused } else { Outcome::Failed }
}

/// Installs a link after the greetings, and notes where its peer can be reached.
pub(crate) fn welcome(shared: &Arc<Shared>, peer: PeerId, incarnation: u64, link: Link, told: PeerAddress) -> Outcome {
    let connection = link.connection.clone();
    let news = lock(&shared.book).add(Instant::now(), Source::Told, told.clone());
    let learned = (news && !told.is_empty()).then_some(told);
    match shared.switch.install(shared, peer, incarnation, link, learned) {
        Installed::Standing => {
            shared.wake_exchange.notify_one();
            Outcome::Linked
        }
        Installed::Duplicate => {
            CloseCode::Duplicate.close(&connection);
            Outcome::Linked
        }
        Installed::Full => {
            shared.counters.connections_refused.count();
            CloseCode::Full.close(&connection);
            Outcome::Refused
        }
    }
}
