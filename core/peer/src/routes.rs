//! Where a gateway sends a request, and where a deployment's logs and data are: read from the ledger alone.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{Deployment, Ledger};
use grange_objects::log::LogId;
use grange_types::{AccountId, AmbiguousId, BlobId, ByteCount, DeploymentId, IdStart, Kind, LeaseId, PeerId};

/// What each name leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteTable {
    /// By name.
    pub names: BTreeMap<String, Named>,
    /// Who may read a deployment's manifest, with its environment: who pays for it, and who runs it.
    pub readers: BTreeMap<BlobId, BTreeSet<PeerId>>,
    /// Who writes the key-values of each replica.
    pub writers: BTreeMap<LogId, Writer>,
    /// The stewards of our own deployments.
    pub owned: BTreeMap<DeploymentId, Vec<PeerId>>,
    /// The owner's node of each deployment that we are a steward of.
    pub stewarded: BTreeMap<DeploymentId, PeerId>,
    /// The stewards of every deployment.
    pub stewards: BTreeMap<DeploymentId, Vec<PeerId>>,
}

/// Who writes the key-values of a replica: the holder of its slot's open lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Writer {
    /// The node.
    pub provider: PeerId,
    /// The lease's generation.
    pub generation: u64,
    /// What they may take by the lease; zero is the usual.
    pub room: ByteCount,
}

/// What one name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The owner's nodes and the stewards: who may read logs and data.
    pub payers: BTreeSet<PeerId>,
    /// Every replica with an open lease.
    pub replicas: Vec<Replica>,
    /// The prefixes that lead to a service.
    pub routes: Vec<Route>,
    /// Every node that holds or held a lease that is still on the ledger, and so may hold data.
    pub holders: BTreeSet<PeerId>,
}

/// One prefix of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The prefix; `/` takes what no longer one takes.
    pub prefix: String,
    /// The replicas of the present generation; empty while none is leased.
    pub replicas: Vec<Routed>,
}

/// One replica as requests find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Routed {
    /// The node that serves it.
    pub provider: PeerId,
    /// Its lease.
    pub lease: LeaseId,
    /// The lease's generation.
    pub generation: u64,
}

/// One replica as its logs are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replica {
    /// The service.
    pub service: String,
    /// Which replica of it.
    pub replica: u32,
    /// Where it is.
    pub at: Routed,
}

impl RouteTable {
    /// Reads the table off the ledger, for this node.
    #[must_use]
    pub fn read(ledger: &Ledger, me: AccountId) -> Self {
        let mut table = Self::default();
        for deployment in ledger.view().deployments().filter(|deployment| deployment.is_open()) {
            let named = Named::read(ledger, deployment);
            let providers = named.replicas.iter().map(|replica| replica.at.provider);
            let readers = table.readers.entry(deployment.manifest).or_default();
            readers.extend(named.payers.iter().copied().chain(providers));
            let stewards: Vec<PeerId> = deployment.stewards().map(|steward| steward.account.peer()).collect();
            table.stewards.insert(deployment.id, stewards.clone());
            if deployment.owner == me {
                table.owned.insert(deployment.id, stewards);
            } else if deployment.is_steward(me) {
                table.stewarded.insert(deployment.id, deployment.owner.peer());
            }
            table.writers.extend(writers(ledger, deployment));
            for name in &deployment.names {
                table.names.insert(name.clone(), named.clone());
            }
        }
        table
    }

    /// The name, with what it leads to, that a text means: that name, or the id of what it leads to or the beginning of that.
    /// Upon a key that is for names that begin with `prefix`: there are no others.
    pub fn find(&self, text: &str, prefix: &str) -> Result<Option<(&str, &Named)>, AmbiguousId> {
        let shown = || self.names.iter().filter(move |(name, _)| name.starts_with(prefix));
        let named = self.names.get_key_value(text).filter(|(name, _)| name.starts_with(prefix));
        let found = match (named, text.parse::<IdStart>()) {
            (Some(named), _) => Some(named),
            (None, Ok(start)) => {
                let id = start.only(shown().map(|(_, named)| (named.deployment.as_bytes(), named.deployment)))?;
                id.and_then(|id| shown().find(|(_, named)| named.deployment == id))
            }
            (None, Err(_)) => None,
        };
        Ok(found.map(|(name, named)| (name.as_str(), named)))
    }

    /// Whether a peer holds the open lease of this slot in this generation, and the room it has; else it may neither write to
    /// a copy of its key-values nor be given a share of the deployment's key.
    #[must_use]
    pub fn room_of(&self, peer: PeerId, log: &LogId, generation: u64) -> Option<ByteCount> {
        let writer = self.writers.get(log)?;
        (writer.provider == peer && writer.generation == generation).then_some(writer.room)
    }

    /// Whether a steward takes its share of a deployment's key from a peer: from the owner's node always, and while it has none
    /// from whoever runs a part of the deployment, since a steward that comes later may come while the owner is away.
    #[must_use]
    pub fn may_hand(&self, from: PeerId, deployment: DeploymentId, has: bool) -> bool {
        let Some(owner) = self.stewarded.get(&deployment) else { return false };
        *owner == from || !has && self.runs(from, deployment)
    }

    /// Whether a peer runs a component of a deployment.
    #[must_use]
    pub fn runs(&self, peer: PeerId, deployment: DeploymentId) -> bool {
        self.writers.iter().any(|(log, writer)| log.deployment == deployment && writer.provider == peer)
    }
}

/// Who writes the key-values of a deployment's replicas.
fn writers(ledger: &Ledger, deployment: &Deployment) -> Vec<(LogId, Writer)> {
    let view = ledger.view();
    let mut found = Vec::new();
    for slot in &deployment.slots {
        let open = slot.lease.and_then(|lease| view.lease(lease)).filter(|lease| lease.is_open(view.now()));
        let Some(lease) = open.filter(|lease| lease.terms.kind == Kind::Wasm) else { continue };
        let (service, replica) = (slot.spec.service.clone(), slot.spec.replica);
        let room = lease.terms.resources.disk;
        let writer = Writer { provider: lease.terms.provider, generation: lease.generation, room };
        found.push((LogId { deployment: deployment.id, service, replica }, writer));
    }
    found
}

impl Named {
    fn read(ledger: &Ledger, deployment: &Deployment) -> Self {
        let view = ledger.view();
        let mut replicas = Vec::new();
        let mut prefixes: BTreeMap<&str, Vec<Routed>> = BTreeMap::new();
        for slot in &deployment.slots {
            let open = slot.lease.and_then(|lease| view.lease(lease)).filter(|lease| lease.is_open(view.now()));
            let at = open.map(|lease| Routed {
                provider: lease.terms.provider,
                lease: lease.id,
                generation: lease.generation,
            });
            if let Some(at) = at {
                replicas.push(Replica { service: slot.spec.service.clone(), replica: slot.spec.replica, at });
            }
            if let Some(route) = &slot.spec.route {
                prefixes.entry(route).or_default().extend(at);
            }
        }
        let stewards = deployment.stewards().map(|steward| steward.account.peer());
        let routes = prefixes.into_iter().map(|(prefix, replicas)| Route { prefix: prefix.into(), replicas });
        Self {
            deployment: deployment.id,
            payers: view.nodes_of(deployment.owner).into_iter().chain(stewards).collect(),
            replicas,
            routes: routes.collect(),
            holders: view.leases_of(deployment.id).map(|lease| lease.terms.provider).collect(),
        }
    }
}
