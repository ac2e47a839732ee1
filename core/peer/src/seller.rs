//! The seller: quotes, runs what is leased from us, keeps the payers' receipts, settles and renews.
//!
//! Upon a lease of ours that is open: run it. Upon one that is not: stop it; its data stays. The ledger alone decides, so
//! a restart that reads the ledger again comes to the same.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{Action as Deed, Deployment, Lease, LeaseState, Ledger, Rejection, Verb};
use grange_market::till::{Claimable, ELAPSED_TOLERANCE, Settled, Tab};
use grange_market::{Buyer, Desk, DeskSetup, OpenError, QuoteRequest, Till};
use grange_types::{
    AccountId, Amount, ByteCount, Counters, Kind, LeaseId, Manifest, Millis, PeerId, Quote, Receipt, Signed, Time,
    Work, limits,
};

use crate::action::Action;
use crate::config::Config;
use crate::context::{Context, Outcome, Purpose};
use crate::event::WorkEvent;
use crate::funds::affordable_rate;
use crate::gateways::{is_believed, is_stranger};
use crate::library::{Library, holders};
use crate::message::{Ask, AskReply, Counted, Probe, ProbeReply};

/// A quote's envelope outlives the quote itself, which is judged by block time.
const QUOTE_ENVELOPE: Millis = Millis::minutes(10);
/// A workload that failed to start is tried again after so long.
const START_AGAIN: Millis = Millis::seconds(5);

/// An account whose receipts the ledger refused, until the provider stopped, is quoted nothing for so long.
const REFUSED_FOR: Millis = Millis::minutes(10);

/// A lease that is older when it is first seen is one that this node served before it started again.
const NEW: Millis = Millis::seconds(10);

/// So many providers of before are asked for data that nobody else knows of.
const EARLIER: usize = 8;

/// How a workload of ours is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stage {
    /// Its manifest is not here yet.
    Waiting,
    /// Told to start.
    Starting,
    /// It waits for something that no other provider could do without either.
    Held { reason: String },
    /// It serves.
    Serving,
    /// It does not; tried again at a time.
    Failed { reason: String, again: Time },
}

#[derive(Debug)]
struct Run {
    generation: u64,
    stage: Stage,
    /// What was delivered before the workload that runs now was started.
    base: Counters,
    /// What was delivered in all.
    counters: Counters,
    /// A renewal under way, or refused: not asked again before the lease changes.
    renewing: bool,
    /// This node starts again, and has not heard yet what its payers remember of the time before.
    forgetful: bool,
}

pub(crate) struct Seller {
    pub(crate) desk: Option<Desk>,
    till: Till,
    runs: BTreeMap<LeaseId, Run>,
    /// Leases whose receipts were refused together with others: each is handed in by itself next time.
    apart: BTreeSet<LeaseId>,
    /// Accounts that are quoted nothing, and until when.
    refused: BTreeMap<AccountId, Time>,
}

impl Seller {
    pub(crate) fn new(desk: Option<Desk>) -> Self {
        Self { desk, till: Till::new(), runs: BTreeMap::new(), apart: BTreeSet::new(), refused: BTreeMap::new() }
    }

    /// Answers a question of a buyer.
    pub(crate) fn asked(&mut self, ctx: &mut Context, ledger: &Ledger, from: PeerId, ask: Ask) -> AskReply {
        match ask {
            Ask::Quote { request } => match self.quote(ctx, ledger, from, &request) {
                Ok(quote) => AskReply::Quote(Box::new(quote)),
                Err(reason) => AskReply::Refused { reason },
            },
            Ask::Probe(probe) => match self.runs.get(&probe.lease) {
                Some(Run { stage: Stage::Held { .. }, .. }) => AskReply::Waiting(self.probe(probe)),
                _ => AskReply::Probe(self.probe(probe)),
            },
            Ask::Look => AskReply::Here,
            Ask::Cancel { deployment, slot, nonce } => {
                // Only whose reservation it is.
                let buyer = ledger.view().account_of(from);
                if let (Some(desk), Some(buyer)) = (&mut self.desk, buyer) {
                    desk.cancel(deployment, slot, nonce, buyer);
                }
                AskReply::Here
            }
        }
    }

