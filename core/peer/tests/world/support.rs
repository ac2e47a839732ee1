//! A few peers in one thread, on a network, disks and a clock that the test holds: the same machines that nodes run.

use std::collections::{BTreeMap, BTreeSet};

use grange_api::{Call, Line, Problem, Reply};
use grange_ledger::{Genesis, GenesisAccount, NodeEntry, Parameters, Validator};
use grange_objects::secret;
use grange_objects::share::deployment_key;
use grange_peer::{
    Action, AskReply, Asker, CallId, Channel, Config, Counted, Event, MarketMessage, Peer, RequestId, Roles, Visit,
    WorkEvent,
};
use grange_types::manifest::{Content, File, Placement};
use grange_types::{
    Amount, BlobId, ByteCount, Counters, DeploymentId, Isolation, Kind, LeaseId, Manifest, Millis, PeerId, Prices,
    PublicKey, Region, Resources, SecretKey, Secrets, Service, Signed, SiteIndex, Time, Wire, Workload,
};

use crate::disk::Disk;

/// One way between two peers.
const LATENCY: Millis = Millis(2);
/// Until a link to a peer that died is known to be gone.
const NOTICED: Millis = Millis(1_200);
/// From the order to start a workload until it serves.
const STARTS: Millis = Millis(20);

/// How a provider misbehaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Villain {
    /// It does not.
    Honest,
    /// It says that it delivered so many hundredths of what it did.
    Reports(u64),
    /// It says that its workloads serve, and answers no request.
    Pretends,
    /// It takes requests and never answers.
    Silent,
    /// It quotes ten times what its price sheet says.
    Dear,
    /// It never answers who asks for a quote.
    Mute,
    /// Its workloads answer with this status.
    Answers(u16),
    /// Its sites are not what was ordered.
    Garbles,
}

struct Running {
    generation: u64,
    /// The first file of a site.
    page: Option<BlobId>,
    since: Time,
    serving: bool,
    requests: u64,
    egress: u64,
    /// Strangers are not served.
    refuses: bool,
}

pub(crate) struct Host {
    pub(crate) config: Config,
    pub(crate) peer: Option<Peer>,
    life: u32,
    pub(crate) disk: Disk,
    running: BTreeMap<LeaseId, Running>,
    pub(crate) villain: Villain,
    calls: u64,
    replies: BTreeMap<CallId, Result<Reply, Problem>>,
    /// What it wrote to its log: event, purpose, reason.
    pub(crate) notes: Vec<(&'static str, String, String)>,
    lines: BTreeMap<CallId, Vec<Line>>,
}

enum Delivery {
    Event(Event),
    /// A workload that was starting serves.
    Served(LeaseId),
    /// A workload tells what it counted.
    Count(LeaseId),
}

pub(crate) struct World {
    pub(crate) now: Time,
    pub(crate) hosts: Vec<Host>,
    queue: BTreeMap<(Time, u64), (usize, u32, Delivery)>,
    sequence: u64,
    asked: BTreeMap<u64, (usize, u32, RequestId)>,
    /// Pairs between which nothing passes.
    severed: BTreeSet<(usize, usize)>,
}

fn key(index: usize) -> SecretKey {
    SecretKey::from_bytes(&[index as u8 + 1; 32])
}

fn region() -> Region {
    Region::try_from("local".to_owned()).unwrap()
}

pub(crate) fn credits(text: &str) -> Amount {
    text.parse().unwrap()
}

/// Each operator a little dearer than the one before.
pub(crate) fn prices(index: usize) -> Prices {
    let scaled = |text: &str| credits(text).scaled(10 + index as u128, 10);
    Prices {
        cpu_hour: scaled("0.01"),
        memory_gib_hour: scaled("0.005"),
        disk_gib_hour: scaled("0.0001"),
        request_million: scaled("0.2"),
        egress_gib: scaled("0.01"),
    }
}

fn genesis(count: usize, voters: usize, parameters: Parameters) -> Genesis {
    let indices = || 0..count;
    let peer = |index| key(index).public().peer();
    Genesis {
        name: "world".into(),
        created: Time(1_795_219_200_000),
        parameters,
        accounts: indices()
            .map(|index| GenesisAccount {
                id: peer(index).account(),
                keys: Vec::new(),
                balance: Amount::credits(1_000),
            })
            .collect(),
        validators: (count - voters..count)
            .map(|index| Validator::new(peer(index).account(), PublicKey::from(peer(index)), 1))
            .collect(),
        nodes: indices()
            .map(|index| NodeEntry {
                peer: peer(index),
                operator: peer(index).account(),
                display: format!("operator-{index}"),
                region: region(),
                relays: Vec::new(),
            })
            .collect(),
        bootstrap: Vec::new(),
    }
}

/// A manifest of one wasm service.
pub(crate) fn manifest(name: &str, budget: &str) -> Manifest {
    let service = Service {
        workload: Workload::Wasm { component: BlobId::of(b"component"), size: ByteCount(9) },
        replicas: 1,
        resources: Resources { cpu_millis: 100, memory: ByteCount::mib(64), disk: ByteCount(0) },
        environment: BTreeMap::new(),
        route: Some("/".into()),
        health: None,
        depends_on: Vec::new(),
        placement: Placement::default(),
        allow_http: Vec::new(),
    };
    Manifest { name: name.into(), budget: credits(budget), services: BTreeMap::from([("web".to_owned(), service)]) }
}

/// The same app with the secret `token` as a file at each of these places.
pub(crate) fn vault(name: &str, targets: &[&str]) -> Manifest {
    let mut app = manifest(name, "10");
    let secret = || Content::Secret { name: "token".into(), sealed: Vec::new() };
    let files = targets.iter().map(|target| File { target: (*target).into(), content: secret() }).collect();
    let component = BlobId::of(b"component");
    app.services.get_mut("web").unwrap().workload = Workload::Furnished { component, size: ByteCount(9), files };
    app
}

/// What that secret is.
pub(crate) fn token(value: &[u8]) -> Secrets {
    let mut secrets = Secrets::default();
    secrets.insert("token".into(), value.to_vec());
    secrets
}

impl World {
    /// So many operators, all started, with the parameters of a network on one machine.
    pub(crate) fn new(count: usize) -> Self {
        Self::with(count, Parameters::dev(), |_| {})
    }

