//! The peer itself: one door in, one door out, and the order in which the parts hear of things.

mod condition;

use std::collections::BTreeSet;

use grange_api::{Call, Problem, ProblemCode, Reply};
use grange_consensus::{Config as ConsensusConfig, Consensus, Event as Said, Timeouts};
use grange_ledger::{Action as Deed, Change, KeyStatement, Ledger, NodeEntry, Purpose as Service};
use grange_market::Desk;
use grange_types::{AccountId, BlobId, DeploymentId, Millis, PeerId, Signed, Time, Wire};

use crate::action::{Action, RequestId};
use crate::budget::Alerts;
use crate::calls::{Calls, Parts, refuse, writes};
use crate::canary::{Canaries, Means};
use crate::config::{Config, Recovery, Roles};
use crate::context::{Asked, Context, Outcome, Purpose};
use crate::copies::{Copies, Known};
use crate::deploy::Deploys;
use crate::describe;
use crate::event::{Asker, CallId, Event};
use crate::library::{Library, is_taken_on, names};
use crate::message::{Ask, AskReply, Batch, Channel, Counted, Head, MarketMessage, SyncRequest};
use crate::payer::Payer;
use crate::problem::{halted, sentence};
use crate::retention::Retention;
use crate::routes::RouteTable;
use crate::seller::{self, Seller};
use crate::shelf::Shelf;
use crate::spine::{Keeping, Spine};
use crate::start::{StartError, own_account, recover};
use crate::sync::Sync;
use crate::witness::Witness;

/// The parts that look around by themselves do so this often.
const TICK_EVERY: Millis = Millis(500);
/// After a start, others are waited for so long before what ran before runs again.
const NEWS_WITHIN: Millis = Millis::seconds(3);
/// Our registration is tried again after so long.
const REGISTER_AGAIN: Millis = Millis::seconds(10);

/// One peer of one network.
pub struct Peer {
    ctx: Context,
    roles: Roles,
    display: String,
    entry: NodeEntry,
    network_name: String,
    spine: Spine,
    sync: Sync,
    library: Library,
    shelf: Shelf,
    seller: Seller,
    payer: Payer,
    deploys: Deploys,
    calls: Calls,
    retention: Retention,
    copies: Known,
    alerts: Alerts,
    witness: Witness,
    canaries: Canaries,
    next_tick: Time,
    next_register: Time,
    /// Until when news of others is waited for before anything of before the start runs again.
    resume_at: Option<Time>,
    routes: u64,
}

impl Peer {
    /// A peer that continues where its disk left off. Nothing happens before [`Peer::start`].
    pub fn new(config: Config, recovery: &Recovery) -> Result<Self, StartError> {
        let network = config.genesis.network_id();
        let (ledger, history) = recover(&config, recovery)?;
        let timeouts = Timeouts::default();
        let votes = config.roles.validator;
        let consensus = Consensus::new(ConsensusConfig {
            network,
            key: config.key.clone(),
            votes,
            timeouts,
            inline: config.inline,
        });
        let mut ctx = Context::new(config.key.clone(), network, config.gateway_port, config.seed);
        ctx.account = own_account(&ledger, ctx.me);
        let mut desk = config.roles.provider.then(|| Desk::new(seller::desk_setup(&mut ctx, &config)));
        if let Some(desk) = &mut desk {
            desk.pause(config.paused);
        }
        let kept = Keeping {
            every: config.snapshot_every,
            prune: config.prune,
            first: recovery.first,
            snapshot: recovery.snapshot_height(&ledger),
        };
        let witness = Witness::recover(&mut ctx, &recovery.evidence);
        let entry = NodeEntry {
            peer: ctx.me,
            operator: ctx.account,
            display: config.display.clone(),
            region: config.region,
            relays: Vec::new(),
        };
        Ok(Self {
            ctx,
            roles: config.roles,
            display: config.display,
            entry,
            network_name: config.genesis.name,
            spine: Spine::new(ledger, history, consensus, kept),
            sync: Sync::default(),
            library: Library::default(),
            shelf: Shelf::new(),
            seller: Seller::new(desk),
            payer: Payer::new(config.lost_after),
            deploys: Deploys::default(),
            calls: Calls::default(),
            retention: Retention::default(),
            copies: Known::default(),
            alerts: Alerts::default(),
            witness,
            canaries: Canaries::new(config.canaries),
            next_tick: Time(0),
            next_register: Time(0),
            resume_at: Some(Time(u64::MAX)),
            routes: 0,
        })
    }

