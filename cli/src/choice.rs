//! Which node a command asks, and with which token.
//!
//! # Rules
//! - `--node` or `GRANGE_NODE` names it; its token is in the file that `--token-file` names, else in `GRANGE_TOKEN`, else in
//!   the file that `nodes.json` has for that node.
//! - Without: one place is the default, the first of these whose folder is there: the node of `grange up` in its usual folder,
//!   its nodes in others, the dev cloud in its usual folder, those in others. Of a dev cloud the first node is asked. Only
//!   who says to be the node that `nodes.json` has at that address counts: a dead node's port may be another's by now, who is
//!   not shown a token.
//! - Where the default does not run, no other place is asked: whoever deploys to the wrong cloud pays there. The problem names
//!   those that run, and how to choose one.
//! - Where the first of a dev cloud is dead, a command that only reads what is the same everywhere asks the next one and
//!   says so. A command that acts, or shows what is one's own, does not, and says why: the next node is another operator's.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use grange_api::{PEER_HEADER, Problem, ProblemCode};

use crate::arguments::Global;
use crate::client::{self, Client};
use crate::failure::internal;
use crate::folders;
use crate::output::Output;
use crate::registry::{self, Entry, Kind};

/// How long a node of this machine may take to accept a connection.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long a busy one may take to say who it is.
const NAMING: Duration = Duration::from_secs(3);

/// Whether a command is about the node's own account, to show it or to change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Read,
    Act,
}

/// The client of the node that a command asks.
pub(crate) fn client(global: &Global, output: Output, operation: &str, purpose: Purpose) -> Result<Client, Problem> {
    next_client(global, output, operation, purpose, &[])
}

/// The client of the node to ask next, where the APIs in `tried` have refused.
pub(crate) fn next_client(
    global: &Global,
    output: Output,
    operation: &str,
    purpose: Purpose,
    tried: &[String],
) -> Result<Client, Problem> {
    let known = registry::read(&folders::registry()?).map_err(|error| {
        let remedy = "remove the file; `grange up` and `grange dev` write it anew";
        internal(operation, "nodes.json", &error).with_remedy(remedy)
    })?;
    let named = global.node.as_deref().filter(|node| !node.is_empty());
    let (api, token_file) = match named {
        Some(node) => {
            let api = address(node, operation)?;
            let at = || known.iter().filter(|entry| entry.api == api);
            let entry = at().find(|entry| is_there(entry));
            // A token is only for the node that it is of.
            if entry.is_none() && at().next().is_some() && global.token_file.is_none() {
                let text = "the node that nodes.json has there does not answer";
                return Err(Problem::new(ProblemCode::NoNode, operation, api, text));
            }
            let token_file = entry.map(|entry| entry.token_file.clone());
            (api, token_file)
        }
        None => {
            // A token that the user names is for a node of his own: no other one is shown it.
            let purpose = if names_token(global) { Purpose::Act } else { purpose };
            let entry = of_default(&known, tried, output, operation, purpose)?;
            (entry.api.clone(), Some(entry.token_file.clone()))
        }
    };
    if let Some(token) = token_of_environment(global) {
        let token = fit(&token).ok_or_else(|| {
            Problem::new(ProblemCode::Unauthorized, operation, TOKEN_VARIABLE, "the variable holds no token")
        })?;
        return Ok(Client::new(operation, api, token, PathBuf::new()));
    }
    let token_file = global.token_file.clone().or(token_file);
    if !token_file.as_ref().is_some_and(|file| file.is_file()) && !answers(&api) {
        // Whoever asks a node that is not there needs no token first.
        return Err(Problem::new(ProblemCode::NoNode, operation, api, "no node answers there"));
    }
    let Some(token_file) = token_file else {
        let message = "nodes.json has no token for this node";
        let problem = Problem::new(ProblemCode::Unauthorized, operation, api, message);
        return Err(problem.with_remedy("name the file that holds its token with --token-file"));
    };
    let token = token(&token_file, global.token_file.is_some(), operation)?;
    Ok(Client::new(operation, api, token, token_file))
}

