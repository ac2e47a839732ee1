//! Where a gateway sends a request, where a deployment's logs and data are, and who may have what of it: read from the ledger
//! alone.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{Deployment, Lease, Ledger, Slot};
use grange_objects::log::LogId;
use grange_types::{AmbiguousId, BlobId, ByteCount, DeploymentId, IdStart, Kind, LeaseId, PeerId, Time};

use crate::describe::wall;

/// What each name leads to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RouteTable {
    /// By name.
    pub names: BTreeMap<String, Named>,
    /// Who may read a deployment's manifest, with its environment: who pays for it, and who runs it.
    pub readers: BTreeMap<BlobId, BTreeSet<PeerId>>,
    /// Who writes the key-values of each replica.
    pub writers: BTreeMap<LogId, Writer>,
    /// Who looks after each deployment.
    pub parties: BTreeMap<DeploymentId, Parties>,
    /// The nodes on the ledger.
    pub registered: BTreeSet<PeerId>,
}

/// Who looks after a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Parties {
    /// The owner's nodes, which hold the deployment's key.
    pub owners: Vec<PeerId>,
    /// The stewards', each of which holds a share of it.
    pub stewards: Vec<PeerId>,
}

/// Whose hand a share of a deployment's key comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Giver {
    /// A node of the owner.
    Owner,
    /// Whoever runs a part of the deployment, since a steward may come while the owner is away.
    Provider,
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
    /// The name of every service.
    pub services: BTreeSet<String>,
    /// Every replica with an open lease.
    pub replicas: Vec<Replica>,
    /// What the replicas were before, as far as the ledger shows it: of each the newest few, oldest first.
    pub earlier: Vec<Replica>,
    /// The prefixes that lead to a service.
    pub routes: Vec<Route>,
    /// Every node that holds or held a component's lease that is still on the ledger, and so may hold data.
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
    /// What runs it.
    pub kind: Kind,
    /// Where it is.
    pub at: Routed,
    /// Since when.
    pub since: Time,
}

/// Of so many earlier generations of a replica the logs are found.
const EARLIER: usize = 8;

