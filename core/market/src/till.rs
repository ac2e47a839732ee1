//! The provider's till: the best receipt of each lease, when to carry it to the ledger, and when to stop serving.
//!
//! # Rules
//! - A receipt is taken when its lease and generation are known, its number is not absurdly large ([`Receipt::latest`]) and its
//!   amount is what the terms say, up to what the ledger pays by the last block ([`Claimable`]): what is taken is payable. It
//!   replaces the last one if it says more, or the same by a larger number.
//! - One whose payer knows a later block, and which is payable within [`ELAPSED_TOLERANCE`], is put aside until it is; of several
//!   by one signer the one that is first. A renewal may make what was taken payable only later: the ledger pays it as far as it
//!   can, and that far it is acknowledged.
//! - Where all that was earned is acknowledged, nobody owes anything, and lags are counted from when a payer was last heard, or paid:
//!   what is on the bill is reckoned low, so payers that fall silent would be noticed much later.
//! - Upon [`SETTLE_THRESHOLD`] of unsettled money, upon [`SETTLE_EVERY`] with anything unsettled, or upon the end of the
//!   lease: the receipt is handed out to be settled. Unanswered, it is handed out again after [`SETTLE_EVERY`].
//! - Upon a credit window of service without a newer receipt and beyond what was acknowledged, or receipts that lag behind by more than a window and a
//!   twentieth of all service: the payer is a non-payer, and the provider stops.
//! - Upon more that was delivered and not acknowledged than a credit window costs at the highest rate, and a twentieth of all
//!   that was earned: the same, whether it is time, requests or bytes. Payers' own visits are not on the bill, and neither is
//!   what gateways of our own operator passed on. So at most that much is ever at risk.
//! - Upon a credit window of service after the ledger refused a receipt for who signed it, without anything paid since: the
//!   same. What the ledger does not pay is no pay, however often it is signed for. A receipt that is refused or has expired is
//!   forgotten, with what it granted.
//! - Upon a receipt that counts fewer requests or bytes than the last one: what lies between them, and was not paid for, was above
//!   the highest rate, and is forgiven. A payer that starts again does not know of it.
//! - Upon half a credit window's worth, and a fortieth of all that was earned, that strangers took, whom no payer pays for: they are
//!   served no more until more was earned. Everybody else is.
//! - A lease whose prices are all zero owes nothing and never stops.
//! - Served time is the provider's own count; a ledger that halts does not stop anything, since receipts need none. What the
//!   ledger pays at most follows its own time, here as where receipts are signed.
//!
//! # Left out
//! Signatures and who may sign: the caller has opened the envelope and asked the ledger for owner and delegates.

mod error;

use std::collections::BTreeMap;

use crate::meter::{CREDIT_WINDOW, VISITS};
use grange_types::{
    Amount, ByteCount, Counters, LeaseId, LeaseTerms, Millis, Plant, Prices, Receipt, Signed, Time, is_sown,
};

pub use error::ReceiptError;

/// Money that is settled at once.
pub const SETTLE_THRESHOLD: Amount = Amount::credits(1);

/// How often anything at all is settled.
pub const SETTLE_EVERY: Millis = Millis::seconds(10);

/// How far apart two views of block time may be when the amount of a receipt is checked.
pub const ELAPSED_TOLERANCE: Millis = Millis::seconds(60);

/// So many payers may have a receipt put aside: more than a deployment has.
const ASIDE: usize = 32;

/// A receipt that says more may have a number so much above the best one's, however large that is.
const ROOM: u64 = 64;

/// A receipt that expires sooner than this could die on the way to the ledger.
pub const RECEIPT_LIFE_LEFT: Millis = Millis::seconds(60);

/// What part of all service receipts may lag behind beyond the credit window: one in so many.
const LAG: u64 = 20;

/// So much of an answer may be on its way before a visit, which reads no more than its head, has broken it off: a stream's
/// window.
const VISIT_BYTES: u64 = 1 << 20;

