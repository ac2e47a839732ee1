//! What goes wrong, and how it is mended.

use grange_types::{Millis, Time};

use crate::dice::Dice;
use crate::network::Weather;
use crate::voters::CANDIDATES;
use crate::world::World;

/// Every kind of fault.
pub(crate) const KINDS: &[&str] = &[
    "crash",
    "power-cut",
    "blackout",
    "partition",
    "one-way",
    "weather",
    "disorder",
    "disk-full",
    "bit-flip",
    "new-disk",
    "away",
    "freeze",
    "night",
    "clock-skew",
    "workload",
];

/// How long a machine is away: a successor gives up waiting for a keeper after five minutes.
const AWAY: (Millis, Millis) = (Millis::seconds(420), Millis::seconds(510));

/// Something goes wrong.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// A process dies and is started again later.
    Crash { host: usize, back: Millis },
    /// A machine loses its power, and what was not flushed.
    PowerCut { host: usize, back: Millis },
    /// Every machine loses its power.
    Blackout { back: Millis },
    /// Some hosts cannot talk to the others.
    Partition { side: Vec<usize>, lasts: Millis },
    /// A host is not heard by some, though it hears them.
    OneWay { from: usize, to: Vec<usize>, lasts: Millis },
    /// Messages are lost, late, doubled, out of order.
    Weather { weather: Weather, lasts: Millis },
    /// A disk is full.
    DiskFull { host: usize, lasts: Millis },
    /// Bits on a disk flip while its machine is off.
    BitFlip { host: usize, back: Millis },
    /// The disk with the ledger is gone, and an empty one is in its place: what is known is the key and the genesis.
    NewDisk { host: usize, back: Millis },
    /// A writer of key-values and one of its keepers are off for longer than a successor waits for what only they have.
    Away { back: Millis },
    /// A process is stopped for a while, and nobody tells it.
    Freeze { host: usize, lasts: Millis },
    /// All machines sleep for hours; one is gone for good before they do.
    Night { lasts: Millis, gone: usize },
    /// A machine is started with a clock that is wrong.
    Skew { host: usize, ahead: i64 },
    /// A workload ends by itself.
    Workload { host: usize },
}

/// Something is mended.
#[derive(Debug, Clone)]
pub(crate) enum Repair {
    Start { host: usize },
    StartAll,
    Return,
    Unblock { walls: Vec<(usize, usize)> },
    Clear,
    DiskFree { host: usize },
}

impl Fault {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Crash { .. } => "crash",
            Self::PowerCut { .. } => "power-cut",
            Self::Blackout { .. } => "blackout",
            Self::Partition { .. } => "partition",
            Self::OneWay { .. } => "one-way",
            Self::Weather { weather, .. } if weather.disorder => "disorder",
            Self::Weather { .. } => "weather",
            Self::DiskFull { .. } => "disk-full",
            Self::BitFlip { .. } => "bit-flip",
            Self::NewDisk { .. } => "new-disk",
            Self::Away { .. } => "away",
            Self::Freeze { .. } => "freeze",
            Self::Night { .. } => "night",
            Self::Skew { .. } => "clock-skew",
            Self::Workload { .. } => "workload",
        }
    }
}

