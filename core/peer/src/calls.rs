//! What a user asks, answered from the state, or carried on by the machine that knows.

use std::collections::{BTreeMap, BTreeSet};

use grange_api::{
    Call, Down, Line, Operation, Plan, PlannedService, Problem, ProblemCode, ProviderSettings, Reply, Submitted,
    Timestamp,
};
use grange_ledger::{Action as Deed, Deployment, Lease, Ledger, Transaction};
use grange_market::watch::Health;
use grange_types::{AccountId, Amount, DeploymentId, IdStart, LeaseId, Manifest, PeerId, Signed, Wire};

use crate::budget::{caps, lasts};
use crate::context::{Asked, Context, Outcome, PROBE_WITHIN, Purpose, Submission};
use crate::copies::Known;
use crate::deploy::{Deploys, Order};
use crate::describe;
use crate::event::{Asker, CallId};
use crate::funds::{Funds, funds, within_ceiling};
use crate::history::History;
use crate::library::Library;
use crate::means;
use crate::message::{Ask, Channel, Probe, ProbeReply};
use crate::notes::{first_cap, notes};
use crate::payer::{Payer, Sight};
use crate::problem::{
    name_taken, no_offer, rejected, unbilled, undecodable, unknown_account, unknown_deployment, unknown_lease,
    unknown_name, unknown_operator,
};
use crate::seller::Seller;
use crate::shelf::Shelf;
use crate::slots::{self, SlotPlan, stay};
use crate::trust;
use crate::witness::Witness;

/// A list that waits for providers to say how their replicas are.
struct Listing {
    deployments: Vec<DeploymentId>,
    waiting: BTreeSet<LeaseId>,
    sights: BTreeMap<LeaseId, Sight>,
}

/// The parts that calls need.
pub(crate) struct Parts<'a> {
    pub(crate) asker: &'a Asker,
    pub(crate) ledger: &'a Ledger,
    pub(crate) copies: &'a Known,
    pub(crate) history: &'a History,
    pub(crate) library: &'a mut Library,
    pub(crate) shelf: &'a mut Shelf,
    pub(crate) seller: &'a mut Seller,
    pub(crate) payer: &'a Payer,
    pub(crate) deploys: &'a mut Deploys,
    pub(crate) witness: &'a Witness,
    /// Why no call is taken now that needs a new block, if none is.
    pub(crate) stalled: Option<&'a str>,
}

#[derive(Default)]
pub(crate) struct Calls {
    listings: BTreeMap<CallId, Listing>,
    asked: BTreeMap<CallId, (&'static str, String)>,
    returns: BTreeMap<DeploymentId, Amount>,
}

impl Calls {
    /// Takes a call that is not answered by the edges themselves.
    pub(crate) fn begin(&mut self, ctx: &mut Context, mut parts: Parts<'_>, id: CallId, call: Call) {
        let (ledger, account) = (parts.ledger, parts.asker.account);
        let reply = match call {
            Call::Offers => Reply::Offers(trust::offers(ctx, ledger, parts.shelf, parts.witness)),
            Call::Providers => Reply::Providers(describe::providers(ctx, parts.shelf)),
            Call::Wallet => Reply::Wallet(describe::wallet(ledger, account)),
            Call::Caps => Reply::Caps(caps(ctx.now, ledger, account, parts.payer)),
            Call::WalletHistory { limit } => Reply::History(parts.history.newest(limit as usize)),
            Call::LedgerHeight => Reply::LedgerHeight(describe::height(ledger)),
            Call::Keys => Reply::Keys(describe::key_set(ledger, account)),
            Call::Names => Reply::Names(describe::names(ctx, ledger, parts.asker)),
            Call::LedgerAccount { account } => return look_up_account(ctx, ledger, id, &account),
            Call::LedgerLease { lease } => return look_up_lease(ctx, &parts, id, &lease),
            Call::LedgerName { name } => match ledger.view().deployment_named(&name) {
                Some(found) => Reply::Name(describe::name(&name, found, Some(describe::url(ctx, &name)))),
                None => return refuse(ctx, id, unknown_name(&name)),
            },
            Call::LedgerKey { key } => Reply::Accounts(describe::owned(ledger, key)),
            Call::Trust { of } => match trust::reports(ctx, ledger, parts.shelf, parts.witness, of.as_deref()) {
                Ok(Some(reports)) => Reply::Trust(reports),
                Ok(None) => return refuse(ctx, id, unknown_operator(&of.unwrap_or_default())),
                Err(error) => return refuse(ctx, id, Problem::ambiguous("trust", &of.unwrap_or_default(), error)),
            },
            Call::Plan { manifest } => return plan(ctx, &parts, id, account, &manifest),
            Call::Deploy { manifest, secrets, most } => {
                let Parts { library, shelf, deploys, payer, .. } = &mut parts;
                let order = Order { call: id, manifest: *manifest, secrets, only: None, most };
                deploys.begin(ctx, ledger, library, (shelf, payer), order);
                return;
            }
            Call::Deployments | Call::Deployment { .. } => return self.list(ctx, &parts, id, &call),
            Call::Usage { name } => return usage(ctx, &parts, id, &name),
            Call::Logs { ref name, .. } | Call::ExportData { ref name, .. } => {
                let problem = means::without_papers(ctx, &parts, papers(&call), name);
                return refuse(ctx, id, problem);
            }
            Call::SetPrices(settings) => return set_prices(ctx, &mut parts, id, settings.into()),
            Call::Pause(request) => return pause(ctx, &mut parts, id, request.paused),
            other => return self.transact(ctx, &parts, id, other),
        };
        ctx.reply(id, Ok(reply));
    }

