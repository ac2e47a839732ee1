//! The queue of events, and the hand that turns it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use grange_peer::{Event, Peer, RequestId, WorkEvent};
use grange_types::{LeaseId, Millis, NetworkId, PeerId, Time, simulation};

use crate::checks::{Checks, Violation};
use crate::coverage::Coverage;
use crate::dice::Dice;
use crate::faults::{Fault, Repair, plan};
use crate::host::Host;
use crate::keeping::{Keeping, Parcel};
use crate::load::Load;
use crate::network::{NOTICED, Network};
use crate::sabotage::Sabotage;
use crate::seed::{BEGINNING, Cast, draw};
use crate::trace::Trace;

/// Nothing goes wrong before this.
const QUIET: Millis = Millis::seconds(15);
/// How long things go wrong.
const STORM: Millis = Millis::seconds(525);
/// After the storm everything that can run has to run within this.
const RECOVERY: Millis = Millis::seconds(30);
/// Then it has to go on running, and every claim is paid.
const AFTERWARDS: Millis = Millis::seconds(60);
/// Every so many seeds signs with ed25519, as nodes do; the others with a keyed hash.
const REAL_SIGNATURES: u64 = 20;
/// The most events in one world: one that never stops talking is stopped.
const EVENTS: u64 = 20_000_000;

/// How a world went.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// How long it lived, nights included.
    pub lived: Millis,
    /// What was told to its peers.
    pub events: u64,
    /// What went wrong in it.
    pub faults: u64,
    /// How many nodes there were.
    pub nodes: usize,
    /// How many of them voted from the beginning.
    pub validators: usize,
    /// What was met in it.
    pub coverage: Coverage,
    /// The first thing that must not be.
    pub violation: Option<Violation>,
    /// Equal for equal worlds.
    pub digest: String,
}

impl Outcome {
    /// Nodes of every world.
    pub const NODES: usize = 20;
    /// Faults of every world, at least.
    pub const FAULTS: u64 = 20;
    /// Kinds of faults of every world, at least.
    pub const KINDS: usize = 5;

    /// Whether a world that went to its end was as long, as large and as bad as every world has to be, and money and leases moved
    /// in it; or what of that is missing.
    pub fn check_size(&self) -> Result<(), String> {
        let of = |group, kind| self.coverage.of(group, kind);
        let kinds = |group| self.coverage.all().filter(|(of, _, count)| *of == group && *count > 0).count();
        let (lived, faults, nodes, validators) = (self.lived, self.faults, self.nodes, self.validators);
        let wanted = [
            (lived >= Millis::minutes(10), format!("it lived {} s", lived.0 / 1_000)),
            (nodes == Self::NODES, format!("it has {nodes} nodes")),
            ((4..=7).contains(&validators), format!("it has {validators} validators")),
            (faults >= Self::FAULTS, format!("it has {faults} faults")),
            (kinds("fault") >= Self::KINDS, format!("it has {} kinds of faults", kinds("fault"))),
            (kinds("villain") >= 1, "it has no villain".into()),
            (of("deed", "transfer") > 0, "nobody sent money".into()),
            (of("deed", "open-lease") > 0, "no lease was opened".into()),
            (of("deed", "renew-lease") + of("deed", "close-deployment") > 0, "no lease went on or ended".into()),
            (of("deed", "settle") + of("deed", "settle-many") > 0, "no lease was paid".into()),
        ];
        wanted.into_iter().find(|(met, _)| !met).map_or(Ok(()), |(_, what)| Err(what))
    }
}

/// Independent numbers for every purpose.
pub(crate) struct Streams {
    pub(crate) faults: Dice,
    pub(crate) network: Dice,
    pub(crate) disk: Dice,
    pub(crate) clocks: Dice,
    pub(crate) load: Dice,
    pub(crate) villains: Dice,
    pub(crate) work: Dice,
}

impl Streams {
    /// Those of a seed.
    pub(crate) fn new(seed: u64) -> Self {
        let dice = |purpose| Dice::new(seed, purpose);
        Self {
            faults: dice(1),
            network: dice(2),
            disk: dice(3),
            clocks: dice(4),
            load: dice(5),
            villains: dice(6),
            work: dice(7),
        }
    }
}

