//! One machine: a peer with its disk, its clock and the workloads it runs.

use std::collections::BTreeMap;

use grange_peer::{Config, Peer, RouteTable};
use grange_types::{ByteCount, Counters, LeaseId, Millis, PeerId, Time, Work};

use crate::disk::Disk;
use crate::villains::Villain;

/// A workload that runs.
pub(crate) struct Running {
    pub(crate) work: Work,
    pub(crate) serving: bool,
    /// What it truly did since it was started.
    pub(crate) counters: Counters,
    /// Until when its time is counted.
    pub(crate) counted: Time,
    /// Strangers are not served.
    pub(crate) refuses: bool,
}

impl Running {
    pub(crate) fn new(now: Time, work: Work) -> Self {
        Self { work, serving: false, counters: Counters::default(), counted: now, refuses: false }
    }

    /// Counts the time since the last count, if it was served; gives how much that was.
    pub(crate) fn serve(&mut self, now: Time, serves: bool) -> Millis {
        let span = now.since(self.counted);
        self.counted = now;
        if !self.serving || !serves {
            return Millis(0);
        }
        self.counters.served = Millis(self.counters.served.0 + span.0);
        span
    }

    pub(crate) fn answer(&mut self, bytes: u64) {
        self.counters.requests += 1;
        self.counters.egress = ByteCount(self.counters.egress.0 + bytes);
    }
}

/// A machine of the world.
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) config: Config,
    pub(crate) peer: Option<Peer>,
    /// Grows with every start; what was meant for an earlier life does not arrive.
    pub(crate) life: u32,
    pub(crate) disk: Disk,
    pub(crate) running: BTreeMap<LeaseId, Running>,
    pub(crate) villain: Option<Box<dyn Villain>>,
    /// How far its clock is ahead of the world's, in milliseconds; drawn at each start.
    pub(crate) skew: i64,
    /// It was stopped, and nothing reaches it before this time.
    pub(crate) frozen_until: Time,
    pub(crate) calls: u64,
    /// When it wants to be woken, in the world's time.
    pub(crate) wake: Option<Time>,
    routes: (Option<u64>, RouteTable),
}

impl Host {
    pub(crate) fn new(name: String, config: Config, villain: Option<Box<dyn Villain>>) -> Self {
        Self {
            name,
            config,
            peer: None,
            life: 0,
            disk: Disk::default(),
            running: BTreeMap::new(),
            villain,
            skew: 0,
            frozen_until: Time(0),
            calls: 0,
            wake: None,
            routes: (None, RouteTable::default()),
        }
    }

    pub(crate) fn id(&self) -> PeerId {
        self.config.key.public().peer()
    }

    pub(crate) const fn alive(&self) -> bool {
        self.peer.is_some()
    }

    pub(crate) const fn honest(&self) -> bool {
        self.villain.is_none()
    }

    /// Whether requests to its workloads are answered.
    pub(crate) fn serves(&self) -> bool {
        self.villain.as_ref().is_none_or(|villain| villain.serves())
    }

    /// What its own clock shows.
    pub(crate) fn clock(&self, now: Time) -> Time {
        Time(now.0.saturating_add_signed(self.skew))
    }

    /// When the world's clock shows what its own clock will show then.
    pub(crate) fn world_time(&self, own: Time) -> Time {
        Time(own.0.saturating_add_signed(self.skew.saturating_neg()))
    }

    /// Where its gateway sends requests.
    pub(crate) fn routes(&mut self) -> &RouteTable {
        if let Some(peer) = &self.peer {
            let version = Some(peer.routes_version());
            if self.routes.0 != version {
                self.routes = (version, peer.routes());
            }
        } else {
            self.routes = (None, RouteTable::default());
        }
        &self.routes.1
    }

    /// A new life begins with nothing but the disk.
    pub(crate) fn reborn(&mut self) {
        self.life += 1;
        self.running.clear();
        self.routes = (None, RouteTable::default());
        self.frozen_until = Time(0);
    }
}
