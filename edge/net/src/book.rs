//! Who is known, where they can be dialled, and when to try next.
//!
//! Pure: the time is an argument. Addresses come from three sources. What was *given* (by configuration or an
//! invitation) is kept for ever; what a peer *told* of itself replaces what it told before and is kept for an hour
//! after its last link; *hints* of third parties and of the local network are tried a few times and forgotten when
//! they lead nowhere.
//!
//! Pauses between attempts double from 100 ms to half a second while a peer may just be restarting (20 attempts),
//! are 2 s for the next 40, and 15 s from then on.

use std::collections::BTreeMap;
use std::time::Duration;

use grange_types::PeerId;
use tokio::time::Instant;

use crate::address::PeerAddress;

/// A peer that told its address is forgotten so long after its last link.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// Attempts that a hint is worth.
const HINT_ATTEMPTS: u32 = 8;
/// The pause after a peer said that it is of another network, or full.
const REFUSED_PAUSE: Duration = Duration::from_secs(15);

/// Where an address comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    /// Configuration, or the layers above.
    Given,
    /// The peer itself, over its link.
    Told,
    /// A third party, or the local network.
    Hint,
}

/// How an attempt to link ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The link stands, or stood already.
    Linked,
    /// Nobody answered, or the answer made no sense.
    Failed,
    /// The peer answered that it does not want the link.
    Refused,
}

#[derive(Debug)]
struct Entry {
    given: Option<PeerAddress>,
    told: Option<PeerAddress>,
    hint: Option<PeerAddress>,
    /// Attempts that failed since the last link.
    failures: u32,
    /// Not to be dialled before.
    pause_until: Instant,
    dialing: bool,
    linked: bool,
    /// When the last link ended, or when the entry was made.
    seen: Instant,
}

impl Entry {
    fn address(&self, peer: PeerId) -> PeerAddress {
        let nowhere = PeerAddress { peer, addresses: Vec::new(), relays: Vec::new() };
        [&self.told, &self.given, &self.hint].into_iter().flatten().fold(nowhere, |all, one| all.joined(one))
    }

    fn pause(&self) -> Duration {
        match self.failures {
            0..=2 => Duration::from_millis(100 << self.failures),
            3..=20 => Duration::from_millis(500),
            21..=60 => Duration::from_secs(2),
            _ => Duration::from_secs(15),
        }
    }

    fn is_worthless(&self, now: Instant) -> bool {
        let idle = !self.linked && !self.dialing && self.given.is_none();
        idle && match self.told {
            Some(_) => now.saturating_duration_since(self.seen) > REMEMBERED,
            None => self.failures >= HINT_ATTEMPTS,
        }
    }
}

/// The book of known peers.
#[derive(Debug)]
pub(crate) struct Book {
    me: PeerId,
    most: usize,
    entries: BTreeMap<PeerId, Entry>,
}

impl Book {
    /// An empty book that remembers so many peers.
    pub(crate) const fn new(me: PeerId, most: usize) -> Self {
        Self { me, most, entries: BTreeMap::new() }
    }

    /// How many peers are known.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Writes an address down; whether that was news. A full book takes given addresses, and forgets an old one for
    /// what a peer tells of itself.
    pub(crate) fn add(&mut self, now: Instant, source: Source, address: PeerAddress) -> bool {
        let address = address.cleaned();
        let peer = address.peer;
        if peer == self.me || (address.is_empty() && source != Source::Told) {
            return false;
        }
        self.entries.retain(|_, entry| !entry.is_worthless(now));
        if self.entries.len() >= self.most && !self.entries.contains_key(&peer) {
            match source {
                Source::Given => {}
                // Whoever speaks for itself takes the place of whoever has been away for longest.
                Source::Told if self.forget_one() => {}
                Source::Told | Source::Hint => return false,
            }
        }
        let entry = self.entries.entry(peer).or_insert_with(|| Entry {
            given: None,
            told: None,
            hint: None,
            failures: 0,
            pause_until: now,
            dialing: false,
            linked: false,
            seen: now,
        });
        let place = match source {
            Source::Given => &mut entry.given,
            Source::Told => &mut entry.told,
            Source::Hint => &mut entry.hint,
        };
        if place.as_ref() == Some(&address) {
            return false;
        }
        *place = Some(address);
        if source != Source::Hint {
            entry.failures = 0;
            entry.pause_until = now;
        }
        true
    }

