//! A successor's side: whom it has to hear before it may go on, and from which copy.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use grange_types::{Millis, PeerId, Time};

use super::message::{Mark, Promise, Standing, View};

/// After so long without enough answers a successor goes on from the newest copy it heard of. Long enough for a machine to be
/// started again, short enough that one which is lost does not take the service with it.
pub const GIVE_UP: Millis = Millis::minutes(5);
/// Who did not answer is asked again after so long.
const AGAIN: Millis = Millis(300);

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A keeper is sealed, and says how it stood before.
    Heard {
        /// Who.
        keeper: PeerId,
        /// How.
        standing: Standing,
    },
    /// A keeper did not answer.
    Silent {
        /// Who.
        keeper: PeerId,
    },
    /// A keeper has promised a newer generation: another one is the successor.
    Fenced {
        /// Which.
        generation: u64,
    },
    /// The time has come that was named.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Ask a keeper to promise; answered by `Heard`, `Silent` or `Fenced`.
    Seal {
        /// Whom.
        keeper: PeerId,
        /// What.
        promise: Promise,
    },
    /// Say for whom it is waited.
    Wait {
        /// For whom.
        keepers: BTreeSet<PeerId>,
    },
    /// Go on.
    Begin(Plan),
    /// Stop: a newer generation has begun.
    Stop {
        /// Which.
        generation: u64,
    },
}

/// What a generation begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How far the log reaches; the beginning when nothing was ever written.
    pub mark: Mark,
    /// Who holds it up to there, in no order; none when it is our own copy or nothing.
    pub from: BTreeSet<PeerId>,
    /// The keepers that count from the first entry on.
    pub keepers: BTreeSet<PeerId>,
    /// How far each keeper that answered holds the log.
    pub marks: BTreeMap<PeerId, Mark>,
    /// Keepers that it goes on without, and so without what only they have.
    pub without: BTreeSet<PeerId>,
}

/// One succession.
#[derive(Debug, Clone)]
pub struct Succession {
    promise: Promise,
    /// Who wrote earlier generations, by the ledger.
    before: BTreeSet<PeerId>,
    /// How this node itself stands.
    own: Option<Standing>,
    heard: BTreeMap<PeerId, Standing>,
    /// When each one is asked next; none while an answer is waited for.
    asking: BTreeMap<PeerId, Option<Time>>,
    waited_for: BTreeSet<PeerId>,
    /// Until when enough answers are waited for; none once that is over and there is nothing to go on from.
    until: Option<Time>,
    over: bool,
    actions: VecDeque<Action>,
}

impl Succession {
    /// A succession to what is promised. `before` are the other nodes that wrote earlier generations, by the ledger.
    ///
    /// Before this is made, **this node's own keeper has to make the promise**, and if it refuses, there is nothing to begin. So
    /// whoever asks this node as an earlier writer hears of the promise, or was promised more, and then we stop. `own` is the
    /// mark and view of the newest store that this node wrote in an earlier generation, none if it wrote none, with the
    /// promises and, by [`Standing::mention`], the view that its keeper answered.
    #[must_use]
    pub fn new(now: Time, promise: Promise, before: BTreeSet<PeerId>, own: Option<Standing>) -> Self {
        let mut this = Self {
            promise,
            before,
            own,
            heard: BTreeMap::new(),
            asking: BTreeMap::new(),
            waited_for: BTreeSet::new(),
            until: Some(now.after(GIVE_UP)),
            over: false,
            actions: VecDeque::new(),
        };
        this.proceed(now);
        this
    }

    /// The world speaks.
    pub fn handle(&mut self, now: Time, event: Event) {
        if self.over {
            return;
        }
        match event {
            Event::Heard { keeper, standing } => {
                self.asking.remove(&keeper);
                self.heard.insert(keeper, standing);
            }
            Event::Silent { keeper } => drop(self.asking.insert(keeper, Some(now.after(AGAIN)))),
            Event::Fenced { generation } => {
                self.over = true;
                self.actions.push_back(Action::Stop { generation });
                return;
            }
            Event::Tick => {}
        }
        self.proceed(now);
    }

