//! How far a lease can be paid: one rule for the ledger that pays, the payers that sign and the providers that take.

use grange_types::{Amount, Millis, Time, limits};

use crate::entry::Lease;

impl Lease {
    /// The most that receipts may have paid in all at a ledger time: it rises with `terms.max_rate` while
    /// the lease serves and stands still once it has ended.
    #[must_use]
    pub fn ceiling(&self, now: Time) -> Amount {
        let stop = [self.end, self.ended].into_iter().flatten().fold(now, Time::min);
        self.floor.amount.saturating_add(self.terms.cap(stop.since(self.floor.time)))
    }

    /// The most that receipts are paid at a ledger time, whatever they say: what is set aside in all, the highest rate for the
    /// time served, and what [`Lease::ceiling`] leaves beside what is disputed. It is never below what was paid, and rises
    /// with time; a renewal may lower it, where less was paid than might have been.
    #[must_use]
    pub fn claimable(&self, at: Time) -> Amount {
        let set_aside = self.settled.saturating_add(self.escrow).saturating_add(self.held);
        self.ceiling(at).saturating_add(self.held).min(set_aside).min(self.terms.cap(self.served(at)))
    }

    /// The most that a receipt which pays `paid` in all may dispute at a ledger time. It may be what could have been earned
    /// beyond what is paid, or what was held before, if that is more; not both.
    #[must_use]
    pub fn holdable(&self, at: Time, paid: Amount) -> Amount {
        let ceiling = self.ceiling(at);
        let before = self.held.saturating_sub(paid.saturating_sub(ceiling));
        let rest = self.claimable(at).saturating_sub(paid);
        ceiling.saturating_sub(paid).max(before).min(rest).min(self.terms.cap(limits::CREDIT_WINDOW))
    }

    /// How long it has served at a ledger time.
    #[must_use]
    pub fn served(&self, at: Time) -> Millis {
        self.ended.or(self.end).map_or(at, |end| end.min(at)).since(self.start)
    }
}
