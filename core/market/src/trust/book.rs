//! What was seen, by whom, of whom, on which day; and what it is worth now.

use std::collections::{BTreeMap, BTreeSet};

use grange_types::{AccountId, Millis, Record, Sighting, Sightings, Time};
use serde::{Deserialize, Serialize};

use super::{
    BAD, Eyes, HALF_LIFE, HEARSAY_ALL, HEARSAY_EACH, KEEP, Kind, LOOKS_A_PERIOD, MATURE, OBSERVERS, OWN, PERIOD, PRIOR,
    SUBJECTS, WITNESSES,
};
use crate::offer::Trust;

/// What was seen of everybody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    subjects: BTreeMap<AccountId, Subject>,
    /// The other operators that are heard.
    heard: BTreeMap<AccountId, Voice>,
}

impl Record for Book {
    const NAME: &'static str = "trust-book";
    /// Each of the subjects with every kind of one's own and one of each witness, for every day that is kept, and a few
    /// bytes for whom: 21 × 29 × 56 bytes of lines, of which the days of most are far fewer.
    const LIMIT: usize = SUBJECTS * (21 * 29 * 56 + 17 * 48) + OBSERVERS * 48;
}

/// How long another operator has been heard: time in which it said nothing, or we were not there, makes it no older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Voice {
    /// In how many periods.
    periods: u32,
    /// The last of them.
    last: u64,
}

/// What was seen of one operator.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Subject {
    lines: BTreeMap<Key, Line>,
    /// The last period of which each other operator has told.
    told: BTreeMap<AccountId, u64>,
}

/// Where a piece of evidence is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Key {
    observer: AccountId,
    kind: Kind,
    /// Days since the Unix epoch.
    day: u64,
}

/// What was counted there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
struct Line {
    good: u32,
    bad: u32,
    /// When the last of it was seen.
    last: Time,
}

/// Something that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Of whom.
    pub subject: AccountId,
    /// By whom.
    pub observer: AccountId,
    /// What.
    pub kind: Kind,
    /// When.
    pub at: Time,
    /// How often it went well.
    pub good: u32,
    /// How often it did not.
    pub bad: u32,
}

/// Whether a line counts, and if not why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is one's own.
    Own,
    /// It is another's, and counts.
    Heard,
    /// It is the operator's own word.
    Itself,
    /// Whoever says it answers for it with nothing.
    Unbonded,
    /// Whoever says it has only just been heard for the first time.
    Fresh,
}

/// One line of evidence, as it counts now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shown {
    /// What was seen.
    pub kind: Kind,
    /// Who saw it.
    pub observer: AccountId,
    /// Whether it counts.
    pub standing: Standing,
    /// How often it went well.
    pub good: u32,
    /// How often it did not.
    pub bad: u32,
    /// What that weighs now, before the bounds on one observer and on all.
    pub weight: (u64, u64),
    /// When the last of it was seen.
    pub last: Time,
    /// When it is forgotten.
    pub until: Time,
}

/// A number with what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grounds {
    /// The number; none while nothing that counts was seen.
    pub trust: Option<Trust>,
    /// The good and the bad weight it is made of, and what of each is hearsay.
    pub own: (u64, u64),
    /// What others say, within its bounds.
    pub hearsay: (u64, u64),
    /// How many others that is.
    pub witnesses: usize,
    /// The evidence, newest first.
    pub lines: Vec<Shown>,
}

impl Book {
    /// Of how many operators something was seen.
    #[must_use]
    pub fn len(&self) -> usize {
        self.subjects.len()
    }