/// Something that is going to happen.
pub(crate) enum Happening {
    /// A host is told something, if it still lives the same life and the link it came over still stands.
    Tell {
        to: usize,
        life: u32,
        over: Option<(usize, u32)>,
        event: Box<Event>,
    },
    /// A workload that was starting serves.
    Serving {
        host: usize,
        life: u32,
        lease: LeaseId,
    },
    /// Something for the machines that keep key-values.
    Keep {
        to: usize,
        life: u32,
        over: Option<(usize, u32)>,
        parcel: Box<Parcel>,
    },
    /// A look at whether a link should stand.
    Link(usize, usize),
    Fault(Box<Fault>),
    Repair(Repair),
    /// Somebody does something.
    Load,
    /// A second has passed.
    Second,
    /// The storm is over.
    Calm,
    /// Everything has to run by now.
    Judge,
}

/// A question that is not answered yet.
pub(crate) struct Question {
    pub(crate) asker: usize,
    pub(crate) life: u32,
    pub(crate) id: RequestId,
    pub(crate) asked: usize,
}

/// A world while it lives.
pub(crate) struct World<'a> {
    pub(crate) now: Time,
    pub(crate) network_id: NetworkId,
    pub(crate) hosts: Vec<Host>,
    pub(crate) validators: usize,
    pub(crate) network: Network,
    pub(crate) dice: Streams,
    pub(crate) trace: Trace<'a>,
    pub(crate) coverage: Coverage,
    pub(crate) checks: Checks,
    pub(crate) load: Load,
    pub(crate) sabotage: Option<Sabotage>,
    pub(crate) faults: u64,
    /// A host that left for good.
    pub(crate) gone: Option<usize>,
    /// Hosts that are away for a long time: nothing starts them before.
    pub(crate) away: BTreeSet<usize>,
    pub(crate) asked: BTreeMap<u64, Question>,
    pub(crate) places: BTreeMap<PeerId, usize>,
    /// For each host, all others.
    pub(crate) others: Vec<Vec<PeerId>>,
    /// Messages that went over links.
    pub(crate) sent: u64,
    /// The last word of consensus, and whose it was.
    pub(crate) last_word: (usize, Vec<u8>),
    pub(crate) keeping: Keeping,
    queue: BTreeMap<(Time, u64), Happening>,
    pub(crate) sequence: u64,
    wakes: BTreeSet<(Time, usize)>,
}

/// Lives the world of a seed, writing a line for each event; with a rule broken on purpose, if asked.
pub fn simulate(seed: u64, sabotage: Option<Sabotage>, sink: &mut dyn Write) -> Outcome {
    simulation::sign_by_keyed_hash(!seed.is_multiple_of(REAL_SIGNATURES));
    simulation::sow(sabotage.and_then(Sabotage::plant));
    let mut world = World::new(seed, sabotage, sink);
    world.live();
    simulation::sow(None);
    simulation::sign_by_keyed_hash(false);
    Outcome {
        seed,
        lived: world.now.since(BEGINNING),
        events: world.trace.events,
        faults: world.faults,
        nodes: world.hosts.len(),
        validators: world.validators,
        violation: world.checks.violation.take(),
        digest: world.trace.digest(),
        coverage: world.coverage,
    }
}

impl<'a> World<'a> {
    fn new(seed: u64, sabotage: Option<Sabotage>, sink: &'a mut dyn Write) -> Self {
        let mut streams = Streams::new(seed);
        let cast = draw(seed, &mut Dice::new(seed, 0));
        let storm = (BEGINNING.after(QUIET), BEGINNING.after(QUIET).after(STORM));
        let faults = plan(&mut streams.faults, cast.hosts.len(), cast.validators, storm);
        let mut world = Self::of(cast, streams, storm, sink);
        world.sabotage = sabotage;
        for (at, fault) in faults {
            world.at(at, Happening::Fault(Box::new(fault)));
        }
        world.at(storm.1.after(Millis(1)), Happening::Calm);
        world.at(BEGINNING.after(Millis::seconds(1)), Happening::Second);
        world.at(BEGINNING.after(Millis::seconds(5)), Happening::Load);
        world
    }

