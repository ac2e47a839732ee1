//! What must hold whatever happens. Nothing here shares code with what it judges, beyond reading its words.

mod chain;
mod keys;
mod money;
mod offers;
mod pay;
mod recovery;
mod slots;
mod votes;
mod writes;

use grange_consensus::Message;
use grange_ledger::{Block, Ledger};
use grange_objects::log::{LogId, Mark, Plan};
use grange_types::{ByteCount, Counters, DeploymentId, Height, LeaseId, Millis, PeerId, Receipt, Signed, Time, Wire};

use crate::coverage::Coverage;
use crate::keeping::Contents;
use crate::seed::Cast;
use writes::Copies;

/// Every check.
pub(crate) const NAMES: &[&str] = &[
    "chain",
    "clock",
    "votes",
    "validators",
    "money",
    "receipts",
    "counted",
    "delegates",
    "keys",
    "disputes",
    "slots",
    "fence",
    "offers",
    "loss",
    "debt",
    "recovery",
    "answers",
    "writes",
];

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When, in the world's time.
    pub at: Time,
    /// Which check found it.
    pub check: &'static str,
    /// What it is.
    pub what: String,
}

/// All checks of a world.
pub(crate) struct Checks {
    pub(crate) violation: Option<Violation>,
    pub(crate) made: Coverage,
    chain: chain::Chain,
    votes: votes::Votes,
    money: money::Money,
    keys: keys::Keys,
    slots: slots::Slots,
    offers: offers::Offers,
    writes: writes::Writes,
}

impl Checks {
    pub(crate) fn new(cast: &Cast) -> Self {
        Self {
            violation: None,
            made: Coverage::default(),
            chain: chain::Chain::new(cast.hosts.len()),
            votes: votes::Votes::default(),
            money: money::Money::new(cast),
            keys: keys::Keys::default(),
            slots: slots::Slots::default(),
            offers: offers::Offers::default(),
            writes: writes::Writes::default(),
        }
    }

    /// Takes down the first thing that must not be.
    pub(crate) fn found(&mut self, at: Time, check: &'static str, what: String) {
        self.violation.get_or_insert(Violation { at, check, what });
    }

    /// Takes down what a check came to.
    fn judge(&mut self, at: Time, check: &'static str, verdict: Result<(), String>) {
        self.made.count("check", check);
        if let Err(what) = verdict {
            self.found(at, check, what);
        }
    }

    /// A host has decided a block: gives a line about it, if it is the first.
    pub(crate) fn decided(
        &mut self,
        now: Time,
        height: Height,
        bytes: &[u8],
        coverage: &mut Coverage,
    ) -> Option<String> {
        let verdict = self.chain.decided(height, bytes);
        let first = verdict == Ok(true);
        self.judge(now, "chain", verdict.map(drop));
        let block = Block::decode(bytes).ok().filter(|_| first)?;
        self.judge(now, "clock", chain::timely(now, &block));
        for transaction in &block.transactions {
            coverage.count("deed", transaction.body.action.word());
        }
        self.money.moved(&block);
        self.keys.moved(&block);
        self.chain.pause(now);
        Some(chain::describe(&block))
    }

    /// An honest validator has said something.
    pub(crate) fn said(&mut self, now: Time, who: PeerId, message: &Message) {
        let verdict = self.votes.said(who, message);
        self.judge(now, "votes", verdict);
    }

    /// Somebody says a receipt that he has signed.
    pub(crate) fn signed(&mut self, now: Time, receipt: &Signed<Receipt>) {
        let verdict = self.money.signed(receipt);
        self.judge(now, "receipts", verdict);
    }

    /// A workload has truly served for so long.
    pub(crate) fn served(&mut self, lease: LeaseId, span: Millis) {
        self.money.did(lease, Counters { served: span, ..Counters::default() });
    }

    /// A workload has truly answered a request.
    pub(crate) fn answered(&mut self, lease: LeaseId, bytes: u64) {
        self.money.did(lease, Counters { served: Millis(0), requests: 1, egress: ByteCount(bytes) });
    }

    /// A workload has taken a request, which may have been a write.
    pub(crate) fn wrote(&mut self, now: Time, deployment: DeploymentId, lease: LeaseId, generation: u64, own: &Ledger) {
        let verdict = slots::may_write(deployment, lease, generation, own);
        self.judge(now, "fence", verdict);
    }

    /// A host runs these leases while its own ledger says what it says.
    pub(crate) fn runs(&mut self, now: Time, host: usize, leases: impl Iterator<Item = LeaseId>, own: &Ledger) {
        let verdict = self.slots.runs(now, host, leases, own);
        self.judge(now, "fence", verdict);
    }

    /// A writer of key-values has committed an entry.
    pub(crate) fn committed(&mut self, now: Time, log: &LogId, mark: Mark, contents: &Contents) {
        let verdict = self.writes.committed(log, mark, contents);
        self.judge(now, "writes", verdict);
    }

    /// A generation of key-values begins, while keepers have those copies.
    pub(crate) fn begins(
        &mut self,
        now: Time,
        (log, generation): (&LogId, u64),
        plan: &Plan,
        contents: &Contents,
        copies: &Copies<'_>,
    ) {
        let verdict = self.writes.begins(log, generation, plan, contents, copies);
        self.judge(now, "writes", verdict);
    }

    /// Somebody was told that his write is kept, while keepers have those copies.
    pub(crate) fn acknowledges(&mut self, now: Time, log: &LogId, generation: u64, number: u64, copies: &Copies<'_>) {
        let verdict = self.writes.acknowledges(log, generation, number, copies);
        self.judge(now, "writes", verdict);
    }

    pub(crate) fn started(&mut self, host: usize) {
        self.chain.started(host);
        self.slots.started(host);
    }

    pub(crate) fn gone(&mut self, now: Time, host: usize) {
        self.offers.gone(now, host);
    }

    pub(crate) fn asked_for_quote(&mut self, now: Time, asker: usize, asked: usize) {
        let verdict = self.offers.asked(now, asker, asked);
        self.judge(now, "offers", verdict);
    }

    /// Looks at a host's ledger, if it has moved.
    pub(crate) fn look(&mut self, now: Time, host: usize, ledger: &Ledger) {
        if !self.chain.moved(host, ledger) {
            return;
        }
        let verdict = self.chain.root(host, ledger);
        self.judge(now, "chain", verdict);
        // The newest state is looked at as a whole, by whoever comes to it first.
        if ledger.height() != self.chain.last() || !self.chain.fresh(ledger.height()) {
            return;
        }
        let verdict = self.money.conserved(ledger);
        self.judge(now, "money", verdict);
        let verdict = self.money.receipted(ledger);
        self.judge(now, "receipts", verdict);
        let verdict = self.money.within_ceilings(ledger);
        self.judge(now, "delegates", verdict);
        let verdict = money::counted(ledger);
        self.judge(now, "counted", verdict);
        if let Some(verdict) = self.keys.judge(ledger.view()) {
            self.judge(now, "keys", verdict);
        }
        if let Some(verdict) = money::disputed(ledger) {
            self.judge(now, "disputes", verdict);
        }
        let verdict = slots::single(ledger);
        self.judge(now, "slots", verdict);
    }
}
