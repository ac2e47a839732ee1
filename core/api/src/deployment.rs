//! Deployments as their owner sees them: progress, replicas, logs, data, the bill.

use core::fmt;

use grange_types::{AccountId, Amount, DeploymentId, Height, LeaseId, PeerId, Sku, TxId, UsageLine};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;
use crate::wallet::Budget;

/// A phase of a deployment that is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployPhase {
    /// What was done: `validate`, `blobs`, `plan`, `quote`, `lease`, `start`, `answer`.
    pub phase: String,
    /// How long it took, in milliseconds.
    pub ms: u64,
}

/// The end of a deployment that succeeded: its URL has answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeployDone {
    /// Its name.
    pub deployment: String,
    /// Its id.
    #[schema(value_type = String)]
    pub id: DeploymentId,
    /// Where it is served.
    pub urls: Vec<String>,
    /// The leases it runs under.
    pub leases: Vec<LeaseEntry>,
    /// Whether anything was changed; a deployment that already is as asked stays as it is.
    pub changed: bool,
    /// What one should know of what was there already: money beyond the budget, replicas whose providers were just lost;
    /// and the cap that it sets.
    pub notes: Vec<String>,
}

/// A lease of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeaseEntry {
    /// The lease.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// The service.
    pub service: String,
    /// Which replica of it.
    pub replica: u32,
    /// The node that serves.
    #[schema(value_type = String)]
    pub provider: PeerId,
    /// That node's name for people.
    pub display: String,
    /// The generation of the replica.
    pub generation: u64,
    /// What its resources cost per hour.
    #[schema(value_type = String)]
    pub price_per_hour: Amount,
}

/// One replica of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Replica {
    /// The deployment's name.
    pub deployment: String,
    /// The service.
    pub service: String,
    /// Which replica of it, from 0.
    pub replica: u32,
    /// The node it runs on; `null` while there is none.
    #[schema(value_type = Option<String>)]
    pub provider: Option<PeerId>,
    /// That node's name for people, empty while there is none.
    pub display: String,
    /// Grows whenever the replica moves.
    pub generation: u64,
    /// How it is.
    pub state: ReplicaState,
    /// Since when it is so.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// Where it is served; `null` for a service without a route.
    pub url: Option<String>,
    /// How many nodes have its key-values, the provider included; `null` where the node that is asked has no copy itself, and
    /// for what has none.
    pub copies: Option<u32>,
    /// The nodes of other operators that have them.
    #[schema(value_type = Vec<String>)]
    pub keepers: Vec<PeerId>,
    /// What one should know of its state: a reason, copies that it went on without. Empty when there is nothing.
    pub note: String,
}

/// How a replica is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// It has no lease yet.
    Pending,
    /// It has a lease and does not answer yet.
    Starting,
    /// It answers.
    Running,
    /// It runs and its health check fails.
    Unhealthy,
    /// Its provider is lost; another one is sought.
    Replacing,
    /// The budget is used; its data stays.
    BudgetExhausted,
    /// It was ended.
    Stopped,
}

impl fmt::Display for ReplicaState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pending => "pending",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Unhealthy => "unhealthy",
            Self::Replacing => "replacing",
            Self::BudgetExhausted => "budget_exhausted",
            Self::Stopped => "stopped",
        })
    }
}

/// A deployment that was ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Down {
    /// Its name.
    pub deployment: String,
    /// What of its budget returned to the account.
    #[schema(value_type = String)]
    pub returned: Amount,
    /// The transaction that ended it.
    #[schema(value_type = String)]
    pub transaction: TxId,
    /// The block that holds it.
    #[schema(value_type = u64)]
    pub height: Height,
}

/// The bill of a deployment since it began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Usage {
    /// The deployment's id, by which the bill is found also after the deployment was removed.
    #[schema(value_type = String)]
    pub deployment: DeploymentId,
    /// The account that pays.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// One line for each thing counted of each lease.
    pub lines: Vec<UsageRow>,
    /// The sum of the lines.
    #[schema(value_type = String)]
    pub total: Amount,
    /// What of it was paid out to providers.
    #[schema(value_type = String)]
    pub settled: Amount,
    /// What providers ask beyond it and is disputed: held until they agree with the payer, or their time to claim is over.
    #[schema(value_type = String)]
    pub disputed: Amount,
    /// Its budget; `null` on a bill that was made from receipts alone.
    #[schema(value_type = Option<Budget>)]
    pub budget: Option<Budget>,
    /// When the deployment was removed; `null` while it is there.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub removed: Option<Timestamp>,
    /// Until when providers may claim for leases that have ended, as far as it is known: time when the cloud is off does not
    /// count. `null` where there is no such lease.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub claims_until: Option<Timestamp>,
    /// Whether the bill changes no more: the deployment was removed, and nothing can be claimed for it.
    #[serde(rename = "final")]
    pub is_final: bool,
}

