//! The guestbook of `examples/` as a service of one route that reads no key-value data.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::cloud::Cloud;
use crate::{Fault, http};

/// What it answers without its store.
pub(crate) const PATH: &str = "/hello";
pub(crate) const ANSWER: &[u8] = b"Hello from Grange\n";
/// Its component.
pub(crate) const COMPONENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/guestbook/guestbook.wasm");

/// What a service may use, as a compose file and as a lease say it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) cpu_millis: u32,
    pub(crate) memory_mib: u64,
}

/// Writes a project of this name.
pub(crate) fn write(parent: &Path, name: &str, size: Size) -> Result<PathBuf, Fault> {
    let folder = parent.join(name);
    fs::create_dir_all(&folder)?;
    fs::copy(COMPONENT, folder.join("guestbook.wasm"))?;
    let Size { cpu_millis, memory_mib } = size;
    let cpus = f64::from(cpu_millis) / 1e3;
    let compose = format!(
        "name: {name}\n\
         x-grange: {{ name: {name}, budget: \"10\" }}\n\
         services:\n  \
           api:\n    \
             x-grange: {{ wasm: ./guestbook.wasm, route: {PATH} }}\n    \
             deploy: {{ resources: {{ limits: {{ cpus: \"{cpus}\", memory: {memory_mib}M }} }} }}\n"
    );
    fs::write(folder.join("compose.yaml"), compose)?;
    Ok(folder)
}

/// Deploys a project with the real command, and gives what it said last.
pub(crate) fn deploy(cloud: &Cloud, folder: &Path) -> Result<Value, Fault> {
    cloud.json(&["deploy", &folder.to_string_lossy()])
}

/// Ends a deployment, so that its provider can sell the same again.
pub(crate) fn down(cloud: &Cloud, name: &str) -> Result<(), Fault> {
    cloud.json(&["down", name, "--yes"]).map(drop)
}

/// One request through a node's gateway that must be answered rightly.
pub(crate) fn visit(cloud: &Cloud, gateway: usize, name: &str) -> Result<(), Fault> {
    let address = cloud.nodes[gateway].gateway;
    let answer = http::get(address, &host(name), PATH)?;
    if answer.is_success() && answer.body == ANSWER {
        return Ok(());
    }
    Err(format!("{name} through the gateway of node {gateway}: {}", answer.text()).into())
}

/// The name by which a gateway is asked.
pub(crate) fn host(name: &str) -> String {
    format!("{name}.localhost")
}

/// Who serves a deployment, from what its deploy said last.
pub(crate) fn provider(cloud: &Cloud, done: &Value) -> Result<usize, Fault> {
    let peer = done["leases"][0]["provider"].as_str().ok_or("the deployment has no lease")?;
    cloud.index_of(peer)
}