impl RouteTable {
    /// Reads the table off the ledger.
    #[must_use]
    pub fn read(ledger: &Ledger) -> Self {
        let view = ledger.view();
        let mut table = Self { registered: view.nodes().map(|node| node.peer).collect(), ..Self::default() };
        for deployment in view.deployments().filter(|deployment| deployment.is_open()) {
            let named = Named::read(ledger, deployment);
            let providers = named.replicas.iter().map(|replica| replica.at.provider);
            let (owners, stewards) = (view.nodes_of(deployment.owner), view.stewards_of(deployment));
            let readers = table.readers.entry(deployment.manifest).or_default();
            readers.extend(owners.iter().chain(&stewards).copied().chain(providers));
            table.parties.insert(deployment.id, Parties { owners, stewards });
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

    /// Whether a peer is a node of a deployment's owner: only those are shown its key-values in clear.
    #[must_use]
    pub fn is_owner(&self, peer: PeerId, deployment: DeploymentId) -> bool {
        self.parties.get(&deployment).is_some_and(|parties| parties.owners.contains(&peer))
    }

    /// Whether a peer is a steward's.
    #[must_use]
    pub fn is_steward(&self, peer: PeerId, deployment: DeploymentId) -> bool {
        self.parties.get(&deployment).is_some_and(|parties| parties.stewards.contains(&peer))
    }

    /// Whether nobody pays for what a peer takes from a deployment: it is on no ledger, and neither the owner's nor a steward's.
    #[must_use]
    pub fn is_stranger(&self, peer: PeerId, deployment: DeploymentId) -> bool {
        !(self.registered.contains(&peer) || self.is_owner(peer, deployment) || self.is_steward(peer, deployment))
    }

    /// As what a peer may hand this steward a share of a deployment's key.
    #[must_use]
    pub fn giver(&self, steward: PeerId, from: PeerId, deployment: DeploymentId) -> Option<Giver> {
        if !self.is_steward(steward, deployment) {
            return None;
        }
        let runs = || self.runs(from, deployment).then_some(Giver::Provider);
        self.is_owner(from, deployment).then_some(Giver::Owner).or_else(runs)
    }

    /// Who runs a component of a deployment.
    pub fn runners(&self, deployment: DeploymentId) -> impl Iterator<Item = PeerId> {
        let of = move |(log, _): &(&LogId, &Writer)| log.deployment == deployment;
        self.writers.iter().filter(of).map(|(_, writer)| writer.provider)
    }

    /// Whether a peer runs a component of a deployment.
    #[must_use]
    pub fn runs(&self, peer: PeerId, deployment: DeploymentId) -> bool {
        self.runners(deployment).any(|provider| provider == peer)
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
        let (mut replicas, mut earlier) = (Vec::new(), Vec::new());
        let mut prefixes: BTreeMap<&str, Vec<Routed>> = BTreeMap::new();
        let mut leases: BTreeMap<u32, Vec<&Lease>> = BTreeMap::new();
        for lease in view.leases_of(deployment.id) {
            leases.entry(lease.slot).or_default().push(lease);
        }
        for slot in &deployment.slots {
            let open = slot.lease.and_then(|lease| view.lease(lease)).filter(|lease| lease.is_open(view.now()));
            if let Some(lease) = open {
                replicas.push(Replica::of(ledger, slot, lease));
            }
            if let Some(route) = &slot.spec.route {
                prefixes.entry(route).or_default().extend(open.map(Routed::of));
            }
            let of_slot = leases.get(&slot.number).into_iter().flatten();
            let mut over: Vec<&&Lease> = of_slot.filter(|lease| open.is_none_or(|open| open.id != lease.id)).collect();
            over.sort_by_key(|lease| lease.generation);
            let newest = over.iter().skip(over.len().saturating_sub(EARLIER));
            earlier.extend(newest.map(|lease| Replica::of(ledger, slot, lease)));
        }
        let with_data = leases.values().flatten().filter(|lease| lease.terms.kind == Kind::Wasm);
        let routes = prefixes.into_iter().map(|(prefix, replicas)| Route { prefix: prefix.into(), replicas });
        Self {
            deployment: deployment.id,
            services: deployment.slots.iter().map(|slot| slot.spec.service.clone()).collect(),
            replicas,
            earlier,
            routes: routes.collect(),
            holders: with_data.map(|lease| lease.terms.provider).collect(),
        }
    }

    /// What ran or runs under a lease.
    #[must_use]
    pub fn under(&self, lease: LeaseId) -> Option<&Replica> {
        self.replicas.iter().chain(&self.earlier).find(|replica| replica.at.lease == lease)
    }

    /// Each replica of a component in its newest generation, whether or not the lease of that is still open: there its
    /// present key-values are.
    pub fn newest(&self) -> impl Iterator<Item = &Replica> {
        let all = || self.replicas.iter().chain(&self.earlier);
        let is_newest = move |replica: &&Replica| {
            let same = |other: &&Replica| (&other.service, other.replica) == (&replica.service, replica.replica);
            all().filter(same).all(|other| other.at.generation <= replica.at.generation)
        };
        all().filter(|replica| replica.kind == Kind::Wasm).filter(is_newest)
    }
}

impl Replica {
    fn of(ledger: &Ledger, slot: &Slot, lease: &Lease) -> Self {
        Self {
            service: slot.spec.service.clone(),
            replica: slot.spec.replica,
            kind: lease.terms.kind,
            at: Routed::of(lease),
            since: wall(ledger, lease.start),
        }
    }
}

impl Routed {
    const fn of(lease: &Lease) -> Self {
        Self { provider: lease.terms.provider, lease: lease.id, generation: lease.generation }
    }
}
