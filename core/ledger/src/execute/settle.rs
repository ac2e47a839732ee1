//! Receipts: the one way in which a lease earns.
//!
//! # Rules
//! - A receipt is cumulative. A larger number replaces a smaller one; nothing it counts may shrink.
//! - It pays at most what its counters cost and at most `max_rate` for the time served in ledger time. The payer
//!   caps by the time it knows of, which is earlier, so the ledger asks for "not above" rather than "equal".
//! - What it counts beyond what it pays is not remembered: whoever signs for nothing would have others pay for it.
//! - It is the owner's or a delegate's word, never that of a key of the lease's own operator.
//! - It counts while the lease is open and for the claim window after its end.
//! - What it disputes is held, as far as it could have been earned and up to a credit window at the highest rate: out of the escrow, and out of the reach of renewals.
//!   The next receipt grants or drops it; else it returns with the claim window's end.
//! - The treasury's part is taken of all that was paid so far, so it does not matter in how many steps.
//! - Several may come in one transaction, which spares its own signature for all but one; all are paid or none.

use grange_types::{Amount, Millis, Plant, Receipt, Signed, is_sown, limits};

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
        self.check_receipt(lease, receipt)?;
        let (lease, deployment) = (lease.clone(), self.deployment(lease.deployment)?);
        let (owner, payer) = (deployment.owner, self.payer(deployment, &lease, signed.signer)?);
        let paid = if is_sown(Plant::ReceiptPaidTwice) { Amount::ZERO } else { lease.settled };
        let more = receipt.amount.saturating_sub(paid);
        self.charge_payer(&lease, owner, signed.signer, payer, more)?;
        self.pay(&lease, receipt, more)?;
        if let Some(lease) = self.leases.get_mut(&receipt.lease) {
            lease.settled = receipt.amount;
            lease.sequence = receipt.sequence;
            lease.counters = lease.terms.paid(&lease.counters, &receipt.counters, receipt.amount);
        }
        Ok(())
    }

    /// Moves what a receipt pays and what it disputes.
    fn pay(&mut self, lease: &Lease, receipt: &Receipt, more: Amount) -> Result<(), Rejection> {
        let (escrow, held) = (Book::Escrow(lease.id), Book::Held(lease.id));
        let rest = self.claimable(lease).saturating_sub(receipt.amount);
        let now_held = receipt.disputed.min(rest).min(lease.terms.cap(limits::CREDIT_WINDOW));
        self.post(held, escrow, lease.held.saturating_sub(now_held))?;
        let parameters = &self.state.parameters;
        let fee = parameters.fee_of(receipt.amount).saturating_sub(parameters.fee_of(lease.settled)).min(more);
        self.post(escrow, Book::Treasury, fee)?;
        self.post(escrow, Book::Balance(lease.terms.operator), more.saturating_sub(fee))?;
        self.post(escrow, held, now_held.saturating_sub(lease.held))
    }

    /// The most that a receipt may say now, whatever it counts.
    fn claimable(&self, lease: &Lease) -> Amount {
        let set_aside = lease.settled.saturating_add(lease.escrow).saturating_add(lease.held);
        lease.ceiling(self.now).saturating_add(lease.held).min(set_aside).min(lease.terms.cap(self.served(lease)))
    }

    /// How long a lease has served, in ledger time.
    fn served(&self, lease: &Lease) -> Millis {
        lease.ended.or(lease.end).map_or(self.now, |end| end.min(self.now)).since(lease.start)
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
        let allowed = earned.min(self.claimable(lease));
        if receipt.amount > allowed {
            return Err(Rejection::ReceiptTooHigh { amount: receipt.amount, allowed });
        }
        Ok(())
    }
}
