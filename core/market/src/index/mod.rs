//! The offers that a node knows, and the search for the best of them.
//!
//! # Rules
//! - One offer per provider. Upon a sheet with a larger sequence it replaces the older one, and what the last delta said
//!   stays; upon an equal or smaller one nothing changes.
//! - A sheet lives [`limits::PRICE_SHEET_LIFETIME`] from its issue. A delta lives [`DELTA_LIFETIME`]; then the offer
//!   counts as free and open again.
//! - A delta is numbered by its provider's clock. One from the future is refused: a provider whose clock was wrong once
//!   would not be heard again before that time.
//! - [`OfferIndex::expire`] carries both out; [`OfferIndex::poll_timeout`] says when. A search never returns an expired
//!   sheet, swept or not.
//! - A full index keeps the most trusted, and of these the nearest.
//! - Answers are ordered: one's own first when it is asked for, then the cheapest for the resources, the most trusted, the
//!   nearest, the smallest provider id. The best offers of distinct operators come first; only when there are fewer
//!   operators than answers wanted, further offers of the same operators follow.
//! - Where the asker knows better than the last delta what a provider has free for him, that counts ([`crate::Need::rooms`]).
//!
//! # How it is fast
//! Offers of one region, kind set and isolation lie together in blocks of 64, from cheap to dear, each block bounded by
//! the least and the most of every column. A search orders the blocks that may hold an answer by the least that an offer
//! in them can cost, and stops at the first that is dearer than the answers it has. Only when nothing was found are
//! all columns read once more, to count what excluded what.
//!
//! # Left out
//! Signatures and bonds: who calls [`OfferIndex::insert`] has opened the envelope and asked the ledger.

mod best;
mod block;
mod search;
mod shelf;

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use grange_types::{
    AccountId, Amount, Kind, Millis, OfferDelta, PeerId, Plant, PriceSheet, Prices, Resources, Time, is_sown, limits,
};

use crate::offer::{Offer, OfferError, PRICE_LIMIT, Trust};
pub use search::ALLOWANCE;

use block::{Traits, distance_key};
use shelf::{Label, Shelves};

/// How long a word on availability counts.
pub const DELTA_LIFETIME: Millis = Millis::minutes(5);

/// How far a provider's clock may be ahead.
pub const CLOCK_TOLERANCE: Millis = Millis::minutes(2);

/// The most answers of one search.
pub const MATCHES: usize = 64;

/// How many kinds of work there are.
const KINDS: usize = [Kind::Site, Kind::Wasm].len();

/// An offer and when what is known of it lapses.
#[derive(Debug)]
struct Entry {
    offer: Offer,
    /// When the sheet dies.
    expires: Time,
    /// The last delta's number, and until when it counts.
    delta: Option<(u64, Time)>,
    /// When the first of these lapses.
    deadline: Time,
}

/// From most to least deserving of a place in a full index: trust, nearness.
type Standing = (Reverse<Trust>, u32, u32);

/// A bounded index of offers.
#[derive(Debug)]
pub struct OfferIndex {
    limit: usize,
    entries: Vec<Option<Entry>>,
    vacant: Vec<u32>,
    providers: BTreeMap<PeerId, u32>,
    operators: BTreeMap<AccountId, BTreeSet<u32>>,
    deadlines: BTreeSet<(Time, u32)>,
    standings: BTreeSet<Standing>,
    shelves: Shelves,
}