    fn quote(
        &mut self,
        ctx: &Context,
        ledger: &Ledger,
        from: PeerId,
        request: &QuoteRequest,
    ) -> Result<Signed<Quote>, String> {
        let desk = self.desk.as_mut().ok_or("this node sells nothing")?;
        let view = ledger.view();
        let asker = view.account_of(from).ok_or("the asker's key was taken out of its account")?;
        let owner = match view.deployment(request.deployment) {
            Some(found) => {
                // Else anybody could have its turn taken by a generation that never comes. A slot that is not there yet is
                // of an update under way.
                let next = found.slot(request.slot).map_or(1, |slot| slot.generation + 1);
                let may = found.owner == asker || found.delegates_to(asker, Verb::Place);
                if !may || request.generation != next {
                    return Err("only who may place the slot's next generation is quoted for it".into());
                }
                found.owner
            }
            // A deployment that is not on the ledger yet can only be its asker's own.
            None if request.generation == 1 => asker,
            None => return Err("a deployment begins with generation 1".into()),
        };
        if self.refused.get(&owner).is_some_and(|until| *until > ctx.now) {
            return Err("the ledger refused what this account's payers signed last; ask again in some minutes".into());
        }
        // The block that opens the lease is still to come; the last one may be hours old.
        let now = ledger.time().max(ctx.now);
        // All that is his: what he has reserved for his other deployments counts too.
        let money = view.account(owner).map_or(Amount::ZERO, |account| account.balance.saturating_add(account.pending));
        let rate = affordable_rate(view.parameters(), money);
        let quote = desk.quote(request, Buyer { account: owner, rate }, now).map_err(|refusal| refusal.to_string())?;
        Ok(Signed::seal(ctx.network, &ctx.key, now.after(QUOTE_ENVELOPE), quote))
    }

    fn probe(&self, probe: Probe) -> ProbeReply {
        let receipt = self.till.tab(&probe.lease).and_then(|tab| tab.best().cloned());
        match self.runs.get(&probe.lease) {
            Some(run) if run.generation == probe.generation => ProbeReply {
                serving: run.stage == Stage::Serving,
                counters: run.counters,
                receipt,
                reason: match &run.stage {
                    Stage::Serving => None,
                    Stage::Waiting => Some("its manifest is being fetched".into()),
                    Stage::Starting => Some("it is starting".into()),
                    Stage::Failed { reason, .. } | Stage::Held { reason } => Some(reason.clone()),
                },
            },
            _ => {
                let reason = Some("no such lease is served here".into());
                ProbeReply { serving: false, counters: Counters::default(), receipt, reason }
            }
        }
    }

    /// Brings what runs in line with what is leased, for all leases; after a start.
    pub(crate) fn reconcile(&mut self, ctx: &mut Context, ledger: &Ledger, library: &mut Library) {
        let leases: Vec<LeaseId> = ledger.view().leases_of_provider(ctx.me).map(|lease| lease.id).collect();
        for lease in leases {
            self.lease_changed(ctx, ledger, library, lease);
        }
    }

    /// Brings one lease in line.
    pub(crate) fn lease_changed(&mut self, ctx: &mut Context, ledger: &Ledger, library: &mut Library, id: LeaseId) {
        let view = ledger.view();
        let Some(lease) = view.lease(id) else {
            self.till.forget(&id);
            self.apart.remove(&id);
            return self.stop(ctx, id);
        };
        if lease.terms.provider != ctx.me {
            return;
        }
        if matches!(lease.state, LeaseState::Closed { .. }) {
            self.till.forget(&id);
            self.apart.remove(&id);
            return self.stop(ctx, id);
        }
        let Lease { sequence, settled: amount, counters, held, .. } = *lease;
        let paid = Settled { sequence, amount, counters, held };
        if !lease.is_open(view.now()) {
            self.stop(ctx, id);
            self.till.settled(&id, paid);
            self.till.close(&id);
            return;
        }
        if let Some(run) = self.runs.get_mut(&id) {
            run.renewing = false;
            self.till.settled(&id, paid);
            return;
        }
        if let Some(desk) = &mut self.desk {
            let opened = desk.opened(id, lease.deployment, lease.slot, lease.generation, &lease.terms);
            if let Err(OpenError::NoRoom { .. }) = opened {
                // What was reserved lapsed and was sold to another: better no lease than two that share.
                ctx.submit(ledger, Deed::CloseLease { lease: id }, Purpose::Close(id));
                return;
            }
        }
        self.till.open(ctx.now, id, lease.generation, lease.terms.clone(), paid, lease.counters);
        let Lease { generation, counters, .. } = *lease;
        let forgetful = view.now().since(lease.start) > NEW;
        let run = Run { generation, stage: Stage::Waiting, base: counters, counters, renewing: false, forgetful };
        self.runs.insert(id, run);
        self.begin(ctx, ledger, library, id);
    }

