//! Whole machines as targets: what strangers may send to a ledger, to consensus, to a peer.

use std::cell::RefCell;

use grange_consensus::{Consensus, Event as Said, Timeouts, ValidatorSet};
use grange_ledger::{Block, Genesis, GenesisAccount, Ledger, NodeEntry, Parameters, Transaction, Validator};
use grange_objects::log::{KeepRequest, Keeper, Standing, Task};
use grange_peer::{Channel, Config, Event, Peer, Recovery, RequestId, Roles};
use grange_types::{
    Amount, ByteCount, Height, Isolation, Kind, Millis, PeerId, Prices, PublicKey, Record, Region, Resources,
    SecretKey, Signed, Time, Wire,
};

/// When every machine stands.
const NOW: Time = Time(1_795_219_300_000);
/// A machine that has taken so many inputs is replaced by a fresh one.
const WORN: u32 = 2_000;

fn key(index: u8) -> SecretKey {
    SecretKey::from_bytes(&[index + 1; 32])
}

fn id(index: u8) -> PeerId {
    key(index).public().peer()
}

fn region() -> Option<Region> {
    Region::try_from("local".to_owned()).ok()
}

/// Four validators of equal weight.
fn genesis() -> Option<Genesis> {
    let node = |index| {
        let display = format!("operator-{index}");
        Some(NodeEntry {
            peer: id(index),
            operator: id(index).account(),
            display,
            region: region()?,
            relays: Vec::new(),
        })
    };
    Some(Genesis {
        name: "fuzz".into(),
        created: Time(NOW.0 - 1_000),
        parameters: Parameters::dev(),
        accounts: (0..4)
            .map(|index| GenesisAccount { id: id(index).account(), keys: Vec::new(), balance: Amount::credits(1_000) })
            .collect(),
        validators: (0..4).map(|index| Validator::new(id(index).account(), PublicKey::from(id(index)), 1)).collect(),
        nodes: (0..4).filter_map(node).collect(),
        bootstrap: Vec::new(),
    })
}

/// A request to a keeper, after all that came before: what it promised and holds never goes back.
pub(crate) fn keeper(bytes: &[u8]) -> bool {
    let Ok(request) = KeepRequest::decode(bytes) else { return false };
    KEEPER.with_borrow_mut(|(keeper, age)| {
        *age += 1;
        if *age > WORN {
            (*keeper, *age) = (Keeper::default(), 0);
        }
        let (promised, held) = (keeper.standing().generation(), keeper.standing().mark);
        keeper.handle(&request);
        let mut answers = 0;
        while let Some(task) = keeper.poll_action() {
            answers += usize::from(matches!(task, Task::Reply(_) | Task::Page));
        }
        assert_eq!(answers, 1, "every request has one answer");
        assert!(keeper.standing().generation() >= promised && keeper.standing().mark >= held, "it went back");
        assert!(keeper.standing().to_record().len() <= Standing::LIMIT, "it stands too wide to be kept");
    });
    true
}

/// A block, or a transaction, that somebody proposes: judged, and never more than refused.
pub(crate) fn ledger(bytes: &[u8]) -> bool {
    LEDGER.with_borrow_mut(|held| {
        if held.is_none() {
            *held = genesis().and_then(|genesis| Ledger::new(&genesis).ok());
        }
        let Some(ledger) = held else { return false };
        if let Ok(transaction) = Signed::<Transaction>::decode(bytes) {
            return ledger.check(&transaction, NOW).is_ok();
        }
        match Block::decode(bytes) {
            Ok(block) => ledger.prepare(block, &|_, _| true).is_ok(),
            Err(_) => false,
        }
    })
}

thread_local! {
    static KEEPER: RefCell<(Keeper, u32)> = RefCell::default();
    static LEDGER: RefCell<Option<Ledger>> = const { RefCell::new(None) };
    static CONSENSUS: RefCell<(u32, Option<Consensus>)> = const { RefCell::new((0, None)) };
    static PEER: RefCell<(u32, Option<Peer>)> = const { RefCell::new((0, None)) };
}