    /// Forgets the peer that has been away for longest, if there is one that was not given.
    fn forget_one(&mut self) -> bool {
        let away = self.entries.iter().filter(|(_, entry)| !entry.linked && !entry.dialing && entry.given.is_none());
        let oldest = away.min_by_key(|(_, entry)| entry.seen).map(|(peer, _)| *peer);
        oldest.is_some_and(|peer| self.entries.remove(&peer).is_some())
    }

    /// Takes at most `room` peers to dial now; each must be followed by [`Book::dialed`].
    pub(crate) fn take_due(&mut self, now: Instant, room: usize) -> Vec<PeerAddress> {
        // Given peers first, then those that fail least.
        let mut due: Vec<(bool, u32, PeerId)> = self
            .entries
            .iter()
            .filter(|(_, entry)| !entry.linked && !entry.dialing && entry.pause_until <= now)
            .map(|(peer, entry)| (entry.given.is_none(), entry.failures, *peer))
            .collect();
        due.sort_unstable();
        let mut taken = Vec::new();
        for (_, _, peer) in due {
            let Some(entry) = self.entries.get_mut(&peer) else { continue };
            let address = entry.address(peer);
            if taken.len() < room && !address.is_empty() {
                entry.dialing = true;
                taken.push(address);
            }
        }
        taken
    }

