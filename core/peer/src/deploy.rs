//! From a manifest to serving replicas, as a user watches it.
//!
//! Match locally, ask the best provider of each slot for a quote, put the deployment and all its leases on the ledger in
//! one go, wait until every replica says that it serves. What fails before that is undone: nothing is left open and paid, and
//! what providers reserved is given back to them.

mod refused;

use std::collections::BTreeMap;

use grange_api::{DeployDone, DeployPhase, LeaseEntry, Line, Problem, ProblemCode};
use grange_ledger::{Action as Deed, Delegate, Deployment, Ledger, Rejection, Transaction};
use grange_objects::share::deployment_key;
use grange_types::{
    Amount, BlobId, DeploymentId, LeaseId, Manifest, Millis, PeerId, Quote, Secrets, Signed, Time, Wire as _,
};

use crate::bids::{Bids, Reservation, Verdict};
use crate::context::{Asked, Context, Outcome, PROBE_WITHIN, Purpose, Submission};
use crate::describe;
use crate::event::CallId;
use crate::funds::{Funds, funds, missing, within_ceiling};
use crate::library::Library;
use crate::message::{Ask, Channel, Probe, ProbeReply};
use crate::notes::{first_cap, notes};
use crate::payer::Payer;
use crate::problem::{name_taken, no_offer, rejected};
use crate::secrets;
use crate::shelf::Shelf;
use crate::slots::{SlotPlan, is_current, plan, quote_request, specs, stay};
use crate::stewards;
use refused::{CARRIED_ON, Standing, explained};

/// How long the whole may take, with a cold compilation.
const DEPLOY_WITHIN: Millis = Millis::seconds(120);
/// Between the first questions whether a replica serves by now: what is compiled already serves within milliseconds.
const PROBE_FIRST: Millis = Millis(4);
/// Between the later ones.
const PROBE_EVERY: Millis = Millis(40);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Quote,
    Finalize,
    Start,
}

impl Phase {
    const fn word(self) -> &'static str {
        match self {
            Self::Quote => "quote",
            Self::Finalize => "finalize",
            Self::Start => "start",
        }
    }
}

struct Deploying {
    name: String,
    services: Manifest,
    id: DeploymentId,
    /// The deeds that open or update the deployment; gone once handed to the spine.
    opening: Vec<Signed<Transaction>>,
    /// What a raised budget adds to a deployment that is there already.
    added: Amount,
    fresh: bool,
    /// What its user should know of what was there before.
    notes: Vec<String>,
    slots: Vec<SlotPlan>,
    unsettled: usize,
    phase: Phase,
    since: Time,
    next_probe: Time,
    patience: Millis,
    deadline: Time,
}

/// What is to be deployed.
pub(crate) struct Order {
    pub(crate) call: CallId,
    pub(crate) manifest: Manifest,
    pub(crate) secrets: Secrets,
    /// The only provider to be asked; else the best ones.
    pub(crate) only: Option<PeerId>,
    /// The most that it may take from the account; no limit where there is none.
    pub(crate) most: Option<Amount>,
}

#[derive(Default)]
pub(crate) struct Deploys {
    under_way: BTreeMap<CallId, Deploying>,
}