    /// Calls that become a transaction and are answered when it is final.
    fn transact(&mut self, ctx: &mut Context, parts: &Parts<'_>, id: CallId, call: Call) {
        let (ledger, account) = (parts.ledger, parts.asker.account);
        let view = ledger.view();
        let named = |name: &str| view.deployment_named(name).filter(|found| found.owner == account);
        let (operation, thing, deed) = match call {
            Call::Transfer(request) => {
                let deed = Deed::Transfer { to: request.to, amount: request.amount, memo: request.memo };
                ("wallet send", request.to.to_string(), deed)
            }
            Call::SetCap(request) => {
                let per_day = request.per_day;
                ("wallet caps", account.to_string(), Deed::SetCap { per_day })
            }
            Call::Down { name } => return self.down(ctx, parts, id, name),
            Call::ClaimName(request) => {
                let Some(found) = named(&request.deployment) else {
                    let owner = view.deployment_named(&request.deployment).map(|found| found.owner);
                    return refuse(ctx, id, not_ours("name claim", &request.deployment, owner));
                };
                ("name claim", request.name.clone(), Deed::ClaimName { name: request.name, deployment: found.id })
            }
            Call::ReleaseName { name } => {
                if named(&name).is_some_and(|found| found.names.len() == 1) {
                    let text = "it is the only name of its deployment, which nobody could find or remove any more";
                    let problem = Problem::new(ProblemCode::Conflict, "name release", name, text)
                        .with_remedy("claim another name for it first, or remove it with `grange down`");
                    return refuse(ctx, id, problem);
                }
                ("name release", name.clone(), Deed::ReleaseName { name })
            }
            Call::SubmitTransaction { bytes } => return self.raw(ctx, id, &bytes),
            other => {
                let (operation, node) = (other.operation().id(), ctx.me.to_string());
                let problem = Problem::new(ProblemCode::Unsupported, operation, node, "this node does not answer that");
                return refuse(ctx, id, problem);
            }
        };
        self.asked.insert(id, (operation, thing));
        ctx.submit(ledger, deed, Purpose::Call(id));
    }

    fn down(&mut self, ctx: &mut Context, parts: &Parts<'_>, id: CallId, name: String) {
        let found = match means::present(ctx, parts, &name) {
            Ok(Some(found)) if found.owner == parts.asker.account => found,
            Ok(other) => return refuse(ctx, id, not_ours("down", &name, other.map(|found| found.owner))),
            Err(error) => return refuse(ctx, id, Problem::ambiguous("down", &name, error)),
        };
        let named = if found.names.contains(&name) { name } else { found.name().unwrap_or(&name).to_owned() };
        self.asked.insert(id, ("down", named));
        self.returns.insert(found.id, describe::returnable(parts.ledger, found));
        let deed = Deed::CloseDeployment { deployment: found.id };
        ctx.submit(parts.ledger, deed, Purpose::Down(id, found.id));
    }

    fn raw(&mut self, ctx: &mut Context, id: CallId, bytes: &[u8]) {
        match Signed::<Transaction>::decode(bytes) {
            Ok(transaction) => {
                self.asked.insert(id, ("submit", transaction.id().to_string()));
                ctx.submissions.push_back(Submission { transaction, purpose: Purpose::Call(id) });
            }
            Err(error) => refuse(ctx, id, undecodable("submit", error)),
        }
    }

