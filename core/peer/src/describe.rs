//! What the state looks like to a user: the ledger's and the market's words as the API's.

use std::collections::BTreeSet;

use grange_api::{
    Account, Budget, Key, KeySet, LeaseStanding, LedgerHeight, Name, Network, OwnedAccount, Provider, Replica,
    ReplicaState, Status, Timestamp, Upgrade, Usage, UsageRow, Validator, Wallet,
};
use grange_ledger::{Deployment, DeploymentState, Lease, LeaseState, Ledger, Slot};
use grange_objects::log::LogId;
use grange_types::{AccountId, Amount, Counters, Height, KeyGrant, PeerId, PublicKey, Role, Time};

use crate::budget::budget;
use crate::config::Roles;
use crate::context::Context;
use crate::copies::{Copies, Known};
use crate::event::Asker;
use crate::funds::shortest_lease;
use crate::payer::{Payer, Sight};
use crate::shelf::Shelf;
use grange_market::watch::Health;

/// A node's name for people, or the beginning of its key.
pub(crate) fn display(ledger: &Ledger, peer: PeerId) -> String {
    ledger.view().node(peer).map_or_else(|| peer.short(), |node| node.display.clone())
}

/// Where a name is served by this node's gateway.
pub(crate) fn url(ctx: &Context, name: &str) -> String {
    format!("http://{name}.localhost:{}/", ctx.gateway_port)
}

/// Where a deployment is served: its names, or the prefixes below them when nothing takes `/`.
pub(crate) fn urls(ctx: &Context, deployment: &Deployment) -> Vec<String> {
    let routes: BTreeSet<&str> = deployment.slots.iter().filter_map(|slot| slot.spec.route.as_deref()).collect();
    let prefixes = if routes.contains("/") { BTreeSet::from(["/"]) } else { routes };
    let below = |name: &String| {
        let base = url(ctx, name);
        prefixes.iter().map(|prefix| format!("{base}{}", prefix.trim_start_matches('/'))).collect::<Vec<_>>()
    };
    deployment.names.iter().flat_map(below).collect()
}

pub(crate) fn finalized_at(ledger: &Ledger) -> Option<Timestamp> {
    (ledger.height().0 > 0).then(|| Timestamp(ledger.time()))
}

pub(crate) fn height(ledger: &Ledger) -> LedgerHeight {
    LedgerHeight { height: ledger.height(), finalized_at: finalized_at(ledger), state_root: ledger.state_root() }
}

pub(crate) fn status(ctx: &Context, ledger: &Ledger, roles: Roles, shown: String, reason: Option<String>) -> Status {
    Status {
        peer: ctx.me,
        display: shown,
        operator: ctx.account,
        network: ctx.network,
        version: env!("CARGO_PKG_VERSION").into(),
        roles: roles.list(),
        light: false,
        height: ledger.height(),
        finalized_at: finalized_at(ledger),
        peers: ctx.linked.len() as u32,
        ready: reason.is_none(),
        reason,
    }
}

pub(crate) fn wallet(ledger: &Ledger, account: AccountId) -> Wallet {
    let found = ledger.view().account(account);
    let (available, pending, deposit) =
        found.map_or_else(Default::default, |found| (found.balance, found.pending, found.deposit));
    Wallet { account, available, pending: Some(pending), deposit }
}

fn keys(ledger: &Ledger, account: AccountId) -> Vec<Key> {
    ledger.view().account(account).map_or_else(Vec::new, |found| found.keys.iter().map(key).collect())
}

/// A key and what it may do.
pub(crate) fn key(grant: &KeyGrant) -> Key {
    let word = |role: &Role| match role {
        Role::Owner => "owner",
        Role::Node => "node",
        Role::Validator => "validator",
        Role::Spend { .. } => "spend",
    };
    let ceiling = |role: &Role| match role {
        Role::Spend { per_day } => Some(*per_day),
        _ => None,
    };
    Key {
        key: grant.key,
        roles: grant.roles.iter().map(|role| word(role).to_owned()).collect(),
        per_day: grant.roles.iter().find_map(ceiling),
    }
}

pub(crate) fn key_set(ledger: &Ledger, account: AccountId) -> KeySet {
    KeySet { account, keys: keys(ledger, account) }
}

