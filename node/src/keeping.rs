//! Keepers of key-values: how a provider here reaches its own, and how this node answers as one.
//!
//! Only the holder of a slot's open lease, by this node's own ledger, is answered, and only for that lease's generation. Whoever
//! hears of a lease before we do is let wait a moment.

use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use grange_net::{Net, Protocol, Reply};
use grange_objects::log::{KeepReply, KeepRequest, LogId, Refusal, View};
use grange_peer::Event;
use grange_sandbox::{KeeperLink, Sandboxes};
use grange_types::{PeerId, Wire};
use tokio::sync::{Semaphore, mpsc};

use crate::ingress::Ingress;

/// How long a keeper may take: two megabytes and a write to its disk.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Requests that are answered at the same time: each holds a thread while the disk works.
const AT_ONCE: usize = 32;

/// Both sides of keeping.
pub(crate) struct Keeping {
    net: Arc<Net>,
    events: mpsc::Sender<Event>,
    places: Arc<Semaphore>,
    hands: OnceLock<(Weak<Sandboxes>, Weak<Ingress>)>,
}

impl std::fmt::Debug for Keeping {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keeping").field("me", &self.net.peer_id()).finish_non_exhaustive()
    }
}

impl Keeping {
    pub(crate) fn new(net: Arc<Net>, events: mpsc::Sender<Event>) -> Self {
        Self { net, events, places: Arc::new(Semaphore::new(AT_ONCE)), hands: OnceLock::new() }
    }

    /// Gives it what it answers from, which cannot be made without it.
    pub(crate) fn attach(&self, sandboxes: &Arc<Sandboxes>, ingress: &Arc<Ingress>) {
        // Once, when the node starts.
        let _ = self.hands.set((Arc::downgrade(sandboxes), Arc::downgrade(ingress)));
    }

    /// Tells the peer which keepers count for what this node keeps, by its disk. For the start.
    pub(crate) async fn tell_all(&self) {
        let Some((sandboxes, _)) = self.hands() else { return };
        let views = tokio::task::spawn_blocking(move || sandboxes.views()).await.unwrap_or_default();
        for (log, view) in views {
            let _ = self.events.send(keepers(log, &view, false)).await;
        }
    }

    /// Answers a peer's request.
    pub(crate) async fn serve(self: Arc<Self>, from: PeerId, bytes: Vec<u8>, reply: Reply) {
        // Dropped without an answer, the reply says that there is none.
        let Ok(request) = KeepRequest::decode(&bytes) else { return };
        drop(bytes);
        reply.send(self.answer(from, request).await.encode());
    }

    async fn answer(&self, from: PeerId, request: KeepRequest) -> KeepReply {
        let Some((sandboxes, ingress)) = self.hands() else { return KeepReply::Refused(Refusal::Denied) };
        let Some(room) = ingress.may_write(from, request.log(), request.generation()).await else {
            tracing::debug!(peer = %from, log = ?request.log(), generation = request.generation(), "keep.denied");
            return KeepReply::Refused(Refusal::Denied);
        };
        let Ok(_place) = self.places.acquire().await else { return KeepReply::Refused(Refusal::Failed) };
        let log = request.log().clone();
        let kept = tokio::task::spawn_blocking(move || sandboxes.keep(&request, room)).await;
        let Ok(kept) = kept else { return KeepReply::Refused(Refusal::Failed) };
        if let Some(view) = kept.view {
            let _ = self.events.send(keepers(log, &view, false)).await;
        }
        kept.reply
    }

    fn hands(&self) -> Option<(Arc<Sandboxes>, Arc<Ingress>)> {
        let (sandboxes, ingress) = self.hands.get()?;
        Some((sandboxes.upgrade()?, ingress.upgrade()?))
    }
}

fn keepers(log: LogId, view: &View, own: bool) -> Event {
    let View { at, keepers, without, .. } = view.clone();
    Event::Keepers { log, generation: at.generation, keepers, without, own }
}

impl KeeperLink for Keeping {
    fn ask(&self, keeper: PeerId, request: KeepRequest) -> BoxFuture<'_, Option<KeepReply>> {
        async move {
            // What we kept for another generation of the slot is asked like anybody's.
            if keeper == self.net.peer_id() {
                return Some(self.answer(keeper, request).await);
            }
            let answer = self.net.request(keeper, Protocol::Keep, request.encode(), ANSWER_WITHIN).await;
            match answer {
                Ok(bytes) => KeepReply::decode(&bytes).ok(),
                Err(error) => {
                    tracing::debug!(peer = %keeper, %error, "keep.unanswered");
                    None
                }
            }
        }
        .boxed()
    }

    fn counts(&self, log: &LogId, _: u64, view: &View) {
        let (events, event) = (self.events.clone(), keepers(log.clone(), view, true));
        // The pump may be busy; whoever tells it does not wait.
        tokio::spawn(async move { events.send(event).await });
    }
}
