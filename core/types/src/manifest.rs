//! What a deployment is, as its stewards and providers hold it: a blob, made from a compose file.

use core::fmt;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::codec::Wire;
use crate::id::BlobId;
use crate::limits;
use crate::price::{Isolation, Kind, Region, Resources};
use crate::unit::{ByteCount, Millis};

/// A whole deployment: its services in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The name it is served under.
    pub name: String,
    /// The most it may ever cost, from the owner's account.
    pub budget: Amount,
    /// The services by name.
    pub services: BTreeMap<String, Service>,
}

impl Wire for Manifest {
    const NAME: &'static str = "manifest";
    const LIMIT: usize = limits::MANIFEST_BYTES;
}

/// One service of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What runs.
    pub workload: Workload,
    /// How many of it.
    pub replicas: u32,
    /// What each replica may use.
    pub resources: Resources,
    /// Its environment.
    pub environment: BTreeMap<String, String>,
    /// The path prefix that the gateway sends to it; `/` takes what no other service takes.
    pub route: Option<String>,
    /// How to tell that a replica serves.
    pub health: Option<HealthCheck>,
    /// Services that must serve before this one starts.
    pub depends_on: Vec<String>,
    /// Where it may run.
    pub placement: Placement,
    /// Hosts it may call over HTTP, exact names with optional `:port`.
    pub allow_http: Vec<String>,
}

/// What a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Workload {
    /// A wasm component that exports `wasi:http/incoming-handler`.
    Wasm {
        /// The component.
        component: BlobId,
        /// Its size.
        size: ByteCount,
    },
    /// A static site.
    Site {
        /// The encoded [`SiteIndex`].
        index: BlobId,
        /// The size of all files.
        size: ByteCount,
    },
    /// A wasm component that finds files: its configs and secrets.
    Furnished {
        /// The component.
        component: BlobId,
        /// Its size.
        size: ByteCount,
        /// What it finds, sorted by place, no place twice; at least one.
        files: Vec<File>,
    },
}

/// A file that a component finds. It can be read, and not be written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where: `/` and parts between `/`, none of them empty, `.` or `..`.
    pub target: String,
    /// What is in it.
    pub content: Content,
}

impl File {
    /// Whether its target is a path from the root on, not too long, with no part that leads back or to nothing.
    #[must_use]
    pub fn is_placed(&self) -> bool {
        let legal = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\\']);
        let inner = self.target.strip_prefix('/');
        self.target.len() <= limits::TARGET_BYTES && inner.is_some_and(|inner| inner.split('/').all(legal))
    }
}

/// What is in a file that a component finds.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Content {
    /// A config, in clear: no secret.
    Config(Vec<u8>),
    /// A secret.
    Secret {
        /// Its name, under which the owner hands it over.
        name: String,
        /// Its value, sealed under the deployment's key; empty until the owner's node has sealed it.
        sealed: Vec<u8>,
    },
}

/// Tells nothing of what is in it.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(bytes) => write!(f, "Config({} bytes)", bytes.len()),
            Self::Secret { name, sealed } => write!(f, "Secret({name}, {} bytes)", sealed.len()),
        }
    }
}

impl Workload {
    /// The kind of work.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Wasm { .. } | Self::Furnished { .. } => Kind::Wasm,
            Self::Site { .. } => Kind::Site,
        }
    }

    /// The blob to fetch first.
    #[must_use]
    pub const fn blob(&self) -> BlobId {
        match self {
            Self::Wasm { component, .. } | Self::Furnished { component, .. } => *component,
            Self::Site { index, .. } => *index,
        }
    }

    /// What a component finds.
    #[must_use]
    pub fn files(&self) -> &[File] {
        match self {
            Self::Furnished { files, .. } => files,
            Self::Wasm { .. } | Self::Site { .. } => &[],
        }
    }

    /// Whether it finds something that is sealed.
    #[must_use]
    pub fn has_secrets(&self) -> bool {
        self.files().iter().any(|file| matches!(file.content, Content::Secret { .. }))
    }
}

