//! What people do: deploy, ask for pages, send money, remove what they deployed.

use std::collections::BTreeMap;

use grange_api::{Call, DeployDone, Problem, Reply, TransferRequest};
use grange_peer::{CallId, Event};
use grange_types::{Amount, BlobId, DeploymentId, Height, LeaseId, Millis, PeerId, Secrets, Time, TxId};

use crate::dice::Dice;
use crate::sabotage::Sabotage;
use crate::seed::{COMPONENT, manifest};
use crate::world::{Happening, World};

/// Between two things that people do.
const EVERY: (Millis, Millis) = (Millis(50), Millis(400));
/// Apps that people try to deploy in one world.
const APPS: usize = 10;

/// Who come at once where the plant `exposure-ignored` has gateways tell nobody of them.
const CROWD: u64 = 200;

/// How often a stranger asks for one page.
const STRANGERS: u64 = 2_000;

/// An app and its owner.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) name: String,
    pub(crate) owner: usize,
    pub(crate) id: Option<DeploymentId>,
    /// Its owner wants it gone.
    pub(crate) removed: bool,
    pub(crate) shape: Shape,
}

/// What an app asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) replicas: u32,
    /// In credits.
    pub(crate) budget: u32,
    pub(crate) cpu: u32,
}

/// What somebody waits for.
#[derive(Debug, Clone)]
pub(crate) enum Waiting {
    Deploy(usize),
    Down(usize),
    Transfer,
    /// Something that is not looked after any further.
    Deed,
}

/// What people do, and what they were told.
pub(crate) struct Load {
    due: Vec<Time>,
    pub(crate) apps: Vec<App>,
    waiting: BTreeMap<(usize, u32, CallId), Waiting>,
    /// The storm is over: what runs where is judged, so that nobody deploys new versions in that moment.
    pub(crate) calm: bool,
    /// Payments that their senders were told are final.
    pub(crate) paid: Vec<(TxId, Height)>,
}

impl Load {
    pub(crate) fn new(dice: &mut Dice, storm: (Time, Time)) -> Self {
        let mut due: Vec<Time> = (0..APPS)
            .map(|app| {
                // Most are there before the storm; the others come while it rages.
                let early = app < APPS / 2;
                Time(if early { storm.0.0 - dice.between(1, 9_000) } else { dice.between(storm.0.0, storm.1.0) })
            })
            .collect();
        due.sort_unstable_by(|left, right| right.cmp(left));
        Self { due, apps: Vec::new(), waiting: BTreeMap::new(), calm: false, paid: Vec::new() }
    }
}