    /// A transaction of a user's is final, or refused.
    pub(crate) fn outcome(&mut self, ctx: &mut Context, id: CallId, outcome: &Outcome) {
        let Some((operation, thing)) = self.asked.remove(&id) else { return };
        let reply = match outcome {
            Ok((transaction, height)) => Ok(Reply::Submitted(Submitted { transaction: *transaction, height: *height })),
            Err(rejection) => Err(rejected(operation, &thing, rejection)),
        };
        ctx.reply(id, reply);
    }

    /// A deployment of a user's is closed, or could not be.
    pub(crate) fn closed(&mut self, ctx: &mut Context, id: CallId, deployment: DeploymentId, outcome: &Outcome) {
        let Some((operation, thing)) = self.asked.remove(&id) else { return };
        let returned = self.returns.remove(&deployment).unwrap_or_default();
        let reply = match outcome {
            Ok((transaction, height)) => {
                Ok(Reply::Down(Down { deployment: thing, returned, transaction: *transaction, height: *height }))
            }
            Err(rejection) => Err(rejected(operation, &thing, rejection)),
        };
        ctx.reply(id, reply);
    }

    /// Lists replicas: what we watch ourselves we know, the rest we ask.
    fn list(&mut self, ctx: &mut Context, parts: &Parts<'_>, id: CallId, call: &Call) {
        let (view, account) = (parts.ledger.view(), parts.asker.account);
        let deployments: Vec<&Deployment> = match call {
            Call::Deployment { name } => match means::present(ctx, parts, name) {
                Ok(Some(found)) => vec![found],
                Ok(None) => return refuse(ctx, id, unknown_deployment("ps", name)),
                Err(error) => return refuse(ctx, id, Problem::ambiguous("ps", name, error)),
            },
            _ => {
                let own = view.deployments().filter(|found| found.owner == account && found.is_open());
                own.filter(|found| means::is_shown(ctx, parts, found)).collect()
            }
        };
        let mut listing = Listing {
            deployments: deployments.iter().map(|found| found.id).collect(),
            waiting: BTreeSet::new(),
            sights: BTreeMap::new(),
        };
        for lease in deployments.iter().flat_map(|found| &found.slots).filter_map(|slot| view.lease(slot.lease?)) {
            if !lease.is_open(view.now()) {
                continue;
            }
            match parts.payer.seen(lease.id).filter(|sight| sight.health == Some(Health::Alive)) {
                Some(sight) => drop(listing.sights.insert(lease.id, sight)),
                None => {
                    listing.waiting.insert(lease.id);
                    let ask = Ask::Probe(Probe { lease: lease.id, generation: lease.generation });
                    let asked = Asked::ListProbe { call: id, lease: lease.id };
                    ctx.ask(lease.terms.provider, Channel::Market, &ask, PROBE_WITHIN, asked);
                }
            }
        }
        self.listings.insert(id, listing);
        self.list_if_complete(ctx, (parts.ledger, parts.copies), id);
    }

    /// A provider says how a replica is.
    pub(crate) fn probed(
        &mut self,
        ctx: &mut Context,
        known: (&Ledger, &Known),
        (id, lease): (CallId, LeaseId),
        reply: Option<ProbeReply>,
    ) {
        let Some(listing) = self.listings.get_mut(&id) else { return };
        listing.waiting.remove(&lease);
        let sight = match reply {
            Some(reply) if reply.serving => Sight { health: Some(Health::Alive), reason: None },
            Some(reply) => Sight { health: Some(Health::Starting), reason: reply.reason },
            None => Sight { health: Some(Health::Suspect), reason: Some("its provider does not answer".into()) },
        };
        listing.sights.insert(lease, sight);
        self.list_if_complete(ctx, known, id);
    }