impl OfferIndex {
    /// An empty index for at most `limit` offers ([`limits::OFFERS`] in a node).
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            limit: limit.min(u32::MAX as usize),
            entries: Vec::new(),
            vacant: Vec::new(),
            providers: BTreeMap::new(),
            operators: BTreeMap::new(),
            deadlines: BTreeSet::new(),
            standings: BTreeSet::new(),
            shelves: Shelves::default(),
        }
    }

    /// How many offers there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.providers.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.providers.is_empty()
    }

    /// What is known of a provider.
    #[must_use]
    pub fn get(&self, provider: &PeerId) -> Option<&Offer> {
        self.entry(*self.providers.get(provider)?).map(|entry| &entry.offer)
    }

    /// All offers, in the order of their providers' ids.
    pub fn offers(&self) -> impl Iterator<Item = &Offer> {
        self.providers.values().filter_map(|slot| self.entry(*slot)).map(|entry| &entry.offer)
    }

    /// The providers of an operator.
    #[must_use]
    pub fn providers_of(&self, operator: &AccountId) -> Vec<PeerId> {
        let slots = self.operators.get(operator).into_iter().flatten();
        slots.filter_map(|slot| self.entry(*slot)).map(|entry| entry.offer.sheet.provider).collect()
    }

    /// When [`OfferIndex::expire`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        self.deadlines.first().map(|(time, _)| *time)
    }

    /// Takes a sheet whose envelope was opened. A larger sequence replaces a smaller one.
    pub fn insert(
        &mut self,
        sheet: PriceSheet,
        trust: Trust,
        distance: Option<Millis>,
        now: Time,
    ) -> Result<(), OfferError> {
        check_sheet(&sheet, now)?;
        let provider = sheet.provider;
        let known = self.providers.get(&provider).copied();
        let mut delta = None;
        let (mut free, mut paused) = (sheet.capacity, false);
        if let Some(entry) = known.and_then(|slot| self.entry(slot)) {
            if sheet.sequence <= entry.offer.sheet.sequence {
                let (sequence, known) = (sheet.sequence, entry.offer.sheet.sequence);
                return Err(OfferError::Stale { provider, sequence, known });
            }
            delta = entry.delta;
            if entry.delta.is_some_and(|(_, until)| until > now) {
                (free, paused) = (least(&entry.offer.free, &sheet.capacity), entry.offer.paused);
            }
        } else {
            self.make_room(trust, distance)?;
        }
        self.remove(&provider);
        let expires = sheet.issued.after(limits::PRICE_SHEET_LIFETIME);
        let offer = Offer { sheet, free, paused, trust, distance, heard: now };
        self.add(Entry { offer, expires, delta, deadline: expires }, now);
        Ok(())
    }

    /// Takes a provider's word on what is free. A larger sequence replaces a smaller one.
    pub fn apply(&mut self, delta: &OfferDelta, now: Time) -> Result<(), OfferError> {
        let OfferDelta { provider, free, paused, sequence } = *delta;
        if sequence > now.after(CLOCK_TOLERANCE).0 {
            return Err(OfferError::Ahead { provider, sequence });
        }
        self.change(&provider, now, |entry| {
            if let Some((known, _)) = entry.delta
                && sequence <= known
            {
                return Err(OfferError::Stale { provider, sequence, known });
            }
            entry.delta = Some((sequence, now.after(DELTA_LIFETIME)));
            entry.offer.free = least(&free, &entry.offer.sheet.capacity);
            entry.offer.paused = paused;
            entry.offer.heard = now;
            Ok(())
        })
    }

    /// Notes what was measured of a provider since its sheet came.
    pub fn measured(
        &mut self,
        provider: &PeerId,
        trust: Trust,
        distance: Option<Millis>,
        now: Time,
    ) -> Result<(), OfferError> {
        self.change(provider, now, |entry| {
            entry.offer.trust = trust;
            entry.offer.distance = distance;
            Ok(())
        })
    }

    /// Forgets a provider.
    pub fn remove(&mut self, provider: &PeerId) -> Option<Offer> {
        let slot = self.providers.remove(provider)?;
        let entry = self.entries.get_mut(slot as usize)?.take()?;
        self.vacant.push(slot);
        self.unlist(slot, &entry);
        self.shelves.remove(slot, &Label::of(&entry.offer.sheet));
        let operator = entry.offer.sheet.operator;
        if let Some(slots) = self.operators.get_mut(&operator) {
            slots.remove(&slot);
            if slots.is_empty() {
                self.operators.remove(&operator);
            }
        }
        Some(entry.offer)
    }

    /// Forgets sheets that died and words on availability that lapsed.
    pub fn expire(&mut self, now: Time) {
        while let Some((time, slot)) = self.deadlines.first().copied() {
            if time > now || is_sown(Plant::OfferNeverExpires) {
                return;
            }
            let Some(entry) = self.entry(slot) else { return };
            let provider = entry.offer.sheet.provider;
            if entry.expires <= now {
                self.remove(&provider);
                continue;
            }
            // A word that lapsed leaves its number behind, so that an old one cannot come back.
            let _ = self.change(&provider, now, |entry| {
                entry.offer.free = entry.offer.sheet.capacity;
                entry.offer.paused = false;
                Ok(())
            });
        }
    }

    fn entry(&self, slot: u32) -> Option<&Entry> {
        self.entries.get(slot as usize)?.as_ref()
    }

    /// Changes an entry in anything but its sheet, and every list that it stands in.
    fn change(
        &mut self,
        provider: &PeerId,
        now: Time,
        change: impl FnOnce(&mut Entry) -> Result<(), OfferError>,
    ) -> Result<(), OfferError> {
        let unknown = OfferError::Unknown { provider: *provider };
        let slot = *self.providers.get(provider).ok_or(unknown)?;
        let mut entry = self.entries.get_mut(slot as usize).and_then(Option::take).ok_or(unknown)?;
        self.unlist(slot, &entry);
        let changed = change(&mut entry);
        self.list(slot, &mut entry, now);
        self.shelves.update(slot, &Traits::of(&entry.offer));
        self.entries[slot as usize] = Some(entry);
        changed
    }

    fn add(&mut self, mut entry: Entry, now: Time) {
        let slot = self.vacant.pop().unwrap_or(self.entries.len() as u32);
        if self.entries.len() <= slot as usize {
            self.entries.push(None);
        }
        self.providers.insert(entry.offer.sheet.provider, slot);
        self.operators.entry(entry.offer.sheet.operator).or_default().insert(slot);
        self.shelves.insert(slot, Label::of(&entry.offer.sheet), &Traits::of(&entry.offer));
        self.list(slot, &mut entry, now);
        self.entries[slot as usize] = Some(entry);
    }

    fn list(&mut self, slot: u32, entry: &mut Entry, now: Time) {
        entry.deadline = match entry.delta {
            Some((_, until)) if until > now => entry.expires.min(until),
            _ => entry.expires,
        };
        self.deadlines.insert((entry.deadline, slot));
        self.standings.insert(standing(&entry.offer, slot));
    }

    fn unlist(&mut self, slot: u32, entry: &Entry) {
        self.deadlines.remove(&(entry.deadline, slot));
        self.standings.remove(&standing(&entry.offer, slot));
    }

    /// In a full index, forgets the least deserving offer if the new one deserves the place more.
    fn make_room(&mut self, trust: Trust, distance: Option<Millis>) -> Result<(), OfferError> {
        if self.len() < self.limit {
            return Ok(());
        }
        let full = OfferError::Full { limit: self.limit };
        let (last_trust, last_distance, slot) = *self.standings.last().ok_or(full)?;
        if (Reverse(trust), distance_key(distance)) >= (last_trust, last_distance) {
            return Err(full);
        }
        let provider = self.entry(slot).ok_or(full)?.offer.sheet.provider;
        self.remove(&provider);
        Ok(())
    }
}