    pub(crate) fn with(count: usize, parameters: Parameters, change: impl Fn(&mut Config)) -> Self {
        Self::voted(count, count, parameters, change)
    }

    /// So many operators, of whom only the last ones vote: the others may die without the ledger standing still.
    pub(crate) fn voted(count: usize, voters: usize, parameters: Parameters, change: impl Fn(&mut Config)) -> Self {
        let genesis = genesis(count, voters, parameters);
        let host = |index: usize| {
            let mut config = Config {
                key: key(index),
                genesis: genesis.clone(),
                display: format!("operator-{index}"),
                region: region(),
                roles: Roles { validator: true, provider: true, gateway: true, relay: false, steward: true },
                capacity: Resources { cpu_millis: 4_000, memory: ByteCount::gib(2), disk: ByteCount::gib(8) },
                kinds: vec![Kind::Site, Kind::Wasm],
                isolation: Isolation::Wasm,
                prices: prices(index),
                paused: false,
                gateway_port: 8_000,
                snapshot_every: Config::SNAPSHOT_EVERY,
                prune: false,
                inline: 512,
                rules: grange_ledger::VERSION,
                canaries: Amount::ZERO,
                lost_after: Config::LOST_AFTER,
                sequence: 1,
                seed: index as u64,
            };
            change(&mut config);
            Host {
                config,
                peer: None,
                life: 0,
                disk: Disk::default(),
                running: BTreeMap::new(),
                villain: Villain::Honest,
                calls: 0,
                replies: BTreeMap::new(),
                notes: Vec::new(),
                lines: BTreeMap::new(),
            }
        };
        let now = Time(1_795_219_300_000);
        let hosts = (0..count).map(host).collect();
        let (queue, asked, severed) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        let mut world = Self { now, hosts, queue, sequence: 0, asked, severed };
        (0..count).for_each(|index| world.start(index));
        world
    }

    pub(crate) fn genesis(&self) -> Genesis {
        self.hosts[0].config.genesis.clone()
    }

    pub(crate) fn key(&self, index: usize) -> SecretKey {
        self.hosts[index].config.key.clone()
    }

    /// Every block that a peer has stored, with its certificate, lowest first.
    pub(crate) fn blocks(&self, index: usize) -> Vec<(Vec<u8>, Vec<u8>)> {
        self.hosts[index].disk.blocks.values().cloned().collect()
    }

