//! Canary orders: now and then a small real order, to see whether a provider serves who does not know that it is looked at.
//!
//! # Rules
//! - An order is a deployment like any other, of one page, on the ledger, paid by the same receipts. It is placed with a
//!   provider of those that an order would go to, each operator in its turn; the page is asked for on the way that requests
//!   take, and its bytes are compared. Then the order goes on for a minute, is paid, and is closed.
//! - It costs money: no more than a ceiling a day, against which every order's whole budget counts, whatever of it comes
//!   back. What was ordered is on the disk before it is ordered, so neither a restart nor a crash spends a day twice.
//! - An order that is over is closed, also after a restart; one that the ledger does not show is waited for until whatever was
//!   sent of it has expired.
//! - An order that never came to a lease says nothing of the provider: it may have been full. One with a lease that does not
//!   serve, or serves other bytes, does.
//!
//! # What gives it away
//! The account that pays. Who orders for nobody but itself can be told from its orders; a canary is worth what else its
//! account orders.

use std::collections::BTreeMap;

use grange_api::{DeployDone, Line, ProblemCode};
use grange_ledger::{Action as Deed, Deployment, Lease, Ledger};
use grange_market::trust::Kind;
use grange_market::{MATCHES, Match, Need};
use grange_types::{
    AccountId, Amount, BlobId, ByteCount, DeploymentId, Kind as Work, LeaseId, Manifest, Millis, Placement, Resources,
    Secrets, Service, SiteFile, SiteIndex, Time, Wire, Workload,
};

use crate::action::Action;
use crate::context::{Context, Purpose, TRANSACTION_WITHIN};
use crate::deploy::{Deploys, Order};
use crate::event::{CallId, Visit};
use crate::funds::shortest_lease;
use crate::library::Library;
use crate::payer::Payer;
use crate::shelf::Shelf;
use crate::witness::Witness;

/// What an order needs: the least that anybody asks for.
const NEED: Resources = Resources { cpu_millis: 50, memory: ByteCount::mib(16), disk: ByteCount(0) };
/// An order's budget pays for so many of the shortest leases.
const SHORTEST_LEASES: u128 = 3;
/// Between two orders, at least.
const EVERY: Millis = Millis::minutes(2);
/// The answer to the look may take so long.
const LOOK_WITHIN: Millis = Millis::seconds(10);
/// An order that served goes on for so long, so that its provider is paid for it.
const GOES_ON: Millis = Millis::seconds(70);
/// What stays of an order that was given up is closed again after so long.
const AGAIN: Millis = Millis::seconds(10);
/// The first of the names of our own calls; a node counts those of its users from 1.
const OWN_CALLS: u64 = 1 << 63;

/// Whether a call is one of ours.
pub(crate) const fn is_own(call: CallId) -> bool {
    call.0 >= OWN_CALLS
}

/// An order under way.
struct Placed {
    call: CallId,
    name: String,
    deployment: DeploymentId,
    operator: AccountId,
    page: BlobId,
    path: String,
    stage: Stage,
}

#[derive(Clone, Copy)]
enum Stage {
    /// It was ordered.
    Ordered,
    /// Its page was asked for.
    Looking { lease: LeaseId, until: Time },
    /// It served, and goes on for a while.
    Paying { until: Time },
}

#[derive(Default)]
pub(crate) struct Canaries {
    ceiling: Amount,
    placed: Option<Placed>,
    /// When each operator had an order last.
    turns: BTreeMap<AccountId, Time>,
    /// Orders that are not on the ledger, and when what was sent of each has expired.
    absent: BTreeMap<DeploymentId, Time>,
    next: Time,
    next_clear: Time,
}

/// What an order needs of the rest of the peer.
pub(crate) struct Means<'a> {
    pub(crate) ledger: &'a Ledger,
    pub(crate) library: &'a mut Library,
    pub(crate) shelf: &'a Shelf,
    pub(crate) payer: &'a Payer,
    pub(crate) deploys: &'a mut Deploys,
    pub(crate) witness: &'a mut Witness,
}

impl Canaries {
    /// Orders that may cost so much a day; none at all for nothing.
    pub(crate) fn new(ceiling: Amount) -> Self {
        Self { ceiling, ..Self::default() }
    }