/// What the ledger has paid of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Settled {
    /// The number of the receipt.
    pub sequence: u64,
    /// Its amount.
    pub amount: Amount,
    /// What it counted, as far as it was paid for.
    pub counters: Counters,
    /// What is held for a dispute.
    pub held: Amount,
}

/// What the ledger lets the receipts of a lease say in all, whatever they count, as far as a node has followed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claimable {
    /// The ledger time since the lease began.
    pub elapsed: Millis,
    /// By the last block.
    pub now: Amount,
    /// An [`ELAPSED_TOLERANCE`] before that: a payer may be so far behind.
    pub before: Amount,
    /// An [`ELAPSED_TOLERANCE`] after that: a payer may be so far ahead.
    pub soon: Amount,
    /// The most that a dispute holds by the last block, where nothing more is paid.
    pub holdable: Amount,
}

/// What is owed, acknowledged and settled of one lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tab {
    generation: u64,
    terms: LeaseTerms,
    best: Option<Signed<Receipt>>,
    settled: Settled,
    /// Those that are payable a moment later, of each signer one.
    early: Vec<Signed<Receipt>>,
    /// What was last handed out to be settled, and when; when the tab was opened, at first.
    asked: (Time, Amount),
    /// The provider's own count: now, when the tab was opened or nothing was owed, and when a receipt last acknowledged more
    /// service.
    delivered: Counters,
    /// That count when a payer last said anything, or the ledger paid.
    heard_at: Millis,
    opened_at: Millis,
    acknowledged_at: Millis,
    /// What was acknowledged already when the tab was opened or nothing was owed, and since: as far as it was paid for, or
    /// delivered when it was.
    known_at_open: Millis,
    acknowledged_service: Millis,
    /// What the receipts so far counted, as far as they pay for it.
    granted: Counters,
    /// What is on nobody's bill: what gateways passed on that no payer believes, and what was forgiven.
    unbilled: Counters,
    /// What strangers took of that, and whether they are served.
    strangers: Counters,
    open_to_strangers: bool,
    /// The provider's own count when the ledger first refused a receipt for who signed it; nothing was paid since.
    refused_at: Option<Millis>,
    /// What the ledger lets receipts say, once it was told.
    claimable: Option<Claimable>,
    closing: bool,
    stopped: bool,
}

impl Tab {
    /// The lease's terms.
    #[must_use]
    pub const fn terms(&self) -> &LeaseTerms {
        &self.terms
    }

    /// The best receipt; to be kept across restarts.
    #[must_use]
    pub const fn best(&self) -> Option<&Signed<Receipt>> {
        self.best.as_ref()
    }

    /// What the best receipt acknowledges as far as the ledger pays it by now, or the ledger if it has more.
    #[must_use]
    pub fn acknowledged(&self) -> Amount {
        self.best.as_ref().map_or(Amount::ZERO, |best| best.body.amount).min(self.most()).max(self.settled.amount)
    }

    /// The most that the ledger pays by now.
    fn most(&self) -> Amount {
        self.claimable.map_or(Amount(u128::MAX), |claimable| claimable.now)
    }

    /// What the ledger has paid.
    #[must_use]
    pub const fn settled(&self) -> Settled {
        self.settled
    }

    /// What is acknowledged and not paid yet.
    #[must_use]
    pub fn unsettled(&self) -> Amount {
        self.acknowledged().saturating_sub(self.settled.amount)
    }

    /// What the payer says that it disputes.
    #[must_use]
    pub fn disputed(&self) -> Amount {
        self.best.as_ref().map_or(Amount::ZERO, |best| best.body.disputed)
    }

    /// What was delivered and not acknowledged yet, at the lease's prices and as far as its highest rate goes.
    #[must_use]
    pub fn exposure(&self) -> Amount {
        self.earned().saturating_sub(self.acknowledged())
    }