fn standing(offer: &Offer, slot: u32) -> Standing {
    (Reverse(offer.trust), distance_key(offer.distance), slot)
}

/// The smaller of each resource.
fn least(one: &Resources, other: &Resources) -> Resources {
    Resources {
        cpu_millis: one.cpu_millis.min(other.cpu_millis),
        memory: one.memory.min(other.memory),
        disk: one.disk.min(other.disk),
    }
}

fn check_sheet(sheet: &PriceSheet, now: Time) -> Result<(), OfferError> {
    let provider = sheet.provider;
    let expired = sheet.issued.after(limits::PRICE_SHEET_LIFETIME);
    if sheet.issued > now.after(CLOCK_TOLERANCE) {
        return Err(OfferError::Future { provider, issued: sheet.issued });
    }
    if expired <= now {
        return Err(OfferError::Expired { provider, expired });
    }
    if sheet.display.len() > limits::NAME_BYTES || sheet.kinds.is_empty() || sheet.kinds.len() > KINDS {
        return Err(OfferError::Malformed { provider });
    }
    let Prices { cpu_hour, memory_gib_hour, disk_gib_hour, request_million, egress_gib } = sheet.prices;
    let dearest: Option<Amount> =
        [cpu_hour, memory_gib_hour, disk_gib_hour, request_million, egress_gib].into_iter().max();
    if dearest > Some(PRICE_LIMIT) {
        return Err(OfferError::TooDear { provider });
    }
    Ok(())
}
