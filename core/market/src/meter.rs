//! The payer's meter of one lease: what was delivered, and what to sign for it.
//!
//! # Rules
//! - Served time is the time between consecutive successful probes at most [`PROBE_GAP`] apart. A failed probe ends the
//!   accrual at the last success; so does silence.
//! - Requests and bytes are what the payer's gateways counted.
//! - The provider's own report can only lower what is signed below the payer's count, when it is more than [`TOLERANCE`]
//!   below it, or raise it by [`TOLERANCE`] at most; a report above that is disputed and counts for nothing. A provider
//!   that reports a fifth too much is therefore paid what an honest one that reports nothing is paid.
//! - What it asked [`DISPUTE_AFTER`] ago and is not granted by now is written on the receipt as disputed, up to a credit window at the lease's rate: an
//!   honest provider stops before more is open. The ledger holds it until the parties agree or the claim window ends.
//! - Upon a larger receipt that the ledger has paid, or that a key without a ceiling signed for the owner: counting goes on
//!   from it. What was counted until then and what the receipt covers are the same service, so the larger counts, never the
//!   sum; and the interval under way is given up, since the receipt may cover it.
//! - What the ledger has paid is gone on from whatever its number: a smaller one may be paid after a larger one was told.
//! - What was counted here until a receipt was signed or told that the ledger has paid by now comes on top of no other one: it is
//!   paid.
//! - Upon a larger receipt of anybody else: only its number is taken, until the ledger pays it; what was counted here after it
//!   came then comes on top. What a steward signs, the ledger pays within his ceiling;
//!   whoever went on from it before that would sign it with his own name, and his own ceiling or none.
//! - What is signed is no more than the ledger pays by the last block that is known here, whatever was counted: it is payable as
//!   it is said. Where a renewal lowers that, the amount of the last receipt that is not paid goes down with it.
//! - Nothing else ever goes backwards, and served time never exceeds the time since the lease began.
//! - A lease whose prices are all zero has no receipts.
//!
//! One meter runs on the owner's node and on each steward; [`crate::signer()`] says whose receipts count now.

use std::collections::VecDeque;

use grange_types::{Amount, ByteCount, Counters, LeaseId, LeaseTerms, Millis, Prices, Receipt, Time, UsageLine};

/// Two successful probes farther apart than this do not show that the replica served in between.
pub const PROBE_GAP: Millis = Millis::seconds(3);

/// How much service a provider gives on credit, and so the most that a receipt can dispute.
pub const CREDIT_WINDOW: Millis = grange_types::limits::CREDIT_WINDOW;

/// What a provider said so long ago and is not counted by now is disputed.
pub const DISPUTE_AFTER: Millis = Millis::seconds(10);

/// How many visits a second payers make of one replica at most: the one that signs makes one, the others one in five seconds.
pub(crate) const VISITS: u64 = 2;

/// Of so many receipts that others sign and the ledger has not paid yet it is remembered when they came: of some more than are
/// signed until one is settled.
const HEARD: usize = 32;

/// How far a provider's report may exceed the payer's own count, as a fraction: one in so many.
pub const TOLERANCE: u64 = 100;

/// Why another payer's receipt was not adopted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// It is for another lease or generation.
    #[error("the receipt is for lease {} generation {generation}", .lease.short())]
    Foreign {
        /// The lease that it names.
        lease: LeaseId,
        /// The generation that it names.
        generation: u64,
    },
    /// An equal or larger one is known.
    #[error("receipt {sequence} of lease {} is not after {known}", .lease.short())]
    Stale {
        /// The lease.
        lease: LeaseId,
        /// The number of the receipt.
        sequence: u64,
        /// The largest number known.
        known: u64,
    },
    /// A number so large that it would leave no room for later receipts.
    #[error("receipt {sequence} of lease {} leaps beyond {latest}, the largest there may be by now", .lease.short())]
    Leaps {
        /// The lease.
        lease: LeaseId,
        /// The number of the receipt.
        sequence: u64,
        /// The largest that is taken.
        latest: u64,
    },
    /// It grants more than its counters cost, or than the highest rate allows.
    #[error("receipt {sequence} of lease {} says {amount}, at most {most} can be due", .lease.short())]
    Overstated {
        /// The lease.
        lease: LeaseId,
        /// The number of the receipt.
        sequence: u64,
        /// What it says.
        amount: Amount,
        /// The most that it may say.
        most: Amount,
    },
}

