//! Receipts: the one way in which a lease earns.
//!
//! # Rules
//! - A receipt is cumulative. A larger number replaces a smaller one; nothing it counts may shrink.
//! - It pays at most what its counters cost and at most `max_rate` for the time served in ledger time. The payer
//!   caps by the time it knows of, which is earlier, so the ledger asks for "not above" rather than "equal".
//! - It is the owner's or a delegate's word, never that of a key of the lease's own operator.
//! - It counts while the lease is open and for the claim window after its end.

use grange_types::{Amount, Plant, Receipt, Signed, is_sown};

use super::{Execution, Trial};
use crate::entry::{Lease, LeaseState};
use crate::money::Book;
use crate::rejection::{Authority, Rejection};

impl Execution<'_> {
    pub(super) fn settle(&mut self, trial: &Trial<'_>, signed: &Signed<Receipt>) -> Result<(), Rejection> {
        let receipt = &signed.body;
        self.require(trial, Authority::Act)?;
        self.advance_lease(receipt.lease)?;
        let lease = self.lease(receipt.lease)?;
        if !lease.is_priced() {
            return Err(Rejection::OwnCapacity { lease: lease.id });
        }
        if matches!(lease.state, LeaseState::Closed { .. }) {
            return Err(Rejection::ClaimsClosed { lease: lease.id });
        }
        self.open_inner(trial, "receipt", signed)?;
        self.check_receipt(lease, receipt)?;
        let (lease, deployment) = (lease.clone(), self.deployment(lease.deployment)?);
        let (owner, payer) = (deployment.owner, self.payer(deployment, &lease, signed.signer)?);
        let paid = if is_sown(Plant::ReceiptPaidTwice) { Amount::ZERO } else { lease.settled };
        let more = receipt.amount.saturating_sub(paid);
        self.charge_payer(&lease, owner, signed.signer, payer, more)?;
        self.post(Book::Escrow(lease.id), Book::Balance(lease.terms.operator), more)?;
        if let Some(lease) = self.leases.get_mut(&receipt.lease) {
            lease.settled = receipt.amount;
            lease.sequence = receipt.sequence;
            lease.counters = receipt.counters;
        }
        Ok(())
    }

    fn check_receipt(&self, lease: &Lease, receipt: &Receipt) -> Result<(), Rejection> {
        if receipt.generation != lease.generation {
            return Err(Rejection::ReceiptGeneration { theirs: receipt.generation, ours: lease.generation });
        }
        if receipt.sequence == lease.sequence {
            return Err(Rejection::AlreadySettled { lease: lease.id, sequence: receipt.sequence });
        }
        if receipt.sequence < lease.sequence {
            return Err(Rejection::ReceiptStale { theirs: receipt.sequence, ours: lease.sequence });
        }
        if !receipt.counters.extends(&lease.counters) || receipt.amount < lease.settled {
            return Err(Rejection::ReceiptBackwards);
        }
        let earned = lease.terms.prices.charge(&lease.terms.resources, &receipt.counters);
        let set_aside = lease.settled.saturating_add(lease.escrow);
        let allowed = earned.min(lease.ceiling(self.now)).min(set_aside);
        if receipt.amount > allowed {
            return Err(Rejection::ReceiptTooHigh { amount: receipt.amount, allowed });
        }
        Ok(())
    }
}