    /// The account that the node acts for.
    #[must_use]
    pub const fn account(&self) -> AccountId {
        self.ctx.account
    }

    /// Takes part from now on, with what the write-ahead log says of the height being decided.
    pub fn start(&mut self, now: Time, recovery: Recovery) {
        self.ctx.now = now;
        self.spine.start(&mut self.ctx, recovery.wal_height, recovery.wal);
        // Others may have decided meanwhile that what we ran runs elsewhere. One who decides alone has missed nothing.
        let alone = self.spine.validators().len() <= 1;
        self.resume_at = Some(if alone { now } else { now.after(NEWS_WITHIN) });
        self.settle();
        self.resume();
    }

    /// Takes up what the ledger says that we run and serve, once we know what the others know, or nobody tells us.
    fn resume(&mut self) {
        let Some(until) = self.resume_at else { return };
        let told = self.sync.is_level(&self.spine.validators(), self.spine.ledger.height());
        if !told && self.ctx.now < until {
            return;
        }
        self.resume_at = None;
        let Self { ctx, spine, library, seller, .. } = self;
        seller.reconcile(ctx, &spine.ledger, library);
        self.routes += 1;
        self.settle();
    }

    /// The world speaks.
    pub fn handle(&mut self, now: Time, event: Event) {
        self.ctx.now = self.ctx.now.max(now);
        match event {
            Event::Connected(peer) => self.connected(peer),
            Event::Disconnected(peer) => {
                self.ctx.linked.remove(&peer);
                self.ctx.stewards.remove(&peer);
                self.sync.disconnected(peer);
                self.shelf.disconnected(self.ctx.now, peer);
                self.spine.tell(&mut self.ctx, Said::Disconnected(peer));
            }
            Event::Message { from, channel, bytes } => self.message(from, channel, bytes),
            Event::Request { id, from, channel, bytes } => self.request(id, from, channel, &bytes),
            Event::Response { id, answer } => self.response(id, answer),
            Event::Gossip { bytes } => {
                // Who delivered it says nothing of who wrote it: only what its author signed and everybody may hear counts.
                let message = MarketMessage::decode(&bytes);
                if let Ok(message @ (MarketMessage::Sheet(_) | MarketMessage::Delta(_) | MarketMessage::Seen(_))) =
                    message
                {
                    self.market(self.ctx.me, message);
                }
            }
            Event::Fetched { deployment, here, manifests } => self.fetched(deployment, &here, &manifests),
            Event::Work { lease, event } => {
                self.seller.work(self.ctx.now, lease, event);
            }
            Event::Key { deployment, key } => drop(self.ctx.keys.insert(deployment, key)),
            Event::Keepers { log, generation, keepers, without, own } => {
                let changed = self.copies.learn(log, Copies { generation, keepers, without });
                // What another's writer says of its keepers is no evidence of ours.
                if own {
                    self.witness.copies(&self.ctx, &self.spine.ledger, changed);
                }
            }
            Event::Visited { lease, visit } => {
                let Self { ctx, spine, library, shelf, payer, deploys, witness, canaries, .. } = self;
                let means = Means { ledger: &spine.ledger, library, shelf, payer, deploys, witness };
                canaries.visited(ctx, means, lease, &visit);
                self.payer.visited(self.ctx.now, lease, visit);
            }
            Event::Counted { lease, requests, egress } => self.count(Counted { lease, requests, egress }),
            Event::Taken { from, lease, requests, egress } => {
                self.seller.taken(&self.spine.ledger, from, Counted { lease, requests, egress });
            }
            Event::Call { id, asker, call } => self.call(id, &asker, *call),
            Event::Tick => {}
        }
        self.tick();
        self.settle();
        self.resume();
    }

