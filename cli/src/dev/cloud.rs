//! A dev cloud on disk: one folder for each node, made once.
//!
//! # Layout
//! `node-I/` is the folder of node I, with its `log` and its `pid`; `cloud.json` says how many there are and is written
//! last, so that a cloud which was half made is made again, as long as none of its nodes has run; `held` is locked while nodes are started; `supervisor` names
//! the process in whose foreground the cloud runs.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use grange_api::market::STANDARD_NEED;
use grange_api::{NodeRole, PriceSettings, Problem, ProblemCode};
use grange_types::{Amount, Kind, PeerId, Prices, Region, SecretKey};
use serde::{Deserialize, Serialize};

use super::wanted::Wanted;
use crate::failure::internal;
use crate::folders;
use crate::machine;
use crate::node_process::{Contact, Folder, Settings, dev_genesis, founder};
use crate::ports::{NoPort, Ports, Transport};
use crate::process::Identity;
use crate::registry::{Entry, Kind as Starter};
use crate::up::{BASE_PRICES, HELD_FILE, secret_key, settings_problem};

/// Where the tour writes its app, below the cloud's folder.
pub(crate) const TOUR_FOLDER: &str = "tour";
/// The file in a node's folder that names its process.
const PID: &str = "pid";
/// What a node has in its folder once it has run.
const LEDGER: &str = "chain";
/// The operators, by index, and how many tenths of the base price each takes.
const OPERATORS: [(&str, u128); 16] = [
    ("ada", 10),
    ("bob", 8),
    ("cleo", 12),
    ("dan", 9),
    ("eva", 11),
    ("finn", 7),
    ("gia", 13),
    ("hugo", 14),
    ("ines", 15),
    ("jan", 16),
    ("kim", 17),
    ("leo", 18),
    ("mia", 19),
    ("noa", 20),
    ("otto", 21),
    ("pia", 22),
];

/// A cloud that is there.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) folder: PathBuf,
    pub(crate) nodes: Vec<Node>,
}

/// One of its nodes.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) index: u32,
    pub(crate) peer: PeerId,
    pub(crate) folder: Folder,
    pub(crate) settings: Settings,
}

/// The content of `cloud.json`.
#[derive(Debug, Serialize, Deserialize)]
struct Marker {
    nodes: u32,
    /// Nodes behind those, which keep no ledger.
    #[serde(default)]
    light: u32,
}

impl Node {
    pub(crate) fn pid_file(&self) -> PathBuf {
        self.folder.at(PID)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.folder.at("log")
    }

    /// Its process, while it is alive.
    pub(crate) fn process(&self) -> Option<Identity> {
        Identity::read_alive(&self.pid_file())
    }

    pub(crate) fn api(&self) -> String {
        format!("http://{}", self.settings.api)
    }

    /// Where it serves names; nowhere, where it is none that does.
    pub(crate) fn gateway(&self) -> Option<String> {
        let serves = self.settings.roles.contains(&NodeRole::Gateway);
        serves.then(|| format!("http://{}", self.settings.gateway))
    }

    /// Lets it follow the ledger's rules up to another version, from its next start on.
    pub(crate) fn follow(&self, rules: Option<u16>) -> Result<(), Problem> {
        let settings = Settings { rules, ..self.settings.clone() };
        self.folder.write_settings(&settings).map_err(|error| settings_problem(&error, "dev start", &self.folder))
    }

    /// What its standard hour costs, as the configuration says; nothing is for sale where it sells nothing.
    pub(crate) fn price(&self) -> Option<Amount> {
        let sells = self.settings.roles.contains(&NodeRole::Provider);
        sells.then(|| Prices::from(self.settings.prices).per_hour(&STANDARD_NEED))
    }

    pub(crate) fn entry(&self) -> Entry {
        Entry {
            api: self.api(),
            token_file: self.folder.token(),
            data: self.folder.0.clone(),
            kind: Starter::Dev,
            index: Some(self.index),
            peer: self.peer.to_string(),
            display: self.settings.display.clone(),
        }
    }
}

