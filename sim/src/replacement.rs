//! How long it takes until what a lost provider served is served again, in a crowd of nodes.
//!
//! # Rules
//! - So many honest nodes: seven vote, every third of the others sells, every third is a gateway, all are willing to be
//!   stewards. One app for every ten nodes, of one or two replicas, each owned by a node that does not sell.
//! - When all apps run, every six seconds a provider that serves dies without a word and does not come back, one of thirty
//!   nodes and twenty at most. A node that stewards one of the apps may be among them. The next one dies when the
//!   replicas of the last are served again as a rule; where all find the same offers best, it is often the one that took them.
//! - The span of a lost replica ends when a gateway of another node routes to the lease that took its slot and that lease is
//!   served. It is looked for every 20 ms, so it is too long by that at most.
//! - Messages are counted as they are sent over links, at the start, at rest and while providers die.
//!
//! # What is not modelled
//! - Every node is linked to every other. A node's transport holds 64 links.
//! - What is gossiped goes from its author to everybody at once; a real node passes it on, so that each receives it about
//!   once, as here, and its author sends it to a few.

use std::io::Write;

use grange_types::{BlobId, DeploymentId, LeaseId, Millis, Time, simulation};

use crate::checks::Violation;
use crate::dice::Dice;
use crate::load::{Shape, Waiting};
use crate::seed::{BEGINNING, COMPONENT, crowd, manifest};
use crate::world::{Happening, Streams, World};

/// Nodes that vote.
const VALIDATORS: usize = 7;
/// All are linked and have heard of all offers by then.
const INTRODUCED: Millis = Millis::seconds(10);
/// Between two deployments.
const DEPLOY_EVERY: Millis = Millis(100);
/// What was deployed runs so long after the last one.
const SETTLED: Millis = Millis::seconds(15);
/// How long the crowd is watched at rest.
const REST: Millis = Millis::seconds(20);
/// Between two deaths.
const DEATH_EVERY: Millis = Millis::seconds(6);
/// The most of them.
const DEATHS: usize = 20;
/// Between two looks at what is served.
const LOOK_EVERY: Millis = Millis(20);
/// What is not served again by then is given up.
const GIVEN_UP: Millis = Millis::minutes(2);

/// What a crowd showed.
#[derive(Debug, Clone, Default)]
pub struct Replacements {
    /// From a provider's death until its replica was served again, one for each lost replica.
    pub spans: Vec<Millis>,
    /// Replicas that were not served again.
    pub lost: usize,
    /// Apps that ran.
    pub apps: usize,
    /// Providers that died.
    pub deaths: usize,
    /// Messages a node and second: at rest, and while providers die.
    pub talk: [f64; 2],
    /// How many were said of each kind until then, a gossiped one once.
    pub kinds: Vec<(&'static str, u64)>,
    /// Messages a node until all were introduced.
    pub introduction: f64,
    /// What was told to peers.
    pub events: u64,
    /// The first thing that must not be.
    pub violation: Option<Violation>,
}

/// A replica whose provider died.
struct Lost {
    died: Time,
    lease: LeaseId,
    deployment: DeploymentId,
    slot: u32,
    name: String,
    gateway: usize,
}

/// Lives a crowd of so many nodes, and lets providers die.
pub fn replacements(nodes: usize, seed: u64, sink: &mut dyn Write) -> Replacements {
    simulation::sign_by_keyed_hash(true);
    let cast = crowd(nodes, VALIDATORS.min(nodes), &mut Dice::new(seed, 0));
    let mut world = World::of(cast, Streams::new(seed), (BEGINNING, BEGINNING), sink);
    world.at(BEGINNING.after(Millis::seconds(1)), Happening::Second);
    let mut shown = Replacements::default();
    world.gather(nodes, &mut shown);
    let rest = world.talk_for(REST);
    shown.kinds =
        world.coverage.all().filter(|(group, ..)| *group == "message").map(|(_, kind, count)| (kind, count)).collect();
    world.thin_out((nodes / 30).clamp(1, DEATHS), &mut shown);
    shown.talk[0] = rest;
    shown.events = world.trace.events;
    shown.violation = world.checks.violation.take();
    simulation::sign_by_keyed_hash(false);
    shown
}

impl World<'_> {
    /// Everybody comes, is introduced to all others, and what there is to deploy is deployed.
    fn gather(&mut self, nodes: usize, shown: &mut Replacements) {
        for host in 0..self.hosts.len() {
            self.start(host);
        }
        self.live_until(BEGINNING.after(INTRODUCED));
        shown.introduction = self.sent as f64 / nodes as f64;
        let owners: Vec<usize> = (0..nodes).filter(|host| !self.hosts[*host].config.roles.provider).collect();
        shown.apps = (nodes / 10).max(1);
        for app in 0..shown.apps {
            let owner = owners[app * owners.len() / shown.apps];
            let replicas = 1 + u32::from(self.dice.load.chance(500));
            let cpu = u32::try_from(self.dice.load.between(50, 300)).unwrap_or(50);
            self.deploy_for(owner, replicas, cpu);
            self.live_until(self.now.after(DEPLOY_EVERY));
        }
        self.live_until(self.now.after(SETTLED));
        if let Some(app) = self.load.apps.iter().find(|app| app.id.is_none()) {
            let what = format!("{} was not deployed", app.name);
            self.checks.found(self.now, "recovery", what);
        }
    }

