//! Leases: opened on a quote, funded from the deployment, renewed, ended, and at last forgotten.
//!
//! # Rules
//! - upon opening: the deployment sets aside what the lease can cost until its end. If it holds less, the lease
//!   is shorter; below the shortest lease it is refused.
//! - it costs at most the slot's highest rate an hour, whoever places it: that rate is the owner's word, and who places answers
//!   for nothing below it.
//! - a lease earns at most `max_rate` for each moment it serves. Upon its end, whatever could no longer be
//!   claimed returns at once, so a replacement can be funded while the claim window still runs.
//! - upon renewal: the lease is extended, and what was set aside for time before the renewal *before* this one
//!   and never claimed returns. So a budget is not locked up by leases that cost less than they might, and a
//!   provider always has at least half a lease to hand in its receipts.
//! - once the claim window is over, the rest returns; once the bill is old, the entry goes.

use grange_types::{Amount, BlobId, LeaseId, LeaseTerms, Millis, Prices, PublicKey, Quote, Signed, Time};

use super::{Execution, Trial};
use crate::entry::{Deployment, LEASES_PER_DEPLOYMENT, Lease, LeaseState, Mark, Slot};
use crate::money::Book;
use crate::rejection::{Authority, Rejection};
use crate::transaction::Verb;

impl Execution<'_> {
    pub(super) fn open_lease(
        &mut self,
        trial: &Trial<'_>,
        signed: &Signed<Quote>,
        replaces: Option<LeaseId>,
    ) -> Result<(), Rejection> {
        let quote = &signed.body;
        let deployment = self.open_deployment_of(quote.deployment)?;
        self.require_verb(trial, deployment, Verb::Place)?;
        let held = slot_of(deployment, quote.slot)?.lease;
        self.open_inner(trial, "quote", signed)?;
        self.check_provider(signed)?;
        if let Some(held) = held {
            self.advance_lease(held)?;
        }
        let deployment = self.deployment(quote.deployment)?;
        let slot = slot_of(deployment, quote.slot)?;
        check_quote(deployment, slot, quote)?;
        match (slot.lease, replaces) {
            (Some(lease), Some(replaced)) if lease == replaced => {}
            (Some(lease), None) => return Err(Rejection::SlotTaken { slot: quote.slot, lease }),
            (None, None) => {}
            (_, Some(replaces)) => return Err(Rejection::NotReplaceable { slot: quote.slot, replaces }),
        }
        if let Some(old) = replaces {
            self.end_lease(old, self.now)?;
        }
        self.fund_lease(trial, quote)
    }

    /// The quote is by the node it names, which earns for the account it names, and still counts.
    fn check_provider(&self, signed: &Signed<Quote>) -> Result<(), Rejection> {
        let (terms, signer) = (&signed.body.terms, signed.signer);
        if signer != PublicKey::from(terms.provider) {
            return Err(Rejection::QuoteSigner { provider: terms.provider, signer });
        }
        let operator = self.nodes.get(&terms.provider).map(|node| node.operator);
        if operator != Some(terms.operator) {
            return Err(Rejection::ProviderNotRegistered { provider: terms.provider, operator: terms.operator });
        }
        if self.time > signed.body.valid_until {
            return Err(Rejection::QuoteExpired { valid_until: signed.body.valid_until, time: self.time });
        }
        Ok(())
    }

    /// Writes the new lease and sets its money aside.
    fn fund_lease(&mut self, trial: &Trial<'_>, quote: &Quote) -> Result<(), Rejection> {
        let (id, start) = (LeaseId(trial.id.0), self.now);
        let deployment = self.deployment(quote.deployment)?;
        if deployment.leases >= LEASES_PER_DEPLOYMENT {
            return Err(Rejection::TooManyLeases { deployment: quote.deployment });
        }
        let owner = deployment.owner;
        self.deposit(owner, Book::Deployment(quote.deployment), 0, Lease::SIZE)?;
        let deployment = self.deployment(quote.deployment)?;
        let (end, escrow) = if quote.terms.operator == owner {
            (None, Amount::ZERO)
        } else {
            let (length, escrow) = self.affordable(&quote.terms, deployment.balance)?;
            (Some(start.after(length)), escrow)
        };
        let revision = deployment.slot(quote.slot).map_or(BlobId([0; 32]), |slot| slot.spec.revision);
        let mark = Mark { amount: Amount::ZERO, time: start };
        self.leases.put(
            id,
            Lease {
                id,
                deployment: quote.deployment,
                slot: quote.slot,
                generation: quote.generation,
                revision,
                terms: quote.terms.clone(),
                start,
                end,
                ended: None,
                escrow: Amount::ZERO,
                held: Amount::ZERO,
                settled: Amount::ZERO,
                sequence: 0,
                counters: Default::default(),
                floor: mark,
                mark,
                state: LeaseState::Open,
            },
        );
        if let Some(deployment) = self.deployments.get_mut(&quote.deployment) {
            deployment.leases = deployment.leases.saturating_add(1);
            if let Some(slot) = deployment.slot_mut(quote.slot) {
                slot.generation = quote.generation;
                slot.lease = Some(id);
            }
        }
        self.post(Book::Deployment(quote.deployment), Book::Escrow(id), escrow)
    }

    /// How long a lease the money at hand buys, and what that takes.
    fn affordable(&self, terms: &LeaseTerms, available: Amount) -> Result<(Millis, Amount), Rejection> {
        let parameters = &self.state.parameters;
        let full = terms.cap(parameters.lease_length);
        if available >= full {
            return Ok((parameters.lease_length, full));
        }
        let length = bought(terms, available);
        if length < parameters.min_lease {
            let needed = price_of(terms, parameters.min_lease);
            return Err(Rejection::BudgetTooLow { needed, available });
        }
        Ok((length, terms.cap(length)))
    }

    pub(super) fn close_lease(&mut self, trial: &Trial<'_>, id: LeaseId) -> Result<(), Rejection> {
        self.advance_lease(id)?;
        let lease = self.lease(id)?;
        self.require_party(trial, lease, Verb::Place)?;
        if lease.state != LeaseState::Open {
            return Err(Rejection::LeaseEnded { lease: id });
        }
        self.end_lease(id, self.now)
    }

    pub(super) fn renew_lease(&mut self, trial: &Trial<'_>, id: LeaseId) -> Result<(), Rejection> {
        self.advance_lease(id)?;
        let lease = self.lease(id)?;
        self.require_party(trial, lease, Verb::Renew)?;
        let end = match (lease.state, lease.end) {
            (LeaseState::Open, Some(end)) => end,
            (LeaseState::Open, None) => return Err(Rejection::OwnCapacity { lease: id }),
            _ => return Err(Rejection::LeaseEnded { lease: id }),
        };
        let (left, half) = (end.since(self.now), Millis(self.state.parameters.lease_length.0 / 2));
        if left > half {
            return Err(Rejection::TooEarlyToRenew { wait: Millis(left.0 - half.0) });
        }
        let (deployment, held) = (lease.deployment, lease.escrow);
        let renewal = self.renewal(lease, end, self.deployment(deployment)?.balance)?;
        let settled = lease.settled;
        if let Some(lease) = self.leases.get_mut(&id) {
            lease.end = Some(renewal.end);
            lease.floor = renewal.floor;
            lease.mark = Mark { amount: settled, time: self.now };
        }
        let (book, escrow) = (Book::Deployment(deployment), Book::Escrow(id));
        self.post(book, escrow, renewal.escrow.saturating_sub(held))?;
        self.post(escrow, book, held.saturating_sub(renewal.escrow))
    }

    /// Until when a lease can be extended, and what must then be set aside in all.
    fn renewal(&self, lease: &Lease, end: Time, balance: Amount) -> Result<Renewal, Rejection> {
        let (parameters, terms) = (&self.state.parameters, &lease.terms);
        // The floor never falls below what was paid: a provider that caught up late still earns from now on.
        let risen = lease.mark.amount.saturating_add(terms.cap(self.now.since(lease.mark.time)));
        let floor = if risen >= lease.settled { lease.mark } else { Mark { amount: lease.settled, time: self.now } };
        let claimable =
            |end: Time| floor.amount.saturating_add(terms.cap(end.since(floor.time))).saturating_sub(lease.settled);
        let available = balance.saturating_add(lease.escrow);
        let wanted = end.after(parameters.lease_length);
        if claimable(wanted) <= available {
            return Ok(Renewal { end: wanted, floor, escrow: claimable(wanted) });
        }
        let rest = available.saturating_add(lease.settled).saturating_sub(floor.amount);
        let reached = floor.time.after(bought(terms, rest));
        if reached < end.after(parameters.min_lease) {
            return Err(Rejection::BudgetExhausted { deployment: lease.deployment, available: balance });
        }
        Ok(Renewal { end: reached, floor, escrow: claimable(reached) })
    }

    /// Refuses unless the transaction comes from the owner, a delegate with the verb, or the provider's operator.
    fn require_party(&self, trial: &Trial<'_>, lease: &Lease, verb: Verb) -> Result<(), Rejection> {
        if trial.transaction.body.account == lease.terms.operator {
            return self.require(trial, Authority::Act);
        }
        self.require_verb(trial, self.deployment(lease.deployment)?, verb)
    }

    pub(super) fn lease(&self, id: LeaseId) -> Result<&Lease, Rejection> {
        self.leases.get(&id).ok_or(Rejection::UnknownLease { lease: id })
    }

    /// Does to a lease what time has made due: it ends, is closed for receipts, is forgotten.
    pub(super) fn advance_lease(&mut self, id: LeaseId) -> Result<(), Rejection> {
        let lease = self.lease(id)?;
        if let (LeaseState::Open, Some(end)) = (lease.state, lease.end)
            && end <= self.now
        {
            self.end_lease(id, end)?;
        }
        match self.lease(id)?.state {
            LeaseState::Closing { until } if until <= self.now => self.finish_lease(id, until),
            LeaseState::Closed { at } if at.after(self.state.parameters.retention) <= self.now => self.forget_lease(id),
            _ => Ok(()),
        }
    }

    /// Ends an open lease: its slot is free, it earns no more, and only what can be claimed stays set aside.
    pub(super) fn end_lease(&mut self, id: LeaseId, at: Time) -> Result<(), Rejection> {
        let until = at.after(self.state.parameters.claim_window);
        let Some(lease) = self.leases.get_mut(&id) else { return Err(Rejection::UnknownLease { lease: id }) };
        // Own capacity owes nothing, so there is nothing to wait for.
        lease.state = if lease.is_priced() { LeaseState::Closing { until } } else { LeaseState::Closed { at } };
        lease.ended = Some(lease.end.map_or(at, |end| end.min(at)));
        let claimable = lease.ceiling(at).saturating_sub(lease.settled);
        let (deployment, number) = (lease.deployment, lease.slot);
        let excess = lease.escrow.saturating_sub(claimable);
        let slot = self.deployments.get_mut(&deployment).and_then(|deployment| deployment.slot_mut(number));
        if let Some(slot) = slot.filter(|slot| slot.lease == Some(id)) {
            slot.lease = None;
        }
        let refund = self.refund_book(deployment)?;
        self.post(Book::Escrow(id), refund, excess)
    }

    fn finish_lease(&mut self, id: LeaseId, at: Time) -> Result<(), Rejection> {
        let Some(lease) = self.leases.get_mut(&id) else { return Err(Rejection::UnknownLease { lease: id }) };
        lease.state = LeaseState::Closed { at };
        let (deployment, rest, held) = (lease.deployment, lease.escrow, lease.held);
        let refund = self.refund_book(deployment)?;
        self.post(Book::Escrow(id), refund, rest)?;
        self.post(Book::Held(id), refund, held)
    }

    fn forget_lease(&mut self, id: LeaseId) -> Result<(), Rejection> {
        let lease = self.lease(id)?;
        let (deployment, settled) = (lease.deployment, lease.settled);
        self.leases.remove(&id);
        let (owner, refund) = (self.deployment(deployment)?.owner, self.refund_book(deployment)?);
        if let Some(deployment) = self.deployments.get_mut(&deployment) {
            deployment.leases = deployment.leases.saturating_sub(1);
            deployment.archived = deployment.archived.saturating_add(settled);
        }
        self.deposit(owner, refund, Lease::SIZE, 0)
    }
}

