//! What a deployment needs, slot by slot: offers that fit, the number and generation of each slot, what may stay.

use std::collections::BTreeMap;

use grange_ledger::{Deployment, Lease, Ledger, Slot};
use grange_market::{MATCHES, Match, Need, NoOffer, QuoteRequest, Trust};
use grange_types::manifest::On;
use grange_types::{
    AccountId, Amount, BlobId, DeploymentId, Isolation, LeaseId, Manifest, PeerId, Quote, Resources, Service, Signed,
    SlotSpec, Time,
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
    /// What it has already and keeps.
    pub(crate) kept: Option<Kept>,
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

/// The lease of a slot that runs what it is to run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    provider: PeerId,
    /// What it may cost an hour.
    rate: Amount,
}

/// Finds offers for every slot of a manifest that has to start or to move. What runs already for what it is to run stays
/// where it is, unless it may cost more than its file allows: for that nobody needs room.
pub(crate) fn plan(
    shelf: &Shelf,
    ledger: &Ledger,
    owner: AccountId,
    manifest: &Manifest,
    now: Time,
) -> Result<Vec<SlotPlan>, NoOffer> {
    let existing = ledger.view().deployment_named(&manifest.name);
    let mut hunt = Hunt { shelf, ledger, owner, now, placed: BTreeMap::new() };
    let mut next = existing.map_or(0, |found| found.next_slot);
    let mut plans = Vec::new();
    for (name, service) in &manifest.services {
        let revision = grange_app::revision(name, service);
        let present = |replica| existing.and_then(|found| slot_of(found, name, replica));
        let lease_of = |slot: &Slot| ledger.view().lease(slot.lease?);
        let allowed = |lease: &Lease| service.placement.price_max.is_none_or(|most| lease.terms.max_rate <= most);
        let kept = |slot: &&Slot| revision_held(ledger, slot) == Some(revision) && lease_of(slot).is_some_and(allowed);
        let held = (0..service.replicas).filter_map(present).filter(kept).filter_map(lease_of);
        let mut used: Vec<AccountId> = held.map(|lease| lease.terms.operator).collect();
        for replica in 0..service.replicas {
            let slot = present(replica);
            let keeps = slot.filter(kept).and_then(|slot| Some((slot, lease_of(slot)?)));
            let mut plan = match keeps {
                Some((slot, lease)) => hunt.keep(service, slot, lease),
                None => hunt.find((name, replica), service, slot, &mut used)?,
            };
            plan.number = slot.map_or(next, |slot| slot.number);
            next += u32::from(slot.is_none());
            plans.push(plan);
        }
    }
    Ok(plans)
}

fn slot_of<'a>(found: &'a Deployment, service: &str, replica: u32) -> Option<&'a Slot> {
    found.slots.iter().find(|slot| slot.spec.service == service && slot.spec.replica == replica)
}

/// The search for all slots of one plan.
struct Hunt<'a> {
    shelf: &'a Shelf,
    ledger: &'a Ledger,
    owner: AccountId,
    now: Time,
    /// What this plan needs more of each provider so far: room that was given to one slot is gone for the next.
    placed: BTreeMap<PeerId, Resources>,
}

