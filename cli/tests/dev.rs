//! A dev cloud of real processes: made, killed in part, resumed, stopped, and nothing left of it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything here may take on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A home of its own, whose cloud is stopped at the end, whatever happens.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn cloud(&self) -> PathBuf {
        self.folder.path().join("data/grange/dev")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grange"));
        command
            .args(arguments)
            .env_remove("GRANGE_NODE")
            .env("XDG_DATA_HOME", self.folder.path().join("data"))
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// The JSON that a command prints; its stderr has to be empty.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The one problem that a command prints, and its exit code.
    #[track_caller]
    fn problem(&self, arguments: &[&str]) -> (Value, i32) {
        let output = self.run(arguments);
        let problem: Value = serde_json::from_slice(&output.stderr).expect("stderr is exactly one object");
        (problem, output.status.code().unwrap())
    }

    /// What `doctor` found of one thing.
    fn check(&self, name: &str) -> Value {
        let checks: Vec<Value> = serde_json::from_slice(&self.run(&["doctor", "--json"]).stdout).unwrap();
        checks.into_iter().find(|check| check["check"] == name).unwrap()
    }

    fn pids(&self) -> Vec<Option<i64>> {
        let status = self.json(&["dev", "status", "--json"]);
        status["nodes"].as_array().unwrap().iter().map(|node| node["pid"].as_i64()).collect()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = self.run(&["dev", "stop"]);
    }
}

/// Whether a process runs, and is none that has ended and waits to be reaped.
fn runs(pid: i64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

#[track_caller]
fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < LIMIT, "{what} did not come about");
        std::thread::yield_now();
    }
}