    pub(crate) fn peer_id(&self, index: usize) -> PeerId {
        self.hosts[index].config.key.public().peer()
    }

    pub(crate) fn index_of(&self, peer: PeerId) -> usize {
        (0..self.hosts.len()).find(|index| self.peer_id(*index) == peer).unwrap()
    }

    pub(crate) fn peer(&self, index: usize) -> &Peer {
        self.hosts[index].peer.as_ref().unwrap()
    }

    /// Starts a peer from what is on its disk.
    pub(crate) fn start(&mut self, index: usize) {
        let now = self.now;
        let host = &mut self.hosts[index];
        host.life += 1;
        host.config.sequence = now.0;
        host.config.seed += 1_000;
        let recovery = host.disk.recovery();
        let mut peer = Peer::new(host.config.clone(), &recovery).unwrap();
        peer.start(now, recovery);
        host.peer = Some(peer);
        let me = self.peer_id(index);
        for other in (0..self.hosts.len()).filter(|other| *other != index) {
            if self.hosts[other].peer.is_some() && self.reaches(index, other) {
                let them = self.peer_id(other);
                self.deliver(other, LATENCY, Event::Connected(me));
                self.deliver(index, LATENCY, Event::Connected(them));
            }
        }
        self.carry_out(index);
    }

    /// `kill -9`: what was not flushed is lost, and the others notice after a while.
    pub(crate) fn kill(&mut self, index: usize) {
        let me = self.peer_id(index);
        let host = &mut self.hosts[index];
        host.peer = None;
        host.running.clear();
        host.disk.wal.truncate(host.disk.flushed);
        for other in (0..self.hosts.len()).filter(|other| *other != index) {
            self.deliver(other, NOTICED, Event::Disconnected(me));
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        !self.severed.contains(&(from.min(to), from.max(to)))
    }

    /// From now on nothing passes between two peers, which notice after a while.
    pub(crate) fn sever(&mut self, one: usize, other: usize) {
        self.severed.insert((one.min(other), one.max(other)));
        for (from, to) in [(one, other), (other, one)] {
            let gone = self.peer_id(from);
            self.deliver(to, NOTICED, Event::Disconnected(gone));
        }
    }

    /// A partition: nothing passes between these peers and the others.
    pub(crate) fn part(&mut self, these: &[usize]) {
        let (inside, outside): (Vec<usize>, Vec<usize>) =
            (0..self.hosts.len()).partition(|index| these.contains(index));
        for (one, other) in inside.iter().flat_map(|one| outside.iter().map(move |other| (*one, *other))) {
            self.sever(one, other);
        }
    }

    /// Everything passes again.
    pub(crate) fn heal(&mut self) {
        for (one, other) in core::mem::take(&mut self.severed) {
            for (from, to) in [(one, other), (other, one)] {
                if self.hosts[from].peer.is_some() {
                    let back = self.peer_id(from);
                    self.deliver(to, LATENCY, Event::Connected(back));
                }
            }
        }
    }

    /// Moves the clock while every peer is dead.
    pub(crate) fn sleep(&mut self, span: Millis) {
        assert!(self.hosts.iter().all(|host| host.peer.is_none()), "somebody is awake");
        self.queue.clear();
        self.now = self.now.after(span);
    }

    pub(crate) fn deliver(&mut self, to: usize, after: Millis, event: Event) {
        self.schedule(to, after, Delivery::Event(event));
    }

    fn schedule(&mut self, to: usize, after: Millis, delivery: Delivery) {
        self.sequence += 1;
        let life = self.hosts[to].life;
        self.queue.insert((self.now.after(after), self.sequence), (to, life, delivery));
    }

    /// The next thing happens.
    fn step(&mut self) {
        let timeouts = self.hosts.iter().enumerate().filter_map(|(index, host)| {
            host.peer.as_ref().and_then(|peer| peer.poll_timeout()).map(|time| (time.max(self.now), index))
        });
        let timeout = timeouts.min();
        let next = self.queue.first_key_value().map(|((time, _), _)| *time);
        match (next, timeout) {
            (Some(time), None) => self.take(time),
            (Some(time), Some((due, _))) if time <= due => self.take(time),
            (_, Some((due, index))) => {
                // A timeout that has come already comes again with the next instant, never in the same one for ever.
                self.now = if due <= self.now { Time(self.now.0 + 1) } else { due };
                self.handle(index, Event::Tick);
            }
            (None, None) => panic!("nothing will ever happen"),
        }
    }

    fn take(&mut self, time: Time) {
        self.now = self.now.max(time);
        let Some((_, (to, life, delivery))) = self.queue.pop_first() else { return };
        if self.hosts[to].life != life || self.hosts[to].peer.is_none() {
            return;
        }
        match delivery {
            Delivery::Event(event) => self.handle(to, event),
            Delivery::Served(lease) => {
                if let Some(running) = self.hosts[to].running.get_mut(&lease) {
                    running.serving = true;
                    running.since = self.now;
                    self.handle(to, Event::Work { lease, event: WorkEvent::Serving });
                    self.schedule(to, Millis(1_000), Delivery::Count(lease));
                }
            }
            Delivery::Count(lease) => self.count(to, lease),
        }
    }

    fn count(&mut self, to: usize, lease: LeaseId) {
        let now = self.now;
        let host = &self.hosts[to];
        let Some(running) = host.running.get(&lease) else { return };
        let percent = if let Villain::Reports(percent) = host.villain { percent } else { 100 };
        let counters = Counters {
            served: Millis(now.since(running.since).0 * percent / 100),
            requests: running.requests * percent / 100,
            egress: ByteCount(running.egress * percent / 100),
        };
        self.handle(to, Event::Work { lease, event: WorkEvent::Counters(counters) });
        self.schedule(to, Millis(1_000), Delivery::Count(lease));
    }

    fn handle(&mut self, index: usize, event: Event) {
        let now = self.now;
        if let Some(peer) = &mut self.hosts[index].peer {
            peer.handle(now, event);
            self.carry_out(index);
        }
    }

    fn carry_out(&mut self, index: usize) {
        while let Some(action) = self.hosts[index].peer.as_mut().and_then(Peer::poll_action) {
            self.carry_out_one(index, action);
        }
    }

    fn carry_out_one(&mut self, index: usize, action: Action) {
        let me = self.peer_id(index);
        let host = &mut self.hosts[index];
        match action {
            action @ (Action::WalAppend(_)
            | Action::WalFlush
            | Action::WalReset(_)
            | Action::Turn { .. }
            | Action::Commit { .. }
            | Action::Snapshot { .. }
            | Action::Install { .. }
            | Action::Evidence(_)
            | Action::Prune { .. }) => host.disk.write(action),
            Action::Keep { bytes } => drop(host.disk.blobs.insert(BlobId::of(&bytes), bytes)),
            Action::KeepKey { deployment, key } => drop(host.disk.keys.insert(deployment, key)),
            Action::Send { to, channel, bytes } => {
                let to = self.index_of(to);
                if self.reaches(index, to) {
                    self.deliver(to, LATENCY, Event::Message { from: me, channel, bytes });
                }
            }
            Action::Gossip(bytes) => {
                for other in (0..self.hosts.len()).filter(|other| *other != index) {
                    if self.reaches(index, other) {
                        self.deliver(other, LATENCY, Event::Gossip { bytes: bytes.clone() });
                    }
                }
            }
            Action::Request { id, to, channel, bytes, within } => self.request(index, id, to, channel, bytes, within),
            Action::Respond { id, bytes } => {
                if let Some(bytes) = self.tampered(index, bytes) {
                    self.respond(index, id, bytes);
                }
            }
            Action::Serve { id, request } => {
                let answer = grange_peer::serve(&host.disk, &request);
                self.respond(index, id, answer.unwrap());
            }
            Action::Fetch { deployment, blobs, from } => self.fetch(index, deployment, &blobs, &from),
            Action::Retain(kept) => {
                host.disk.blobs.retain(|id, _| kept.blobs.contains(id) || kept.sites.contains(id));
            }
            Action::Start { work, .. } => {
                let (generation, since) = (work.generation, self.now);
                let page = self.page(&work.workload);
                let running =
                    Running { generation, page, since, serving: false, requests: 0, egress: 0, refuses: false };
                self.hosts[index].running.insert(work.lease, running);
                self.schedule(index, STARTS, Delivery::Served(work.lease));
            }
            Action::Visit { lease, generation, provider, within, whole, .. } => {
                self.visit(index, (lease, generation, whole), provider, Millis(within));
            }
            Action::Stop { lease } => drop(host.running.remove(&lease)),
            Action::Strangers { lease, served } => {
                if let Some(running) = host.running.get_mut(&lease) {
                    running.refuses = !served;
                }
            }
            Action::Reply { call, reply } => drop(host.replies.insert(call, *reply)),
            Action::Line { call, line, .. } => host.lines.entry(call).or_default().push(*line),
            Action::Note { event, purpose, reason } => host.notes.push((event, purpose, reason)),
            Action::Halt(why) => panic!("operator {index} halted: {why}"),
        }
    }

    fn request(&mut self, from: usize, id: RequestId, to: PeerId, channel: Channel, bytes: Vec<u8>, within: u64) {
        self.sequence += 1;
        let question = self.sequence;
        self.asked.insert(question, (from, self.hosts[from].life, id));
        let (target, asker) = (self.index_of(to), self.peer_id(from));
        if self.reaches(from, target) {
            self.deliver(target, LATENCY, Event::Request { id: RequestId(question), from: asker, channel, bytes });
        }
        // A peer takes the first answer only.
        self.deliver(from, Millis(within), Event::Response { id, answer: None });
    }

    /// What a villain makes of an answer of its honest machine; nothing if it keeps it to itself.
    fn tampered(&self, index: usize, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let host = &self.hosts[index];
        match (host.villain, AskReply::decode(&bytes)) {
            (Villain::Mute, Ok(AskReply::Quote(_))) => None,
            (Villain::Dear, Ok(AskReply::Quote(quote))) => {
                let mut body = quote.body;
                let prices = &mut body.terms.prices;
                prices.cpu_hour = prices.cpu_hour.scaled(10, 1);
                let dear = Signed::seal(quote.network, &host.config.key, quote.expires, body);
                Some(AskReply::Quote(Box::new(dear)).encode())
            }
            _ => Some(bytes),
        }
    }

    fn respond(&mut self, from: usize, question: RequestId, bytes: Vec<u8>) {
        let Some((asker, life, id)) = self.asked.remove(&question.0) else { return };
        if self.hosts[asker].life == life && self.reaches(from, asker) {
            self.deliver(asker, LATENCY, Event::Response { id, answer: Some(bytes) });
        }
    }

    fn fetch(&mut self, index: usize, deployment: grange_types::DeploymentId, wanted: &[BlobId], from: &[PeerId]) {
        let (mut here, mut manifests) = (Vec::new(), Vec::new());
        for blob in wanted {
            let holders = from.iter().map(|peer| self.index_of(*peer)).chain([index]);
            let there = |holder: &usize| self.hosts[*holder].peer.is_some() && self.reaches(index, *holder);
            let alive = holders.filter(there);
            let found = alive.filter_map(|holder| self.hosts[holder].disk.blobs.get(blob)).next().cloned();
            let Some(bytes) = found else { continue };
            self.hosts[index].disk.blobs.insert(*blob, bytes.clone());
            here.push(*blob);
            if Manifest::decode(&bytes).is_ok() {
                manifests.push((*blob, bytes));
            }
        }
        self.deliver(index, Millis(5), Event::Fetched { deployment, here, manifests });
    }

    /// The first file of a site, whoever has it.
    fn page(&self, workload: &Workload) -> Option<BlobId> {
        let Workload::Site { index, .. } = workload else { return None };
        let bytes = self.hosts.iter().find_map(|host| host.disk.blobs.get(index))?;
        Some(SiteIndex::decode(bytes).unwrap().files[0].blob)
    }

    fn visit(&mut self, from: usize, asked: (LeaseId, u64, bool), provider: PeerId, within: Millis) {
        let (lease, generation, whole) = asked;
        let index = self.index_of(provider);
        let target = &self.hosts[index];
        let page = target.running.get(&lease).and_then(|run| run.page).filter(|_| whole);
        let runs = target.running.get(&lease).is_some_and(|run| run.serving && run.generation == generation);
        let answers = target.peer.is_some() && target.villain != Villain::Pretends && self.reaches(from, index);
        let status = if let Villain::Answers(status) = target.villain { status } else { 200 };
        let visit = match target.villain {
            Villain::Silent => Visit::Late,
            Villain::Garbles if runs && whole => Visit::Read { status, content: BlobId::of(b"something else") },
            _ if runs && answers => page.map_or(Visit::Answered(status), |content| Visit::Read { status, content }),
            _ => Visit::Failed { reason: "it does not answer".to_owned() },
        };
        let after = if visit == Visit::Late { within } else { Millis(2 * LATENCY.0) };
        self.deliver(from, after, Event::Visited { lease, visit });
    }

    /// Requests through a gateway reach the replica of a lease; both sides count them.
    pub(crate) fn load(&mut self, gateway: usize, lease: LeaseId, requests: u64, egress: u64) {
        for host in &mut self.hosts {
            if let Some(running) = host.running.get_mut(&lease) {
                running.requests += requests;
                running.egress += egress;
            }
        }
        self.deliver(gateway, Millis(0), Event::Counted { lease, requests, egress });
        self.took(self.peer_id(gateway), lease, requests, egress);
    }

    /// A provider counts what requests of a peer took.
    fn took(&mut self, from: PeerId, lease: LeaseId, requests: u64, egress: u64) {
        let runs: Vec<usize> =
            (0..self.hosts.len()).filter(|host| self.hosts[*host].running.contains_key(&lease)).collect();
        for host in runs {
            self.deliver(host, Millis(0), Event::Taken { from, lease, requests, egress });
        }
    }

    /// Requests through a gateway that tells nobody what it passed on.
    pub(crate) fn hush(&mut self, gateway: usize, lease: LeaseId, requests: u64) {
        for host in &mut self.hosts {
            if let Some(running) = host.running.get_mut(&lease) {
                running.requests += requests;
            }
        }
        self.took(self.peer_id(gateway), lease, requests, 0);
    }

    /// Requests of a key that the ledger does not know, and counts that nobody may believe: told, and gossiped. How many were
    /// served.
    pub(crate) fn whisper(&mut self, to: usize, lease: LeaseId, requests: u64) -> u64 {
        if self.hosts.iter().any(|host| host.running.get(&lease).is_some_and(|running| running.refuses)) {
            return 0;
        }
        let bytes = MarketMessage::Counted(Counted { lease, requests, egress: 0 }).encode();
        let from = PeerId([0x77; 32]);
        self.deliver(to, LATENCY, Event::Gossip { bytes: bytes.clone() });
        self.deliver(to, LATENCY, Event::Message { from, channel: Channel::Market, bytes });
        self.took(from, lease, requests, 0);
        // The provider says the same, so that a believer would pay.
        for host in &mut self.hosts {
            if let Some(running) = host.running.get_mut(&lease) {
                running.requests += requests;
            }
        }
        requests
    }

    /// The hosts that hold a blob.
    pub(crate) fn holders(&self, blob: BlobId) -> Vec<usize> {
        (0..self.hosts.len()).filter(|index| self.hosts[*index].disk.blobs.contains_key(&blob)).collect()
    }

    /// How many hosts run a workload for a lease.
    pub(crate) fn runs(&self, index: usize, lease: LeaseId) -> bool {
        self.hosts[index].running.get(&lease).is_some_and(|running| running.serving)
    }

    pub(crate) fn run_for(&mut self, span: Millis) {
        let end = self.now.after(span);
        while self.now < end {
            self.step();
        }
    }

    /// Runs until a condition holds; gives how long that took.
    #[track_caller]
    pub(crate) fn until(&mut self, what: &str, within: Millis, condition: impl Fn(&Self) -> bool) -> Millis {
        let begun = self.now;
        while !condition(self) {
            assert!(self.now.since(begun) < within, "not within {} ms: {what}", within.0);
            self.step();
        }
        self.now.since(begun)
    }

    /// Waits until every peer knows every offer.
    pub(crate) fn settle(&mut self) {
        let count = self.hosts.iter().filter(|host| host.config.roles.provider).count() as u64;
        let known = |peer: &Peer| {
            peer.metrics().iter().any(|(name, value)| *name == "grange_offers_indexed" && *value == count)
        };
        self.until("all offers are known everywhere", Millis::seconds(60), |world| {
            world.hosts.iter().filter_map(|host| host.peer.as_ref()).all(known)
        });
    }

    fn call(&mut self, index: usize, call: Call) -> CallId {
        self.call_with(index, "", call)
    }

    fn call_with(&mut self, index: usize, prefix: &str, call: Call) -> CallId {
        let host = &mut self.hosts[index];
        host.calls += 1;
        let id = CallId(host.calls);
        let account = host.peer.as_ref().unwrap().account();
        let asker = Asker { account, prefix: prefix.to_owned() };
        self.handle(index, Event::Call { id, asker, call: Box::new(call) });
        id
    }

    /// Asks a peer and waits for its one answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, index: usize, call: Call) -> Result<Reply, Problem> {
        self.ask_with(index, "", call)
    }

