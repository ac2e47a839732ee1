//! How machines start, die, freeze and sleep.

use grange_peer::{Event, Peer, WorkEvent};
use grange_types::{Millis, Time};

use crate::world::World;

impl World<'_> {
    /// Starts a host from what is on its disk, unless it runs or has left for good.
    pub(crate) fn start(&mut self, host: usize) {
        self.start_at(host, None);
    }

    /// Starts a host with a clock that is ahead of the world's by so many milliseconds.
    pub(crate) fn start_at(&mut self, host: usize, ahead: Option<i64>) {
        let stays_off = self.gone == Some(host) || self.away.contains(&host);
        if self.hosts[host].alive() || stays_off || self.hosts[host].disk.full {
            return;
        }
        let drift = i64::try_from(self.dice.clocks.below(400)).unwrap_or(0) - 200;
        let seed = self.dice.clocks.number();
        let machine = &mut self.hosts[host];
        machine.reborn();
        machine.skew = ahead.unwrap_or(drift);
        let clock = machine.clock(self.now);
        machine.config.sequence = clock.0.max(machine.config.sequence + 1);
        machine.config.seed = seed;
        let (recovery, cut) = machine.disk.open();
        let from = if recovery.snapshot.is_empty() { "genesis" } else { "snapshot" };
        self.coverage.count("recovery", from);
        if machine.disk.log_is_damaged() {
            self.coverage.count("recovery", "damaged-log");
        }
        let height = recovery.blocks.len();
        let mut peer = match Peer::new(machine.config.clone(), &recovery) {
            Ok(peer) => peer,
            Err(error) => {
                let what = format!("{} does not start from its disk: {error}", machine.name);
                return self.checks.found(self.now, "start", what);
            }
        };
        peer.start(clock, recovery);
        let (height, skew) = (peer.ledger().height().0.max(height as u64), machine.skew);
        machine.peer = Some(peer);
        self.checks.started(host);
        self.note(Some(host), format_args!("starts at height {height}, its clock {skew:+} ms"));
        if let Some(height) = cut {
            self.note(Some(host), format_args!("its chain was damaged and is cut before block {height}"));
        }
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            self.drop_link(host, other);
        }
        self.carry_out(host);
    }

    /// A process dies, or its whole machine with what was not flushed.
    pub(crate) fn kill(&mut self, host: usize, power: bool, how: &str) {
        if !self.hosts[host].alive() {
            return;
        }
        let now = self.now;
        let machine = &mut self.hosts[host];
        let serves = machine.serves();
        for (lease, running) in &mut machine.running {
            self.checks.served(*lease, running.serve(now, serves));
        }
        machine.peer = None;
        machine.running.clear();
        self.keeping.died(host);
        let machine = &mut self.hosts[host];
        let lost = if power {
            machine.disk.power_lost(&mut self.dice.disk)
        } else {
            machine.disk.killed();
            0
        };
        self.sleeps(host);
        match lost {
            0 => self.note(Some(host), format_args!("{how}")),
            _ => self.note(Some(host), format_args!("{how}; {lost} entries of its log are gone")),
        }
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            self.watch_link(host, other);
        }
    }

    /// A process is stopped: it hears and says nothing until then, and does not know it.
    pub(crate) fn freeze(&mut self, host: usize, until: Time) {
        self.hosts[host].frozen_until = until;
        // The system's network answers for a while; then the others take the link for dead.
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            if until.since(self.now) > crate::network::NOTICED && self.network.link(host, other).up {
                let after = crate::network::NOTICED;
                let (me, them) = (self.hosts[host].id(), self.hosts[other].id());
                self.fall(host, other, after, (me, them));
            }
        }
    }

    /// A link falls after a while and stands again when its frozen host has thawed.
    fn fall(
        &mut self,
        host: usize,
        other: usize,
        after: Millis,
        (me, them): (grange_types::PeerId, grange_types::PeerId),
    ) {
        let until = self.hosts[host].frozen_until;
        self.tell(other, after, Event::Disconnected(me));
        self.tell(host, until.since(self.now), Event::Disconnected(them));
        if let Some(link) = self.network.link_mut(host, other) {
            (link.up, link.watched) = (false, true);
            link.session += 1;
        }
        let back = until.after(Millis(self.dice.network.between(50, 400)));
        self.at(back, crate::world::Happening::Link(host, other));
    }

    /// All machines sleep for hours. One of them is switched off before and never comes back.
    pub(crate) fn night(&mut self, lasts: Millis, gone: usize) {
        self.kill(gone, false, "is switched off for good");
        self.gone = Some(gone);
        self.checks.gone(self.now, gone);
        self.note(None, format_args!("night: everything sleeps for {} h", lasts.0 / Millis::HOUR.0));
        self.leap(lasts);
        for left in 0..self.hosts.len() {
            for right in left + 1..self.hosts.len() {
                self.drop_link(left, right);
            }
        }
        self.note(None, format_args!("morning"));
    }

    /// A workload of a host ends by itself.
    pub(crate) fn break_workload(&mut self, host: usize) {
        let leases: Vec<_> = self.hosts[host].running.keys().copied().collect();
        let Some(lease) = self.dice.work.pick(&leases).copied() else { return };
        let (now, serves) = (self.now, self.hosts[host].serves());
        if let Some(running) = self.hosts[host].running.get_mut(&lease) {
            self.checks.served(lease, running.serve(now, serves));
            running.serving = false;
        }
        self.keeping.stopped(host, lease);
        self.note(Some(host), format_args!("the workload of lease {} ends by itself", lease.short()));
        let reason = "it ended by itself".to_owned();
        self.tell(host, Millis(0), Event::Work { lease, event: WorkEvent::Failed { reason } });
    }
}