    /// What to do next; call until there is nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Succession::handle`] with a tick if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let again = self.asking.values().flatten().min().copied();
        if self.over { None } else { again.into_iter().chain(self.until).min() }
    }

    fn standings(&self) -> impl Iterator<Item = &Standing> {
        self.heard.values().chain(&self.own)
    }

    /// The newest mark that was heard of.
    fn newest(&self) -> Mark {
        self.standings().map(|standing| standing.mark).max().unwrap_or_default()
    }

    /// Everybody whose answer is needed, as far as is known by now: of each generation from the newest copy's on, the
    /// keepers of its newest view; where it has none that is known, those that were promised to it. While it is early, our
    /// own keepers have yet to say what they know.
    fn required(&self, early: bool) -> BTreeSet<PeerId> {
        let (from, mine) = (self.newest().generation, self.promise.generation);
        let mut views: BTreeMap<u64, &View> = BTreeMap::new();
        for view in self.standings().filter_map(|standing| standing.view.as_ref()) {
            let newest = views.entry(view.at.generation).or_insert(view);
            if newest.at < view.at {
                *newest = view;
            }
        }
        let promises = self.standings().flat_map(|standing| &standing.promises);
        let alone = promises.filter(|(generation, _)| !views.contains_key(generation));
        let of_views = views.iter().map(|(generation, view)| (generation, &view.keepers));
        let (mut known, mut required) = (BTreeSet::new(), BTreeSet::new());
        for (generation, keepers) in of_views.chain(alone).filter(|(generation, _)| (from..mine).contains(generation)) {
            known.insert(*generation);
            required.extend(keepers);
        }
        let accounted =
            if from == 0 { known.len() as u64 == mine.saturating_sub(1) } else { views.contains_key(&from) };
        if !early && !accounted {
            // Nobody holds an entry, and not every generation is accounted for. Who keeps now, or wrote before, knows where
            // there are some, if there are any; and who wrote before and knows of nothing promises us to begin nothing.
            required.extend(self.promise.keepers.iter().chain(&self.before));
        }
        required
    }

    fn proceed(&mut self, now: Time) {
        // Our own keepers need not all be heard, but whoever answers at once counts from the beginning.
        let slow = |peer: &PeerId| self.asking.get(peer).is_none_or(Option::is_none) && !self.heard.contains_key(peer);
        let waits = self.promise.keepers.iter().any(slow);
        let required = self.required(waits);
        let missing: BTreeSet<PeerId> =
            required.iter().filter(|peer| !self.heard.contains_key(peer)).copied().collect();
        let late = self.until.is_none_or(|until| now >= until);
        if late {
            self.until = None;
        }
        // With nothing at all in hand it is waited on, but for who wrote before and may never have begun: an empty copy
        // would be written over what others have.
        let only_before = missing.iter().all(|peer| self.before.contains(peer));
        let late = late && (self.newest() != Mark::default() || only_before);
        if missing.is_empty() && !waits || late {
            return self.begin(missing);
        }
        for keeper in required.iter().chain(&self.promise.keepers) {
            let due = self.asking.get(keeper).is_none_or(|at| at.is_some_and(|at| at <= now));
            if due && !self.heard.contains_key(keeper) {
                self.asking.insert(*keeper, None);
                self.actions.push_back(Action::Seal { keeper: *keeper, promise: self.promise.clone() });
            }
        }
        let silent: BTreeSet<PeerId> =
            missing.into_iter().filter(|peer| self.asking.get(peer) != Some(&None)).collect();
        if !waits && !silent.is_empty() && silent != self.waited_for {
            self.waited_for.clone_from(&silent);
            self.actions.push_back(Action::Wait { keepers: silent });
        }
    }

    fn begin(&mut self, without: BTreeSet<PeerId>) {
        self.over = true;
        let mark = self.newest();
        let ours = self.own.as_ref().is_some_and(|own| own.mark == mark) || mark == Mark::default();
        let holders = self.heard.iter().filter(|(_, standing)| standing.mark == mark).map(|(peer, _)| *peer);
        let answered: BTreeSet<PeerId> =
            self.promise.keepers.iter().filter(|peer| self.heard.contains_key(peer)).copied().collect();
        self.actions.push_back(Action::Begin(Plan {
            mark,
            from: if ours { BTreeSet::new() } else { holders.collect() },
            keepers: if answered.is_empty() { self.promise.keepers.clone() } else { answered },
            marks: self.heard.iter().map(|(peer, standing)| (*peer, standing.mark)).collect(),
            without,
        }));
    }
}
