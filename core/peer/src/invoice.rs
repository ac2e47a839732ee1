//! A bill made again from the receipts in the blocks, by somebody who takes nobody's word for it.
//!
//! # Rules
//! - Upon a block that holds: of each lease the receipt that says most is remembered, as it stands in the block under its payer's
//!   signature, which the audit has checked. After the block the lease must have been paid what the block's receipts say, or
//!   as far as it could be paid by then.
//! - Upon the question for a bill: no lease of the deployment was paid more than that receipt says, and that is no more than its
//!   counters cost at the lease's prices. A lease without a receipt was paid nothing.
//! - What the ledger has forgotten (leases that ended longer ago than `retention`) is one sum, as on every bill.

use std::collections::BTreeMap;

use grange_api::Usage;
use grange_ledger::{Action, Block, Ledger};
use grange_types::{Amount, Height, LeaseId, Receipt};

use crate::describe::{bill_rows, empty_bill};
use crate::means;

/// Blocks between two looks for receipts of leases that the ledger has forgotten.
const FORGET_EVERY: u64 = 1_000;

/// Why a bill does not come out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceError {
    /// No open deployment has this name, and none this id.
    #[error("no deployment has this name or id at this height")]
    Unknown,
    /// A lease was paid without a receipt in any block that was read.
    #[error("lease {} was paid {paid} and no block has a receipt for it", .lease.short())]
    NoReceipt {
        /// The lease.
        lease: LeaseId,
        /// What it was paid.
        paid: Amount,
    },
    /// A lease was paid more than any receipt says.
    #[error("lease {} was paid {paid}, the receipt that says most says {amount}", .lease.short())]
    Paid {
        /// The lease.
        lease: LeaseId,
        /// What it was paid.
        paid: Amount,
        /// What its receipt says.
        amount: Amount,
    },
    /// A lease was paid less than a receipt says and than it could be paid.
    #[error(
        "lease {} was paid {paid} after block {height}, a receipt in it says {amount} and {claimable} could be paid",
        .lease.short()
    )]
    Short {
        /// The lease.
        lease: LeaseId,
        /// The block.
        height: Height,
        /// What it was paid.
        paid: Amount,
        /// What its receipt says.
        amount: Amount,
        /// What it could be paid.
        claimable: Amount,
    },
    /// A receipt asks for more than what it counts costs.
    #[error("a receipt of lease {} says {amount}, what it counts costs {charge}", .lease.short())]
    Dear {
        /// The lease.
        lease: LeaseId,
        /// What the receipt says.
        amount: Amount,
        /// What its counters cost.
        charge: Amount,
    },
}

/// What is known of each lease, as far as the blocks were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receipts {
    /// The receipt that says most.
    most: BTreeMap<LeaseId, Receipt>,
    /// The first time that one was not paid as far as it could be.
    short: BTreeMap<LeaseId, InvoiceError>,
}

impl Receipts {
    /// Takes those of a block that `ledger` has committed, and `before` is what the leases were paid until then.
    pub(crate) fn take(&mut self, block: &Block, ledger: &Ledger, before: &BTreeMap<LeaseId, Amount>) {
        let actions = || block.transactions.iter().map(|transaction| &transaction.body.action);
        let mut said: BTreeMap<LeaseId, Amount> = BTreeMap::new();
        for receipt in actions().flat_map(Action::receipts) {
            let Receipt { lease, amount, .. } = receipt.body;
            let most = said.entry(lease).or_default();
            *most = amount.max(*most);
            // One that only disputes pays nothing, and nobody looks at what it counts.
            let paid = before.get(&lease).copied().unwrap_or_default();
            if amount > paid && self.most.get(&lease).is_none_or(|known| known.amount < amount) {
                self.most.insert(lease, receipt.body.clone());
            }
        }
        // A renewal sets more aside, perhaps after a receipt was paid as far as could be before it.
        for action in actions() {
            if let Action::RenewLease { lease, .. } = action {
                said.remove(lease);
            }
        }
        for (lease, amount) in said {
            if let Some(short) = falls_short(ledger, lease, amount) {
                self.short.entry(lease).or_insert(short);
            }
        }
        if block.header.height.0.is_multiple_of(FORGET_EVERY) {
            let known = |lease: &LeaseId| ledger.view().lease(*lease).is_some();
            self.most.retain(|lease, _| known(lease));
            self.short.retain(|lease, _| known(lease));
        }
    }

    /// The bill of a deployment, by its name or its id; `whole` where every block since the genesis was read.
    pub(crate) fn bill(&self, ledger: &Ledger, name: &str, whole: bool) -> Result<Invoice, InvoiceError> {
        let view = ledger.view();
        let deployment = means::exactly(ledger, name).ok_or(InvoiceError::Unknown)?;
        let mut usage = empty_bill(ledger, deployment);
        let mut receipts = 0;
        for lease in view.leases_of(deployment.id).filter(|lease| lease.is_priced()) {
            let (id, paid) = (lease.id, lease.settled);
            let (counters, amount) = match self.most.get(&id) {
                Some(receipt) => (receipt.counters, receipt.amount),
                // What was paid before a checkpoint is the checkpoint's word.
                None if paid.is_zero() || !whole => (lease.counters, paid),
                None => return Err(InvoiceError::NoReceipt { lease: id, paid }),
            };
            receipts += u64::from(self.most.contains_key(&id));
            if let Some(short) = self.short.get(&id) {
                return Err(*short);
            }
            // What the ledger could not pay is not on the bill.
            if paid > amount {
                return Err(InvoiceError::Paid { lease: id, paid, amount });
            }
            let charge = lease.terms.prices.charge(&lease.terms.resources, &counters);
            if amount > charge {
                return Err(InvoiceError::Dear { lease: id, amount, charge });
            }
            // What the highest rate did not let it pay for is on no bill.
            usage.lines.extend(bill_rows(ledger, deployment, lease, &lease.counters));
            usage.total = usage.total.saturating_add(paid);
            usage.settled = usage.settled.saturating_add(paid);
            usage.disputed = usage.disputed.saturating_add(lease.held);
        }
        Ok(Invoice { usage, receipts })
    }
}

/// What the leases that a block has receipts for have been paid by now.
pub(crate) fn paid_before(block: &Block, ledger: &Ledger) -> BTreeMap<LeaseId, Amount> {
    let view = ledger.view();
    let receipts = block.transactions.iter().flat_map(|transaction| transaction.body.action.receipts());
    receipts.filter_map(|receipt| view.lease(receipt.body.lease)).map(|lease| (lease.id, lease.settled)).collect()
}

/// Whether a lease was paid less, after a block that has a receipt over `amount`, than both that and what it could be paid.
fn falls_short(ledger: &Ledger, lease: LeaseId, amount: Amount) -> Option<InvoiceError> {
    let view = ledger.view();
    let (paid, claimable) = view.lease(lease).map(|found| (found.settled, found.claimable(view.now())))?;
    let height = ledger.height();
    (paid < amount.min(claimable)).then_some(InvoiceError::Short { lease, height, paid, amount, claimable })
}

/// A bill that comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its lines; everything on it is paid.
    pub usage: Usage,
    /// How many leases are paid by a receipt that was read.
    pub receipts: u64,
}
