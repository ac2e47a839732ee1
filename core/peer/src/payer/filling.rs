//! How a slot gets a lease: who is asked for a quote, when, and what becomes of it.

use std::collections::BTreeSet;

use grange_ledger::{Action as Deed, Book, Deployment, Ledger, Rejection};
use grange_market::watch::{Action as Call, Event as Seen, Health};
use grange_market::{Held, SlotNeed, place, signer};
use grange_types::manifest::On;
use grange_types::{Amount, DeploymentId, LeaseId, LeaseTerms, Manifest, Millis, PeerId, Quote, Signed, Time};

use super::Payer;
use super::turn::{needed, payers, rank, signs};
use crate::bids::{Bids, Verdict};
use crate::context::{Asked, Context, Outcome, Purpose};
use crate::library::Library;
use crate::shelf::Shelf;
use crate::slots::{need_of, quote_request};
use crate::witness::Glimpse;

/// Offers asked for one slot before it is looked at anew: after a loss the best few may be dead or taken already, since
/// everybody finds the same ones best.
const CANDIDATES: usize = 12;
/// Whoever gave no quote is not asked by us for so long while there are others.
const AVOIDED: Millis = Millis::seconds(10);
/// How long an attempt to fill a slot may take before the next.
const FILL_WITHIN: Millis = Millis::seconds(4);
/// How long the owner's node leaves a vacant slot alone, and how much longer each payer after it.
const PATIENCE: Millis = Millis::seconds(5);
const RANK_PATIENCE: Millis = Millis::seconds(3);
/// How long an update that is under way is left to the owner's node, which gives up after two minutes.
const OUTDATED_PATIENCE: Millis = Millis::seconds(150);
/// So long a slot waits for others before it goes to its owner's own capacity, which stands in for a market: a node that has just
/// started, or a cloud that goes on after a halt, has not heard of others' offers yet.
const ALONE: Millis = Millis::seconds(10);
/// A wait that began longer ago is none of this vacancy.
const FORGOTTEN: Millis = Millis::seconds(30);

/// How long what stands for an entry may take to be on the ledger.
const DEPOSITED: Millis = Millis::seconds(10);

/// A slot that is being filled.
pub(super) struct Filling {
    replaces: Option<LeaseId>,
    pub(super) bids: Bids,
    pub(super) until: Time,
}

impl Payer {
    /// Slots without an open lease get one, while there is money.
    pub(super) fn fill_vacant(
        &mut self,
        ctx: &mut Context,
        ledger: &Ledger,
        library: &Library,
        shelf: &Shelf,
        deployment: &Deployment,
    ) {
        let Some(manifest) = library.get(deployment.manifest) else { return };
        let vacant = self.vacant(ledger, deployment, manifest);
        self.vacant_since.retain(|(id, slot), _| *id != deployment.id || vacant.contains(slot));
        // Another payer of a lower rank is given the time to act; a fresh deployment is still being opened by its owner.
        let patience = PATIENCE.0 + RANK_PATIENCE.0 * u64::from(rank(ctx, ledger, deployment));
        let mut due = false;
        for slot in vacant {
            let since = *self.vacant_since.entry((deployment.id, slot)).or_insert(ctx.now);
            let leased = ledger.view().open_lease_of(deployment.id, slot).is_some();
            let patience = if leased { OUTDATED_PATIENCE.0 } else { patience };
            due |= ctx.now.since(since).0 >= patience;
        }
        if due && !self.is_exhausted(ctx, deployment) {
            self.fill(ctx, ledger, library, shelf, deployment);
        }
    }

    /// Whether a slot that runs something old has been left to whoever updates it for long enough.
    fn is_overdue(&self, ctx: &Context, slot: (DeploymentId, u32)) -> bool {
        self.vacant_since.get(&slot).is_some_and(|since| ctx.now.since(*since) >= OUTDATED_PATIENCE)
    }

