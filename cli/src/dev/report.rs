//! What is said of a dev cloud: its nodes as a table or as JSON.

use std::path::{Path, PathBuf};

use grange_types::{Amount, PeerId};
use serde::Serialize;

use super::cloud::{Cloud, Node};
use super::running::Running;
use super::start;
use crate::choice;
use crate::failure::Outcome;
use crate::output::{Output, counted};
use crate::table::Table;

/// A node, as scripts see it.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) index: u32,
    pub(crate) peer: PeerId,
    /// Its process; `null` when it does not run.
    pub(crate) pid: Option<i32>,
    pub(crate) api: String,
    pub(crate) token_file: PathBuf,
    /// Where it serves names; `null` when it does not.
    pub(crate) gateway: Option<String>,
    pub(crate) data: PathBuf,
    /// The operator's name for people.
    pub(crate) display: String,
    /// What its standard hour costs at first; `null` when it sells nothing.
    pub(crate) price: Option<Amount>,
    /// Whether it keeps no ledger; it serves and sells nothing then.
    pub(crate) light: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
}

/// How a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ready,
    Running,
    Stopped,
}

#[derive(Debug, Serialize)]
struct Nodes {
    nodes: Vec<Row>,
}

impl Row {
    pub(crate) fn of(node: &Node) -> Self {
        Self {
            index: node.index,
            peer: node.peer,
            pid: node.process().map(|process| process.pid),
            api: node.api(),
            token_file: node.folder.token(),
            gateway: node.gateway(),
            data: node.folder.0.clone(),
            display: node.settings.display.clone(),
            price: node.price(),
            light: node.settings.light,
            state: None,
        }
    }
}

/// Says what is being started.
pub(crate) fn progress(running: &Running, output: Output) {
    let operators = counted(running.cloud.operators(), "operator", "operators");
    let folder = running.cloud.folder.display();
    match (running.is_new, running.started.len()) {
        (true, _) => output.progress(&format!("starting a new cloud of {operators} in {folder}")),
        (false, 0) => output.progress(&format!("the cloud of {operators} in {folder} is running")),
        (false, started) => {
            output.progress(&format!("resuming the cloud of {operators} in {folder}: starting {started}"));
        }
    }
}

/// Says how commands find this cloud, where they ask another place before it.
pub(crate) fn asked_before(folder: &Path, cloud: &Cloud, output: Output) {
    if let (Some(other), Some(first)) = (choice::asked_before(folder), cloud.nodes.first()) {
        let api = first.api();
        output.notice(&format!("commands ask {other}; `export GRANGE_NODE={api}` makes them ask this cloud"));
    }
}

/// The nodes, as `dev` prints them once they are ready.
pub(crate) fn nodes(cloud: &Cloud, output: Output) -> Outcome {
    let nodes = Nodes { nodes: cloud.nodes.iter().map(Row::of).collect() };
    if output.is_json() { output.data(&nodes) } else { output.table(&table(&nodes.nodes)) }
}

/// `dev status`.
pub(crate) fn status(folder: &Path, output: Output) -> Outcome {
    let cloud = Cloud::existing(folder, "dev status")?;
    let agent = crate::client::agent();
    let row = |node: &Node| {
        let row = Row::of(node);
        let state = match row.pid {
            None => State::Stopped,
            Some(_) if start::readiness(&agent, node).is_ok() => State::Ready,
            Some(_) => State::Running,
        };
        Row { state: Some(state), ..row }
    };
    let nodes = Nodes { nodes: cloud.nodes.iter().map(row).collect() };
    if output.is_json() { output.data(&nodes) } else { output.table(&table(&nodes.nodes)) }
}

/// The nodes under each other.
pub(crate) fn table(rows: &[Row]) -> Table {
    let mut table = Table::new(&[">#", "operator", ">price/hour", "api", "gateway", "state"]);
    for row in rows {
        let state = match (row.state, row.pid) {
            (Some(State::Ready), Some(pid)) => format!("ready, process {pid}"),
            (Some(State::Running), Some(pid)) => format!("not ready, process {pid}"),
            (None, Some(pid)) => format!("process {pid}"),
            (_, _) => "stopped".to_owned(),
        };
        let price = row.price.map_or_else(|| "-".to_owned(), |price| price.to_string());
        let gateway = row.gateway.clone().unwrap_or_else(|| "-".to_owned());
        table.row([row.index.to_string(), row.display.clone(), price, row.api.clone(), gateway, state]);
    }
    table
}