    fn begin(&mut self, ctx: &mut Context, ledger: &Ledger, library: &mut Library, id: LeaseId) {
        let view = ledger.view();
        let Some(lease) = view.lease(id) else { return };
        let Some(deployment) = view.deployment(lease.deployment) else { return };
        let Some(run) = self.runs.get_mut(&id) else { return };
        let Some(manifest) = library.get(deployment.manifest) else {
            run.stage = Stage::Waiting;
            return library.want(ctx, ledger, deployment);
        };
        // What the slot runs by now is another revision, under a lease of its own.
        let current = deployment.slot(lease.slot).is_some_and(|slot| slot.spec.revision == lease.revision);
        run.stage = match work(ctx, ledger, deployment, lease, manifest).filter(|_| current) {
            Some(work) => {
                run.base = run.counters;
                let from = holders(ctx, ledger, deployment);
                ctx.push(Action::Start { work: Box::new(work), from });
                Stage::Starting
            }
            None => {
                let reason = "the deployment was updated, and this lease is for what ran before";
                Stage::Failed { reason: reason.into(), again: Time(u64::MAX) }
            }
        };
    }

    fn stop(&mut self, ctx: &mut Context, id: LeaseId) {
        if self.runs.remove(&id).is_some() {
            ctx.push(Action::Stop { lease: id });
        }
        if let Some(desk) = &mut self.desk {
            desk.closed(&id);
        }
    }