/// The faults of a world with their times, from a while after its start until the storm is over.
pub(crate) fn plan(dice: &mut Dice, hosts: usize, validators: usize, storm: (Time, Time)) -> Vec<(Time, Fault)> {
    let count = 24 + dice.index(16);
    // Validators are hit more often than their share: they are what most depends on.
    let draw = |dice: &mut Dice| {
        let host = if dice.chance(500) { dice.index(validators) } else { dice.index(hosts) };
        (Time(dice.between(storm.0.0, storm.1.0)), host)
    };
    let mut faults: Vec<(Time, Fault)> = Vec::new();
    for _ in 0..count {
        let (at, host) = draw(dice);
        faults.push((at, fault(dice, host, hosts, validators)));
    }
    // One who votes must not forget what it said; others begin anew, once in a few worlds.
    let staying = validators + CANDIDATES;
    if dice.chance(350) {
        let host = staying + dice.index(hosts - staying);
        let at = Time(dice.between(storm.0.0, storm.1.0));
        faults.push((at, Fault::NewDisk { host, back: dice.span(Millis(300), Millis::seconds(20)) }));
    }
    // Once in a few worlds everything sleeps for a night, at the end of the storm.
    if dice.chance(350) {
        let gone = staying + dice.index(hosts - staying);
        // Some outlast a price sheet: whoever left before such a night has to be forgotten after it.
        let hours = if dice.chance(600) { dice.between(25, 50) } else { dice.between(2, 25) };
        let lasts = Millis(Millis::HOUR.0 * hours);
        faults.push((storm.1, Fault::Night { lasts, gone }));
    }
    // In every other world two machines are away for so long that others go on without what only they have. Whoever waits for
    // them must live for as long himself.
    if dice.chance(500) {
        faults.retain(|(_, fault)| !matches!(fault, Fault::Blackout { .. }));
        let back = dice.span(AWAY.0, AWAY.1);
        let at = Time(dice.between(storm.0.0, storm.1.0 - back.0));
        faults.push((at, Fault::Away { back }));
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

fn fault(dice: &mut Dice, host: usize, hosts: usize, validators: usize) -> Fault {
    let short = dice.span(Millis(300), Millis::seconds(20));
    let some = |dice: &mut Dice| (0..hosts).filter(|_| dice.chance(350)).collect::<Vec<_>>();
    match dice.below(100) {
        0..18 => Fault::Crash { host, back: short },
        18..36 => Fault::PowerCut { host, back: short },
        36..39 => Fault::Blackout { back: short },
        39..49 => Fault::Partition { side: some(dice), lasts: short },
        49..57 => Fault::OneWay { from: host, to: some(dice), lasts: short },
        57..65 => {
            let disorder = dice.chance(400);
            let (loss, twice, delay) = (dice.below(100), dice.below(100), Millis(dice.below(300)));
            Fault::Weather { weather: Weather { loss, twice, delay, disorder }, lasts: short }
        }
        65..71 => Fault::DiskFull { host, lasts: short },
        71..79 => Fault::BitFlip { host, back: short },
        79..87 => Fault::Freeze { host, lasts: dice.span(Millis(500), Millis::seconds(15)) },
        87..93 => {
            // One clock at a time may be far off; a voter among more than two thirds has a good one.
            let far = dice.chance(500);
            let span = if far { dice.between(3_000, 60_000) } else { dice.below(1_500) };
            let ahead = i64::try_from(span).unwrap_or(0);
            let host = if far { validators - 1 } else { host };
            Fault::Skew { host, ahead: if dice.chance(700) { ahead } else { -ahead } }
        }
        _ => Fault::Workload { host },
    }
}

impl World<'_> {
    /// Something goes wrong now.
    pub(crate) fn suffer(&mut self, fault: Fault) {
        self.coverage.count("fault", fault.kind());
        self.faults += 1;
        match fault {
            Fault::Crash { host, back } => {
                self.kill(host, false, "killed");
                self.mend_after(back, Repair::Start { host });
            }
            Fault::PowerCut { host, back } => {
                self.kill(host, true, "loses its power");
                self.mend_after(back, Repair::Start { host });
            }
            Fault::Blackout { back } => {
                (0..self.hosts.len()).for_each(|host| self.kill(host, true, "loses its power, as all do"));
                self.mend_after(back, Repair::StartAll);
            }
            Fault::Partition { side, lasts } => {
                let other = |host: &usize| !side.contains(host);
                let rest: Vec<usize> = (0..self.hosts.len()).filter(other).collect();
                let walls = side.iter().flat_map(|left| rest.iter().flat_map(move |right| both(*left, *right)));
                self.note(None, format_args!("partition: {side:?} apart from the others for {} ms", lasts.0));
                self.wall(walls.collect(), lasts);
            }
            Fault::OneWay { from, to, lasts } => {
                self.note(Some(from), format_args!("is not heard by {to:?} for {} ms", lasts.0));
                self.wall(to.iter().filter(|to| **to != from).map(|to| (from, *to)).collect(), lasts);
            }
            Fault::Weather { weather, lasts } => {
                self.note(None, format_args!("weather for {} ms: {weather:?}", lasts.0));
                self.network.weather = weather;
                self.mend_after(lasts, Repair::Clear);
            }
            Fault::DiskFull { host, lasts } => {
                self.note(Some(host), format_args!("its disk is full for {} ms", lasts.0));
                self.hosts[host].disk.full = true;
                self.mend_after(lasts, Repair::DiskFree { host });
            }
            Fault::BitFlip { host, back } => {
                self.kill(host, false, "killed");
                let log = self.can_spare(host);
                let flipped = self.hosts[host].disk.flip(&mut self.dice.faults, log);
                self.note(Some(host), format_args!("bits flip in {}", flipped.as_deref().unwrap_or("nothing")));
                self.mend_after(back, Repair::Start { host });
            }
            Fault::NewDisk { host, back } => {
                self.kill(host, false, "killed, and its ledger is lost");
                self.hosts[host].disk.replaced();
                self.mend_after(back, Repair::Start { host });
            }
            Fault::Away { back } => self.switch_off(back),
            Fault::Freeze { host, lasts } => {
                self.note(Some(host), format_args!("is stopped for {} ms", lasts.0));
                let until = self.now.after(lasts);
                self.freeze(host, until);
            }
            Fault::Night { lasts, gone } => self.night(lasts, gone),
            Fault::Skew { host, ahead } => {
                self.kill(host, false, "killed");
                self.start_at(host, Some(ahead));
            }
            Fault::Workload { host } => self.break_workload(host),
        }
    }

    /// Whether a host's vote can be missing for a whole height: with those of villains and of others whose logs are damaged
    /// it has to stay below a third, or that height is never decided. No rule can mend that: who may have voted and does
    /// not know how must be silent.
    fn can_spare(&self, host: usize) -> bool {
        let Some(ledger) = self.newest() else { return false };
        let view = ledger.view();
        let voter =
            |other: &usize| view.validators().iter().any(|entry| entry.key == self.hosts[*other].config.key.public());
        let lost = |other: &usize| {
            let host = &self.hosts[*other];
            host.villain.as_ref().is_some_and(|villain| villain.votes_falsely()) || host.disk.log_is_damaged()
        };
        let others = (0..self.hosts.len()).filter(|other| *other != host && voter(other) && lost(other)).count();
        !voter(&host) || (others + 1) * 3 < view.validators().len()
    }

    /// A writer and a keeper of its are switched off, neither of which votes or may come to vote.
    fn switch_off(&mut self, back: Millis) {
        let staying = self.validators + CANDIDATES;
        let pairs = self.keeping.writers_with_keepers().filter_map(|(host, keeper)| {
            let keeper = self.places.get(&keeper).copied()?;
            (host >= staying && keeper >= staying && host != keeper).then_some([host, keeper])
        });
        let pairs: Vec<[usize; 2]> = pairs.collect();
        for host in self.dice.faults.pick(&pairs).copied().into_iter().flatten() {
            self.kill(host, false, "is switched off for a long time");
            self.away.insert(host);
        }
        self.mend_after(back, Repair::Return);
    }

    fn wall(&mut self, walls: Vec<(usize, usize)>, lasts: Millis) {
        for (from, to) in &walls {
            self.network.block(*from, *to);
            self.watch_link(*from, *to);
        }
        self.mend_after(lasts, Repair::Unblock { walls });
    }

    /// Something is mended now.
    pub(crate) fn mend(&mut self, repair: Repair) {
        match repair {
            Repair::Start { host } => self.start(host),
            Repair::StartAll => (0..self.hosts.len()).for_each(|host| self.start(host)),
            Repair::Return => {
                for host in core::mem::take(&mut self.away) {
                    self.start(host);
                }
            }
            Repair::Unblock { walls } => {
                for (from, to) in walls {
                    self.network.unblock(from, to);
                    self.watch_link(from, to);
                }
            }
            Repair::Clear => self.network.weather = Weather::default(),
            Repair::DiskFree { host } => {
                self.hosts[host].disk.full = false;
                self.start(host);
            }
        }
    }

    /// Everything that is broken is mended: the storm is over.
    pub(crate) fn calm(&mut self) {
        self.note(None, format_args!("the storm is over"));
        self.load.calm = true;
        self.network.weather = Weather::default();
        for left in 0..self.hosts.len() {
            for right in (0..self.hosts.len()).filter(|right| *right != left) {
                self.network.unblock(left, right);
                self.watch_link(left, right);
            }
        }
        for host in 0..self.hosts.len() {
            self.hosts[host].disk.full = false;
            if self.hosts[host].skew.abs() > 1_500 {
                self.kill(host, false, "gets its clock set");
            }
            if Some(host) != self.gone {
                self.start(host);
            }
        }
    }
}

const fn both(left: usize, right: usize) -> [(usize, usize); 2] {
    [(left, right), (right, left)]
}