    /// When the next peer is due, if any is.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.entries
            .iter()
            .filter(|(peer, entry)| !entry.linked && !entry.dialing && !entry.address(**peer).is_empty())
            .map(|(_, entry)| entry.pause_until)
            .min()
    }

    /// Notes how an attempt ended.
    pub(crate) fn dialed(&mut self, now: Instant, peer: PeerId, outcome: Outcome) {
        let Some(entry) = self.entries.get_mut(&peer) else { return };
        entry.dialing = false;
        match outcome {
            Outcome::Linked => entry.pause_until = now + Duration::from_millis(200),
            Outcome::Failed => {
                entry.pause_until = now + entry.pause();
                entry.failures = entry.failures.saturating_add(1);
            }
            Outcome::Refused => {
                entry.pause_until = now + REFUSED_PAUSE;
                entry.failures = entry.failures.saturating_add(1);
            }
        }
        self.entries.retain(|_, entry| !entry.is_worthless(now));
    }

    /// Notes that a link stands.
    pub(crate) fn linked(&mut self, peer: PeerId) {
        if let Some(entry) = self.entries.get_mut(&peer) {
            entry.linked = true;
            entry.failures = 0;
        }
    }

    /// Notes that a link ended; the peer is dialled again after `pause`.
    pub(crate) fn lost(&mut self, now: Instant, peer: PeerId, pause: Duration) {
        if let Some(entry) = self.entries.get_mut(&peer) {
            entry.linked = false;
            entry.failures = 0;
            entry.pause_until = now + pause;
            entry.seen = now;
        }
    }

    /// Whether a link to the peer may come up soon: it is known, and not known to be out of reach.
    pub(crate) fn is_hopeful(&self, peer: PeerId) -> bool {
        self.entries.get(&peer).is_some_and(|entry| entry.failures == 0 && !entry.address(peer).is_empty())
    }

    /// What the peer told of itself.
    pub(crate) fn told(&self, peer: PeerId) -> Option<&PeerAddress> {
        self.entries.get(&peer)?.told.as_ref()
    }

    /// All known peers and where they can be dialled.
    pub(crate) fn all(&self) -> impl Iterator<Item = PeerAddress> + '_ {
        self.entries.iter().map(|(peer, entry)| entry.address(*peer))
    }

    /// Where one peer can be dialled.
    pub(crate) fn address(&self, peer: PeerId) -> Option<PeerAddress> {
        self.entries.get(&peer).map(|entry| entry.address(peer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(byte: u8, port: u16) -> PeerAddress {
        PeerAddress { peer: PeerId([byte; 32]), addresses: vec![([10, 0, 0, byte], port).into()], relays: Vec::new() }
    }

    fn book() -> (Book, Instant) {
        (Book::new(PeerId([0; 32]), 4), Instant::now())
    }

    #[test]
    fn a_dead_peer_is_dialled_with_growing_pauses_for_ever_if_it_was_given() {
        let (mut book, start) = book();
        assert!(book.add(start, Source::Given, address(1, 1)));
        let (mut now, mut pauses) = (start, Vec::new());
        for _ in 0..70 {
            assert_eq!(book.take_due(now, 9).len(), 1);
            assert_eq!(book.take_due(now, 9).len(), 0);
            book.dialed(now, PeerId([1; 32]), Outcome::Failed);
            let due = book.next_due().unwrap();
            pauses.push((due - now).as_millis());
            now = due;
        }
        assert_eq!(pauses[..5], [100, 200, 400, 500, 500]);
        assert_eq!((pauses[20], pauses[21], pauses[60], pauses[61]), (500, 2_000, 2_000, 15_000));
        assert!(!book.is_hopeful(PeerId([1; 32])));
    }

    #[test]
    fn a_lost_peer_is_due_at_once_and_a_linked_one_never() {
        let (mut book, now) = book();
        book.add(now, Source::Told, address(1, 1));
        book.linked(PeerId([1; 32]));
        assert_eq!((book.take_due(now, 9).len(), book.next_due()), (0, None));
        book.lost(now, PeerId([1; 32]), Duration::ZERO);
        assert_eq!(book.next_due(), Some(now));
        assert!(book.is_hopeful(PeerId([1; 32])));
        // An hour later it is forgotten.
        let later = now + REMEMBERED + Duration::from_secs(1);
        book.add(later, Source::Hint, address(2, 1));
        assert_eq!(book.len(), 1);
    }

    #[test]
    fn hints_are_few_and_short_lived() {
        let (mut book, mut now) = book();
        for byte in 1..9 {
            book.add(now, Source::Hint, address(byte, 1));
        }
        assert_eq!(book.len(), 4);
        assert!(book.add(now, Source::Given, address(9, 1)));
        // What a peer tells of itself displaces a hint.
        assert!(book.add(now, Source::Told, address(10, 1)));
        assert_eq!(book.len(), 5);
        book.entries.remove(&PeerId([10; 32]));
        for _ in 0..HINT_ATTEMPTS {
            for due in book.take_due(now, 9) {
                book.dialed(now, due.peer, Outcome::Failed);
            }
            now += Duration::from_secs(1);
        }
        assert_eq!(book.all().collect::<Vec<_>>(), [address(9, 1)]);
    }

    #[test]
    fn sources_add_up_and_each_replaces_itself() {
        let (mut book, now) = book();
        book.add(now, Source::Given, address(1, 1));
        book.add(now, Source::Told, address(1, 2));
        assert!(!book.add(now, Source::Told, address(1, 2)));
        assert!(book.add(now, Source::Told, address(1, 3)));
        let ports =
            |book: &Book| book.address(PeerId([1; 32])).unwrap().addresses.iter().map(|a| a.port()).collect::<Vec<_>>();
        assert_eq!(ports(&book), [3, 1]);
        // Nobody is told about oneself, and an empty hint says nothing.
        assert!(!book.add(now, Source::Given, address(0, 1)));
        let empty = PeerAddress { peer: PeerId([2; 32]), addresses: Vec::new(), relays: Vec::new() };
        assert!(!book.add(now, Source::Hint, empty));
    }
}
