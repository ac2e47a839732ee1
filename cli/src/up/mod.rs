//! `grange up`: one node, in the foreground.

mod folder;
mod found;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use grange_api::{Problem, ProblemCode};
use grange_types::PeerId;
use rustix::process::{Pid, Signal};
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::arguments::Up;
use crate::failure::{Failure, Outcome, internal};
use crate::folders;
use crate::node_process::{self, Folder, Ready};
use crate::output::Output;
use crate::registry::{self, Entry, Kind};
use crate::stop_signal::Wish;

use folder::Fresh;
pub(crate) use folder::{FILE as HELD_FILE, Held};
pub(crate) use found::{BASE_PRICES, secret_key, settings_problem};

/// How long a node may take to stop by itself. With what comes after it stays below five seconds.
const GRACE: Duration = Duration::from_millis(3_500);
/// What is logged where `GRANGE_LOG` says nothing: to a person, and to a file. When an endpoint closes, its relay
/// transport calls that an error, which it is not; and a machine without multicast would be told so every second.
const LOG_TERMINAL: &str = "warn,iroh::socket::transports::relay=off,swarm_discovery=error";
const LOG_FILE: &str = "warn,grange=info,iroh::socket::transports::relay=off,swarm_discovery=error";

/// What `--json` prints once the node is ready.
#[derive(Debug, Serialize)]
struct Running {
    peer: PeerId,
    pid: u32,
    api: String,
    token_file: PathBuf,
    gateway: String,
    data: PathBuf,
}

/// Runs a node until it is asked to stop.
pub(crate) fn run(arguments: &Up, output: Output) -> Outcome {
    let kept = arguments.supervised_by.is_some() || arguments.detached;
    place(arguments).map_err(|error| internal("up", "process", &error))?;
    log(output, kept);
    let data = folders::absolute(&match &arguments.data {
        Some(data) => data.clone(),
        None => folders::node()?,
    })?;
    let fresh = Fresh::of(&data);
    // Held until the process ends: no second one may run the same node.
    let held = Held::take(&data, "up")?;
    let was_ready = AtomicBool::new(false);
    let result = serve(arguments, data, output, kept, &was_ready);
    if let Some(fresh) = fresh.filter(|_| result.is_err() && !was_ready.load(Ordering::Relaxed)) {
        fresh.undo();
    }
    drop(held);
    result.map_err(Failure::from)
}

/// Makes or resumes the node in a folder, and runs it.
fn serve(arguments: &Up, data: PathBuf, output: Output, kept: bool, was_ready: &AtomicBool) -> Result<(), Problem> {
    let folder = Folder(data.clone());
    if folder.settings().exists() {
        found::resume(&folder, arguments, output)?;
    } else {
        found::found(&folder, arguments, output, "up")?;
    }
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| internal("up", "runtime", &error))?;
    let result = runtime.block_on(until_stopped(data, output, kept, was_ready));
    // Whatever still runs in threads has nothing to say any more.
    runtime.shutdown_background();
    result
}

/// Makes the folder of a node that founds a network, and starts nothing.
pub(crate) fn create(arguments: &Up, output: Output) -> Outcome {
    if arguments.join.is_some() {
        let message = "a network is founded, or joined";
        return Err(Problem::new(ProblemCode::Usage, "network create", "--join", message)
            .with_remedy("join one with `grange up --join INVITATION`")
            .into());
    }
    let data = folders::absolute(&match &arguments.data {
        Some(data) => data.clone(),
        None => folders::node()?,
    })?;
    let folder = Folder(data.clone());
    let fresh = Fresh::of(&data);
    let _held = Held::take(&data, "network create")?;
    if folder.settings().exists() {
        let message = "the folder already holds a node";
        return Err(Problem::new(ProblemCode::Conflict, "network create", data.display().to_string(), message)
            .with_remedy("name another folder with --data, or start this one with `grange up`")
            .into());
    }
    let created = found::found(&folder, arguments, output, "network create");
    if let Some(fresh) = fresh.filter(|_| created.is_err()) {
        fresh.undo();
    }
    let created = created?;
    output.show(&created, |created| {
        format!(
            "network {} ({}) is founded; start it with `grange up --data {}`",
            created.name,
            created.network,
            data.display()
        )
    })
}

