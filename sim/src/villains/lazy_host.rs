//! Sells four times what it has, and stops serving now and then while it says that it serves.

use grange_peer::{Action, Config, Peer};
use grange_types::{ByteCount, Resources};

use super::{Me, Villain};
use crate::dice::Dice;

#[derive(Default)]
pub(crate) struct LazyHost {
    resting: bool,
}

impl Villain for LazyHost {
    fn name(&self) -> &'static str {
        "lazy_host"
    }

    fn pretend(&self, config: &mut Config) {
        let Resources { cpu_millis, memory, disk } = config.capacity;
        config.capacity =
            Resources { cpu_millis: cpu_millis * 4, memory: ByteCount(memory.0 * 4), disk: ByteCount(disk.0 * 4) };
        // Who cheats is cheap.
        config.prices.cpu_hour = config.prices.cpu_hour.scaled(1, 2);
        config.prices.memory_gib_hour = config.prices.memory_gib_hour.scaled(1, 2);
    }

    fn serves(&self) -> bool {
        !self.resting
    }

    fn scheme(&mut self, _me: &Me<'_>, _peer: &Peer, dice: &mut Dice) -> Vec<Action> {
        self.resting ^= dice.chance(20);
        Vec::new()
    }
}
