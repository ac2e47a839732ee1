//! One machine: a home of its own, perhaps a network of its own, and the node that runs on it.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::internet::{Internet, namespace};

/// What must come about before `deadline`.
#[track_caller]
pub(crate) fn until(what: &str, deadline: Instant, mut condition: impl FnMut() -> bool) {
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

pub(crate) struct Machine {
    home: PathBuf,
    /// None is the network that the test itself runs in.
    namespace: Option<String>,
    node: Option<Child>,
    /// What the node announced.
    pub(crate) peer: String,
    gateway: String,
}

impl Machine {
    /// A machine of the internet.
    pub(crate) fn of(internet: &Internet, name: &str) -> Self {
        Self::at(internet.home(name), Some(namespace(name)))
    }

    /// A machine with its home here.
    pub(crate) fn at(home: PathBuf, namespace: Option<String>) -> Self {
        fs::create_dir_all(&home).unwrap();
        Self { home, namespace, node: None, peer: String::new(), gateway: String::new() }
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("ip");
                // It becomes the program, which so has the child's process id.
                command.args(["netns", "exec", namespace, program]);
                command
            }
            None => Command::new(program),
        };
        command
            .args(arguments)
            .env("XDG_DATA_HOME", self.home.join("data"))
            .env("XDG_STATE_HOME", self.home.join("state"))
            .env("GRANGE_LOG", "warn,grange=info,swarm_discovery=error")
            .env_remove("GRANGE_NODE")
            .stdin(Stdio::null());
        command
    }

    /// What `grange` prints and how it ends.
    pub(crate) fn grange(&self, arguments: &[&str]) -> Output {
        self.command(env!("CARGO_BIN_EXE_grange"), arguments).output().unwrap()
    }

    /// `grange up`, until it says that it is ready.
    pub(crate) fn up(&mut self, arguments: &[&str]) {
        let (said, log) = (self.home.join("said"), self.home.join("log"));
        let mut command = self.command(env!("CARGO_BIN_EXE_grange"), &[&["up", "--json"], arguments].concat());
        command.stdout(File::create(&said).unwrap()).stderr(File::create(log).unwrap());
        let child = self.node.insert(command.spawn().unwrap());
        let mut announced = Value::Null;
        until("the node is ready", Instant::now() + Duration::from_secs(30), || {
            assert_eq!(child.try_wait().unwrap(), None, "`grange up` ended");
            announced = serde_json::from_str(&fs::read_to_string(&said).unwrap()).unwrap_or_default();
            announced.is_object()
        });
        self.peer = announced["peer"].as_str().unwrap().into();
        self.gateway = announced["gateway"].as_str().unwrap().trim_start_matches("http://").replace(':', "/");
    }

    /// The last line that a command prints with `--json`.
    #[track_caller]
    pub(crate) fn json(&self, arguments: &[&str]) -> Value {
        let output = self.grange(&[arguments, &["--json"]].concat());
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "grange {arguments:?}: {out} {err}");
        serde_json::from_str(out.lines().last().unwrap_or_default()).unwrap()
    }

    /// What `grange invite` prints: one line of one word.
    pub(crate) fn invitation(&self, arguments: &[&str]) -> String {
        let output = self.grange(&[&["invite"], arguments].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let word = text.strip_suffix('\n').unwrap();
        assert!(word.starts_with("grange1") && word.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
        word.to_owned()
    }

    /// How far its ledger is.
    pub(crate) fn height(&self) -> u64 {
        self.json(&["status"])["height"].as_u64().unwrap()
    }

    /// Whether its link to a peer goes through a relay, if there is one.
    pub(crate) fn relayed(&self, peer: &str) -> Option<bool> {
        let peers = self.json(&["peers"]);
        peers.as_array().unwrap().iter().find(|entry| entry["peer"] == peer)?["relayed"].as_bool()
    }

    /// Whether it lists the offer of a peer.
    pub(crate) fn offers(&self, peer: &str) -> bool {
        self.json(&["offers"]).as_array().unwrap().iter().any(|offer| offer["provider"] == peer)
    }

    /// What its gateway answers for a name: everything that comes, headers first. The shell asks, since whoever asks
    /// must be on the machine and few programs are on all.
    pub(crate) fn get(&self, name: &str) -> String {
        let ask = format!(
            r#"exec 3<>/dev/tcp/{} && printf 'GET / HTTP/1.1\r\nhost: {name}.localhost\r\nconnection: close\r\n\r\n' >&3 && cat <&3"#,
            self.gateway
        );
        let output = self.command("timeout", &["5", "bash", "-c", &ask]).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let Some(mut node) = self.node.take() else { return };
        let _ = node.kill();
        let _ = node.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(self.home.join("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("--- {}\n{}", self.home.display(), lines[lines.len().saturating_sub(20)..].join("\n"));
        }
    }
}
