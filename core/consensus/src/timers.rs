//! How long to wait for others. Every validator's own business: no rule of safety depends on it.

use grange_types::{Millis, Time};
use malachitebft_core_types::{Timeout, TimeoutKind};

use crate::chain::number;

/// How long to wait, and how much longer in each further round of a height.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the proposal and the host's judgement of its block. Raised by itself to four times what they took lately, up
    /// to eight times this.
    pub propose: Millis,
    /// What each round adds to it.
    pub propose_step: Millis,
    /// For the rest of the votes, once two thirds have voted differently.
    pub vote: Millis,
    /// What each round adds to it.
    pub vote_step: Millis,
    /// For the proposal of one who is not connected, or missed its last turn and was silent since. Doubles each round.
    pub absent: Millis,
    /// Before saying the same again.
    pub rebroadcast: Millis,
    /// Before asking for the present height's block, after hearing of the next height.
    pub behind: Millis,
    /// Before asking another for blocks.
    pub ask_again: Millis,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            propose: Millis(600),
            propose_step: Millis(200),
            vote: Millis(200),
            vote_step: Millis(100),
            absent: Millis(20),
            rebroadcast: Millis(1_000),
            behind: Millis(100),
            ask_again: Millis(500),
        }
    }
}

impl Timeouts {
    /// How long to wait in this round for a proposer of whom this is known.
    pub(crate) fn propose(&self, round: u32, usual: Millis, absent: bool) -> Millis {
        let most = self.propose.0.saturating_mul(8);
        let base = usual.0.saturating_mul(4).clamp(self.propose.0.min(most), most);
        let full = grown(Millis(base), self.propose_step, round);
        let short = Millis(self.absent.0.max(1).saturating_mul(1 << round.min(16)));
        if absent { short.min(full) } else { full }
    }

    /// How long to wait in this round for the rest of the votes.
    pub(crate) fn vote(&self, round: u32) -> Millis {
        grown(self.vote, self.vote_step, round)
    }
}

/// At least a millisecond, so that time passes between any two rounds; at most a minute.
fn grown(base: Millis, step: Millis, round: u32) -> Millis {
    let sum = base.0.saturating_add(step.0.saturating_mul(u64::from(round)));
    Millis(sum.clamp(1, 60_000))
}

/// The usual time from a round's start to a block that can be voted for: a mean in which old measurements fade.
#[derive(Debug, Default)]
pub(crate) struct Tempo {
    /// Eight times the mean.
    eightfold: u64,
}

impl Tempo {
    pub(crate) fn measured(&mut self, took: Millis) {
        // An hour is beyond any limit that is made of it.
        let took = took.0.min(3_600_000);
        self.eightfold = if self.eightfold == 0 { took * 8 } else { self.eightfold - self.eightfold / 8 + took };
    }

    pub(crate) const fn usual(&self) -> Millis {
        Millis(self.eightfold / 8)
    }
}

/// The timers of the present height; there are never more than a handful.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    set: Vec<(Time, Timeout)>,
}

impl Timers {
    /// Sets a timer; one of the same kind and round is replaced.
    pub(crate) fn set(&mut self, timeout: Timeout, at: Time) {
        self.cancel(&timeout);
        self.set.push((at, timeout));
    }

    pub(crate) fn cancel(&mut self, timeout: &Timeout) {
        self.set.retain(|(_, other)| other != timeout);
    }

    pub(crate) fn clear(&mut self) {
        self.set.clear();
    }

    /// Leaves only the timer that says things again.
    pub(crate) fn keep_rebroadcast(&mut self) {
        self.set.retain(|(_, timeout)| timeout.kind == TimeoutKind::Rebroadcast);
    }

    /// Ends the wait for the rest of a round's precommits, if there is one.
    pub(crate) fn hasten_precommit(&mut self, round: u32, now: Time) {
        for (at, timeout) in &mut self.set {
            if timeout.kind == TimeoutKind::Precommit && number(timeout.round) == round {
                *at = now.min(*at);
            }
        }
    }

    /// When the first one is due.
    pub(crate) fn next(&self) -> Option<Time> {
        self.set.iter().map(|(at, _)| *at).min()
    }

    /// Takes the one that was due first.
    pub(crate) fn pop(&mut self, now: Time) -> Option<Timeout> {
        let (index, _) =
            self.set.iter().enumerate().min_by_key(|(_, (at, _))| *at).filter(|(_, (at, _))| *at <= now)?;
        Some(self.set.remove(index).1)
    }
}

#[cfg(test)]
mod tests {
    use malachitebft_core_types::Round;

    use super::*;

    #[test]
    fn absent_proposers_are_waited_for_shortly_but_ever_longer() {
        let timeouts = Timeouts::default();
        let waits: Vec<u64> = (0..7).map(|round| timeouts.propose(round, Millis(0), true).0).collect();
        assert_eq!(waits, [20, 40, 80, 160, 320, 640, 1_280]);
        assert_eq!(timeouts.propose(0, Millis(0), false), Millis(600));
        assert_eq!(timeouts.propose(2, Millis(0), false), Millis(1_000));
        assert_eq!(timeouts.propose(0, Millis(400), false), Millis(1_600));
        assert_eq!(timeouts.propose(0, Millis(u64::MAX), false), Millis(4_800));
        assert_eq!(timeouts.propose(u32::MAX, Millis(u64::MAX), false), Millis(60_000));
        let none = Timeouts { vote: Millis(0), vote_step: Millis(0), ..timeouts };
        assert_eq!(none.vote(0), Millis(1));
    }

    #[test]
    fn the_tempo_follows_what_is_measured() {
        let mut tempo = Tempo::default();
        assert_eq!(tempo.usual(), Millis(0));
        tempo.measured(Millis(100));
        assert_eq!(tempo.usual(), Millis(100));
        for _ in 0..40 {
            tempo.measured(Millis(500));
        }
        assert!((490..=500).contains(&tempo.usual().0), "{:?}", tempo.usual());
    }

    #[test]
    fn timers_ring_in_order_and_once() {
        let mut timers = Timers::default();
        let (first, second) = (Timeout::prevote(Round::new(0)), Timeout::precommit(Round::new(0)));
        timers.set(second, Time(20));
        timers.set(first, Time(5));
        timers.set(first, Time(10));
        assert_eq!((timers.next(), timers.pop(Time(9))), (Some(Time(10)), None));
        timers.hasten_precommit(0, Time(11));
        assert_eq!(timers.pop(Time(11)), Some(first));
        assert_eq!(timers.pop(Time(11)), Some(second));
        assert_eq!((timers.pop(Time(99)), timers.next()), (None, None));
    }
}
