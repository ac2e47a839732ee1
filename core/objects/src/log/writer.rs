//! The writer's side: what is sent to whom, when a write is acknowledged, and which keepers count.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use grange_types::{Millis, PeerId, Time};

use super::message::{Mark, View};

/// A keeper that answered nothing for so long is left out of the view, if another one answers.
pub const SILENT: Millis = Millis::seconds(3);
/// Who answered within this time answers: two looks.
const ANSWERING: Millis = Millis::seconds(2);
/// Who did not answer is asked again after so long.
const AGAIN: Millis = Millis(300);
/// A keeper with nothing to take is looked at this often, so that its silence shows before a write needs it.
const LOOK: Millis = Millis(1_000);

/// A keeper's answer, or that there was none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It holds the log up to here.
    At(Mark),
    /// It refuses for want of room, or of a lease in its ledger, or of a disk.
    Refused,
    /// It has promised a newer generation.
    Fenced(u64),
    /// It said nothing.
    Silent,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// An entry is durable here; they come without a gap.
    Committed {
        /// Its view, if it has one.
        view: Option<View>,
    },
    /// A keeper answered, or did not.
    Answered {
        /// Who.
        keeper: PeerId,
        /// What.
        answer: Answer,
    },
    /// Entries up to this one are not in memory any more: whoever lacks them gets a whole copy.
    Forgotten {
        /// The last of them.
        through: u64,
    },
    /// The time has come that was named.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Send a keeper the entries after this mark; none, to see whether it is there. Answered.
    Push {
        /// Whom.
        to: PeerId,
        /// What it holds.
        after: Mark,
    },
    /// Send a keeper everything. Answered once.
    Copy {
        /// Whom.
        to: PeerId,
    },
    /// Ask a keeper how it stands. Answered.
    Look {
        /// Whom.
        to: PeerId,
    },
    /// Commit an entry with this view; there is one at a time.
    ChangeView {
        /// The keepers that are to count.
        keepers: BTreeSet<PeerId>,
        /// Those that count now.
        before: BTreeSet<PeerId>,
    },
    /// Acknowledge all entries up to this one.
    Acknowledge {
        /// Its number.
        through: u64,
    },
    /// No keeper needs entries up to this one any more.
    Forget {
        /// Its number.
        through: u64,
    },
    /// Write no more: a newer generation has begun.
    Stop {
        /// Which.
        generation: u64,
    },
}

#[derive(Debug, Clone)]
struct Follower {
    /// How far it holds the log, as far as known.
    mark: Option<Mark>,
    busy: bool,
    again: Time,
    /// When it last answered with a mark.
    heard: Time,
    /// Entries after this one are kept for it: a copy that is under way ends there at the latest.
    copied: Option<u64>,
}

impl Follower {
    /// When it is looked at next, if it has nothing to take.
    const fn look(&self) -> Time {
        self.heard.after(LOOK)
    }
}

/// The writer of one generation of one log.
#[derive(Debug, Clone)]
pub struct Writer {
    generation: u64,
    /// The entries after this mark are in memory.
    base: Mark,
    last: u64,
    followers: BTreeMap<PeerId, Follower>,
    view: BTreeSet<PeerId>,
    pending: Option<(u64, BTreeSet<PeerId>)>,
    /// The view that was asked for and is not committed yet.
    changing: Option<BTreeSet<PeerId>>,
    acknowledged: u64,
    /// Up to here entries may have been acknowledged before this machine was made.
    earlier: u64,
    stopped: bool,
    actions: VecDeque<Action>,
}

impl Writer {
    /// A writer that goes on after `mark`, which is durable here, with `view` as the newest view up to there, if it has one of
    /// its own already. `keepers` are all that it may use, with how far they are known to hold the log.
    #[must_use]
    pub fn new(
        now: Time,
        generation: u64,
        mark: Mark,
        view: Option<&View>,
        keepers: BTreeMap<PeerId, Option<Mark>>,
    ) -> Self {
        let follower = |mark| Follower { mark, busy: false, again: now, heard: now, copied: None };
        let ours = view.filter(|view| view.at.generation == generation);
        let mut this = Self {
            generation,
            base: mark,
            last: mark.sequence,
            followers: keepers.into_iter().map(|(peer, mark)| (peer, follower(mark))).collect(),
            view: ours.map(|view| view.before.clone()).unwrap_or_default(),
            pending: ours.map(|view| (view.at.sequence, view.keepers.clone())),
            changing: None,
            acknowledged: 0,
            earlier: if ours.is_some() { mark.sequence } else { 0 },
            stopped: false,
            actions: VecDeque::new(),
        };
        this.proceed(now);
        this
    }

    /// The world speaks.
    pub fn handle(&mut self, now: Time, event: Event) {
        if self.stopped {
            return;
        }
        match event {
            Event::Committed { view } => self.committed(view),
            Event::Answered { keeper, answer } => self.answered(now, keeper, answer),
            Event::Forgotten { through } => {
                if through > self.base.sequence {
                    self.base = self.at(through);
                }
            }
            Event::Tick => {}
        }
        self.proceed(now);
    }

