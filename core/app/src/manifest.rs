//! From an app and the blobs of its files to the manifest that stewards hold and the slots of the ledger.

use std::collections::BTreeMap;

use grange_types::{Amount, BlobId, Isolation, Kind, Manifest, Service, SlotSpec, Wire, Workload};

use crate::app::{App, AppService};

/// Why an app and its blobs make no manifest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// A service has no blob.
    #[error("the service {service} has no workload; its {kind} was not packed")]
    MissingWorkload {
        /// The service.
        service: String,
        /// What it should be.
        kind: Kind,
    },
    /// A blob has no service.
    #[error("there is a workload for {service}, which the app does not have")]
    UnknownService {
        /// The name the workload came under.
        service: String,
    },
    /// A blob is of the other kind.
    #[error("the service {service} is a {expected}, its workload a {found}")]
    WrongKind {
        /// The service.
        service: String,
        /// What the compose file says.
        expected: Kind,
        /// What was packed.
        found: Kind,
    },
    /// The manifest does not fit its limit.
    #[error("the manifest takes {size} bytes, more than the limit of {limit}; shorten environments or split the app")]
    TooLarge {
        /// Its size.
        size: usize,
        /// The most it may have.
        limit: usize,
    },
}

impl App {
    /// The manifest of this app, given what each service's file or folder was packed into, by service.
    pub fn manifest(&self, blobs: &BTreeMap<String, Workload>) -> Result<Manifest, ManifestError> {
        if let Some(service) = blobs.keys().find(|name| !self.services.contains_key(*name)) {
            return Err(ManifestError::UnknownService { service: service.clone() });
        }
        let mut services = BTreeMap::new();
        for (name, service) in &self.services {
            let expected = service.source.kind();
            let Some(workload) = blobs.get(name) else {
                return Err(ManifestError::MissingWorkload { service: name.clone(), kind: expected });
            };
            let found = workload.kind();
            if found != expected {
                return Err(ManifestError::WrongKind { service: name.clone(), expected, found });
            }
            services.insert(name.clone(), service.packed(workload.clone()));
        }
        let manifest = Manifest { name: self.name.clone(), budget: self.budget, services };
        let (size, limit) = (manifest.encode().len(), Manifest::LIMIT);
        if size > limit {
            return Err(ManifestError::TooLarge { size, limit });
        }
        Ok(manifest)
    }
}

impl AppService {
    fn packed(&self, workload: Workload) -> Service {
        Service {
            workload,
            replicas: self.replicas,
            resources: self.resources,
            environment: self.environment.clone(),
            route: self.route.clone(),
            health: self.health.clone(),
            depends_on: self.depends_on.clone(),
            placement: self.placement.clone(),
            allow_http: self.allow_http.clone(),
        }
    }
}

/// The slots of a manifest, one for each replica, in the order of service and replica.
///
/// `max_rates` holds, by service, the most that a lease on one replica may cost per hour. A service that is not
/// in it gets its own `price_max`, and without one nothing, so that only free capacity can take its slots.
#[must_use]
pub fn slots(manifest: &Manifest, max_rates: &BTreeMap<String, Amount>) -> Vec<SlotSpec> {
    let mut slots = Vec::new();
    for (name, service) in &manifest.services {
        let max_rate = max_rates.get(name).copied().or(service.placement.price_max).unwrap_or(Amount::ZERO);
        let isolation = service.placement.isolation.unwrap_or(Isolation::Wasm);
        let revision = revision(name, service);
        let slot = |replica| {
            let (service, route) = (name.clone(), service.route.clone());
            SlotSpec { service, replica, max_rate, isolation, route, revision }
        };
        slots.extend((0..service.replicas).map(slot));
    }
    slots
}

/// What changes when a replica of the service must be replaced: BLAKE3 over the encoding of a manifest that
/// holds this service alone, with one replica, no budget and no name, so that neither scaling nor a larger
/// budget stops what runs.
#[must_use]
pub fn revision(name: &str, service: &Service) -> BlobId {
    let service = Service { replicas: 1, ..service.clone() };
    let alone =
        Manifest { name: String::new(), budget: Amount::ZERO, services: BTreeMap::from([(name.to_owned(), service)]) };
    BlobId::of(&alone.encode())
}
