//! The search: the best offers for a need, or what excluded the others.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use grange_types::{AccountId, Amount, ByteCount, Counters, Millis, On, Prices, Resources, Time};

use super::best::{Best, Candidate};
use super::block::{Filter, UNMEASURED, distance_key, each};
use super::shelf::{Label, kind_bit};
use super::{MATCHES, OfferIndex};
use crate::offer::{Constraint, Match, Need, NoOffer, Offer, Trust};

/// What a lease may be used for in an hour beyond its resources: a hundred thousand requests and one GiB sent. More
/// would set much money aside for what few apps use; who expects more says so with `price_max`.
pub const ALLOWANCE: Counters = Counters { served: Millis::HOUR, requests: 100_000, egress: ByteCount::gib(1) };

impl OfferIndex {
    /// The best `k` offers for a need (at least one, at most [`MATCHES`]), best first.
    ///
    /// With [`On::Own`] only the owner's own offers; with [`On::OwnFirst`] those before all others; with [`On::Market`]
    /// only others', except when no other operator is known at all.
    pub fn find(&self, need: &Need, k: usize, now: Time) -> Result<Vec<Match>, NoOffer> {
        let search = Search::new(self, need, now);
        let mut best = Best::new(k.clamp(1, MATCHES));
        if search.owns {
            for slot in self.slots_of(&need.owner) {
                if let Some(entry) = self.entry(slot)
                    && entry.expires > now
                    && search.reject(&entry.offer).is_none()
                {
                    best.push(Candidate::new(&entry.offer, 0, true));
                }
            }
        }
        if need.on != On::Own {
            search.rooms(&mut best);
            search.market(&mut best);
        }
        let found = best.finish();
        if found.is_empty() {
            return Err(search.explain());
        }
        Ok(found.iter().map(|candidate| search.answer(candidate)).collect())
    }

    /// The slots of an operator's offers.
    fn slots_of(&self, operator: &AccountId) -> impl Iterator<Item = u32> {
        self.operators.get(operator).into_iter().flatten().copied()
    }
}

/// One search.
struct Search<'a> {
    index: &'a OfferIndex,
    need: &'a Need,
    now: Time,
    filter: Filter,
    /// Whether the owner's own offers count.
    owns: bool,
    /// For each block the lanes that are out of the question, and for each such constraint how many.
    skip: Vec<u64>,
    skipped: [usize; Constraint::COUNT],
    /// Offers of others of whose room the asker knows better; they are judged one by one.
    known: Vec<u32>,
    /// Sheets that died and were not swept yet.
    expired: usize,
}

impl<'a> Search<'a> {
    fn new(index: &'a OfferIndex, need: &'a Need, now: Time) -> Self {
        let alone = index.operators.keys().all(|operator| *operator == need.owner);
        let filter = Filter {
            resources: need.resources,
            trust_min: need.trust_min.unwrap_or(Trust(0)),
            distance_max: need.latency_max.map_or(UNMEASURED, |most| distance_key(Some(most))),
            price_max: need.price_max.unwrap_or(Amount::MAX).0,
        };
        let mut search = Self {
            index,
            need,
            now,
            filter,
            owns: need.on != On::Market || alone,
            skip: vec![0; index.shelves.blocks().len()],
            skipped: [0; Constraint::COUNT],
            known: Vec::new(),
            expired: 0,
        };
        search.mark_all();
        search
    }

    /// Marks the offers that are judged by who they are, in the order of [`Constraint`].
    fn mark_all(&mut self) {
        for (_, slot) in self.index.deadlines.range(..=(self.now, u32::MAX)) {
            if self.index.entry(*slot).is_some_and(|entry| entry.expires <= self.now) && self.mark(*slot) {
                self.expired += 1;
            }
        }
        for slot in self.index.slots_of(&self.need.owner) {
            // Own offers are few and judged one by one; here they only leave the market.
            if self.mark(slot) && !self.owns {
                self.skipped[Constraint::Own as usize] += 1;
            }
        }
        for slot in self.need.exclude.iter().filter_map(|provider| self.index.providers.get(provider)) {
            if self.mark(*slot) {
                self.skipped[Constraint::Excluded as usize] += 1;
            }
        }
        for slot in self.need.distinct_from.iter().flat_map(|operator| self.index.slots_of(operator)) {
            if self.mark(slot) {
                self.skipped[Constraint::Operator as usize] += 1;
            }
        }
        for slot in self.need.rooms.keys().filter_map(|provider| self.index.providers.get(provider)) {
            if self.mark(*slot) {
                self.known.push(*slot);
            }
        }
    }

