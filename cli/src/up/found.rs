//! A node's folder: made the first time, and changed by what is given later.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use grange_api::{NodeRole, PriceSettings, Problem, ProblemCode};
use grange_types::{Amount, Kind, NetworkId, PeerId, Region, SecretKey, limits};
use serde::Serialize;

use crate::arguments::Up;
use crate::failure::internal;
use crate::machine;
use crate::node_process::{self, Contact, Folder, Genesis, Settings, SettingsError, dev_genesis, founder};
use crate::output::Output;
use crate::ports::{Ports, Transport, is_free, try_listen};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const ANY: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
/// The ports that a machine's own node takes when they are free: gateway, API, peers.
const GATEWAY_PORT: u16 = 8_080;
const API_PORT: u16 = 8_081;
const LISTEN_PORT: u16 = 8_082;
/// The network's name where none is given.
const NETWORK: &str = "home";

/// Prices to begin with: a processor hour for a hundredth of a credit.
pub(crate) const BASE_PRICES: PriceSettings = PriceSettings {
    cpu_hour: Amount(Amount::CREDIT.0 / 100),
    memory_gib_hour: Amount(Amount::CREDIT.0 / 200),
    disk_gib_hour: Amount(Amount::CREDIT.0 / 10_000),
    request_million: Amount(Amount::CREDIT.0 / 5),
    egress_gib: Amount(Amount::CREDIT.0 / 100),
};

/// A folder that was made.
#[derive(Debug, Serialize)]
pub(crate) struct Founding {
    /// The network's name for people.
    pub(crate) name: String,
    pub(crate) network: NetworkId,
    pub(crate) peer: PeerId,
    pub(crate) data: std::path::PathBuf,
}

/// A new secret key, from the system's randomness.
pub(crate) fn secret_key(operation: &str) -> Result<SecretKey, Problem> {
    let mut secret = [0; 32];
    rustix::rand::getrandom(&mut secret, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| internal(operation, "randomness", &error))?;
    Ok(SecretKey::from_bytes(&secret))
}

/// Makes a folder: of a network of its own, or of the one it is invited to.
pub(super) fn found(folder: &Folder, arguments: &Up, output: Output, operation: &str) -> Result<Founding, Problem> {
    let key = secret_key(operation)?;
    let peer = key.public().peer();
    let mut settings = fresh(folder, arguments, operation)?;
    apply(&mut settings, arguments, operation)?;
    if operation == "up" {
        can_listen(&settings)?;
    }
    let genesis = match &arguments.join {
        Some(text) => {
            let invitation = node_process::invitation(text, operation)?;
            settings.relays = relays(&invitation.contacts);
            settings.bootstrap = invitation.contacts;
            output.progress(&format!(
                "joining the network {} ({})",
                invitation.genesis.name,
                invitation.genesis.network_id()
            ));
            invitation.genesis
        }
        None => {
            settings.roles.insert(0, NodeRole::Validator);
            let name = arguments.network.clone().unwrap_or_else(|| NETWORK.to_owned());
            output.progress(&format!("founding the network {name}"));
            let mut genesis = dev_genesis(&name, machine::now(), &[founder(peer, &settings)]);
            genesis.parameters.version = settings.rules.unwrap_or(genesis.parameters.version);
            genesis
        }
    };
    genesis
        .validate()
        .map_err(|error| Problem::new(ProblemCode::Usage, operation, genesis.name.clone(), error.to_string()))?;
    folder.create(&settings, &genesis, &key).map_err(|error| settings_problem(&error, operation, folder))?;
    Ok(Founding { name: genesis.name.clone(), network: genesis.network_id(), peer, data: folder.0.clone() })
}