pub(crate) fn owned(ledger: &Ledger, key: PublicKey) -> Vec<OwnedAccount> {
    ledger.view().accounts_owned_by(key).into_iter().map(|account| OwnedAccount { account }).collect()
}

pub(crate) fn account(ledger: &Ledger, account: AccountId) -> Option<Account> {
    let found = ledger.view().account(account)?;
    Some(Account {
        account,
        available: found.balance,
        pending: Some(found.pending),
        keys: keys(ledger, account),
        height: ledger.height(),
    })
}

pub(crate) fn network(ctx: &Context, ledger: &Ledger, name: &str) -> Network {
    let view = ledger.view();
    let validator = |entry: &grange_ledger::Validator| Validator {
        account: entry.account,
        key: entry.key,
        power: entry.power,
        display: display(ledger, entry.account.peer()),
    };
    Network {
        network: ctx.network,
        name: name.into(),
        protocol: view.version().into(),
        follows: ledger.follows().into(),
        upgrade: view.upgrade().map(|upgrade| Upgrade { version: upgrade.version.into(), height: upgrade.height }),
        height: ledger.height(),
        validators: view.validators().iter().map(validator).collect(),
    }
}

pub(crate) fn providers(ctx: &Context, shelf: &Shelf) -> Vec<Provider> {
    let describe = |offer: &grange_market::Offer| Provider {
        provider: offer.sheet.provider,
        display: offer.sheet.display.clone(),
        operator: offer.sheet.operator,
        region: offer.sheet.region.to_string(),
        capacity: offer.sheet.capacity.into(),
        free: offer.free.into(),
        paused: offer.paused,
        connected: ctx.reaches(offer.sheet.provider),
        seen: Timestamp(offer.sheet.issued),
    };
    let mut providers: Vec<Provider> = shelf.index.offers().map(describe).collect();
    providers.sort_by_key(|provider| provider.provider);
    providers
}

/// The names of an account that the asker's key is for.
pub(crate) fn names(ctx: &Context, ledger: &Ledger, asker: &Asker) -> Vec<Name> {
    let view = ledger.view();
    let mut names = Vec::new();
    for deployment in view.deployments().filter(|found| found.owner == asker.account) {
        let shown = deployment.names.iter().filter(|word| asker.is_for(word));
        names.extend(shown.map(|word| name(word, deployment, Some(url(ctx, word)))));
    }
    names
}

/// A name and where it leads.
pub(crate) fn name(name: &str, deployment: &Deployment, url: Option<String>) -> Name {
    let first = deployment.name().unwrap_or(name).to_owned();
    Name { name: name.to_owned(), deployment: Some(first), owner: deployment.owner, url }
}

/// A lease, as it was after a block.
pub(crate) fn lease(lease: &Lease, height: Height) -> grange_api::Lease {
    let state = match lease.state {
        LeaseState::Open => LeaseStanding::Open,
        LeaseState::Closing { .. } => LeaseStanding::Closing,
        LeaseState::Closed { .. } => LeaseStanding::Closed,
    };
    grange_api::Lease {
        lease: lease.id,
        deployment: lease.deployment,
        slot: lease.slot,
        generation: lease.generation,
        provider: lease.terms.provider,
        operator: lease.terms.operator,
        state,
        settled: lease.settled,
        escrow: lease.escrow,
        held: lease.held,
        max_rate: lease.terms.max_rate,
        height,
    }
}