    /// What the receipts so far counted, as far as they pay for it.
    #[must_use]
    pub const fn granted(&self) -> Counters {
        self.granted
    }

    /// Whether the ledger refused who signs, and has paid nothing since.
    #[must_use]
    pub const fn is_refused(&self) -> bool {
        self.refused_at.is_some()
    }

    /// What was delivered, at the lease's prices, up to what payers may sign for by now.
    fn earned(&self) -> Amount {
        self.terms.amount(&self.billable(), self.delivered.served).min(self.most())
    }

    /// Where nothing is owed, lags are counted from when a payer was last heard; what is paid ahead is no lag until it is over.
    fn clear(&mut self) {
        if self.exposure().is_zero() {
            let paid = self.acknowledged_service;
            (self.opened_at, self.known_at_open) = (self.heard_at.max(paid), paid);
            self.acknowledged_at = self.heard_at;
        }
    }

    /// The best receipt is worth nothing, nor what it granted.
    fn forget_best(&mut self) {
        self.best = None;
        self.granted = self.settled.counters;
        self.acknowledged_service = self.acknowledged_service.min(self.granted.served.max(self.known_at_open));
    }

    /// What is on the bill of what was delivered.
    fn billable(&self) -> Counters {
        let Counters { served, requests, egress } = self.delivered.minus(&self.unbilled);
        let visits = (served.0 / 1_000).saturating_mul(VISITS).min(requests);
        let page = (egress.0 / requests.max(1)).min(VISIT_BYTES);
        let egress = ByteCount(egress.0.saturating_sub(visits.saturating_mul(page)));
        Counters { served, requests: requests - visits, egress }
    }

    /// Whether strangers have not yet had what they are served for nothing.
    fn is_generous(&self) -> bool {
        let had = self.terms.prices.charge(&self.terms.resources, &self.strangers);
        had <= self.terms.cap(Millis(CREDIT_WINDOW.0 / 2)).saturating_add(self.earned().scaled(1, 2 * u128::from(LAG)))
    }

    /// Whether its payer does not pay.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// What the last receipt counted above the highest rate, and the next one no more, is never owed; as far as it was
    /// delivered at all, or who counts too much once would be forgiven for ever.
    fn forgive(&mut self, next: &Counters) {
        let Some(best) = &self.best else { return };
        let owed = self.delivered.minus(&self.unbilled);
        let kept = Counters::max(next, &self.granted);
        let Counters { requests, egress, .. } = Counters::min(&best.body.counters, &owed).minus(&kept);
        self.unbilled = self.unbilled.plus(&Counters { served: Millis(0), requests, egress });
    }

    fn is_unpaid(&self) -> bool {
        let delivered = self.delivered.served.0;
        let since_receipt = delivered.saturating_sub(self.acknowledged_at.max(self.acknowledged_service).0);
        let here = delivered.saturating_sub(self.opened_at.0);
        let acknowledged = self.acknowledged_service.0.saturating_sub(self.known_at_open.0);
        let behind = here.saturating_sub(acknowledged);
        let since_refusal = self.refused_at.filter(|_| self.is_open()).map_or(0, |at| delivered.saturating_sub(at.0));
        let tolerated = self.terms.cap(CREDIT_WINDOW).saturating_add(self.earned().scaled(1, LAG.into()));
        let free = self.terms.prices == Prices::default();
        !free
            && !is_sown(Plant::CreditUnlimited)
            && (since_receipt > CREDIT_WINDOW.0
                || behind > CREDIT_WINDOW.0 + here / LAG
                || since_refusal > CREDIT_WINDOW.0
                || (self.exposure() > tolerated && !is_sown(Plant::ExposureIgnored)))
    }

    fn is_due(&self, now: Time) -> bool {
        let (asked_at, asked) = self.asked;
        // What is on its way to the ledger is given its time before it is handed out again.
        let waiting = self.acknowledged().saturating_sub(asked.max(self.settled.amount));
        let urgent = if self.closing { !waiting.is_zero() } else { waiting >= SETTLE_THRESHOLD };
        self.is_open() && (urgent || now.since(asked_at) >= SETTLE_EVERY)
    }

