//! Offers as columns, in blocks of sixty-four, each bounded by a zone.
//!
//! A zone holds the least and the most of every column of a block, so that a block is often taken or left without reading
//! it. The same column of all blocks is one stretch of memory: who looks only at distances reads only distances. The
//! verdict of a column on the sixty-four offers of a block is one word.

use grange_types::{Amount, Millis, Prices, Resources};

use crate::offer::{Offer, Trust};

/// Offers of one block: as many as one word has bits.
pub(super) const LANES: usize = 64;

/// A distance that was never measured: farther than any that is asked for.
pub(super) const UNMEASURED: u32 = u32::MAX;

/// What of an offer is compared with a need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traits {
    /// Free thousandths of a processor.
    pub(super) cpu: u32,
    /// Free bytes of memory.
    pub(super) memory: u64,
    /// Free bytes of disk.
    pub(super) disk: u64,
    /// Trust.
    pub(super) trust: u16,
    /// Round trip in milliseconds.
    pub(super) distance: u32,
    /// Prices of processor, memory and disk.
    pub(super) prices: [u64; 3],
    /// Whether it takes no new work.
    pub(super) paused: bool,
}

impl Traits {
    /// The traits of an offer whose prices are within [`crate::offer::PRICE_LIMIT`].
    pub(super) fn of(offer: &Offer) -> Self {
        let price = |amount: Amount| u64::try_from(amount.0).unwrap_or(u64::MAX);
        let Prices { cpu_hour, memory_gib_hour, disk_gib_hour, .. } = offer.sheet.prices;
        Self {
            cpu: offer.free.cpu_millis,
            memory: offer.free.memory.0,
            disk: offer.free.disk.0,
            trust: offer.trust.0,
            distance: distance_key(offer.distance),
            prices: [price(cpu_hour), price(memory_gib_hour), price(disk_gib_hour)],
            paused: offer.paused,
        }
    }

    /// Orders offers inside a shelf: the price of one processor with one GiB of memory and one of disk.
    pub(super) fn rank(&self) -> u64 {
        self.prices.iter().fold(0, |sum, price| u64::saturating_add(sum, *price))
    }
}

/// A distance as it is kept in a column.
pub(super) fn distance_key(distance: Option<Millis>) -> u32 {
    distance.map_or(UNMEASURED, |millis| u32::try_from(millis.0).unwrap_or(UNMEASURED).min(UNMEASURED - 1))
}

/// A need as the columns are compared with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filter {
    /// What must be free.
    pub(super) resources: Resources,
    /// The least trust.
    pub(super) trust_min: Trust,
    /// The longest distance; [`UNMEASURED`] when it does not matter.
    pub(super) distance_max: u32,
    /// The highest cost per hour.
    pub(super) price_max: u128,
}

impl Filter {
    /// What the resources cost per hour at these prices: the same number as [`Prices::per_hour`].
    ///
    /// Prices are at most 10¹⁸ < 2⁶⁰, so the largest product is below 2¹²⁴ and the sum below 2⁹⁶.
    pub(super) fn cost(&self, prices: &[u64; 3]) -> u128 {
        let [cpu, memory, disk] = *prices;
        // A division of 128 bits costs as much as all the rest, and the product nearly always fits in 64.
        let cpu = match cpu.checked_mul(u64::from(self.resources.cpu_millis)) {
            Some(product) => u128::from(product / 1_000),
            None => u128::from(cpu) * u128::from(self.resources.cpu_millis) / 1_000,
        };
        let memory = (u128::from(memory) * u128::from(self.resources.memory.0)) >> 30;
        let disk = (u128::from(disk) * u128::from(self.resources.disk.0)) >> 30;
        cpu + memory + disk
    }
}

/// The least and the most of every column of a block, and how many offers it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Zone {
    /// The least of each column.
    pub(super) low: Traits,
    /// The most of each column.
    pub(super) high: Traits,
    /// The lanes that hold an offer.
    pub(super) lanes: u64,
    /// Those of them that take no new work.
    pub(super) paused: u64,
}

