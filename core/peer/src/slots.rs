//! What a deployment needs, slot by slot: offers that fit, the number and generation of each slot, what may stay.

use grange_api::{Problem, ProblemCode};
use grange_ledger::{Deployment, Ledger, Slot};
use grange_market::{MATCHES, Match, Need, NoOffer, QuoteRequest, Trust};
use grange_types::manifest::On;
use grange_types::{
    AccountId, Amount, BlobId, DeploymentId, Isolation, LeaseId, Manifest, PeerId, Quote, Service, Signed, SlotSpec,
    Time,
};

use crate::bids::Bids;
use crate::shelf::Shelf;

/// Offers considered for one slot: whichever of them runs it in the end, it costs at most the dearest.
const CANDIDATES: usize = 8;

/// What a service needs of its provider.
pub(crate) fn need_of(owner: AccountId, service: &Service) -> Need {
    let placement = &service.placement;
    Need {
        isolation: placement.isolation,
        region: placement.region.clone(),
        price_max: placement.price_max,
        on: placement.on,
        trust_min: placement.trust_min.map(|least| Trust(u16::from(least) * 10)),
        ..Need::new(owner, service.workload.kind(), service.resources)
    }
}

/// What to ask a provider for a slot.
pub(crate) fn quote_request(
    deployment: DeploymentId,
    slot: u32,
    generation: u64,
    service: &Service,
    spec: &SlotSpec,
    own: bool,
) -> QuoteRequest {
    QuoteRequest {
        deployment,
        slot,
        generation,
        kind: service.workload.kind(),
        workload: service.workload.blob(),
        resources: service.resources,
        isolation: spec.isolation,
        max_rate: spec.max_rate,
        own,
    }
}

/// One slot on its way.
pub(crate) struct SlotPlan {
    pub(crate) spec: SlotSpec,
    pub(crate) matches: Vec<Match>,
    pub(crate) number: u32,
    pub(crate) generation: u64,
    pub(crate) replaces: Option<LeaseId>,
    pub(crate) bids: Option<Bids>,
    pub(crate) lease: Option<LeaseId>,
    /// Who has it now, when that is not whose quote won.
    pub(crate) moved: Option<PeerId>,
    pub(crate) serving: bool,
    pub(crate) probing: bool,
    pub(crate) reason: Option<String>,
}

/// Finds offers for every slot of a manifest.
pub(crate) fn plan(shelf: &Shelf, owner: AccountId, manifest: &Manifest, now: Time) -> Result<Vec<SlotPlan>, NoOffer> {
    let mut plans = Vec::new();
    for (name, service) in &manifest.services {
        let mut used = Vec::new();
        for replica in 0..service.replicas {
            let need = Need { distinct_from: used.clone(), ..need_of(owner, service) };
            // More replicas than operators share; placement prefers distinct ones as long as there are any.
            let found = shelf.index.find(&need, MATCHES, now);
            let matches = match found {
                Err(_) if !used.is_empty() => shelf.index.find(&need_of(owner, service), MATCHES, now)?,
                other => other?,
            };
            let market = Need { on: On::Market, ..need_of(owner, service) };
            let fallback = shelf.index.find(&market, CANDIDATES, now).unwrap_or_default();
            let dearest = matches
                .iter()
                .take(CANDIDATES)
                .chain(&fallback)
                .map(|found| found.max_rate)
                .max()
                .unwrap_or(Amount::ZERO);
            used.extend(matches.first().map(|found| found.operator));
            let spec = SlotSpec {
                service: name.clone(),
                replica,
                max_rate: if service.placement.on == On::Own { Amount::ZERO } else { dearest },
                isolation: service.placement.isolation.unwrap_or(Isolation::Wasm),
                route: service.route.clone(),
                revision: grange_app::revision(name, service),
            };
            plans.push(SlotPlan::new(spec, matches));
        }
    }
    Ok(plans)
}

impl SlotPlan {
    fn new(spec: SlotSpec, matches: Vec<Match>) -> Self {
        Self {
            spec,
            matches,
            number: 0,
            generation: 1,
            replaces: None,
            bids: None,
            lease: None,
            moved: None,
            serving: false,
            probing: false,
            reason: None,
        }
    }

    pub(crate) fn quote(&self) -> Option<&Signed<Quote>> {
        self.bids.as_ref().and_then(Bids::quote)
    }

    pub(crate) fn provider(&self) -> Option<PeerId> {
        self.moved.or_else(|| self.quote().map(|quote| quote.body.terms.provider))
    }
}

/// Whether the budget lets every slot run for the shortest lease there is.
pub(crate) fn enough(
    ledger: &Ledger,
    operation: &str,
    name: &str,
    budget: Amount,
    slots: &[SlotPlan],
) -> Result<(), Box<Problem>> {
    let parameters = ledger.view().parameters().clone();
    let rate: Amount = slots
        .iter()
        .filter(|plan| plan.matches.first().is_some_and(|found| !found.own))
        .map(|plan| plan.spec.max_rate)
        .sum();
    let needed = rate.scaled(u128::from(parameters.min_lease.0), u128::from(parameters.lease_length.0));
    if budget >= needed {
        return Ok(());
    }
    let text = format!(
        "a budget of {budget} does not pay the shortest lease of {} s at {rate} an hour: {needed} credits",
        parameters.min_lease.0 / 1_000
    );
    Err(Box::new(Problem::new(ProblemCode::BudgetTooLow, operation, name, text)))
}

/// What the open lease of a slot runs; none where there is no open lease.
pub(crate) fn revision_held(ledger: &Ledger, slot: &Slot) -> Option<BlobId> {
    let view = ledger.view();
    view.lease(slot.lease?).filter(|lease| lease.is_open(view.now())).map(|lease| lease.revision)
}

/// Whether every slot of a deployment is leased for what it is to run.
pub(crate) fn is_current(ledger: &Ledger, found: &Deployment) -> bool {
    found.slots.iter().all(|slot| revision_held(ledger, slot) == Some(slot.spec.revision))
}

/// Gives the slots of an update the numbers that the ledger will give them, and leaves alone what does not change.
pub(crate) fn number(ledger: &Ledger, slots: &mut [SlotPlan], found: &Deployment) {
    let mut next = found.next_slot;
    for plan in slots {
        let same = |slot: &&grange_ledger::Slot| {
            slot.spec.service == plan.spec.service && slot.spec.replica == plan.spec.replica
        };
        match found.slots.iter().find(same) {
            Some(slot) => {
                plan.number = slot.number;
                plan.generation = slot.generation + 1;
                plan.replaces = slot.lease;
                if revision_held(ledger, slot) == Some(plan.spec.revision) {
                    plan.serving = true;
                    plan.lease = slot.lease;
                    plan.generation = slot.generation;
                }
            }
            None => {
                plan.number = next;
                next += 1;
            }
        }
    }
}

impl SlotPlan {
    /// Puts the present provider first if it still fits: its copy of the service's data goes on there.
    pub(crate) fn stay(&mut self, ledger: &Ledger) {
        let present = self.replaces.and_then(|lease| ledger.view().lease(lease)).map(|lease| lease.terms.provider);
        if let Some(place) = self.matches.iter().position(|found| Some(found.provider) == present) {
            self.matches[..=place].rotate_right(1);
        }
        self.matches.truncate(CANDIDATES);
    }

    pub(crate) const fn is_pending(&self) -> bool {
        !self.serving
    }
}