impl World<'_> {
    /// Somebody does something, and somebody else a moment later.
    pub(crate) fn go_about(&mut self) {
        let after = self.dice.load.span(EVERY.0, EVERY.1);
        self.at(self.now.after(after), Happening::Load);
        if self.load.due.last().is_some_and(|due| *due <= self.now) {
            self.load.due.pop();
            return self.deploy();
        }
        match self.dice.load.below(1_000) {
            0..15 => self.pay(),
            15..18 => self.remove(),
            18..21 => self.stand(),
            21..42 => self.chore(),
            _ => self.request(),
        }
    }

    pub(crate) fn somebody(&mut self) -> Option<usize> {
        let awake = |host: &usize| self.hosts[*host].alive() && self.hosts[*host].frozen_until <= self.now;
        let alive: Vec<usize> = (0..self.hosts.len()).filter(awake).collect();
        self.dice.load.pick(&alive).copied()
    }

    pub(crate) fn call(&mut self, host: usize, call: Call, waiting: Waiting) {
        let machine = &mut self.hosts[host];
        machine.calls += 1;
        let id = CallId(machine.calls);
        let account = machine.config.key.public().account();
        self.load.waiting.insert((host, machine.life, id), waiting);
        self.handle(host, "call", Event::Call { id, asker: account.into(), call: Box::new(call) });
    }

    fn deploy(&mut self) {
        let Some(owner) = self.somebody() else { return };
        let number = self.load.apps.len();
        let name = format!("app-{number}");
        let replicas = 1 + u32::from(self.dice.load.chance(300)) + u32::from(self.dice.load.chance(200));
        let cpu = u32::try_from(self.dice.load.between(50, 300)).unwrap_or(50);
        let shape = Shape { replicas, budget: 200, cpu };
        self.hosts[owner].disk.blobs.insert(BlobId::of(COMPONENT), COMPONENT.to_vec());
        self.note(Some(owner), format_args!("deploys {name}: {replicas} × {cpu} millicores"));
        self.load.apps.push(App { name: name.clone(), owner, id: None, removed: false, shape });
        let manifest = Box::new(manifest(&name, shape));
        self.call(owner, Call::Deploy { manifest, secrets: Secrets::default(), most: None }, Waiting::Deploy(number));
    }

    /// The apps that run and that nobody wants gone.
    pub(crate) fn apps_there(&self) -> Vec<usize> {
        let there = |app: &usize| self.load.apps[*app].id.is_some() && !self.load.apps[*app].removed;
        (0..self.load.apps.len()).filter(there).collect()
    }

    fn remove(&mut self) {
        let there = self.apps_there();
        // A few stay, or there would be nothing to look at in the end.
        if there.len() < 4 {
            return;
        }
        let Some(app) = self.dice.load.pick(&there).copied() else { return };
        let App { owner, name, .. } = self.load.apps[app].clone();
        if self.hosts[owner].alive() && self.hosts[owner].frozen_until <= self.now {
            self.note(Some(owner), format_args!("removes {name}"));
            self.load.apps[app].removed = true;
            self.call(owner, Call::Down { name }, Waiting::Down(app));
        }
    }

    fn pay(&mut self) {
        let Some(from) = self.somebody() else { return };
        let to = self.dice.load.index(self.hosts.len());
        let to = self.hosts[to].id().account();
        let amount = Amount(u128::from(self.dice.load.between(1, 3_000_000_000_000)));
        let transfer = TransferRequest { to, amount, memo: "thanks".into() };
        self.call(from, Call::Transfer(transfer), Waiting::Transfer);
    }

    /// A browser asks a gateway for a page.
    fn request(&mut self) {
        let Some(gateway) = self.somebody().filter(|host| self.hosts[*host].config.roles.gateway) else { return };
        let names: Vec<String> = self.load.apps.iter().map(|app| app.name.clone()).collect();
        let Some(name) = self.dice.load.pick(&names).cloned() else { return };
        let routed = self.hosts[gateway].routes().names.get(&name).and_then(|named| named.routes.first()).cloned();
        let Some(at) = routed.and_then(|route| self.dice.load.pick(&route.replicas).copied()) else { return };
        let Some(place) = self.places.get(&at.provider).copied() else { return };
        let linked = place == gateway || (self.network.link(gateway, place).up && self.reaches(gateway, place));
        let target = &mut self.hosts[place];
        if !linked || !target.alive() || target.frozen_until > self.now || !target.serves() {
            return;
        }
        let runs = target.running.get_mut(&at.lease).filter(|run| run.serving && run.work.generation == at.generation);
        let Some(running) = runs else { return };
        let bytes = self.dice.load.between(200, 20_000);
        if self.dice.load.chance(10) {
            return self.stranger(place, at.lease, bytes);
        }
        let uncounted = self.sabotage == Some(Sabotage::ExposureIgnored);
        let times = if uncounted { CROWD } else { 1 };
        (0..times).for_each(|_| running.answer(bytes));
        let deployment = running.work.deployment;
        self.coverage.count("load", "request");
        // Nobody believes a gateway of the provider's own: it is owed nothing for what that passes on.
        if place != gateway {
            (0..times).for_each(|_| self.checks.answered(at.lease, bytes));
        }
        if let Some(peer) = &self.hosts[place].peer {
            self.checks.wrote(self.now, deployment, at.lease, at.generation, peer.ledger());
        }
        if self.dice.load.chance(300) {
            self.write(place, at.lease);
        }
        let (lease, from) = (at.lease, self.hosts[gateway].id());
        if !uncounted {
            self.tell(gateway, Millis(5), Event::Counted { lease, requests: 1, egress: bytes });
        }
        let (requests, egress) = (times, times * bytes);
        self.tell(place, Millis(5), Event::Taken { from, lease, requests, egress });
    }

    /// Somebody who is on no ledger asks for a page many times: on no bill, and refused once he had enough.
    fn stranger(&mut self, place: usize, lease: LeaseId, bytes: u64) {
        let Some(running) = self.hosts[place].running.get_mut(&lease) else { return };
        if running.refuses {
            return self.coverage.count("load", "stranger-refused");
        }
        (0..STRANGERS).for_each(|_| running.answer(bytes));
        self.coverage.count("load", "stranger");
        let from = PeerId([0x77; 32]);
        self.tell(place, Millis(5), Event::Taken { from, lease, requests: STRANGERS, egress: STRANGERS * bytes });
    }

    /// A deployment has come to its end, or to its problem.
    pub(crate) fn deployed(&mut self, host: usize, call: CallId, answer: Result<Option<DeployDone>, Problem>) {
        let life = self.hosts[host].life;
        let Some(Waiting::Deploy(app)) = self.load.waiting.remove(&(host, life, call)) else { return };
        match answer {
            Ok(Some(done)) => {
                self.coverage.count("load", "deployed");
                self.note(Some(host), format_args!("{} runs under {} leases", done.deployment, done.leases.len()));
                self.load.apps[app].id = Some(done.id);
            }
            Ok(None) => {}
            Err(problem) => {
                self.coverage.count("load", "deploy-refused");
                let name = self.load.apps[app].name.clone();
                self.note(Some(host), format_args!("{name} is not deployed: {}", problem.message));
            }
        }
    }

    /// Somebody is answered.
    pub(crate) fn replied(&mut self, host: usize, call: CallId, reply: Result<Reply, Problem>) {
        let life = self.hosts[host].life;
        match (self.load.waiting.remove(&(host, life, call)), reply) {
            (Some(Waiting::Transfer), Ok(Reply::Submitted(submitted))) => {
                self.coverage.count("load", "paid");
                self.load.paid.push((submitted.transaction, submitted.height));
            }
            (Some(Waiting::Down(app)), Ok(_)) => {
                self.coverage.count("load", "removed");
                let name = self.load.apps[app].name.clone();
                self.note(Some(host), format_args!("{name} is removed"));
            }
            (Some(Waiting::Down(app)), Err(problem)) => {
                self.load.apps[app].removed = false;
                let name = self.load.apps[app].name.clone();
                self.note(Some(host), format_args!("{name} is not removed: {}", problem.message));
            }
            _ => {}
        }
    }
}
