//! Starts nodes of a dev cloud as processes of their own, and waits until they are ready.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use grange_api::{Problem, ProblemCode};
use ureq::Agent;

use super::cloud::Node;
use crate::failure::internal;
use crate::output::Output;
use crate::process::{self, Identity};
use crate::stop_signal::StopSignal;

/// How long all nodes together may take to be ready. Starting from nothing takes two seconds.
const READY: Duration = Duration::from_secs(60);
/// How often a node is asked.
const ASK: Duration = Duration::from_millis(25);
/// How long a node may take to say whether it is ready.
const ANSWER: Duration = Duration::from_secs(2);
/// After this, and each time as long, who waits is told for what.
const TELL: Duration = Duration::from_secs(3);
/// A log longer than this is put aside when its node starts.
const LOG_BYTES: u64 = 16 << 20;
/// How much of a log's end is searched for the reason why a node ended.
const TAIL_BYTES: i64 = 4 << 10;

/// Whether nodes end with this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tie {
    /// They do.
    Foreground,
    /// They outlive it.
    Detached,
}

/// A node and the process that was started for it.
pub(crate) struct Started {
    pub(crate) node: Node,
    pub(crate) child: Child,
}

/// What came of waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waited {
    /// All are ready.
    Ready,
    /// Somebody wished to stop.
    Stopped,
}

/// Starts one node. Called from the main thread: in the foreground, a node's life is tied to the thread that began it.
pub(crate) fn start(node: &Node, tie: Tie) -> Result<Started, Problem> {
    let failed = |error: io::Error| internal("dev start", node.settings.display.clone(), &error);
    process::close_on_exec().map_err(failed)?;
    let log = open_log(&node.log()).map_err(failed)?;
    let errors = log.try_clone().map_err(failed)?;
    let executable = std::env::current_exe().map_err(failed)?;
    let mut command = Command::new(executable);
    command.arg("up").arg("--data").arg(&node.folder.0);
    match tie {
        // In a group of its own: Ctrl-C is for whoever keeps the nodes, who then stops them in order.
        Tie::Foreground => command.arg("--supervised-by").arg(std::process::id().to_string()).process_group(0),
        // It makes a session of its own, and with it a group.
        Tie::Detached => command.arg("--detached"),
    };
    command.env_remove("GRANGE_NODE").current_dir(&node.folder.0);
    let child = command.stdin(Stdio::null()).stdout(log).stderr(errors).spawn().map_err(failed)?;
    // A process that has ended already has no identity; whoever waits for it finds out why.
    if let Some(identity) = Identity::of(child.id().cast_signed()) {
        identity.write(&node.pid_file()).map_err(failed)?;
    }
    Ok(Started { node: node.clone(), child })
}

/// Waits until nodes are ready. `started` are those among them whose end would be in vain to wait for.
pub(crate) fn wait_ready(
    nodes: &[Node],
    started: &mut [Started],
    stop: Option<&StopSignal>,
    output: Output,
) -> Result<Waited, Problem> {
    let agent = crate::client::agent();
    let began = Instant::now();
    let mut told = began;
    let mut waiting: Vec<(&Node, String)> = nodes.iter().map(|node| (node, "no answer yet".to_owned())).collect();
    loop {
        waiting.retain_mut(|(node, reason)| match readiness(&agent, node) {
            Ok(()) => false,
            Err(why) => {
                *reason = why;
                true
            }
        });
        let Some((node, reason)) = waiting.first() else {
            return Ok(Waited::Ready);
        };
        if stop.is_some_and(|stop| stop.within(Duration::ZERO)) {
            return Ok(Waited::Stopped);
        }
        for Started { node, child } in &mut *started {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(ended("dev", node, &status.to_string()));
            }
        }
        if began.elapsed() >= READY {
            let message = format!("node {} was not ready within {} s: {reason}", node.index, READY.as_secs());
            return Err(Problem::new(ProblemCode::Timeout, "dev", node.settings.display.clone(), message)
                .with_remedy(format!("look at {}", node.log().display())));
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            let names: Vec<&str> = waiting.iter().map(|(node, _)| node.settings.display.as_str()).collect();
            let (seconds, limit) = (began.elapsed().as_secs(), READY.as_secs());
            output.progress(&format!("waiting for {}: {reason} ({seconds} s of at most {limit} s)", names.join(", ")));
        }
        match stop {
            Some(stop) if stop.within(ASK) => return Ok(Waited::Stopped),
            Some(_) => {}
            None => std::thread::sleep(ASK),
        }
    }
}