fn kill(pid: i64, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

/// Reads lines of a child's stdout until one contains a text; gives the reader back, since closing it has an effect.
fn read_until(child: &mut Child, wanted: &str) -> (String, BufReader<std::process::ChildStdout>) {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut text = String::new();
    while !text.contains(wanted) {
        let read = reader.read_line(&mut text).unwrap();
        assert!(read > 0, "it ended before it printed {wanted}: {text}");
    }
    (text, reader)
}

#[test]
fn a_detached_cloud_outlives_the_command_and_is_resumed() {
    let home = Home::new();
    let mut child =
        home.command(&["dev", "--nodes", "2", "--detach", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    // The pipe ends although the nodes live on: they hold none of our descriptors.
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(child.wait().unwrap().success());
    let nodes: Value = serde_json::from_str(&text).unwrap();
    for (index, node) in nodes["nodes"].as_array().unwrap().iter().enumerate() {
        assert_eq!(node["index"], index);
        assert!(runs(node["pid"].as_i64().unwrap()));
        assert!(node["api"].as_str().unwrap().starts_with("http://127.0.0.1:"));
        assert!(node["gateway"].as_str().unwrap().starts_with("http://127.0.0.1:"));
        assert!(Path::new(node["token_file"].as_str().unwrap()).is_file());
        assert!(Path::new(node["data"].as_str().unwrap()).is_dir());
    }
    let api = |index: usize| nodes["nodes"][index]["api"].as_str().unwrap().to_owned();
    assert_eq!(home.json(&["status", "--json"])["peer"], nodes["nodes"][0]["peer"]);
    assert_eq!(home.json(&["--node", &api(1), "status", "--json"])["peer"], nodes["nodes"][1]["peer"]);

    // A node that was killed stays dead until it is started; only it gets a new process.
    let before = home.pids();
    kill(before[1].unwrap(), "-KILL");
    until("the end of a killed node", || !runs(before[1].unwrap()));
    assert_eq!(home.pids(), [before[0], None]);
    let (problem, exit) = home.problem(&["--json", "--node", &api(1), "status"]);
    assert_eq!((problem["code"].as_str(), problem["exit"].as_i64(), exit), (Some("no-node"), Some(1), 1));
    let dead = home.check("dev cloud");
    assert_eq!(dead["result"], "warn", "{dead}");
    assert!(dead["remedy"].as_str().unwrap().contains("grange dev start 1"), "{dead}");
    assert_eq!(home.json(&["dev", "start", "1", "--json"])["index"], 1);
    assert_eq!(home.check("dev cloud")["result"], "ok");
    let after = home.pids();
    assert!(after[0] == before[0] && after[1] != before[1] && after[1].is_some());

    // The same command again finds everything running; what is only for a new cloud contradicts what is there.
    home.json(&["dev", "--detach", "--json"]);
    assert_eq!(home.pids(), after);
    for option in [&["--nodes", "3"][..], &["--rules", "1"], &["--lost-after", "30s"], &["--lan"]] {
        let (problem, exit) = home.problem(&[&["--json", "dev", "--detach"], option].concat());
        assert_eq!((problem["code"].as_str(), exit), (Some("conflict"), 5), "{option:?}");
        assert!(problem["message"].as_str().unwrap().contains(option[0]), "{problem}");
        assert!(problem["remedy"].as_str().unwrap().contains("grange dev reset"), "{problem}");
    }

    assert_eq!(home.json(&["dev", "stop", "--json"])["stopped"], 2);
    assert!(after.iter().all(|pid| !runs(pid.unwrap())));
    assert_eq!(home.json(&["dev", "stop", "--json"])["stopped"], 0);
    let elsewhere = home.folder.path().join("elsewhere");
    let (problem, exit) = home.problem(&["dev", "stop", "--data", elsewhere.to_str().unwrap(), "--json"]);
    assert_eq!((problem["code"].as_str(), exit, elsewhere.exists()), (Some("not-found"), 3, false));

    // Ports are kept.
    let again = home.json(&["dev", "--detach", "--json"]);
    assert_eq!(again["nodes"][1]["api"].as_str().unwrap(), api(1));
    assert_eq!(home.run(&["dev", "reset"]).status.code(), Some(2));
    assert_eq!(home.json(&["dev", "reset", "--yes", "--json"])["removed"], true);
    assert!(!home.cloud().exists());
}

#[test]
fn a_cloud_in_the_foreground_ends_with_its_command() {
    let home = Home::new();
    let start = || {
        let mut child = home.command(&["dev", "--nodes", "1", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
        let (_, reader) = read_until(&mut child, "\n");
        let node = home.pids()[0].unwrap();
        (child, reader, node)
    };

    let (mut child, _reader, node) = start();
    let asked = Instant::now();
    kill(i64::from(child.id()), "-INT");
    assert!(child.wait().unwrap().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    assert!(!runs(node));

    // `dev stop` ends the command as well.
    let (mut child, _reader, node) = start();
    assert!(home.run(&["dev", "stop"]).status.success());
    assert!(child.wait().unwrap().success());
    assert!(!runs(node));

    // Whoever kills the command leaves no node behind.
    let (mut child, _reader, node) = start();
    child.kill().unwrap();
    child.wait().unwrap();
    until("the end of a node whose keeper was killed", || !runs(node));

    // A node that dies by itself is told; the last one takes the command with it.
    let (mut child, _reader, node) = start();
    kill(node, "-KILL");
    assert_eq!(child.wait().unwrap().code(), Some(1));
}

#[test]
fn a_node_is_run_once_and_ends_when_asked() {
    let home = Home::new();
    let mut child = home.command(&["up", "--display", "solo", "--json"]).stdout(Stdio::piped()).spawn().unwrap();
    let (text, _reader) = read_until(&mut child, "\n");
    let ready: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(ready["pid"], child.id());
    let status = home.json(&["status", "--json"]);
    assert_eq!((status["peer"].clone(), status["display"].as_str()), (ready["peer"].clone(), Some("solo")));

    let (problem, exit) = home.problem(&["up", "--json"]);
    assert_eq!((problem["code"].as_str(), exit), (Some("conflict"), 5));

    // A rotated token is the only one that is taken, and the node's own file holds it.
    let token = PathBuf::from(ready["token_file"].as_str().unwrap());
    let old = home.folder.path().join("old");
    fs::copy(&token, &old).unwrap();
    home.json(&["key", "rotate-token", "--json"]);
    home.json(&["wallet", "balance", "--json"]);
    let (problem, exit) = home.problem(&["--json", "--token-file", old.to_str().unwrap(), "wallet", "balance"]);
    assert_eq!((problem["code"].as_str(), exit), (Some("unauthorized"), 4));

    let asked = Instant::now();
    kill(i64::from(child.id()), "-TERM");
    assert!(child.wait().unwrap().success());
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
    let (problem, exit) = home.problem(&["status", "--json"]);
    assert_eq!((problem["code"].as_str(), exit), (Some("no-node"), 1));

    // A port that another program has is told before a node's folder is made.
    let data = home.folder.path().join("refused");
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let output = home.run(&["up", "--data", data.to_str().unwrap(), "--listen", &listen]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{said}");
    assert!(said.starts_with(&format!("error: up {listen}: another program has this port\nhelp: ")), "{said}");
    assert!(!data.exists());

    // Another node has its port now: that is the one that is asked there, with its own token. Without being named it is not
    // asked in place of the first.
    let api = ready["api"].as_str().unwrap().trim_start_matches("http://");
    let data = home.folder.path().join("second");
    let second = ["up", "--data", data.to_str().unwrap(), "--api", api, "--display", "second", "--json"];
    let mut child = home.command(&second).stdout(Stdio::piped()).spawn().unwrap();
    let (_, _reader) = read_until(&mut child, "\n");
    assert_eq!(home.json(&["--node", api, "status", "--json"])["display"], "second");
    let (problem, exit) = home.problem(&["status", "--json"]);
    assert_eq!((problem["code"].as_str(), exit), (Some("no-node"), 1));
    assert!(problem["remedy"].as_str().unwrap().contains(&format!("--node http://{api}")), "{problem}");
    kill(i64::from(child.id()), "-TERM");
    assert!(child.wait().unwrap().success());
}

#[test]
fn an_app_is_deployed_changed_and_ended() {
    let home = Home::new();
    home.json(&["dev", "--nodes", "1", "--detach", "--json"]);
    let site = home.folder.path().join("blog");
    let site = site.to_str().unwrap();
    home.json(&["init", site, "--json"]);
    let deploy = || {
        let output = home.run(&["deploy", site, "--json"]);
        assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>()
    };
    let lines = deploy();
    let (done, phases) = lines.split_last().unwrap();
    assert!(phases.iter().all(|phase| phase["phase"].is_string() && phase["ms"].is_u64()));
    assert_eq!((done["deployment"].as_str(), done["changed"].as_bool()), (Some("blog"), Some(true)));
    assert!(fetch(done).contains("<h1>blog</h1>"));
    assert_eq!(deploy().last().unwrap()["changed"], false);

    fs::write(Path::new(site).join("public/index.html"), "another page").unwrap();
    let lines = deploy();
    assert_eq!(lines.last().unwrap()["changed"], true);
    until("the new page", || fetch(lines.last().unwrap()).contains("another page"));

    let replicas = home.json(&["ps", "blog", "--json"]);
    assert_eq!(replicas[0]["state"], "running");
    let (problem, exit) = home.problem(&["ps", "shop", "--json"]);
    assert_eq!((problem["code"].as_str(), exit), (Some("not-found"), 3));
    let (problem, exit) = home.problem(&["down", "blog", "--json"]);
    assert_eq!((problem["code"].as_str(), exit), (Some("usage"), 2));
    assert!(problem["remedy"].as_str().unwrap().contains("--yes"), "{problem}");
    assert_eq!(home.json(&["down", "blog", "--yes", "--json"])["deployment"], "blog");
    let (_, exit) = home.problem(&["down", "blog", "--json"]);
    assert_eq!(exit, 3);

    // A damaged cloud is named, and can be stopped and removed all the same.
    let marker = home.cloud().join("cloud.json");
    let whole = fs::read_to_string(&marker).unwrap();
    fs::write(&marker, "{").unwrap();
    let (problem, exit) = home.problem(&["dev", "status", "--json"]);
    assert_eq!((problem["thing"].as_str(), exit), (marker.to_str(), 1));
    assert!(problem["remedy"].as_str().unwrap().contains(&format!("write {whole} into it")), "{problem}");
    assert_eq!(home.json(&["dev", "stop", "--json"])["stopped"], 1);
    assert_eq!(home.json(&["dev", "reset", "--yes", "--json"])["removed"], true);
    assert!(!home.cloud().exists());
}

/// The page at a deployment's URL, asked for by its name at this machine's address.
fn fetch(done: &Value) -> String {
    let url = done["urls"][0].as_str().unwrap();
    let host = url.trim_start_matches("http://").trim_end_matches('/');
    let port = host.rsplit_once(':').unwrap().1;
    let agent = ureq::Agent::new_with_defaults();
    let response = agent.get(format!("http://127.0.0.1:{port}/")).header("host", host).call();
    response.unwrap().body_mut().read_to_string().unwrap()
}
