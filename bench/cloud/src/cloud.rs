//! Clouds of real `grange` processes: started, asked, and ended whatever happens.
//!
//! # Rules
//! - A cloud lives in a folder of its own, in which also the commands keep what they know.
//! - Upon the end of a benchmark, by success, failure or panic: its processes are stopped and its folder is removed.
//! - Upon a signal: [`end_all`] does the same. Nodes of our own end with us in any case.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use grange_node::Folder;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::{Fault, http};

/// The cloud that the promises are about: one of four may fail.
pub(crate) const NODES: usize = 4;

/// How long nodes with a large ledger may take to read it and to find each other.
const READY: Duration = Duration::from_secs(600);
/// How long the offers of a new cloud may take to be known everywhere.
const OFFERS: Duration = Duration::from_secs(30);
/// How long a node may take to stop by itself.
const GRACE: Duration = Duration::from_secs(6);
/// How often something is looked at that one waits for.
const LOOK: Duration = Duration::from_millis(50);
/// How much of a node's log is shown when it does not start.
const LOG_LINES: usize = 5;

/// What runs now: the program and the folder of each cloud, for the case that this program is told to stop.
static RUNNING: Mutex<Vec<(PathBuf, PathBuf)>> = Mutex::new(Vec::new());

/// Which program is measured, and on which disk.
#[derive(Debug, Clone)]
pub(crate) struct Setting {
    pub(crate) grange: PathBuf,
    data: Option<PathBuf>,
}

/// A cloud that runs.
pub(crate) struct Cloud {
    grange: PathBuf,
    pub(crate) nodes: Vec<Node>,
    /// The nodes' processes, where this program started them itself.
    children: Vec<Child>,
    root: TempDir,
}

/// One of its nodes.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) peer: String,
    pub(crate) pid: u32,
    pub(crate) api: SocketAddr,
    pub(crate) gateway: SocketAddr,
    pub(crate) data: PathBuf,
}

impl Setting {
    pub(crate) fn new(grange: &Path, data: Option<PathBuf>) -> Result<Self, Fault> {
        let grange = fs::canonicalize(grange).map_err(|error| {
            let build = "build it with `cargo build --release -p grange`, or name another one with --grange";
            format!("{}: {error}; {build}", grange.display())
        })?;
        Ok(Self { grange, data })
    }

    /// A new folder on the disk to measure.
    pub(crate) fn folder(&self) -> Result<TempDir, Fault> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("grange-bench-");
        Ok(match &self.data {
            Some(data) => builder.tempdir_in(data)?,
            None => builder.tempdir()?,
        })
    }
}

impl Cloud {
    /// A dev cloud as everybody starts it, once all its nodes know all offers.
    pub(crate) fn start(setting: &Setting) -> Result<Self, Fault> {
        let mut cloud = Self::empty(setting, setting.folder()?);
        let folder = cloud.dev_folder();
        let made =
            cloud.json(&["dev", "--nodes", &NODES.to_string(), "--detach", "--data", &folder.to_string_lossy()])?;
        let nodes = made["nodes"].as_array().map_or(&[][..], Vec::as_slice);
        cloud.nodes = nodes.iter().map(Node::read).collect::<Result<_, _>>()?;
        for node in &cloud.nodes {
            let api = format!("http://{}", node.api);
            let known = || Ok(cloud.json(&["--node", &api, "offers"])?.as_array().map_or(0, Vec::len) == NODES);
            until("every node knows every offer", OFFERS, known)?;
        }
        Ok(cloud)
    }

    /// A cloud of folders that were made beforehand below `root`, once all its nodes are ready.
    pub(crate) fn supervise(setting: &Setting, root: TempDir, folders: &[Folder]) -> Result<Self, Fault> {
        let mut cloud = Self::empty(setting, root);
        for folder in folders {
            let log = File::create(folder.at("log"))?;
            let mut command = cloud.command(&["up", "--supervised-by", &std::process::id().to_string(), "--data"]);
            let child = command.arg(&folder.0).stdout(log.try_clone()?).stderr(log).spawn()?;
            let settings = folder.read_settings()?;
            cloud.nodes.push(Node {
                peer: folder.read_key()?.public().peer().to_string(),
                pid: child.id(),
                api: settings.api,
                gateway: settings.gateway,
                data: folder.0.clone(),
            });
            cloud.children.push(child);
        }
        let nodes = cloud.nodes.clone();
        for (index, node) in nodes.iter().enumerate() {
            let ready = || {
                if let Some(status) = cloud.children[index].try_wait()? {
                    return Err(format!("node {index} ended, {status}:\n{}", node.last_words()).into());
                }
                Ok(http::get(node.api, "localhost", "/readyz").is_ok_and(|answer| answer.is_success()))
            };
            until("the nodes are ready", READY, ready)?;
        }
        Ok(cloud)
    }

