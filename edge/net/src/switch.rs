//! Which peers are linked, and which of two links to the same peer stays.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use grange_types::PeerId;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::address::PeerAddress;
use crate::net::Shared;
use crate::session::{Link, Session, drive, lock};

/// How long a peer that was punished is not answered.
const QUARANTINE: Duration = Duration::from_secs(5);
/// Punished peers that are remembered.
const QUARANTINED: usize = 1_024;

/// The table of sessions.
#[derive(Debug)]
pub(crate) struct Switch {
    sessions: Mutex<BTreeMap<PeerId, Arc<Session>>>,
    quarantined: Mutex<BTreeMap<PeerId, Instant>>,
    /// Raised whenever a session comes or goes, or an attempt to link fails.
    changed: watch::Sender<()>,
}

/// What became of a new link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Installed {
    /// It stands.
    Standing,
    /// Another link to the peer stays in its place.
    Duplicate,
    /// There are as many links as there may be.
    Full,
}

/// What to do with a new link to a peer that has a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    /// The present link stays.
    Keep,
    /// The new link takes its place, and nobody notices.
    Swap,
    /// The peer was restarted: the session ends and another begins.
    Restart,
}

/// How old a link may be for another to the same peer to mean that both dialled at once.
const AT_ONCE: Duration = Duration::from_secs(3);

/// Decides so that both sides, each seeing the two links in its own order, keep the same one: that which the smaller
/// key dialled. A side that dials a second time, or long after, has lost what it had.
fn decide(same_incarnation: bool, age: Duration, present_by_smaller: bool, new_by_smaller: bool) -> Decision {
    match (present_by_smaller, new_by_smaller) {
        _ if !same_incarnation || age > AT_ONCE => Decision::Restart,
        (true, false) => Decision::Keep,
        (false, true) => Decision::Swap,
        _ => Decision::Restart,
    }
}

impl Switch {
    /// An empty table.
    pub(crate) fn new() -> Self {
        let (changed, _) = watch::channel(());
        Self { sessions: Mutex::default(), quarantined: Mutex::default(), changed }
    }

    /// The session with a peer, if it is linked.
    pub(crate) fn get(&self, peer: PeerId) -> Option<Arc<Session>> {
        lock(&self.sessions).get(&peer).filter(|session| !session.over.is_cancelled()).cloned()
    }

    /// All sessions.
    pub(crate) fn all(&self) -> Vec<Arc<Session>> {
        lock(&self.sessions).values().filter(|session| !session.over.is_cancelled()).cloned().collect()
    }

    /// How many links stand.
    pub(crate) fn len(&self) -> usize {
        lock(&self.sessions).len()
    }

    /// Takes in a link that has exchanged greetings, and what was learned from them.
    pub(crate) fn install(
        &self,
        shared: &Arc<Shared>,
        peer: PeerId,
        incarnation: u64,
        link: Link,
        learned: Option<PeerAddress>,
    ) -> Installed {
        let mut sessions = lock(&self.sessions);
        let mut former: Option<CancellationToken> = None;
        if let Some(present) = sessions.get(&peer).filter(|present| !present.ended.is_cancelled()) {
            let smaller = |dialed: bool| dialed == (shared.me < peer);
            // A session that is ending cannot be joined; the next one begins after it.
            let same = present.incarnation == incarnation && !present.over.is_cancelled();
            match decide(same, present.since.elapsed(), smaller(present.link().dialed), smaller(link.dialed)) {
                Decision::Keep => return Installed::Duplicate,
                Decision::Swap => {
                    present.swap(link.clone());
                    crate::exchange::attend(shared, present, link.connection);
                    return Installed::Standing;
                }
                Decision::Restart => {
                    present.over.cancel();
                    former = Some(present.ended.clone());
                }
            }
        } else if sessions.len() >= shared.limits.links {
            return Installed::Full;
        }
        let connection = link.connection.clone();
        let session = Arc::new(Session::new(peer, incarnation, link, &shared.limits, &shared.stop));
        sessions.insert(peer, session.clone());
        lock(&shared.book).linked(peer);
        shared.counters.links.set(sessions.len() as u64);
        drop(sessions);
        crate::exchange::attend(shared, &session, connection);
        shared.tasks.spawn(drive(shared.clone(), session, former, learned));
        self.touch();
        Installed::Standing
    }

    /// Forgets a session that is over, unless another took its place.
    pub(crate) fn remove(&self, session: &Arc<Session>) {
        let mut sessions = lock(&self.sessions);
        if sessions.get(&session.peer).is_some_and(|present| Arc::ptr_eq(present, session)) {
            sessions.remove(&session.peer);
        }
        drop(sessions);
        self.touch();
    }

    /// Wakes who waits for a change.
    pub(crate) fn touch(&self) {
        self.changed.send_replace(());
    }

    /// Waits until `ready` gives something, asking again at every change.
    pub(crate) async fn wait_for<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(value) = ready() {
                return value;
            }
            // The sender lives as long as the table.
            let _ = changed.changed().await;
        }
    }

    /// Does not answer a peer for a while.
    pub(crate) fn quarantine(&self, peer: PeerId, now: Instant) {
        let mut quarantined = lock(&self.quarantined);
        quarantined.retain(|_, until| *until > now);
        if quarantined.len() < QUARANTINED {
            quarantined.insert(peer, now + QUARANTINE);
        }
    }

    /// Whether a peer is not answered now.
    pub(crate) fn is_quarantined(&self, peer: PeerId, now: Instant) -> bool {
        lock(&self.quarantined).get(&peer).is_some_and(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_keep_the_same_of_two_links() {
        let young = Duration::from_millis(10);
        // One link dialled by the smaller key, one by the larger; each side may see either first.
        assert_eq!(decide(true, young, true, false), Decision::Keep);
        assert_eq!(decide(true, young, false, true), Decision::Swap);
        // The same side dials again: it has lost what it had.
        assert_eq!(decide(true, young, true, true), Decision::Restart);
        assert_eq!(decide(true, young, false, false), Decision::Restart);
        for (present, new) in [(true, true), (true, false), (false, true), (false, false)] {
            assert_eq!(decide(false, young, present, new), Decision::Restart);
            assert_eq!(decide(true, AT_ONCE * 2, present, new), Decision::Restart);
        }
    }
}