    /// Whether a receipt is to be handed in: also one that grants nothing more and disputes more than the ledger holds.
    fn is_open(&self) -> bool {
        !self.unsettled().is_zero() || self.best.as_ref().is_some_and(|best| self.disputes_more(&best.body))
    }

    fn disputes_more(&self, best: &Receipt) -> bool {
        let held = best.disputed.min(self.claimable.map_or(Amount::ZERO, |claimable| claimable.holdable));
        best.sequence > self.settled.sequence && best.amount == self.settled.amount && held > self.settled.held
    }

    /// Puts a receipt aside that is payable later, unless another one of its signer is payable before it.
    fn put_aside(&mut self, receipt: Signed<Receipt>) {
        match self.early.iter_mut().find(|early| early.signer == receipt.signer) {
            Some(early) if receipt.body.amount < early.body.amount => *early = receipt,
            Some(_) => {}
            None => self.early.push(receipt),
        }
        if self.early.len() > ASIDE {
            self.early.sort_by_key(|early| early.body.amount);
            self.early.truncate(ASIDE);
        }
    }

    /// One that was put aside and is payable now.
    fn take_early(&mut self) -> Option<Signed<Receipt>> {
        let most = self.most();
        let place = self.early.iter().position(|early| early.body.amount <= most)?;
        Some(self.early.swap_remove(place))
    }

    /// Whether a receipt may replace the best one.
    fn check(&self, receipt: &Receipt, claimable: &Claimable) -> Result<(), ReceiptError> {
        let Receipt { lease, generation, sequence, counters, amount, disputed } = *receipt;
        if generation != self.generation {
            return Err(ReceiptError::WrongGeneration { lease, theirs: generation, ours: self.generation });
        }
        let known = self.best.as_ref().map_or(0, |best| best.body.sequence).max(self.settled.sequence);
        let acknowledged = self.acknowledged();
        if sequence == 0 || (sequence <= known && amount <= acknowledged) {
            return Err(ReceiptError::Stale { lease, sequence, known });
        }
        // Whoever was told the largest number there may be goes on from it, also when the ledger's clock stands still; one that
        // says nothing new does not push the numbers on.
        let news = |best: &Signed<Receipt>| counters != best.body.counters || disputed != best.body.disputed;
        let further = if self.best.as_ref().is_none_or(news) { known.saturating_add(ROOM) } else { 0 };
        let latest = Receipt::latest(claimable.elapsed).max(further);
        if sequence > latest {
            return Err(ReceiptError::Leaps { lease, sequence, latest });
        }
        if amount < acknowledged {
            return Err(ReceiptError::Backwards { lease, sequence });
        }
        // Where the cap binds, payer and provider may see blocks that differ a little.
        let charge = self.terms.prices.charge(&self.terms.resources, &counters);
        if amount > charge || amount > claimable.soon || (amount < charge && amount < claimable.before) {
            let due = charge.min(claimable.now);
            return Err(ReceiptError::WrongAmount { lease, sequence, stated: amount, due });
        }
        if amount > claimable.now {
            return Err(ReceiptError::Early { lease, sequence, stated: amount, most: claimable.now });
        }
        Ok(())
    }
}

/// A provider's till.
#[derive(Debug, Default)]
pub struct Till {
    tabs: BTreeMap<LeaseId, Tab>,
}