/// One line of `ps` for every slot of a deployment; `sight` is how its provider answered just now, or how we see it.
pub(crate) fn replicas(
    ctx: &Context,
    (ledger, known): (&Ledger, &Known),
    deployment: &Deployment,
    sight: impl Fn(grange_types::LeaseId) -> Option<Sight>,
) -> Vec<Replica> {
    let view = ledger.view();
    let name = deployment.name().unwrap_or_default();
    // Receipts that are not handed in yet are a matter of seconds.
    let budget = budget(ctx.now, ledger, deployment, &|_| None);
    let describe = |slot: &Slot| {
        let lease = slot.lease.and_then(|lease| view.lease(lease));
        let open = lease.filter(|lease| lease.is_open(view.now()));
        let seen = open.and_then(|lease| sight(lease.id));
        let (state, mut note) = state(ledger, (deployment, slot), open, seen.as_ref());
        let copies = open.and_then(|lease| known.of(&log_of(deployment, slot), lease.generation));
        if note.is_empty() {
            note = budget_note(&budget);
        }
        if let Some(text) = open.and_then(|lease| data_note(ledger, lease, copies)).filter(|_| note.is_empty()) {
            note = text;
        }
        Replica {
            deployment: name.to_owned(),
            service: slot.spec.service.clone(),
            replica: slot.spec.replica,
            provider: open.map(|lease| lease.terms.provider),
            display: open.map_or_else(String::new, |lease| display(ledger, lease.terms.provider)),
            generation: slot.generation,
            state,
            since: Timestamp(wall(ledger, open.map_or(deployment.opened, |lease| lease.start))),
            url: slot.spec.route.as_ref().map(|route| url(ctx, name) + route.trim_start_matches('/')),
            copies: copies.map(|copies| 1 + copies.keepers.len() as u32),
            keepers: copies.map(|copies| copies.keepers.iter().copied().collect()).unwrap_or_default(),
            note,
        }
    };
    deployment.slots.iter().map(describe).collect()
}

/// What one should know of a budget that goes down.
fn budget_note(budget: &Budget) -> String {
    let Some(level) = budget.alert else { return String::new() };
    let until = budget.runs_until.map_or_else(String::new, |until| format!("; it runs until {until}"));
    format!("{level} % of the budget are used{until}")
}

fn log_of(deployment: &Deployment, slot: &Slot) -> LogId {
    LogId { deployment: deployment.id, service: slot.spec.service.clone(), replica: slot.spec.replica }
}

/// What one should know of where the key-values of a generation come from.
fn data_note(ledger: &Ledger, lease: &Lease, copies: Option<&Copies>) -> Option<String> {
    let copies = copies?;
    if !copies.without.is_empty() {
        let names: Vec<String> = copies.without.iter().map(|peer| display(ledger, *peer)).collect();
        let text =
            format!("it went on without the copies of {}: writes that only they had are missing", names.join(", "));
        return Some(text);
    }
    let only = copies.keepers.is_empty() && lost_data(ledger, lease);
    only.then(|| "key-value data of earlier generations stays with the providers of those".into())
}

/// Whether the generation before kept its key-values with another provider, as far as the ledger still shows it.
fn lost_data(ledger: &Ledger, lease: &Lease) -> bool {
    let left_behind = |other: &Lease| {
        other.slot == lease.slot
            && other.generation + 1 == lease.generation
            && other.terms.provider != lease.terms.provider
    };
    lease.terms.kind == grange_types::Kind::Wasm && ledger.view().leases_of(lease.deployment).any(left_behind)
}

/// When something happened by the clock on the wall, if nothing was off since: the ledger counts only time with blocks.
pub(crate) fn wall(ledger: &Ledger, at: Time) -> Time {
    Time(ledger.time().0.saturating_sub(ledger.view().now().since(at).0))
}

fn state(
    ledger: &Ledger,
    (deployment, slot): (&Deployment, &Slot),
    open: Option<&Lease>,
    seen: Option<&Sight>,
) -> (ReplicaState, String) {
    if !deployment.is_open() {
        return (ReplicaState::Stopped, String::new());
    }
    if open.is_none() {
        if deployment.balance < shortest_lease(ledger.view().parameters(), slot.spec.max_rate) {
            let note = format!("the budget is used up, {} is left; its data stays", deployment.balance);
            return (ReplicaState::BudgetExhausted, note);
        }
        return (ReplicaState::Pending, "no provider serves it yet".into());
    }
    let reason = seen.and_then(|seen| seen.reason.clone()).unwrap_or_default();
    match seen.and_then(|seen| seen.health) {
        Some(Health::Alive) if reason.is_empty() => (ReplicaState::Running, reason),
        Some(Health::Alive) => (ReplicaState::Unhealthy, reason),
        Some(Health::Starting) | None => (ReplicaState::Starting, reason),
        Some(Health::Suspect) => (ReplicaState::Unhealthy, reason),
        Some(Health::Dead) => (ReplicaState::Replacing, reason),
    }
}