impl Cloud {
    /// The cloud in a folder, if one was made there.
    pub(crate) fn open(folder: &Path, operation: &str) -> Result<Option<Self>, Problem> {
        let text = match fs::read(marker(folder)) {
            Ok(text) => text,
            // Whoever made a cloud in its place would remove a ledger with its keys.
            Err(error) if error.kind() == io::ErrorKind::NotFound && has_run(folder) => {
                return Err(damaged(operation, folder, "the file is missing, and nodes that have run are beside it"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                return Err(internal(operation, marker(folder).display().to_string(), &error)
                    .with_remedy("make the file one that you may read"));
            }
        };
        let marker: Marker = serde_json::from_slice(&text)
            .map_err(|error| damaged(operation, folder, &format!("the file is damaged: {error}")))?;
        let count = marker.nodes.saturating_add(marker.light) as usize;
        if count == 0 || marker.nodes == 0 || node_folders(folder).iter().skip(count).any(has_ledger) {
            return Err(damaged(operation, folder, &format!("the file says {count} nodes, and there are others")));
        }
        let nodes = (0..marker.nodes.saturating_add(marker.light)).map(|index| node(folder, index, operation));
        let nodes = nodes.collect::<Result<_, _>>()?;
        Ok(Some(Self { folder: folder.to_path_buf(), nodes }))
    }

    /// The cloud that has to be there.
    pub(crate) fn existing(folder: &Path, operation: &str) -> Result<Self, Problem> {
        Self::open(folder, operation)?.ok_or_else(|| Self::none(folder, operation))
    }

    /// The problem of a folder in which no cloud was made.
    pub(crate) fn none(folder: &Path, operation: &str) -> Problem {
        Problem::new(ProblemCode::NotFound, operation, folder.display().to_string(), "there is no dev cloud here")
            .with_remedy(format!(
                "name its folder with --data, or make one with `grange dev{}`",
                folders::dev_option(folder)
            ))
    }

    /// Makes a cloud. The caller holds the folder's lock.
    pub(crate) fn create(folder: &Path, count: u32, wanted: Wanted) -> Result<Self, Problem> {
        let path = |index: u32| Folder(folder.join(format!("node-{index}")));
        // What a making that was cut short left behind has no ledger yet.
        for index in 0..count {
            if let Err(error) = fs::remove_dir_all(path(index).0)
                && error.kind() != io::ErrorKind::NotFound
            {
                return Err(broken("dev", folder, &error));
            }
        }
        let keys = (0..count).map(|_| secret_key("dev")).collect::<Result<Vec<_>, _>>()?;
        let settings = settings(folder, &keys, wanted)?;
        let founders: Vec<_> =
            keys.iter().zip(&settings).map(|(key, settings)| founder(key.public().peer(), settings)).collect();
        let mut genesis = dev_genesis("dev", machine::now(), &founders);
        genesis.parameters.version = wanted.rules.unwrap_or(genesis.parameters.version);
        for ((key, settings), index) in keys.iter().zip(&settings).zip(0..) {
            let folder = path(index);
            let created = folder.create(settings, &genesis, key);
            created.map_err(|error| settings_problem(&error, "dev", &folder))?;
        }
        write_marker(folder, &Marker { nodes: count, light: 0 })?;
        Self::open(folder, "dev")?.ok_or_else(|| nothing(folder))
    }

    /// How many of its nodes keep the ledger.
    pub(crate) fn operators(&self) -> usize {
        self.nodes.iter().filter(|node| !node.settings.light).count()
    }

    /// Refuses what counts only when a cloud is made, where this one is otherwise.
    pub(crate) fn fits(&self, wanted: Wanted) -> Result<(), Problem> {
        let Wanted { nodes, lan, rules, lost_after, light } = wanted;
        let operators = self.operators() as u32;
        let readers = self.nodes.len() as u32 - operators;
        let settings = || self.nodes.iter().map(|node| &node.settings).filter(|settings| !settings.light);
        let mut other = Vec::new();
        if let Some(nodes) = nodes.filter(|nodes| *nodes != operators) {
            other.push(format!("--nodes {nodes} (it has {operators})"));
        }
        if lan && settings().any(|settings| settings.relay.is_none()) {
            other.push("--lan".to_owned());
        }
        // A node that was told to follow other rules since does not make another cloud of it.
        if let Some(version) = rules.filter(|_| settings().all(|settings| settings.rules != rules)) {
            other.push(format!("--rules {version}"));
        }
        if let Some(seconds) = lost_after.filter(|_| settings().any(|settings| settings.lost_after != lost_after)) {
            other.push(format!("--lost-after {seconds}s"));
        }
        if let Some(light) = light.filter(|light| *light < readers) {
            other.push(format!("--light {light} (it has {readers}, and only gets more)"));
        }
        if other.is_empty() {
            return Ok(());
        }
        let message = format!("the dev cloud that is there differs from {}", other.join(", "));
        let reset = format!("grange dev reset{}", folders::dev_option(&self.folder));
        Err(Problem::new(ProblemCode::Conflict, "dev", self.folder.display().to_string(), message)
            .with_remedy(format!("remove it with `{reset}`, make another one with --data, or leave the option out")))
    }

    /// Adds nodes that keep no ledger until there are so many. They own nothing and the genesis does not know them, so that
    /// they may come at any time. The caller holds the folder's lock.
    pub(crate) fn lighten(self, wanted: u32) -> Result<Self, Problem> {
        let (operators, all) = (self.operators() as u32, self.nodes.len() as u32);
        if wanted <= all - operators {
            return Ok(self);
        }
        let first = self.nodes.first().ok_or_else(|| nothing(&self.folder))?;
        let genesis = first.folder.read_genesis();
        let genesis = genesis.map_err(|error| settings_problem(&error, "dev", &first.folder))?;
        for index in all..operators + wanted {
            let folder = Folder(self.folder.join(format!("node-{index}")));
            let settings = reader(first, &self.nodes, index - operators + 1)?;
            let created = folder.create(&settings, &genesis, &secret_key("dev")?);
            created.map_err(|error| settings_problem(&error, "dev", &folder))?;
        }
        write_marker(&self.folder, &Marker { nodes: operators, light: wanted })?;
        Self::open(&self.folder, "dev")?.ok_or_else(|| nothing(&self.folder))
    }

    /// The process in whose foreground it runs, while that is alive.
    pub(crate) fn supervisor(folder: &Path) -> Option<Identity> {
        Identity::read_alive(&supervisor_file(folder))
    }

    /// The processes of its nodes that are alive.
    pub(crate) fn processes(&self) -> Vec<Identity> {
        self.nodes.iter().filter_map(Node::process).collect()
    }
}

/// Whether a cloud was made in a folder, however its files are by now.
pub(crate) fn is_made(folder: &Path) -> bool {
    marker(folder).exists() || has_run(folder)
}

/// Whether a node in a cloud's folder has ever run: then there is a ledger, and money.
fn has_run(folder: &Path) -> bool {
    node_folders(folder).iter().any(has_ledger)
}

fn has_ledger(node: &Folder) -> bool {
    node.at(LEDGER).exists()
}

/// The folders of nodes in a cloud's folder, by what lies there: also where `cloud.json` cannot be read.
pub(crate) fn node_folders(folder: &Path) -> Vec<Folder> {
    let number = |name: &str| name.strip_prefix("node-")?.parse::<u32>().ok();
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path())))
        .filter(|(_, path)| path.is_dir())
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| Folder(path)).collect()
}

