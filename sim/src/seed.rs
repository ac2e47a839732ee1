//! A world drawn from a number: who is there, who is a villain, what they own.

use std::collections::BTreeMap;

use grange_ledger::{Genesis, GenesisAccount, NodeEntry, Parameters, Validator};
use grange_peer::{Config, Roles};
use grange_types::manifest::Placement;
use grange_types::{
    Amount, BlobId, ByteCount, Isolation, Kind, Manifest, Millis, PeerId, Prices, PublicKey, Region, Resources,
    SecretKey, Service, Time, Workload,
};

use crate::dice::Dice;
use crate::host::Host;
use crate::load::Shape;
use crate::villains::{Villain, cast};
use crate::voters::{BOND, CANDIDATES};
use crate::world::Outcome;

/// Nodes of a world, validators among them.
const NODES: usize = Outcome::NODES;
/// Blocks between two snapshots: a world's chain has about nine hundred.
const SNAPSHOT_EVERY: u64 = 150;
/// When every world begins.
pub(crate) const BEGINNING: Time = Time(1_795_219_300_000);
/// What every account begins with.
pub(crate) const FORTUNE: Amount = Amount::credits(1_000);
/// What every deployment runs.
pub(crate) const COMPONENT: &[u8] = b"component";

/// The cast of a world.
pub(crate) struct Cast {
    pub(crate) genesis: Genesis,
    pub(crate) hosts: Vec<Host>,
    pub(crate) validators: usize,
}

fn region() -> Region {
    // The text is a region, or no test would ever have passed.
    Region::try_from("local".to_owned()).unwrap_or_else(|_| unreachable!())
}

fn key(index: usize) -> SecretKey {
    let mut secret = [0x5e; 32];
    secret[..8].copy_from_slice(&(index as u64).to_le_bytes());
    SecretKey::from_bytes(&secret)
}

/// Draws the cast of a seed.
pub(crate) fn draw(seed: u64, dice: &mut Dice) -> Cast {
    let validators = dice.index(4) + 4;
    // In every third world everything costs something.
    let genesis = genesis(NODES, validators, seed.is_multiple_of(3));
    let mut villains = villains(seed, validators, dice);
    let hosts = (0..NODES).map(|index| {
        let villain = villains.remove(&index);
        let mut config = config(index, &genesis, validators, dice);
        if let Some(villain) = &villain {
            villain.pretend(&mut config);
        }
        Host::new(format!("node-{index:02}"), config, villain)
    });
    let hosts = hosts.collect();
    Cast { genesis, hosts, validators }
}

/// A crowd of honest nodes: the first few vote, every third of the rest sells, and all are willing to be stewards.
pub(crate) fn crowd(nodes: usize, validators: usize, dice: &mut Dice) -> Cast {
    let genesis = genesis(nodes, validators, false);
    let hosts = (0..nodes).map(|index| {
        let mut config = config(index, &genesis, validators, dice);
        config.roles = Roles {
            validator: index < validators,
            provider: index >= validators && index.is_multiple_of(3),
            gateway: index >= validators && index % 3 == 1,
            relay: false,
            steward: true,
        };
        // As nodes do: a state of a thousand nodes is much to write down so often.
        (config.snapshot_every, config.lost_after) = (Config::SNAPSHOT_EVERY, Config::LOST_AFTER);
        Host::new(format!("node-{index:03}"), config, None)
    });
    let hosts = hosts.collect();
    Cast { genesis, hosts, validators }
}

/// One villain whose turn it is, and often a second; never more false voters than can be borne.
fn villains(seed: u64, validators: usize, dice: &mut Dice) -> BTreeMap<usize, Box<dyn Villain>> {
    let mut villains = BTreeMap::new();
    let mut false_voters = (validators - 1) / 3;
    let mut numbers = vec![seed];
    if dice.chance(600) {
        numbers.push(dice.number());
    }
    for number in numbers {
        let villain = cast(number);
        let place = if villain.votes_falsely() { dice.index(validators) } else { dice.index(NODES) };
        // A villain of the market that stands among the validators votes honestly and counts as honest there.
        if villain.votes_falsely() {
            if false_voters == 0 {
                continue;
            }
            false_voters -= 1;
        }
        villains.entry(place).or_insert(villain);
    }
    villains
}

