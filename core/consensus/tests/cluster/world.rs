//! The false world: a network that delays, loses and doubles, and disks that forget what was not flushed.
//!
//! It watches every message that leaves a validator and every block a host commits, and panics as soon as a validator
//! contradicts itself or two hosts commit different blocks.

use std::collections::{BTreeMap, BTreeSet};

use grange_consensus::{
    Action, Certificate, Config, Consensus, Event, Message, Timeouts, Validator, ValidatorSet, VoteKind,
    verify_certificate,
};
use grange_types::{BlockId, Height, Millis, NetworkId, PeerId, SecretKey, Time, Wire};

pub(crate) const NETWORK: NetworkId = NetworkId([9; 32]);

/// A small seeded generator (splitmix64).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

/// What the network does to messages.
#[derive(Clone, Copy)]
pub(crate) struct Weather {
    pub(crate) delay: (u64, u64),
    /// Of a thousand.
    pub(crate) lost: u64,
    /// Of a thousand.
    pub(crate) doubled: u64,
    /// Until others notice that a node died.
    pub(crate) noticed: u64,
}

impl Weather {
    pub(crate) const CALM: Self = Self { delay: (1, 3), lost: 0, doubled: 0, noticed: 10 };
    pub(crate) const STORM: Self = Self { delay: (1, 120), lost: 80, doubled: 50, noticed: 300 };
}

/// What survives a crash.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) blocks: Vec<(BlockId, Vec<u8>, Certificate)>,
    wal: Vec<(Height, Vec<u8>)>,
    /// Written but not flushed.
    pending: Vec<Write>,
    wal_height: Height,
}

enum Write {
    Append(Height, Vec<u8>),
    Reset,
}

impl Disk {
    pub(crate) fn height(&self) -> Height {
        Height(self.blocks.len() as u64)
    }

    fn write(&mut self, write: Write) {
        match write {
            Write::Append(height, bytes) => self.wal.push((height, bytes)),
            Write::Reset => self.wal.clear(),
        }
    }

    fn flush(&mut self) {
        for write in std::mem::take(&mut self.pending) {
            self.write(write);
        }
    }

    /// Whether an entry of the present height is not flushed.
    fn owes(&self) -> bool {
        self.pending.iter().any(|write| matches!(write, Write::Append(height, _) if *height == self.wal_height))
    }

    /// A crash: of what was not flushed any beginning may have reached the disk.
    fn crash(&mut self, survives: usize) {
        let pending = std::mem::take(&mut self.pending);
        for write in pending.into_iter().take(survives) {
            self.write(write);
        }
    }

    /// The log lost altogether.
    pub(crate) fn lose_log(&mut self) {
        self.wal.clear();
    }

    pub(crate) fn logged(&self, height: Height) -> Vec<Vec<u8>> {
        self.wal.iter().filter(|(of, _)| *of == height).map(|(_, bytes)| bytes.clone()).collect()
    }
}

pub(crate) struct Node {
    pub(crate) key: SecretKey,
    pub(crate) peer: PeerId,
    pub(crate) machine: Option<Consensus>,
    pub(crate) disk: Disk,
    /// Dies instead of carrying out this action, counted over its whole life.
    pub(crate) dies_at: Option<u64>,
    pub(crate) actions: u64,
    /// Counts lives: what was meant for an earlier one does not reach a later one.
    life: u64,
    pub(crate) evidence: BTreeSet<PeerId>,
    pub(crate) behind: u64,
    pub(crate) began: BTreeSet<Height>,
    pub(crate) builds: u64,
    /// Its clock is behind: it builds nothing, and refuses whatever two thirds have not found to be in time.
    pub(crate) doubts: bool,
    /// It is told not to vote.
    pub(crate) abstains: bool,
}

enum Delivery {
    Event(Event),
    /// Asks a peer's disk for blocks.
    Sync {
        peer: PeerId,
    },
}

type SetOf = fn(&[PeerId], Height) -> ValidatorSet;

