//! Where offers lie: one shelf for all of equal region, kinds and isolation, blocks on it from cheap to dear.
//!
//! A change of availability rewrites one lane and its zone. A change of price moves one offer between two blocks; a full
//! block is cut in two, a sparse one is poured into its neighbour. Nothing is ever sorted as a whole.

use std::collections::BTreeMap;

use grange_types::{Isolation, Kind, PriceSheet, Region};

use super::block::{Blocks, LANES, Traits, Zone};

/// A block with fewer offers than this is poured into a neighbour that has room.
const SPARSE: usize = LANES / 4;

/// What all offers of one shelf have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label {
    /// Where they stand. First, because a search asks for a region and those below it.
    pub(super) region: Region,
    /// The kinds they run, one bit each.
    pub(super) kinds: u8,
    /// The strongest isolation they give.
    pub(super) isolation: Isolation,
}

impl Label {
    /// The label of a sheet.
    pub(super) fn of(sheet: &PriceSheet) -> Self {
        Self {
            region: sheet.region.clone(),
            kinds: sheet.kinds.iter().fold(0, |kinds, kind| kinds | kind_bit(*kind)),
            isolation: sheet.isolation,
        }
    }
}

/// The bit of a kind in [`Label::kinds`].
pub(super) const fn kind_bit(kind: Kind) -> u8 {
    match kind {
        Kind::Site => 1,
        Kind::Wasm => 2,
    }
}

/// Where an offer lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Place {
    /// The block.
    pub(super) block: u32,
    /// The lane in it.
    pub(super) lane: u8,
}

/// The blocks of one label.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// For each block the rank from which it takes offers, ascending, and its number.
    blocks: Vec<(u64, u32)>,
    /// How many offers lie on it.
    pub(super) count: usize,
}

impl Shelf {
    /// The numbers of its blocks.
    pub(super) fn blocks(&self) -> impl Iterator<Item = u32> {
        self.blocks.iter().map(|(_, block)| *block)
    }

    /// Which of its blocks takes offers of this rank.
    fn position(&self, rank: u64) -> usize {
        self.blocks.partition_point(|(from, _)| *from <= rank).saturating_sub(1)
    }
}

/// All shelves, and the place of every offer by its slot.
#[derive(Debug, Default)]
pub(super) struct Shelves {
    shelves: BTreeMap<Label, Shelf>,
    blocks: Blocks,
    zones: Vec<Zone>,
    spare: Vec<u32>,
    places: Vec<Place>,
}

impl Shelves {
    /// The blocks on all shelves, spare ones included.
    pub(super) const fn blocks(&self) -> &Blocks {
        &self.blocks
    }

    /// The bounds of a block.
    pub(super) fn zone(&self, block: u32) -> &Zone {
        &self.zones[block as usize]
    }

    /// Where the offer of a slot lies.
    pub(super) fn place(&self, slot: u32) -> Place {
        self.places[slot as usize]
    }