/// Transactions, settlements and room on the ledger have a price.
fn charged(parameters: Parameters) -> Parameters {
    let (fee, byte_deposit) = (Amount(1_000_003), Amount(1_009));
    Parameters { fee, settlement_fee: 333, byte_deposit, ..parameters }
}

fn genesis(nodes: usize, validators: usize, costly: bool) -> Genesis {
    let peer = |index| key(index).public().peer();
    let parameters = Parameters {
        claim_window: Millis::seconds(30),
        lease_length: Millis::minutes(4),
        min_lease: Millis::minutes(1),
        retention: Millis::minutes(10),
        power_bond: BOND,
        // Every world comes to the next rules while it runs.
        version: 1,
        ..Parameters::dev()
    };
    Genesis {
        name: "world".into(),
        created: Time(BEGINNING.0 - 1_000),
        parameters: if costly { charged(parameters) } else { parameters },
        accounts: (0..nodes)
            .map(|index| GenesisAccount { id: peer(index).account(), keys: Vec::new(), balance: FORTUNE })
            .collect(),
        validators: (0..validators)
            .map(|index| Validator::new(peer(index).account(), PublicKey::from(peer(index)), 1))
            .collect(),
        nodes: (0..nodes).map(|index| entry(peer(index), index)).collect(),
        bootstrap: Vec::new(),
    }
}

fn entry(peer: PeerId, index: usize) -> NodeEntry {
    NodeEntry {
        peer,
        operator: peer.account(),
        display: format!("node-{index:02}"),
        region: region(),
        relays: Vec::new(),
    }
}

fn config(index: usize, genesis: &Genesis, validators: usize, dice: &mut Dice) -> Config {
    let dearer = 100 + u128::from(dice.below(50));
    let price = |credits| Amount::credits(credits).scaled(dearer, 100);
    Config {
        key: key(index),
        genesis: genesis.clone(),
        display: format!("node-{index:02}"),
        region: region(),
        roles: Roles {
            validator: index < validators + CANDIDATES,
            // Enough sellers that some are always left.
            provider: dice.chance(700) || index.is_multiple_of(3),
            gateway: dice.chance(500) || index.is_multiple_of(4),
            relay: false,
            steward: dice.chance(700) || index.is_multiple_of(5),
        },
        capacity: Resources { cpu_millis: 1_000, memory: ByteCount::mib(512), disk: ByteCount::gib(8) },
        kinds: vec![Kind::Site, Kind::Wasm],
        isolation: Isolation::Wasm,
        prices: Prices {
            cpu_hour: price(20),
            memory_gib_hour: price(10),
            disk_gib_hour: price(1),
            request_million: price(100),
            egress_gib: price(5),
        },
        paused: false,
        gateway_port: 8_000,
        snapshot_every: SNAPSHOT_EVERY,
        prune: dice.chance(500),
        inline: 512,
        rules: grange_ledger::VERSION,
        canaries: Amount::ZERO,
        // Shorter than some outages of a world.
        lost_after: Millis::seconds(15),
        sequence: 1,
        seed: dice.number(),
    }
}

/// An app of one service.
pub(crate) fn manifest(name: &str, shape: Shape) -> Manifest {
    let Shape { replicas, budget, cpu: cpu_millis } = shape;
    let service = Service {
        workload: Workload::Wasm { component: BlobId::of(COMPONENT), size: ByteCount(COMPONENT.len() as u64) },
        replicas,
        resources: Resources { cpu_millis, memory: ByteCount::mib(64), disk: ByteCount(0) },
        environment: BTreeMap::new(),
        route: Some("/".into()),
        health: None,
        depends_on: Vec::new(),
        placement: Placement::default(),
        allow_http: Vec::new(),
    };
    let services = BTreeMap::from([("web".to_owned(), service)]);
    Manifest { name: name.into(), budget: Amount::credits(budget), services }
}