    /// Takes an offer out of the question; says whether it was not yet.
    fn mark(&mut self, slot: u32) -> bool {
        let place = self.index.shelves.place(slot);
        let (word, bit) = (&mut self.skip[place.block as usize], 1 << place.lane);
        let fresh = *word & bit == 0;
        *word |= bit;
        fresh
    }

    /// The first constraint that all offers of a label fail.
    fn reject_label(&self, label: &Label) -> Option<Constraint> {
        if label.kinds & kind_bit(self.need.kind) == 0 {
            Some(Constraint::Kind)
        } else if self.need.isolation.is_some_and(|least| label.isolation < least) {
            Some(Constraint::Isolation)
        } else if self.need.region.as_ref().is_some_and(|wanted| !label.region.lies_in(wanted)) {
            Some(Constraint::Region)
        } else {
            None
        }
    }

    /// What an offer has free for the asker.
    fn room<'o>(&'o self, offer: &'o Offer) -> &'o Resources {
        self.need.rooms.get(&offer.sheet.provider).unwrap_or(&offer.free)
    }

    /// The offers of others that are judged one by one, and what each costs per hour.
    fn known(&self) -> impl Iterator<Item = (&'a Offer, Amount)> {
        let offers = self.known.iter().filter_map(|slot| self.index.entry(*slot)).map(|entry| &entry.offer);
        offers.map(|offer| (offer, offer.sheet.prices.per_hour(&self.need.resources)))
    }

    /// The first constraint that one of these fails.
    fn reject_known(&self, offer: &Offer, cost: Amount) -> Option<Constraint> {
        if let Some(constraint) = self.reject_label(&Label::of(&offer.sheet)) {
            Some(constraint)
        } else if offer.trust < self.filter.trust_min {
            Some(Constraint::Trust)
        } else if distance_key(offer.distance) > self.filter.distance_max {
            Some(Constraint::Latency)
        } else if cost.0 > self.filter.price_max {
            Some(Constraint::Price)
        } else if !self.room(offer).cover(&self.filter.resources) {
            Some(Constraint::Resources)
        } else {
            offer.paused.then_some(Constraint::Paused)
        }
    }

    /// Offers those of them that fit to the best.
    fn rooms(&self, best: &mut Best<'a>) {
        for (offer, cost) in self.known() {
            if self.reject_known(offer, cost).is_none() {
                best.push(Candidate::new(offer, cost.0, false));
            }
        }
    }

    /// The first constraint that one of the owner's own offers fails.
    fn reject(&self, offer: &Offer) -> Option<Constraint> {
        let sheet = &offer.sheet;
        if self.need.exclude.contains(&sheet.provider) {
            return Some(Constraint::Excluded);
        }
        if self.need.distinct_from.contains(&sheet.operator) {
            return Some(Constraint::Operator);
        }
        if let Some(constraint) = self.reject_label(&Label::of(sheet)) {
            return Some(constraint);
        }
        // Nobody has to be told how far he may trust himself.
        if distance_key(offer.distance) > self.filter.distance_max {
            Some(Constraint::Latency)
        } else if !self.room(offer).cover(&self.filter.resources) {
            Some(Constraint::Resources)
        } else {
            offer.paused.then_some(Constraint::Paused)
        }
    }

    /// For each block the first constraint that all its offers fail by their label.
    fn verdicts(&self) -> Vec<Option<Constraint>> {
        let mut verdicts = vec![None; self.index.shelves.blocks().len()];
        for (label, shelf) in self.index.shelves.all() {
            if let Some(constraint) = self.reject_label(label) {
                shelf.blocks().for_each(|block| verdicts[block as usize] = Some(constraint));
            }
        }
        verdicts
    }

    /// Searches the offers of others, block by block from the one that can be the cheapest.
    fn market(&self, best: &mut Best<'a>) {
        let mut queue = Vec::new();
        let mut enlist = |block: u32| {
            let zone = self.index.shelves.zone(block);
            if zone.may_admit(&self.filter) {
                let floor = self.filter.cost(&zone.low.prices);
                if floor <= self.filter.price_max {
                    queue.push(Reverse((floor, block)));
                }
            }
        };
        if let Some(wanted) = &self.need.region {
            let shelves = self.index.shelves.within(wanted);
            let admitted = shelves.filter(|(label, _)| self.reject_label(label).is_none());
            admitted.for_each(|(_, shelf)| shelf.blocks().for_each(&mut enlist));
        } else {
            // In the order of memory, not of shelves: the bounds then stream through the cache.
            let verdicts = self.verdicts();
            (0_u32..).zip(&verdicts).filter(|(_, verdict)| verdict.is_none()).for_each(|(block, _)| enlist(block));
        }
        let mut queue = BinaryHeap::from(queue);
        while let Some(Reverse((floor, block))) = queue.pop() {
            if floor > best.ceiling() {
                return;
            }
            self.scan(block, best);
        }
    }