    /// What to do next; call until there is nothing.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.ctx.pop()
    }

    /// When to call [`Peer::handle`] with [`Event::Tick`] if nothing happens before.
    pub fn poll_timeout(&self) -> Option<Time> {
        let parts = [
            Some(self.next_tick),
            self.resume_at,
            self.spine.poll_timeout(),
            self.payer.poll_timeout(),
            self.deploys.poll_timeout(),
        ];
        parts.into_iter().flatten().min()
    }

    /// The ledger, to look at.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.spine.ledger
    }

    /// Where gateways send requests now; read it again when [`Peer::routes_version`] has changed.
    #[must_use]
    pub fn routes(&self) -> RouteTable {
        if self.resume_at.is_some() { RouteTable::default() } else { RouteTable::read(&self.spine.ledger) }
    }

    /// Grows whenever the routes may have changed.
    #[must_use]
    pub const fn routes_version(&self) -> u64 {
        self.routes
    }

    fn connected(&mut self, peer: PeerId) {
        self.ctx.linked.insert(peer);
        self.ctx.send(peer, Channel::Market, &MarketMessage::Steward(self.roles.steward));
        self.sync.connected(&mut self.ctx, &self.spine, peer);
        self.shelf.connected(&mut self.ctx, peer, self.seller.desk.as_mut());
        self.spine.tell(&mut self.ctx, Said::Connected(peer));
    }

    fn message(&mut self, from: PeerId, channel: Channel, bytes: Vec<u8>) {
        match channel {
            Channel::Consensus => {
                self.sync.overheard(from, &bytes);
                self.spine.tell(&mut self.ctx, Said::Message { from, bytes });
            }
            Channel::Transactions => {
                if let Ok(batch) = Batch::decode(&bytes) {
                    self.spine.receive(&mut self.ctx, from, batch);
                }
            }
            Channel::Sync => drop(Head::decode(&bytes).map(|head| self.sync.heard(from, head))),
            Channel::Market | Channel::Steward => {
                if let Ok(message) = MarketMessage::decode(&bytes) {
                    self.market(from, message);
                }
            }
        }
    }

    fn market(&mut self, from: PeerId, message: MarketMessage) {
        let Self { ctx, spine, shelf, seller, payer, roles, witness, .. } = self;
        match message {
            MarketMessage::Seen(told) => witness.hear(ctx, &spine.ledger, &told),
            MarketMessage::Sheet(sheet) => shelf.take_sheet(ctx, &spine.ledger, sheet),
            MarketMessage::Delta(delta) => shelf.take_delta(ctx, &delta),
            MarketMessage::Counted(counted) => {
                payer.counted(ctx, &spine.ledger, roles.steward, from, counted);
            }
            MarketMessage::Steward(true) if ctx.linked.contains(&from) => drop(ctx.stewards.insert(from)),
            MarketMessage::Steward(_) => drop(ctx.stewards.remove(&from)),
            MarketMessage::Receipt(receipt) => {
                payer.adopt(ctx, &spine.ledger, &receipt);
                seller.receipt(ctx, &spine.ledger, receipt);
            }
        }
    }

    fn request(&mut self, id: RequestId, from: PeerId, channel: Channel, bytes: &[u8]) {
        match channel {
            Channel::Sync => match SyncRequest::decode(bytes) {
                Ok(SyncRequest::Proofs { keys }) => self.spine.prove(&mut self.ctx, id, &keys),
                Ok(request) => self.ctx.push(Action::Serve { id, request }),
                Err(_) => {}
            },
            Channel::Market => {
                if let Some(reply) = self.asked(from, bytes) {
                    self.ctx.push(Action::Respond { id, bytes: reply.encode() });
                }
            }
            Channel::Consensus | Channel::Transactions | Channel::Steward => {}
        }
    }

    /// Answers a question on the market, from a peer or from ourselves.
    fn asked(&mut self, from: PeerId, bytes: &[u8]) -> Option<AskReply> {
        let ask = Ask::decode(bytes).ok()?;
        let Self { ctx, spine, seller, shelf, .. } = self;
        let frees = matches!(ask, Ask::Cancel { .. });
        let reply = seller.asked(ctx, &spine.ledger, from, ask);
        if frees {
            shelf.freed(ctx.now, seller.desk.as_ref());
        }
        Some(reply)
    }

    fn response(&mut self, id: RequestId, answer: Option<Vec<u8>>) {
        let Some((from, asked)) = self.ctx.answered(id) else { return };
        let Self { ctx, spine, sync, payer, deploys, calls, library, copies, witness, .. } = self;
        let ledger = &spine.ledger;
        let reply = || answer.as_deref().and_then(|bytes| AskReply::decode(bytes).ok());
        let probed = || reply().and_then(AskReply::probe);
        let quoted = || match reply() {
            Some(AskReply::Quote(quote)) => Ok(*quote),
            Some(AskReply::Refused { reason }) => Err(reason),
            _ => Err("it does not answer".to_owned()),
        };
        match asked {
            Asked::Sync => sync.answered(ctx, spine, from, answer),
            Asked::Turns | Asked::Offer | Asked::Piece { .. } => sync.joined(ctx, spine, (from, &asked), answer),
            // Who keeps the ledger asks for no proofs.
            Asked::Proofs { .. } | Asked::Seek { .. } | Asked::Parent { .. } | Asked::Cancel => {}
            Asked::Probe { lease } => payer.probed(ctx, ledger, library, lease, reply()),
            Asked::PlaceQuote { deployment, slot } => payer.quoted(ctx, ledger, (deployment, slot), from, quoted()),
            Asked::DeployQuote { call, slot } => deploys.quoted(ctx, ledger, (call, slot, from), quoted()),
            Asked::DeployProbe { call, lease } => deploys.probed(ctx, ledger, (call, lease), probed()),
            Asked::Look { operator } => {
                if matches!(reply(), Some(AskReply::Here)) {
                    witness.answered(operator);
                }
            }
            Asked::ListProbe { call, lease } => calls.probed(ctx, (ledger, copies), (call, lease), probed()),
        }
    }

    fn fetched(&mut self, deployment: DeploymentId, here: &[BlobId], manifests: &[(BlobId, Vec<u8>)]) {
        let Self { ctx, spine, library, seller, roles, .. } = self;
        if let Some(found) = spine.ledger.view().deployment(deployment) {
            library.fetched(found.manifest, here);
        }
        for (id, bytes) in manifests {
            if !names(&spine.ledger, deployment, *id) || !library.arrived(*id, bytes) {
                continue;
            }
            seller.manifest_arrived(ctx, &spine.ledger, library);
            let found = spine.ledger.view().deployment(deployment);
            if let Some(found) = found.filter(|found| is_taken_on(ctx, &spine.ledger, found, roles.steward)) {
                library.complete(ctx, &spine.ledger, found);
            }
        }
    }

    /// Our gateway counted: tell whoever pays.
    fn count(&mut self, counted: Counted) {
        let Self { ctx, spine, payer, roles, .. } = self;
        let view = spine.ledger.view();
        let Some(lease) = view.lease(counted.lease) else { return };
        let Some(deployment) = view.deployment(lease.deployment) else { return };
        let payers = view.nodes_of(deployment.owner).into_iter().chain(view.stewards_of(deployment));
        for peer in payers.collect::<BTreeSet<_>>() {
            if peer == ctx.me {
                payer.counted(ctx, &spine.ledger, roles.steward, peer, counted);
            } else {
                ctx.send(peer, Channel::Market, &MarketMessage::Counted(counted));
            }
        }
    }

    fn call(&mut self, id: CallId, asker: &Asker, call: Call) {
        let reason = self.reason();
        if let (Some(reason), Some(operation)) = (&reason, writes(&call)) {
            return refuse(&mut self.ctx, id, halted(operation, "ledger", reason));
        }
        if asker.account != self.ctx.account {
            let text = "the token's account is not this node's, whose key would have to sign";
            let (operation, thing) = (call.operation().id(), asker.account.to_string());
            return refuse(&mut self.ctx, id, Problem::new(ProblemCode::Denied, operation, thing, text));
        }
        let Self { ctx, spine, library, shelf, seller, payer, deploys, calls, copies, witness, .. } = self;
        match call {
            Call::Status => {
                let status = describe::status(ctx, &spine.ledger, self.roles, self.display.clone(), reason);
                ctx.reply(id, Ok(Reply::Status(status)));
            }
            Call::Network => {
                let network = describe::network(ctx, &spine.ledger, &self.network_name);
                ctx.reply(id, Ok(Reply::Network(network)));
            }
            call => {
                let (ledger, history) = (&spine.ledger, &spine.history);
                let stalled = reason.as_deref();
                let parts =
                    Parts { asker, ledger, history, copies, library, shelf, seller, payer, deploys, witness, stalled };
                calls.begin(ctx, parts, id, call);
            }
        }
    }

    /// Whoever looks around by himself does so now, if it is time.
    fn tick(&mut self) {
        let halted = if self.deploys.is_late(self.ctx.now) { self.reason() } else { None };
        let Self { ctx, spine, library, shelf, seller, payer, deploys, witness, canaries, .. } = self;
        spine.let_out(ctx);
        spine.tell(ctx, Said::Tick);
        deploys.tick(ctx, &spine.ledger, halted.as_deref());
        payer.tick(ctx, &spine.ledger, library, shelf, self.roles.steward);
        for glimpse in payer.glimpses.drain(..) {
            witness.saw(ctx, &spine.ledger, glimpse);
        }
        if ctx.now < self.next_tick {
            return;
        }
        self.next_tick = ctx.now.after(TICK_EVERY);
        shelf.tick(ctx, &spine.ledger, seller.desk.as_mut());
        seller.tick(ctx, &spine.ledger, library);
        canaries.tick(ctx, Means { ledger: &spine.ledger, library, shelf, payer, deploys, witness });
        witness.tick(ctx, &spine.ledger, shelf);
        library.sweep(&spine.ledger);
        self.copies.sweep(&spine.ledger);
        self.alerts.tick(ctx, &spine.ledger, payer);
        // Before we know what the others know, what we hold for them may look as if nobody wanted it.
        if self.resume_at.is_none() {
            self.retention.tick(ctx, &spine.ledger, library, self.roles.steward);
        }
        self.register();
        self.spine.signal(&mut self.ctx);
    }

    /// A node that sells must stand on the ledger under its operator.
    fn register(&mut self) {
        let view = self.spine.ledger.view();
        // One whose key was taken out is refused however often it asks.
        let registered = view.node(self.ctx.me).is_some() || view.account_of(self.ctx.me).is_none();
        if registered || self.ctx.now < self.next_register || !self.roles.provider || self.reason().is_some() {
            return;
        }
        self.next_register = self.ctx.now.after(REGISTER_AGAIN);
        let statement = KeyStatement { account: self.ctx.account, purpose: Service::Node };
        let expires = self.spine.ledger.time().max(self.ctx.now).after(Millis::minutes(10));
        let consent = Box::new(Signed::seal(self.ctx.network, &self.ctx.key, expires, statement));
        let node = NodeEntry { operator: self.ctx.account, ..self.entry.clone() };
        let deed = Deed::RegisterNode { node, consent };
        self.ctx.submit(&self.spine.ledger, deed, Purpose::Register);
    }

    /// Carries on until nothing is left over: questions to ourselves, transactions, what blocks changed.
    fn settle(&mut self) {
        loop {
            if let Some((id, bytes)) = self.ctx.take_loopback() {
                let answer = self.asked(self.ctx.me, &bytes).map(|reply| reply.encode());
                self.response(id, answer);
            } else if let Some(submission) = self.ctx.submissions.pop_front() {
                self.spine.submit(&mut self.ctx, submission);
            } else if let Some(changes) = self.spine.take_committed() {
                self.committed(changes);
            } else if let Some((purpose, outcome)) = self.spine.take_outcome() {
                self.outcome(purpose, &outcome);
            } else {
                break;
            }
        }
        self.sync.pursue(&mut self.ctx, &mut self.spine);
    }

    fn committed(&mut self, changes: Vec<Change>) {
        self.sync.committed(&mut self.ctx, &self.spine);
        let Self { ctx, spine, library, shelf, seller, witness, .. } = self;
        for lease in core::mem::take(&mut spine.deserted) {
            witness.deserted(ctx, &spine.ledger, lease);
        }
        for change in changes {
            match change {
                Change::Lease(id) => {
                    // Before we know what the others know, a lease may be long over by the time we hear of it.
                    if self.resume_at.is_none() {
                        seller.lease_changed(ctx, &spine.ledger, library, id);
                    }
                    shelf.may_have_changed(seller.desk.as_ref());
                    witness.lease_changed(ctx, &spine.ledger, id);
                    self.routes += 1;
                }
                Change::Deployment(id) => {
                    let steward = self.roles.steward;
                    let ours = |found: &&grange_ledger::Deployment| is_taken_on(ctx, &spine.ledger, found, steward);
                    let found = spine.ledger.view().deployment(id).filter(ours);
                    if found.is_none() {
                        ctx.keys.remove(&id);
                    }
                    if let Some(found) = found.filter(|found| library.get(found.manifest).is_none()) {
                        library.want(ctx, &spine.ledger, found);
                    }
                    self.routes += 1;
                }
                Change::Name(_) => self.routes += 1,
                Change::Node(peer) if peer == ctx.me => {
                    if let Some(desk) = &mut seller.desk {
                        desk.set_operator(ctx.account);
                    }
                    shelf.changed_prices();
                    self.routes += 1;
                }
                // Who may read what of an account's deployments follows from its nodes and keys.
                Change::Node(_) | Change::Keys(_) => self.routes += 1,
                _ => {}
            }
        }
    }

    fn outcome(&mut self, purpose: Purpose, outcome: &Outcome) {
        let Self { ctx, spine, seller, payer, deploys, calls, .. } = self;
        match purpose {
            Purpose::Call(id) => calls.outcome(ctx, id, outcome),
            Purpose::Down(id, deployment) => calls.closed(ctx, id, deployment, outcome),
            Purpose::Deploy(id) | Purpose::Lease(id, _) | Purpose::Fund(id) => {
                deploys.outcome(ctx, &spine.ledger, (id, &purpose), outcome);
            }
            Purpose::Place(deployment, slot) => payer.placed(ctx, &spine.ledger, (deployment, slot), outcome),
            Purpose::Renew(lease) => seller.renewed(lease, outcome),
            Purpose::Settle(ref leases) => seller.cashed(leases, outcome),
            Purpose::Close(lease) => seller.closed(lease, outcome),
            Purpose::Register
            | Purpose::Undo(_)
            | Purpose::Deposit(_)
            | Purpose::Signal
            // Others who saw the same may have been first.
            | Purpose::Accuse(_)
            | Purpose::Steward(_) => {}
        }
        if let Err(rejection) = outcome {
            let (purpose, reason) = (format!("{purpose:?}"), sentence(rejection));
            ctx.push(Action::Note { event: "transaction.refused", purpose, reason });
        }
    }
}
