//! The payer: the owner's node and the stewards probe each replica, meter it, sign receipts, and replace what died.
//!
//! A probe is two questions: the provider is asked how the replica is, and if it says that it serves, the replica is asked
//! itself, on the way that requests take. Only an answer to the second is served time: a provider's word is not paid on.
//!
//! Every payer of a deployment does the same; who acts is decided by rank. The owner's node signs while it is linked, then
//! the first steward that is not of the provider's operator; the same order decides who replaces a dead replica. Whose
//! ceiling for the day is used up signs no more: the ledger would refuse it, and the next one can. Two that act at once
//! cannot harm: the ledger opens one lease for a generation.

mod filling;
mod turn;

use std::collections::BTreeMap;

use grange_ledger::{Deployment, Lease, Ledger};
use grange_market::{
    Meter, Watch, Word,
    till::ELAPSED_TOLERANCE,
    watch::{Event as Seen, Health},
};
use grange_types::{
    Amount, ByteCount, Counters, DeploymentId, HealthCheck, LeaseId, Millis, PeerId, Receipt, Signed, Time,
};

use crate::action::Action;
use crate::context::{Asked, Context, PROBE_WITHIN};
use crate::event::Visit;
use crate::gateways::is_believed;
use crate::library::{Library, is_taken_on};
use crate::message::{Ask, AskReply, Channel, Counted, MarketMessage, Probe};
use crate::shelf::Shelf;
use crate::stewards::Missing;
use crate::witness::Glimpse;
use filling::Filling;
use turn::{needed, payers, rank, signs};

/// Between probes of one replica.
const PROBE_EVERY: Millis = Millis(1_000);
/// A replica that takes longer to answer does not serve, however slow its health check may be.
const VISIT_WITHIN: u64 = 5_000;
/// A receipt may be cashed for so long.
const RECEIPT_LIFE: Millis = Millis(Millis::HOUR.0 * 26);

/// Between the visits of a payer whose turn it is not to sign.
const VISIT_EVERY: Millis = Millis::seconds(5);
/// After so many visits without an answer, about a minute, another provider is tried.
const SILENT: u32 = 12;
/// After so many looks at a replica that waits for its data, longer than it waits at most, another provider is tried.
const HELD: u32 = 420;
/// How long gateways may take to tell what they counted; a receipt is taken for longer after its lease is over.
const COUNTED_WITHIN: Millis = Millis::seconds(3);

struct Metered {
    deployment: DeploymentId,
    meter: Meter,
    last: Option<Signed<Receipt>>,
    probing: bool,
    reason: Option<String>,
    /// How its service is to be judged, once its manifest is here.
    health: Option<HealthCheck>,
    judged: Judged,
    /// When it was last asked itself.
    visited: Time,
    /// Visits in a row that its node took and nobody answered.
    silent: u32,
    /// Looks at which it said that it waits for what any other would wait for.
    held: u32,
    /// Since when its lease is known to be over.
    ended: Option<Time>,
    /// Whether its node is why the last look found nothing.
    fault: bool,
}

/// Answers that a health check does not accept.
#[derive(Default)]
struct Judged {
    failures: u32,
    last: Time,
}

/// What a user wants to know of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sight {
    pub(crate) health: Option<Health>,
    pub(crate) reason: Option<String>,
}

pub(crate) struct Payer {
    metered: BTreeMap<LeaseId, Metered>,
    watch: Watch,
    filling: BTreeMap<(DeploymentId, u32), Filling>,
    /// Since when slots are vacant that could be filled.
    vacant_since: BTreeMap<(DeploymentId, u32), Time>,
    /// Since when nobody but the owner is known to offer what a slot needs.
    alone_since: BTreeMap<(DeploymentId, u32), Time>,
    exhausted: BTreeMap<DeploymentId, Time>,
    /// Providers that gave no quote, and until when they are not asked.
    avoided: BTreeMap<PeerId, Time>,
    missing: Missing,
    /// What was seen of providers since somebody last asked.
    pub(crate) glimpses: Vec<Glimpse>,
    next: Time,
}