fn machine() -> Option<Consensus> {
    let network = genesis()?.network_id();
    Some(Consensus::new(grange_consensus::Config {
        network,
        key: key(0),
        votes: true,
        timeouts: Timeouts::default(),
        inline: 64,
    }))
}

fn validators() -> ValidatorSet {
    ValidatorSet::new((0..4).map(|index| grange_consensus::Validator { peer: id(index), power: 1 }).collect())
}

/// A word of another validator, after which time goes on.
pub(crate) fn consensus(bytes: &[u8]) -> bool {
    CONSENSUS.with_borrow_mut(|(age, held)| {
        if held.is_none() || *age >= WORN {
            (*age, *held) = (0, machine());
            if let Some(machine) = held {
                let wal_height = Height(1);
                let start = Said::Start {
                    height: Height(1),
                    parent_time: NOW,
                    validators: validators(),
                    wal_height,
                    wal: vec![],
                };
                machine.handle(NOW, start);
                machine.handle(NOW, Said::Connected(id(1)));
            }
        }
        *age += 1;
        let Some(machine) = held else { return false };
        let now = NOW.after(Millis(u64::from(*age)));
        machine.handle(now, Said::Message { from: id(1), bytes: bytes.to_vec() });
        let mut acted = false;
        while machine.poll_action().is_some() {
            acted = true;
        }
        acted
    })
}

/// An entry of a log of one's own, of which the disk makes what it likes.
pub(crate) fn consensus_log(bytes: &[u8]) -> bool {
    let Some(mut machine) = machine() else { return false };
    let wal = bytes.chunks(64.max(bytes.len() / 3)).map(<[u8]>::to_vec).chain([bytes.to_vec()]).collect();
    let wal_height = Height(1);
    machine.handle(NOW, Said::Start { height: Height(1), parent_time: NOW, validators: validators(), wal_height, wal });
    while machine.poll_action().is_some() {}
    machine.fault().is_none()
}

fn fresh_peer() -> Option<Peer> {
    let config = Config {
        key: key(0),
        genesis: genesis()?,
        display: "operator-0".into(),
        region: region()?,
        roles: Roles { validator: true, provider: true, gateway: true, relay: false, steward: true },
        capacity: Resources { cpu_millis: 4_000, memory: ByteCount::gib(2), disk: ByteCount::gib(8) },
        kinds: vec![Kind::Site, Kind::Wasm],
        isolation: Isolation::Wasm,
        prices: Prices::default(),
        paused: false,
        gateway_port: 8_000,
        snapshot_every: 16,
        prune: true,
        inline: 64,
        rules: grange_ledger::VERSION,
        canaries: Amount::ZERO,
        lost_after: Config::LOST_AFTER,
        sequence: 1,
        seed: 1,
    };
    let mut peer = Peer::new(config, &Recovery::default()).ok()?;
    peer.start(NOW, Recovery::default());
    (1..4).for_each(|index| peer.handle(NOW, Event::Connected(id(index))));
    Some(peer)
}

/// Anything that a linked peer may send: the first byte says how it comes.
pub(crate) fn peer(bytes: &[u8]) -> bool {
    let [first, rest @ ..] = bytes else { return false };
    PEER.with_borrow_mut(|(age, held)| {
        if held.is_none() || *age >= WORN {
            (*age, *held) = (0, fresh_peer());
        }
        *age += 1;
        let Some(peer) = held else { return false };
        let now = NOW.after(Millis(u64::from(*age)));
        let channels = [Channel::Consensus, Channel::Transactions, Channel::Sync, Channel::Market, Channel::Steward];
        let channel = channels[usize::from(first % 5)];
        let (from, bytes) = (id(1 + first % 3), rest.to_vec());
        peer.handle(
            now,
            match first / 5 % 4 {
                0 => Event::Message { from, channel, bytes },
                1 => Event::Request { id: RequestId(u64::from(*age)), from, channel, bytes },
                2 => Event::Response { id: RequestId(u64::from(*first)), answer: Some(bytes) },
                _ => Event::Gossip { bytes },
            },
        );
        let mut acted = false;
        while peer.poll_action().is_some() {
            acted = true;
        }
        acted
    })
}