impl Deploys {
    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        let next = |deploy: &Deploying| match deploy.phase {
            Phase::Quote => deploy.slots.iter().filter_map(|plan| plan.bids.as_ref()?.poll_timeout()).min(),
            Phase::Finalize => None,
            Phase::Start => Some(deploy.next_probe),
        };
        self.under_way.values().map(|deploy| next(deploy).map_or(deploy.deadline, |at| at.min(deploy.deadline))).min()
    }

    /// Whether one has taken too long.
    pub(crate) fn is_late(&self, now: Time) -> bool {
        self.under_way.values().any(|deploy| now >= deploy.deadline)
    }

    /// Begins; gives the deployment that is now under way.
    pub(crate) fn begin(
        &mut self,
        ctx: &mut Context,
        ledger: &Ledger,
        library: &mut Library,
        seen: (&Shelf, &Payer),
        order: Order,
    ) -> Option<DeploymentId> {
        let Order { call, manifest, secrets, only, most } = order;
        match prepare(ctx, ledger, library, seen, manifest, (&secrets, most)) {
            Ok(Prepared::Unchanged(done)) => ctx.line(call, Line::Done(done), true),
            Ok(Prepared::Deploy(mut deploying)) => {
                let id = deploying.id;
                if let Some(provider) = only {
                    deploying.slots.iter_mut().for_each(|plan| plan.matches.retain(|found| found.provider == provider));
                }
                phase(ctx, call, "match", Millis(0));
                deploying.since = ctx.now;
                deploying.ask(ctx, call);
                self.under_way.insert(call, *deploying);
                self.advance(ctx, ledger, call);
                return Some(id);
            }
            Err(problem) => ctx.line(call, Line::Problem(*problem), true),
        }
        None
    }

    /// A provider answered our request for a quote, or did not.
    pub(crate) fn quoted(
        &mut self,
        ctx: &mut Context,
        ledger: &Ledger,
        (call, slot, from): (CallId, u32, PeerId),
        answer: Result<Signed<Quote>, String>,
    ) {
        let given = answer.as_ref().ok().map(|quote| quote.body.clone());
        let plan = self.under_way.get_mut(&call).and_then(|deploying| deploying.slot_mut(slot));
        let verdict = match plan.and_then(|plan| plan.bids.as_mut()) {
            Some(bids) => bids.answered(ctx, &Asked::DeployQuote { call, slot }, from, answer),
            None => Verdict::Open,
        };
        // Another was quicker, it is for something else, or nobody waits for it any more.
        if let Some(quote) = given.filter(|_| !matches!(verdict, Verdict::Won(_))) {
            Reservation::of(from, &quote).give_back(ctx);
        }
        match verdict {
            Verdict::Won(_) => self.advance(ctx, ledger, call),
            Verdict::Open => {}
            Verdict::Lost { reason } => {
                let Some(deploying) = self.under_way.get_mut(&call) else { return };
                let Some(plan) = deploying.slot_mut(slot) else { return };
                let text = format!("no provider took {}: {reason}", plan.spec.service);
                let problem = Problem::new(ProblemCode::NoOffer, "deploy", deploying.name.clone(), text);
                self.fail(ctx, ledger, call, problem);
            }
        }
    }

    /// Goes on to the next phase, and the next, as long as there is nothing to wait for.
    fn advance(&mut self, ctx: &mut Context, ledger: &Ledger, call: CallId) {
        let Some(deploying) = self.under_way.get_mut(&call) else { return };
        match deploying.phase {
            Phase::Quote if deploying.slots.iter().all(|plan| plan.quote().is_some() || !plan.is_pending()) => {
                deploying.enter(ctx, call, Phase::Finalize);
                deploying.submit(ctx, ledger, call);
            }
            Phase::Finalize if deploying.unsettled == 0 => {
                deploying.enter(ctx, call, Phase::Start);
                deploying.next_probe = ctx.now;
                deploying.patience = PROBE_FIRST;
                self.probe(ctx, call);
                // Nothing may have had to start.
                self.advance(ctx, ledger, call);
            }
            Phase::Start if deploying.next_wave() => {
                deploying.enter(ctx, call, Phase::Finalize);
                deploying.submit(ctx, ledger, call);
            }
            Phase::Start if deploying.slots.iter().all(|plan| plan.serving) => {
                if let Some(mut deploying) = self.under_way.remove(&call) {
                    deploying.enter(ctx, call, Phase::Start);
                    ctx.line(call, Line::Done(deploying.done(ctx, ledger)), true);
                }
            }
            _ => {}
        }
    }

    /// A transaction of ours is final, or refused.
    pub(crate) fn outcome(
        &mut self,
        ctx: &mut Context,
        ledger: &Ledger,
        (call, purpose): (CallId, &Purpose),
        outcome: &Outcome,
    ) {
        // Whether anybody still waits for it or not.
        if let (Purpose::Lease(_, reservation), Err(_)) = (purpose, outcome) {
            reservation.give_back(ctx);
        }
        let Some(deploying) = self.under_way.get_mut(&call) else { return };
        match outcome {
            Ok(_) => {
                deploying.unsettled = deploying.unsettled.saturating_sub(1);
                self.advance(ctx, ledger, call);
            }
            // Its deployment was refused before it: the reason of that is the one to tell, whichever is heard of first.
            Err(Rejection::UnknownDeployment { deployment })
                if *deployment == deploying.id && deploying.unsettled > 1 =>
            {
                deploying.unsettled -= 1;
            }
            Err(rejection) => {
                let problem = deploying.refused(ledger, purpose, rejection);
                self.give_up(ctx, ledger, call, problem);
            }
        }
    }

    fn probe(&mut self, ctx: &mut Context, call: CallId) {
        let Some(deploying) = self.under_way.get_mut(&call) else { return };
        deploying.next_probe = ctx.now.after(deploying.patience);
        deploying.patience = Millis(deploying.patience.0 * 2).min(PROBE_EVERY);
        for plan in deploying.slots.iter_mut().filter(|plan| !plan.serving && !plan.probing) {
            let (Some(lease), Some(provider)) = (plan.lease, plan.provider()) else { continue };
            plan.probing = true;
            let ask = Ask::Probe(Probe { lease, generation: plan.generation });
            ctx.ask(provider, Channel::Market, &ask, PROBE_WITHIN, Asked::DeployProbe { call, lease });
        }
    }

    /// A provider says whether a replica serves.
    pub(crate) fn probed(
        &mut self,
        ctx: &mut Context,
        ledger: &Ledger,
        (call, lease): (CallId, LeaseId),
        reply: Option<ProbeReply>,
    ) {
        let Some(deploying) = self.under_way.get_mut(&call) else { return };
        let Some(plan) = deploying.slots.iter_mut().find(|plan| plan.lease == Some(lease)) else { return };
        plan.probing = false;
        match reply {
            Some(reply) => {
                plan.serving = reply.serving;
                plan.reason = reply.reason;
            }
            None => plan.reason = Some("its provider does not answer".into()),
        }
        self.advance(ctx, ledger, call);
    }

    /// Probes again, gives up on what takes too long; `halted` says why the ledger stands still, if it does.
    pub(crate) fn tick(&mut self, ctx: &mut Context, ledger: &Ledger, halted: Option<&str>) {
        let late: Vec<CallId> =
            self.under_way.iter().filter(|(_, deploy)| ctx.now >= deploy.deadline).map(|(call, _)| *call).collect();
        for call in late {
            let Some(deploying) = self.under_way.get(&call) else { continue };
            let problem = deploying.late(halted);
            self.fail(ctx, ledger, call, problem);
        }
        for (call, deploying) in &mut self.under_way {
            deploying.follow(ledger);
            if deploying.phase == Phase::Quote {
                deploying.hedge(ctx, *call);
            }
        }
        let due = |deploy: &Deploying| deploy.phase == Phase::Start && ctx.now >= deploy.next_probe;
        let calls: Vec<CallId> =
            self.under_way.iter().filter(|(_, deploy)| due(deploy)).map(|(call, _)| *call).collect();
        for call in calls {
            self.probe(ctx, call);
        }
    }

    /// Gives up on what nobody refused. An update that was ordered is carried on by its payers.
    fn fail(&mut self, ctx: &mut Context, ledger: &Ledger, call: CallId, problem: Problem) {
        let problem = match self.under_way.get(&call) {
            Some(Deploying { opening, fresh: false, .. }) if opening.is_empty() => problem.with_remedy(CARRIED_ON),
            _ => problem,
        };
        self.give_up(ctx, ledger, call, problem);
    }

    /// Gives up. A deployment that this call made does not stay behind, open and paid.
    fn give_up(&mut self, ctx: &mut Context, ledger: &Ledger, call: CallId, problem: Problem) {
        let deploying = self.under_way.remove(&call);
        if let Some(deploying) = &deploying {
            deploying.cancel(ctx);
        }
        if let Some(Deploying { id, opening, fresh: true, .. }) = deploying
            && opening.is_empty()
        {
            // It may still wait for its block; the closing stands behind it.
            ctx.submit(ledger, Deed::CloseDeployment { deployment: id }, Purpose::Undo(id));
        }
        ctx.line(call, Line::Problem(problem), true);
    }
}