    /// All shelves with their labels.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Label, &Shelf)> {
        self.shelves.iter()
    }

    /// The shelves in a region and below it: a contiguous stretch, since `-` sorts before letters and digits.
    pub(super) fn within<'a>(&'a self, wanted: &'a Region) -> impl Iterator<Item = (&'a Label, &'a Shelf)> {
        let first = Label { region: wanted.clone(), kinds: 0, isolation: Isolation::Wasm };
        self.shelves.range(first..).take_while(|(label, _)| label.region.lies_in(wanted))
    }

    /// Lays an offer on its shelf.
    pub(super) fn insert(&mut self, slot: u32, label: Label, traits: &Traits) {
        if self.places.len() <= slot as usize {
            self.places.resize(slot as usize + 1, Place::default());
        }
        let rank = traits.rank();
        if !self.shelves.contains_key(&label) {
            let block = self.fresh_block();
            self.shelves.insert(label.clone(), Shelf { blocks: vec![(0, block)], count: 0 });
        }
        let Some(shelf) = self.shelves.get_mut(&label) else { return };
        shelf.count += 1;
        let position = shelf.position(rank);
        let block = shelf.blocks[position].1;
        if self.blocks.count(block) == LANES {
            self.cut(&label, position);
        }
        let Some(shelf) = self.shelves.get(&label) else { return };
        let block = shelf.blocks[shelf.position(rank)].1;
        let lane = self.blocks.push(block, slot, traits);
        self.settle(block, lane);
        self.measure(block);
    }

    /// Rewrites what is compared of an offer; its prices are as they were.
    pub(super) fn update(&mut self, slot: u32, traits: &Traits) {
        let Place { block, lane } = self.place(slot);
        self.blocks.set(block, lane.into(), slot, traits);
        self.measure(block);
    }

    /// Takes an offer off its shelf.
    pub(super) fn remove(&mut self, slot: u32, label: &Label) {
        let Place { block, lane } = self.place(slot);
        let rank = self.blocks.traits(block, lane.into()).rank();
        self.blocks.swap_remove(block, lane.into());
        if usize::from(lane) < self.blocks.count(block) {
            self.settle(block, lane.into());
        }
        self.measure(block);
        let Some(shelf) = self.shelves.get_mut(label) else { return };
        shelf.count -= 1;
        if shelf.count == 0 {
            let emptied: Vec<u32> = shelf.blocks().collect();
            self.spare.extend(emptied);
            self.shelves.remove(label);
        } else if self.blocks.count(block) < SPARSE {
            // Blocks of one rank may follow each other; the one meant is this or one before it.
            let last = shelf.position(rank);
            let position = shelf.blocks[..=last].iter().rposition(|(_, number)| *number == block);
            self.pour(label, position.unwrap_or(last));
        }
    }

    /// Notes where the offer in a lane lies.
    fn settle(&mut self, block: u32, lane: usize) {
        let slot = self.blocks.slot(block, lane);
        self.places[slot as usize] = Place { block, lane: lane as u8 };
    }

    /// Brings the bounds of a block up to date.
    fn measure(&mut self, block: u32) {
        self.zones[block as usize] = self.blocks.zone(block);
    }

    /// The number of a block without offers.
    fn fresh_block(&mut self) -> u32 {
        if let Some(block) = self.spare.pop() {
            return block;
        }
        let block = self.blocks.grow();
        self.zones.push(self.blocks.zone(block));
        block
    }

    /// Lays offers into a block that has room for them.
    fn fill(&mut self, block: u32, offers: &[(u32, Traits)]) {
        for (slot, traits) in offers {
            let lane = self.blocks.push(block, *slot, traits);
            self.settle(block, lane);
        }
        self.measure(block);
    }

    /// Cuts a full block at its median rank; the dearer half goes to a new block beside it.
    fn cut(&mut self, label: &Label, position: usize) {
        let fresh = self.fresh_block();
        let Some(shelf) = self.shelves.get_mut(label) else { return };
        let old = shelf.blocks[position].1;
        let mut offers = self.blocks.take(old);
        offers.sort_by_key(|(_, traits)| traits.rank());
        let (cheap, dear) = offers.split_at(offers.len() / 2);
        let median = dear.first().map_or(0, |(_, traits)| traits.rank());
        shelf.blocks.insert(position + 1, (median, fresh));
        self.fill(old, cheap);
        self.fill(fresh, dear);
    }

    /// Pours the block at a position into the one before it, or the one after it into it, when they fit in three
    /// quarters of a block: the rest keeps the next insertion from cutting it again.
    fn pour(&mut self, label: &Label, position: usize) {
        let Some(shelf) = self.shelves.get_mut(label) else { return };
        let first = position.saturating_sub(1);
        let (Some((_, into)), Some((_, from))) = (shelf.blocks.get(first), shelf.blocks.get(first + 1)) else {
            return;
        };
        let (into, from) = (*into, *from);
        if self.blocks.count(into) + self.blocks.count(from) > LANES * 3 / 4 {
            return;
        }
        shelf.blocks.remove(first + 1);
        let poured = self.blocks.take(from);
        self.fill(into, &poured);
        self.measure(from);
        self.spare.push(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label() -> Label {
        Label { region: Region::try_from("eu".to_owned()).unwrap(), kinds: 3, isolation: Isolation::Wasm }
    }

    fn traits(price: u64) -> Traits {
        Traits { cpu: 0, memory: 0, disk: 0, trust: 0, distance: 0, prices: [price, 0, 0], paused: false }
    }

    /// Every offer lies where its place says, in a block that takes its rank; zones bound; counts agree.
    fn check(shelves: &Shelves, prices: &BTreeMap<u32, u64>) {
        let mut seen = BTreeMap::new();
        for shelf in shelves.shelves.values() {
            let mut lanes = 0;
            for (position, (from, number)) in shelf.blocks.iter().enumerate() {
                let (blocks, zone) = (shelves.blocks(), shelves.zone(*number));
                let count = blocks.count(*number);
                let until = shelf.blocks.get(position + 1).map_or(u64::MAX, |(until, _)| *until);
                lanes += count;
                assert_eq!(zone.lanes.count_ones() as usize, count);
                for lane in 0..count {
                    let (slot, traits) = (blocks.slot(*number, lane), blocks.traits(*number, lane));
                    assert!((*from..=until).contains(&traits.rank()));
                    assert!(zone.low.prices[0] <= traits.prices[0] && traits.prices[0] <= zone.high.prices[0]);
                    assert_eq!(shelves.place(slot), Place { block: *number, lane: lane as u8 });
                    seen.insert(slot, traits.prices[0]);
                }
            }
            assert_eq!(lanes, shelf.count);
        }
        assert_eq!(&seen, prices);
    }

    /// Lays 3,000 offers with the prices that `price` gives, takes most of them off again, then all.
    fn fill_and_clear(price: impl Fn(u32) -> u64) {
        let (mut shelves, mut prices) = (Shelves::default(), BTreeMap::new());
        for slot in 0..3_000 {
            shelves.insert(slot, label(), &traits(price(slot)));
            prices.insert(slot, price(slot));
        }
        check(&shelves, &prices);
        let crowded = shelves.blocks().len();
        assert!((3_000 / LANES..=3_000 / (LANES / 2) + 1).contains(&crowded), "{crowded} blocks");
        for slot in (0..3_000).filter(|slot| slot % 10 != 0) {
            shelves.remove(slot, &label());
            prices.remove(&slot);
        }
        check(&shelves, &prices);
        let left = shelves.shelves[&label()].blocks.len();
        assert!(left <= 300 / SPARSE + 2, "{left} blocks for 300 offers");
        for slot in (0..3_000).filter(|slot| slot % 10 == 0) {
            shelves.remove(slot, &label());
            prices.remove(&slot);
        }
        check(&shelves, &prices);
        assert_eq!((shelves.shelves.len(), shelves.spare.len()), (0, crowded));
    }

    #[test]
    fn blocks_are_cut_and_poured_and_never_lose_an_offer() {
        fill_and_clear(u64::from);
        fill_and_clear(|slot| u64::from(3_000 - slot));
        fill_and_clear(|slot| u64::from(slot.wrapping_mul(2_654_435_761) >> 20));
        fill_and_clear(|_| 7);
    }
}
