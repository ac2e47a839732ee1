//! Receipts: the one way in which a lease earns.
//!
//! # Rules
//! - A receipt is cumulative, and the larger amount counts, whatever the number: what one payer signed is paid whatever others
//!   hand in before it. Among receipts of the same amount a larger number decides what is disputed; one that changes
//!   nothing is refused.
//! - It says at most what its own counters cost, and is paid as far as [`Lease::claimable`] goes by then; the same receipt may be
//!   handed in again for the rest. So a renewal, or an end, takes nothing of what can be paid.
//! - What it counts beyond what it pays is not remembered: whoever signs for nothing would have others pay for it.
//! - It is the owner's or a delegate's word, never that of a key of the lease's own operator.
//! - It counts while the lease is open and for the claim window after its end.
//! - What it disputes is held, as far as it could have been earned and up to a credit window at the highest rate: out of the escrow, and out of the reach of renewals.
//!   The next receipt grants or drops it; else it returns with the claim window's end.
//! - The treasury's part is taken of all that was paid so far, so it does not matter in how many steps.
//! - Several may come in one transaction, which spares its own signature for all but one; all are paid or none.

use grange_types::{Amount, Plant, Receipt, Signed, is_sown, limits};

use super::{Execution, Trial};
use crate::entry::{Lease, LeaseState};
use crate::money::Book;
use crate::rejection::{Authority, Rejection};

impl Execution<'_> {
    pub(super) fn settle_many(&mut self, trial: &Trial<'_>, receipts: &[Signed<Receipt>]) -> Result<(), Rejection> {
        if !(1..=limits::RECEIPTS).contains(&receipts.len()) {
            return Err(Rejection::ReceiptCount { count: receipts.len() });
        }
        receipts.iter().try_for_each(|receipt| self.settle(trial, receipt))
    }

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
        let payable = self.payable(lease, receipt)?;
        let (lease, deployment) = (lease.clone(), self.deployment(lease.deployment)?);
        let (owner, payer) = (deployment.owner, self.payer(deployment, &lease, signed.signer)?);
        let paid = if is_sown(Plant::ReceiptPaidTwice) { Amount::ZERO } else { lease.settled };
        let more = payable.saturating_sub(paid);
        self.charge_payer(&lease, owner, signed.signer, payer, more)?;
        self.pay(&lease, receipt, payable, more)?;
        // What is granted of what was held takes nothing of what is earned from now on.
        let over = payable.saturating_sub(lease.ceiling(self.now));
        if let Some(lease) = self.leases.get_mut(&receipt.lease) {
            lease.settled = payable;
            lease.sequence = lease.sequence.max(receipt.sequence);
            lease.counters = lease.terms.paid(&lease.counters, &receipt.counters, payable);
            lease.floor.amount = lease.floor.amount.saturating_add(over);
            lease.mark.amount = lease.mark.amount.saturating_add(over);
        }
        Ok(())
    }

    /// Moves what a receipt pays and what it disputes.
    fn pay(&mut self, lease: &Lease, receipt: &Receipt, payable: Amount, more: Amount) -> Result<(), Rejection> {
        let (escrow, held) = (Book::Escrow(lease.id), Book::Held(lease.id));
        let now_held = self.disputed(lease, receipt, payable);
        self.post(held, escrow, lease.held.saturating_sub(now_held))?;
        let parameters = &self.state.parameters;
        let fee = parameters.fee_of(payable).saturating_sub(parameters.fee_of(lease.settled)).min(more);
        self.post(escrow, Book::Treasury, fee)?;
        self.post(escrow, Book::Balance(lease.terms.operator), more.saturating_sub(fee))?;
        self.post(escrow, held, now_held.saturating_sub(lease.held))
    }

    /// What is held once a receipt is paid. An older one than the last says what is paid; what is disputed, that one has said.
    fn disputed(&self, lease: &Lease, receipt: &Receipt, payable: Amount) -> Amount {
        let asked = if receipt.sequence > lease.sequence {
            receipt.disputed
        } else {
            lease.held.saturating_sub(payable.saturating_sub(lease.settled))
        };
        asked.min(lease.holdable(self.now, payable))
    }

    /// How far a receipt is paid now.
    fn payable(&self, lease: &Lease, receipt: &Receipt) -> Result<Amount, Rejection> {
        if receipt.generation != lease.generation {
            return Err(Rejection::ReceiptGeneration { theirs: receipt.generation, ours: lease.generation });
        }
        // They are numbered from one; zero stands for none.
        if receipt.amount <= lease.settled || receipt.sequence == 0 {
            return self.check_dispute(lease, receipt);
        }
        let earned = lease.terms.prices.charge(&lease.terms.resources, &receipt.counters);
        let payable = receipt.amount.min(lease.claimable(self.now));
        if receipt.amount > earned || payable <= lease.settled {
            return Err(Rejection::ReceiptTooHigh { amount: receipt.amount, allowed: earned.min(payable) });
        }
        Ok(payable)
    }

    /// A receipt that pays nothing more has to be a newer word on what is disputed.
    fn check_dispute(&self, lease: &Lease, receipt: &Receipt) -> Result<Amount, Rejection> {
        let (id, sequence) = (lease.id, receipt.sequence);
        if sequence == lease.sequence {
            return Err(Rejection::AlreadySettled { lease: id, sequence });
        }
        if sequence < lease.sequence {
            return Err(Rejection::ReceiptStale { theirs: sequence, ours: lease.sequence });
        }
        if receipt.amount < lease.settled {
            return Err(Rejection::ReceiptBackwards { amount: receipt.amount, paid: lease.settled });
        }
        if self.disputed(lease, receipt, lease.settled) == lease.held {
            return Err(Rejection::ReceiptSaysNothing { lease: id, sequence });
        }
        Ok(lease.settled)
    }
}