/// The form in which `nodes.json` keeps a node's API.
fn address(node: &str, operation: &str) -> Result<String, Problem> {
    let rest = node.strip_prefix("http://").unwrap_or(node).trim_end_matches('/');
    let rest = rest.replace("localhost:", "127.0.0.1:");
    if rest.parse::<SocketAddr>().is_err() {
        let message = "a node is named by the URL of its API, such as http://127.0.0.1:8081";
        return Err(Problem::new(ProblemCode::Usage, operation, node, message)
            .with_remedy("`grange dev status` and nodes.json list the nodes there are"));
    }
    Ok(format!("http://{rest}"))
}

/// The folder of the node with this API, where it is one of this machine.
pub(crate) fn folder_of(api: &str, operation: &str) -> Result<PathBuf, Problem> {
    let known = registry::read(&folders::registry()?).map_err(|error| internal(operation, "nodes.json", &error))?;
    let mut found: Vec<Entry> = known.into_iter().filter(|entry| entry.api == api && entry.data.is_dir()).collect();
    // A node that was stopped may have had the port that another one has by now.
    let there = found.iter().position(is_there).unwrap_or_default();
    let found = (there < found.len()).then(|| found.swap_remove(there));
    found.map(|entry| entry.data).ok_or_else(|| {
        Problem::new(ProblemCode::NotFound, operation, api, "nodes.json does not say which folder this node has")
            .with_remedy("type the command on the node's own machine, and name its folder with --data")
    })
}

/// The variable that holds a token or an API key where no file is named.
const TOKEN_VARIABLE: &str = "GRANGE_TOKEN";

fn token_of_environment(global: &Global) -> Option<String> {
    if global.token_file.is_some() {
        return None;
    }
    std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty())
}

/// Whether the user himself names a token.
pub(crate) fn names_token(global: &Global) -> bool {
    global.token_file.is_some() || token_of_environment(global).is_some()
}

/// The token that the user himself names, and where it is from.
pub(crate) fn own_token(global: &Global, operation: &str) -> Result<(String, String), Problem> {
    if let Some(token) = token_of_environment(global) {
        return Ok((token, TOKEN_VARIABLE.to_owned()));
    }
    match &global.token_file {
        Some(file) => Ok((token(file, true, operation)?, file.display().to_string())),
        None => {
            let message = "no key is named";
            Err(Problem::new(ProblemCode::Usage, operation, "--token-file", message)
                .with_remedy("name the file that holds it with --token-file, or put it into GRANGE_TOKEN"))
        }
    }
}

/// A token without the white space around it, if it is one.
fn fit(text: &str) -> Option<String> {
    let token = text.trim();
    (!token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())).then(|| token.to_owned())
}

/// The token in a file, which the user names himself or `nodes.json` does.
fn token(file: &Path, is_named: bool, operation: &str) -> Result<String, Problem> {
    let problem = |message: String| {
        let remedy = if is_named {
            "name a file that holds the node's token or an API key, and that you may read, with --token-file or \
             GRANGE_TOKEN_FILE; without either the file is taken that nodes.json names"
        } else {
            "nodes.json names this file; the node keeps its token there for the user who runs it alone. Type the command as that \
             user, or name a file that holds an API key with --token-file"
        };
        Problem::new(ProblemCode::Unauthorized, operation, file.display().to_string(), message).with_remedy(remedy)
    };
    let text = fs::read_to_string(file).map_err(|error| {
        problem(match error.kind() {
            ErrorKind::NotFound => "there is no such token file".to_owned(),
            _ => format!("cannot read the token file: {}", error.to_string().to_lowercase()),
        })
    })?;
    fit(&text).ok_or_else(|| problem("the token file holds no token".to_owned()))
}

/// What a command is for: a node of `grange up`, or a dev cloud with all its nodes.
struct Place<'a> {
    kind: Kind,
    folder: &'a Path,
    /// In the order in which they are asked.
    nodes: Vec<&'a Entry>,
}