/// Writes what is given into a folder that is there.
pub(super) fn resume(folder: &Folder, arguments: &Up, output: Output) -> Result<(), Problem> {
    let failed = |error: SettingsError| settings_problem(&error, "up", folder);
    let genesis: Genesis = folder.read_genesis().map_err(failed)?;
    let present = folder.read_settings().map_err(failed)?;
    let mut settings = present.clone();
    if let Some(text) = &arguments.join {
        let invitation = node_process::invitation(text, "up")?;
        if invitation.genesis.network_id() != genesis.network_id() {
            let message = format!("the folder's node is in the network {}", genesis.network_id());
            return Err(Problem::new(ProblemCode::Conflict, "up", folder.0.display().to_string(), message)
                .with_remedy("name another folder with --data to join with a second node"));
        }
        settings.relays = relays(&invitation.contacts);
        settings.bootstrap = invitation.contacts;
    }
    if arguments.network.as_ref().is_some_and(|name| *name != genesis.name) {
        let message = format!("the folder's node is in the network {}", genesis.name);
        return Err(Problem::new(ProblemCode::Conflict, "up", folder.0.display().to_string(), message)
            .with_remedy("a network's name is fixed; found another one with --data"));
    }
    apply(&mut settings, arguments, "up")?;
    // Before it is written: what cannot be listened on is not kept for the next time.
    can_listen(&settings)?;
    if settings != present {
        folder.write_settings(&settings).map_err(failed)?;
    }
    output.progress(&format!("starting the node {} in {}", settings.display, folder.0.display()));
    Ok(())
}

/// Says which of a node's addresses cannot be listened on, before anything of it is made or started.
fn can_listen(settings: &Settings) -> Result<(), Problem> {
    let serves = settings.roles.contains(&NodeRole::Gateway);
    let all = [
        ("--api", Some(settings.api), Transport::Tcp),
        ("--gateway", Some(settings.gateway).filter(|_| serves), Transport::Tcp),
        ("--listen", Some(settings.listen), Transport::Udp),
        ("--relay", settings.relay, Transport::Tcp),
    ];
    for (option, address, transport) in all {
        let Some(address) = address else { continue };
        let Err(error) = try_listen(address, transport) else { continue };
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => "another program has this port".to_owned(),
            _ => format!("cannot listen there: {}", error.to_string().to_lowercase()),
        };
        return Err(Problem::new(ProblemCode::Conflict, "up", address.to_string(), why)
            .with_remedy(format!("end what has the port, or choose another with {option}")));
    }
    Ok(())
}

/// What a node of this machine is told when nothing is given.
fn fresh(folder: &Folder, arguments: &Up, operation: &str) -> Result<Settings, Problem> {
    let mut ports = Ports::new(std::process::id());
    let mut choose = |preferred: u16, address: IpAddr, transport: Transport| {
        let preferred = SocketAddr::new(address, preferred);
        if is_free(preferred, transport) {
            return Ok(preferred);
        }
        ports.free(address, transport).map_err(|error| internal(operation, "ports", &error))
    };
    let region = Region::try_from("local".to_owned()).map_err(|error| internal(operation, "region", &error))?;
    Ok(Settings {
        display: machine::host_name(),
        region,
        roles: vec![NodeRole::Provider, NodeRole::Gateway, NodeRole::Steward],
        api: arguments.api.map_or_else(|| choose(API_PORT, LOOPBACK, Transport::Tcp), Ok)?,
        gateway: arguments.gateway.map_or_else(|| choose(GATEWAY_PORT, LOOPBACK, Transport::Tcp), Ok)?,
        listen: arguments.listen.map_or_else(|| choose(LISTEN_PORT, ANY, Transport::Udp), Ok)?,
        relay: None,
        relays: Vec::new(),
        mdns: true,
        bootstrap: Vec::new(),
        kinds: vec![Kind::Site, Kind::Wasm],
        capacity: machine::half(&folder.0),
        prices: BASE_PRICES,
        paused: false,
        light: false,
        prune: false,
        snapshot_every: None,
        rules: None,
        canaries: None,
        lost_after: None,
    })
}

