//! One replica to run: what the ledger's lease and the deployment's manifest say about it.

use std::collections::BTreeMap;

use crate::id::{DeploymentId, LeaseId, PeerId};
use crate::manifest::Workload;
use crate::price::Resources;
use crate::seal::SealKey;

/// A workload to run for a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The lease it runs under; its logs are kept by it.
    pub lease: LeaseId,
    /// The deployment; its data is kept by it.
    pub deployment: DeploymentId,
    /// The deployment's name.
    pub name: String,
    /// The service.
    pub service: String,
    /// Which replica of the service.
    pub replica: u32,
    /// The slot's generation under this lease.
    pub generation: u64,
    /// The generation of the same slot whose data continues here, if that generation served on this node: its
    /// store is sealed and copied. Without it, or if this node holds no such store, the data starts empty.
    pub previous: Option<u64>,
    /// Who keeps a copy of its key-values, each of another operator than the provider's: a write is acknowledged when one of
    /// them has it too, and what this generation begins with comes from them. With none, the only copy is here.
    pub keepers: Vec<PeerId>,
    /// Other nodes that served earlier generations, the last one first.
    pub before: Vec<PeerId>,
    /// What its key-values are sealed under at its keepers; with none, keepers could read them.
    pub seal: Option<SealKey>,
    /// What runs.
    pub workload: Workload,
    /// What it may use; a zero means the node's usual limit.
    pub resources: Resources,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// Hosts it may call, exact names with optional `:port`; without a port, the scheme's usual one.
    pub allow_http: Vec<String>,
}
