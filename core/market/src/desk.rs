//! The provider's desk: what is sold, what is held for whom, and until when.
//!
//! # Rules
//! - Upon a quote request that fits: capacity is reserved until [`QUOTE_LIFE`] of block time has passed, and a quote is
//!   given. Upon the same request again: the same quote, while at least half of its life is left; else a fresh one that
//!   takes the place of the first. There is never more than one reservation for a slot.
//! - Upon a lease on the slot: the reservation becomes use. Upon its end: the use is given back.
//! - A slot holds the larger of what its lease uses and what its reservation would: replacing a lease by a newer
//!   generation on the same provider needs no second capacity.
//! - Upon a final block later than a reservation's end: the reservation is freed. Hand a block's leases to
//!   [`Desk::opened`] before its time to [`Desk::final_block`].
//! - Upon a buyer's word that he does not take a quote: its reservation is freed.
//! - An operator's own deployments pay nothing: all prices of their quotes are zero.
//! - The sum of what is held by reservations never pushes what is held above capacity.
//!
//! # Limits
//! - [`RESERVATIONS_PER_BUYER`], [`RESERVATIONS`]: a reservation costs its holder nothing, so nobody may hold many.
//! - Nobody holds more than he could pay for: what a buyer's open reservations cost an hour stays within [`Buyer::rate`].
//!   New keys cost nothing, and without money they hold nothing.
//!
//! # Left out
//! The signature on a quote; whether a deployment exists, who owns it and who may ask on its behalf: the caller asks the
//! ledger.

use std::collections::{BTreeMap, BTreeSet};

use grange_types::{
    AccountId, Amount, ByteCount, DeploymentId, Isolation, Kind, LeaseId, LeaseTerms, Millis, OfferDelta, PeerId,
    PriceSheet, Prices, Quote, Region, Resources, Time,
};

use crate::quote::{QuoteRequest, Refusal};

/// How long a quote holds capacity, in block time.
pub const QUOTE_LIFE: Millis = Millis::seconds(30);

/// Reservations that one buyer may hold open at one desk.
pub const RESERVATIONS_PER_BUYER: usize = 64;

/// Reservations that one desk holds open in all: at 0.5 KB each, 2 MB.
pub const RESERVATIONS: usize = 4_096;

/// Who asks for a quote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Buyer {
    /// The account that owns the deployment, as the ledger says.
    pub account: AccountId,
    /// The most per hour that its money pays for during the shortest lease there is.
    pub rate: Amount,
}

/// What a desk starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeskSetup {
    /// The node that sells.
    pub provider: PeerId,
    /// The account that is paid.
    pub operator: AccountId,
    /// A name for people.
    pub display: String,
    /// Where it stands.
    pub region: Region,
    /// The kinds of work it runs.
    pub kinds: Vec<Kind>,
    /// The strongest isolation it gives.
    pub isolation: Isolation,
    /// All it sells.
    pub capacity: Resources,
    /// Its prices.
    pub prices: Prices,
    /// The number of the last price sheet that was ever issued; kept by the caller across restarts.
    pub sequence: u64,
    /// Where the numbers of quotes start; one that was not used before.
    pub first_nonce: u64,
}

/// Why a lease was not taken into use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The lease is another provider's.
    #[error("lease {} is with provider {}", .lease.short(), .provider.short())]
    Foreign {
        /// The lease.
        lease: LeaseId,
        /// Its provider.
        provider: PeerId,
    },
    /// The slot's reservation is gone and what it needs is no longer free.
    #[error("lease {} finds no room: its reservation is gone", .lease.short())]
    NoRoom {
        /// The lease.
        lease: LeaseId,
    },
    /// A later generation of the slot runs here.
    #[error("lease {} has generation {generation}, the slot runs {known}", .lease.short())]
    Superseded {
        /// The lease.
        lease: LeaseId,
        /// Its generation.
        generation: u64,
        /// The generation that runs.
        known: u64,
    },
}

/// A slot of a deployment.
type Slot = (DeploymentId, u32);

/// What a slot holds.
#[derive(Debug, Clone, Default)]
struct Holding {
    running: Option<Running>,
    reserved: Option<Reserved>,
}

#[derive(Debug, Clone, Copy)]
struct Running {
    lease: LeaseId,
    generation: u64,
    resources: Resources,
}

