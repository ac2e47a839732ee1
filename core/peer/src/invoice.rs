//! A bill made again from the receipts in the blocks, by somebody who takes nobody's word for it.
//!
//! # Rules
//! - Upon a block that holds: of each lease its last receipt is remembered, as it stands in the block under its payer's
//!   signature, which the audit has checked.
//! - Upon the question for a bill: every lease of the deployment must have been paid exactly what its last receipt says, and
//!   that is no more than its counters cost at the lease's prices. A lease without a receipt was paid nothing.
//! - What the ledger has forgotten (leases that ended longer ago than `retention`) is one sum, as on every bill.

use std::collections::BTreeMap;

use grange_api::Usage;
use grange_ledger::{Block, Ledger};
use grange_types::{Amount, LeaseId, Receipt};

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
    /// A lease was paid something else than its last receipt says.
    #[error("lease {} was paid {paid}, its last receipt says {amount}", .lease.short())]
    Paid {
        /// The lease.
        lease: LeaseId,
        /// What it was paid.
        paid: Amount,
        /// What its receipt says.
        amount: Amount,
    },
    /// A receipt asks for more than what it counts costs.
    #[error("the last receipt of lease {} says {amount}, what it counts costs {charge}", .lease.short())]
    Dear {
        /// The lease.
        lease: LeaseId,
        /// What the receipt says.
        amount: Amount,
        /// What its counters cost.
        charge: Amount,
    },
}

/// The last receipt of each lease, as far as the blocks were read.
#[derive(Debug, Clone, Default)]
pub(crate) struct Receipts {
    last: BTreeMap<LeaseId, Receipt>,
}

impl Receipts {
    /// Takes those of a block that `ledger` has committed.
    pub(crate) fn take(&mut self, block: &Block, ledger: &Ledger) {
        for transaction in &block.transactions {
            for receipt in transaction.body.action.receipts() {
                self.last.insert(receipt.body.lease, receipt.body.clone());
            }
        }
        if block.header.height.0.is_multiple_of(FORGET_EVERY) {
            self.last.retain(|lease, _| ledger.view().lease(*lease).is_some());
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
            let (counters, amount) = match self.last.get(&id) {
                Some(receipt) => (receipt.counters, receipt.amount),
                // What was paid before a checkpoint is the checkpoint's word.
                None if paid.is_zero() || !whole => (lease.counters, paid),
                None => return Err(InvoiceError::NoReceipt { lease: id, paid }),
            };
            receipts += u64::from(self.last.contains_key(&id));
            // What the ledger could not pay yet is not on the bill.
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

/// A bill that comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invoice {
    /// Its lines; everything on it is paid.
    pub usage: Usage,
    /// How many leases are paid by a receipt that was read.
    pub receipts: u64,
}
