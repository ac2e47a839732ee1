//! One host: its network, its disk, and the node that runs on it.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::Trouble;
use crate::http::{self, Question};
use crate::tools::Tools;
use crate::wires::{self, inside};

/// Where everything is, on a disk that only the storm sees.
pub(crate) const ROOT: &str = "/run/storm";
/// How large a host's disk is.
const DISK: &str = "192m";
/// What a node logs.
const LOG: &str = "warn,grange=info,iroh::socket::transports::relay=off,swarm_discovery=error";

/// A host and its node.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) name: &'static str,
    /// Its disk, of a size of its own.
    pub(crate) disk: PathBuf,
    /// Where what the node says goes, on another disk: it is read when all is over.
    pub(crate) log: PathBuf,
    grange: PathBuf,
    node: Mutex<Option<Child>>,
}

impl Host {
    /// A host with an empty disk.
    pub(crate) fn make(name: &'static str, grange: &Path, logs: &Path) -> Result<Self, Trouble> {
        let disk = Path::new(ROOT).join(name);
        fs::create_dir_all(&disk)?;
        wires::run("mount", &format!("-t tmpfs -o size={DISK},mode=700 none {}", disk.display()))?;
        Ok(Self {
            name,
            disk,
            log: logs.join(format!("{name}.log")),
            grange: grange.to_path_buf(),
            node: Mutex::new(None),
        })
    }

    /// The node's folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.disk.join("node")
    }

    /// A command of `grange` on this host, in its network when it is started from there.
    pub(crate) fn grange(&self) -> Command {
        let mut command = Command::new(&self.grange);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.disk)
            .env("XDG_DATA_HOME", self.disk.join("data"))
            .env("XDG_STATE_HOME", self.disk.join("state"))
            .env("RUST_BACKTRACE", "1")
            .stdin(Stdio::null());
        command
    }

    /// A command about the host's node, and the last line that it prints.
    pub(crate) fn command(&self, words: &[&str]) -> Result<Value, Trouble> {
        let mut command = self.grange();
        command.args(["--json", "--node", &format!("http://{}", http::API), "--token-file"]);
        command.arg(self.data().join("token")).args(words);
        let output = inside(self.name, move || command.output())??;
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if !output.status.success() {
            return Err(format!("grange {} at {}: {} {}", words.join(" "), self.name, out.trim(), err.trim()).into());
        }
        // Most print one object over many lines, some a line each.
        let whole = serde_json::from_str(&out);
        Ok(whole.or_else(|_| serde_json::from_str(out.lines().last().unwrap_or_default()))?)
    }

    /// Starts the node if it does not run, perhaps with a clock that is wrong by so many seconds. Does not wait for it.
    pub(crate) fn start(&self, words: &[&str], clock: Option<i64>, tools: &Tools) -> Result<(), Trouble> {
        if self.pid().is_some() {
            return Ok(());
        }
        let log = || OpenOptions::new().create(true).append(true).open(&self.log);
        let mut command = self.grange();
        command.arg("up").arg("--data").arg(self.data()).args(words).env("GRANGE_LOG", LOG);
        command.stdout(log()?).stderr(log()?);
        if let (Some(seconds), Some(library)) = (clock, &tools.faketime) {
            // Only the time of day is wrong. A clock that counts on does so at every speed of the other.
            command.env("LD_PRELOAD", library).env("FAKETIME", format!("{seconds:+}s"));
            command.env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("DONT_FAKE_MONOTONIC", "1");
        }
        *self.node() = Some(inside(self.name, move || command.spawn())??);
        Ok(())
    }

    fn node(&self) -> MutexGuard<'_, Option<Child>> {
        self.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The node's process, while there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.node().as_ref().map(Child::id)
    }

    /// How the node ended, if it did since this was asked last.
    pub(crate) fn ended(&self) -> Result<Option<ExitStatus>, Trouble> {
        let mut node = self.node();
        let Some(child) = node.as_mut() else { return Ok(None) };
        let status = child.try_wait()?;
        if status.is_some() {
            *node = None;
        }
        Ok(status)
    }

    pub(crate) fn signal(&self, signal: Signal) -> Result<(), Trouble> {
        let pid = self.pid().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        Ok(pid.map_or(Ok(()), |pid| kill_process(pid, signal))?)
    }

    /// `kill -9`; the process is gone when this returns.
    pub(crate) fn kill(&self) -> Result<(), Trouble> {
        if let Some(mut node) = self.node().take() {
            node.kill()?;
            node.wait()?;
        }
        Ok(())
    }

    /// A line of the storm in the host's log, so that the two are read side by side.
    pub(crate) fn note(&self, line: &str) -> Result<(), Trouble> {
        use std::io::Write;
        let mut log: File = OpenOptions::new().create(true).append(true).open(&self.log)?;
        Ok(writeln!(log, "=== storm: {line}")?)
    }

    /// An answer of the node's API.
    pub(crate) fn api(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, Trouble> {
        let text = self.api_text(method, path, body, Duration::from_secs(15))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// The same as it came.
    pub(crate) fn api_text(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> Result<String, Trouble> {
        let token = fs::read_to_string(self.data().join("token"))?;
        let bearer = format!("Bearer {}", token.trim());
        let question = Question { method, door: http::API, path, header: ("authorization", &bearer), body, within };
        let (status, text) = inside(self.name, || http::ask(&question))?;
        if status == 200 { Ok(text) } else { Err(format!("{method} {path} at {}: {status} {text}", self.name).into()) }
    }

    /// What the host's gateway answers for an app.
    pub(crate) fn page(
        &self,
        method: &str,
        app: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(u16, String), Trouble> {
        let name = format!("{app}.localhost");
        let within = Duration::from_secs(5);
        let question = Question { method, door: http::GATEWAY, path, header: ("host", &name), body, within };
        inside(self.name, || http::ask(&question))
    }
}