/// One line of a bill: `amount = floor(counted × price ÷ scale)`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageRow {
    /// The service.
    pub service: String,
    /// The lease.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// The node that served.
    #[schema(value_type = String)]
    pub provider: PeerId,
    /// That node's name for people.
    pub display: String,
    /// When it began to serve.
    #[schema(value_type = String, format = DateTime)]
    pub start: Timestamp,
    /// When it ended, or when the bill was asked for.
    #[schema(value_type = String, format = DateTime)]
    pub end: Timestamp,
    /// What was counted.
    #[schema(value_type = String, example = "cpu.hour")]
    pub sku: Sku,
    /// How much of it, as a decimal number of priced units, rounded down to twelve places.
    #[schema(example = "0.25")]
    pub quantity: String,
    /// The price of one unit.
    #[schema(value_type = String)]
    pub price: Amount,
    /// What it costs.
    #[schema(value_type = String)]
    pub amount: Amount,
    /// The exact count, as a whole number of the smallest units.
    pub counted: String,
    /// How many of the smallest units one priced unit holds.
    pub scale: String,
}

impl UsageRow {
    /// A line of a lease's bill, from the arithmetic that charged it.
    #[must_use]
    pub fn new(
        service: &str,
        lease: LeaseId,
        (provider, display): (PeerId, &str),
        (start, end): (Timestamp, Timestamp),
        line: &UsageLine,
    ) -> Self {
        let scale = line.sku.scale();
        Self {
            service: service.to_owned(),
            lease,
            provider,
            display: display.to_owned(),
            start,
            end,
            sku: line.sku,
            // One credit per priced unit costs as many credits as there are units, rounded as every charge is.
            quantity: Amount::CREDIT.scaled(line.quantity, scale).to_string(),
            price: line.price,
            amount: line.amount,
            counted: line.quantity.to_string(),
            scale: scale.to_string(),
        }
    }
}

/// A line that a service wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLine {
    /// Grows from line to line of a deployment; ask for more with `after`.
    pub id: u64,
    /// When it was written.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The service.
    pub service: String,
    /// Which replica of it.
    pub replica: u32,
    /// The node it ran on.
    #[schema(value_type = String)]
    pub provider: PeerId,
    /// Its generation: how often the replica had been given to a node by then.
    #[serde(default)]
    pub generation: u64,
    /// `stdout`, `stderr`, or `node` for what the node says of the replica.
    pub stream: String,
    /// The line, without its end.
    pub text: String,
}

/// A sentence on the other lines of a stream, such as which there are besides and how to ask for them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NoteLine {
    /// The sentence.
    pub note: String,
}

/// That a generation of a replica has a store of key-values, even where nothing is in it. Nodes tell it each other before the
/// entries of the store; whoever asks a node does not see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BegunLine {
    /// The service.
    pub service: String,
    /// The node that holds it.
    pub provider: PeerId,
    /// Which replica of it.
    pub replica: u32,
    /// The generation.
    pub generation: u64,
    /// `true`.
    pub begun: bool,
}

/// One key and its value, of a deployment's key-value data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DataLine {
    /// The service that wrote it.
    pub service: String,
    /// The node that held it.
    #[schema(value_type = String)]
    pub provider: PeerId,
    /// Which replica of it.
    #[serde(default)]
    pub replica: u32,
    /// The generation of the replica that wrote it; copies of several generations are never merged.
    pub generation: u64,
    /// Whether that is the replica's newest generation, so that this is the value which the service itself reads.
    #[serde(default)]
    pub current: bool,
    /// The bucket.
    pub bucket: String,
    /// The key.
    pub key: String,
    /// The value, base64 with padding.
    #[schema(format = Byte)]
    pub value: String,
}