    /// Whether nothing was seen of anybody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subjects.is_empty()
    }

    /// The operators of whom something was seen.
    pub fn subjects(&self) -> impl Iterator<Item = AccountId> {
        self.subjects.keys().copied()
    }

    /// Takes down what was seen: by oneself, or on the ledger by an operator that answers for it. `at` is when.
    pub fn note(&mut self, now: Time, eyes: &Eyes<'_>, seen: Seen) {
        let Seen { subject, observer, kind, at, good, bad } = seen;
        if subject == observer || (good, bad) == (0, 0) || now.since(at) >= KEEP {
            return;
        }
        let other = observer != eyes.me;
        if other && (!(eyes.answers)(&observer) || self.voice(observer).is_none()) {
            return;
        }
        let Some(entry) = self.subject(now, subject) else { return };
        if other && !entry.witnesses(&eyes.me, &observer) {
            return;
        }
        entry.add(Key { observer, kind, day: day(at.min(now)) }, (good, bad), at.min(now));
    }

    /// Takes down what another operator says that it saw in a period. Each period of each counts once, and not before it
    /// has begun or long after it; whatever a period has no room for is not believed.
    pub fn hear(&mut self, now: Time, eyes: &Eyes<'_>, observer: AccountId, told: &Sightings) {
        let (present, period) = (now.0 / PERIOD.0, told.period);
        let timely = period <= present && present - period <= 2;
        if !timely || observer == eyes.me || !(eyes.answers)(&observer) {
            return;
        }
        let Some(voice) = self.voice(observer) else { return };
        if period > voice.last {
            *voice = Voice { periods: voice.periods.saturating_add(1), last: period };
        }
        for Sighting { operator, looks, answered } in told.seen.iter().copied().take(Sightings::MOST) {
            // Hearsay makes nobody known: of whom nothing was seen here, nothing is heard.
            let Some(subject) = self.subjects.get_mut(&operator).filter(|_| operator != observer) else { continue };
            if subject.told.get(&observer).is_some_and(|last| *last >= period) {
                continue;
            }
            if !subject.witnesses(&eyes.me, &observer) {
                continue;
            }
            subject.told.insert(observer, period);
            let looks = looks.min(LOOKS_A_PERIOD);
            let answered = answered.min(looks);
            if looks > 0 {
                let key = Key { observer, kind: Kind::Uptime, day: day(now) };
                subject.add(key, (answered.into(), (looks - answered).into()), now);
            }
        }
    }

    /// What an operator is trusted, and why.
    #[must_use]
    pub fn grounds(&self, subject: &AccountId, eyes: &Eyes<'_>, now: Time) -> Grounds {
        let mut sums: BTreeMap<AccountId, (u64, u64)> = BTreeMap::new();
        let mut lines = Vec::new();
        for (key, line) in self.subjects.get(subject).into_iter().flat_map(|found| &found.lines) {
            let standing = self.standing(subject, &key.observer, eyes);
            let weight = line.weigh(key, now);
            if matches!(standing, Standing::Own | Standing::Heard) {
                let sum = sums.entry(key.observer).or_default();
                *sum = (sum.0.saturating_add(weight.0), sum.1.saturating_add(weight.1));
            }
            let until = end_of(key.day).after(KEEP);
            let Line { good, bad, last } = *line;
            lines.push(Shown { kind: key.kind, observer: key.observer, standing, good, bad, weight, last, until });
        }
        lines.retain(|line| line.weight != (0, 0));
        lines.sort_by_key(|line| core::cmp::Reverse(line.last));
        let own = sums.remove(&eyes.me).unwrap_or_default();
        let own = (own.0.min(OWN), own.1.min(OWN));
        let (mut hearsay, mut witnesses): ((u64, u64), usize) = ((0, 0), 0);
        for (observer, (good, bad)) in &sums {
            let most = self.most(observer);
            hearsay = (hearsay.0 + (*good).min(most), hearsay.1 + (*bad).min(most));
            witnesses += usize::from((*good, *bad) != (0, 0));
        }
        let hearsay = (hearsay.0.min(HEARSAY_ALL), hearsay.1.min(HEARSAY_ALL));
        let (good, bad) = (own.0 + hearsay.0, BAD * own.1 + hearsay.1);
        let trust = (good + bad > 0).then(|| Trust((1_000 * good / (good + bad + PRIOR)) as u16));
        Grounds { trust, own, hearsay, witnesses, lines }
    }

    /// What an operator is trusted; nothing while nothing is known.
    #[must_use]
    pub fn trust(&self, subject: &AccountId, eyes: &Eyes<'_>, now: Time) -> Trust {
        self.grounds(subject, eyes, now).trust.unwrap_or_default()
    }

    /// Forgets what is too old to count.
    pub fn sweep(&mut self, now: Time) {
        for subject in self.subjects.values_mut() {
            subject.lines.retain(|key, _| now.since(end_of(key.day)) < KEEP);
            let seen = subject.observers();
            subject.told.retain(|observer, _| seen.contains(observer));
        }
        self.subjects.retain(|_, subject| !subject.lines.is_empty());
        let seen: BTreeSet<AccountId> = self.subjects.values().flat_map(Subject::observers).collect();
        let oldest = now.0.saturating_sub(KEEP.0) / PERIOD.0;
        self.heard.retain(|observer, voice| voice.last >= oldest || seen.contains(observer));
    }

    /// Another operator's voice, if it is listened to at all: the first so many are, each from its first word on.
    fn voice(&mut self, observer: AccountId) -> Option<&mut Voice> {
        let room = self.heard.len() < OBSERVERS || self.heard.contains_key(&observer);
        room.then(|| self.heard.entry(observer).or_default())
    }

    /// How much of what another operator says counts at most: the more, the longer it has been heard. Nothing at its first
    /// word.
    fn most(&self, observer: &AccountId) -> u64 {
        const FULL: u64 = MATURE.0 / PERIOD.0 - 1;
        let since = self.heard.get(observer).map_or(0, |voice| u64::from(voice.periods.saturating_sub(1)));
        HEARSAY_EACH * since.min(FULL) / FULL
    }

    fn standing(&self, subject: &AccountId, observer: &AccountId, eyes: &Eyes<'_>) -> Standing {
        if observer == subject {
            Standing::Itself
        } else if *observer == eyes.me {
            Standing::Own
        } else if !(eyes.answers)(observer) {
            Standing::Unbonded
        } else if self.most(observer) == 0 {
            Standing::Fresh
        } else {
            Standing::Heard
        }
    }

    /// The entry of an operator. In a full book a newcomer takes the place of who was not seen today and has the least.
    fn subject(&mut self, now: Time, subject: AccountId) -> Option<&mut Subject> {
        if !self.subjects.contains_key(&subject) && self.subjects.len() >= SUBJECTS {
            let today = day(now);
            let stale = self.subjects.iter().filter(|(_, found)| found.newest() < today);
            let least = stale.min_by_key(|(_, found)| (found.newest(), found.lines.len())).map(|(id, _)| *id)?;
            self.subjects.remove(&least);
        }
        Some(self.subjects.entry(subject).or_default())
    }
}