    /// What to do next; call until there is nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Writer::handle`] with a tick if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let idle = self.followers.values().filter(|follower| !follower.busy);
        let due = |follower: &Follower| match follower.mark {
            Some(mark) if mark.sequence >= self.last => follower.again.max(follower.look()),
            _ => follower.again,
        };
        if self.stopped { None } else { idle.map(due).min() }
    }

    /// The keepers that count now: those of the view, and of the one that is being brought about, from when it is asked for.
    #[must_use]
    pub fn counting(&self) -> BTreeSet<PeerId> {
        let next = self.pending.as_ref().map(|(_, keepers)| keepers);
        let counts = |peer: &&PeerId| next.into_iter().chain(&self.changing).all(|keepers| keepers.contains(*peer));
        self.view.iter().filter(counts).copied().collect()
    }

    /// Counting keepers that have not answered of late.
    #[must_use]
    pub fn silent(&self, now: Time) -> BTreeSet<PeerId> {
        self.counting().into_iter().filter(|peer| !self.answers(now, peer)).collect()
    }

    /// How many entries the slowest counting keeper lacks.
    #[must_use]
    pub fn lag(&self) -> u64 {
        let has = |peer: &PeerId| self.followers.get(peer).map_or(0, |follower| self.held(follower));
        self.counting().iter().map(|peer| self.last - has(peer).min(self.last)).max().unwrap_or(0)
    }

    fn at(&self, sequence: u64) -> Mark {
        Mark { generation: self.generation, sequence }
    }

    /// Up to which of our own entries a keeper has them.
    fn held(&self, follower: &Follower) -> u64 {
        follower.mark.filter(|mark| mark.generation == self.generation).map_or(0, |mark| mark.sequence)
    }

    fn answers(&self, now: Time, peer: &PeerId) -> bool {
        self.followers.get(peer).is_some_and(|follower| now.since(follower.heard) < ANSWERING)
    }

    fn committed(&mut self, view: Option<View>) {
        self.last += 1;
        let Some(view) = view else { return };
        self.changing = None;
        // The first view of a generation was promised to this generation: it counts at once.
        self.view = view.before;
        self.pending = Some((self.last, view.keepers));
    }

    fn answered(&mut self, now: Time, keeper: PeerId, answer: Answer) {
        let Some(follower) = self.followers.get_mut(&keeper) else { return };
        follower.busy = false;
        follower.copied = None;
        match answer {
            Answer::At(mark) => {
                follower.mark = Some(mark);
                follower.heard = now;
                follower.again = now;
            }
            Answer::Refused => follower.again = now.after(AGAIN),
            Answer::Silent => {
                // What it was sent may have reached it.
                follower.mark = None;
                follower.again = now.after(AGAIN);
            }
            Answer::Fenced(generation) => {
                self.stopped = true;
                self.actions.push_back(Action::Stop { generation });
            }
        }
    }

    fn proceed(&mut self, now: Time) {
        if self.stopped {
            return;
        }
        self.acknowledge();
        self.change_view(now);
        let (base, last) = (self.base, self.last);
        for (peer, follower) in &mut self.followers {
            if follower.busy || follower.again > now {
                continue;
            }
            let action = match follower.mark {
                None => Action::Look { to: *peer },
                Some(mark) if mark == base || mark.generation == self.generation && mark.sequence > base.sequence => {
                    // With nothing to send it is only seen whether it is there.
                    if mark.sequence >= last && now < follower.look() {
                        continue;
                    }
                    Action::Push { to: *peer, after: mark }
                }
                Some(_) => {
                    follower.copied = Some(last);
                    Action::Copy { to: *peer }
                }
            };
            follower.busy = true;
            self.actions.push_back(action);
        }
    }

    fn acknowledge(&mut self) {
        let counting = self.counting();
        let held = self.followers.iter().filter(|(peer, _)| counting.contains(peer));
        let through = held.map(|(_, follower)| self.held(follower)).max().unwrap_or(0).min(self.last);
        if through <= self.acknowledged {
            return;
        }
        self.acknowledged = through;
        if let Some((at, _)) = &self.pending
            && *at <= through
            && let Some((_, keepers)) = self.pending.take()
        {
            self.view = keepers;
        }
        self.actions.push_back(Action::Acknowledge { through });
        let needs = |(peer, follower): (&PeerId, &Follower)| {
            let counts = self.view.contains(peer).then(|| self.held(follower));
            counts.into_iter().chain(follower.copied).min()
        };
        if let Some(least) = self.followers.iter().filter_map(needs).min().filter(|least| *least > self.base.sequence) {
            self.actions.push_back(Action::Forget { through: least });
        }
    }

    /// Leaves out who is silent, takes in who has caught up.
    fn change_view(&mut self, now: Time) {
        if self.pending.is_some() || self.changing.is_some() || self.view.is_empty() {
            return;
        }
        // Whoever is left out may be the only one with what was acknowledged, so another one has to have all of that.
        let needed = self.acknowledged.max(self.earlier);
        let caught_up = |follower: &Follower| {
            self.held(follower) >= needed && now.since(follower.heard) < ANSWERING && self.held(follower) > 0
        };
        let fresh = self.view.iter().filter(|peer| self.followers.get(peer).is_some_and(caught_up)).count();
        let silent =
            |peer: &&PeerId| self.followers.get(peer).is_none_or(|follower| now.since(follower.heard) >= SILENT);
        let joins = |(peer, follower): &(&PeerId, &Follower)| !self.view.contains(peer) && caught_up(follower);
        let mut keepers = self.view.clone();
        if let Some(gone) = self.view.iter().find(silent).filter(|_| fresh > 0) {
            keepers.remove(gone);
        } else if let Some((new, _)) = self.followers.iter().find(joins) {
            keepers.insert(*new);
        } else {
            return;
        }
        self.changing = Some(keepers.clone());
        self.actions.push_back(Action::ChangeView { keepers, before: self.view.clone() });
    }
}