impl Zone {
    const EMPTY: Self = Self {
        low: Traits {
            cpu: u32::MAX,
            memory: u64::MAX,
            disk: u64::MAX,
            trust: u16::MAX,
            distance: u32::MAX,
            prices: [u64::MAX; 3],
            paused: true,
        },
        high: Traits { cpu: 0, memory: 0, disk: 0, trust: 0, distance: 0, prices: [0; 3], paused: false },
        lanes: 0,
        paused: 0,
    };

    /// Whether an offer of the block might satisfy the filter.
    pub(super) fn may_admit(&self, filter: &Filter) -> bool {
        self.lanes & !self.paused != 0
            && self.high.trust >= filter.trust_min.0
            && self.low.distance <= filter.distance_max
            && self.high.cpu >= filter.resources.cpu_millis
            && self.high.memory >= filter.resources.memory.0
            && self.high.disk >= filter.resources.disk.0
    }
}

/// One column: what each offer of each block has of one trait.
type Column<T> = Vec<[T; LANES]>;

/// All blocks, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    slots: Column<u32>,
    cpu: Column<u32>,
    memory: Column<u64>,
    disk: Column<u64>,
    trust: Column<u16>,
    distance: Column<u32>,
    prices: [Column<u64>; 3],
    paused: Vec<u64>,
    counts: Vec<usize>,
}

impl Blocks {
    /// How many blocks there are; their numbers are below this.
    pub(super) const fn len(&self) -> usize {
        self.counts.len()
    }

    /// Adds a block without offers and gives its number.
    pub(super) fn grow(&mut self) -> u32 {
        self.slots.push([0; LANES]);
        self.cpu.push([0; LANES]);
        self.memory.push([0; LANES]);
        self.disk.push([0; LANES]);
        self.trust.push([0; LANES]);
        self.distance.push([0; LANES]);
        self.prices.iter_mut().for_each(|column| column.push([0; LANES]));
        self.paused.push(0);
        self.counts.push(0);
        (self.counts.len() - 1) as u32
    }

    /// How many offers a block has; they are its first lanes.
    pub(super) fn count(&self, block: u32) -> usize {
        self.counts[block as usize]
    }

    /// The slot of the offer in a lane.
    pub(super) fn slot(&self, block: u32, lane: usize) -> u32 {
        self.slots[block as usize][lane]
    }

    /// What is compared of the offer in a lane.
    pub(super) fn traits(&self, block: u32, lane: usize) -> Traits {
        let number = block as usize;
        Traits {
            cpu: self.cpu[number][lane],
            memory: self.memory[number][lane],
            disk: self.disk[number][lane],
            trust: self.trust[number][lane],
            distance: self.distance[number][lane],
            prices: self.prices_of(block, lane),
            paused: self.paused[number] & (1 << lane) != 0,
        }
    }

    /// Writes a lane.
    pub(super) fn set(&mut self, block: u32, lane: usize, slot: u32, traits: &Traits) {
        let number = block as usize;
        self.slots[number][lane] = slot;
        self.cpu[number][lane] = traits.cpu;
        self.memory[number][lane] = traits.memory;
        self.disk[number][lane] = traits.disk;
        self.trust[number][lane] = traits.trust;
        self.distance[number][lane] = traits.distance;
        for (column, price) in self.prices.iter_mut().zip(traits.prices) {
            column[number][lane] = price;
        }
        let paused = &mut self.paused[number];
        *paused = *paused & !(1 << lane) | (u64::from(traits.paused) << lane);
    }

    /// Appends an offer and gives its lane. The block has room.
    pub(super) fn push(&mut self, block: u32, slot: u32, traits: &Traits) -> usize {
        let lane = self.count(block);
        self.set(block, lane, slot, traits);
        self.counts[block as usize] += 1;
        lane
    }