pub(crate) struct World {
    pub(crate) now: Time,
    /// The longest block that travels with its proposal.
    pub(crate) inline: usize,
    /// Blocks that were asked for by their hash and sent.
    pub(crate) bodies: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) weather: Weather,
    pub(crate) random: Random,
    pub(crate) timeouts: Timeouts,
    /// Whether hosts say again that a transaction waits after each commit.
    pub(crate) busy: bool,
    set_of: SetOf,
    queue: BTreeMap<(Time, u64), (usize, u64, Delivery)>,
    sequence: u64,
    votes: BTreeMap<(PeerId, Height, u32, VoteKind), Option<BlockId>>,
    proposals: BTreeMap<(PeerId, Height, u32), (BlockId, Option<u32>)>,
    chain: BTreeMap<Height, BlockId>,
    pub(crate) messages: u64,
    /// A validator that runs on two nodes and is not held to its word.
    pub(crate) twin: Option<PeerId>,
    /// Pairs of nodes that cannot reach each other.
    pub(crate) cut: BTreeSet<(usize, usize)>,
}

pub(crate) fn all_equal(peers: &[PeerId], _: Height) -> ValidatorSet {
    ValidatorSet::new(peers.iter().map(|&peer| Validator { peer, power: 1 }).collect())
}

pub(crate) fn key(index: usize) -> SecretKey {
    SecretKey::from_bytes(&[index as u8 + 1; 32])
}

/// A block that says what it follows: height, parent, whether it is bad, and who built it when.
pub(crate) fn block(height: Height, parent: BlockId, bad: bool, salt: u64) -> Vec<u8> {
    let mut bytes = height.0.to_le_bytes().to_vec();
    bytes.extend_from_slice(&parent.0);
    bytes.push(u8::from(bad));
    bytes.extend_from_slice(&salt.to_le_bytes());
    bytes
}

pub(crate) fn id_of(block: &[u8]) -> BlockId {
    BlockId(*blake3::hash(block).as_bytes())
}

impl World {
    /// So many nodes, none of them started.
    pub(crate) fn new(seed: u64, count: usize, set_of: SetOf) -> Self {
        let mut nodes: Vec<Node> = (0..count)
            .map(|index| {
                let key = key(index);
                let peer = key.public().peer();
                Node {
                    key,
                    peer,
                    machine: None,
                    disk: Disk::default(),
                    dies_at: None,
                    actions: 0,
                    life: 0,
                    evidence: BTreeSet::new(),
                    behind: 0,
                    began: BTreeSet::new(),
                    builds: 0,
                    doubts: false,
                    abstains: false,
                }
            })
            .collect();
        // So that the order of nodes is that of the validators' turns.
        nodes.sort_by_key(|node| node.peer);
        Self {
            now: Time(1_000_000),
            inline: usize::MAX,
            bodies: 0,
            nodes,
            weather: Weather::CALM,
            random: Random(seed),
            timeouts: Timeouts::default(),
            busy: true,
            set_of,
            queue: BTreeMap::new(),
            sequence: 0,
            votes: BTreeMap::new(),
            proposals: BTreeMap::new(),
            chain: BTreeMap::new(),
            messages: 0,
            twin: None,
            cut: BTreeSet::new(),
        }
    }

    /// A calm cluster of equals, all started.
    pub(crate) fn started(seed: u64, count: usize) -> Self {
        let mut world = Self::new(seed, count, all_equal);
        world.start_all();
        world
    }

    /// Makes the last node run with the key of another.
    pub(crate) fn make_twin(&mut self, of: usize) {
        let (key, peer) = (self.nodes[of].key.clone(), self.nodes[of].peer);
        self.twin = Some(peer);
        if let Some(last) = self.nodes.last_mut() {
            (last.key, last.peer) = (key, peer);
        }
    }

    pub(crate) fn start_all(&mut self) {
        for index in 0..self.nodes.len() {
            self.start(index);
        }
    }

    pub(crate) fn peers(&self) -> Vec<PeerId> {
        self.nodes.iter().map(|node| node.peer).collect()
    }

    pub(crate) fn set(&self, height: Height) -> ValidatorSet {
        (self.set_of)(&self.peers(), height)
    }

    pub(crate) fn machine(&self, index: usize) -> &Consensus {
        self.nodes[index].machine.as_ref().expect("the node is up")
    }