/// The processes of the nodes in a cloud's folder that are alive.
pub(crate) fn processes_in(folder: &Path) -> Vec<Identity> {
    node_folders(folder).iter().filter_map(|node| Identity::read_alive(&node.at(PID))).collect()
}

/// Removes all that a cloud keeps, and its folder if nothing else is in it.
pub(crate) fn remove(folder: &Path) -> Result<(), Problem> {
    let failed = |error: io::Error| broken("dev reset", folder, &error);
    // Without its marker it is a cloud that was half made, whatever happens next.
    match fs::remove_file(marker(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    for node in node_folders(folder) {
        fs::remove_dir_all(&node.0).map_err(failed)?;
    }
    for file in [supervisor_file(folder), folder.join(HELD_FILE)] {
        let _ = fs::remove_file(file);
    }
    let _ = fs::remove_dir_all(folder.join(TOUR_FOLDER));
    // Fails when somebody keeps something of his own there, which is as it should be.
    let _ = fs::remove_dir(folder);
    Ok(())
}

/// The file that names the process in whose foreground a cloud runs.
pub(crate) fn supervisor_file(folder: &Path) -> PathBuf {
    folder.join("supervisor")
}

fn marker(folder: &Path) -> PathBuf {
    folder.join("cloud.json")
}

fn broken(operation: &str, folder: &Path, error: &dyn std::error::Error) -> Problem {
    internal(operation, folder.display().to_string(), error).with_remedy("make the folder one that you may write")
}

/// The problem of a `cloud.json` that says nothing of use; what it has to say is in the nodes' folders as well.
fn damaged(operation: &str, folder: &Path, message: &str) -> Problem {
    let reset = format!("remove the cloud with `grange dev reset{}`", folders::dev_option(folder));
    let settings: Result<Vec<Settings>, _> = node_folders(folder).iter().map(Folder::read_settings).collect();
    let told = settings.ok().filter(|settings| !settings.is_empty()).and_then(|settings| {
        let light = settings.iter().filter(|settings| settings.light).count() as u32;
        serde_json::to_string(&Marker { nodes: settings.len() as u32 - light, light }).ok()
    });
    let remedy = match told {
        Some(told) => format!("write {told} into it, which is what the nodes' folders say, or {reset}"),
        None => reset,
    };
    Problem::new(ProblemCode::Internal, operation, marker(folder).display().to_string(), message).with_remedy(remedy)
}

fn nothing(folder: &Path) -> Problem {
    Problem::new(ProblemCode::Internal, "dev", folder.display().to_string(), "the cloud vanished")
}

/// Replaces the file in one step: half of it would be a damaged cloud.
fn write_marker(folder: &Path, content: &Marker) -> Result<(), Problem> {
    let failed = |error: io::Error| broken("dev", folder, &error);
    let text = serde_json::to_string(content).map_err(|error| broken("dev", folder, &error))?;
    let beside = marker(folder).with_extension("new");
    fs::write(&beside, text).map_err(failed)?;
    fs::rename(beside, marker(folder)).map_err(failed)
}

/// What a node without a ledger is told: it sells nothing, and knows where the others are.
fn reader(first: &Node, nodes: &[Node], number: u32) -> Result<Settings, Problem> {
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let failed = |error: NoPort| internal("dev", "ports", &error);
    let full = nodes.iter().filter(|node| !node.settings.light);
    let contact = |node: &Node| Contact {
        peer: node.peer,
        addresses: vec![SocketAddr::new(here, node.settings.listen.port())],
        relays: Vec::new(),
    };
    // The others' ports are theirs also while they do not run.
    let told = nodes.iter().map(|node| &node.settings);
    let taken: Vec<u16> = told.flat_map(|told| [told.api.port(), told.gateway.port(), told.listen.port()]).collect();
    let mut ports = Ports::new(std::process::id());
    let mut choose = |transport| loop {
        let port = ports.free(here, transport).map_err(failed)?;
        if !taken.contains(&port.port()) {
            return Ok::<SocketAddr, Problem>(port);
        }
    };
    Ok(Settings {
        display: format!("light-{number}"),
        roles: Vec::new(),
        light: true,
        api: choose(Transport::Tcp)?,
        gateway: choose(Transport::Tcp)?,
        listen: choose(Transport::Udp)?,
        relay: None,
        relays: Vec::new(),
        mdns: false,
        bootstrap: full.map(contact).collect(),
        kinds: Vec::new(),
        ..first.settings.clone()
    })
}

fn node(cloud: &Path, index: u32, operation: &str) -> Result<Node, Problem> {
    let folder = Folder(cloud.join(format!("node-{index}")));
    let read = || Ok((folder.read_settings()?, folder.read_key()?.public().peer()));
    let (settings, peer) = read().map_err(|error| settings_problem(&error, operation, &folder))?;
    Ok(Node { index, peer, folder, settings })
}

/// What each node is told. All ports are chosen here, once.
fn settings(folder: &Path, keys: &[SecretKey], wanted: Wanted) -> Result<Vec<Settings>, Problem> {
    let Wanted { lan, rules, lost_after, .. } = wanted;
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let outside = if lan { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { here };
    let failed = |error: NoPort| internal("dev", "ports", &error);
    let mut ports = Ports::new(std::process::id());
    let region = Region::try_from("local".to_owned()).map_err(|error| internal("dev", "region", &error))?;
    let capacity = machine::share(folder, u32::try_from(keys.len()).unwrap_or(u32::MAX));
    let mut all = Vec::new();
    for (_, (display, tenths)) in keys.iter().zip(OPERATORS) {
        let relay = if lan { Some(ports.free(outside, Transport::Tcp).map_err(failed)?) } else { None };
        let mut roles = vec![NodeRole::Validator, NodeRole::Provider, NodeRole::Gateway, NodeRole::Steward];
        roles.extend(relay.map(|_| NodeRole::Relay));
        all.push(Settings {
            display: display.to_owned(),
            region: region.clone(),
            roles,
            api: ports.free(here, Transport::Tcp).map_err(failed)?,
            gateway: ports.free(here, Transport::Tcp).map_err(failed)?,
            listen: ports.free(outside, Transport::Udp).map_err(failed)?,
            relay,
            relays: Vec::new(),
            // They know each other's addresses; on the local network they are only found if they may be reached.
            mdns: lan,
            bootstrap: Vec::new(),
            kinds: vec![Kind::Site, Kind::Wasm],
            capacity,
            prices: scaled(BASE_PRICES, tenths),
            paused: false,
            light: false,
            prune: false,
            snapshot_every: None,
            rules,
            canaries: None,
            lost_after,
        });
    }
    let contact = |(key, settings): (&SecretKey, &Settings)| Contact {
        peer: key.public().peer(),
        addresses: vec![SocketAddr::new(here, settings.listen.port())],
        relays: Vec::new(),
    };
    let contacts: Vec<Contact> = keys.iter().zip(&all).map(contact).collect();
    for (index, settings) in all.iter_mut().enumerate() {
        let others = contacts.iter().enumerate().filter(|(other, _)| *other != index);
        settings.bootstrap = others.map(|(_, contact)| contact.clone()).collect();
    }
    Ok(all)
}

fn scaled(base: PriceSettings, tenths: u128) -> PriceSettings {
    let scale = |price: Amount| price.scaled(tenths, 10);
    PriceSettings {
        cpu_hour: scale(base.cpu_hour),
        memory_gib_hour: scale(base.memory_gib_hour),
        disk_gib_hour: scale(base.disk_gib_hour),
        request_million: scale(base.request_million),
        egress_gib: scale(base.egress_gib),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_cloud_is_made_once_and_found_again() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("dev");
        assert!(Cloud::open(&folder, "dev").unwrap().is_none());
        // A making that was cut short.
        fs::create_dir_all(folder.join("node-0")).unwrap();
        fs::write(folder.join("node-0/node.json"), "half").unwrap();
        let made = Cloud::create(&folder, 4, Wanted::default()).unwrap();
        let found = Cloud::open(&folder, "dev").unwrap().unwrap();
        assert_eq!(made.nodes.len(), 4);
        let peers: BTreeSet<PeerId> = found.nodes.iter().map(|node| node.peer).collect();
        let ports: BTreeSet<u16> = found
            .nodes
            .iter()
            .flat_map(|node| [node.settings.api, node.settings.gateway, node.settings.listen])
            .map(|address| address.port())
            .collect();
        let prices: BTreeSet<Amount> = found.nodes.iter().filter_map(Node::price).collect();
        assert_eq!((peers.len(), ports.len(), prices.len()), (4, 12, 4));
        for (made, found) in made.nodes.iter().zip(&found.nodes) {
            assert_eq!((made.peer, &made.settings), (found.peer, &found.settings));
            assert_eq!(found.settings.bootstrap.len(), 3);
            assert!(found.settings.bootstrap.iter().all(|contact| contact.peer != found.peer));
            assert!(found.process().is_none());
        }
        let networks: BTreeSet<_> =
            found.nodes.iter().map(|node| node.folder.read_genesis().unwrap().network_id()).collect();
        assert_eq!(networks.len(), 1);
        fs::write(folder.join("mine"), "kept").unwrap();
        remove(&folder).unwrap();
        assert!(Cloud::open(&folder, "dev").unwrap().is_none());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
    }

    #[test]
    fn a_damaged_cloud_is_named_with_what_mends_it_and_can_be_removed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("dev");
        Cloud::create(&folder, 2, Wanted::default()).unwrap().lighten(1).unwrap();
        let whole = fs::read_to_string(folder.join("cloud.json")).unwrap();
        fs::write(folder.join("cloud.json"), &whole[..4]).unwrap();
        let problem = Cloud::open(&folder, "dev").unwrap_err();
        assert_eq!(problem.thing, folder.join("cloud.json").display().to_string());
        assert!(problem.message.starts_with("the file is damaged: "), "{problem:?}");
        assert!(problem.remedy.contains(&whole) && problem.remedy.contains("grange dev reset --data"), "{problem:?}");
        // Without the folders' word there is nothing to write.
        fs::write(folder.join("node-1/node.json"), "half").unwrap();
        assert!(Cloud::open(&folder, "dev").unwrap_err().remedy.starts_with("remove the cloud with"));
        assert!(is_made(&folder) && node_folders(&folder).len() == 3);
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn a_cloud_that_has_run_is_never_made_anew_whatever_became_of_its_file() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("dev");
        Cloud::create(&folder, 4, Wanted::default()).unwrap();
        let (file, whole) = (folder.join("cloud.json"), fs::read_to_string(folder.join("cloud.json")).unwrap());
        for index in 0..4 {
            fs::create_dir(folder.join(format!("node-{index}/chain"))).unwrap();
        }
        let refused = |message: &str| {
            let problem = Cloud::open(&folder, "dev").unwrap_err();
            assert!(problem.message.starts_with(message) && problem.remedy.contains(&whole), "{problem:?}");
        };
        for false_count in [r#"{"nodes":0,"light":0}"#, r#"{"nodes":0,"light":4}"#, r#"{"nodes":2,"light":0}"#] {
            fs::write(&file, false_count).unwrap();
            refused("the file says ");
        }
        fs::remove_file(&file).unwrap();
        refused("the file is missing, and nodes that have run are beside it");
        assert!(is_made(&folder));
        fs::write(&file, &whole).unwrap();
        assert_eq!(Cloud::open(&folder, "dev").unwrap().unwrap().nodes.len(), 4);
        fs::remove_file(&file).unwrap();
        remove(&folder).unwrap();
        assert!(!folder.exists());
    }

    #[test]
    fn what_counts_only_at_the_beginning_is_refused_of_another_cloud() {
        let parent = tempfile::tempdir().unwrap();
        let made = Wanted { rules: Some(1), lost_after: Some(30), ..Wanted::default() };
        let cloud = Cloud::create(&parent.path().join("dev"), 2, made).unwrap().lighten(2).unwrap();
        for node in &cloud.nodes {
            let serves = !node.settings.light;
            assert_eq!((node.gateway().is_some(), node.price().is_some()), (serves, serves), "node {}", node.index);
        }
        let fits = |wanted: Wanted| cloud.fits(wanted).map_err(|problem| (problem.code, problem.message));
        let none = Wanted::default();
        for same in [none, Wanted { nodes: Some(2), light: Some(3), ..made }] {
            assert_eq!(fits(same), Ok(()));
        }
        for (other, named) in [
            (Wanted { nodes: Some(4), ..none }, "--nodes 4 (it has 2)"),
            (Wanted { lan: true, ..none }, "--lan"),
            (Wanted { rules: Some(2), ..none }, "--rules 2"),
            (Wanted { lost_after: Some(31), ..none }, "--lost-after 31s"),
            (Wanted { light: Some(1), ..none }, "--light 1 (it has 2, and only gets more)"),
            (Wanted { lan: true, rules: Some(3), ..none }, "--lan, --rules 3"),
        ] {
            let message = format!("the dev cloud that is there differs from {named}");
            assert_eq!(fits(other), Err((ProblemCode::Conflict, message)));
        }
        cloud.nodes[0].follow(Some(2)).unwrap();
        let cloud = Cloud::open(&cloud.folder, "dev").unwrap().unwrap();
        assert!(cloud.fits(made).is_ok() && cloud.fits(Wanted { rules: Some(2), ..made }).is_ok());
    }

    #[test]
    fn every_operator_has_its_own_name_and_price() {
        let names: BTreeSet<&str> = OPERATORS.iter().map(|(name, _)| *name).collect();
        let prices: BTreeSet<u128> = OPERATORS.iter().map(|(_, tenths)| *tenths).collect();
        assert_eq!((names.len(), prices.len()), (OPERATORS.len(), OPERATORS.len()));
    }
}