    /// The same with a key that is for names that begin so.
    pub(crate) fn ask_with(&mut self, index: usize, prefix: &str, call: Call) -> Result<Reply, Problem> {
        let id = self.call_with(index, prefix, call);
        self.until("an answer", Millis::seconds(60), |world| world.hosts[index].replies.contains_key(&id));
        self.hosts[index].replies.remove(&id).unwrap()
    }

    /// Orders a deployment from a peer, and does not wait for what comes of it.
    pub(crate) fn order(&mut self, index: usize, manifest: Manifest) -> CallId {
        self.order_with(index, manifest, Secrets::default())
    }

    fn order_with(&mut self, index: usize, manifest: Manifest, secrets: Secrets) -> CallId {
        self.hosts[index].disk.blobs.insert(BlobId::of(b"component"), b"component".to_vec());
        for (deployment, key) in self.hosts[index].disk.keys.clone() {
            self.handle(index, Event::Key { deployment, key });
        }
        self.call(index, Call::Deploy { manifest: Box::new(manifest), secrets, most: None })
    }

    /// Deploys from a peer; the leases it came to.
    #[track_caller]
    pub(crate) fn deploy(&mut self, index: usize, manifest: Manifest) -> Result<grange_api::DeployDone, Problem> {
        self.deploy_with(index, manifest, Secrets::default())
    }