/// Sees to it that this process ends with the one that keeps it, or outlives the one that started it.
fn place(arguments: &Up) -> std::io::Result<()> {
    if let Some(keeper) = arguments.supervised_by {
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
        if rustix::process::getppid() != Pid::from_raw(keeper) {
            // It ended before it could have been noticed.
            std::process::exit(0);
        }
    }
    if arguments.detached {
        rustix::process::setsid()?;
    }
    Ok(())
}

async fn until_stopped(data: PathBuf, output: Output, kept: bool, was_ready: &AtomicBool) -> Result<(), Problem> {
    let mut wish = Wish::new().map_err(|error| internal("up", "signals", &error))?;
    let shutdown = CancellationToken::new();
    let announced = data.clone();
    let ready = move |ready: Ready| {
        was_ready.store(true, Ordering::Relaxed);
        announce(&ready, &announced, output, kept);
    };
    let mut node = std::pin::pin!(node_process::run(data, shutdown.clone(), ready));
    tokio::select! {
        result = &mut node => return result,
        () = wish.next() => {}
    }
    output.progress("stopping");
    shutdown.cancel();
    match tokio::time::timeout(GRACE, node).await {
        Ok(result) => result,
        Err(_) => {
            output.notice("the node did not stop in time; it is ended, and will repair itself when it starts");
            Ok(())
        }
    }
}

/// Says that the node is ready, to whom it may concern. That nobody reads it does not end the node.
fn announce(ready: &Ready, data: &Path, output: Output, kept: bool) {
    let api = format!("http://{}", ready.api);
    let gateway = format!("http://{}", ready.gateway);
    if !kept && let Err(problem) = register(ready, data, &api) {
        output.notice(&format!("commands will not find the node by themselves: {}", problem.message));
    }
    let data = data.to_path_buf();
    let (peer, token_file, pid) = (ready.peer, ready.token_file.clone(), std::process::id());
    let running = Running { peer, pid, api, token_file, gateway, data };
    let _ = output.show(&running, |running| {
        format!("node {} is ready: api {}, gateway {}", running.peer, running.api, running.gateway)
    });
}

fn register(ready: &Ready, data: &Path, api: &str) -> Result<(), Problem> {
    let display = Folder(data.to_path_buf()).read_settings().map(|settings| settings.display);
    let entry = Entry {
        api: api.to_owned(),
        token_file: ready.token_file.clone(),
        data: data.to_path_buf(),
        kind: Kind::Up,
        index: None,
        peer: ready.peer.to_string(),
        display: display.unwrap_or_default(),
    };
    registry::add(&folders::registry()?, &[entry]).map_err(|error| internal("up", "nodes.json", &error))
}

fn log(output: Output, kept: bool) {
    let default = if kept { LOG_FILE } else { LOG_TERMINAL };
    let named = std::env::var("GRANGE_LOG").ok().filter(|filter| !filter.is_empty());
    if output.is_json() && named.is_none() {
        // Scripts find nothing on stderr but a problem.
        return;
    }
    let filter = EnvFilter::try_new(named.as_deref().unwrap_or(default)).unwrap_or_else(|_| EnvFilter::new(default));
    let ansi = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(ansi).try_init();
}

/// A node holds a descriptor for every connection; the default of 1,024 is for other times.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let present = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: present.maximum, maximum: present.maximum });
}

/// The hidden subcommand by which a node compiles components.
pub(crate) fn compile(input: &Path, out: &Path) -> ExitCode {
    node_process::compile_component(input, out)
}