#[derive(Debug, Clone)]
struct Reserved {
    request: QuoteRequest,
    buyer: AccountId,
    quote: Quote,
    /// How often the quote was given: an equal request gets the same one.
    given: u32,
}

/// What one buyer holds open.
#[derive(Debug, Clone, Copy, Default)]
struct Open {
    count: usize,
    rate: Amount,
}

impl Holding {
    /// The larger of use and reservation, for each resource.
    fn held(&self) -> Sum {
        let running = self.running.map(|running| running.resources).unwrap_or_default();
        let reserved = self.reserved.as_ref().map(|reserved| reserved.request.resources).unwrap_or_default();
        Sum::of(&Resources {
            cpu_millis: running.cpu_millis.max(reserved.cpu_millis),
            memory: running.memory.max(reserved.memory),
            disk: running.disk.max(reserved.disk),
        })
    }

    /// The newest generation that is reserved or runs.
    fn generation(&self) -> Option<u64> {
        let running = self.running.map(|running| running.generation);
        let reserved = self.reserved.as_ref().map(|reserved| reserved.request.generation);
        running.max(reserved)
    }
}

/// A sum of resources that cannot overflow: fewer than 2³² of them are ever added.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Sum {
    cpu: u128,
    memory: u128,
    disk: u128,
}

impl Sum {
    fn of(part: &Resources) -> Self {
        Self { cpu: part.cpu_millis.into(), memory: part.memory.0.into(), disk: part.disk.0.into() }
    }

    const fn plus(self, part: Self) -> Self {
        Self { cpu: self.cpu + part.cpu, memory: self.memory + part.memory, disk: self.disk + part.disk }
    }

    /// The part was added before.
    const fn minus(self, part: Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(part.cpu),
            memory: self.memory.saturating_sub(part.memory),
            disk: self.disk.saturating_sub(part.disk),
        }
    }

    fn fits(&self, capacity: &Resources) -> bool {
        let whole = Self::of(capacity);
        self.cpu <= whole.cpu && self.memory <= whole.memory && self.disk <= whole.disk
    }

    /// What of the capacity is left.
    fn left(&self, capacity: &Resources) -> Resources {
        let left = Self::of(capacity).minus(*self);
        Resources {
            cpu_millis: u32::try_from(left.cpu).unwrap_or(u32::MAX),
            memory: ByteCount(u64::try_from(left.memory).unwrap_or(u64::MAX)),
            disk: ByteCount(u64::try_from(left.disk).unwrap_or(u64::MAX)),
        }
    }
}

/// A provider's desk.
#[derive(Debug)]
pub struct Desk {
    setup: DeskSetup,
    paused: bool,
    nonce: u64,
    delta_sequence: u64,
    held: Sum,
    slots: BTreeMap<Slot, Holding>,
    leases: BTreeMap<LeaseId, Slot>,
    /// Open reservations by the last block time of their quotes.
    ends: BTreeSet<(Time, Slot)>,
    buyers: BTreeMap<AccountId, Open>,
}

impl Desk {
    /// A desk at which nothing is held.
    #[must_use]
    pub fn new(setup: DeskSetup) -> Self {
        Self {
            nonce: setup.first_nonce,
            setup,
            paused: false,
            delta_sequence: 0,
            held: Sum::default(),
            slots: BTreeMap::new(),
            leases: BTreeMap::new(),
            ends: BTreeSet::new(),
            buyers: BTreeMap::new(),
        }
    }

    /// Reserves what a request asks for.
    pub fn quote(&mut self, request: &QuoteRequest, buyer: Buyer, block_time: Time) -> Result<Quote, Refusal> {
        let slot = (request.deployment, request.slot);
        let holding = self.slots.get(&slot).cloned().unwrap_or_default();
        if let Some(known) = holding.generation()
            && request.generation < known
        {
            return Err(Refusal::Superseded { known });
        }
        if let Some(Reserved { request: earlier, quote, .. }) = &holding.reserved
            && earlier == request
            && quote.valid_until.since(block_time).0 >= QUOTE_LIFE.0 / 2
        {
            let quote = quote.clone();
            if let Some(reserved) = self.slots.get_mut(&slot).and_then(|holding| holding.reserved.as_mut()) {
                reserved.given = reserved.given.saturating_add(1);
            }
            return Ok(quote);
        }
        let own = buyer.account == self.setup.operator;
        self.admit(request, own, buyer, &holding)?;
        let quote = self.draw_up(request, own, block_time);
        let reserved = Reserved { request: request.clone(), buyer: buyer.account, quote: quote.clone(), given: 1 };
        let fresh = Holding { running: holding.running, reserved: Some(reserved) };
        if !self.held.minus(holding.held()).plus(fresh.held()).fits(&self.setup.capacity) {
            return Err(Refusal::Full { free: self.free() });
        }
        self.nonce = self.nonce.wrapping_add(1);
        self.replace(slot, fresh);
        Ok(quote)
    }