    /// A world of these hosts, in which nothing is going to happen yet.
    pub(crate) fn of(cast: Cast, mut streams: Streams, storm: (Time, Time), sink: &'a mut dyn Write) -> Self {
        let ids: Vec<PeerId> = cast.hosts.iter().map(Host::id).collect();
        let others = |me: &PeerId| ids.iter().copied().filter(|other| other != me).collect();
        Self {
            now: BEGINNING,
            network_id: cast.genesis.network_id(),
            network: Network::new(ids.len(), &mut streams.network),
            checks: Checks::new(&cast),
            load: Load::new(&mut streams.load, storm),
            validators: cast.validators,
            others: ids.iter().map(others).collect(),
            places: ids.iter().enumerate().map(|(place, id)| (*id, place)).collect(),
            sent: 0,
            hosts: cast.hosts,
            dice: streams,
            trace: Trace::new(BEGINNING, sink),
            coverage: Coverage::default(),
            sabotage: None,
            faults: 0,
            gone: None,
            away: BTreeSet::new(),
            asked: BTreeMap::new(),
            last_word: (usize::MAX, Vec::new()),
            keeping: Keeping::default(),
            queue: BTreeMap::new(),
            sequence: 0,
            wakes: BTreeSet::new(),
        }
    }

    /// From the first start to the last judgement, or to the first violation.
    fn live(&mut self) {
        self.introduce();
        for host in 0..self.hosts.len() {
            self.hosts[host].disk.lies = self.sabotage == Some(Sabotage::FlushSkipped);
            self.start(host);
        }
        let mut end = None;
        while self.checks.violation.is_none() {
            if end.is_some_and(|end| self.now >= end) {
                self.judge_the_end();
                break;
            }
            if self.trace.events > EVENTS {
                self.checks.found(self.now, "talk", format!("{EVENTS} events, and no end of them"));
            }
            match self.step() {
                Some(Happening::Calm) => {
                    self.calm();
                    self.at(self.now.after(RECOVERY), Happening::Judge);
                }
                Some(Happening::Judge) => {
                    self.judge_recovery();
                    end = Some(self.now.after(AFTERWARDS));
                }
                _ => {}
            }
        }
        if let Some(violation) = self.checks.violation.clone() {
            self.note(None, format_args!("VIOLATION of {}: {}", violation.check, violation.what));
        }
    }

    fn introduce(&mut self) {
        for host in 0..self.hosts.len() {
            let Some(name) = self.hosts[host].villain.as_ref().map(|villain| villain.name()) else { continue };
            self.coverage.count("villain", name);
            self.note(Some(host), format_args!("is a villain: {name}"));
        }
        let (nodes, validators) = (self.hosts.len(), self.validators);
        let signatures = if simulation::signs_by_keyed_hash() { "keyed-hash" } else { "ed25519" };
        self.coverage.count("signatures", signatures);
        self.note(None, format_args!("{nodes} nodes, {validators} of them validators; signatures: {signatures}"));
    }

    /// Writes a line about a host, or about the world.
    pub(crate) fn note(&mut self, host: Option<usize>, what: std::fmt::Arguments<'_>) {
        let who = host.map_or("world", |host| &self.hosts[host].name);
        self.trace.line(self.now, who, what);
    }

    pub(crate) fn at(&mut self, time: Time, happening: Happening) {
        self.sequence += 1;
        self.queue.insert((time, self.sequence), happening);
    }

    pub(crate) fn mend_after(&mut self, span: Millis, repair: Repair) {
        self.at(self.now.after(span), Happening::Repair(repair));
    }

    /// Tells a host something later, whatever becomes of its links.
    pub(crate) fn tell(&mut self, to: usize, after: Millis, event: Event) {
        let life = self.hosts[to].life;
        self.at(self.now.after(after), Happening::Tell { to, life, over: None, event: Box::new(event) });
    }

    /// Sends something over the link between two hosts, as the weather lets it.
    pub(crate) fn send(&mut self, from: usize, to: usize, event: &Event) {
        let link = self.network.link(from, to);
        if !link.up || !self.hosts[to].alive() {
            return;
        }
        let life = self.hosts[to].life;
        self.sent += 1;
        for at in self.network.send(self.now, from, to, &mut self.dice.network) {
            let event = Box::new(event.clone());
            self.at(at, Happening::Tell { to, life, over: Some((from, link.session)), event });
        }
    }

