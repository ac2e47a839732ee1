//! `grange dev`: a cloud of independent operators on one machine, each node a process of its own.

mod cloud;
mod report;
mod running;
mod start;
mod supervise;
mod wanted;

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use grange_api::{Problem, ProblemCode};

use crate::arguments::{Dev, DevAction};
use crate::failure::{Outcome, internal};
use crate::folders;
use crate::output::{Output, counted};
use crate::process::{self, Identity};
use crate::registry;
use crate::up::Held;

pub(crate) use cloud::{Cloud, TOUR_FOLDER};
pub(crate) use report::nodes as show_nodes;
pub(crate) use supervise::{Ending, Ends, Stopping, supervise};
pub(crate) use wanted::Wanted;

use running::{GRACE, bring_up, stop_started};
use start::{Tie, wait_ready};

/// How long a single node that is started again is waited for once its API answers: it may depend on others that are
/// still down.
const ALONE: Duration = Duration::from_secs(5);

/// Carries out what was typed after `grange dev`.
pub(crate) fn run(arguments: &Dev, output: Output) -> Outcome {
    let folder = folder(arguments.data.as_deref())?;
    match &arguments.action {
        None if arguments.detach => detach(arguments, &folder, output),
        None => supervise(&folder, Wanted::of(arguments), Ends::All, output, supervise::foreground),
        Some(DevAction::Stop) => stop(&folder, output),
        Some(DevAction::Start { index, rules }) => start_one(&folder, *index, *rules, output),
        Some(DevAction::Status) => report::status(&folder, output),
        Some(DevAction::Reset { yes }) => reset(&folder, *yes, output),
    }
}

/// The folder of the cloud, absolute.
pub(crate) fn folder(given: Option<&Path>) -> Result<PathBuf, Problem> {
    match given {
        Some(folder) => folders::absolute(folder),
        None => folders::dev(),
    }
}

fn detach(arguments: &Dev, folder: &Path, output: Output) -> Outcome {
    let began = Instant::now();
    let mut running = bring_up(folder, Wanted::of(arguments), Tie::Detached)?;
    report::progress(&running, output);
    if let Err(problem) = wait_ready(&running.cloud.nodes, &mut running.started, None, output) {
        stop_started(&running.started);
        return Err(problem.into());
    }
    let (option, seconds) = (folders::dev_option(folder), began.elapsed().as_secs_f64());
    output.progress(&format!("ready after {seconds:.2} s; `grange dev stop{option}` stops it"));
    report::asked_before(folder, &running.cloud, output);
    report::nodes(&running.cloud, output)
}

/// Stops all processes of a cloud.
pub(crate) fn stop(folder: &Path, output: Output) -> Outcome {
    if !cloud::is_made(folder) && Cloud::supervisor(folder).is_none() && cloud::processes_in(folder).is_empty() {
        return Err(Cloud::none(folder, "dev stop").into());
    }
    let stopped = end_processes(folder, "dev stop")?;
    output.show(&serde_json::json!({ "stopped": stopped }), |_| match stopped {
        0 => "nothing was running".to_owned(),
        _ => format!("the dev cloud is stopped; `grange dev{}` starts it again", folders::dev_option(folder)),
    })
}

/// Ends all processes of a cloud, first the one in whose foreground it runs, and says how many there were. Asks no more of
/// the cloud's files than who they are: also a damaged one can be stopped.
fn end_processes(folder: &Path, operation: &str) -> Result<usize, Problem> {
    let failed = |error: process::Unkillable| internal(operation, folder.display().to_string(), &error);
    let supervisor: Vec<Identity> = Cloud::supervisor(folder).into_iter().collect();
    process::stop(&supervisor, GRACE + Duration::from_secs(1)).map_err(failed)?;
    let _held = Held::wait(folder, operation)?;
    let processes = cloud::processes_in(folder);
    process::stop(&processes, GRACE).map_err(failed)?;
    Ok(processes.len() + supervisor.len())
}

fn start_one(folder: &Path, index: u32, rules: Option<u16>, output: Output) -> Outcome {
    let cloud = Cloud::existing(folder, "dev start")?;
    let Some(node) = cloud.nodes.get(index as usize) else {
        let message = format!("there are nodes 0 to {}", cloud.nodes.len().saturating_sub(1));
        return Err(Problem::new(ProblemCode::NotFound, "dev start", index.to_string(), message)
            .with_remedy(format!("see `grange dev status{}`", folders::dev_option(folder)))
            .into());
    };
    let held = Held::wait(folder, "dev start")?;
    let mut started = match node.process() {
        Some(_) if rules.is_some() => {
            let message = "the node runs, and the rules it follows change only with a start";
            return Err(Problem::new(ProblemCode::Conflict, "dev start", index.to_string(), message)
                .with_remedy("end its process first; `grange dev status` shows it")
                .into());
        }
        Some(_) => Vec::new(),
        None if rules.is_some() => {
            node.follow(rules)?;
            vec![start::start(node, Tie::Detached)?]
        }
        None => vec![start::start(node, Tie::Detached)?],
    };
    drop(held);
    registry::add(&folders::registry()?, &[node.entry()])
        .map_err(|error| internal("dev start", "nodes.json", &error))?;
    let ready = start::wait_answers(node, &mut started, ALONE)?;
    if let Err(reason) = &ready {
        output.progress(&format!("node {index} runs and is not ready yet: {reason}"));
    }
    let row = report::Row::of(node);
    output.show(&row, |row| format!("node {index} ({}) runs as process {}", row.display, row.pid.unwrap_or_default()))
}

fn reset(folder: &Path, yes: bool, output: Output) -> Outcome {
    if !cloud::is_made(folder) {
        return output.show(&serde_json::json!({ "removed": false }), |_| "there is no dev cloud to remove".to_owned());
    }
    let count = counted(cloud::node_folders(folder).len(), "node", "nodes");
    let question = format!("remove the dev cloud of {count} in {}, with its money and all data?", folder.display());
    if !yes && !confirmed("dev reset", &folder.display().to_string(), &question)? {
        return output.show(&serde_json::json!({ "removed": false }), |_| "nothing was removed".to_owned());
    }
    end_processes(folder, "dev reset")?;
    let _held = Held::wait(folder, "dev reset")?;
    cloud::remove(folder)?;
    registry::remove(&folders::registry()?, folder).map_err(|error| internal("dev reset", "nodes.json", &error))?;
    output.show(&serde_json::json!({ "removed": true }), |_| "the dev cloud is removed".to_owned())
}

/// Asks the person at the terminal; refuses where there is none.
pub(crate) fn confirmed(operation: &str, thing: &str, question: &str) -> Result<bool, Problem> {
    if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
        let problem = Problem::new(ProblemCode::Usage, operation, thing, "there is no terminal to ask at");
        return Err(problem.with_remedy("say --yes to do it without being asked"));
    }
    let failed = |error: io::Error| internal(operation, "terminal", &error);
    write!(io::stderr(), "{question} [y/N] ").map_err(failed)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).map_err(failed)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
