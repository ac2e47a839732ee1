//! What is for sale, by whom, and what a deployment would cost.

use grange_types::{AccountId, Amount, ByteCount, Isolation, Kind, PeerId, Prices, Resources};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// What an [`Offer`]'s `price` is the hourly price of: a tenth of a processor, 64 MiB of memory, 256 MiB of disk.
pub const STANDARD_NEED: Resources =
    Resources { cpu_millis: 100, memory: ByteCount::mib(64), disk: ByteCount::mib(256) };

/// What a provider sells now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Offer {
    /// The node that sells.
    #[schema(value_type = String)]
    pub provider: PeerId,
    /// Its name for people.
    pub display: String,
    /// The account that is paid, and by which placement counts.
    #[schema(value_type = String)]
    pub operator: AccountId,
    /// Where it stands.
    pub region: String,
    /// The kinds of work it runs.
    #[schema(value_type = Vec<String>)]
    pub kinds: Vec<Kind>,
    /// The strongest isolation it gives.
    #[schema(value_type = String)]
    pub isolation: Isolation,
    /// Credits per hour for a tenth of a processor, 64 MiB of memory and 256 MiB of disk.
    #[schema(value_type = String, example = "0.0025")]
    pub price: Amount,
    /// The prices it is made of.
    pub prices: PriceSettings,
    /// What is free.
    pub free: ResourceSet,
    /// What is known of its reliability, from 0 to 100; `null` while nothing is known.
    #[schema(minimum = 0, maximum = 100)]
    pub trust: Option<u8>,
    /// What that number rests on.
    pub evidence: String,
    /// Whether the node is connected to it; always to itself. In a large network nobody is connected to everybody.
    pub connected: bool,
    /// When the node last heard of it: whoever sells says what is free at least once a minute.
    #[schema(value_type = String, format = DateTime)]
    pub heard: Timestamp,
}

/// A provider that the node has heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Provider {
    /// The node.
    #[schema(value_type = String)]
    pub provider: PeerId,
    /// Its name for people.
    pub display: String,
    /// The account that is paid.
    #[schema(value_type = String)]
    pub operator: AccountId,
    /// Where it stands.
    pub region: String,
    /// All it sells.
    pub capacity: ResourceSet,
    /// What of it is free.
    pub free: ResourceSet,
    /// Whether it takes no new work.
    pub paused: bool,
    /// Whether the node is connected to it.
    pub connected: bool,
    /// When its offer was last renewed.
    #[schema(value_type = String, format = DateTime)]
    pub seen: Timestamp,
}

/// Processor, memory and disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceSet {
    /// Thousandths of one processor.
    pub cpu_millis: u32,
    /// Memory in bytes.
    #[schema(value_type = u64)]
    pub memory: ByteCount,
    /// Disk in bytes.
    #[schema(value_type = u64)]
    pub disk: ByteCount,
}

impl From<Resources> for ResourceSet {
    fn from(Resources { cpu_millis, memory, disk }: Resources) -> Self {
        Self { cpu_millis, memory, disk }
    }
}

impl From<ResourceSet> for Resources {
    fn from(ResourceSet { cpu_millis, memory, disk }: ResourceSet) -> Self {
        Self { cpu_millis, memory, disk }
    }
}

/// Prices in credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceSettings {
    /// One processor for one hour.
    #[schema(value_type = String, example = "0.01")]
    pub cpu_hour: Amount,
    /// One GiB of memory for one hour.
    #[schema(value_type = String, example = "0.005")]
    pub memory_gib_hour: Amount,
    /// One GiB of disk for one hour.
    #[schema(value_type = String, example = "0.0001")]
    pub disk_gib_hour: Amount,
    /// One million requests.
    #[schema(value_type = String, example = "0.2")]
    pub request_million: Amount,
    /// One GiB sent to clients.
    #[schema(value_type = String, example = "0.01")]
    pub egress_gib: Amount,
}

impl From<Prices> for PriceSettings {
    fn from(Prices { cpu_hour, memory_gib_hour, disk_gib_hour, request_million, egress_gib }: Prices) -> Self {
        Self { cpu_hour, memory_gib_hour, disk_gib_hour, request_million, egress_gib }
    }
}

impl From<PriceSettings> for Prices {
    fn from(settings: PriceSettings) -> Self {
        let PriceSettings { cpu_hour, memory_gib_hour, disk_gib_hour, request_million, egress_gib } = settings;
        Self { cpu_hour, memory_gib_hour, disk_gib_hour, request_million, egress_gib }
    }
}

/// Whether to take no new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PauseRequest {
    /// `true` to take none, `false` to take it again. What runs goes on either way.
    pub paused: bool,
}

/// What the node sells at, after a change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProviderSettings {
    /// The prices of new leases; running ones keep theirs.
    pub prices: PriceSettings,
    /// Whether it takes no new work.
    pub paused: bool,
}

/// Where a manifest would run and the most it would cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// One entry for every replica, in the order of the services' names.
    pub services: Vec<PlannedService>,
    /// The most that all replicas together cost per hour, requests and traffic included.
    #[schema(value_type = String)]
    pub total_per_hour: Amount,
    /// What deploying it would take from the account now: the budget, less what the deployment has had already.
    #[schema(value_type = String)]
    pub takes: Amount,
    /// All the money that it then has been given: the budget, or what was put in so far where that is more.
    #[schema(value_type = String)]
    pub budget: Amount,
    /// When the budget would be used up at that rate; `null` when it never is.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub runs_until: Option<Timestamp>,
    /// What one should know of what is there already: money beyond the budget, replicas whose providers were just lost; the
    /// cap that deploying it would set, and why it would be refused now.
    pub notes: Vec<String>,
}

/// One replica of a [`Plan`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlannedService {
    /// The service.
    pub name: String,
    /// Which replica of it, from 0.
    pub replica: u32,
    /// The node it would run on.
    #[schema(value_type = String)]
    pub provider: PeerId,
    /// That node's name for people.
    pub display: String,
    /// What its resources cost per hour, without requests and traffic.
    #[schema(value_type = String)]
    pub price_per_hour: Amount,
    /// The most it may cost per hour, requests and traffic included.
    #[schema(value_type = String)]
    pub max_cost: Amount,
    /// Whether the node that plans is connected to it; always to itself.
    pub connected: bool,
    /// When the node that plans last heard of it; `null` where it has no offer of it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heard: Option<Timestamp>,
}