/// An HTTP health check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// The path to get.
    pub path: String,
    /// How often.
    pub interval: Millis,
    /// How long an answer may take.
    pub timeout: Millis,
    /// After how many failures in a row the replica counts as not serving.
    pub retries: u32,
}

/// Whose capacity to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum On {
    /// Other operators'; one's own only when there is no other.
    #[default]
    Market,
    /// One's own only.
    Own,
    /// One's own while it lasts, then the market.
    OwnFirst,
}

/// Where a service may run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "WrittenPlacement", into = "WrittenPlacement")]
pub struct Placement {
    /// Whose capacity.
    pub on: On,
    /// The most one replica may cost per hour.
    pub price_max: Option<Amount>,
    /// Where.
    pub region: Option<Region>,
    /// The weakest isolation accepted.
    pub isolation: Option<Isolation>,
    /// The least measured trust in a provider of others, from 0 to 100.
    pub trust_min: Option<u8>,
}

/// A placement as it is written. A least trust came later than the rest: it stands with whose capacity, as further
/// words there, so that what was written before reads and hashes as ever.
#[derive(Clone, Serialize, Deserialize)]
struct WrittenPlacement {
    on: WrittenOn,
    price_max: Option<Amount>,
    region: Option<Region>,
    isolation: Option<Isolation>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
enum WrittenOn {
    Market,
    Own,
    OwnFirst,
    MarketTrusted(u8),
    OwnTrusted(u8),
    OwnFirstTrusted(u8),
}

impl From<Placement> for WrittenPlacement {
    fn from(placement: Placement) -> Self {
        let Placement { on, price_max, region, isolation, trust_min } = placement;
        let on = match (on, trust_min) {
            (On::Market, None) => WrittenOn::Market,
            (On::Own, None) => WrittenOn::Own,
            (On::OwnFirst, None) => WrittenOn::OwnFirst,
            (On::Market, Some(least)) => WrittenOn::MarketTrusted(least),
            (On::Own, Some(least)) => WrittenOn::OwnTrusted(least),
            (On::OwnFirst, Some(least)) => WrittenOn::OwnFirstTrusted(least),
        };
        Self { on, price_max, region, isolation }
    }
}

impl From<WrittenPlacement> for Placement {
    fn from(written: WrittenPlacement) -> Self {
        let WrittenPlacement { on, price_max, region, isolation } = written;
        let (on, trust_min) = match on {
            WrittenOn::Market => (On::Market, None),
            WrittenOn::Own => (On::Own, None),
            WrittenOn::OwnFirst => (On::OwnFirst, None),
            WrittenOn::MarketTrusted(least) => (On::Market, Some(least)),
            WrittenOn::OwnTrusted(least) => (On::Own, Some(least)),
            WrittenOn::OwnFirstTrusted(least) => (On::OwnFirst, Some(least)),
        };
        Self { on, price_max, region, isolation, trust_min }
    }
}

/// One slot of a deployment, as the ledger keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotSpec {
    /// The service.
    pub service: String,
    /// Which replica of it, from 0.
    pub replica: u32,
    /// The most a lease on it may cost per hour.
    pub max_rate: Amount,
    /// The weakest isolation a lease on it may have.
    pub isolation: Isolation,
    /// The path prefix that gateways send to it, so that the ledger alone says where a request goes.
    pub route: Option<String>,
    /// Changes when what the slot runs changes: BLAKE3 over the service's part of the manifest.
    pub revision: BlobId,
}

/// The files of a static site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteIndex {
    /// The files, sorted by path, no path twice.
    pub files: Vec<SiteFile>,
}

impl Wire for SiteIndex {
    const NAME: &'static str = "site-index";
    const LIMIT: usize = limits::SITE_INDEX_BYTES;
}

/// One file of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteFile {
    /// Relative, with `/` between parts, no empty part, no `.` or `..`.
    pub path: String,
    /// Its content.
    pub blob: BlobId,
    /// Its size.
    pub size: ByteCount,
}
