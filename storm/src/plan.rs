//! What happens when: a pure function of a seed and a length.
//!
//! Two lanes run beside each other: one for machines and processes, one for the network. In a lane one thing happens after
//! the other, and each kind before any comes again; so one host is ill and one part of the network broken at a time, but
//! those are often different hosts, and then the ledger waits until they are well. Even seeds have a second lane for
//! machines, which leaves alone whoever is ill already.

use std::fmt;

/// The hosts by name. The last is behind a NAT and only sells; the others vote.
pub(crate) const HOSTS: [&str; 5] = ["ada", "bob", "cleo", "dan", "eva"];
/// How many of them vote.
pub(crate) const VALIDATORS: usize = 4;

/// Calls that a failing disk refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    /// What was written does not become durable.
    Sync,
    /// Nothing can be written.
    Write,
}

/// One thing that goes wrong. Hosts are indices into [`HOSTS`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9`, and started again.
    Kill { host: usize },
    /// The process is stopped, and goes on as if no time had passed.
    Sleep { host: usize },
    /// The disk has no room.
    Full { host: usize },
    /// The disk answers with an error (EIO).
    Broken { host: usize, refused: Refused },
    /// The disk takes so many milliseconds longer to sync.
    Slow { host: usize, millis: u64 },
    /// `kill -9` at the so-manieth sync from then on, between what is written and what is durable.
    Crash { host: usize, sync: u64 },
    /// All hosts lose their processes at once.
    Blackout,
    /// The machine starts again with a clock that is wrong by so many seconds.
    Clock { host: usize, seconds: i64 },
    /// So many packets of a hundred are lost, in each direction.
    Loss { host: usize, percent: u32 },
    /// These hear nobody else, and nobody else hears them.
    Split { apart: Vec<usize> },
    /// One does not hear some others, who hear it.
    Deaf { host: usize, to: Vec<usize> },
}

/// A fault and its time, in milliseconds from the beginning of the storm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timed {
    pub(crate) at: u64,
    pub(crate) lasts: u64,
    pub(crate) fault: Fault,
}

/// Makes one or several faults of a kind from a time on, and says when the last is over.
type Make = fn(&mut Dice, &mut Vec<Timed>, u64) -> u64;
/// The kinds of one lane.
type Kinds = &'static [Make];

const MACHINE: Kinds = &[kills, sleep, full, broken, slow, crash, blackout, clock];
const NETWORK: Kinds = &[loss, split, deaf];

impl Fault {
    /// The one host that it makes ill.
    fn host(&self) -> Option<usize> {
        match self {
            Self::Kill { host }
            | Self::Sleep { host }
            | Self::Full { host }
            | Self::Broken { host, .. }
            | Self::Slow { host, .. }
            | Self::Crash { host, .. }
            | Self::Clock { host, .. } => Some(*host),
            Self::Blackout | Self::Loss { .. } | Self::Split { .. } | Self::Deaf { .. } => None,
        }
    }
}

impl Timed {
    pub(crate) fn ends(&self) -> u64 {
        self.at + self.lasts
    }
}

/// Between two illnesses of one host.
const REST: u64 = 1_000;

/// All that happens in a storm, in order of time.
pub(crate) fn plan(seed: u64, length: u64) -> Vec<Timed> {
    let mut all = lane(&mut Dice::new(seed, 0), MACHINE, length);
    if seed.is_multiple_of(2) {
        let more = lane(&mut Dice::new(seed, 3), MACHINE, length);
        let first = all.clone();
        let apart = |one: &Timed, other: &Timed| {
            one.ends() + REST < other.at || other.ends() + REST < one.at || one.fault.host() != other.fault.host()
        };
        all.extend(more.into_iter().filter(|timed| first.iter().all(|other| apart(timed, other))));
    }
    all.extend(lane(&mut Dice::new(seed, 1), NETWORK, length));
    all.sort_by_key(|timed| timed.at);
    all
}