    /// A manifest has arrived: start what waited for it.
    pub(crate) fn manifest_arrived(&mut self, ctx: &mut Context, ledger: &Ledger, library: &mut Library) {
        let waiting = self.runs.iter().filter(|(_, run)| run.stage == Stage::Waiting);
        for id in waiting.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.begin(ctx, ledger, library, id);
        }
    }

    /// A workload has news.
    pub(crate) fn work(&mut self, now: Time, id: LeaseId, event: WorkEvent) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        match event {
            WorkEvent::Serving => run.stage = Stage::Serving,
            WorkEvent::Waiting { reason } => run.stage = Stage::Held { reason },
            WorkEvent::Failed { reason } => run.stage = Stage::Failed { reason, again: now.after(START_AGAIN) },
            WorkEvent::Counters(counters) => {
                run.counters = Counters::max(&run.counters, &run.base.plus(&counters));
                self.till.delivered(&id, run.counters);
            }
        }
    }

    /// Takes a payer's receipt.
    pub(crate) fn receipt(&mut self, ctx: &Context, ledger: &Ledger, receipt: Signed<Receipt>) {
        let view = ledger.view();
        let Some(lease) = view.lease(receipt.body.lease) else { return };
        let Some(deployment) = view.deployment(lease.deployment) else { return };
        let payer = view.payer_of(deployment, receipt.signer);
        let may = payer.is_some_and(|payer| payer != lease.terms.operator);
        if !may || receipt.open(ctx.network, ctx.now).is_err() {
            return;
        }
        let left = view.allowance(deployment, receipt.signer);
        if left.is_some_and(|left| receipt.body.amount.saturating_sub(lease.settled) > left) {
            // The ledger would refuse it, so it is no pay; and what another payer signed must not give way to it.
            return;
        }
        // A receipt that is not better than the one we hold changes nothing.
        if self.till.accept(ctx.now, claimable(lease, view.now()), receipt).is_ok()
            && let Some(run) = self.runs.get_mut(&lease.id).filter(|run| run.forgetful)
            && let Some(tab) = self.till.tab(&lease.id)
        {
            // A restart forgot what was delivered since the last settlement; a payer's word reminds us, once. Whoever paid ahead would
            // have us count what was never delivered.
            run.forgetful = false;
            let forgotten = tab.granted().minus(&run.counters);
            run.base = run.base.plus(&forgotten);
            run.counters = run.counters.plus(&forgotten);
        }
    }

    /// Frees reservations, settles, renews, tries again; about once a second.
    pub(crate) fn tick(&mut self, ctx: &mut Context, ledger: &Ledger, library: &mut Library) {
        if let Some(desk) = &mut self.desk {
            desk.final_block(ledger.time());
        }
        self.refused.retain(|_, until| *until > ctx.now);
        let known: Vec<&Lease> = self.till.tabs().filter_map(|(id, _)| ledger.view().lease(*id)).collect();
        for lease in known {
            self.till.claimable(&lease.id, claimable(lease, ledger.view().now()));
        }
        while let Some(receipt) = self.till.poll_early() {
            self.receipt(ctx, ledger, receipt);
        }
        self.cash(ctx, ledger);
        while let Some((lease, served)) = self.till.poll_strangers() {
            ctx.push(Action::Strangers { lease, served });
        }
        while let Some(lease) = self.till.poll_stop() {
            let found = ledger.view().lease(lease).filter(|_| self.till.tab(&lease).is_some_and(Tab::is_refused));
            if let Some(deployment) = found.and_then(|lease| ledger.view().deployment(lease.deployment)) {
                self.refused.insert(deployment.owner, ctx.now.after(REFUSED_FOR));
            }
            // Not paid for a whole credit window: serving on would be a gift.
            if self.runs.contains_key(&lease) {
                ctx.submit(ledger, Deed::CloseLease { lease }, Purpose::Close(lease));
            }
        }
        self.renew(ctx, ledger);
        self.retry(ctx, ledger, library);
    }

    /// Hands in the receipts that are due, many in one transaction. One that does not apply would keep the others from
    /// being paid, so those of a transaction that was refused come one by one when they are due again.
    fn cash(&mut self, ctx: &mut Context, ledger: &Ledger) {
        let (apart, mut together): (Vec<_>, Vec<_>) =
            self.till.poll_settle(ctx.now).into_iter().partition(|receipt| self.apart.remove(&receipt.body.lease));
        if together.len() == 1 {
            hand_in(ctx, ledger, together.pop());
        }
        for receipts in together.chunks(limits::RECEIPTS) {
            let leases = receipts.iter().map(|receipt| receipt.body.lease).collect();
            ctx.submit(ledger, Deed::SettleMany { receipts: receipts.to_vec() }, Purpose::Settle(leases));
        }
        for receipt in apart {
            hand_in(ctx, ledger, Some(receipt));
        }
    }

    /// What became of receipts that were handed in.
    pub(crate) fn cashed(&mut self, leases: &[LeaseId], outcome: &Outcome) {
        match outcome {
            Err(_) if leases.len() > 1 => self.apart.extend(leases),
            Err(
                Rejection::KeyCeiling { .. }
                | Rejection::DelegateCeiling { .. }
                | Rejection::ReceiptSigner { .. }
                | Rejection::ReceiptByOperator { .. }
                | Rejection::Inner { .. },
            ) => leases.iter().for_each(|lease| self.till.refused(lease)),
            _ => {}
        }
    }

    /// A peer's requests took something from a replica of ours: what no payer will count is not owed.
    pub(crate) fn taken(&mut self, ledger: &Ledger, from: PeerId, taken: Counted) {
        let view = ledger.view();
        let Some(lease) = view.lease(taken.lease) else { return };
        let Some(deployment) = view.deployment(lease.deployment) else { return };
        let (requests, egress) = (taken.requests, ByteCount(taken.egress));
        if is_stranger(ledger, deployment, from) {
            self.till.taken_by_strangers(&taken.lease, requests, egress);
        } else if !is_believed(ledger, deployment, lease, from) {
            self.till.unbilled(&taken.lease, requests, egress);
        }
    }

    /// What became of the end of a lease: where nothing did, it is asked for again while nobody pays.
    pub(crate) fn closed(&mut self, lease: LeaseId, outcome: &Outcome) {
        if outcome.is_err() {
            self.till.stop_again(&lease);
        }
    }

    fn renew(&mut self, ctx: &mut Context, ledger: &Ledger) {
        let view = ledger.view();
        let (now, length) = (view.now(), view.parameters().lease_length);
        let pays = |id: &LeaseId| self.till.tab(id).is_none_or(|tab| !tab.is_stopped());
        for (id, run) in self.runs.iter_mut().filter(|(id, run)| !run.renewing && pays(id)) {
            let Some(end) = view.lease(*id).and_then(|lease| lease.end) else { continue };
            if end.since(now).0 <= length.0 / 2 {
                run.renewing = true;
                ctx.submit(ledger, Deed::RenewLease { lease: *id }, Purpose::Renew(*id));
            }
        }
    }

    /// Starts again what failed, and stops what its lease outlived.
    fn retry(&mut self, ctx: &mut Context, ledger: &Ledger, library: &mut Library) {
        let view = ledger.view();
        let over = |id: &LeaseId| view.lease(*id).is_none_or(|lease| !lease.is_open(view.now()));
        let ended: Vec<LeaseId> = self.runs.keys().filter(|id| over(id)).copied().collect();
        for id in ended {
            self.lease_changed(ctx, ledger, library, id);
        }
        let due = self.runs.iter().filter(|(_, run)| match run.stage {
            Stage::Failed { again, .. } => again <= ctx.now,
            Stage::Waiting => true,
            _ => false,
        });
        for id in due.map(|(id, _)| *id).collect::<Vec<_>>() {
            self.begin(ctx, ledger, library, id);
        }
    }

    /// What became of a renewal.
    pub(crate) fn renewed(&mut self, lease: LeaseId, outcome: &Outcome) {
        let refused = matches!(outcome, Err(Rejection::BudgetExhausted { .. }));
        if let Some(run) = self.runs.get_mut(&lease) {
            run.renewing = refused;
        }
    }

    /// How many workloads there are, and how many of them serve.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.runs.len(), self.runs.values().filter(|run| run.stage == Stage::Serving).count())
    }
}