    fn empty(setting: &Setting, root: TempDir) -> Self {
        let entry = (setting.grange.clone(), root.path().to_path_buf());
        RUNNING.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
        Self { grange: setting.grange.clone(), nodes: Vec::new(), children: Vec::new(), root }
    }

    fn dev_folder(&self) -> PathBuf {
        dev_folder(self.root.path())
    }

    /// The folder in which it all is.
    pub(crate) fn root(&self) -> &Path {
        self.root.path()
    }

    /// A command of this cloud's user.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        command(&self.grange, self.root.path(), arguments)
    }

    /// Runs a command with `--json` that must succeed, and reads its last line.
    pub(crate) fn json(&self, arguments: &[&str]) -> Result<Value, Fault> {
        let output = self.command(arguments).arg("--json").output()?;
        if !output.status.success() {
            let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(format!("grange {}: {told}", arguments.join(" ")).into());
        }
        let text = String::from_utf8(output.stdout)?;
        Ok(serde_json::from_str(text.lines().last().unwrap_or("null"))?)
    }

    /// `kill -9`.
    pub(crate) fn kill(&self, index: usize) -> Result<(), Fault> {
        signal(self.nodes[index].pid, Signal::KILL)
    }

    /// Which node has this key.
    pub(crate) fn index_of(&self, peer: &str) -> Result<usize, Fault> {
        let found = self.nodes.iter().position(|node| node.peer == peer);
        found.ok_or_else(|| format!("no node of the cloud has the key {peer}").into())
    }

    /// Ends all processes; the folder stays until the end of the value.
    pub(crate) fn stop(&mut self) {
        for child in &self.children {
            // Whoever has ended already needs no signal.
            let _ = signal(child.id(), Signal::TERM);
        }
        let asked = Instant::now();
        for child in &mut self.children {
            while asked.elapsed() < GRACE && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(LOOK);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        self.children.clear();
        stop_dev(&self.grange, self.root.path());
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.stop();
        let mut running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
        running.retain(|(_, root)| root != self.root.path());
    }
}

impl Node {
    fn read(entry: &Value) -> Result<Self, Fault> {
        let text = |field: &str| entry[field].as_str().ok_or_else(|| format!("`grange dev` gives no {field}"));
        let address = |field: &str| Ok::<_, Fault>(text(field)?.trim_start_matches("http://").parse::<SocketAddr>()?);
        let pid = entry["pid"].as_u64().ok_or("`grange dev` gives no pid")?;
        Ok(Self {
            peer: text("peer")?.to_owned(),
            pid: u32::try_from(pid)?,
            api: address("api")?,
            gateway: address("gateway")?,
            data: text("data")?.into(),
        })
    }

    /// The secret of its API.
    pub(crate) fn token(&self) -> Result<String, Fault> {
        Ok(fs::read_to_string(Folder(self.data.clone()).token())?.trim().to_owned())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.data.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
    }
}

/// Ends every cloud and removes its folder, because this program ends before they were done.
pub(crate) fn end_all() {
    for (grange, root) in RUNNING.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        stop_dev(&grange, &root);
        // Whatever cannot be removed is in the system's folder for such things.
        let _ = fs::remove_dir_all(root);
    }
}

/// Waits for a condition.
pub(crate) fn until(
    what: &str,
    within: Duration,
    mut condition: impl FnMut() -> Result<bool, Fault>,
) -> Result<(), Fault> {
    let began = Instant::now();
    while !condition()? {
        if began.elapsed() >= within {
            return Err(format!("not within {} s: {what}", within.as_secs()).into());
        }
        thread::sleep(LOOK);
    }
    Ok(())
}

fn command(grange: &Path, root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(grange);
    command
        .args(arguments)
        .env("XDG_DATA_HOME", root.join("data"))
        .env("XDG_STATE_HOME", root.join("state"))
        .env_remove("GRANGE_NODE")
        .env_remove("GRANGE_LOG")
        .stdin(Stdio::null());
    command
}

fn dev_folder(root: &Path) -> PathBuf {
    root.join("cloud")
}

/// Stops the dev cloud below `root`, if there is one.
fn stop_dev(grange: &Path, root: &Path) {
    let folder = dev_folder(root);
    if folder.is_dir() {
        let arguments = ["dev", "stop", "--data", &folder.to_string_lossy()];
        // Nobody is left to be told.
        let _ = command(grange, root, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    }
}

fn signal(pid: u32, signal: Signal) -> Result<(), Fault> {
    let pid = Pid::from_raw(i32::try_from(pid)?).ok_or("a process has a number above zero")?;
    Ok(kill_process(pid, signal)?)
}
