//! Who says that we are behind, and when to ask whom for blocks.
//!
//! A claim costs nothing to make, so that none is believed: each is only a hint whom to ask, everyone who claims is
//! asked in turn, and never more often than the pause allows. Validators are asked before strangers, who can be many.

use std::collections::BTreeMap;

use grange_types::{Height, Millis, PeerId, Time, limits};

use crate::timers::Timeouts;

/// Peers whose claims are kept: all validators of one set, and as many strangers.
const PEERS: usize = 2 * limits::VALIDATORS;

/// A peer, after all validators if it is none.
type Rank = (bool, PeerId);

/// The claims that are above our height.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    heights: BTreeMap<Rank, Height>,
    due: Option<Time>,
    quiet_until: Time,
    last: Option<Rank>,
}

impl Claims {
    /// A peer, which may be a validator, says it works on a height.
    ///
    /// The next height is often heard of just before we decide ours, hence the grace.
    pub(crate) fn hear(
        &mut self,
        now: Time,
        (peer, member): (PeerId, bool),
        height: Height,
        ours: Height,
        timeouts: &Timeouts,
    ) {
        let rank = (!member, peer);
        let room = if member { PEERS } else { PEERS - limits::VALIDATORS };
        if height <= ours || (self.heights.len() >= room && !self.heights.contains_key(&rank)) {
            return;
        }
        let claim = self.heights.entry(rank).or_default();
        *claim = height.max(*claim);
        let grace = if height == ours.next() { timeouts.behind } else { Millis(0) };
        let due = now.after(grace).max(self.quiet_until);
        self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
    }

    /// A peer is gone.
    pub(crate) fn forget(&mut self, peer: PeerId) {
        self.heights.remove(&(false, peer));
        self.heights.remove(&(true, peer));
    }

    /// We have come to a height by our own doing.
    pub(crate) fn settle(&mut self, ours: Height) {
        self.heights.retain(|_, height| *height > ours);
        if self.heights.is_empty() {
            self.due = None;
        }
    }

    /// We have come to a height with blocks of others: there may be more where they came from, at once.
    pub(crate) fn progress(&mut self, now: Time, ours: Height, timeouts: &Timeouts) {
        self.settle(ours);
        self.quiet_until = now;
        let grace = |height: &Height| if *height == ours.next() { timeouts.behind } else { Millis(0) };
        self.due = self.heights.values().max().map(|height| now.after(grace(height)));
    }

    /// When to ask.
    pub(crate) const fn due(&self) -> Option<Time> {
        self.due
    }

    /// Whom to ask now, and what height it claims.
    pub(crate) fn pop(&mut self, now: Time, ours: Height, timeouts: &Timeouts) -> Option<(Height, PeerId)> {
        if self.due.is_none_or(|due| due > now) {
            return None;
        }
        self.heights.retain(|_, height| *height > ours);
        let Some((&first, _)) = self.heights.first_key_value() else {
            self.due = None;
            return None;
        };
        // The next of the same kind, and round again.
        let after = |last: Rank| self.heights.range(last..).find(|&(rank, _)| *rank != last && rank.0 == first.0);
        let next = self.last.and_then(after).or_else(|| self.heights.first_key_value());
        let (&rank, &height) = next?;
        self.last = Some(rank);
        self.quiet_until = now.after(timeouts.ask_again.max(Millis(1)));
        self.due = Some(self.quiet_until);
        Some((height, rank.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_liar_is_asked_in_turn_and_hides_nobody() {
        let (mut claims, timeouts) = (Claims::default(), Timeouts::default());
        let (liar, honest) = (PeerId([1; 32]), PeerId([2; 32]));
        claims.hear(Time(0), (liar, true), Height(u64::MAX), Height(5), &timeouts);
        claims.hear(Time(0), (honest, true), Height(6), Height(5), &timeouts);
        // Strangers, however many, are asked after all validators.
        for number in 0..=255u8 {
            claims.hear(Time(0), (PeerId([number; 32]), false), Height(u64::MAX), Height(5), &timeouts);
        }
        assert_eq!(claims.heights.len(), limits::VALIDATORS);
        assert_eq!(claims.pop(Time(0), Height(5), &timeouts), Some((Height(u64::MAX), liar)));
        // However often it says so, nobody is asked before the pause is over.
        claims.hear(Time(1), (liar, true), Height(u64::MAX), Height(5), &timeouts);
        assert_eq!(claims.pop(Time(1), Height(5), &timeouts), None);
        let again = Time(0).after(timeouts.ask_again);
        assert_eq!(claims.due(), Some(again));
        assert_eq!(claims.pop(again, Height(5), &timeouts), Some((Height(6), honest)));
        let later = again.after(timeouts.ask_again);
        assert_eq!(claims.pop(later, Height(5), &timeouts), Some((Height(u64::MAX), liar)));
        claims.settle(Height(6));
        claims.forget(liar);
        let stranger = claims.pop(Time(u64::MAX), Height(6), &timeouts);
        assert_eq!(stranger, Some((Height(u64::MAX), PeerId([0; 32]))));
        for number in 0..=255u8 {
            claims.forget(PeerId([number; 32]));
        }
        assert_eq!(claims.pop(Time(u64::MAX), Height(6), &timeouts), None);
        assert_eq!(claims.due(), None);
    }

    #[test]
    fn the_next_height_is_given_a_moment() {
        let (mut claims, timeouts) = (Claims::default(), Timeouts::default());
        claims.hear(Time(0), (PeerId([1; 32]), true), Height(5), Height(5), &timeouts);
        assert_eq!(claims.due(), None);
        claims.hear(Time(0), (PeerId([1; 32]), true), Height(6), Height(5), &timeouts);
        assert_eq!(claims.due(), Some(Time(0).after(timeouts.behind)));
        claims.settle(Height(6));
        assert_eq!(claims.due(), None);
    }

    #[test]
    fn progress_is_followed_up_at_once() {
        let (mut claims, timeouts) = (Claims::default(), Timeouts::default());
        let peer = PeerId([1; 32]);
        claims.hear(Time(0), (peer, true), Height(100), Height(1), &timeouts);
        assert_eq!(claims.pop(Time(0), Height(1), &timeouts), Some((Height(100), peer)));
        claims.progress(Time(3), Height(17), &timeouts);
        assert_eq!(claims.pop(Time(3), Height(17), &timeouts), Some((Height(100), peer)));
        claims.progress(Time(6), Height(99), &timeouts);
        assert_eq!(claims.due(), Some(Time(6).after(timeouts.behind)));
        claims.progress(Time(7), Height(100), &timeouts);
        assert_eq!(claims.due(), None);
    }
}