    /// Places an order if it is time, and ends those that are over.
    pub(crate) fn tick(&mut self, ctx: &mut Context, mut means: Means<'_>) {
        while let Some((call, line)) = ctx.heard.pop_front() {
            self.told(ctx, &mut means, call, line);
        }
        match self.placed.as_ref().map(|placed| placed.stage) {
            Some(Stage::Looking { until, .. }) if ctx.now >= until => {
                self.judge(ctx, &mut means, false, "no answer came")
            }
            Some(Stage::Paying { until }) if ctx.now >= until => self.placed = None,
            _ => {}
        }
        self.clear(ctx, &mut means);
        // The first budget of an account sets its cap, and that of an order is far too small to mean anything by it.
        if means.ledger.view().cap(ctx.account).is_none() {
            return;
        }
        if self.placed.is_none() && ctx.now >= self.next && !self.ceiling.is_zero() && ctx.linked.len() > 1 {
            self.next = ctx.now.after(EVERY);
            self.place(ctx, &mut means);
        }
    }

    /// Closes orders of ours that are over, also those of before a restart.
    fn clear(&mut self, ctx: &mut Context, means: &mut Means<'_>) {
        if ctx.now < self.next_clear {
            return;
        }
        self.next_clear = ctx.now.after(AGAIN);
        let view = means.ledger.view();
        let present = self.placed.as_ref().map(|placed| placed.deployment);
        let over: Vec<DeploymentId> =
            means.witness.orders.open.iter().filter(|id| Some(**id) != present).copied().collect();
        self.absent.retain(|id, _| over.contains(id));
        for id in over {
            match view.deployment(id).map(Deployment::is_open) {
                Some(true) => {
                    ctx.submit(means.ledger, Deed::CloseDeployment { deployment: id }, Purpose::Undo(id));
                }
                None if self.may_come(ctx, means.ledger, id) => {}
                _ => means.witness.order_over(id),
            }
        }
    }

    /// Whether an order that is not on the ledger may still come there: it was sent, and then this node restarted.
    fn may_come(&mut self, ctx: &Context, ledger: &Ledger, id: DeploymentId) -> bool {
        // It was signed before now, so it expires before what would be signed now.
        let signed = ledger.time().max(ctx.now);
        ledger.time() <= *self.absent.entry(id).or_insert(signed.after(TRANSACTION_WITHIN))
    }

    fn place(&mut self, ctx: &mut Context, means: &mut Means<'_>) {
        let Some(found) = self.choose(ctx, means.shelf) else { return };
        let (shortest, deposit) = {
            let parameters = means.ledger.view().parameters();
            (shortest_lease(parameters, found.max_rate), parameters.deposit_of(Lease::SIZE))
        };
        // What stands for the lease's entry comes back, but has to be there.
        let budget = shortest.saturating_add(Amount(1)).scaled(SHORTEST_LEASES, 1).saturating_add(deposit);
        let left = self.ceiling.saturating_sub(means.witness.ordered_today(ctx.now));
        if budget > left {
            return;
        }
        let (manifest, page, path) = page(ctx, budget);
        let (call, name) = (CallId(OWN_CALLS | ctx.number()), manifest.name.clone());
        self.turns.insert(found.operator, ctx.now);
        let order = Order { call, manifest, secrets: Secrets::default(), only: Some(found.provider), most: None };
        if let Some(deployment) =
            means.deploys.begin(ctx, means.ledger, means.library, (means.shelf, means.payer), order)
        {
            means.witness.ordered(ctx, deployment, budget);
            let stage = Stage::Ordered;
            self.placed = Some(Placed { call, name, deployment, operator: found.operator, page, path, stage });
        }
    }

    /// The operator whose turn it is, of those that an order would go to.
    fn choose(&mut self, ctx: &Context, shelf: &Shelf) -> Option<Match> {
        let matches = shelf.index.find(&Need::new(ctx.account, Work::Site, NEED), MATCHES, ctx.now).ok()?;
        let known: std::collections::BTreeSet<AccountId> = matches.iter().map(|found| found.operator).collect();
        self.turns.retain(|operator, _| known.contains(operator));
        let turn = |found: &Match| self.turns.get(&found.operator).copied();
        matches.into_iter().filter(|found| !found.own).min_by_key(turn)
    }