fn apply(settings: &mut Settings, arguments: &Up, operation: &str) -> Result<(), Problem> {
    if let Some(display) = &arguments.display {
        if display.is_empty() || display.len() > limits::NAME_BYTES || display.chars().any(char::is_control) {
            let message = format!("a name for people has 1 to {} bytes and no control characters", limits::NAME_BYTES);
            return Err(Problem::new(ProblemCode::Usage, operation, "--display", message));
        }
        settings.display.clone_from(display);
    }
    if let Some(region) = &arguments.region {
        settings.region = region.clone();
    }
    settings.api = arguments.api.unwrap_or(settings.api);
    settings.gateway = arguments.gateway.unwrap_or(settings.gateway);
    settings.listen = arguments.listen.unwrap_or(settings.listen);
    if let Some(relay) = arguments.relay {
        settings.relay = Some(relay);
        if !settings.roles.contains(&NodeRole::Relay) {
            settings.roles.push(NodeRole::Relay);
        }
    }
    settings.prune |= arguments.prune;
    if let Some(ceiling) = arguments.canaries {
        settings.canaries = Some(ceiling).filter(|ceiling| !ceiling.is_zero());
    }
    settings.lost_after = arguments.lost_after.or(settings.lost_after);
    settings.rules = arguments.rules.or(settings.rules);
    settings.prices = arguments.prices.over(settings.prices);
    Ok(())
}

/// The relays through which the inviters are reached reach a newcomer as well.
fn relays(contacts: &[Contact]) -> Vec<String> {
    let mut relays: Vec<String> = contacts.iter().flat_map(|contact| contact.relays.clone()).collect();
    relays.sort();
    relays.dedup();
    relays
}

pub(crate) fn settings_problem(error: &SettingsError, operation: &str, folder: &Folder) -> Problem {
    internal(operation, folder.0.display().to_string(), error)
        .with_remedy("restore the folder, or name another one with --data")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_replaces_what_is_kept() {
        let folder = Folder("/nowhere".into());
        let arguments = Up { api: Some("127.0.0.1:1".parse().unwrap()), ..Up::default() };
        let mut settings = fresh(&folder, &arguments, "up").unwrap();
        let before = settings.clone();
        apply(&mut settings, &Up::default(), "up").unwrap();
        assert_eq!(settings, before);
        let relay = "0.0.0.0:4000".parse().unwrap();
        let cpu_hour = Some(Amount::CREDIT);
        let prices = crate::arguments::Prices { cpu_hour, ..Default::default() };
        let given = Up { display: Some("ada".into()), relay: Some(relay), prices, ..Up::default() };
        apply(&mut settings, &given, "up").unwrap();
        apply(&mut settings, &given, "up").unwrap();
        assert_eq!(settings.display, "ada");
        assert_eq!(settings.roles.iter().filter(|role| **role == NodeRole::Relay).count(), 1);
        assert_eq!(settings.prices, PriceSettings { cpu_hour: Amount::CREDIT, ..BASE_PRICES });
        let wrong = Up { display: Some("a\nb".into()), ..Up::default() };
        assert_eq!(apply(&mut settings, &wrong, "up").unwrap_err().code, ProblemCode::Usage);
    }

    #[test]
    fn a_port_that_another_program_has_is_told_with_its_option() {
        let stream = std::net::TcpListener::bind((LOOPBACK, 0)).unwrap();
        let packets = std::net::UdpSocket::bind((LOOPBACK, 0)).unwrap();
        let (tcp, udp) = (stream.local_addr().unwrap(), packets.local_addr().unwrap());
        let check = |arguments: Up, taken: SocketAddr, option: &str| {
            let settings = fresh(&Folder("/nowhere".into()), &arguments, "up").unwrap();
            let problem = can_listen(&settings).unwrap_err();
            assert_eq!((problem.code, problem.thing), (ProblemCode::Conflict, taken.to_string()));
            assert_eq!(problem.message, "another program has this port");
            assert!(problem.remedy.contains(option), "{}", problem.remedy);
        };
        check(Up { api: Some(tcp), ..Up::default() }, tcp, "--api");
        check(Up { gateway: Some(tcp), ..Up::default() }, tcp, "--gateway");
        check(Up { listen: Some(udp), ..Up::default() }, udp, "--listen");
    }

    #[test]
    fn no_two_keys_are_the_same() {
        let [one, two] = [secret_key("up").unwrap(), secret_key("up").unwrap()];
        assert_ne!(one.public(), two.public());
    }
}
