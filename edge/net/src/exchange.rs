//! Peer exchange: linked peers tell each other where they and the peers they are linked with now can be reached.
//!
//! A notice is one unidirectional stream on the link. A peer is told everything when its link comes up, and again
//! when the own address or that of a linked peer changes or a link comes or goes, at most twice a second.

use std::sync::Arc;
use std::time::Duration;

use grange_types::Wire;
use iroh::Watcher;
use iroh::endpoint::{Connection, RecvStream};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::address::PeerAddress;
use crate::book::Source;
use crate::event::NetEvent;
use crate::frame::{FrameError, frame, read_frame};
use crate::net::Shared;
use crate::session::{Session, lock};
use crate::wire::{Notice, PEERS_PER_NOTICE};

/// The least time between two rounds of notices.
const PACE: Duration = Duration::from_millis(500);
/// How long one notice may take to be handed over.
const TELL_WITHIN: Duration = Duration::from_secs(2);

/// Listens to the notices on a link's connection, as a task of its session.
pub(crate) fn attend(shared: &Arc<Shared>, session: &Arc<Session>, connection: Connection) {
    let (shared, attending) = (shared.clone(), session.clone());
    session.spawn(async move {
        while let Ok(recv) = connection.accept_uni().await {
            if !attending.admit(&shared) {
                continue;
            }
            hear_notice(&shared, &attending, recv).await;
        }
    });
}

/// Reads one notice and notes what it tells.
async fn hear_notice(shared: &Arc<Shared>, session: &Arc<Session>, mut recv: RecvStream) {
    let read = tokio::time::timeout(TELL_WITHIN, read_frame(&mut recv, Notice::LIMIT));
    let bytes = match read.await {
        Ok(Ok(Some(bytes))) => bytes,
        Ok(Err(FrameError::Broken(_)) | Ok(None)) | Err(_) => return,
        Ok(Err(error)) => return session.punish(shared, &error.to_string()),
    };
    let notice = match Notice::decode(&bytes) {
        Ok(notice) if notice.linked.len() <= PEERS_PER_NOTICE => notice,
        Ok(_) => return session.punish(shared, "a notice of too many peers"),
        Err(error) => return session.punish(shared, &error.to_string()),
    };
    let own = PeerAddress { peer: session.peer, ..notice.own }.cleaned();
    let now = Instant::now();
    let news = {
        let mut book = lock(&shared.book);
        for address in notice.linked {
            book.add(now, Source::Hint, address);
        }
        book.add(now, Source::Told, own.clone())
    };
    shared.wake_dialer.notify_one();
    if news {
        // Who knows the peer only through us hears it from us: where a peer behind NAT is reached it learns late.
        shared.wake_exchange.notify_one();
    }
    if news && !own.is_empty() {
        session.announced.cancelled().await;
        shared.emit(NetEvent::Learned(own)).await;
    }
}

/// Tells all linked peers the news, until the node stops.
pub(crate) async fn tell_news(shared: Arc<Shared>) {
    let Some(mut own) = shared.endpoint().map(|endpoint| endpoint.watch_addr()) else { return };
    loop {
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = shared.wake_exchange.notified() => {}
            changed = own.updated() => if changed.is_err() { return },
        }
        let sessions = shared.switch.all();
        let linked: Vec<PeerAddress> = {
            let book = lock(&shared.book);
            sessions.iter().filter_map(|session| book.told(session.peer).cloned()).collect()
        };
        for session in &sessions {
            let others = linked.iter().filter(|address| address.peer != session.peer && !address.is_empty());
            let notice = Notice { own: shared.own_address(), linked: others.take(PEERS_PER_NOTICE).cloned().collect() };
            let connection = session.link().connection;
            session.spawn(async move {
                let _ = tokio::time::timeout(TELL_WITHIN, tell(connection, notice)).await;
            });
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(PACE) => {}
        }
    }
}

/// Hands over one notice. A link that breaks meanwhile is noticed elsewhere.
async fn tell(connection: Connection, notice: Notice) {
    if let Ok(mut send) = connection.open_uni().await
        && send.write_all(&frame(&notice.encode())).await.is_ok()
    {
        let _ = send.shutdown().await;
    }
}