/// The bill of a deployment: what each lease has earned by the newest receipt known here, and what is paid of it.
pub(crate) fn usage(now: Time, ledger: &Ledger, deployment: &Deployment, payer: &Payer) -> Usage {
    let view = ledger.view();
    let mut usage = empty_bill(ledger, deployment);
    usage.budget = deployment.is_open().then(|| budget(now, ledger, deployment, &|lease| payer.amount(lease)));
    for lease in view.leases_of(deployment.id).filter(|lease| lease.is_priced()) {
        let due = may_earn(lease).then(|| payer.receipted(lease.id)).flatten();
        let newest = due.filter(|(_, amount)| *amount > lease.settled);
        let (counters, amount) = newest.unwrap_or((lease.counters, lease.settled));
        usage.lines.extend(bill_rows(ledger, deployment, lease, &counters));
        usage.total = usage.total.saturating_add(amount);
        usage.settled = usage.settled.saturating_add(lease.settled);
        let disputed = payer.disputed(lease.id).filter(|_| lease.state == LeaseState::Open).unwrap_or(lease.held);
        usage.disputed = usage.disputed.saturating_add(disputed);
    }
    usage
}

/// Whether anything may still be paid for a lease.
fn may_earn(lease: &Lease) -> bool {
    lease.is_priced() && !matches!(lease.state, LeaseState::Closed { .. })
}

/// A bill without the lines of the leases that the ledger still shows.
pub(crate) fn empty_bill(ledger: &Ledger, deployment: &Deployment) -> Usage {
    let view = ledger.view();
    let removed = match deployment.state {
        DeploymentState::Open => None,
        DeploymentState::Closed { at } => Some(Timestamp(wall(ledger, at))),
    };
    let owed: Vec<LeaseState> =
        view.leases_of(deployment.id).filter(|lease| may_earn(lease)).map(|lease| lease.state).collect();
    let ends = owed.iter().filter_map(|state| match state {
        LeaseState::Closing { until } => Some(*until),
        LeaseState::Open | LeaseState::Closed { .. } => None,
    });
    Usage {
        deployment: deployment.id,
        account: deployment.owner,
        lines: Vec::new(),
        total: deployment.archived,
        settled: deployment.archived,
        disputed: Amount::ZERO,
        budget: None,
        removed,
        claims_until: ends.max().map(|until| Timestamp(ledger.time().after(until.since(view.now())))),
        is_final: removed.is_some() && owed.is_empty(),
    }
}

/// The lines of one lease's bill, for what was counted of it.
pub(crate) fn bill_rows(ledger: &Ledger, deployment: &Deployment, lease: &Lease, counters: &Counters) -> Vec<UsageRow> {
    let service = deployment.slot(lease.slot).map_or("", |slot| slot.spec.service.as_str());
    let lines = lease.terms.prices.lines(&lease.terms.resources, counters);
    let counted = lines.iter().filter(|line| line.quantity > 0);
    let at = |time| Timestamp(wall(ledger, time));
    let span = (at(lease.start), lease.ended.map_or(Timestamp(ledger.time()), at));
    let (provider, shown) = (lease.terms.provider, display(ledger, lease.terms.provider));
    counted.map(|line| UsageRow::new(service, lease.id, (provider, &shown), span, line)).collect()
}

/// What a deployment has paid so far.
pub(crate) fn settled(ledger: &Ledger, deployment: &Deployment) -> Amount {
    let leases = ledger.view().leases_of(deployment.id).map(|lease| lease.settled);
    deployment.archived.saturating_add(leases.sum())
}

/// What a deployment of ours would give back if it were closed now.
pub(crate) fn returnable(ledger: &Ledger, deployment: &Deployment) -> Amount {
    let view = ledger.view();
    view.held_by(deployment)
}

/// What stands on the ledger for the entries of a deployment's leases, out of its budget. It comes back as they are forgotten.
pub(crate) fn deposited(ledger: &Ledger, deployment: &Deployment) -> Amount {
    ledger.view().parameters().deposit_of(u64::from(deployment.leases) * Lease::SIZE)
}
