//! Gossip: HyParView and Plumtree, driven over the links.
//!
//! The machine is `iroh-gossip`'s, without its own connections: its messages travel in [`Protocol::Gossip`] beside
//! every link, so only linked peers of this network can be neighbours. A peer the machine wants to talk to that is
//! not linked is reported to it as gone. When a link comes up, or a topic is subscribed, the topic's swarm is joined
//! through linked peers while it has few neighbours; who has not subscribed does not answer.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use grange_types::{PeerId, Wire};
use iroh_gossip::proto::{
    Command, Config, Event, InEvent, OutEvent, PeerData, PlumtreeConfig, Scope, State, Timer, TopicId,
};
use rand::rngs::StdRng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::event::{NetEvent, Topic};
use crate::net::Shared;
use crate::outbox::post;
use crate::protocol::Protocol;
use crate::wire::GossipFrame;

/// Inputs waiting for the machine.
pub(crate) const INPUTS: usize = 4_096;
/// Topics of one node.
const TOPICS: usize = 256;
/// Neighbours of a topic that are enough; the machine holds five at most and drops one to take another.
const NEIGHBOURS: usize = 4;
/// How often a topic without neighbours tries its luck with the linked peers.
const LONELY_PAUSE: Duration = Duration::from_secs(5);
/// Timers of the machine: one for each message that was announced and has not come, for some seconds each. More are
/// the work of somebody who announces what does not exist.
const TIMERS: usize = 65_536;
/// Steps one input may cause before the rest is dropped: peers times topics is far below.
const STEPS: usize = 65_536;

/// What happens to the gossip machine.
#[derive(Debug)]
pub(crate) enum GossipInput {
    /// The layers above want a topic.
    Subscribe(Topic),
    /// The layers above want a topic no more.
    Unsubscribe(Topic),
    /// The layers above say something.
    Publish(Topic, Vec<u8>),
    /// A link came up.
    Linked(PeerId),
    /// A link is gone.
    Unlinked(PeerId),
    /// A peer's message for the machine.
    Heard {
        /// The peer.
        from: PeerId,
        /// A [`GossipFrame`].
        bytes: Vec<u8>,
    },
}

type Machine = State<PeerId, StdRng>;

/// The machine and what it needs around it.
struct Driver {
    shared: Arc<Shared>,
    machine: Machine,
    /// Neighbours of each subscribed topic.
    topics: BTreeMap<Topic, BTreeSet<PeerId>>,
    timers: BTreeMap<(Instant, u64), Timer<PeerId>>,
    timers_made: u64,
    /// When lonely topics try again.
    lonely: Option<Instant>,
}

