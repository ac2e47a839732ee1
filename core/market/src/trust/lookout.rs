//! Whom to look at next: every operator that is known gets the same attention, however many nodes it has.
//!
//! # Rules
//! - A round begins once in [`LOOK_EVERY`] and asks one node each of at most [`LOOKS`] operators, those after the ones of the
//!   round before, in the order of their ids; which of an operator's nodes it is goes by the round.
//! - A round in which nobody answered counts only if something else shows that one can be heard: else it is oneself who is
//!   cut off.
//! - What was seen is told once in a [`PERIOD`], and then forgotten here.

use core::ops::Bound;
use std::collections::BTreeMap;

use grange_types::{AccountId, Millis, PeerId, Sighting, Time};

use super::{LOOK_EVERY, LOOKS, LOOKS_A_PERIOD, PERIOD};

/// How long answers are waited for.
const WITHIN: Millis = Millis::seconds(5);

/// The looks under way, and what came of those of this period.
#[derive(Debug, Default)]
pub struct Lookout {
    round: u64,
    next: Time,
    /// The last operator that was looked at.
    cursor: Option<AccountId>,
    /// The answers of the round under way.
    asked: BTreeMap<AccountId, bool>,
    begun: Time,
    /// The period of what is in `seen`; none before the first time that it is asked for.
    period: Option<u64>,
    seen: BTreeMap<AccountId, (u8, u8)>,
}

impl Lookout {
    /// Whether it is time for a round.
    #[must_use]
    pub fn is_due(&self, now: Time) -> bool {
        now >= self.next && self.asked.is_empty()
    }

    /// Begins a round if it is time: whom to ask. `nodes` are all that are known, of every operator but oneself.
    pub fn begin(&mut self, now: Time, nodes: &BTreeMap<AccountId, Vec<PeerId>>) -> Vec<(AccountId, PeerId)> {
        if !self.is_due(now) || nodes.is_empty() {
            return Vec::new();
        }
        (self.next, self.begun, self.round) = (now.after(LOOK_EVERY), now, self.round.wrapping_add(1));
        let after = self.cursor.map_or(Bound::Unbounded, Bound::Excluded);
        let until = self.cursor.map_or(Bound::Unbounded, Bound::Included);
        let again = nodes.range((Bound::Unbounded, until)).filter(|_| self.cursor.is_some());
        let order = nodes.range((after, Bound::Unbounded)).chain(again).take(LOOKS);
        let round = self.round;
        let pick = |(operator, nodes): (&AccountId, &Vec<PeerId>)| {
            let node = nodes.get((round % nodes.len().max(1) as u64) as usize)?;
            Some((*operator, *node))
        };
        let chosen: Vec<_> = order.filter_map(pick).collect();
        self.cursor = chosen.last().map(|(operator, _)| *operator);
        self.asked = chosen.iter().map(|(operator, _)| (*operator, false)).collect();
        chosen
    }

    /// An operator's node answered.
    pub fn answered(&mut self, operator: AccountId) {
        if let Some(answered) = self.asked.get_mut(&operator) {
            *answered = true;
        }
    }

    /// Ends the round if it is time: who answered, and who did not. `heard` is whether something else shows that one is not
    /// cut off.
    pub fn end(&mut self, now: Time, heard: bool) -> Vec<(AccountId, bool)> {
        if self.asked.is_empty() || now < self.begun.after(WITHIN) {
            return Vec::new();
        }
        let round = core::mem::take(&mut self.asked);
        if !heard && !round.values().any(|answered| *answered) {
            return Vec::new();
        }
        for (operator, answered) in &round {
            let (looks, answers) = self.seen.entry(*operator).or_default();
            if *looks < LOOKS_A_PERIOD {
                (*looks, *answers) = (*looks + 1, *answers + u8::from(*answered));
            }
        }
        round.into_iter().collect()
    }

    /// What was seen in the period that has just ended, and which it was; nothing while it goes on.
    pub fn tell(&mut self, now: Time) -> Option<(u64, Vec<Sighting>)> {
        let present = now.0 / PERIOD.0;
        let ended = self.period.replace(present).filter(|ended| *ended != present && !self.seen.is_empty())?;
        let sighting = |(operator, (looks, answered))| Sighting { operator, looks, answered };
        Some((ended, core::mem::take(&mut self.seen).into_iter().map(sighting).collect()))
    }
}