enum Prepared {
    Unchanged(DeployDone),
    Deploy(Box<Deploying>),
}

/// Everything that can be decided before anybody is asked.
fn prepare(
    ctx: &mut Context,
    ledger: &Ledger,
    library: &mut Library,
    (shelf, payer): (&Shelf, &Payer),
    manifest: Manifest,
    (sealed, most): (&Secrets, Option<Amount>),
) -> Result<Prepared, Box<Problem>> {
    let name = manifest.name.clone();
    let view = ledger.view();
    let existing = view.deployment_named(&name).cloned();
    if let Some(other) = existing.as_ref().filter(|found| found.owner != ctx.account) {
        return Err(Box::new(name_taken("deploy", &name, other.owner)));
    }
    secrets::check(&manifest, sealed)?;
    let mut services = manifest;
    if let Some(found) = &existing {
        secrets::seal_again(ctx, found, &mut services, sealed)?;
    }
    // A deployment whose last update did not come to its end is taken up where it stands.
    let id = BlobId::of(&services.encode());
    let current = |found: &&Deployment| {
        found.manifest == id && is_current(ledger, found) && missing(ledger, services.budget, found).is_zero()
    };
    let known = |stay: Vec<LeaseId>| notes(ledger, payer, (name.as_str(), services.budget), existing.as_ref(), stay);
    if let Some(found) = existing.as_ref().filter(current) {
        let notes = known(found.slots.iter().filter_map(|slot| slot.lease).collect());
        library.keep(ctx, services);
        return Ok(Prepared::Unchanged(done(ctx, ledger, found, false, notes)));
    }
    let mut slots = plan(shelf, ledger, ctx.account, &services, ctx.now)
        .map_err(|refusal| Box::new(no_offer("deploy", &name, &refusal)))?;
    let (who, terms) = ((ctx.account, ctx.key.public()), ("deploy", name.as_str(), services.budget));
    let Funds { added, .. } = funds(ledger, who, terms, existing.as_ref(), &slots)?;
    let notes = known(stay(&slots).collect()).into_iter().chain(first_cap(ledger, ctx.account, added)).collect();
    let providers: Vec<PeerId> = slots.iter().filter_map(SlotPlan::likely).collect();
    let delegates = stewards::chosen(ctx, ledger, &providers, &specs(&slots));
    within(&name, added, most)?;
    let (id, opening) = match &existing {
        Some(found) => {
            let delegates = within_ceiling(ledger, who, ("deploy", &name, added), found, &mut slots, delegates)?;
            let manifest = library.keep(ctx, services.clone());
            let deed = Deed::UpdateDeployment { deployment: found.id, manifest, slots: specs(&slots), delegates };
            (found.id, vec![ctx.transaction(ledger, deed)])
        }
        None => open(ctx, ledger, library, (&mut services, sealed), added, &mut slots, delegates),
    };
    Ok(Prepared::Deploy(Box::new(Deploying {
        name,
        services,
        id,
        opening,
        added: if existing.is_some() { added } else { Amount::ZERO },
        fresh: existing.is_none(),
        notes,
        slots,
        unsettled: 0,
        phase: Phase::Quote,
        since: ctx.now,
        next_probe: ctx.now,
        patience: PROBE_FIRST,
        deadline: ctx.now.after(DEPLOY_WITHIN),
    })))
}

