//! A dev cloud in a folder of its own, driven through the binary and over HTTP.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Four nodes keep two cores busy enough: one cloud at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) struct Cloud {
    pub(crate) root: tempfile::TempDir,
    pub(crate) nodes: Vec<Node>,
    _turn: MutexGuard<'static, ()>,
}

#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) peer: String,
    pub(crate) pid: u32,
    pub(crate) api: String,
    pub(crate) gateway: String,
    pub(crate) token_file: PathBuf,
}

impl Cloud {
    /// A cloud of so many nodes, ready.
    pub(crate) fn start(nodes: usize) -> Self {
        Self::start_with(nodes, &[])
    }

    /// The same, made with more arguments of `grange dev`.
    pub(crate) fn start_with(nodes: usize, arguments: &[&str]) -> Self {
        let turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let mut cloud = Self { root: tempfile::tempdir().unwrap(), nodes: Vec::new(), _turn: turn };
        cloud.resume_with(nodes, arguments);
        let offers = || cloud.json(&["offers"]).as_array().unwrap().len() == nodes;
        until("every node's offer is known", Duration::from_secs(30), offers);
        cloud
    }

    /// Starts whatever of the cloud does not run.
    pub(crate) fn resume(&mut self, nodes: usize) {
        self.resume_with(nodes, &[]);
    }

    fn resume_with(&mut self, nodes: usize, arguments: &[&str]) {
        let made = self.json(&[&["dev", "--nodes", &nodes.to_string(), "--detach"], arguments].concat());
        let node = |entry: &Value| Node {
            peer: entry["peer"].as_str().unwrap().into(),
            pid: entry["pid"].as_u64().unwrap() as u32,
            api: entry["api"].as_str().unwrap().into(),
            gateway: entry["gateway"].as_str().unwrap_or_default().into(),
            token_file: entry["token_file"].as_str().unwrap().into(),
        };
        self.nodes = made["nodes"].as_array().unwrap().iter().map(node).collect();
        assert!(self.nodes.len() >= nodes);
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grange"));
        command
            .args(arguments)
            .env("XDG_DATA_HOME", self.root.path().join("data"))
            .env("XDG_STATE_HOME", self.root.path().join("state"))
            .env_remove("GRANGE_NODE")
            .stdin(std::process::Stdio::null());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs a command with `--json` that must succeed, and reads its last line.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "grange {arguments:?}: {out} {err}");
        assert_eq!(err, "", "grange {arguments:?} --json wrote to stderr");
        serde_json::from_str(out.lines().last().unwrap_or("null"))
            .unwrap_or_else(|_| serde_json::from_str(&out).unwrap())
    }

    /// Runs a command with `--json` that must fail, and reads its one problem.
    #[track_caller]
    pub(crate) fn problem(&self, arguments: &[&str]) -> Value {
        let output = self.run(&[arguments, &["--json"]].concat());
        problem_of(arguments, &output)
    }

    /// The same, asked of a certain node.
    #[track_caller]
    pub(crate) fn json_of(&self, node: usize, arguments: &[&str]) -> Value {
        self.json(&[&["--node", &self.nodes[node].api], arguments].concat())
    }

    /// `kill -9`.
    pub(crate) fn kill(&self, node: usize) {
        let status = Command::new("kill").args(["-9", &self.nodes[node].pid.to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Starts a node that died, and waits until its API answers.
    pub(crate) fn revive(&mut self, node: usize) {
        self.restart(node);
        self.resume(self.nodes.len());
    }

    /// The same while others use the cloud: the new process is not known before the next [`Cloud::resume`].
    pub(crate) fn restart(&self, node: usize) {
        let output = self.run(&["dev", "start", &node.to_string()]);
        assert!(output.status.success(), "node {node}: {}", text(&output.stderr));
    }

    /// The guestbook in a folder of its own, under a name of its own.
    pub(crate) fn guestbook(&self, name: &str, service: &str) -> PathBuf {
        let folder = self.root.path().join(name);
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guestbook");
        std::fs::create_dir_all(folder.join("public")).unwrap();
        std::fs::copy(source.join("guestbook.wasm"), folder.join("guestbook.wasm")).unwrap();
        std::fs::copy(source.join("public/index.html"), folder.join("public/index.html")).unwrap();
        let compose = format!(
            "name: {name}\nx-grange: {{ name: {name}, budget: \"10\" }}\nservices:\n  api:\n    x-grange: {{ wasm: ./guestbook.wasm, route: /entries{service} }}\n"
        );
        std::fs::write(folder.join("compose.yaml"), compose).unwrap();
        folder
    }

    /// What a node wrote to its log.
    pub(crate) fn log(&self, node: usize) -> String {
        let path = self.root.path().join(format!("data/grange/dev/node-{node}/log"));
        std::fs::read_to_string(path).unwrap_or_default()
    }

    /// Where a provider is in the list of nodes.
    pub(crate) fn index_of(&self, peer: &str) -> usize {
        self.nodes.iter().position(|node| node.peer == peer).unwrap()
    }

    /// One request through a node's gateway: its status, or 0, and the body.
    pub(crate) fn get(&self, node: usize, name: &str, path: &str) -> (u16, String) {
        http("GET", &self.nodes[node].gateway, name, path, "")
    }

    pub(crate) fn post(&self, node: usize, name: &str, path: &str, body: &str) -> (u16, String) {
        http("POST", &self.nodes[node].gateway, name, path, body)
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for index in 0..self.nodes.len() {
                let text = self.log(index);
                let lines: Vec<&str> = text.lines().collect();
                eprintln!("--- node {index}\n{}", lines[lines.len().saturating_sub(15)..].join("\n"));
            }
        }
        let _ = self.run(&["dev", "stop"]);
    }
}

/// The one problem of a command that failed under `--json`.
#[track_caller]
pub(crate) fn problem_of(arguments: &[&str], output: &Output) -> Value {
    assert!(!output.status.success(), "grange {arguments:?} succeeded: {}", text(&output.stdout));
    let problem: Value = serde_json::from_slice(&output.stderr).unwrap_or_else(|error| {
        panic!("grange {arguments:?}: stderr is not one object ({error}): {}", text(&output.stderr))
    });
    assert_eq!(problem["exit"], output.status.code().unwrap(), "{problem}");
    for field in ["code", "operation", "thing", "message", "remedy"] {
        assert!(problem[field].is_string(), "{field} of {problem}");
    }
    assert!(problem["findings"].is_array(), "{problem}");
    problem
}

/// The units of a credit.
pub(crate) const UNIT: u128 = 1_000_000_000_000;

/// An amount in units.
pub(crate) fn units(amount: &Value) -> u128 {
    amount.as_str().unwrap().parse::<grange_types::Amount>().unwrap().0
}

pub(crate) fn http(method: &str, gateway: &str, name: &str, path: &str, body: &str) -> (u16, String) {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(5)));
    let agent = ureq::Agent::new_with_config(config.build());
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{gateway}{path}"))
        .header("host", format!("{name}.localhost"))
        .body(body.to_owned())
        .unwrap();
    match agent.run(request) {
        Ok(mut response) => (response.status().as_u16(), response.body_mut().read_to_string().unwrap_or_default()),
        Err(error) => (0, error.to_string()),
    }
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Waits for a condition; says how long it took.
#[track_caller]
pub(crate) fn until(what: &str, within: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < within, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
    started.elapsed()
}