/// Why a receipt counts that this meter has not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The ledger has paid it.
    Paid,
    /// A key without a ceiling signed it for the owner, or this payer himself before a restart.
    Full {
        /// The most that receipts may say a moment from now, as far as this node knows.
        most: Amount,
    },
    /// A key with a ceiling signed it, and the ledger has not paid it.
    Limited,
}

/// A receipt of another payer that is not paid.
#[derive(Debug, Clone, Copy)]
struct Heard {
    at: Time,
    amount: Amount,
    /// What had been counted here by then.
    ever: Counters,
}

/// The payer's meter of one lease.
#[derive(Debug, Clone)]
pub struct Meter {
    lease: LeaseId,
    generation: u64,
    terms: LeaseTerms,
    start: Time,
    /// What another payer, or this one before a restart, had signed when counting began or went on.
    base: Counters,
    /// What was counted here since.
    counted: Counters,
    /// What was counted here in all, whatever others signed meanwhile.
    ever: Counters,
    /// The last successful probe, if no failure followed.
    last_success: Option<Time>,
    /// Until when another payer's receipt may have counted already.
    counted_until: Time,
    /// What the provider says.
    claim: Option<Counters>,
    /// What it said when a receipt was last made after [`DISPUTE_AFTER`], and at the one before: a claim is a moment ahead of
    /// what gateways and probes tell, so it is disputed only once it has aged.
    ageing: Option<(Time, Counters)>,
    aged: Option<Counters>,
    /// Receipts of others that were not paid when they were heard of, the latest last.
    heard: VecDeque<Heard>,
    /// The amounts that were signed here, or gone on from, and are not known to be paid, each with what had been counted here by
    /// then.
    signed: VecDeque<(Amount, Counters)>,
    /// The largest receipt known.
    last: Receipt,
}

impl Meter {
    /// A meter for a lease that began at `start`, going on from the largest receipt that is known.
    #[must_use]
    pub fn new(lease: LeaseId, terms: LeaseTerms, generation: u64, start: Time, base: Option<Receipt>) -> Self {
        let none = Receipt {
            lease,
            generation,
            sequence: 0,
            counters: Counters::default(),
            amount: Amount::ZERO,
            disputed: Amount::ZERO,
        };
        let last = base.filter(|base| base.lease == lease && base.generation == generation).unwrap_or(none);
        Self {
            lease,
            generation,
            terms,
            start,
            base: last.counters,
            counted: Counters::default(),
            ever: Counters::default(),
            last_success: None,
            counted_until: start,
            claim: None,
            ageing: None,
            aged: None,
            heard: VecDeque::new(),
            signed: VecDeque::new(),
            last,
        }
    }

    /// The lease.
    #[must_use]
    pub const fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Its terms.
    #[must_use]
    pub const fn terms(&self) -> &LeaseTerms {
        &self.terms
    }

    /// The lease is known to have begun by then. Who starts again has an old ledger at first, by which it began much later.
    pub fn began(&mut self, by: Time) {
        self.start = self.start.min(by);
    }