/// Whether it takes no more than what was counted for it. The deployment may have been closed since, or its money spent.
fn within(name: &str, added: Amount, most: Option<Amount>) -> Result<(), Box<Problem>> {
    let Some(most) = most.filter(|most| added > *most) else { return Ok(()) };
    let text = format!("it takes {added} from the account by now, and {most} was counted against the key's limit");
    Err(Box::new(Problem::new(ProblemCode::Conflict, "deploy", name, text).with_remedy("deploy it again")))
}

/// What opens a new deployment: one deed, or where there are secrets two, the second of which names the sealed manifest.
fn open(
    ctx: &mut Context,
    ledger: &Ledger,
    library: &mut Library,
    (services, sealed): (&mut Manifest, &Secrets),
    budget: Amount,
    slots: &mut [SlotPlan],
    delegates: Vec<Delegate>,
) -> (DeploymentId, Vec<Signed<Transaction>>) {
    let name = Some(services.name.clone());
    let open = |manifest, slots, delegates| Deed::OpenDeployment { name, manifest, budget, slots, delegates };
    if !secrets::has_secrets(services) {
        let manifest = library.keep(ctx, services.clone());
        let opening = ctx.transaction(ledger, open(manifest, specs(slots), delegates));
        return (DeploymentId(opening.id().0), vec![opening]);
    }
    let opening = ctx.transaction(ledger, open(secrets::no_manifest(), specs(slots), delegates.clone()));
    let deployment = DeploymentId(opening.id().0);
    secrets::seal(&deployment_key(&ctx.key, deployment), deployment, services, sealed);
    for plan in &mut *slots {
        if let Some(service) = services.services.get(&plan.spec.service) {
            plan.spec.revision = grange_app::revision(&plan.spec.service, service);
        }
    }
    let manifest = library.keep(ctx, services.clone());
    let update = Deed::UpdateDeployment { deployment, manifest, slots: specs(slots), delegates };
    (deployment, vec![opening, ctx.transaction(ledger, update)])
}