    /// Takes a final lease into use; whatever else ran in its slot no longer counts. Known leases change nothing.
    pub fn opened(
        &mut self,
        lease: LeaseId,
        deployment: DeploymentId,
        slot: u32,
        generation: u64,
        terms: &LeaseTerms,
    ) -> Result<(), OpenError> {
        if terms.provider != self.setup.provider {
            return Err(OpenError::Foreign { lease, provider: terms.provider });
        }
        if self.leases.contains_key(&lease) {
            return Ok(());
        }
        let slot = (deployment, slot);
        let holding = self.slots.get(&slot).cloned().unwrap_or_default();
        if let Some(Running { generation: known, .. }) = holding.running
            && generation < known
        {
            return Err(OpenError::Superseded { lease, generation, known });
        }
        let running = Some(Running { lease, generation, resources: terms.resources });
        // A reservation for a later generation stays; this lease's own is used up.
        let reserved = holding.reserved.clone().filter(|reserved| reserved.request.generation > generation);
        let fresh = Holding { running, reserved };
        let before = holding.held();
        let after = fresh.held();
        if !self.held.minus(before).plus(after).fits(&self.setup.capacity) && after.minus(before) != Sum::default() {
            return Err(OpenError::NoRoom { lease });
        }
        self.replace(slot, fresh);
        Ok(())
    }

    /// Gives back what a lease used.
    pub fn closed(&mut self, lease: &LeaseId) {
        if let Some(slot) = self.leases.get(lease).copied()
            && let Some(holding) = self.slots.get(&slot).cloned()
        {
            self.replace(slot, Holding { running: None, reserved: holding.reserved });
        }
    }

    /// Frees reservations on which no lease can be opened any more: a block of this time is final.
    pub fn final_block(&mut self, time: Time) {
        while let Some((end, slot)) = self.ends.first().copied() {
            if end >= time {
                return;
            }
            let running = self.slots.get(&slot).and_then(|holding| holding.running);
            self.replace(slot, Holding { running, reserved: None });
        }
    }

    /// Takes back one quote of this number, and says whether what it reserved is free with that: where the same quote was
    /// given to equal requests, others of the buyer may count on it yet.
    pub fn cancel(&mut self, deployment: DeploymentId, slot: u32, nonce: u64, buyer: AccountId) -> bool {
        let slot = (deployment, slot);
        let Some(holding) = self.slots.get_mut(&slot) else { return false };
        let theirs = |reserved: &&mut Reserved| reserved.buyer == buyer && reserved.quote.nonce == nonce;
        let Some(reserved) = holding.reserved.as_mut().filter(theirs) else { return false };
        reserved.given -= 1;
        if reserved.given > 0 {
            return false;
        }
        let running = holding.running;
        self.replace(slot, Holding { running, reserved: None });
        true
    }

    /// What is neither used nor reserved.
    #[must_use]
    pub fn free(&self) -> Resources {
        self.held.left(&self.setup.capacity)
    }

    /// How many reservations are open.
    #[must_use]
    pub fn reservations(&self) -> usize {
        self.ends.len()
    }

    /// What the desk sells and asks.
    #[must_use]
    pub const fn setup(&self) -> &DeskSetup {
        &self.setup
    }

    /// Whether it takes no new work.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Stops or resumes taking new work. What runs goes on, what is reserved stays reserved.
    pub const fn pause(&mut self, paused: bool) {
        self.paused = paused;
    }

    /// Earns for another operator from the next price sheet on.
    pub const fn set_operator(&mut self, operator: AccountId) {
        self.setup.operator = operator;
    }

    /// Changes the prices of later quotes. Issue a price sheet afterwards.
    pub const fn set_prices(&mut self, prices: Prices) {
        self.setup.prices = prices;
    }