impl Payer {
    /// One for whom a steward is lost once it could not be reached for so long.
    pub(crate) fn new(lost_after: Millis) -> Self {
        Self {
            metered: BTreeMap::new(),
            watch: Watch::default(),
            filling: BTreeMap::new(),
            vacant_since: BTreeMap::new(),
            alone_since: BTreeMap::new(),
            exhausted: BTreeMap::new(),
            avoided: BTreeMap::new(),
            missing: Missing::new(lost_after),
            glimpses: Vec::new(),
            next: Time(0),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        self.filling.values().filter_map(|filling| filling.bids.poll_timeout()).chain([self.next]).min()
    }

    /// Looks after our own deployments, and after others' that we are a steward of; about once a second.
    pub(crate) fn tick(
        &mut self,
        ctx: &mut Context,
        ledger: &Ledger,
        library: &mut Library,
        shelf: &Shelf,
        steward: bool,
    ) {
        for ((deployment, slot), filling) in &mut self.filling {
            filling.bids.tick(ctx, &Asked::PlaceQuote { deployment: *deployment, slot: *slot });
        }
        if ctx.now < self.next {
            return;
        }
        self.next = ctx.now.after(PROBE_EVERY);
        self.avoided.retain(|_, until| *until > ctx.now);
        let view = ledger.view();
        let ours: Vec<&Deployment> =
            view.deployments().filter(|found| is_taken_on(ctx, ledger, found, steward)).collect();
        self.forget_ended(ctx, ledger);
        for deployment in ours {
            library.complete(ctx, ledger, deployment);
            self.look_after(ctx, ledger, deployment);
            self.fill_vacant(ctx, ledger, library, shelf, deployment);
            self.missing.look(ctx, ledger, deployment, rank(ctx, ledger, deployment));
        }
        self.watch.handle(ctx.now, Seen::Tick);
        self.replace_dead(ctx, ledger, library, shelf);
        self.filling.retain(|_, filling| filling.until > ctx.now);
    }

    fn forget_ended(&mut self, ctx: &mut Context, ledger: &Ledger) {
        let view = ledger.view();
        let open = |id: &DeploymentId| view.deployment(*id).is_some_and(Deployment::is_open);
        self.exhausted.retain(|id, _| open(id));
        self.vacant_since.retain(|(id, _), _| open(id));
        self.alone_since.retain(|(id, _), _| open(id));
        self.missing.retain(open);
        let ended = |id: &LeaseId| view.lease(*id).is_none_or(|lease| !lease.is_open(view.now()));
        let over: Vec<LeaseId> = self.metered.keys().filter(|id| ended(id)).copied().collect();
        for lease in over {
            self.watch.handle(Time(0), Seen::End { lease });
            let Some(metered) = self.metered.get_mut(&lease) else { continue };
            let ended = *metered.ended.get_or_insert(ctx.now);
            // What gateways counted last is still on its way.
            if ctx.now.since(ended) >= COUNTED_WITHIN {
                metered.meter.report_lapsed();
                self.sign_last(ctx, ledger, lease);
                self.metered.remove(&lease);
            }
        }
    }

    /// Probes every replica of a deployment and signs for it if it is our turn.
    fn look_after(&mut self, ctx: &mut Context, ledger: &Ledger, deployment: &Deployment) {
        let view = ledger.view();
        for lease in deployment.slots.iter().filter_map(|slot| view.lease(slot.lease?)) {
            if !lease.is_open(view.now()) {
                continue;
            }
            self.meter(ctx, lease, view.now().since(lease.start));
            self.catch_up(ctx.now, lease);
            let rank = rank(ctx, ledger, deployment);
            self.watch.handle(ctx.now, Seen::Rank { lease: lease.id, rank });
            self.sign(ctx, ledger, deployment, lease);
            let Some(metered) = self.metered.get_mut(&lease.id) else { continue };
            if !core::mem::replace(&mut metered.probing, true) {
                let probe = Ask::Probe(Probe { lease: lease.id, generation: lease.generation });
                ctx.ask(lease.terms.provider, Channel::Market, &probe, PROBE_WITHIN, Asked::Probe { lease: lease.id });
            }
        }
    }

    /// Begins to meter a lease that has run for so long; what others signed for until now counts as served.
    fn meter(&mut self, ctx: &Context, lease: &Lease, elapsed: Millis) {
        let start = Time(ctx.now.0.saturating_sub(elapsed.0));
        if let Some(metered) = self.metered.get_mut(&lease.id) {
            return metered.meter.began(start);
        }
        let base = (lease.sequence > 0).then(|| paid(lease));
        let meter = Meter::new(lease.id, lease.terms.clone(), lease.generation, start, base);
        let metered = Metered {
            deployment: lease.deployment,
            meter,
            last: None,
            probing: false,
            reason: None,
            health: None,
            judged: Judged::default(),
            visited: Time(0),
            silent: 0,
            held: 0,
            ended: None,
            fault: false,
        };
        self.metered.insert(lease.id, metered);
        self.watch.handle(ctx.now, Seen::Begin { lease: lease.id });
    }

    /// Goes on from what the ledger has paid, whoever signed it and whatever was told since: less would be refused.
    fn catch_up(&mut self, now: Time, lease: &Lease) {
        let Some(metered) = self.metered.get_mut(&lease.id) else { return };
        if lease.sequence > 0 {
            // What is known already is no news.
            let _ = metered.meter.adopt(now, &paid(lease), Word::Paid);
        }
    }

    /// Signs for what was counted until a lease ended: its provider may still hand that in.
    fn sign_last(&mut self, ctx: &mut Context, ledger: &Ledger, id: LeaseId) {
        let view = ledger.view();
        let Some(lease) = view.lease(id) else { return };
        if let Some(deployment) = view.deployment(lease.deployment) {
            self.sign(ctx, ledger, deployment, lease);
        }
    }

    fn sign(&mut self, ctx: &mut Context, ledger: &Ledger, deployment: &Deployment, lease: &Lease) {
        let payers = payers(ctx, ledger, deployment);
        let owed = |lease: &Lease| self.amount(lease.id).unwrap_or_default().saturating_sub(lease.settled);
        let this = (lease.slot, &lease.terms, needed(&lease.terms, owed(lease)));
        if signs(ledger, deployment, this, owed, &payers) != Some(ctx.me) {
            return;
        }
        let Some(metered) = self.metered.get_mut(&lease.id) else { return };
        if let Some(receipt) = metered.meter.receipt(ctx.now, ledger.view().claimable(lease)) {
            let expires = ledger.time().max(ctx.now).after(RECEIPT_LIFE);
            metered.last = Some(Signed::seal(ctx.network, &ctx.key, expires, receipt));
        }
        // The last one is told again until there is a new one: a provider that was away hears it when it is back.
        if let Some(last) = &metered.last {
            let message = MarketMessage::Receipt(last.clone());
            ctx.send(lease.terms.provider, Channel::Steward, &message);
            for payer in payers.iter().filter(|payer| payer.alive) {
                ctx.send(payer.peer, Channel::Steward, &message);
            }
        }
    }

    /// A provider answered a probe, or did not. If it says that it serves, the replica is asked itself.
    pub(crate) fn probed(
        &mut self,
        ctx: &mut Context,
        ledger: &Ledger,
        library: &Library,
        lease: LeaseId,
        reply: Option<AskReply>,
    ) {
        let Some(metered) = self.metered.get_mut(&lease) else { return };
        let waits = matches!(reply, Some(AskReply::Waiting(_)));
        let Some(reply) = reply.and_then(AskReply::probe) else {
            self.glimpses.push(metered.glimpse(false));
            return self.unanswered(ctx.now, lease);
        };
        metered.meter.report(reply.counters);
        if let Some(receipt) = reply.receipt {
            // Whatever number it shows, the next one has to be above it.
            self.heed(ctx, ledger, &receipt);
        }
        let Some(metered) = self.metered.get_mut(&lease) else { return };
        if waits && metered.held < HELD {
            // Another provider would have to wait for the same.
            metered.held += 1;
            return self.unpaid(ctx.now, lease, reply.reason.unwrap_or_default());
        }
        if !reply.serving {
            return self.judge(ctx.now, lease, Err(reply.reason.unwrap_or_else(|| "it does not serve".into())));
        }
        let Some(metered) = self.metered.get_mut(&lease) else { return };
        let rank = ledger.view().deployment(metered.deployment).map_or(0, |found| rank(ctx, ledger, found));
        if rank > 0 && ctx.now.since(metered.visited) < VISIT_EVERY {
            // Somebody before us signs. Between our own looks we go by the last one.
            let verdict = metered.reason.clone().map_or(Ok(()), Err);
            return self.judge(ctx.now, lease, verdict);
        }
        metered.visited = ctx.now;
        self.visit(ctx, ledger, library, lease);
    }

    /// Asks a replica for the page of its health check, or for where its requests go.
    fn visit(&mut self, ctx: &mut Context, ledger: &Ledger, library: &Library, id: LeaseId) {
        let view = ledger.view();
        let Some(metered) = self.metered.get_mut(&id) else { return };
        let Some(lease) = view.lease(id) else { return };
        let Some(deployment) = view.deployment(lease.deployment) else { return };
        let Some(spec) = deployment.slot(lease.slot).map(|slot| &slot.spec) else { return };
        let service = library.get(deployment.manifest).and_then(|manifest| manifest.services.get(&spec.service));
        metered.health = service.and_then(|service| service.health.clone());
        let path = metered.health.as_ref().map(|health| health.path.clone());
        let within = metered.health.as_ref().map_or(VISIT_WITHIN, |health| health.timeout.0.min(VISIT_WITHIN));
        ctx.push(Action::Visit {
            lease: id,
            generation: lease.generation,
            provider: lease.terms.provider,
            name: deployment.name().unwrap_or_default().to_owned(),
            path: path.or_else(|| spec.route.clone()).unwrap_or_else(|| "/".into()),
            within,
            whole: false,
        });
    }

    /// A replica answered a visit, or did not.
    pub(crate) fn visited(&mut self, now: Time, lease: LeaseId, visit: Visit) {
        let Some(metered) = self.metered.get_mut(&lease) else { return };
        match visit {
            Visit::Answered(status) | Visit::Read { status, .. } => {
                metered.silent = 0;
                self.glimpses.push(metered.glimpse(true));
                let verdict = metered.accept(now, status);
                self.judge(now, lease, verdict);
            }
            Visit::Late if metered.health.is_none() => {
                // Its node took the request, whatever it was blamed for before.
                metered.fault = false;
                self.silent(now, lease);
            }
            Visit::Late => match metered.accept(now, 504) {
                Ok(()) => self.unpaid(now, lease, "it did not answer its health check in time".into()),
                bad => self.judge(now, lease, bad),
            },
            Visit::Failed { reason } => {
                self.glimpses.push(metered.glimpse(false));
                self.judge(now, lease, Err(reason));
            }
        }
    }

    /// A replica whose node took the request but which says nothing. It may be its own program that never ends, which
    /// moving does not cure: that is not paid for, and only after a long while is another provider tried.
    fn silent(&mut self, now: Time, lease: LeaseId) {
        let Some(metered) = self.metered.get_mut(&lease) else { return };
        metered.silent = metered.silent.saturating_add(1);
        let reason = format!("it did not answer within {VISIT_WITHIN} ms; silence is not paid");
        if metered.silent >= SILENT {
            return self.judge(now, lease, Err(reason));
        }
        self.unpaid(now, lease, reason);
    }

    /// Takes down that a replica may live, and did not serve.
    fn unpaid(&mut self, now: Time, lease: LeaseId, reason: String) {
        let Some(metered) = self.metered.get_mut(&lease).filter(|metered| metered.ended.is_none()) else { return };
        metered.probing = false;
        metered.reason = Some(reason);
        metered.meter.probe(now, false);
        self.watch.handle(now, Seen::Probe { lease, ok: true });
    }

    /// A replica's node said nothing.
    fn unanswered(&mut self, now: Time, lease: LeaseId) {
        let Some(metered) = self.metered.get_mut(&lease).filter(|metered| metered.ended.is_none()) else { return };
        metered.probing = false;
        metered.reason = Some("its provider does not answer".into());
        metered.meter.probe(now, false);
        self.watch.handle(now, Seen::Unanswered { lease });
    }

    /// Takes down whether a replica serves, by the latest probe.
    fn judge(&mut self, now: Time, lease: LeaseId, verdict: Result<(), String>) {
        let Some(metered) = self.metered.get_mut(&lease).filter(|metered| metered.ended.is_none()) else { return };
        metered.probing = false;
        let ok = verdict.is_ok();
        metered.reason = verdict.err();
        metered.meter.probe(now, ok);
        self.watch.handle(now, Seen::Probe { lease, ok });
    }

    /// Another payer signed a receipt: go on from it.
    pub(crate) fn adopt(&mut self, ctx: &Context, ledger: &Ledger, receipt: &Signed<Receipt>) {
        let Some(metered) = self.metered.get(&receipt.body.lease) else { return };
        if metered.meter.check_number(ctx.now, receipt.body.sequence).is_ok() {
            self.heed(ctx, ledger, receipt);
        }
    }

    /// Goes on from a receipt of another payer, as far as the word of who signed it counts.
    fn heed(&mut self, ctx: &Context, ledger: &Ledger, receipt: &Signed<Receipt>) {
        let view = ledger.view();
        let Some(metered) = self.metered.get_mut(&receipt.body.lease) else { return };
        let Some(deployment) = view.deployment(metered.deployment) else { return };
        let payer = view.payer_of(deployment, receipt.signer);
        let may = payer.is_some_and(|payer| payer != metered.meter.terms().operator);
        if !may || receipt.open(ctx.network, ctx.now).is_err() {
            return;
        }
        let full = receipt.signer == ctx.key.public() || view.allowance(deployment, receipt.signer).is_none();
        let word = match view.lease(receipt.body.lease) {
            Some(lease) if full => Word::Full { most: lease.claimable(view.now().after(ELAPSED_TOLERANCE)) },
            _ => Word::Limited,
        };
        // One that is not larger than what we know is no news.
        let _ = metered.meter.adopt(ctx.now, &receipt.body, word);
    }

    /// A gateway counted. Our own is believed in any case, unless the provider is of our operator.
    pub(crate) fn counted(&mut self, ctx: &Context, ledger: &Ledger, steward: bool, from: PeerId, counted: Counted) {
        let view = ledger.view();
        // The first requests come before the first look at a new lease.
        let lease = view.lease(counted.lease).filter(|lease| lease.is_open(view.now()));
        let deployment = |lease: &&Lease| view.deployment(lease.deployment);
        if let Some(lease) = lease
            && deployment(&lease).is_some_and(|found| is_taken_on(ctx, ledger, found, steward))
        {
            self.meter(ctx, lease, view.now().since(lease.start));
        }
        let Some(metered) = self.metered.get_mut(&counted.lease) else { return };
        let Some(lease) = view.lease(counted.lease) else { return };
        let Some(deployment) = deployment(&lease) else { return };
        let ours = from == ctx.me && ctx.account != lease.terms.operator;
        if ours || is_believed(ledger, deployment, lease, from) {
            metered.meter.gateway(counted.requests, ByteCount(counted.egress));
        }
    }

    /// How a replica looks from here, when we watch it.
    pub(crate) fn seen(&self, lease: LeaseId) -> Option<Sight> {
        let metered = self.metered.get(&lease)?;
        Some(Sight { health: self.watch.health(&lease), reason: metered.reason.clone() })
    }

    /// The counters and the amount of the newest receipt we know of.
    pub(crate) fn receipted(&self, lease: LeaseId) -> Option<(Counters, Amount)> {
        let last = self.metered.get(&lease)?.meter.last()?;
        Some((last.counters, last.amount))
    }

    /// The amount of the newest receipt that we know of.
    pub(crate) fn amount(&self, lease: LeaseId) -> Option<Amount> {
        Some(self.metered.get(&lease)?.meter.last()?.amount)
    }

    /// What the newest receipt that we know of disputes.
    pub(crate) fn disputed(&self, lease: LeaseId) -> Option<Amount> {
        Some(self.metered.get(&lease)?.meter.last()?.disputed)
    }
}

/// The last receipt that the ledger has paid, as far as it is remembered there.
const fn paid(lease: &Lease) -> Receipt {
    Receipt {
        lease: lease.id,
        generation: lease.generation,
        sequence: lease.sequence,
        counters: lease.counters,
        amount: lease.settled,
        disputed: lease.held,
    }
}

impl Metered {
    /// Takes down whether its node does its part.
    const fn glimpse(&mut self, ok: bool) -> Glimpse {
        self.fault = !ok;
        let operator = self.meter.terms().operator;
        if ok { Glimpse::Answered(operator) } else { Glimpse::Failed(operator) }
    }

    /// Whether an answer shows that the replica serves: any does, unless the service has a health check, which gives up
    /// after so many bad answers, each its interval after the one before.
    fn accept(&mut self, now: Time, status: u16) -> Result<(), String> {
        let Some(health) = self.health.as_ref().filter(|_| status >= 400) else {
            self.judged = Judged::default();
            return Ok(());
        };
        let Judged { failures, last } = &mut self.judged;
        if *failures == 0 || now.since(*last) >= health.interval {
            (*failures, *last) = (failures.saturating_add(1), now);
        }
        if *failures < health.retries.max(1) {
            return Ok(());
        }
        Err(format!("its health check {} was answered with {status} {failures} times", health.path))
    }
}