    fn list_if_complete(&mut self, ctx: &mut Context, known: (&Ledger, &Known), id: CallId) {
        if self.listings.get(&id).is_none_or(|listing| !listing.waiting.is_empty()) {
            return;
        }
        let Some(listing) = self.listings.remove(&id) else { return };
        let view = known.0.view();
        let found = listing.deployments.iter().filter_map(|deployment| view.deployment(*deployment));
        let sight = |lease| listing.sights.get(&lease).cloned();
        let replicas = found.flat_map(|deployment| describe::replicas(ctx, known, deployment, sight)).collect();
        ctx.reply(id, Ok(Reply::Replicas(replicas)));
    }
}

/// The deployment is another account's, or there is none.
fn not_ours(operation: &str, name: &str, owner: Option<AccountId>) -> Problem {
    let Some(owner) = owner else { return unknown_deployment(operation, name) };
    let text = format!("{name} belongs to account {owner}, and this node acts for another one");
    Problem::new(ProblemCode::Denied, operation, name, text).with_remedy("ask a node of its owner: name it with --node")
}

/// A call for what replicas wrote, in the words of whoever typed it.
pub(crate) const fn papers(call: &Call) -> &'static str {
    if matches!(call, Call::ExportData { .. }) { "data export" } else { "logs" }
}

/// The name of a call that needs a new block; none where it needs none.
pub(crate) const fn writes(call: &Call) -> Option<&'static str> {
    match call {
        Call::Deploy { .. } => Some("deploy"),
        Call::Down { .. } => Some("down"),
        Call::Transfer(_) => Some("wallet send"),
        Call::SetCap(_) => Some("wallet caps"),
        Call::SubmitTransaction { .. } => Some("submit"),
        Call::ClaimName(_) => Some("name claim"),
        Call::ReleaseName { .. } => Some("name release"),
        _ => None,
    }
}

fn plan(ctx: &mut Context, parts: &Parts<'_>, id: CallId, account: AccountId, manifest: &Manifest) {
    let view = parts.ledger.view();
    let existing = view.deployment_named(&manifest.name);
    if let Some(other) = existing.filter(|found| found.owner != account) {
        return refuse(ctx, id, name_taken("plan", &manifest.name, other.owner));
    }
    let mut plans = match slots::plan(parts.shelf, parts.ledger, account, manifest, ctx.now) {
        Ok(plans) => plans,
        Err(refusal) => return refuse(ctx, id, no_offer("plan", &manifest.name, &refusal)),
    };
    let (who, name) = ((account, ctx.key.public()), manifest.name.as_str());
    let Funds { whole: budget, left, added } =
        match funds(parts.ledger, who, ("plan", name, manifest.budget), existing, &plans) {
            Ok(funds) => funds,
            Err(problem) => return refuse(ctx, id, *problem),
        };
    if let Some(found) = existing
        && let Err(problem) = within_ceiling(parts.ledger, who, ("plan", name, added), found, &mut plans, Vec::new())
    {
        return refuse(ctx, id, *problem);
    }
    let heard = |provider: &PeerId| parts.shelf.index.get(provider).map(|offer| Timestamp(offer.heard));
    let planned = |plan: &SlotPlan| {
        let kept = plan.lease.and_then(|lease| view.lease(lease));
        if let Some(lease) = kept {
            return Some(PlannedService {
                name: plan.spec.service.clone(),
                replica: plan.spec.replica,
                provider: lease.terms.provider,
                display: describe::display(parts.ledger, lease.terms.provider),
                price_per_hour: lease.terms.prices.per_hour(&lease.terms.resources),
                max_cost: lease.terms.max_rate,
                connected: ctx.reaches(lease.terms.provider),
                heard: heard(&lease.terms.provider),
            });
        }
        let first = plan.matches.first()?;
        Some(PlannedService {
            name: plan.spec.service.clone(),
            replica: plan.spec.replica,
            provider: first.provider,
            display: describe::display(parts.ledger, first.provider),
            price_per_hour: first.per_hour,
            max_cost: if first.own { Amount::ZERO } else { plan.spec.max_rate },
            connected: ctx.reaches(first.provider),
            heard: heard(&first.provider),
        })
    };
    let services: Vec<PlannedService> = plans.iter().filter_map(planned).collect();
    let total_per_hour = services.iter().map(|service| service.price_per_hour).sum();
    let dearest: Amount = services.iter().map(|service| service.max_cost).sum();
    let runs_until = lasts(ctx.now, left, dearest);
    let mut notes = notes(parts.ledger, parts.payer, (name, manifest.budget), existing, stay(&plans));
    notes.extend(first_cap(parts.ledger, account, added));
    notes.extend(parts.stalled.map(|reason| format!("`grange deploy` is refused at present: {reason}")));
    ctx.reply(id, Ok(Reply::Plan(Plan { services, total_per_hour, takes: added, budget, runs_until, notes })));
}