    /// Takes an offer out; the last one moves into its lane.
    pub(super) fn swap_remove(&mut self, block: u32, lane: usize) {
        let last = self.count(block) - 1;
        let (slot, traits) = (self.slot(block, last), self.traits(block, last));
        self.set(block, lane, slot, &traits);
        self.counts[block as usize] = last;
    }

    /// Takes all offers out.
    pub(super) fn take(&mut self, block: u32) -> Vec<(u32, Traits)> {
        let count = core::mem::take(&mut self.counts[block as usize]);
        (0..count).map(|lane| (self.slot(block, lane), self.traits(block, lane))).collect()
    }

    /// The bounds of a block's columns.
    pub(super) fn zone(&self, block: u32) -> Zone {
        let count = self.count(block);
        let lanes = if count >= LANES { u64::MAX } else { (1 << count) - 1 };
        let mut zone = Zone { lanes, paused: self.paused[block as usize] & lanes, ..Zone::EMPTY };
        for lane in 0..count {
            let traits = self.traits(block, lane);
            let (low, high) = (&mut zone.low, &mut zone.high);
            low.cpu = low.cpu.min(traits.cpu);
            low.memory = low.memory.min(traits.memory);
            low.disk = low.disk.min(traits.disk);
            low.trust = low.trust.min(traits.trust);
            low.distance = low.distance.min(traits.distance);
            low.paused &= traits.paused;
            high.cpu = high.cpu.max(traits.cpu);
            high.memory = high.memory.max(traits.memory);
            high.disk = high.disk.max(traits.disk);
            high.trust = high.trust.max(traits.trust);
            high.distance = high.distance.max(traits.distance);
            high.paused |= traits.paused;
            for (place, price) in traits.prices.into_iter().enumerate() {
                low.prices[place] = low.prices[place].min(price);
                high.prices[place] = high.prices[place].max(price);
            }
        }
        zone
    }

    /// Those of `lanes` that are trusted enough.
    pub(super) fn trusted(&self, block: u32, zone: &Zone, filter: &Filter, lanes: u64) -> u64 {
        narrow(&self.trust[block as usize], (zone.low.trust, zone.high.trust), lanes, |trust| {
            trust >= filter.trust_min.0
        })
    }

    /// Those of `lanes` that are near enough.
    pub(super) fn near(&self, block: u32, zone: &Zone, filter: &Filter, lanes: u64) -> u64 {
        narrow(&self.distance[block as usize], (zone.low.distance, zone.high.distance), lanes, |far| {
            far <= filter.distance_max
        })
    }

    /// Those of `lanes` that are cheap enough.
    pub(super) fn cheap(&self, block: u32, zone: &Zone, filter: &Filter, lanes: u64) -> u64 {
        let most = filter.price_max;
        if lanes == 0 || filter.cost(&zone.high.prices) <= most {
            lanes
        } else if filter.cost(&zone.low.prices) > most {
            0
        } else {
            keep(lanes, |lane| self.cost(block, lane, filter) <= most)
        }
    }

    /// Those of `lanes` with enough free.
    pub(super) fn roomy(&self, block: u32, zone: &Zone, filter: &Filter, mut lanes: u64) -> u64 {
        let (low, high, wanted, number) = (&zone.low, &zone.high, &filter.resources, block as usize);
        lanes = narrow(&self.cpu[number], (low.cpu, high.cpu), lanes, |free| free >= wanted.cpu_millis);
        lanes = narrow(&self.memory[number], (low.memory, high.memory), lanes, |free| free >= wanted.memory.0);
        narrow(&self.disk[number], (low.disk, high.disk), lanes, |free| free >= wanted.disk.0)
    }

    /// What the filter's resources cost per hour in a lane.
    pub(super) fn cost(&self, block: u32, lane: usize, filter: &Filter) -> u128 {
        filter.cost(&self.prices_of(block, lane))
    }