    /// When the next thing happens.
    pub(crate) fn next_at(&self) -> Option<Time> {
        let due = self.queue.first_key_value().map(|((time, _), _)| *time);
        let wake = self.wakes.first().map(|(time, _)| *time);
        due.into_iter().chain(wake).min()
    }

    /// The next thing happens.
    pub(crate) fn step(&mut self) -> Option<Happening> {
        let due = self.queue.first_key_value().map(|((time, _), _)| *time);
        let wake = self.wakes.first().copied();
        match (due, wake) {
            (Some(due), Some((wake, host))) if wake < due => self.wake(wake, host),
            (None, Some((wake, host))) => self.wake(wake, host),
            (Some(due), _) => {
                self.now = self.now.max(due);
                let (_, happening) = self.queue.pop_first()?;
                return self.happen(happening);
            }
            (None, None) => {}
        }
        None
    }

    fn wake(&mut self, wake: Time, host: usize) {
        self.wakes.remove(&(wake, host));
        self.hosts[host].wake = None;
        let frozen = self.hosts[host].frozen_until;
        if frozen > self.now && frozen > wake {
            return self.wake_at(host, frozen);
        }
        self.now = self.now.max(wake);
        self.handle(host, "tick", Event::Tick);
    }

    /// Carries out what is due; gives back what concerns the world as a whole.
    fn happen(&mut self, happening: Happening) -> Option<Happening> {
        match happening {
            Happening::Tell { to, life, over, event } => self.arrive(to, life, over, event),
            Happening::Serving { host, life, lease } => {
                let machine = &self.hosts[host];
                let work = machine.running.get(&lease).filter(|_| machine.life == life).map(|run| run.work.clone());
                if let Some(work) = work {
                    self.begin_keeping(host, &work);
                }
            }
            Happening::Keep { to, life, over, parcel } => self.keeps(to, life, over, *parcel),
            Happening::Link(left, right) => self.look_at_link(left, right),
            Happening::Fault(fault) => self.suffer(*fault),
            Happening::Repair(repair) => self.mend(repair),
            Happening::Load => self.go_about(),
            Happening::Second => {
                self.second();
                self.at(self.now.after(Millis::seconds(1)), Happening::Second);
            }
            whole @ (Happening::Calm | Happening::Judge) => return Some(whole),
        }
        None
    }

    /// A workload serves from now on.
    pub(crate) fn serve(&mut self, host: usize, lease: LeaseId) {
        let now = self.now;
        if let Some(running) = self.hosts[host].running.get_mut(&lease) {
            (running.serving, running.counted) = (true, now);
            self.tell(host, Millis(0), Event::Work { lease, event: WorkEvent::Serving });
        }
    }

    /// Something reaches a host, unless it died meanwhile or the link fell; a frozen host hears it when it thaws.
    fn arrive(&mut self, to: usize, life: u32, over: Option<(usize, u32)>, event: Box<Event>) {
        let host = &self.hosts[to];
        let stands = over.is_none_or(|(from, session)| {
            let link = self.network.link(from, to);
            link.up && link.session == session
        });
        if host.life != life || !host.alive() || !stands {
            return;
        }
        if host.frozen_until > self.now {
            let thaw = host.frozen_until;
            return self.at(thaw, Happening::Tell { to, life, over, event });
        }
        self.handle(to, kind_of(&event), *event);
    }

    /// A peer is told something and does what it wants done.
    pub(crate) fn handle(&mut self, host: usize, kind: &'static str, event: Event) {
        let bytes: &[u8] = match &event {
            Event::Message { bytes, .. } | Event::Request { bytes, .. } | Event::Gossip { bytes } => bytes,
            Event::Response { answer: Some(bytes), .. } => bytes,
            _ => &[],
        };
        self.trace.event(self.now, host, kind, bytes);
        self.coverage.count("event", kind);
        let clock = self.hosts[host].clock(self.now);
        let Some(peer) = &mut self.hosts[host].peer else { return };
        peer.handle(clock, event);
        self.carry_out(host);
    }