/// One thing after the other until the time is over.
fn lane(dice: &mut Dice, kinds: Kinds, length: u64) -> Vec<Timed> {
    let (mut all, mut bag): (Vec<Timed>, Vec<Make>) = (Vec::new(), Vec::new());
    let mut now = dice.between(1_000, 3_000);
    loop {
        if bag.is_empty() {
            bag.extend(kinds);
        }
        let make = bag.swap_remove(dice.below(bag.len() as u64) as usize);
        let mut made = Vec::new();
        now = make(dice, &mut made, now);
        if now > length {
            return all;
        }
        all.extend(made);
        now += dice.between(2_000, 5_000);
    }
}

fn one(all: &mut Vec<Timed>, at: u64, lasts: u64, fault: Fault) -> u64 {
    all.push(Timed { at, lasts, fault });
    at + lasts
}

/// A host is killed again and again, also while it starts.
fn kills(dice: &mut Dice, all: &mut Vec<Timed>, mut at: u64) -> u64 {
    let host = dice.host();
    for kill in 0..dice.between(3, 6) {
        if kill > 0 {
            at += dice.between(300, 2_500);
        }
        at = one(all, at, dice.between(100, 1_500), Fault::Kill { host });
    }
    at
}

fn sleep(dice: &mut Dice, all: &mut Vec<Timed>, at: u64) -> u64 {
    let host = dice.host();
    one(all, at, dice.between(2_000, 12_000), Fault::Sleep { host })
}

fn full(dice: &mut Dice, all: &mut Vec<Timed>, at: u64) -> u64 {
    let host = dice.host();
    one(all, at, dice.between(4_000, 10_000), Fault::Full { host })
}

fn broken(dice: &mut Dice, all: &mut Vec<Timed>, at: u64) -> u64 {
    let host = dice.host();
    let refused = if dice.below(2) == 0 { Refused::Sync } else { Refused::Write };
    one(all, at, dice.between(4_000, 8_000), Fault::Broken { host, refused })
}

fn slow(dice: &mut Dice, all: &mut Vec<Timed>, at: u64) -> u64 {
    let (host, millis) = (dice.host(), dice.between(20, 400));
    one(all, at, dice.between(4_000, 10_000), Fault::Slow { host, millis })
}

fn crash(dice: &mut Dice, all: &mut Vec<Timed>, at: u64) -> u64 {
    let (host, sync) = (dice.host(), dice.between(1, 40));
    one(all, at, dice.between(2_000, 5_000), Fault::Crash { host, sync })
}

fn blackout(dice: &mut Dice, all: &mut Vec<Timed>, at: u64) -> u64 {
    one(all, at, dice.between(100, 3_000), Fault::Blackout)
}

fn clock(dice: &mut Dice, all: &mut Vec<Timed>, at: u64) -> u64 {
    let host = dice.host();
    // Often as much as clocks may differ, now and then far more.
    let seconds = if dice.below(3) == 0 { dice.between(200, 3_600) } else { dice.between(3, 110) } as i64;
    let seconds = if dice.below(2) == 0 { seconds } else { -seconds };
    one(all, at, dice.between(8_000, 15_000), Fault::Clock { host, seconds })
}

fn loss(dice: &mut Dice, all: &mut Vec<Timed>, at: u64) -> u64 {
    let (host, percent) = (dice.host(), dice.between(5, 40) as u32);
    one(all, at, dice.between(5_000, 12_000), Fault::Loss { host, percent })
}

fn split(dice: &mut Dice, all: &mut Vec<Timed>, at: u64) -> u64 {
    let size = dice.between(1, 3) as usize;
    let mut apart = Vec::new();
    while apart.len() < size {
        let host = dice.host();
        if !apart.contains(&host) {
            apart.push(host);
        }
    }
    apart.sort_unstable();
    one(all, at, dice.between(4_000, 12_000), Fault::Split { apart })
}

fn deaf(dice: &mut Dice, all: &mut Vec<Timed>, at: u64) -> u64 {
    let host = dice.host();
    let others: Vec<usize> = (0..HOSTS.len()).filter(|other| *other != host).collect();
    let mut to: Vec<usize> = others.iter().copied().filter(|_| dice.below(2) == 0).collect();
    if to.is_empty() {
        to = others;
    }
    one(all, at, dice.between(4_000, 12_000), Fault::Deaf { host, to })
}