impl Deploying {
    /// Asks for quotes for everything that has to move or start.
    fn ask(&mut self, ctx: &mut Context, call: CallId) {
        let id = self.id;
        for plan in self.slots.iter_mut().filter(|plan| plan.is_pending()) {
            let Some(service) = self.services.services.get(&plan.spec.service) else { continue };
            let request = quote_request(id, plan.number, plan.generation, service, &plan.spec, false);
            plan.bids = Some(Bids::new(request, plan.matches.clone()));
        }
        self.hedge(ctx, call);
    }

    fn slot_mut(&mut self, number: u32) -> Option<&mut SlotPlan> {
        self.slots.iter_mut().find(|plan| plan.number == number)
    }

    /// Gives back what providers hold for slots whose leases were not ordered: others may have it at once. Those that were
    /// come about, or are given back when they are refused.
    fn cancel(&self, ctx: &mut Context) {
        for quote in self.slots.iter().filter(|plan| plan.lease.is_none()).filter_map(SlotPlan::quote) {
            Reservation::of(quote.body.terms.provider, &quote.body).give_back(ctx);
        }
    }

    /// Why the ledger refused a part of it, and what helps.
    fn refused(&self, ledger: &Ledger, purpose: &Purpose, rejection: &Rejection) -> Problem {
        let problem = rejected("deploy", &self.name, rejection);
        if self.fresh {
            return problem;
        }
        let standing = match purpose {
            // It is looked at before the new version is on the ledger, which comes about without it.
            Purpose::Fund(_) => Standing::Ordered,
            _ => Standing::of(ledger, self.id, BlobId::of(&self.services.encode())),
        };
        explained(problem, standing, rejection)
    }

    /// Asks further offers where the answers take their time.
    fn hedge(&mut self, ctx: &mut Context, call: CallId) {
        for plan in &mut self.slots {
            if let Some(bids) = &mut plan.bids {
                bids.tick(ctx, &Asked::DeployQuote { call, slot: plan.number });
            }
        }
    }

    /// A payer may have replaced what died before it ever served: the slot's present lease counts.
    fn follow(&mut self, ledger: &Ledger) {
        let view = ledger.view();
        for plan in self.slots.iter_mut().filter(|plan| !plan.serving && plan.lease.is_some()) {
            let open = view.open_lease_of(self.id, plan.number).filter(|open| Some(open.id) != plan.lease);
            if let Some(open) = open {
                (plan.lease, plan.generation) = (Some(open.id), open.generation);
                plan.moved = Some(open.terms.provider);
                plan.probing = false;
            }
        }
    }

    fn enter(&mut self, ctx: &mut Context, call: CallId, next: Phase) {
        phase(ctx, call, self.phase.word(), ctx.now.since(self.since));
        self.phase = next;
        self.since = ctx.now;
    }

    /// Whether everything that a slot's service depends on serves.
    fn is_ready(&self, plan: &SlotPlan) -> bool {
        let needed = self.services.services.get(&plan.spec.service).map_or(&[][..], |service| &service.depends_on);
        let serves = |service: &String| {
            self.slots.iter().filter(|other| other.spec.service == *service).all(|other| other.serving)
        };
        needed.iter().all(serves)
    }