impl Till {
    /// An empty till.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Opens the tab of a lease that is served here. After a restart, `settled` is what the ledger has, `delivered` what
    /// the provider counted before; hand the best receipt that was kept to [`Till::accept`].
    pub fn open(
        &mut self,
        now: Time,
        lease: LeaseId,
        generation: u64,
        terms: LeaseTerms,
        settled: Settled,
        delivered: Counters,
    ) {
        self.tabs.entry(lease).or_insert_with(|| Tab {
            generation,
            terms,
            best: None,
            early: Vec::new(),
            settled,
            asked: (now, settled.amount),
            delivered,
            heard_at: delivered.served,
            opened_at: delivered.served,
            acknowledged_at: delivered.served,
            known_at_open: settled.counters.served,
            acknowledged_service: settled.counters.served,
            granted: settled.counters,
            unbilled: Counters::default(),
            strangers: Counters::default(),
            open_to_strangers: true,
            refused_at: None,
            claimable: None,
            closing: false,
            stopped: false,
        });
    }

    /// What the provider itself counted of a lease since it began.
    pub fn delivered(&mut self, lease: &LeaseId, counters: Counters) {
        if let Some(tab) = self.tabs.get_mut(lease) {
            tab.delivered = Counters::max(&tab.delivered, &counters);
        }
    }

    /// Strangers, whom no payer pays for, took so many more requests and bytes.
    pub fn taken_by_strangers(&mut self, lease: &LeaseId, requests: u64, egress: ByteCount) {
        self.unbilled(lease, requests, egress);
        if let Some(tab) = self.tabs.get_mut(lease) {
            tab.strangers = tab.strangers.plus(&Counters { served: Millis(0), requests, egress });
        }
    }

    /// A lease whose strangers are to be served again, or no more.
    pub fn poll_strangers(&mut self) -> Option<(LeaseId, bool)> {
        let (lease, tab) =
            self.tabs.iter_mut().find(|(_, tab)| !tab.closing && tab.open_to_strangers != tab.is_generous())?;
        tab.open_to_strangers = !tab.open_to_strangers;
        Some((*lease, tab.open_to_strangers))
    }

    /// A gateway of our own operator passed on so many more requests and bytes, which no payer will count.
    pub fn unbilled(&mut self, lease: &LeaseId, requests: u64, egress: ByteCount) {
        if let Some(tab) = self.tabs.get_mut(lease) {
            tab.unbilled = tab.unbilled.plus(&Counters { served: Millis(0), requests, egress });
        }
    }

    /// The ledger refuses a lease's receipt for who signed it: his word is no pay.
    pub fn refused(&mut self, lease: &LeaseId) {
        if let Some(tab) = self.tabs.get_mut(lease) {
            tab.refused_at.get_or_insert(tab.delivered.served);
            tab.forget_best();
            // The next one is handed in at once.
            tab.asked = (Time(0), tab.settled.amount);
        }
    }

    /// The ledger lets the receipts of a lease say so much by now.
    pub fn claimable(&mut self, lease: &LeaseId, claimable: Claimable) {
        if let Some(tab) = self.tabs.get_mut(lease) {
            tab.claimable = Some(claimable);
        }
    }

    /// A receipt that was put aside and is payable now, to be looked at again.
    pub fn poll_early(&mut self) -> Option<Signed<Receipt>> {
        self.tabs.values_mut().find_map(Tab::take_early)
    }

    /// Takes a receipt whose envelope was opened, or puts it aside: [`ReceiptError::Early`].
    pub fn accept(&mut self, now: Time, claimable: Claimable, receipt: Signed<Receipt>) -> Result<(), ReceiptError> {
        let Receipt { lease, sequence, .. } = receipt.body;
        let tab = self.tabs.get_mut(&lease).ok_or(ReceiptError::UnknownLease { lease })?;
        tab.claimable = Some(claimable);
        let checked = tab.check(&receipt.body, &claimable);
        if checked.as_ref().map_or_else(ReceiptError::is_a_word, |()| true) {
            tab.heard_at = tab.delivered.served;
        }
        if receipt.expires < now.after(RECEIPT_LIFE_LEFT) {
            return Err(ReceiptError::ExpiresSoon { lease, sequence, expires: receipt.expires });
        }
        if let Err(early @ ReceiptError::Early { .. }) = checked {
            tab.put_aside(receipt);
            return Err(early);
        }
        checked?;
        let Receipt { counters, amount, .. } = receipt.body;
        tab.forgive(&counters);
        tab.granted = tab.terms.paid(&tab.granted, &counters, amount);
        if counters.served > tab.acknowledged_service {
            tab.acknowledged_at = tab.delivered.served;
            let delivered = counters.served.min(tab.delivered.served);
            tab.acknowledged_service = tab.acknowledged_service.max(delivered).max(tab.granted.served);
        }
        tab.best = Some(receipt);
        tab.clear();
        tab.stopped = tab.stopped && tab.is_unpaid();
        Ok(())
    }