    pub(crate) fn up(&self, index: usize) -> bool {
        self.nodes[index].machine.is_some()
    }

    fn reach(&self, one: usize, other: usize) -> bool {
        !self.cut.contains(&(one.min(other), one.max(other)))
    }

    /// Starts a node from its disk and connects it with those that are up.
    pub(crate) fn start(&mut self, index: usize) {
        let node = &self.nodes[index];
        let config = Config {
            network: NETWORK,
            key: node.key.clone(),
            votes: !node.abstains,
            timeouts: self.timeouts,
            inline: self.inline,
        };
        let height = self.nodes[index].disk.height().next();
        let (validators, now) = (self.set(height), self.now);
        let node = &mut self.nodes[index];
        node.life += 1;
        node.machine = Some(Consensus::new(config));
        node.disk.wal_height = height;
        let wal = node.disk.logged(height);
        self.handle(index, Event::Start { height, parent_time: now, validators, wal_height: height, wal });
        for other in 0..self.nodes.len() {
            if other != index && self.up(other) && self.reach(index, other) {
                self.deliver(index, 5, Event::Connected(self.nodes[other].peer));
                self.deliver(other, 5, Event::Connected(self.nodes[index].peer));
            }
        }
        if self.busy {
            self.deliver(index, 1, Event::Work);
        }
    }

    pub(crate) fn kill(&mut self, index: usize) {
        let survives = self.random.below(4) as usize;
        let node = &mut self.nodes[index];
        node.machine = None;
        node.disk.crash(survives);
        let (peer, noticed) = (node.peer, self.weather.noticed);
        for other in (0..self.nodes.len()).filter(|&other| other != index) {
            self.deliver(other, noticed, Event::Disconnected(peer));
        }
    }

    /// Cuts or mends the link of two nodes.
    pub(crate) fn link(&mut self, one: usize, other: usize, up: bool) {
        let pair = (one.min(other), one.max(other));
        if up {
            self.cut.remove(&pair);
        } else {
            self.cut.insert(pair);
        }
        for (at, of) in [(one, other), (other, one)] {
            let peer = self.nodes[of].peer;
            let event = if up { Event::Connected(peer) } else { Event::Disconnected(peer) };
            self.deliver(at, self.weather.noticed, event);
        }
    }

    pub(crate) fn deliver(&mut self, to: usize, after: u64, event: Event) {
        self.later(to, after, Delivery::Event(event));
    }

    fn later(&mut self, to: usize, after: u64, delivery: Delivery) {
        self.sequence += 1;
        let life = self.nodes[to].life;
        self.queue.insert((self.now.after(Millis(after)), self.sequence), (to, life, delivery));
    }

    /// Says to all that a transaction waits.
    pub(crate) fn work(&mut self) {
        for index in 0..self.nodes.len() {
            self.deliver(index, 0, Event::Work);
        }
    }

    fn index(&self, peer: PeerId) -> Option<usize> {
        self.nodes.iter().position(|node| node.peer == peer)
    }

    /// Does the next thing; false when nothing is left before the deadline.
    pub(crate) fn step(&mut self, deadline: Time) -> bool {
        let timer = self.nodes.iter().enumerate().filter_map(|(index, node)| {
            node.machine.as_ref().and_then(Consensus::poll_timeout).map(|time| (time, index))
        });
        let timer = timer.min();
        let queued = self.queue.keys().next().copied();
        let next = [timer.map(|(time, _)| time), queued.map(|(time, _)| time)].into_iter().flatten().min();
        let Some(next) = next.filter(|next| *next <= deadline) else {
            self.now = self.now.max(deadline);
            return false;
        };
        self.now = self.now.max(next);
        match queued.filter(|(time, _)| *time <= next) {
            Some(first) => {
                let (to, life, delivery) = self.queue.remove(&first).expect("it is there");
                if self.nodes[to].life == life && self.up(to) {
                    match delivery {
                        Delivery::Event(event) => self.handle(to, event),
                        Delivery::Sync { peer } => self.sync(to, peer),
                    }
                }
            }
            None => self.handle(timer.expect("it is the next").1, Event::Tick),
        }
        true
    }

