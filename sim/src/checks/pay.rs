//! What leases are paid: what a receipt says, or as far as the lease could be paid when it came, and nothing else.
//!
//! # Rules
//! - Whatever a lease has been paid is the amount of a receipt that somebody signed, or all that the lease could be paid at
//!   the block that paid it.
//! - After a block that has a receipt, its lease was paid that much, or all that it could be paid.
//! - A lease that is renewed in the same block is left out of both: what it could be paid before is not seen any more.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{Action as Deed, Block, Lease, Ledger};
use grange_types::{Amount, Height, LeaseId, Millis, Receipt, Signed, Time};

/// What was signed, and what was paid.
#[derive(Default)]
pub(super) struct Pay {
    signed: BTreeMap<LeaseId, BTreeSet<Amount>>,
    /// What each lease had been paid when the ledger was looked at last, and at which height.
    paid: BTreeMap<LeaseId, Amount>,
    looked: Height,
    /// The largest receipt for each lease in the newest block, and what was renewed in it.
    height: Height,
    said: BTreeMap<LeaseId, Amount>,
    renewed: BTreeSet<LeaseId>,
}

impl Pay {
    pub(super) fn signed(&mut self, receipt: &Signed<Receipt>) {
        self.signed.entry(receipt.body.lease).or_default().insert(receipt.body.amount);
    }

    /// Reads a block.
    pub(super) fn moved(&mut self, block: &Block) {
        self.height = block.header.height;
        self.said.clear();
        self.renewed.clear();
        for transaction in &block.transactions {
            let action = &transaction.body.action;
            if let Deed::RenewLease { lease, .. } = action {
                self.renewed.insert(*lease);
            }
            for Receipt { lease, amount, .. } in action.receipts().iter().map(|receipt| &receipt.body) {
                let most = self.said.entry(*lease).or_default();
                *most = (*most).max(*amount);
            }
        }
    }

    /// Looks at the ledger after the newest block.
    pub(super) fn judge(&mut self, ledger: &Ledger) -> Result<(), String> {
        let view = ledger.view();
        // Between two looks may be several blocks; how far a lease could be paid is known after the last one alone.
        let (seen, each) = (ledger.height() == self.height, ledger.height() == self.looked.next());
        for lease in view.leases().filter(|lease| !self.renewed.contains(&lease.id)) {
            let (id, paid, most) = (lease.id.short(), lease.settled, reach(lease, view.now()));
            if let Some(said) = self.said.get(&lease.id).filter(|said| seen && paid < most.min(**said)) {
                return Err(format!("lease {id} was paid {paid}, a receipt says {said}, and {most} could be paid"));
            }
            if self.paid.get(&lease.id).copied().unwrap_or_default() == paid {
                continue;
            }
            let amounts = self.signed.get(&lease.id);
            let larger = amounts.is_some_and(|amounts| amounts.range(paid..).next().is_some());
            let exactly = amounts.is_some_and(|amounts| amounts.contains(&paid));
            if !exactly && !(larger && (paid == most || !(seen && each))) {
                return Err(format!("lease {id} was paid {paid}, which no receipt says; {most} could be paid"));
            }
        }
        self.paid = view.leases().map(|lease| (lease.id, lease.settled)).collect();
        self.looked = ledger.height();
        Ok(())
    }
}

/// How far receipts of a lease can be paid at a ledger time, reckoned here anew: by what is set aside for it, by its highest
/// rate since it began, and by that rate since its last renewal but one with what was held before.
fn reach(lease: &Lease, now: Time) -> Amount {
    let stop = [lease.end, lease.ended].into_iter().flatten().fold(now, Time::min);
    let served = Millis(lease.ended.or(lease.end).map_or(now, |end| end.min(now)).since(lease.start).0);
    let rate = |span: Millis| lease.terms.max_rate.0 * u128::from(span.0) / u128::from(Millis::HOUR.0);
    let set_aside = lease.settled.0 + lease.escrow.0 + lease.held.0;
    let risen = lease.floor.amount.0 + rate(stop.since(lease.floor.time)) + lease.held.0;
    Amount(set_aside.min(risen).min(rate(served)))
}