    /// The next price sheet, to be signed and gossiped; its number is to be kept across restarts.
    pub fn price_sheet(&mut self, now: Time) -> PriceSheet {
        self.setup.sequence = self.setup.sequence.saturating_add(1);
        let DeskSetup { provider, operator, display, region, kinds, isolation, capacity, prices, sequence, .. } =
            self.setup.clone();
        PriceSheet { provider, operator, display, region, kinds, isolation, prices, capacity, sequence, issued: now }
    }

    /// The next word on availability. Its number follows the clock, so that it also grows over a restart.
    pub fn delta(&mut self, now: Time) -> OfferDelta {
        self.delta_sequence = self.delta_sequence.saturating_add(1).max(now.0);
        OfferDelta {
            provider: self.setup.provider,
            free: self.free(),
            paused: self.paused,
            sequence: self.delta_sequence,
        }
    }

    /// Whether the desk would take a request, room aside.
    fn admit(&self, request: &QuoteRequest, own: bool, buyer: Buyer, holding: &Holding) -> Result<(), Refusal> {
        if self.paused {
            return Err(Refusal::Paused);
        }
        if request.own && !own {
            return Err(Refusal::NotOwn);
        }
        if !self.setup.kinds.contains(&request.kind) {
            return Err(Refusal::Kind { kind: request.kind });
        }
        if request.isolation > self.setup.isolation {
            return Err(Refusal::Isolation { strongest: self.setup.isolation });
        }
        let per_hour = self.setup.prices.per_hour(&request.resources);
        if !own && request.max_rate < per_hour {
            return Err(Refusal::Rate { per_hour });
        }
        let mut open = self.buyers.get(&buyer.account).copied().unwrap_or_default();
        if let Some(reserved) = holding.reserved.as_ref().filter(|reserved| reserved.buyer == buyer.account) {
            // Its place is taken by this one.
            open.count = open.count.saturating_sub(1);
            open.rate = open.rate.saturating_sub(reserved.quote.terms.max_rate);
        }
        let full = holding.reserved.is_none() && self.reservations() >= RESERVATIONS;
        if open.count >= RESERVATIONS_PER_BUYER || full {
            return Err(Refusal::Busy { open: open.count as u32 });
        }
        let rate = open.rate.saturating_add(request.max_rate);
        if !own && rate > buyer.rate {
            return Err(Refusal::Means { rate, affords: buyer.rate });
        }
        Ok(())
    }

    fn draw_up(&self, request: &QuoteRequest, own: bool, block_time: Time) -> Quote {
        let (prices, max_rate) =
            if own { (Prices::default(), Amount::ZERO) } else { (self.setup.prices, request.max_rate) };
        let terms = LeaseTerms {
            provider: self.setup.provider,
            operator: self.setup.operator,
            kind: request.kind,
            workload: request.workload,
            resources: request.resources,
            isolation: request.isolation,
            prices,
            max_rate,
        };
        let QuoteRequest { deployment, slot, generation, .. } = *request;
        let valid_until = block_time.after(QUOTE_LIFE);
        Quote { deployment, slot, generation, terms, valid_until, nonce: self.nonce }
    }

    /// Puts a holding in the place of a slot's former one, and keeps every list in step.
    fn replace(&mut self, slot: Slot, fresh: Holding) {
        let former = self.slots.remove(&slot).unwrap_or_default();
        if let Some(reserved) = &former.reserved {
            self.ends.remove(&(reserved.quote.valid_until, slot));
            self.release(reserved);
        }
        if let Some(running) = former.running {
            self.leases.remove(&running.lease);
        }
        self.held = self.held.minus(former.held()).plus(fresh.held());
        if let Some(reserved) = &fresh.reserved {
            self.ends.insert((reserved.quote.valid_until, slot));
            let open = self.buyers.entry(reserved.buyer).or_default();
            open.count += 1;
            open.rate = open.rate.saturating_add(reserved.quote.terms.max_rate);
        }
        if let Some(running) = fresh.running {
            self.leases.insert(running.lease, slot);
        }
        if fresh.running.is_some() || fresh.reserved.is_some() {
            self.slots.insert(slot, fresh);
        }
    }

    fn release(&mut self, reserved: &Reserved) {
        if let Some(open) = self.buyers.get_mut(&reserved.buyer) {
            open.count = open.count.saturating_sub(1);
            open.rate = open.rate.saturating_sub(reserved.quote.terms.max_rate);
            if open.count == 0 {
                self.buyers.remove(&reserved.buyer);
            }
        }
    }
}