/// What a renewal would bring about.
struct Renewal {
    end: Time,
    floor: Mark,
    escrow: Amount,
}

fn slot_of(deployment: &Deployment, number: u32) -> Result<&Slot, Rejection> {
    deployment.slot(number).ok_or(Rejection::UnknownSlot { deployment: deployment.id, slot: number })
}

/// The quote fits the slot as it now is.
fn check_quote(deployment: &Deployment, slot: &Slot, quote: &Quote) -> Result<(), Rejection> {
    let (terms, next) = (&quote.terms, slot.generation.saturating_add(1));
    if quote.generation != next {
        return Err(Rejection::GenerationStale { quoted: quote.generation, next });
    }
    if terms.max_rate > slot.spec.max_rate {
        return Err(Rejection::RateTooHigh { rate: terms.max_rate, allowed: slot.spec.max_rate });
    }
    if terms.isolation < slot.spec.isolation {
        return Err(Rejection::IsolationTooWeak { offered: terms.isolation, demanded: slot.spec.isolation });
    }
    let free = terms.prices == Prices::default() && terms.max_rate.is_zero();
    if terms.operator == deployment.owner && !free {
        return Err(Rejection::OwnCapacityPriced);
    }
    Ok(())
}

/// How long an amount pays for at the highest rate, rounded down.
fn bought(terms: &LeaseTerms, amount: Amount) -> Millis {
    let millis = amount.scaled(u128::from(Millis::HOUR.0), terms.max_rate.0).0;
    Millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The least amount that buys a length.
fn price_of(terms: &LeaseTerms, length: Millis) -> Amount {
    let floor = terms.cap(length);
    if bought(terms, floor) < length { floor.saturating_add(Amount(1)) } else { floor }
}