impl Subject {
    fn add(&mut self, key: Key, (good, bad): (u32, u32), at: Time) {
        let line = self.lines.entry(key).or_default();
        line.good = line.good.saturating_add(good);
        line.bad = line.bad.saturating_add(bad);
        line.last = line.last.max(at);
    }

    fn observers(&self) -> BTreeSet<AccountId> {
        self.lines.keys().map(|key| key.observer).collect()
    }

    /// Whether there is room for the word of another operator.
    fn witnesses(&self, me: &AccountId, observer: &AccountId) -> bool {
        let known = self.observers();
        known.contains(observer) || known.iter().filter(|known| *known != me).count() < WITNESSES
    }

    fn newest(&self) -> u64 {
        self.lines.keys().map(|key| key.day).max().unwrap_or(0)
    }
}

impl Line {
    /// What it weighs now, good and bad.
    fn weigh(&self, key: &Key, now: Time) -> (u64, u64) {
        let (good, bad) = key.kind.points();
        let age = now.since(end_of(key.day));
        let weigh = |count: u32, points: u32| decayed(u64::from(count) * u64::from(points), age);
        (weigh(self.good, good), weigh(self.bad, bad))
    }
}

fn day(time: Time) -> u64 {
    time.0 / Millis::DAY.0
}

/// When a day is over, from when on what was seen on it grows old.
fn end_of(day: u64) -> Time {
    Time(day.saturating_add(1).saturating_mul(Millis::DAY.0))
}

/// What a weight has come down to: halved for each whole half-life, and along a straight line between.
fn decayed(weight: u64, age: Millis) -> u64 {
    if age >= KEEP {
        return 0;
    }
    let halved = weight >> (age.0 / HALF_LIFE.0);
    let rest = age.0 % HALF_LIFE.0;
    let left = u128::from(halved) * u128::from(2 * HALF_LIFE.0 - rest) / u128::from(2 * HALF_LIFE.0);
    left as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::codec::check_golden;

    #[test]
    fn the_bytes_are_frozen() {
        let mut book = Book::default();
        let (me, other, subject) = (AccountId([1; 32]), AccountId([2; 32]), AccountId([3; 32]));
        let now = Time(20_000 * Millis::DAY.0);
        let eyes = Eyes { me, answers: &|_| true };
        book.note(now, &eyes, Seen { subject, observer: me, kind: Kind::Lease, at: now, good: 1, bad: 2 });
        let seen = vec![Sighting { operator: subject, looks: 5, answered: 4 }];
        book.hear(now, &eyes, other, &Sightings { period: now.0 / PERIOD.0, seen });
        check_golden(&book, include_str!("../../golden/trust-book.hex"));
    }

    #[test]
    fn a_weight_halves_and_never_grows() {
        assert_eq!(decayed(1_000, Millis(0)), 1_000);
        assert_eq!(decayed(1_000, HALF_LIFE), 500);
        assert_eq!(decayed(1_000, Millis(HALF_LIFE.0 / 2)), 750);
        assert_eq!(decayed(1_000, Millis(2 * HALF_LIFE.0)), 250);
        assert_eq!(decayed(u64::from(u32::MAX) * 5_000, KEEP), 0);
        let weights: Vec<u64> = (0..28 * 24).map(|hour| decayed(77_777, Millis(hour * Millis::HOUR.0))).collect();
        assert!(weights.is_sorted_by(|before, after| before >= after), "{weights:?}");
    }
}