impl Place<'_> {
    /// The node that acts for whoever types, while it runs.
    fn own(&self) -> Option<&Entry> {
        let own = |entry: &&&Entry| entry.kind == Kind::Up || entry.index == Some(0);
        self.nodes.iter().find(own).copied().filter(|entry| is_there(entry))
    }

    fn named(&self) -> String {
        let what = match self.kind {
            Kind::Up => "node of `grange up`",
            Kind::Dev => "dev cloud",
        };
        format!("the {what} in {}", self.folder.display())
    }

    fn start_first(&self) -> String {
        format!("grange dev start 0{}", folders::dev_option(self.folder))
    }

    fn start(&self) -> String {
        match self.kind {
            Kind::Up => format!("grange up{}", folders::up_option(self.folder)),
            Kind::Dev => format!("grange dev{}", folders::dev_option(self.folder)),
        }
    }
}

/// The places there are, the default first.
fn places(known: &[Entry]) -> Vec<Place<'_>> {
    let mut places: Vec<Place<'_>> = Vec::new();
    for entry in known {
        let (kind, folder) = match entry.kind {
            Kind::Up => (Kind::Up, entry.data.as_path()),
            Kind::Dev => (Kind::Dev, entry.data.parent().unwrap_or(&entry.data)),
        };
        match places.iter_mut().find(|place| place.kind == kind && place.folder == folder) {
            Some(place) => place.nodes.push(entry),
            None => places.push(Place { kind, folder, nodes: vec![entry] }),
        }
    }
    // What was removed has no claim; what was made in a folder that is gone runs no more.
    places.retain(|place| place.folder.is_dir());
    let usual = [folders::node().ok(), folders::dev().ok()];
    // The sort is stable: beyond that the file's order stays.
    places.sort_by_key(|place| {
        let is_usual = usual.iter().flatten().any(|usual| usual == place.folder);
        (place.kind == Kind::Dev, !is_usual)
    });
    for place in &mut places {
        place.nodes.sort_by_key(|entry| entry.index.unwrap_or(u32::MAX));
    }
    places
}

/// The node of the default place that a command asks.
fn of_default<'a>(
    known: &'a [Entry],
    tried: &[String],
    output: Output,
    operation: &str,
    purpose: Purpose,
) -> Result<&'a Entry, Problem> {
    let places = places(known);
    let Some((place, others)) = places.split_first() else {
        return Err(Problem::new(ProblemCode::NoNode, operation, "", "no node answers"));
    };
    let mut next = None;
    let left = || place.nodes.iter().copied().filter(|entry| !tried.contains(&entry.api));
    for entry in left().filter(|entry| is_there(entry)) {
        let stands_in = entry.kind == Kind::Dev && entry.index != Some(0);
        if stands_in && purpose == Purpose::Act {
            next = next.or(Some(entry));
            continue;
        }
        if stands_in {
            let (index, display) = (entry.index.unwrap_or_default(), &entry.display);
            output.progress(&format!("asking node {index} ({display}) in place of the first"));
        }
        return Ok(entry);
    }
    Err(next.map_or_else(|| not_there(place, others, operation), |next| first_is_dead(place, next, operation)))
}

/// The problem of a dev cloud whose first node does not run, though another operator's does.
fn first_is_dead(place: &Place<'_>, next: &Entry, operation: &str) -> Problem {
    let api = place.nodes.first().map(|entry| entry.api.clone());
    let message = "the dev cloud's first node is not running; the others are other operators' and do not stand in for its account";
    Problem::new(ProblemCode::NoNode, operation, api.unwrap_or_default(), message).with_remedy(format!(
        "start it again with `{}`; `--node {}` asks another one, for the account of that one",
        place.start_first(),
        next.api
    ))
}

