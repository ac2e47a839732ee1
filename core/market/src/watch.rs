//! Who is dead, and whose turn it is to replace him.
//!
//! # Rules
//! - Upon a failed probe: suspect. Upon [`DEAD_PROBES`] failures without a success between them, the last of them
//!   [`DEAD_AFTER`] or more after the last sign of life: dead. Time alone kills nobody: a watcher that slept has not probed.
//! - A replica that never served yet is given [`START_GRACE`] from when it was first watched; [`SILENT_GRACE`] where its node
//!   does not even answer.
//! - Upon a success: alive, and a take-over that was not due yet is off.
//! - A dead replica is replaced by the first of its payers that lives. Each waits for its rank: the owner's node at once,
//!   the first steward [`RANK_DELAY`] later, and so on; so two that see the same death do not race. When the lease is still
//!   watched [`RETRY`] after that, it is called for again; at once upon word that the attempt came to nothing.
//! - Two that race all the same cannot harm: the ledger opens one lease on a slot and generation.

use std::collections::{BTreeMap, VecDeque};

use grange_types::{LeaseId, Millis, Time};
use serde::{Deserialize, Serialize};

/// Failures in a row that make a replica dead.
pub const DEAD_PROBES: u32 = 3;

/// How long there must have been no sign of life. Probes are one second apart.
pub const DEAD_AFTER: Millis = Millis::seconds(3);

/// How long a replica may take to serve for the first time: fetch, compile, start.
pub const START_GRACE: Millis = Millis::seconds(10);

/// How long a node that has just taken a replica may not answer at all; it may have been started a moment ago itself, or we.
pub const SILENT_GRACE: Millis = Millis::seconds(5);

/// How much longer each rank waits than the one before it.
pub const RANK_DELAY: Millis = Millis::seconds(2);

/// After how long a replacement that did not come is called for again.
pub const RETRY: Millis = Millis::seconds(5);

/// How a replica looks from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It has not served yet.
    Starting,
    /// Its last probe succeeded.
    Alive,
    /// Its last probe failed.
    Suspect,
    /// It does not serve.
    Dead,
}

/// What a watch is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// Watch this lease.
    Begin {
        /// The lease.
        lease: LeaseId,
    },
    /// Stop watching it: it was closed or replaced.
    End {
        /// The lease.
        lease: LeaseId,
    },
    /// A probe of it was answered, or not.
    Probe {
        /// The lease.
        lease: LeaseId,
        /// Whether it was.
        ok: bool,
    },
    /// A probe of it was not even answered by its node.
    Unanswered {
        /// The lease.
        lease: LeaseId,
    },
    /// This node's place among the deployment's payers: 0 for the owner's, 1 for the first steward.
    Rank {
        /// The lease.
        lease: LeaseId,
        /// The place.
        rank: u32,
    },
    /// An attempt to replace it came to nothing.
    Again {
        /// The lease.
        lease: LeaseId,
    },
    /// Time passed.
    Tick,
}

/// What a watch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A replica looks different from before.
    Changed {
        /// Its lease.
        lease: LeaseId,
        /// How it looks now.
        health: Health,
    },
    /// It is this node's turn to replace it.
    Replace {
        /// Its lease.
        lease: LeaseId,
    },
}

#[derive(Debug, Clone, Copy)]
struct Watched {
    health: Health,
    rank: u32,
    /// The last success, or when watching began.
    sign_of_life: Time,
    failures: u32,
    /// When this node is to replace it.
    replace_at: Option<Time>,
}

/// A watch over replicas.
#[derive(Debug, Default)]
pub struct Watch {
    leases: BTreeMap<LeaseId, Watched>,
    actions: VecDeque<Action>,
}

impl Watch {
    /// A watch over nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The world speaks.
    pub fn handle(&mut self, now: Time, event: Event) {
        match event {
            Event::Begin { lease } => {
                self.leases.entry(lease).or_insert(Watched {
                    health: Health::Starting,
                    rank: 0,
                    sign_of_life: now,
                    failures: 0,
                    replace_at: None,
                });
            }
            Event::End { lease } => {
                self.leases.remove(&lease);
            }
            Event::Probe { lease, ok } => self.probe(now, lease, ok, START_GRACE),
            Event::Unanswered { lease } => self.probe(now, lease, false, SILENT_GRACE),
            Event::Rank { lease, rank } => {
                if let Some(watched) = self.leases.get_mut(&lease) {
                    watched.rank = rank;
                }
            }
            Event::Again { lease } => {
                if let Some(watched) = self.leases.get_mut(&lease) {
                    watched.replace_at = watched.replace_at.map(|at| at.min(now));
                }
            }
            Event::Tick => {}
        }
        self.call(now);
    }

    /// What to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`Watch::handle`] with a tick.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.leases.values().filter_map(|watched| watched.replace_at).min()
    }

    /// How a replica looks.
    #[must_use]
    pub fn health(&self, lease: &LeaseId) -> Option<Health> {
        self.leases.get(lease).map(|watched| watched.health)
    }

    /// The leases that are watched.
    pub fn leases(&self) -> impl Iterator<Item = (&LeaseId, Health)> {
        self.leases.iter().map(|(lease, watched)| (lease, watched.health))
    }

    /// Takes down a probe; one that never served is given `grace`.
    fn probe(&mut self, now: Time, lease: LeaseId, ok: bool, grace: Millis) {
        let Some(watched) = self.leases.get_mut(&lease) else { return };
        let before = watched.health;
        if ok {
            (watched.health, watched.failures, watched.replace_at) = (Health::Alive, 0, None);
            watched.sign_of_life = now;
        } else {
            watched.failures = watched.failures.saturating_add(1);
            let patience = if before == Health::Starting { grace } else { DEAD_AFTER };
            if watched.failures >= DEAD_PROBES && now.since(watched.sign_of_life) >= patience {
                watched.health = Health::Dead;
            } else if before == Health::Alive {
                watched.health = Health::Suspect;
            }
            if watched.health == Health::Dead && watched.replace_at.is_none() {
                let delay = RANK_DELAY.0.saturating_mul(watched.rank.into());
                watched.replace_at = Some(now.after(Millis(delay)));
            }
        }
        if watched.health != before {
            let health = watched.health;
            self.actions.push_back(Action::Changed { lease, health });
        }
    }

    /// Calls for the replacements that are due.
    fn call(&mut self, now: Time) {
        for (lease, watched) in &mut self.leases {
            if watched.replace_at.is_some_and(|time| time <= now) {
                watched.replace_at = Some(now.after(RETRY));
                self.actions.push_back(Action::Replace { lease: *lease });
            }
        }
    }
}
