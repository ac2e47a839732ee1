//! A dev cloud in the foreground: it lives as long as the command, and not a moment longer.
//!
//! # Rules
//! - The main thread starts the nodes and does nothing that could keep it from stopping them; what the command does
//!   meanwhile has a thread of its own.
//! - Upon a wish to stop: all nodes are stopped, also those that another command started, and the exit code is 0. A tour is
//!   a guest in a cloud that ran before: it stops only the nodes that it started.
//! - Upon a node that ends: that is said, and it stays so until `grange dev start`.
//! - Upon the end of this process by force: the system ends the nodes that it started.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use grange_api::{Problem, ProblemCode};

use super::cloud::{Cloud, supervisor_file};
use super::report;
use super::running::{bring_up, stop_started};
use super::start::{Started, Tie, Waited, wait_ready};
use super::wanted::Wanted;
use crate::failure::{Failure, Outcome, internal};
use crate::folders;
use crate::output::Output;
use crate::process::{self, Identity};
use crate::stop_signal::StopSignal;

/// How long nodes may take to stop by themselves; with what comes after it stays below five seconds.
const GRACE: Duration = Duration::from_millis(4_000);
/// How often nodes are looked at.
const LOOK: Duration = Duration::from_millis(200);

/// How the foreground's own work ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The cloud stays until somebody stops it.
    WhenStopped,
}

/// Which nodes end with the command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ends {
    /// All of the cloud.
    All,
    /// Those that it started, where some ran before; else all.
    Own,
}

/// Whether the cloud is being stopped, for work that would else wonder why nobody answers it.
#[derive(Debug, Clone)]
pub(crate) struct Stopping {
    begun: Arc<AtomicBool>,
    ends: Ends,
}

impl Stopping {
    pub(crate) fn is_true(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// Whether the cloud ran before the command, and goes on after it.
    pub(crate) fn leaves_cloud(&self) -> bool {
        self.ends == Ends::Own
    }
}

/// Runs a cloud until somebody wishes that it stops. `work` begins once all nodes are ready.
pub(crate) fn supervise(
    folder: &Path,
    wanted: Wanted,
    ends: Ends,
    output: Output,
    work: impl FnOnce(&Cloud, Output, &Stopping) -> Result<Ending, Failure> + Send + 'static,
) -> Outcome {
    let stop = StopSignal::listen().map_err(|error| internal("dev", "signals", &error))?;
    let running = bring_up(folder, wanted, Tie::Foreground)?;
    let _name = Name::put(folder);
    report::progress(&running, output);
    let (cloud, mut started) = (Arc::new(running.cloud), running.started);
    let ends = if started.len() == cloud.nodes.len() { Ends::All } else { ends };
    match wait_ready(&cloud.nodes, &mut started, Some(&stop), output) {
        Ok(Waited::Ready) => {}
        Ok(Waited::Stopped) => return end(&cloud, &mut started, ends, output),
        Err(problem) => {
            stop_started(&started);
            return Err(problem.into());
        }
    }
    let (done, work_done) = mpsc::channel();
    let (shared, stopping) = (Arc::clone(&cloud), Stopping { begun: Arc::default(), ends });
    let told = stopping.clone();
    // Ends with the process, wherever it is.
    thread::spawn(move || done.send(work(&shared, output, &told)));
    let result = watch(&cloud, &mut started, &stop, &work_done, output);
    stopping.begun.store(true, Ordering::Relaxed);
    end(&cloud, &mut started, ends, output).and(result)
}

/// What `dev` in the foreground says once all nodes are ready, before it waits.
pub(crate) fn foreground(cloud: &Cloud, output: Output, _stopping: &Stopping) -> Result<Ending, Failure> {
    report::asked_before(&cloud.folder, cloud, output);
    report::nodes(cloud, output)?;
    output.progress("Ctrl-C stops it; its ledger, money and data stay");
    Ok(Ending::WhenStopped)
}

/// Waits for a wish to stop, or for a reason to.
fn watch(
    cloud: &Cloud,
    started: &mut Vec<Started>,
    stop: &StopSignal,
    work: &Receiver<Result<Ending, Failure>>,
    output: Output,
) -> Outcome {
    while !stop.within(LOOK) {
        match work.try_recv() {
            Ok(Err(failure)) => return Err(failure),
            Ok(Ok(Ending::WhenStopped)) | Err(TryRecvError::Empty | TryRecvError::Disconnected) => {}
        }
        started.retain_mut(|Started { node, child }| match child.try_wait() {
            Ok(Some(status)) => {
                let (index, display, option) = (node.index, &node.settings.display, folders::dev_option(&cloud.folder));
                output.notice(&format!(
                    "node {index} ({display}) ended, {status}; `grange dev start {index}{option}` starts it again"
                ));
                false
            }
            _ => true,
        });
        if started.is_empty() && cloud.processes().is_empty() {
            // `dev stop` ends this process before its nodes, so they did not end by that.
            if stop.within(LOOK) {
                break;
            }
            let folder = cloud.folder.display().to_string();
            return Err(Problem::new(ProblemCode::Internal, "dev", folder, "every node has ended")
                .with_remedy("look at the file `log` in each node's folder; `grange dev` starts them again")
                .into());
        }
    }
    Ok(())
}

fn end(cloud: &Cloud, started: &mut [Started], ends: Ends, output: Output) -> Outcome {
    let began = Instant::now();
    let processes = match ends {
        Ends::All => cloud.processes(),
        Ends::Own => started.iter().filter_map(|started| started.node.process()).collect(),
    };
    if ends == Ends::Own {
        let option = folders::dev_option(&cloud.folder);
        output.progress(&format!("the cloud ran before and goes on; `grange dev stop{option}` stops it"));
    }
    if processes.is_empty() {
        return Ok(());
    }
    output.progress("stopping");
    let stopped = process::stop(&processes, GRACE);
    for Started { child, .. } in started {
        // They have ended; this takes their exit codes.
        let _ = child.try_wait();
    }
    stopped.map_err(|error| internal("dev", cloud.folder.display().to_string(), &error))?;
    output.progress(&format!("stopped after {:.2} s", began.elapsed().as_secs_f64()));
    Ok(())
}

/// The file that names this process, so that `dev stop` ends it first.
struct Name<'a> {
    folder: &'a Path,
    own: Option<Identity>,
}

impl<'a> Name<'a> {
    fn put(folder: &'a Path) -> Self {
        let own = Identity::own().filter(|own| {
            // Whoever was there before keeps its place: it is as well stopped by its nodes.
            Cloud::supervisor(folder).is_none() && own.write(&supervisor_file(folder)).is_ok()
        });
        Self { folder, own }
    }
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        let file = supervisor_file(self.folder);
        if self.own.is_some() && Identity::read(&file) == self.own {
            let _ = std::fs::remove_file(file);
        }
    }
}