    /// A lease whose payer does not pay, each once until it pays again: stop serving it.
    pub fn poll_stop(&mut self) -> Option<LeaseId> {
        self.tabs.values_mut().for_each(Tab::clear);
        let (lease, tab) = self.tabs.iter_mut().find(|(_, tab)| !tab.stopped && !tab.closing && tab.is_unpaid())?;
        tab.stopped = true;
        Some(*lease)
    }

    /// The end of a lease did not come about: [`Till::poll_stop`] names it again if its payer still does not pay.
    pub fn stop_again(&mut self, lease: &LeaseId) {
        if let Some(tab) = self.tabs.get_mut(lease) {
            tab.stopped = false;
        }
    }

    /// The receipts to carry to the ledger now.
    pub fn poll_settle(&mut self, now: Time) -> Vec<Signed<Receipt>> {
        let expired = |tab: &&mut Tab| tab.best.as_ref().is_some_and(|best| best.expires <= now);
        self.tabs.values_mut().filter(expired).for_each(Tab::forget_best);
        let due = self.tabs.values_mut().filter(|tab| tab.is_due(now));
        due.filter_map(|tab| {
            let best = tab.best.clone()?;
            tab.asked = (now, best.body.amount);
            Some(best)
        })
        .collect()
    }

    /// When [`Till::poll_settle`] has something to give, if nothing else happens.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Time> {
        let owed = self.tabs.values().filter(|tab| tab.is_open());
        owed.map(|tab| tab.asked.0.after(SETTLE_EVERY)).min()
    }

    /// The ledger has paid a lease up to this.
    pub fn settled(&mut self, lease: &LeaseId, settled: Settled) {
        let newer = |tab: &&mut Tab| settled.sequence > tab.settled.sequence || settled.amount > tab.settled.amount;
        if let Some(tab) = self.tabs.get_mut(lease).filter(newer) {
            // A larger number alone is no pay.
            if settled.amount > tab.settled.amount {
                tab.refused_at = None;
                tab.heard_at = tab.delivered.served;
            }
            tab.settled = settled;
            tab.granted = Counters::max(&tab.granted, &settled.counters);
            tab.clear();
        }
    }

    /// The lease ended: what is unsettled is settled at once, and so is what its payer signs for afterwards, until
    /// [`Till::forget`].
    pub fn close(&mut self, lease: &LeaseId) {
        if let Some(tab) = self.tabs.get_mut(lease) {
            tab.closing = true;
        }
    }

    /// Nothing can be claimed on the lease any more.
    pub fn forget(&mut self, lease: &LeaseId) -> Option<Tab> {
        self.tabs.remove(lease)
    }

    /// The tab of a lease.
    #[must_use]
    pub fn tab(&self, lease: &LeaseId) -> Option<&Tab> {
        self.tabs.get(lease)
    }

    /// All tabs.
    pub fn tabs(&self) -> impl Iterator<Item = (&LeaseId, &Tab)> {
        self.tabs.iter()
    }

    /// What was delivered on a lease and not acknowledged yet.
    #[must_use]
    pub fn exposure(&self, lease: &LeaseId) -> Amount {
        self.tabs.get(lease).map_or(Amount::ZERO, Tab::exposure)
    }
}
