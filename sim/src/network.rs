//! Links between hosts: latency, loss, copies, disorder, walls; and links that fall and come back.

use std::collections::BTreeSet;

use grange_types::{Millis, Time};

use crate::dice::Dice;

/// Until a link to a host that went silent is known to be gone.
pub(crate) const NOTICED: Millis = Millis(1_200);

/// Weather that every message goes through.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    /// Messages lost, in a thousand.
    pub(crate) loss: u64,
    /// Messages that arrive twice, in a thousand.
    pub(crate) twice: u64,
    /// The most that a message is late.
    pub(crate) delay: Millis,
    /// Whether messages may pass one another.
    pub(crate) disorder: bool,
}

/// A link between two hosts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Link {
    pub(crate) up: bool,
    /// Grows when the link falls or comes up; what is on its way in an old session is lost.
    pub(crate) session: u32,
    /// A look at the link is due already.
    pub(crate) watched: bool,
}

/// All links. A table each, since a thousand hosts have a million directions and most events look one up.
pub(crate) struct Network {
    hosts: usize,
    /// Of both directions, at the place of (lower, higher).
    latency: Vec<u64>,
    walls: BTreeSet<(usize, usize)>,
    /// At the place of (lower, higher).
    links: Vec<Link>,
    /// When the last message of a direction arrives, so that order is kept.
    last: Vec<Time>,
    pub(crate) weather: Weather,
}

/// The name of the link between two hosts.
pub(crate) fn pair(left: usize, right: usize) -> (usize, usize) {
    (left.min(right), left.max(right))
}

impl Network {
    /// Hosts in a few cities: some links are short, some long.
    pub(crate) fn new(hosts: usize, dice: &mut Dice) -> Self {
        let mut latency = vec![1; hosts * hosts];
        for left in 0..hosts {
            for right in left + 1..hosts {
                let far = dice.chance(300);
                latency[left * hosts + right] = if far { dice.between(20, 80) } else { dice.between(1, 10) };
            }
        }
        let links = vec![Link::default(); hosts * hosts];
        let last = vec![Time::default(); hosts * hosts];
        Self { hosts, latency, walls: BTreeSet::new(), links, last, weather: Weather::default() }
    }

    /// Where what is said of a link stands in its table.
    fn place(&self, left: usize, right: usize) -> usize {
        let (lower, higher) = pair(left, right);
        lower * self.hosts + higher
    }

    pub(crate) fn link(&self, left: usize, right: usize) -> Link {
        self.links.get(self.place(left, right)).copied().unwrap_or_default()
    }

    pub(crate) fn link_mut(&mut self, left: usize, right: usize) -> Option<&mut Link> {
        let place = self.place(left, right);
        self.links.get_mut(place)
    }

    /// Whether packets go both ways, without which no link lives.
    pub(crate) fn open(&self, left: usize, right: usize) -> bool {
        !self.walls.contains(&(left, right)) && !self.walls.contains(&(right, left))
    }

    /// Nothing goes from one host to another from now on.
    pub(crate) fn block(&mut self, from: usize, to: usize) {
        self.walls.insert((from, to));
    }

    pub(crate) fn unblock(&mut self, from: usize, to: usize) {
        self.walls.remove(&(from, to));
    }

    /// When a message arrives that leaves now, once for each copy; never if it is lost.
    pub(crate) fn send(&mut self, now: Time, from: usize, to: usize, dice: &mut Dice) -> Vec<Time> {
        let Weather { loss, twice, delay, disorder } = self.weather;
        if self.walls.contains(&(from, to)) || dice.chance(loss) {
            return Vec::new();
        }
        let base = self.latency[self.place(from, to)];
        let copies = if dice.chance(twice) { 2 } else { 1 };
        let mut arrivals = Vec::new();
        for _ in 0..copies {
            let at = now.after(Millis(base + dice.below(base / 4 + 2) + dice.below(delay.0 + 1)));
            let last = &mut self.last[from * self.hosts + to];
            let at = if disorder { at } else { at.max(*last) };
            *last = at.max(*last);
            arrivals.push(at);
        }
        arrivals
    }
}