    /// What the deployment tells.
    fn told(&mut self, ctx: &mut Context, means: &mut Means<'_>, call: CallId, line: Line) {
        let Some(placed) = self.placed.as_mut().filter(|placed| placed.call == call) else { return };
        match line {
            Line::Done(DeployDone { leases, .. }) => {
                let lease = leases.first().and_then(|entry| means.ledger.view().lease(entry.lease));
                let Some(lease) = lease.filter(|lease| lease.terms.operator == placed.operator) else {
                    return self.judge(ctx, means, false, "another provider had to take its place");
                };
                placed.stage = Stage::Looking { lease: lease.id, until: ctx.now.after(LOOK_WITHIN) };
                ctx.push(Action::Visit {
                    lease: lease.id,
                    generation: lease.generation,
                    provider: lease.terms.provider,
                    name: placed.name.clone(),
                    path: placed.path.clone(),
                    within: LOOK_WITHIN.0 / 2,
                    whole: true,
                });
            }
            Line::Problem(problem) => {
                let leased = means.ledger.view().leases_of(placed.deployment).next().is_some();
                if leased && problem.code == ProblemCode::Timeout {
                    return self.judge(ctx, means, false, &problem.message);
                }
                self.placed = None;
            }
            _ => {}
        }
    }

    /// A replica was visited: if it was for us, its answer is judged.
    pub(crate) fn visited(&mut self, ctx: &mut Context, mut means: Means<'_>, lease: LeaseId, visit: &Visit) {
        let Some(placed) = &self.placed else { return };
        let ours = matches!(placed.stage, Stage::Looking { lease: looked, .. } if looked == lease);
        if let Visit::Read { status, content } = *visit
            && ours
        {
            let served = status == 200 && content == placed.page;
            let reason = if served { "it served the page" } else { "it served something else" };
            self.judge(ctx, &mut means, served, reason);
        }
    }

    fn judge(&mut self, ctx: &mut Context, means: &mut Means<'_>, served: bool, reason: &str) {
        let Some(placed) = &mut self.placed else { return };
        // Who is cut off itself gets no answer from anybody.
        if served || (!ctx.linked.is_empty() && ctx.follows(means.ledger)) {
            means.witness.note(ctx, means.ledger, placed.operator, Kind::Canary, served);
        }
        let event = if served { "canary.served" } else { "canary.failed" };
        let purpose = format!("an order at operator {}", placed.operator.short());
        ctx.push(Action::Note { event, purpose, reason: reason.to_owned() });
        if served {
            placed.stage = Stage::Paying { until: ctx.now.after(GOES_ON) };
        } else {
            self.placed = None;
        }
    }
}

/// A page that nobody has seen before, and the deployment that serves it.
fn page(ctx: &mut Context, budget: Amount) -> (Manifest, BlobId, String) {
    let (first, second) = (ctx.number(), ctx.number());
    let word = |number: u64| {
        let id = BlobId::of(&[ctx.me.0.as_slice(), &ctx.now.0.to_be_bytes(), &number.to_be_bytes()].concat());
        id.to_string()[..10].to_owned()
    };
    let (name, file) = (format!("p{}", word(first)), format!("{}.html", word(second)));
    let content = format!("<!doctype html><title>{name}</title><p>{}</p>\n", word(first ^ second)).into_bytes();
    let (page, size) = (BlobId::of(&content), ByteCount(content.len() as u64));
    let index = SiteIndex { files: vec![SiteFile { path: file.clone(), blob: page, size }] }.encode();
    let service = Service {
        workload: Workload::Site { index: BlobId::of(&index), size },
        replicas: 1,
        resources: NEED,
        environment: BTreeMap::new(),
        route: Some("/".into()),
        health: None,
        depends_on: Vec::new(),
        placement: Placement::default(),
        allow_http: Vec::new(),
    };
    ctx.push(Action::Keep { bytes: content });
    ctx.push(Action::Keep { bytes: index });
    (Manifest { name, budget, services: BTreeMap::from([("web".to_owned(), service)]) }, page, format!("/{file}"))
}