impl Hunt<'_> {
    /// A slot that stays as it is. What a later lease of it may cost is set anew, as if it was placed now: what stands may be
    /// the word of a key that was stolen since. Only where nobody offers anything there is no other word.
    fn keep(&self, service: &Service, slot: &Slot, lease: &Lease) -> SlotPlan {
        let most = service.placement.price_max.unwrap_or(Amount::MAX);
        let standing = slot.spec.max_rate.min(most);
        SlotPlan::kept(slot, lease, self.dearest(service, &[], self.rooms(Some(lease))).unwrap_or(standing))
    }

    fn find(
        &mut self,
        (name, replica): (&str, u32),
        service: &Service,
        slot: Option<&Slot>,
        used: &mut Vec<AccountId>,
    ) -> Result<SlotPlan, NoOffer> {
        let index = &self.shelf.index;
        let present = slot.and_then(|slot| self.ledger.view().lease(slot.lease?));
        let need = Need { rooms: self.rooms(present), ..need_of(self.owner, service) };
        let apart = Need { distinct_from: used.clone(), ..need.clone() };
        // More replicas than operators share; placement prefers distinct ones as long as there are any.
        let mut matches = match index.find(&apart, MATCHES, self.now) {
            Err(_) if !used.is_empty() => index.find(&need, MATCHES, self.now)?,
            other => other?,
        };
        // One that may be dead is still better than nobody.
        let may_be_dead = |provider: &PeerId| self.shelf.may_be_dead(provider);
        matches.sort_by_key(|found| may_be_dead(&found.provider));
        if slot.is_some() {
            go_on(&mut matches, present.filter(|lease| !may_be_dead(&lease.terms.provider)));
        }
        if let Some(first) = matches.first() {
            used.push(first.operator);
            let back = present.filter(|lease| lease.terms.provider == first.provider);
            let more = service.resources.minus(&back.map(|lease| lease.terms.resources).unwrap_or_default());
            let placed = self.placed.entry(first.provider).or_default();
            *placed = placed.plus(&more);
        }
        let spec = SlotSpec {
            service: name.to_owned(),
            replica,
            max_rate: self.dearest(service, &matches, BTreeMap::new()).unwrap_or(Amount::ZERO),
            isolation: service.placement.isolation.unwrap_or(Isolation::Wasm),
            route: service.route.clone(),
            revision: grange_app::revision(name, service),
        };
        let mut plan = SlotPlan::new(spec, matches);
        if let Some(slot) = slot {
            (plan.generation, plan.replaces) = (slot.generation + 1, slot.lease);
        }
        Ok(plan)
    }

    /// What those whose room we know better have free for a slot: less what the plan has placed there already, and more by
    /// what the slot's present lease gives back.
    fn rooms(&self, present: Option<&Lease>) -> BTreeMap<PeerId, Resources> {
        let back = present.filter(|lease| lease.is_open(self.ledger.view().now()));
        let room = |provider: PeerId| {
            let back = back.filter(|lease| lease.terms.provider == provider);
            let free = self.shelf.index.get(&provider)?.free;
            let whole = back.map_or(free, |lease| free.plus(&lease.terms.resources));
            Some((provider, whole.minus(&self.placed.get(&provider).copied().unwrap_or_default())))
        };
        self.placed.keys().copied().chain(back.map(|lease| lease.terms.provider)).filter_map(room).collect()
    }

    /// The most that a replica may cost an hour, whichever of the best offers runs it in the end; none where there are none.
    fn dearest(&self, service: &Service, matches: &[Match], rooms: BTreeMap<PeerId, Resources>) -> Option<Amount> {
        if service.placement.on == On::Own {
            return Some(Amount::ZERO);
        }
        let market = Need { on: On::Market, rooms, ..need_of(self.owner, service) };
        let fallback = self.shelf.index.find(&market, CANDIDATES, self.now).unwrap_or_default();
        matches.iter().take(CANDIDATES).chain(&fallback).map(|found| found.max_rate).max()
    }
}

/// Puts the present provider first if it still fits: its copy of the service's data goes on there.
fn go_on(matches: &mut Vec<Match>, present: Option<&Lease>) {
    let present = present.map(|lease| lease.terms.provider);
    if let Some(place) = matches.iter().position(|found| Some(found.provider) == present) {
        matches[..=place].rotate_right(1);
    }
    matches.truncate(CANDIDATES);
}

impl SlotPlan {
    fn new(spec: SlotSpec, matches: Vec<Match>) -> Self {
        Self {
            spec,
            matches,
            kept: None,
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

    /// A slot that stays as it is; a later lease of it may cost so much an hour.
    fn kept(slot: &Slot, lease: &Lease, max_rate: Amount) -> Self {
        let spec = SlotSpec { max_rate, ..slot.spec.clone() };
        let kept = Kept { provider: lease.terms.provider, rate: lease.terms.max_rate };
        Self {
            kept: Some(kept),
            generation: slot.generation,
            replaces: slot.lease,
            lease: slot.lease,
            serving: true,
            ..Self::new(spec, Vec::new())
        }
    }

    /// What it may cost an hour, by whoever has it or is asked first.
    pub(crate) fn rate(&self) -> Amount {
        let priced = |found: &&Match| !found.own;
        let first = self.matches.first().filter(priced).map_or(Amount::ZERO, |_| self.spec.max_rate);
        self.kept.map_or(first, |kept| kept.rate)
    }

    /// Who has it, or is asked for it first.
    pub(crate) fn likely(&self) -> Option<PeerId> {
        self.kept.map(|kept| kept.provider).or_else(|| Some(self.matches.first()?.provider))
    }

    pub(crate) const fn is_pending(&self) -> bool {
        !self.serving
    }

    pub(crate) fn quote(&self) -> Option<&Signed<Quote>> {
        self.bids.as_ref().and_then(Bids::quote)
    }

    pub(crate) fn provider(&self) -> Option<PeerId> {
        self.moved.or_else(|| self.quote().map(|quote| quote.body.terms.provider))
    }
}

/// The leases of a plan that stay as they are.
pub(crate) fn stay(plans: &[SlotPlan]) -> impl Iterator<Item = LeaseId> {
    plans.iter().filter(|plan| plan.kept.is_some()).filter_map(|plan| plan.lease)
}

/// What the slots of a plan say on the ledger.
pub(crate) fn specs(slots: &[SlotPlan]) -> Vec<SlotSpec> {
    slots.iter().map(|plan| plan.spec.clone()).collect()
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