    /// The same with the values of its secrets.
    #[track_caller]
    pub(crate) fn deploy_with(
        &mut self,
        index: usize,
        manifest: Manifest,
        secrets: Secrets,
    ) -> Result<grange_api::DeployDone, Problem> {
        let id = self.order_with(index, manifest, secrets);
        self.end_of(index, id)
    }

    /// The same, where so much was counted for it.
    #[track_caller]
    pub(crate) fn deploy_within(
        &mut self,
        index: usize,
        manifest: Manifest,
        most: Amount,
    ) -> Result<grange_api::DeployDone, Problem> {
        let (manifest, secrets, most) = (Box::new(manifest), Secrets::default(), Some(most));
        let id = self.call(index, Call::Deploy { manifest, secrets, most });
        self.end_of(index, id)
    }

    /// What the manifest on one peer's disk says of the secret, opened with the deployment's key that another one drew.
    pub(crate) fn opened(&self, index: usize, drawn_by: usize, id: DeploymentId) -> Option<Vec<u8>> {
        let named = self.peer(index).ledger().view().deployment(id).unwrap().manifest;
        let manifest = Manifest::decode(self.hosts[index].disk.blobs.get(&named)?).unwrap();
        let Content::Secret { name, sealed } = &manifest.services["web"].workload.files()[0].content else {
            return None;
        };
        secret::open(&deployment_key(&self.key(drawn_by), id), id, name, sealed)
    }

    /// The phases that a deployment has told so far.
    pub(crate) fn phases(&self, index: usize, id: CallId) -> Vec<String> {
        let lines = self.hosts[index].lines.get(&id).into_iter().flatten();
        let phase = |line: &Line| if let Line::Phase(phase) = line { Some(phase.phase.clone()) } else { None };
        lines.filter_map(phase).collect()
    }

    /// What came of an ordered deployment.
    #[track_caller]
    pub(crate) fn end_of(&mut self, index: usize, id: CallId) -> Result<grange_api::DeployDone, Problem> {
        let last = |world: &Self| match world.hosts[index].lines.get(&id).and_then(|lines| lines.last()) {
            Some(Line::Done(done)) => Some(Ok(done.clone())),
            Some(Line::Problem(problem)) => Some(Err(problem.clone())),
            _ => None,
        };
        self.until("the deployment", Millis::seconds(130), |world| last(world).is_some());
        last(self).unwrap()
    }
}