/// What a node's desk starts from.
pub(crate) fn desk_setup(ctx: &mut Context, config: &Config) -> DeskSetup {
    DeskSetup {
        provider: ctx.me,
        operator: ctx.account,
        display: config.display.clone(),
        region: config.region.clone(),
        kinds: config.kinds.clone(),
        isolation: config.isolation,
        capacity: config.capacity,
        prices: config.prices,
        sequence: config.sequence,
        first_nonce: ctx.number(),
    }
}

/// The leases of the same slot before this one that the ledger still shows, the last one first.
fn earlier<'a>(ledger: &'a Ledger, lease: &Lease) -> Vec<&'a Lease> {
    let (slot, generation) = (lease.slot, lease.generation);
    let before = ledger.view().leases_of(lease.deployment);
    let mut before: Vec<&Lease> = before.filter(|other| other.slot == slot && other.generation < generation).collect();
    before.sort_by_key(|other| core::cmp::Reverse(other.generation));
    before
}

/// The other providers among them, each once.
fn others(lease: &Lease, before: &[&Lease]) -> Vec<PeerId> {
    let mut seen = BTreeSet::from([lease.terms.provider]);
    let providers = before.iter().map(|other| other.terms.provider).filter(|provider| seen.insert(*provider));
    providers.take(EARLIER).collect()
}

/// Who keeps a copy of a replica's key-values: a node of the owner, one that is there if there is any, and the stewards, one of
/// each operator, and none of the provider's.
fn keepers(ctx: &Context, ledger: &Ledger, deployment: &Deployment, lease: &Lease) -> Vec<PeerId> {
    if lease.terms.kind != Kind::Wasm {
        return Vec::new();
    }
    let view = ledger.view();
    let mut owners = view.nodes_of(deployment.owner);
    owners.sort_by_key(|peer| !ctx.reaches(*peer));
    let mut operators = BTreeSet::from([lease.terms.operator]);
    let payers = owners.into_iter().chain(view.stewards_of(deployment));
    payers.filter(|peer| operators.insert(operator_of(ledger, *peer))).take(limits::KEEPERS).collect()
}

fn operator_of(ledger: &Ledger, peer: PeerId) -> AccountId {
    ledger.view().operator_of(peer).unwrap_or_else(|| peer.account())
}

/// What to run for a lease: the lease's own workload with the settings of its service.
fn work(ctx: &Context, ledger: &Ledger, deployment: &Deployment, lease: &Lease, manifest: &Manifest) -> Option<Work> {
    let slot = deployment.slot(lease.slot)?;
    let service = manifest.services.get(&slot.spec.service)?;
    let before = earlier(ledger, lease);
    let ours = before.first().filter(|other| other.terms.provider == lease.terms.provider);
    let previous = ours.map(|other| other.generation).filter(|generation| generation + 1 == lease.generation);
    Some(Work {
        lease: lease.id,
        deployment: deployment.id,
        name: manifest.name.clone(),
        service: slot.spec.service.clone(),
        replica: slot.spec.replica,
        generation: lease.generation,
        previous,
        keepers: keepers(ctx, ledger, deployment, lease),
        before: others(lease, &before),
        seal: None,
        workload: service.workload.clone(),
        resources: lease.terms.resources,
        environment: service.environment.clone(),
        allow_http: service.allow_http.clone(),
    })
}

/// What the ledger lets the receipts of a lease say at a ledger time, and a moment before and after it.
fn claimable(lease: &Lease, at: Time) -> Claimable {
    let before = Time(at.0.saturating_sub(ELAPSED_TOLERANCE.0));
    Claimable {
        elapsed: lease.served(at),
        now: lease.claimable(at),
        before: lease.claimable(before),
        soon: lease.claimable(at.after(ELAPSED_TOLERANCE)),
        holdable: lease.holdable(at, lease.settled),
    }
}

/// Hands in one receipt.
fn hand_in(ctx: &mut Context, ledger: &Ledger, receipt: Option<Signed<Receipt>>) {
    let Some(receipt) = receipt else { return };
    let lease = receipt.body.lease;
    ctx.submit(ledger, Deed::Settle { receipt: Box::new(receipt) }, Purpose::Settle(vec![lease]));
}