    /// A probe was answered, or not.
    pub fn probe(&mut self, now: Time, ok: bool) {
        if !ok {
            self.last_success = None;
            return;
        }
        if let Some(success) = self.last_success
            && now.since(success) <= PROBE_GAP
        {
            let span = now.since(success.max(self.counted_until)).0;
            let room = now.since(self.start).0.saturating_sub(self.own().served.0);
            let served = Counters { served: Millis(span.min(room)), ..Counters::default() };
            (self.counted, self.ever) = (self.counted.plus(&served), self.ever.plus(&served));
        }
        // A clock that steps back starts no second count of the same time.
        self.last_success = Some(self.last_success.map_or(now, |success| success.max(now)));
    }

    /// Gateways answered so many more requests with so many more bytes.
    pub const fn gateway(&mut self, requests: u64, egress: ByteCount) {
        let more = Counters { served: Millis(0), requests, egress };
        (self.counted, self.ever) = (self.counted.plus(&more), self.ever.plus(&more));
    }

    /// The provider says that it delivered so much since the lease began.
    pub const fn report(&mut self, claim: Counters) {
        self.claim = Some(claim);
    }

    /// The lease is over and the provider says no more: its last report is older than what was counted since.
    pub const fn report_lapsed(&mut self) {
        self.claim = None;
    }

    /// Whether a number that another payer told is one to go on from. Half of what a provider takes is believed, so that what
    /// we sign after it is taken by a clock behind ours.
    pub fn check_number(&self, now: Time, sequence: u64) -> Result<(), AdoptError> {
        let latest = Receipt::latest(now.since(self.start)) / 2;
        if sequence > latest {
            return Err(AdoptError::Leaps { lease: self.lease, sequence, latest });
        }
        Ok(())
    }

    /// Goes on from a larger receipt that another payer signed, or this one before a restart, as far as its word counts. The
    /// caller has opened its envelope and knows whose it is.
    pub fn adopt(&mut self, now: Time, receipt: &Receipt, word: Word) -> Result<(), AdoptError> {
        let Receipt { lease, generation, sequence, counters, amount, disputed } = *receipt;
        if lease != self.lease || generation != self.generation {
            return Err(AdoptError::Foreign { lease, generation });
        }
        if word == Word::Paid {
            self.level(amount);
        }
        let known = self.last.sequence;
        let is_news = match word {
            Word::Paid => !self.last.counters.extends(&counters) || amount > self.last.amount || sequence > known,
            // The ledger remembers of one's own last receipt only what it paid.
            Word::Full { .. } => {
                let more = !self.last.counters.extends(&counters);
                sequence > known || amount > self.last.amount || (sequence == known && more)
            }
            Word::Limited => sequence > known,
        };
        if !is_news {
            return Err(AdoptError::Stale { lease, sequence, known });
        }
        let sequence = sequence.max(known);
        match word {
            Word::Limited => {
                self.hear(now, sequence, amount);
                return Ok(());
            }
            Word::Full { most } => {
                let most = self.charge(&counters).min(most);
                if amount > most {
                    self.hear(now, sequence, amount);
                    return Err(AdoptError::Overstated { lease, sequence, amount, most });
                }
            }
            Word::Paid => {}
        }
        let since = if word == Word::Paid { self.counted_since(now, receipt) } else { Counters::default() };
        let served = Millis(counters.served.0.saturating_add(since.served.0).min(now.since(self.start).0));
        let reached = Counters { served: served.max(counters.served), ..counters.plus(&since) };
        self.go_on_from(now, &reached);
        if let Word::Full { .. } = word {
            self.remember(amount);
        }
        let counters = Counters::max(&counters, &self.last.counters);
        let amount = amount.max(self.last.amount);
        self.last = Receipt { lease, generation, sequence, counters, amount, disputed };
        Ok(())
    }

    /// Takes the number of a receipt that the ledger has not paid. If it pays it later, what is counted here from now on comes on top
    /// of that: else every hand-over would cost the provider what was served until then.
    fn hear(&mut self, now: Time, sequence: u64, amount: Amount) {
        self.last.sequence = sequence;
        // The receipt may cover the interval under way.
        let served = self.last_success.map_or(Millis(0), |success| now.since(success));
        let ever = self.ever.plus(&Counters { served, ..Counters::default() });
        if self.heard.len() >= HEARD {
            self.heard.pop_front();
        }
        self.heard.push_back(Heard { at: now, amount, ever });
    }