    /// Runs for so long.
    pub(crate) fn run(&mut self, span: u64) {
        let deadline = self.now.after(Millis(span));
        while self.step(deadline) {}
    }

    /// Runs until all nodes that are up have committed a height, and says how long that took.
    #[track_caller]
    pub(crate) fn run_to(&mut self, height: u64, within: u64) -> u64 {
        let (begin, deadline) = (self.now, self.now.after(Millis(within)));
        let reached = |world: &Self| {
            world.nodes.iter().filter(|node| node.machine.is_some()).all(|node| node.disk.height().0 >= height)
        };
        while !reached(self) {
            assert!(self.step(deadline), "height {height} was not reached in {within} ms: {}", self.describe());
        }
        self.now.since(begin).0
    }

    pub(crate) fn describe(&self) -> String {
        let one = |node: &Node| match &node.machine {
            Some(machine) => format!("{machine:?} fault {:?} stumbles {}", machine.fault(), machine.stumbles()),
            None => format!("down at {}", node.disk.height()),
        };
        self.nodes.iter().map(one).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn handle(&mut self, index: usize, event: Event) {
        let now = self.now;
        let Some(machine) = self.nodes[index].machine.as_mut() else { return };
        machine.handle(now, event);
        while let Some(action) = self.nodes[index].machine.as_mut().and_then(Consensus::poll_action) {
            let node = &mut self.nodes[index];
            node.actions += 1;
            if node.dies_at == Some(node.actions) {
                self.kill(index);
                return;
            }
            self.carry_out(index, action);
        }
    }

    fn carry_out(&mut self, index: usize, action: Action) {
        let node = &mut self.nodes[index];
        match action {
            Action::WalAppend(bytes) => {
                let height = node.disk.wal_height;
                node.began.insert(height);
                node.disk.pending.push(Write::Append(height, bytes));
            }
            Action::WalFlush => node.disk.flush(),
            Action::WalReset { height } => {
                node.disk.wal_height = height;
                node.disk.pending.push(Write::Reset);
            }
            Action::Send { to, bytes } => {
                self.watch(index, &bytes);
                assert!(self.index(to).is_some(), "{to:?} is nowhere and was sent something");
                self.post(index, to, bytes);
            }
            Action::Broadcast { bytes } => {
                self.watch(index, &bytes);
                let me = self.nodes[index].peer;
                let set = self.set(self.machine(index).height());
                for to in set.iter().map(|validator| validator.peer).filter(|peer| *peer != me) {
                    self.post(index, to, bytes.clone());
                }
            }
            // By its clock it is not yet time for a block.
            Action::Build { .. } if node.doubts => {}
            Action::Build { height, round } => {
                node.builds += 1;
                let parent = node.disk.blocks.last().map_or(BlockId([0; 32]), |(id, ..)| *id);
                let block = block(height, parent, false, self.random.next());
                self.deliver(index, 1, Event::Built { height, round, block });
            }
            Action::Validate { height, id, block, timely, .. } => {
                assert_eq!(id_of(&block), id);
                let parent = node.disk.blocks.last().map_or(BlockId([0; 32]), |(id, ..)| *id);
                let valid = block.len() == 49 && block[..40] == [&height.0.to_le_bytes()[..], &parent.0[..]].concat();
                let valid = valid && block[40] == 0 && (timely || !node.doubts);
                self.deliver(index, 1, Event::Validated { height, block: id, valid });
            }
            Action::Decide { height, id, block, certificate } => self.commit(index, height, id, block, certificate),
            Action::Behind { peer, .. } => {
                node.behind += 1;
                self.later(index, 4, Delivery::Sync { peer });
            }
            Action::Evidence { validator, .. } => {
                node.evidence.insert(validator);
            }
        }
    }

    /// A message goes on its way.
    fn post(&mut self, from: usize, to: PeerId, bytes: Vec<u8>) {
        let twins = (0..self.nodes.len()).filter(|&index| self.nodes[index].peer == to && self.reach(from, index));
        for to in twins.collect::<Vec<_>>() {
            self.post_to(from, to, &bytes);
        }
    }

    fn post_to(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let from = self.nodes[from].peer;
        self.messages += 1;
        let Weather { delay, lost, doubled, .. } = self.weather;
        let copies = if self.random.below(1_000) < doubled { 2 } else { 1 };
        for _ in 0..copies {
            if self.random.below(1_000) >= lost {
                let after = delay.0 + self.random.below(delay.1 - delay.0 + 1);
                self.deliver(to, after, Event::Message { from, bytes: bytes.to_vec() });
            }
        }
    }

    /// Holds what leaves a validator against all it ever said, in all its lives.
    fn watch(&mut self, index: usize, bytes: &[u8]) {
        assert!(!self.nodes[index].disk.owes(), "a message left before the log behind it was flushed");
        let me = self.nodes[index].peer;
        if self.twin == Some(me) {
            return;
        }
        match Message::decode(bytes).expect("we send messages") {
            Message::Vote(signed) => {
                signed.verify(NETWORK).expect("votes are signed");
                let vote = signed.vote;
                let said =
                    *self.votes.entry((vote.validator, vote.height, vote.round, vote.kind)).or_insert(vote.block);
                assert_eq!(said, vote.block, "{me:?} voted twice: {vote:?}");
            }
            Message::Proposal { proposal: signed, block } => {
                signed.verify(NETWORK).expect("proposals are signed");
                let proposal = signed.proposal;
                assert_eq!(id_of(&block), proposal.block);
                let key = (proposal.proposer, proposal.height, proposal.round);
                let said = *self.proposals.entry(key).or_insert((proposal.block, proposal.polka_round));
                assert_eq!(said, (proposal.block, proposal.polka_round), "{me:?} proposed twice: {proposal:?}");
            }
            Message::Offer(signed) => {
                signed.verify(NETWORK).expect("proposals are signed");
                let proposal = signed.proposal;
                let key = (proposal.proposer, proposal.height, proposal.round);
                let said = *self.proposals.entry(key).or_insert((proposal.block, proposal.polka_round));
                assert_eq!(said, (proposal.block, proposal.polka_round), "{me:?} proposed twice: {proposal:?}");
            }
            Message::Body { .. } => self.bodies += 1,
            Message::Want { .. }
            | Message::Polka(_)
            | Message::Round(_)
            | Message::Status { .. }
            | Message::Begin { .. } => {}
        }
    }

    fn commit(&mut self, index: usize, height: Height, id: BlockId, block: Vec<u8>, certificate: Certificate) {
        assert_eq!((id_of(&block), certificate.block, certificate.height), (id, id, height));
        verify_certificate(NETWORK, &certificate, &self.set(height)).expect("decisions are certified");
        assert_eq!(*self.chain.entry(height).or_insert(id), id, "two blocks at height {height}");
        let next = self.set(height.next());
        let busy = self.busy;
        let disk = &mut self.nodes[index].disk;
        if height <= disk.height() {
            // It came by sync meanwhile; the machine is about to hear that.
            return;
        }
        assert_eq!(disk.height().next(), height, "a height was decided out of turn");
        disk.blocks.push((id, block, certificate));
        self.deliver(index, 1, Event::Committed { height, validators: next });
        if busy {
            self.deliver(index, 1, Event::Work);
        }
    }

    /// Copies what a peer's disk has beyond ours.
    fn sync(&mut self, index: usize, peer: PeerId) {
        let Some(from) = self.index(peer).filter(|&from| self.up(from) && self.reach(index, from)) else { return };
        let ours = self.nodes[index].disk.blocks.len();
        let news: Vec<_> = self.nodes[from].disk.blocks.iter().skip(ours).take(16).cloned().collect();
        for (id, block, certificate) in news {
            let height = self.nodes[index].disk.height().next();
            verify_certificate(NETWORK, &certificate, &self.set(height)).expect("blocks are certified");
            assert_eq!((id, self.chain.get(&height)), (id_of(&block), Some(&id)));
            self.nodes[index].disk.blocks.push((id, block, certificate));
        }
        if self.nodes[index].disk.blocks.len() > ours {
            let height = self.nodes[index].disk.height();
            let validators = self.set(height.next());
            self.deliver(index, 1, Event::Caught { height, validators });
            if self.busy {
                self.deliver(index, 1, Event::Work);
            }
        }
    }
}
