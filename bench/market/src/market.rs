//! A market from one seed: its offers, its changes and a mix of needs.

use grange_market::{Need, OfferIndex, Trust};
use grange_types::{
    AccountId, Amount, ByteCount, Isolation, Kind, Millis, OfferDelta, On, PeerId, PriceSheet, Prices, Region,
    Resources, Time,
};

/// The one instant of the bench.
pub(crate) const NOW: Time = Time(1_800_000_000_000);

const REGIONS: usize = 40;
const NEEDS: usize = 100;

/// A market that changes, from one seed.
pub(crate) struct Market {
    size: usize,
    state: u64,
    sequence: u64,
}

impl Market {
    pub(crate) fn new(size: usize) -> Self {
        Self { size, state: 42, sequence: 1 }
    }

    /// SplitMix64, below a bound.
    fn draw(&mut self, bound: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound.max(1)
    }

    /// A price around a level: the product of three draws spreads it over a factor of twenty-seven.
    fn price(&mut self, level: u64) -> Amount {
        let spread = (0..3).fold(1_u128, |spread, _| spread * u128::from(100 + self.draw(200)));
        Amount(u128::from(level) * spread / 8)
    }

    /// An offer: its sheet, how far it is trusted, how far away it is.
    pub(crate) fn sheet(&mut self, number: usize) -> (PriceSheet, Trust, Option<Millis>) {
        let machine = 1 + self.draw(64);
        let level = [1_000, 3_000, 10_000][self.draw(3) as usize];
        let trust = if self.draw(4) == 0 { self.draw(1_001) } else { 900 + self.draw(101) };
        let distance = (self.draw(10) != 0).then(|| Millis(1 + self.draw(300)));
        let sheet = PriceSheet {
            provider: peer(number),
            operator: self.operator(number),
            display: format!("provider {number}"),
            // Fixed by the number: a provider does not move when its prices change.
            region: region(number.wrapping_mul(2_654_435_761) >> 7),
            kinds: if number.is_multiple_of(5) { vec![Kind::Site] } else { vec![Kind::Site, Kind::Wasm] },
            isolation: [Isolation::Wasm, Isolation::Wasm, Isolation::Container, Isolation::Vm][number / 7 % 4],
            prices: Prices {
                cpu_hour: self.price(level),
                memory_gib_hour: self.price(level / 4),
                disk_gib_hour: self.price(level / 100),
                request_million: self.price(level),
                egress_gib: self.price(level),
            },
            capacity: machine_of(machine),
            sequence: self.sequence,
            issued: NOW,
        };
        (sheet, Trust(trust as u16), distance)
    }

    fn operator(&self, number: usize) -> AccountId {
        peer(number % (self.size / 3).max(1)).account()
    }

    /// One offer changes: nine times in ten what is free of it, else its prices.
    pub(crate) fn change(&mut self, index: &mut OfferIndex) {
        self.sequence += 1;
        let number = self.draw(self.size as u64) as usize;
        let outcome = if self.draw(10) == 0 {
            let (sheet, trust, distance) = self.sheet(number);
            index.insert(sheet, trust, distance, NOW)
        } else {
            let free = machine_of(self.draw(64));
            let delta =
                OfferDelta { provider: peer(number), free, paused: self.draw(50) == 0, sequence: self.sequence };
            index.apply(&delta, NOW)
        };
        assert!(outcome.is_ok(), "a change was refused: {outcome:?}");
    }

    /// The mix: need `n` uses the constraints whose bits `n` has, in other strengths each time.
    pub(crate) fn needs(&mut self) -> Vec<Need> {
        (0..NEEDS).map(|number| self.need(number)).collect()
    }

    fn need(&mut self, number: usize) -> Need {
        let uses = |bit: usize| number >> bit & 1 == 1;
        let sizes = [(100, 64, 0), (250, 128, 256), (1_000, 1_024, 1_024), (16_000, 32_768, 65_536)];
        let (cpu_millis, memory, disk) = sizes[number % sizes.len()];
        let resources = Resources { cpu_millis, memory: ByteCount::mib(memory), disk: ByteCount::mib(disk) };
        let kind = if number.is_multiple_of(3) { Kind::Site } else { Kind::Wasm };
        let mut need = Need::new(self.operator(number), kind, resources);
        need.on = On::Market;
        if uses(0) {
            need.isolation = Some([Isolation::Container, Isolation::Vm][number / 2 % 2]);
        }
        if uses(1) {
            need.region = Some(if uses(5) { self.somewhere() } else { part_of_the_world() });
        }
        if uses(2) {
            need.trust_min = Some(Trust([500, 950, 995, 1_000][number / 8 % 4]));
        }
        if uses(3) {
            need.latency_max = Some(Millis([100, 20, 5, 1][number / 16 % 4]));
        }
        if uses(4) {
            // From generous down to a price that nobody asks.
            let per_processor = [100, 10, 5, 1][number / 32 % 4] * 1_000_000_000_u128;
            need.price_max = Some(Amount(per_processor * u128::from(cpu_millis) / 1_000));
        }
        if number % 10 == 9 {
            self.nearly_impossible(number / 10, &mut need);
        }
        if uses(6) {
            need.distinct_from = (0..8).map(|_| self.some_operator()).collect();
            need.exclude = (0..8).map(|_| peer(self.anyone())).collect();
        }
        need
    }

    /// One need in ten that hardly any offer or none satisfies, for another reason each: nothing prunes what it must
    /// look at, and what excluded whom must be counted.
    fn nearly_impossible(&mut self, number: usize, need: &mut Need) {
        need.region = None;
        match number % 5 {
            0 => need.resources = machine_of(65),
            1 => (need.trust_min, need.latency_max) = (Some(Trust::FULL), Some(Millis(0))),
            2 => need.price_max = Some(Amount(need.resources.cpu_millis.into())),
            3 => {
                (need.trust_min, need.latency_max) = (Some(Trust(999)), Some(Millis(1)));
                need.resources = machine_of(64);
            }
            _ => {
                need.resources = machine_of(63);
                need.price_max = Some(Amount(63 * 150_000_000));
            }
        }
    }

    fn anyone(&mut self) -> usize {
        self.draw(self.size as u64) as usize
    }

    fn some_operator(&mut self) -> AccountId {
        let number = self.anyone();
        self.operator(number)
    }

    fn somewhere(&mut self) -> Region {
        region(self.draw(REGIONS as u64) as usize)
    }
}

fn peer(number: usize) -> PeerId {
    // Spread over the whole space, as keys are.
    let mut bytes = [0; 32];
    for (place, part) in bytes.chunks_exact_mut(8).enumerate() {
        let mixed = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(place as u32 * 13);
        part.copy_from_slice(&mixed.to_be_bytes());
    }
    PeerId(bytes)
}

fn machine_of(size: u64) -> Resources {
    Resources { cpu_millis: size as u32 * 1_000, memory: ByteCount::gib(size * 2), disk: ByteCount::gib(size * 20) }
}

/// Forty regions in four parts of the world.
fn region(number: usize) -> Region {
    let number = number % REGIONS;
    let text = format!("{}-{}", ["af", "as", "eu", "us"][number % 4], number / 4);
    Region::try_from(text).unwrap_or_else(|_| part_of_the_world())
}

#[allow(clippy::expect_used, reason = "a constant")]
fn part_of_the_world() -> Region {
    Region::try_from("eu".to_owned()).expect("eu is a region")
}