    /// What was counted here since a receipt was heard of that is paid now. Nothing where that was long ago or it says something
    /// else: it might have been told before there was anything to count.
    fn counted_since(&mut self, now: Time, paid: &Receipt) -> Counters {
        let same = |heard: &&Heard| heard.amount == paid.amount && now.since(heard.at) <= CREDIT_WINDOW;
        let Some(found) = self.heard.iter().rev().find(same).copied() else { return Counters::default() };
        self.comes_on_top_since(&found.ever);
        self.heard.retain(|heard| heard.amount > paid.amount);
        self.ever.minus(&found.ever)
    }

    /// Takes down an amount that stands for all that was counted here until now.
    fn remember(&mut self, amount: Amount) {
        if self.signed.len() >= HEARD {
            self.signed.pop_front();
        }
        self.signed.push_back((amount, self.ever));
    }

    /// The ledger has paid this much: what was counted until a receipt over it was made is paid.
    fn level(&mut self, paid: Amount) {
        let ever = self.signed.iter().find(|(amount, _)| *amount == paid).map(|(_, ever)| *ever);
        self.signed.retain(|(amount, _)| *amount > paid);
        if let Some(ever) = ever {
            self.comes_on_top_since(&ever);
        }
    }

    /// Of what is counted here nothing before this comes on top of what others signed.
    fn comes_on_top_since(&mut self, ever: &Counters) {
        for heard in &mut self.heard {
            heard.ever = Counters::max(&heard.ever, ever);
        }
    }

    /// Takes what another payer counted where that is more.
    fn go_on_from(&mut self, now: Time, counters: &Counters) {
        if counters.served > self.own().served {
            (self.base.served, self.counted.served) = (counters.served, Millis(0));
            self.counted_until = self.counted_until.max(now);
        }
        if counters.requests > self.own().requests {
            (self.base.requests, self.counted.requests) = (counters.requests, 0);
        }
        if counters.egress > self.own().egress {
            (self.base.egress, self.counted.egress) = (counters.egress, ByteCount(0));
        }
    }

    /// What would be signed now that receipts may say so much at most: a receipt if it says something else than the last one.
    pub fn receipt(&mut self, now: Time, most: Amount) -> Option<Receipt> {
        if self.terms.prices == Prices::default() {
            return None;
        }
        let counters = self.accepted(now);
        let amount = self.charge(&counters).max(self.last.amount).min(most);
        self.age_claim(now);
        let disputed = self.disputed_amount(most, amount);
        if counters == self.last.counters && amount == self.last.amount && disputed == self.last.disputed {
            return None;
        }
        let sequence = self.last.sequence.checked_add(1)?;
        if amount > self.last.amount {
            self.remember(amount);
        }
        self.last = Receipt { lease: self.lease, generation: self.generation, sequence, counters, amount, disputed };
        Some(self.last.clone())
    }

    /// What the provider asks beyond the granted amount, at most a credit window. Where it says no more, what it asked last
    /// stands, less what was granted since.
    fn disputed_amount(&self, most: Amount, granted: Amount) -> Amount {
        let Some(claim) = self.claim else {
            return self.last.disputed.saturating_sub(granted.saturating_sub(self.last.amount));
        };
        let Some(aged) = self.aged else { return Amount::ZERO };
        let asked = self.without_visits(&Counters::min(&claim, &aged));
        let asked = self.charge(&Counters::max(&asked, &self.last.counters)).min(most);
        asked.saturating_sub(granted).min(self.terms.cap(CREDIT_WINDOW))
    }

