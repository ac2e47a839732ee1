//! A cloud brought up: made if there is none, and those of its nodes started that do not run.

use std::path::Path;
use std::time::Duration;

use grange_api::Problem;

use super::cloud::{Cloud, Node};
use super::start::{self, Started, Tie};
use super::wanted::Wanted;
use crate::failure::internal;
use crate::folders;
use crate::process::{self, Identity};
use crate::registry;
use crate::up::Held;

/// How many nodes a new cloud has where nothing is said: the least in which one may fail.
const NODES: u32 = 4;
/// How long nodes may take to stop by themselves.
pub(super) const GRACE: Duration = Duration::from_secs(5);

/// A cloud whose nodes all have a process.
pub(crate) struct Running {
    pub(crate) cloud: Cloud,
    /// Those that had none before.
    pub(crate) started: Vec<Started>,
    /// Whether the cloud was made just now.
    pub(crate) is_new: bool,
}

/// Makes or opens a cloud and starts those of its nodes that do not run.
pub(crate) fn bring_up(folder: &Path, wanted: Wanted, tie: Tie) -> Result<Running, Problem> {
    let held = Held::wait(folder, "dev")?;
    let (cloud, is_new) = match Cloud::open(folder, "dev")? {
        Some(cloud) => {
            cloud.fits(wanted)?;
            (cloud, false)
        }
        None => (Cloud::create(folder, wanted.nodes.unwrap_or(NODES), wanted)?, true),
    };
    let cloud = cloud.lighten(wanted.light.unwrap_or_default())?;
    let mut started = Vec::new();
    for node in &cloud.nodes {
        if node.process().is_none() {
            started.push(start::start(node, tie)?);
        }
    }
    drop(held);
    let entries: Vec<_> = cloud.nodes.iter().map(Node::entry).collect();
    registry::add(&folders::registry()?, &entries).map_err(|error| internal("dev", "nodes.json", &error))?;
    Ok(Running { cloud, started, is_new })
}

/// Stops what was started when the rest of the start failed.
pub(super) fn stop_started(started: &[Started]) {
    let processes: Vec<Identity> = started.iter().filter_map(|started| started.node.process()).collect();
    // The failure that led here is the one to tell.
    let _ = process::stop(&processes, GRACE);
}