/// Runs the machine until the node stops.
pub(crate) async fn run(shared: Arc<Shared>, mut inputs: mpsc::Receiver<GossipInput>) {
    let machine = machine(shared.me);
    let topics = BTreeMap::new();
    let mut driver =
        Driver { shared: shared.clone(), machine, topics, timers: BTreeMap::new(), timers_made: 0, lonely: None };
    loop {
        let timer = driver.timers.keys().next().map(|(due, _)| *due);
        let due = [timer, driver.lonely].into_iter().flatten().min();
        let pause = async {
            match due {
                Some(due) => tokio::time::sleep_until(due).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            input = inputs.recv() => match input {
                Some(input) => driver.take(input).await,
                None => return,
            },
            () = pause => driver.tick().await,
        }
    }
}

fn machine(me: PeerId) -> Machine {
    // Memory of a topic: ids of 90 s, contents of 30 s. The sweep need not be as frequent as the default's.
    let broadcast = PlumtreeConfig { cache_evict_interval: Duration::from_secs(10), ..PlumtreeConfig::default() };
    let config = Config { broadcast, max_message_size: GossipFrame::LIMIT, ..Config::default() };
    State::new(me, PeerData::default(), config, rand::make_rng())
}

fn id(topic: Topic) -> TopicId {
    TopicId::from_bytes(topic.0)
}

impl Driver {
    async fn take(&mut self, input: GossipInput) {
        match input {
            GossipInput::Subscribe(topic) => self.subscribe(topic).await,
            GossipInput::Unsubscribe(topic) => {
                if self.topics.remove(&topic).is_some() {
                    self.feed(InEvent::Command(id(topic), Command::Quit)).await;
                }
            }
            GossipInput::Publish(topic, bytes) => self.publish(topic, bytes).await,
            GossipInput::Linked(peer) => {
                for topic in self.wanting() {
                    self.feed(InEvent::Command(id(topic), Command::Join(vec![peer]))).await;
                }
            }
            GossipInput::Unlinked(peer) => {
                self.feed(InEvent::PeerDisconnected(peer)).await;
            }
            GossipInput::Heard { from, bytes } => self.hear(from, &bytes).await,
        }
        self.plan_lonely();
    }

    async fn subscribe(&mut self, topic: Topic) {
        if self.topics.contains_key(&topic) || self.topics.len() >= TOPICS {
            return;
        }
        self.topics.insert(topic, BTreeSet::new());
        let peers = self.shared.switch.all().iter().map(|session| session.peer).take(NEIGHBOURS).collect();
        self.feed(InEvent::Command(id(topic), Command::Join(peers))).await;
    }

    async fn publish(&mut self, topic: Topic, bytes: Vec<u8>) {
        // A topic that is only published to is joined all the same: it needs neighbours.
        self.subscribe(topic).await;
        if !self.topics.contains_key(&topic) {
            self.shared.counters.gossip_dropped.count();
            return;
        }
        self.shared.counters.gossip_published.count();
        self.feed(InEvent::Command(id(topic), Command::Broadcast(bytes.into(), Scope::Swarm))).await;
    }

    async fn hear(&mut self, from: PeerId, bytes: &[u8]) {
        let Some(session) = self.shared.switch.get(from) else { return };
        match GossipFrame::decode(bytes) {
            Ok(GossipFrame(message)) => {
                let borne = self.feed(InEvent::RecvMessage(from, message)).await;
                if self.timers.len() > TIMERS {
                    self.start_over();
                    session.punish(&self.shared, "announcing too much gossip");
                }
                if !borne {
                    session.punish(&self.shared, "gossip that the machine cannot bear");
                }
            }
            Err(error) => session.punish(&self.shared, &error.to_string()),
        }
    }

    /// Fires what is due.
    async fn tick(&mut self) {
        let now = Instant::now();
        while let Some(entry) = self.timers.first_entry().filter(|entry| entry.key().0 <= now) {
            let timer = entry.remove();
            self.feed(InEvent::TimerExpired(timer)).await;
        }
        if self.lonely.is_some_and(|lonely| lonely <= now) {
            self.lonely = None;
            let linked: Vec<PeerId> = self.shared.switch.all().iter().map(|session| session.peer).collect();
            let lonely: Vec<Topic> = self.lonely_topics().collect();
            for topic in lonely {
                let peers = linked.iter().copied().take(NEIGHBOURS).collect();
                self.feed(InEvent::Command(id(topic), Command::Join(peers))).await;
            }
            self.plan_lonely();
        }
    }

    fn lonely_topics(&self) -> impl Iterator<Item = Topic> + '_ {
        self.topics.iter().filter(|(_, neighbours)| neighbours.is_empty()).map(|(topic, _)| *topic)
    }

    fn plan_lonely(&mut self) {
        let wanted = self.lonely_topics().next().is_some() && self.shared.switch.len() > 0;
        self.lonely = wanted.then(|| self.lonely.unwrap_or_else(|| Instant::now() + LONELY_PAUSE));
    }

    /// Topics that have room for another neighbour.
    fn wanting(&self) -> Vec<Topic> {
        self.topics.iter().filter(|(_, neighbours)| neighbours.len() < NEIGHBOURS).map(|(topic, _)| *topic).collect()
    }

    /// Gives the machine an event and carries out what it wants, and what follows from that. Whether it bore it.
    async fn feed(&mut self, event: InEvent<PeerId>) -> bool {
        let mut events = VecDeque::from([event]);
        for _ in 0..STEPS {
            let Some(event) = events.pop_front() else { return true };
            let machine = &mut self.machine;
            // The machine counts in sixteen bits what a peer may set to their maximum, and checks its assumptions by
            // panicking. A peer shall not be able to stop this node's gossip with that.
            let handled = std::panic::catch_unwind(AssertUnwindSafe(|| {
                machine.handle(event, Instant::now(), None).collect::<Vec<_>>()
            }));
            let Ok(wanted) = handled else {
                self.start_over();
                return false;
            };
            for want in wanted {
                self.carry_out(want, &mut events).await;
            }
        }
        true
    }

    async fn carry_out(&mut self, want: OutEvent<PeerId>, events: &mut VecDeque<InEvent<PeerId>>) {
        match want {
            OutEvent::SendMessage(peer, message) => match self.shared.switch.get(peer) {
                Some(session) => post(&self.shared, &session, Protocol::Gossip, GossipFrame(message).encode()),
                None => events.push_back(InEvent::PeerDisconnected(peer)),
            },
            OutEvent::EmitEvent(topic, event) => self.emit(Topic(*topic.as_bytes()), event).await,
            OutEvent::ScheduleTimer(delay, timer) => {
                self.timers_made += 1;
                self.timers.insert((Instant::now() + delay, self.timers_made), timer);
            }
            // Links are kept whether or not gossip needs them, and addresses travel by peer exchange.
            OutEvent::DisconnectPeer(_) | OutEvent::PeerData(..) => {}
        }
    }

    async fn emit(&mut self, topic: Topic, event: Event<PeerId>) {
        match event {
            Event::NeighborUp(peer) => {
                if let Some(neighbours) = self.topics.get_mut(&topic) {
                    neighbours.insert(peer);
                }
            }
            Event::NeighborDown(peer) => {
                if let Some(neighbours) = self.topics.get_mut(&topic) {
                    neighbours.remove(&peer);
                }
            }
            Event::Received(received) => {
                let bytes = received.content.to_vec();
                if bytes.len() > grange_types::limits::GOSSIP_BYTES || !self.topics.contains_key(&topic) {
                    self.shared.counters.gossip_dropped.count();
                    return;
                }
                self.shared.counters.gossip_received.count();
                self.shared.emit(NetEvent::Gossip { topic, from: received.delivered_from, bytes }).await;
            }
        }
    }

    /// A new machine in the place of one that broke; lonely topics join again.
    fn start_over(&mut self) {
        tracing::error!("gossip_restarted");
        self.machine = machine(self.shared.me);
        self.timers.clear();
        for neighbours in self.topics.values_mut() {
            neighbours.clear();
        }
        self.lonely = Some(Instant::now());
    }
}