    /// What a provider says, less what payers' own visits may have come to: they are no different from requests to it, and are
    /// not on the bill.
    fn without_visits(&self, claim: &Counters) -> Counters {
        let visits = claim.served.0 / 1_000 * VISITS;
        let requests = claim.requests.saturating_sub(visits);
        let own = self.own();
        let part = u128::from(claim.egress.0) * u128::from(requests) / u128::from(claim.requests.max(1));
        // Pages differ in length: bytes alone are no dispute while there are not more requests than were counted.
        let egress = if requests > own.requests { u64::try_from(part).unwrap_or(u64::MAX) } else { own.egress.0 };
        Counters { served: claim.served, requests, egress: ByteCount(egress.min(claim.egress.0)) }
    }

    /// Remembers what the provider says now, to be held against what will be counted by then.
    fn age_claim(&mut self, now: Time) {
        let Some(claim) = self.claim else { return };
        match self.ageing {
            Some((at, _)) if now.since(at) < DISPUTE_AFTER => {}
            before => {
                self.aged = before.map(|(_, counters)| counters);
                self.ageing = Some((now, claim));
            }
        }
    }

    /// The largest receipt known, signed here or adopted; none before the first.
    #[must_use]
    pub fn last(&self) -> Option<&Receipt> {
        (self.last.sequence > 0).then_some(&self.last)
    }

    /// What the payer counted since the lease began.
    #[must_use]
    pub fn usage(&self) -> Counters {
        self.own()
    }

    /// The bill over what was signed so far.
    #[must_use]
    pub fn lines(&self) -> [UsageLine; 5] {
        self.terms.prices.lines(&self.terms.resources, &self.last.counters)
    }

    /// Whether the provider claims more than the payer can have missed.
    #[must_use]
    pub fn disputed(&self, now: Time) -> bool {
        self.claim.is_some_and(|claim| !self.bound(now).extends(&claim))
    }

    fn charge(&self, counters: &Counters) -> Amount {
        self.terms.prices.charge(&self.terms.resources, counters)
    }

    const fn own(&self) -> Counters {
        Counters {
            served: Millis(self.base.served.0.saturating_add(self.counted.served.0)),
            requests: self.base.requests.saturating_add(self.counted.requests),
            egress: ByteCount(self.base.egress.0.saturating_add(self.counted.egress.0)),
        }
    }

    /// The most that a report may say: the own count and the tolerance, of which only what was counted here since the
    /// last hand-over earns one. Else two payers handing over to each other would let it grow without end.
    fn bound(&self, now: Time) -> Counters {
        let (own, counted) = (self.own(), self.counted);
        let served = own.served.0.saturating_add(counted.served.0 / TOLERANCE);
        Counters {
            served: Millis(served.min(now.since(self.start).0).max(own.served.0)),
            requests: own.requests.saturating_add(counted.requests / TOLERANCE),
            egress: ByteCount(own.egress.0.saturating_add(counted.egress.0 / TOLERANCE)),
        }
    }

    /// What is accepted as delivered, never less than what was signed.
    fn accepted(&self, now: Time) -> Counters {
        let (own, bound) = (self.own(), self.bound(now));
        let accept = |own: u64, bound: u64, claim: Option<u64>| match claim {
            // A report is a second old when it is read: so little below the count it lowers nothing, or who reports
            // honestly would be paid less than who is not believed.
            Some(claim) if claim <= bound && claim >= own - own / TOLERANCE => claim.max(own),
            Some(claim) if claim <= bound => claim,
            _ => own,
        };
        let accepted = Counters {
            served: Millis(accept(own.served.0, bound.served.0, self.claim.map(|claim| claim.served.0))),
            requests: accept(own.requests, bound.requests, self.claim.map(|claim| claim.requests)),
            egress: ByteCount(accept(own.egress.0, bound.egress.0, self.claim.map(|claim| claim.egress.0))),
        };
        Counters::max(&accepted, &self.last.counters)
    }
}