/// Numbers from a seed (splitmix64); one stream for each lane, so that a change in one leaves the other as it was.
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut dice = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ stream.wrapping_mul(0xd1b5_4a32_d192_ed03));
        dice.number();
        dice
    }

    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        u64::try_from((u128::from(self.number()) * u128::from(end)) >> 64).unwrap_or(0)
    }

    /// A number from `low` up to, and without, `high`.
    fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low))
    }

    fn host(&mut self) -> usize {
        self.below(HOSTS.len() as u64) as usize
    }
}

/// The names of some hosts.
fn names(hosts: &[usize]) -> String {
    let names: Vec<&str> = hosts.iter().filter_map(|host| HOSTS.get(*host).copied()).collect();
    names.join(", ")
}

impl fmt::Display for Timed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |millis: u64| millis as f64 / 1_000.0;
        write!(f, "{:6.1} s  {}, for {:.1} s", seconds(self.at), self.fault, seconds(self.lasts))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |host: &usize| HOSTS.get(*host).copied().unwrap_or("nobody");
        match self {
            Self::Kill { host } => write!(f, "{} is killed with -9", name(host)),
            Self::Sleep { host } => write!(f, "{} is stopped (SIGSTOP)", name(host)),
            Self::Full { host } => write!(f, "{}'s disk is full (ENOSPC)", name(host)),
            Self::Broken { host, refused: Refused::Sync } => write!(f, "{}'s disk fails to sync (EIO)", name(host)),
            Self::Broken { host, refused: Refused::Write } => write!(f, "{}'s disk fails to write (EIO)", name(host)),
            Self::Slow { host, millis } => write!(f, "{}'s disk takes {millis} ms longer to sync", name(host)),
            Self::Crash { host, sync } => write!(f, "{} is killed at its sync number {sync}", name(host)),
            Self::Blackout => write!(f, "all are killed with -9"),
            Self::Clock { host, seconds } => write!(f, "{} starts with its clock {seconds:+} s wrong", name(host)),
            Self::Loss { host, percent } => write!(f, "{} loses {percent} of 100 packets each way", name(host)),
            Self::Split { apart } => write!(f, "{} cut off from the others", names(apart)),
            Self::Deaf { host, to } => write!(f, "{} does not hear {}", name(host), names(to)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const THREE_MINUTES: u64 = 180_000;

    #[test]
    fn a_seed_is_the_same_storm_each_time() {
        for seed in 0..200 {
            assert_eq!(plan(seed, THREE_MINUTES), plan(seed, THREE_MINUTES));
        }
        assert_ne!(plan(1, THREE_MINUTES), plan(2, THREE_MINUTES));
        // The first lines of one, so that a change of the dice is seen: printed seeds have to go on meaning the same.
        let first: Vec<String> = plan(7, THREE_MINUTES).iter().take(3).map(ToString::to_string).collect();
        assert_eq!(first, include_str!("../golden/seed-7.txt").lines().collect::<Vec<_>>());
    }

    #[test]
    fn three_minutes_have_every_kind() {
        for seed in 0..200 {
            let kinds: BTreeSet<_> = plan(seed, THREE_MINUTES)
                .iter()
                .map(|timed| format!("{:?}", std::mem::discriminant(&timed.fault)))
                .collect();
            assert_eq!(kinds.len(), 11, "seed {seed}");
        }
    }

    #[test]
    fn a_host_has_one_illness_at_a_time_and_everything_ends() {
        for seed in 0..200 {
            let all = plan(seed, THREE_MINUTES);
            assert!(all.iter().all(|timed| timed.ends() <= THREE_MINUTES && timed.lasts > 0));
            for host in 0..HOSTS.len() {
                let ill: Vec<&Timed> = all.iter().filter(|timed| timed.fault.host() == Some(host)).collect();
                assert!(ill.windows(2).all(|pair| pair[0].ends() < pair[1].at), "seed {seed}");
            }
        }
    }
}