    /// Slots that hold no open lease for what they are to run, although everything that their service depends on serves.
    fn vacant(&self, ledger: &Ledger, deployment: &Deployment, manifest: &Manifest) -> BTreeSet<u32> {
        let view = ledger.view();
        let (mut serving, mut vacant) = (BTreeSet::new(), Vec::new());
        for slot in &deployment.slots {
            match slot.lease.and_then(|lease| view.lease(lease)).filter(|lease| lease.is_open(view.now())) {
                Some(lease) => {
                    if lease.revision != slot.spec.revision {
                        vacant.push(slot);
                    }
                    let health = self.watch.health(&lease.id);
                    serving.extend(matches!(health, Some(Health::Alive)).then_some(slot.spec.service.as_str()));
                }
                None => vacant.push(slot),
            }
        }
        let ready = |slot: &&grange_ledger::Slot| {
            let service = manifest.services.get(&slot.spec.service);
            service.is_none_or(|service| service.depends_on.iter().all(|needed| serving.contains(needed.as_str())))
        };
        vacant.into_iter().filter(ready).map(|slot| slot.number).collect()
    }

    fn is_exhausted(&self, ctx: &Context, deployment: &Deployment) -> bool {
        self.exhausted.get(&deployment.id).is_some_and(|until| *until > ctx.now)
    }

    pub(super) fn replace_dead(&mut self, ctx: &mut Context, ledger: &Ledger, library: &Library, shelf: &Shelf) {
        let view = ledger.view();
        while let Some(call) = self.watch.poll_action() {
            let Call::Replace { lease } = call else { continue };
            if let Some(metered) = self.metered.get(&lease).filter(|metered| metered.fault) {
                self.glimpses.push(Glimpse::Died(metered.meter.terms().operator, lease));
            }
            let deployment = view.lease(lease).and_then(|lease| view.deployment(lease.deployment));
            if let Some(deployment) = deployment.filter(|found| found.is_open()) {
                self.fill(ctx, ledger, library, shelf, deployment);
            }
        }
    }

    /// Asks for quotes for every slot of a deployment that is vacant or dead.
    fn fill(&mut self, ctx: &mut Context, ledger: &Ledger, library: &Library, shelf: &Shelf, deployment: &Deployment) {
        let Some(manifest) = library.get(deployment.manifest).filter(|_| ctx.follows(ledger)) else { return };
        let (slots, held) = self.survey(ledger, deployment, manifest);
        for pick in place(&shelf.index, &slots, &held, CANDIDATES, ctx.now) {
            let key = (deployment.id, pick.slot);
            let Some(slot) = deployment.slot(pick.slot).filter(|_| !self.filling.contains_key(&key)) else { continue };
            let free = held.iter().all(|held| held.slot != pick.slot || held.health == Health::Dead);
            if !free && !self.is_overdue(ctx, key) {
                continue;
            }
            let Ok(matches) = pick.matches else {
                // Better one that refused a moment ago than nobody.
                self.avoided.clear();
                continue;
            };
            let Some(service) = manifest.services.get(&slot.spec.service) else { continue };
            if service.placement.on == On::Market && matches.iter().all(|found| found.own) {
                let since = self.alone_since.entry(key).or_insert(ctx.now);
                // Another time than this one: who waits is here every few seconds.
                if ctx.now.since(*since) > FORGOTTEN {
                    *since = ctx.now;
                }
                if ctx.now.since(*since) < ALONE {
                    continue;
                }
            }
            self.alone_since.remove(&key);
            let generation = slot.generation + 1;
            let request = quote_request(deployment.id, pick.slot, generation, service, &slot.spec, false);
            let mut bids = Bids::new(request, matches);
            bids.tick(ctx, &Asked::PlaceQuote { deployment: deployment.id, slot: pick.slot });
            let replaces = ledger.view().open_lease_of(deployment.id, pick.slot).map(|lease| lease.id);
            self.filling.insert(key, Filling { replaces, bids, until: ctx.now.after(FILL_WITHIN) });
        }
    }

    /// What each slot needs, and what it has.
    fn survey(&self, ledger: &Ledger, deployment: &Deployment, manifest: &Manifest) -> (Vec<SlotNeed>, Vec<Held>) {
        let view = ledger.view();
        let mut needs = Vec::new();
        let mut held = Vec::new();
        for slot in &deployment.slots {
            let Some(service) = manifest.services.get(&slot.spec.service) else { continue };
            let mut need = need_of(deployment.owner, service);
            need.exclude.extend(self.avoided.keys().copied());
            needs.push(SlotNeed {
                slot: slot.number,
                service: slot.spec.service.clone(),
                revision: slot.spec.revision,
                need,
                depends_on: service.depends_on.clone(),
            });
            let lease = slot.lease.and_then(|lease| view.lease(lease)).filter(|lease| lease.is_open(view.now()));
            if let Some(lease) = lease {
                held.push(Held {
                    slot: slot.number,
                    lease: lease.id,
                    provider: lease.terms.provider,
                    operator: lease.terms.operator,
                    revision: lease.revision,
                    health: self.watch.health(&lease.id).unwrap_or(Health::Starting),
                });
            }
        }
        (needs, held)
    }