/// What the ledger says of the account whose id begins so.
fn look_up_account(ctx: &mut Context, ledger: &Ledger, id: CallId, start: &IdStart) {
    let view = ledger.view();
    let account = match start.whole() {
        Some(account) => Ok(Some(account)),
        None => start.only(view.accounts().map(|account| (account.as_bytes(), *account))),
    };
    match account.map(|account| describe::account(ledger, account?)) {
        Ok(Some(found)) => ctx.reply(id, Ok(Reply::Account(found))),
        Ok(None) => refuse(ctx, id, unknown_account(start)),
        Err(error) => refuse(ctx, id, Problem::ambiguous("ledger account", start.as_str(), error)),
    }
}

/// What the ledger says of the lease whose id begins so, among those of deployments that are there for the asker.
fn look_up_lease(ctx: &mut Context, parts: &Parts<'_>, id: CallId, start: &IdStart) {
    let view = parts.ledger.view();
    let shown = |lease: &&Lease| {
        let paid = || view.deployment(lease.deployment).is_some_and(|found| means::is_shown(ctx, parts, found));
        start.begins(&lease.id.0) && (parts.asker.prefix.is_empty() || paid())
    };
    let found = start.only(view.leases().filter(shown).map(|lease| (lease.id.as_bytes(), lease)));
    match found {
        Ok(Some(found)) => ctx.reply(id, Ok(Reply::Lease(describe::lease(found, parts.ledger.height())))),
        Ok(None) => refuse(ctx, id, unknown_lease(start)),
        Err(error) => refuse(ctx, id, Problem::ambiguous("ledger lease", start.as_str(), error)),
    }
}

/// The bill of a deployment, also of one of ours that was removed.
fn usage(ctx: &mut Context, parts: &Parts<'_>, id: CallId, name: &str) {
    match means::kept(ctx, parts, name) {
        Ok(Some(found)) => {
            let usage = describe::usage(ctx.now, parts.ledger, found, parts.payer);
            ctx.reply(id, Ok(Reply::Usage(usage)));
        }
        Ok(None) => refuse(ctx, id, unbilled(name)),
        Err(error) => refuse(ctx, id, Problem::ambiguous("usage", name, error)),
    }
}

fn set_prices(ctx: &mut Context, parts: &mut Parts<'_>, id: CallId, prices: grange_types::Prices) {
    if let Some(desk) = &mut parts.seller.desk {
        desk.set_prices(prices);
    }
    parts.shelf.changed_prices();
    parts.shelf.tick(ctx, parts.ledger, parts.seller.desk.as_mut());
    settings(ctx, parts, id, Operation::SetPrices);
}

fn pause(ctx: &mut Context, parts: &mut Parts<'_>, id: CallId, paused: bool) {
    if let Some(desk) = &mut parts.seller.desk {
        desk.pause(paused);
    }
    parts.shelf.changed_load();
    parts.shelf.tick(ctx, parts.ledger, parts.seller.desk.as_mut());
    settings(ctx, parts, id, Operation::Pause);
}

fn settings(ctx: &mut Context, parts: &Parts<'_>, id: CallId, operation: Operation) {
    let reply = match &parts.seller.desk {
        Some(desk) => {
            Ok(Reply::Provider(ProviderSettings { prices: desk.setup().prices.into(), paused: desk.is_paused() }))
        }
        None => {
            let text = "this node does not sell: it lacks the role provider";
            Err(Problem::new(ProblemCode::Unsupported, operation.id(), ctx.me.to_string(), text)
                .with_remedy("name a node that sells with --node URL"))
        }
    };
    ctx.reply(id, reply);
}

/// Refuses a call in the form it is answered in: a stream ends with the problem.
pub(crate) fn refuse(ctx: &mut Context, id: CallId, problem: Problem) {
    if problem.operation == "deploy" {
        ctx.line(id, Line::Problem(problem), true);
    } else {
        ctx.reply(id, Err(problem));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_anothers_is_not_said_to_be_missing() {
        let owner = AccountId([7; 32]);
        let problem = not_ours("down", "shop", Some(owner));
        assert_eq!((problem.code, problem.operation.as_str()), (ProblemCode::Denied, "down"));
        assert!(problem.message.contains(&owner.to_string()) && problem.remedy.contains("--node"), "{problem:?}");
        assert_eq!(not_ours("down", "shop", None).code, ProblemCode::NotFound);
    }
}
