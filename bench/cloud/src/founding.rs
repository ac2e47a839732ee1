//! The folders of a cloud that is founded with many accounts, which `grange dev` has no wish for.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use grange_api::{NodeRole, PriceSettings, ResourceSet};
use grange_ledger::GenesisAccount;
use grange_node::{Contact, Folder, Founder, Genesis, Settings, dev_genesis};
use grange_types::{Amount, ByteCount, Kind, NetworkId, Region, SecretKey, Time};

use crate::Fault;
use crate::cloud::NODES;

/// What an operator begins with.
const BALANCE: Amount = Amount::credits(1_000_000);
/// What a node sells; it is asked for nothing here.
const CAPACITY: ResourceSet = ResourceSet { cpu_millis: 4_000, memory: ByteCount::gib(1), disk: ByteCount::gib(1) };

/// Four nodes that know each other, in a network whose genesis lists these accounts beside theirs.
pub(crate) fn found(root: &Path, accounts: Vec<GenesisAccount>) -> Result<(Vec<Folder>, NetworkId), Fault> {
    let keys: Vec<SecretKey> = (1..=NODES as u8).map(|byte| SecretKey::from_bytes(&[byte; 32])).collect();
    let settings = settings(&keys)?;
    let founder = |(key, settings): (&SecretKey, &Settings)| Founder {
        peer: key.public().peer(),
        display: settings.display.clone(),
        region: settings.region.clone(),
        balance: BALANCE,
    };
    let founders: Vec<Founder> = keys.iter().zip(&settings).map(founder).collect();
    let mut genesis: Genesis = dev_genesis("bench", now()?, &founders);
    genesis.accounts.extend(accounts);
    genesis.validate()?;
    let mut folders = Vec::new();
    for (index, (key, settings)) in keys.iter().zip(&settings).enumerate() {
        let folder = Folder(root.join(format!("node-{index}")));
        folder.create(settings, &genesis, key)?;
        folders.push(folder);
    }
    Ok((folders, genesis.network_id()))
}

/// The wall clock, which the nodes go by.
pub(crate) fn now() -> Result<Time, Fault> {
    Ok(Time(u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?))
}

fn settings(keys: &[SecretKey]) -> Result<Vec<Settings>, Fault> {
    let region = Region::try_from("local".to_owned())?;
    let price = |text: &str| text.parse::<Amount>();
    let prices = PriceSettings {
        cpu_hour: price("0.01")?,
        memory_gib_hour: price("0.005")?,
        disk_gib_hour: price("0.0001")?,
        request_million: price("0.2")?,
        egress_gib: price("0.01")?,
    };
    let ports = Ports::take(keys.len())?;
    let contact = |(key, listen): (&SecretKey, &SocketAddr)| Contact {
        peer: key.public().peer(),
        addresses: vec![*listen],
        relays: Vec::new(),
    };
    let contacts: Vec<Contact> = keys.iter().zip(&ports.listen).map(contact).collect();
    let node = |index: usize| {
        let others = contacts.iter().enumerate().filter(|(other, _)| *other != index);
        Settings {
            display: format!("operator-{index}"),
            region: region.clone(),
            roles: vec![NodeRole::Validator, NodeRole::Provider, NodeRole::Gateway, NodeRole::Steward],
            api: ports.api[index],
            gateway: ports.gateway[index],
            listen: ports.listen[index],
            relay: None,
            relays: Vec::new(),
            mdns: false,
            bootstrap: others.map(|(_, contact)| contact.clone()).collect(),
            kinds: vec![Kind::Site, Kind::Wasm],
            capacity: CAPACITY,
            prices,
            paused: false,
            light: false,
            prune: false,
            snapshot_every: None,
            rules: None,
            canaries: None,
            lost_after: None,
        }
    };
    Ok((0..keys.len()).map(node).collect())
}

/// Free ports of the loopback address.
struct Ports {
    api: Vec<SocketAddr>,
    gateway: Vec<SocketAddr>,
    listen: Vec<SocketAddr>,
}

impl Ports {
    /// Holds all of them until the last is found, so that none is found twice.
    fn take(nodes: usize) -> Result<Self, Fault> {
        let here = (Ipv4Addr::LOCALHOST, 0);
        let doors = (0..nodes * 2).map(|_| TcpListener::bind(here)).collect::<Result<Vec<_>, _>>()?;
        let sockets = (0..nodes).map(|_| UdpSocket::bind(here)).collect::<Result<Vec<_>, _>>()?;
        let mut api = doors.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>()?;
        let gateway = api.split_off(nodes);
        Ok(Self { api, gateway, listen: sockets.iter().map(UdpSocket::local_addr).collect::<Result<_, _>>()? })
    }
}