    /// Offers every fitting lane of a block to the best.
    fn scan(&self, number: u32, best: &mut Best<'a>) {
        let (blocks, zone) = (self.index.shelves.blocks(), self.index.shelves.zone(number));
        let mut lanes = zone.lanes & !zone.paused & !self.skip[number as usize];
        lanes = blocks.trusted(number, zone, &self.filter, lanes);
        lanes = blocks.near(number, zone, &self.filter, lanes);
        lanes = blocks.roomy(number, zone, &self.filter, lanes);
        for lane in each(lanes) {
            let cost = blocks.cost(number, lane, &self.filter);
            if cost > self.filter.price_max || cost > best.ceiling() {
                continue;
            }
            if let Some(entry) = self.index.entry(blocks.slot(number, lane)) {
                best.push(Candidate::new(&entry.offer, cost, false));
            }
        }
    }

    /// Counts what excluded every offer. Called when none was found.
    fn explain(&self) -> NoOffer {
        let mut counts = self.skipped;
        let considered = self.index.len() - self.expired;
        let mut judged = 0;
        for slot in self.index.slots_of(&self.need.owner).filter(|_| self.owns) {
            if let Some(entry) = self.index.entry(slot)
                && entry.expires > self.now
                && let Some(constraint) = self.reject(&entry.offer)
            {
                judged += 1;
                counts[constraint as usize] += 1;
            }
        }
        if self.need.on == On::Own {
            // Who asks only for his own does not care why another's would not do.
            for skipped in [Constraint::Excluded, Constraint::Operator] {
                counts[skipped as usize] -= self.skipped[skipped as usize];
            }
            counts[Constraint::Own as usize] = considered - judged;
        } else {
            for constraint in self.known().filter_map(|(offer, cost)| self.reject_known(offer, cost)) {
                counts[constraint as usize] += 1;
            }
            for (number, verdict) in (0..).zip(self.verdicts()) {
                self.explain_block(number, verdict, &mut counts);
            }
        }
        let excluded: BTreeMap<_, _> =
            Constraint::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0).collect();
        let Need { kind, on, price_max, trust_min, .. } = *self.need;
        let others = self.index.offers().filter(|offer| offer.sheet.operator != self.need.owner);
        let trust_best = others.map(|offer| offer.trust).max().unwrap_or_default();
        NoOffer { considered, excluded, kind, on, price_max, trust_min, trust_best }
    }

    fn explain_block(&self, number: u32, verdict: Option<Constraint>, counts: &mut [usize; Constraint::COUNT]) {
        let (blocks, zone) = (self.index.shelves.blocks(), self.index.shelves.zone(number));
        let lanes = zone.lanes & !self.skip[number as usize];
        if let Some(constraint) = verdict {
            counts[constraint as usize] += lanes.count_ones() as usize;
            return;
        }
        let mut left = lanes;
        let mut take = |constraint: Constraint, passed: u64| {
            counts[constraint as usize] += (left & !passed).count_ones() as usize;
            left = passed;
            left
        };
        let left = take(Constraint::Trust, blocks.trusted(number, zone, &self.filter, lanes));
        let left = take(Constraint::Latency, blocks.near(number, zone, &self.filter, left));
        let left = take(Constraint::Price, blocks.cheap(number, zone, &self.filter, left));
        let left = take(Constraint::Resources, blocks.roomy(number, zone, &self.filter, left));
        take(Constraint::Paused, left & !zone.paused);
    }

    /// What is told of a candidate.
    fn answer(&self, candidate: &Candidate<'_>) -> Match {
        let sheet = &candidate.offer.sheet;
        let own = candidate.is_own();
        let prices = if own { Prices::default() } else { sheet.prices };
        let per_hour = Amount(candidate.cost());
        let allowed = prices.charge(&self.need.resources, &ALLOWANCE);
        let max_rate = self.need.price_max.map_or(allowed, |most| allowed.min(most));
        Match { provider: sheet.provider, operator: sheet.operator, prices, per_hour, max_rate, own }
    }
}