/// The problem of a default that does not run.
fn not_there(place: &Place<'_>, others: &[Place<'_>], operation: &str) -> Problem {
    let choices: Vec<String> =
        others.iter().filter_map(|other| Some(format!("{} is --node {}", other.named(), other.own()?.api))).collect();
    let problem = |thing: String, message: &str| Problem::new(ProblemCode::NoNode, operation, thing, message);
    match (choices.as_slice(), place.kind) {
        ([], Kind::Up) => problem(String::new(), "no node answers"),
        ([], Kind::Dev) => {
            let api = place.nodes.first().map(|entry| entry.api.clone());
            problem(api.unwrap_or_default(), "no node answers; the dev cloud's first one is not running")
                .with_remedy("start one with `grange up`, or the whole cloud again with `grange dev`")
        }
        (choices, kind) => {
            let message = match kind {
                Kind::Up => "this node of `grange up` does not run, and no other one is asked in its place",
                Kind::Dev => "the first node of this dev cloud does not run, and no other cloud is asked in its place",
            };
            problem(place.folder.display().to_string(), message).with_remedy(format!(
                "start it with `{}`, or choose: {}; GRANGE_NODE holds the choice for every command",
                place.start(),
                choices.join(", ")
            ))
        }
    }
}

/// What commands ask that name no node, where that is not the dev cloud in a folder: the name of that place.
pub(crate) fn asked_before(folder: &Path) -> Option<String> {
    let known = registry::read(&folders::registry().ok()?).ok()?;
    let places = places(&known);
    places.first().filter(|place| place.folder != folder).map(Place::named)
}

/// Whether something accepts connections at an API's address.
pub(crate) fn answers(api: &str) -> bool {
    let address = api.strip_prefix("http://").and_then(|address| address.parse::<SocketAddr>().ok());
    address.is_some_and(|address| TcpStream::connect_timeout(&address, PATIENCE).is_ok())
}