    fn prices_of(&self, block: u32, lane: usize) -> [u64; 3] {
        self.prices.each_ref().map(|column| column[block as usize][lane])
    }
}

/// Up to this many lanes are looked at one by one, which reads less of the column.
const FEW: u32 = 6;

/// Those of `lanes` on whose value the verdict is good. A verdict that is the same on the column's bounds is the same on
/// all of it, since every verdict here is a comparison with one number.
fn narrow<T: Copy>(column: &[T; LANES], bounds: (T, T), lanes: u64, verdict: impl Fn(T) -> bool) -> u64 {
    match (verdict(bounds.0), verdict(bounds.1)) {
        _ if lanes == 0 => 0,
        (true, true) => lanes,
        (false, false) => 0,
        _ if lanes.count_ones() <= FEW => keep(lanes, |lane| verdict(column[lane])),
        _ => lanes & word(column, verdict),
    }
}

/// The verdict on a whole column as one word. Two plain loops, so that the compiler makes each a few wide steps.
fn word<T: Copy>(column: &[T; LANES], verdict: impl Fn(T) -> bool) -> u64 {
    let mut verdicts = [0_u8; LANES];
    for (out, value) in verdicts.iter_mut().zip(column) {
        *out = u8::from(verdict(*value));
    }
    let mut word = 0;
    for (place, eight) in verdicts.as_chunks::<8>().0.iter().enumerate() {
        // Eight bytes of 0 or 1 become eight bits: the product moves byte i's bit to place 56 + i.
        let bits = u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56;
        word |= bits << (place * 8);
    }
    word
}

/// Those of `lanes` for which `verdict` holds.
fn keep(lanes: u64, verdict: impl Fn(usize) -> bool) -> u64 {
    each(lanes).filter(|lane| verdict(*lane)).fold(0, |kept, lane| kept | (1 << lane))
}

/// The numbers of the set bits, ascending.
pub(super) fn each(mut lanes: u64) -> impl Iterator<Item = usize> {
    core::iter::from_fn(move || {
        let lane = lanes.trailing_zeros() as usize;
        lanes &= lanes.wrapping_sub(1);
        (lane < LANES).then_some(lane)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::ByteCount;

    #[test]
    fn a_verdict_is_one_bit_per_lane() {
        let column: [u16; LANES] = core::array::from_fn(|lane| lane as u16);
        assert_eq!(word(&column, |value| value == 0), 1);
        assert_eq!(word(&column, |value| value == 63), 1 << 63);
        assert_eq!(word(&column, |value| value % 2 == 1), 0xaaaa_aaaa_aaaa_aaaa);
        assert_eq!(word(&column, |_| true), u64::MAX);
        assert_eq!(each(0x8000_0000_0000_0005).collect::<Vec<_>>(), [0, 2, 63]);
    }

    #[test]
    fn the_cost_is_the_price_per_hour_to_the_last_unit() {
        let largest = 1_000_000_000_000_000_000;
        for cpu_millis in [0, 1, 250, 999, u32::MAX] {
            for bytes in [0, 1, 7 << 20, u64::MAX] {
                for prices in [[0, 0, 0], [1, 2, 3], [10_000_000_001, 3_000_000_007, 77], [largest; 3]] {
                    let resources = Resources { cpu_millis, memory: ByteCount(bytes), disk: ByteCount(bytes / 3) };
                    let sheet = Prices {
                        cpu_hour: Amount(prices[0].into()),
                        memory_gib_hour: Amount(prices[1].into()),
                        disk_gib_hour: Amount(prices[2].into()),
                        ..Prices::default()
                    };
                    let filter = Filter { resources, trust_min: Trust(0), distance_max: 0, price_max: 0 };
                    assert_eq!(filter.cost(&prices), sheet.per_hour(&resources).0, "{resources:?} {prices:?}");
                }
            }
        }
    }
}