    fn deploy_for(&mut self, owner: usize, replicas: u32, cpu: u32) {
        let (number, shape) = (self.load.apps.len(), Shape { replicas, budget: 200, cpu });
        let name = format!("app-{number}");
        self.hosts[owner].disk.blobs.insert(BlobId::of(COMPONENT), COMPONENT.to_vec());
        self.load.apps.push(crate::load::App { name: name.clone(), owner, id: None, removed: false, shape });
        let manifest = Box::new(manifest(&name, shape));
        self.call(
            owner,
            grange_api::Call::Deploy { manifest, secrets: grange_types::Secrets::default(), most: None },
            Waiting::Deploy(number),
        );
    }

    /// Lets time pass, and gives the messages that a node sent in a second of it.
    fn talk_for(&mut self, span: Millis) -> f64 {
        let before = self.sent;
        self.live_until(self.now.after(span));
        (self.sent - before) as f64 / self.hosts.len() as f64 / (span.0 as f64 / 1_000.0)
    }

    fn live_until(&mut self, end: Time) {
        while self.checks.violation.is_none() && self.next_at().is_some_and(|next| next <= end) {
            self.step();
        }
        self.now = self.now.max(end);
    }

    /// Providers die one after the other; what they served is looked for until it is served again.
    fn thin_out(&mut self, deaths: usize, shown: &mut Replacements) {
        let (begun, before) = (self.now, self.sent);
        let mut lost: Vec<Lost> = Vec::new();
        let mut next = self.now;
        while self.checks.violation.is_none() && (shown.deaths < deaths || !lost.is_empty()) {
            if shown.deaths < deaths && self.now >= next {
                next = next.after(DEATH_EVERY);
                shown.deaths += 1;
                self.lose_one(&mut lost);
            }
            self.live_until(self.now.after(LOOK_EVERY));
            let now = self.now;
            lost.retain(|one| {
                let span = now.since(one.died);
                let served = self.is_served_again(one);
                if served {
                    self.note(
                        None,
                        format_args!("slot {} of {} is served again after {} ms", one.slot, one.name, span.0),
                    );
                    shown.spans.push(span);
                } else if span >= GIVEN_UP {
                    shown.lost += 1;
                }
                !served && span < GIVEN_UP
            });
        }
        let seconds = self.now.since(begun).0 as f64 / 1_000.0;
        shown.talk[1] = (self.sent - before) as f64 / self.hosts.len() as f64 / seconds.max(0.001);
    }

    /// One that serves dies. Its replicas are those that the ledger has there and that truly ran.
    fn lose_one(&mut self, lost: &mut Vec<Lost>) {
        let serves =
            |host: &usize| self.hosts[*host].alive() && self.hosts[*host].running.values().any(|run| run.serving);
        let serving: Vec<usize> = (VALIDATORS..self.hosts.len()).filter(serves).collect();
        let Some(victim) = self.dice.faults.pick(&serving).copied() else { return };
        let gateways: Vec<usize> = (0..self.hosts.len())
            .filter(|host| *host != victim && self.hosts[*host].alive() && self.hosts[*host].config.roles.gateway)
            .collect();
        let leases: Vec<LeaseId> =
            self.hosts[victim].running.iter().filter(|(_, run)| run.serving).map(|(lease, _)| *lease).collect();
        for id in leases {
            let Some(gateway) = self.dice.load.pick(&gateways).copied() else { continue };
            let Some(view) = self.hosts[gateway].peer.as_ref().map(|peer| peer.ledger().view()) else { continue };
            let Some(lease) = view.lease(id).filter(|lease| lease.is_open(view.now())) else { continue };
            let Some(name) = view.deployment(lease.deployment).and_then(|found| found.name()) else { continue };
            let (deployment, slot, name) = (lease.deployment, lease.slot, name.to_owned());
            lost.push(Lost { died: self.now, lease: id, deployment, slot, name, gateway });
        }
        self.kill(victim, false, "dies for good");
    }

    /// Whether a gateway routes to whoever took the slot, and it serves.
    fn is_served_again(&mut self, lost: &Lost) -> bool {
        let Some(peer) = &self.hosts[lost.gateway].peer else { return false };
        let taken = peer.ledger().view().open_lease_of(lost.deployment, lost.slot).map(|lease| lease.id);
        let Some(taken) = taken.filter(|lease| *lease != lost.lease) else { return false };
        let routes = self.hosts[lost.gateway].routes().names.get(&lost.name);
        let replicas = routes.into_iter().flat_map(|named| &named.routes).flat_map(|route| &route.replicas);
        let Some(at) = replicas.into_iter().find(|replica| replica.lease == taken).cloned() else { return false };
        let Some(place) = self.places.get(&at.provider).copied() else { return false };
        let linked =
            place == lost.gateway || (self.network.link(lost.gateway, place).up && self.reaches(lost.gateway, place));
        let serves = |host: usize| self.hosts[host].running.get(&taken).is_some_and(|run| run.serving);
        linked && self.hosts[place].alive() && serves(place)
    }
}