/// Waits until one node answers, and for so much longer until it is ready; the inner result says what it lacks.
pub(crate) fn wait_answers(
    node: &Node,
    started: &mut [Started],
    patience: Duration,
) -> Result<Result<(), String>, Problem> {
    let agent = crate::client::agent();
    let began = Instant::now();
    let mut answered = None;
    loop {
        let ready = readiness(&agent, node);
        if ready.is_ok() {
            return Ok(ready);
        }
        for Started { node, child } in &mut *started {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(ended("dev start", node, &status.to_string()));
            }
        }
        if answered.is_none() && crate::choice::is_there(&node.entry()) {
            answered = Some(Instant::now());
        }
        if answered.is_some_and(|answered| answered.elapsed() >= patience) {
            return Ok(ready);
        }
        if began.elapsed() >= READY {
            let message = format!("node {} did not answer within {} s", node.index, READY.as_secs());
            return Err(Problem::new(ProblemCode::Timeout, "dev start", node.settings.display.clone(), message)
                .with_remedy(format!("look at {}", node.log().display())));
        }
        std::thread::sleep(ASK);
    }
}

/// Whether a node can do all that its roles promise, or what it waits for.
pub(crate) fn readiness(agent: &Agent, node: &Node) -> Result<(), String> {
    // Another one may have its port by now.
    if !crate::choice::is_there(&node.entry()) {
        return Err("it does not answer".to_owned());
    }
    let request = agent.get(format!("{}/readyz", node.api())).config().timeout_global(Some(ANSWER)).build();
    match request.call() {
        Ok(response) if response.status().is_success() => Ok(()),
        Ok(mut response) => {
            let problem = response.body_mut().read_json::<Problem>();
            Err(problem.map_or_else(|_| "it does not say why".to_owned(), |problem| problem.message))
        }
        Err(_) => Err("no answer yet".to_owned()),
    }
}

/// The problem of a node that ended before it was ready.
fn ended(operation: &str, node: &Node, status: &str) -> Problem {
    let last = last_line(&node.log()).map_or_else(String::new, |line| format!(": {line}"));
    let message = format!("node {} ended before it was ready, {status}{last}", node.index);
    Problem::new(ProblemCode::Internal, operation, node.settings.display.clone(), message)
        .with_remedy(format!("look at {}", node.log().display()))
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_BYTES) {
        fs::rename(path, path.with_extension("old"))?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

/// The last line that says why: an error where there is one near the end.
fn last_line(log: &Path) -> Option<String> {
    let mut file = File::open(log).ok()?;
    let length = i64::try_from(file.metadata().ok()?.len()).ok()?;
    file.seek(SeekFrom::End(-length.min(TAIL_BYTES))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let error = text.lines().rev().find(|line| line.starts_with("error: "));
    error.or_else(|| text.lines().rev().find(|line| !line.trim().is_empty())).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_found_near_the_end_of_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        assert_eq!(last_line(&log), None);
        fs::write(&log, "one\nerror: up node: the disk is full\nhelp: make room\n\n").unwrap();
        assert_eq!(last_line(&log).unwrap(), "error: up node: the disk is full");
        fs::write(&log, "x\n".repeat(9_000) + "last\n").unwrap();
        assert_eq!(last_line(&log).unwrap(), "last");
    }

    #[test]
    fn a_long_log_is_put_aside() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::File::create(&log).unwrap().set_len(LOG_BYTES + 1).unwrap();
        assert_eq!(open_log(&log).unwrap().metadata().unwrap().len(), 0);
        assert!(log.with_extension("old").exists());
    }
}
