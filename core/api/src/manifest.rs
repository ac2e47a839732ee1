//! A manifest as JSON. The types mirror [`grange_types::Manifest`], whose bytes are frozen, and refuse unknown fields.

use std::collections::BTreeMap;

use grange_types::{
    Amount, BlobId, ByteCount, HealthCheck, Isolation, Manifest, Millis, On, Placement, Region, Service, Workload,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::files::{FileBody, SecretsBody};
use crate::market::ResourceSet;

/// A manifest to plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestRequest {
    /// What to run, as `grange` makes it from a compose file.
    pub manifest: ManifestBody,
}

/// A manifest to deploy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeployRequest {
    /// What to run, as `grange` makes it from a compose file.
    pub manifest: ManifestBody,
    /// The values of its secrets by name, in base64. The node seals them and keeps none of them in clear.
    #[serde(default, skip_serializing_if = "SecretsBody::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub secrets: SecretsBody,
}

/// A whole deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ManifestBody {
    /// The name it is served under.
    pub name: String,
    /// The most it may ever cost, in credits.
    #[schema(value_type = String, example = "10")]
    pub budget: Amount,
    /// The services by name.
    pub services: BTreeMap<String, ServiceBody>,
}

/// One service of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceBody {
    /// What runs.
    pub workload: WorkloadBody,
    /// How many of it.
    #[schema(minimum = 1, maximum = 32)]
    pub replicas: u32,
    /// What each replica may use.
    pub resources: ResourceSet,
    /// Its environment.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// The path prefix that the gateway sends to it.
    #[serde(default)]
    pub route: Option<String>,
    /// How to tell that a replica serves.
    #[serde(default)]
    pub health: Option<HealthBody>,
    /// Services that must serve before this one starts.
    #[serde(default)]
    pub depends_on: Vec<String>,
    /// Where it may run.
    #[serde(default)]
    pub placement: PlacementBody,
    /// Hosts it may call over HTTP.
    #[serde(default)]
    pub allow_http: Vec<String>,
}

/// What a service runs: exactly one of the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum WorkloadBody {
    /// A wasm component.
    Wasm {
        /// The component's BLAKE3.
        #[schema(value_type = String)]
        component: BlobId,
        /// Its size in bytes.
        #[schema(value_type = u64)]
        size: ByteCount,
        /// The configs and secrets that it finds, sorted by place.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        files: Vec<FileBody>,
    },
    /// A static site.
    Site {
        /// The BLAKE3 of the site's encoded index.
        #[schema(value_type = String)]
        index: BlobId,
        /// The size of all files in bytes.
        #[schema(value_type = u64)]
        size: ByteCount,
    },
}

/// An HTTP health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthBody {
    /// The path to get.
    pub path: String,
    /// How often, in milliseconds.
    #[schema(value_type = u64)]
    pub interval: Millis,
    /// How long an answer may take, in milliseconds.
    #[schema(value_type = u64)]
    pub timeout: Millis,
    /// After how many failures in a row the replica counts as not serving.
    pub retries: u32,
}

/// Where a service may run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PlacementBody {
    /// Whose capacity: `market`, `own` or `own-first`.
    #[schema(value_type = String, example = "market")]
    pub on: On,
    /// The most one replica may cost per hour.
    #[schema(value_type = Option<String>)]
    pub price_max: Option<Amount>,
    /// Where.
    #[schema(value_type = Option<String>)]
    pub region: Option<Region>,
    /// The weakest isolation accepted: `wasm`, `container` or `vm`.
    #[schema(value_type = Option<String>)]
    pub isolation: Option<Isolation>,
    /// The least measured trust in a provider of others, from 0 to 100.
    #[schema(minimum = 0, maximum = 100)]
    pub trust_min: Option<u8>,
}

impl From<ManifestBody> for Manifest {
    fn from(body: ManifestBody) -> Self {
        let services = body.services.into_iter().map(|(name, service)| (name, service.into())).collect();
        Self { name: body.name, budget: body.budget, services }
    }
}

impl From<Manifest> for ManifestBody {
    fn from(manifest: Manifest) -> Self {
        let services = manifest.services.into_iter().map(|(name, service)| (name, service.into())).collect();
        Self { name: manifest.name, budget: manifest.budget, services }
    }
}

/// Writes the conversions between two structs of the same fields.
macro_rules! mirror {
    ($left:ident = $right:ident { $($field:ident),+ }) => {
        impl From<$left> for $right {
            fn from(from: $left) -> Self {
                Self { $($field: from.$field),+ }
            }
        }

        impl From<$right> for $left {
            fn from(from: $right) -> Self {
                Self { $($field: from.$field),+ }
            }
        }
    };
}
mirror!(HealthBody = HealthCheck { path, interval, timeout, retries });
mirror!(PlacementBody = Placement { on, price_max, region, isolation, trust_min });

impl From<ServiceBody> for Service {
    fn from(body: ServiceBody) -> Self {
        Self {
            workload: body.workload.into(),
            replicas: body.replicas,
            resources: body.resources.into(),
            environment: body.environment,
            route: body.route,
            health: body.health.map(Into::into),
            depends_on: body.depends_on,
            placement: body.placement.into(),
            allow_http: body.allow_http,
        }
    }
}

impl From<Service> for ServiceBody {
    fn from(service: Service) -> Self {
        Self {
            workload: service.workload.into(),
            replicas: service.replicas,
            resources: service.resources.into(),
            environment: service.environment,
            route: service.route,
            health: service.health.map(Into::into),
            depends_on: service.depends_on,
            placement: service.placement.into(),
            allow_http: service.allow_http,
        }
    }
}

impl From<WorkloadBody> for Workload {
    fn from(body: WorkloadBody) -> Self {
        match body {
            WorkloadBody::Wasm { component, size, files } if files.is_empty() => Self::Wasm { component, size },
            WorkloadBody::Wasm { component, size, files } => {
                Self::Furnished { component, size, files: files.into_iter().map(Into::into).collect() }
            }
            WorkloadBody::Site { index, size } => Self::Site { index, size },
        }
    }
}

impl From<Workload> for WorkloadBody {
    fn from(workload: Workload) -> Self {
        match workload {
            Workload::Wasm { component, size } => Self::Wasm { component, size, files: Vec::new() },
            Workload::Furnished { component, size, files } => {
                Self::Wasm { component, size, files: files.into_iter().map(Into::into).collect() }
            }
            Workload::Site { index, size } => Self::Site { index, size },
        }
    }
}