    /// Whether there are slots that waited for others and need not wait any more.
    fn next_wave(&self) -> bool {
        self.slots.iter().any(|plan| plan.is_pending() && plan.lease.is_none() && self.is_ready(plan))
    }

    /// Hands the deployment and the leases of what need not wait to the spine, in the order in which they build on each
    /// other.
    fn submit(&mut self, ctx: &mut Context, ledger: &Ledger, call: CallId) {
        if !self.added.is_zero() {
            let amount = core::mem::take(&mut self.added);
            ctx.submit(ledger, Deed::FundDeployment { deployment: self.id, amount }, Purpose::Fund(call));
            self.unsettled += 1;
        }
        if self.fresh && !self.opening.is_empty() {
            secrets::draw(ctx, self.id);
        }
        for transaction in self.opening.drain(..) {
            ctx.submissions.push_back(Submission { transaction, purpose: Purpose::Deploy(call) });
            self.unsettled += 1;
        }
        let ready: Vec<bool> = self.slots.iter().map(|plan| self.is_ready(plan)).collect();
        for (plan, _) in self.slots.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            if !plan.is_pending() || plan.lease.is_some() {
                continue;
            }
            let Some(quote) = plan.quote().cloned() else { continue };
            let reservation = Reservation::of(quote.body.terms.provider, &quote.body);
            let deed = Deed::OpenLease { quote: Box::new(quote), replaces: plan.replaces };
            plan.lease = Some(LeaseId(ctx.submit(ledger, deed, Purpose::Lease(call, reservation)).0));
            self.unsettled += 1;
        }
    }

    /// Why it took too long.
    fn late(&self, halted: Option<&str>) -> Problem {
        let seconds = DEPLOY_WITHIN.0 / 1_000;
        if let Some(reason) = halted.filter(|_| self.phase == Phase::Finalize) {
            let text = format!("the ledger did not take it within {seconds} s: {reason}");
            return Problem::new(ProblemCode::LedgerHalted, "deploy", self.name.clone(), text);
        }
        let slow = self.slots.iter().find(|plan| !plan.serving);
        let what = slow.map_or("it", |plan| plan.spec.service.as_str());
        let reason = slow.and_then(|plan| plan.reason.clone()).unwrap_or_else(|| "the ledger did not answer".into());
        let text = format!("{what} does not serve after {seconds} s: {reason}");
        Problem::new(ProblemCode::Timeout, "deploy", self.name.clone(), text)
    }

    fn done(&self, ctx: &Context, ledger: &Ledger) -> DeployDone {
        let found = ledger.view().deployment(self.id).cloned();
        match found {
            Some(found) => done(ctx, ledger, &found, true, self.notes.clone()),
            None => DeployDone {
                deployment: self.name.clone(),
                id: self.id,
                urls: Vec::new(),
                leases: Vec::new(),
                changed: true,
                notes: self.notes.clone(),
            },
        }
    }
}

/// What a deployment amounts to.
fn done(ctx: &Context, ledger: &Ledger, deployment: &Deployment, changed: bool, notes: Vec<String>) -> DeployDone {
    let view = ledger.view();
    let entry = |slot: &grange_ledger::Slot| {
        let lease = view.lease(slot.lease?)?;
        Some(LeaseEntry {
            lease: lease.id,
            service: slot.spec.service.clone(),
            replica: slot.spec.replica,
            provider: lease.terms.provider,
            display: describe::display(ledger, lease.terms.provider),
            generation: lease.generation,
            price_per_hour: lease.terms.prices.per_hour(&lease.terms.resources),
        })
    };
    DeployDone {
        deployment: deployment.name().unwrap_or_default().to_owned(),
        id: deployment.id,
        urls: describe::urls(ctx, deployment),
        leases: deployment.slots.iter().filter_map(entry).collect(),
        changed,
        notes,
    }
}

fn phase(ctx: &mut Context, call: CallId, word: &str, took: Millis) {
    ctx.line(call, Line::Phase(DeployPhase { phase: word.into(), ms: took.0 }), false);
}