    /// A provider answered our request for a quote for a slot, or did not.
    pub(crate) fn quoted(
        &mut self,
        ctx: &mut Context,
        ledger: &Ledger,
        (deployment, slot): (DeploymentId, u32),
        from: PeerId,
        answer: Result<Signed<Quote>, String>,
    ) {
        if answer.is_err() {
            self.avoided.insert(from, ctx.now.after(AVOIDED));
        }
        let Some(filling) = self.filling.get_mut(&(deployment, slot)) else { return };
        match filling.bids.answered(ctx, &Asked::PlaceQuote { deployment, slot }, from, answer) {
            // Service that nobody can pay for today would be taken and not paid.
            Verdict::Won(quote) if !is_payable(ctx, ledger, (deployment, slot), &quote.body.terms) => {
                self.try_again(ctx.now, (deployment, slot));
            }
            Verdict::Won(quote) => {
                let deed = Deed::OpenLease { quote, replaces: filling.replaces };
                ctx.submit(ledger, deed, Purpose::Place(deployment, slot));
            }
            Verdict::Open => {}
            Verdict::Lost { .. } => self.try_again(ctx.now, (deployment, slot)),
        }
    }

    /// A slot was not filled: others are asked at the next look.
    fn try_again(&mut self, now: Time, slot: (DeploymentId, u32)) {
        if let Some(lease) = self.filling.remove(&slot).and_then(|filling| filling.replaces) {
            self.watch.handle(now, Seen::Again { lease });
        }
    }

    /// What became of a lease we opened for a slot.
    pub(crate) fn placed(&mut self, ctx: &mut Context, ledger: &Ledger, slot: (DeploymentId, u32), outcome: &Outcome) {
        match outcome {
            Ok(_) => drop(self.filling.remove(&slot)),
            Err(Rejection::InsufficientBalance { book: Book::Deployment(_), needed, available })
                if is_unfunded(ctx, ledger, slot.0) =>
            {
                let (deployment, amount) = (slot.0, needed.saturating_sub(*available));
                ctx.submit(ledger, Deed::FundDeployment { deployment, amount }, Purpose::Deposit(deployment));
                self.exhausted.insert(deployment, ctx.now.after(DEPOSITED));
                self.filling.remove(&slot);
            }
            Err(Rejection::BudgetTooLow { .. } | Rejection::BudgetExhausted { .. }) => {
                self.exhausted.insert(slot.0, ctx.now.after(Millis::minutes(1)));
                self.filling.remove(&slot);
            }
            Err(_) => self.try_again(ctx.now, slot),
        }
    }
}

/// Whether a deployment of ours is of our own capacity only and never had a budget: then there is nothing to pay the
/// deposit of a lease's entry from.
fn is_unfunded(ctx: &Context, ledger: &Ledger, id: DeploymentId) -> bool {
    let view = ledger.view();
    let unfunded = |found: &Deployment| {
        found.owner == ctx.account
            && view.held_by(found).is_zero()
            && view.leases_of(id).all(|lease| !lease.is_priced())
    };
    view.deployment(id).is_some_and(unfunded)
}

/// Whether the ceilings of those who are there leave anybody to sign for a lease.
fn is_payable(ctx: &Context, ledger: &Ledger, (id, slot): (DeploymentId, u32), terms: &LeaseTerms) -> bool {
    let Some(deployment) = ledger.view().deployment(id) else { return false };
    let payers = payers(ctx, ledger, deployment);
    let this = (slot, terms, needed(terms, Amount::ZERO));
    let unlimited = signer(&payers, deployment.owner, terms.operator);
    unlimited.is_none() || signs(ledger, deployment, this, |_| Amount::ZERO, &payers).is_some()
}