    /// Carries out what a peer wants done, and notes when it wants to be woken.
    pub(crate) fn carry_out(&mut self, host: usize) {
        while let Some(action) = self.hosts[host].peer.as_mut().and_then(Peer::poll_action) {
            self.act(host, action);
        }
        self.look_at_ledger(host);
        let machine = &self.hosts[host];
        let Some(own) = machine.peer.as_ref().and_then(Peer::poll_timeout) else { return };
        // A time that has come already comes again with the next moment, never in the same one for ever.
        let at = machine.world_time(own).max(Time(self.now.0 + 1));
        self.wake_at(host, at);
    }

    fn wake_at(&mut self, host: usize, at: Time) {
        if let Some(old) = self.hosts[host].wake.replace(at) {
            self.wakes.remove(&(old, host));
        }
        self.wakes.insert((at, host));
    }

    pub(crate) fn sleeps(&mut self, host: usize) {
        if let Some(old) = self.hosts[host].wake.take() {
            self.wakes.remove(&(old, host));
        }
    }

    /// Time jumps for everybody: what was due stays due, and what was on its way over links is lost.
    pub(crate) fn leap(&mut self, span: Millis) {
        self.now = self.now.after(span);
        self.keeping.slept = Millis(self.keeping.slept.0 + span.0);
        let queue = core::mem::take(&mut self.queue);
        for ((time, sequence), happening) in queue {
            let lost =
                matches!(&happening, Happening::Tell { over: Some(_), .. } | Happening::Keep { over: Some(_), .. });
            if !lost {
                self.queue.insert((time.after(span), sequence), happening);
            }
        }
        for host in 0..self.hosts.len() {
            for running in self.hosts[host].running.values_mut() {
                running.counted = running.counted.after(span);
            }
        }
    }

    /// Whether two hosts can talk to each other now.
    pub(crate) fn reaches(&self, left: usize, right: usize) -> bool {
        let alive = |host: usize| self.hosts[host].alive();
        alive(left) && alive(right) && self.network.open(left, right)
    }

    /// Something has changed that may bring a link up or down.
    pub(crate) fn watch_link(&mut self, left: usize, right: usize) {
        let reaches = self.reaches(left, right);
        let soon = Millis(self.dice.network.between(50, 400));
        let Some(link) = self.network.link_mut(left, right) else { return };
        if link.up != reaches && !core::mem::replace(&mut link.watched, true) {
            let after = if reaches { soon } else { NOTICED };
            self.at(self.now.after(after), Happening::Link(left, right));
        }
    }

    fn look_at_link(&mut self, left: usize, right: usize) {
        let reaches = self.reaches(left, right);
        let Some(link) = self.network.link_mut(left, right) else { return };
        link.watched = false;
        if link.up == reaches {
            return;
        }
        link.up = reaches;
        link.session += 1;
        for (host, other) in [(left, right), (right, left)] {
            if self.hosts[host].alive() {
                let peer = self.hosts[other].id();
                let event = if reaches { Event::Connected(peer) } else { Event::Disconnected(peer) };
                self.tell(host, Millis(0), event);
            }
        }
    }

    /// A link falls at once: its host has said so by starting anew, or all slept for hours.
    pub(crate) fn drop_link(&mut self, left: usize, right: usize) {
        let Some(link) = self.network.link_mut(left, right) else { return };
        if core::mem::replace(&mut link.up, false) {
            link.session += 1;
            for (host, other) in [(left, right), (right, left)] {
                if self.hosts[host].alive() {
                    let peer = self.hosts[other].id();
                    self.tell(host, Millis(0), Event::Disconnected(peer));
                }
            }
        }
        self.watch_link(left, right);
    }
}

fn kind_of(event: &Event) -> &'static str {
    match event {
        Event::Connected(_) => "connected",
        Event::Disconnected(_) => "disconnected",
        Event::Message { .. } => "message",
        Event::Request { .. } => "request",
        Event::Response { .. } => "response",
        Event::Gossip { .. } => "gossip",
        Event::Fetched { .. } => "fetched",
        Event::Work { .. } => "work",
        Event::Key { .. } => "key",
        Event::Keepers { .. } => "keepers",
        Event::Visited { .. } => "visited",
        Event::Counted { .. } => "counted",
        Event::Taken { .. } => "taken",
        Event::Call { .. } => "call",
        Event::Tick => "tick",
    }
}