/// Whether the node that `nodes.json` has at an address says there that it is that node.
pub(crate) fn is_there(entry: &Entry) -> bool {
    if !answers(&entry.api) {
        return false;
    }
    let health = client::agent().get(format!("{}/healthz", entry.api)).config().timeout_global(Some(NAMING)).build();
    health.call().is_ok_and(|response| response.headers().get(PEER_HEADER).is_some_and(|peer| *peer == *entry.peer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    fn entry(api: &str, kind: Kind, index: Option<u32>) -> Entry {
        // Folders that are there on every machine: each kind has its own.
        let data = if kind == Kind::Up { "/usr" } else { "/dev/shm" };
        let (token_file, data) = ("/nowhere/token".into(), data.into());
        Entry { api: api.into(), token_file, data, kind, index, peer: "ada".into(), display: String::new() }
    }

    fn chosen<'a>(known: &'a [Entry], operation: &str, purpose: Purpose) -> Result<&'a Entry, Problem> {
        of_default(known, &[], Output::new(true), operation, purpose)
    }

    /// The address of a node called ada, and one where nobody is.
    fn ends() -> (String, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let live = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut caller in listener.incoming().flatten() {
                thread::spawn(move || {
                    let _ = caller.read(&mut [0; 1_024]);
                    let _ = caller.write_all(b"HTTP/1.1 200 OK\r\ngrange-peer: ada\r\ncontent-length: 0\r\n\r\n");
                });
            }
        });
        // Port 1 belongs to a service that no machine of ours runs.
        (live, "http://127.0.0.1:1".into())
    }

    #[test]
    fn a_port_that_another_node_has_by_now_is_not_the_dead_ones() {
        let (live, _) = ends();
        let dead = Entry { peer: "bob".into(), ..entry(&live, Kind::Up, None) };
        assert_eq!(chosen(&[dead], "status", Purpose::Act).unwrap_err().code, ProblemCode::NoNode);
    }

    #[test]
    fn a_program_that_is_no_node_is_not_shown_a_token() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for mut caller in listener.incoming().flatten() {
                let _ = caller.write_all(b"SSH-2.0-nobody\r\n");
            }
        });
        assert!(!is_there(&entry(&api, Kind::Up, None)));
        // Nor one that accepts and keeps silent.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let api = format!("http://{}", silent.local_addr().unwrap());
        assert!(answers(&api) && !is_there(&entry(&api, Kind::Up, None)));
    }

    #[test]
    fn the_local_daemon_comes_before_the_first_dev_node() {
        let (live, dead) = ends();
        let known = [entry(&live, Kind::Dev, Some(0)), entry(&live, Kind::Up, None)];
        assert_eq!(chosen(&known, "status", Purpose::Act).unwrap().kind, Kind::Up);
        let removed = Entry { data: "/nowhere".into(), ..entry(&dead, Kind::Up, None) };
        let known = [removed, entry(&live, Kind::Dev, Some(1)), entry(&live, Kind::Dev, Some(0))];
        let first = chosen(&known, "status", Purpose::Act).unwrap();
        assert_eq!((first.kind, first.index), (Kind::Dev, Some(0)));
    }

    #[test]
    fn no_other_cloud_is_asked_in_place_of_the_default() {
        let (live, dead) = ends();
        let folder = tempfile::tempdir().unwrap();
        let beside = Entry { data: folder.path().join("node-0"), ..entry(&live, Kind::Dev, Some(0)) };
        for default in [entry(&dead, Kind::Up, None), entry(&dead, Kind::Dev, Some(0))] {
            let known = [default, beside.clone()];
            for purpose in [Purpose::Read, Purpose::Act] {
                let problem = chosen(&known, "deploy", purpose).unwrap_err();
                let named = folder.path().display().to_string();
                assert_eq!((problem.code, problem.exit), (ProblemCode::NoNode, 1));
                assert!(problem.remedy.contains(&format!("the dev cloud in {named} is --node {live}")), "{problem:?}");
                assert!(problem.remedy.contains("GRANGE_NODE"), "{problem:?}");
            }
        }
        // Nor where the default's nodes were all asked already.
        let known = [entry(&live, Kind::Dev, Some(0)), Entry { api: dead.clone(), ..beside }];
        let tried = std::slice::from_ref(&live);
        assert!(of_default(&known, tried, Output::new(true), "logs", Purpose::Read).is_err());
    }

    #[test]
    fn another_operators_node_is_read_from_but_never_acts_instead() {
        let (live, dead) = ends();
        let known = [entry(&dead, Kind::Dev, Some(0)), entry(&live, Kind::Dev, Some(1))];
        assert_eq!(chosen(&known, "ps", Purpose::Read).unwrap().index, Some(1));
        let problem = chosen(&known, "deploy", Purpose::Act).unwrap_err();
        assert_eq!((problem.code, problem.exit), (ProblemCode::NoNode, 1));
        assert!(problem.message.contains("the others are other operators' and"), "{problem:?}");
        assert!(problem.remedy.contains("`grange dev start 0") && problem.remedy.contains(&live), "{problem:?}");
        let all = chosen(&known[..1], "deploy", Purpose::Act).unwrap_err();
        let none = chosen(&[], "deploy", Purpose::Act).unwrap_err();
        for problem in [all, none] {
            assert!(problem.remedy.contains("`grange up`") && problem.remedy.contains("`grange dev`"));
        }
    }

    #[test]
    fn a_token_file_that_is_none_is_named_with_what_helps() {
        let folder = tempfile::tempdir().unwrap();
        let (missing, empty) = (folder.path().join("missing"), folder.path().join("empty"));
        fs::write(&empty, " \n").unwrap();
        for (file, text) in [(&missing, "there is no such token file"), (&empty, "the token file holds no token")] {
            for (is_named, remedy) in
                [(true, "--token-file or GRANGE_TOKEN_FILE"), (false, "nodes.json names this file")]
            {
                let problem = token(file, is_named, "ps").unwrap_err();
                assert_eq!((problem.code, problem.message.as_str()), (ProblemCode::Unauthorized, text));
                assert_eq!(problem.thing, file.display().to_string());
                assert!(problem.remedy.contains(remedy), "{problem:?}");
            }
        }
    }

    #[test]
    fn a_node_is_named_by_its_api() {
        for good in ["http://127.0.0.1:80", "http://127.0.0.1:80/", "127.0.0.1:80", "http://localhost:80"] {
            assert_eq!(address(good, "ps").unwrap(), "http://127.0.0.1:80");
        }
        for bad in ["https://127.0.0.1:80", "127.0.0.1", "http://example.org:80", "ada"] {
            assert_eq!(address(bad, "ps").unwrap_err().code, ProblemCode::Usage);
        }
    }
}
