//! What the ledger says: its height, accounts and their keys, names, the network.

use grange_types::{AccountId, Amount, DeploymentId, Height, LeaseId, NetworkId, PeerId, PublicKey, StateRoot};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::base64::Base64;
use crate::timestamp::Timestamp;

/// The last final block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LedgerHeight {
    /// Its number.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Its block time; `null` before the first block, and where a node that keeps no state was not shown it.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finalized_at: Option<Timestamp>,
    /// The summary of the state after it.
    #[schema(value_type = String)]
    pub state_root: StateRoot,
}

/// What every node of a network starts from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GenesisFile {
    /// The network: BLAKE3 of the genesis' bytes.
    #[schema(value_type = String)]
    pub network: NetworkId,
    /// The bytes of the genesis.
    #[schema(value_type = String, format = Byte)]
    pub genesis: Base64,
}

/// A final block and what decided it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BlockLine {
    /// Its number.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Its bytes, as they were decided.
    #[schema(value_type = String, format = Byte)]
    pub block: Base64,
    /// The bytes of the certificate: validators' signatures under the block.
    #[schema(value_type = String, format = Byte)]
    pub certificate: Base64,
}

/// One piece of a snapshot of the ledger's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PieceLine {
    /// The height of the snapshot, the same in every line.
    #[schema(value_type = u64)]
    pub height: Height,
    /// The piece, about 512 KiB; order matters.
    #[schema(value_type = String, format = Byte)]
    pub piece: Base64,
}

/// What the ledger says of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// What it can spend.
    #[schema(value_type = String)]
    pub available: Amount,
    /// What is set aside; `null` where the node keeps no state and so cannot add it up.
    #[schema(value_type = Option<String>)]
    pub pending: Option<Amount>,
    /// What may sign for it.
    pub keys: Vec<Key>,
    /// The block after which this was so.
    #[schema(value_type = u64)]
    pub height: Height,
}

/// What the ledger says of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Lease {
    /// The lease.
    #[schema(value_type = String)]
    pub lease: LeaseId,
    /// The deployment that pays.
    #[schema(value_type = String)]
    pub deployment: DeploymentId,
    /// The number of the slot that it fills.
    pub slot: u32,
    /// Which of the slot's leases it is, from 1.
    pub generation: u64,
    /// Who serves.
    #[schema(value_type = String)]
    pub provider: PeerId,
    /// Who is paid.
    #[schema(value_type = String)]
    pub operator: AccountId,
    /// Where it stands.
    pub state: LeaseStanding,
    /// What receipts have paid.
    #[schema(value_type = String)]
    pub settled: Amount,
    /// What is set aside for the provider and not yet paid.
    #[schema(value_type = String)]
    pub escrow: Amount,
    /// What the provider asks for and the payer disputes.
    #[schema(value_type = String)]
    pub held: Amount,
    /// The most that it costs in an hour.
    #[schema(value_type = String)]
    pub max_rate: Amount,
    /// The block after which this was so.
    #[schema(value_type = u64)]
    pub height: Height,
}

/// Where a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum LeaseStanding {
    /// It serves and earns.
    Open,
    /// It has ended; receipts for the time before are still paid.
    Closing,
    /// Nothing is owed any more.
    Closed,
}

impl core::fmt::Display for LeaseStanding {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.pad(match self {
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Closed => "closed",
        })
    }
}

/// An account that a key owns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnedAccount {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
}

/// The key set of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeySet {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// What may sign for it.
    pub keys: Vec<Key>,
}

/// A key and what it may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Key {
    /// The public key.
    #[schema(value_type = String)]
    pub key: PublicKey,
    /// `owner`, `node`, `validator` or `spend`.
    pub roles: Vec<String>,
    /// The most it may spend in a day, where it may only spend.
    #[schema(value_type = Option<String>)]
    pub per_day: Option<Amount>,
}

/// A name on the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Name {
    /// The name.
    pub name: String,
    /// The deployment that it leads to; `null` when it leads nowhere.
    pub deployment: Option<String>,
    /// Who holds it.
    #[schema(value_type = String)]
    pub owner: AccountId,
    /// Where it is served.
    pub url: Option<String>,
}

/// A wish for a name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NameRequest {
    /// The name: 1 to 63 lower-case letters, digits and dashes.
    pub name: String,
    /// The deployment that it shall lead to.
    pub deployment: String,
}

/// Which network this is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Network {
    /// The network: BLAKE3 of its genesis.
    #[schema(value_type = String)]
    pub network: NetworkId,
    /// Its name for people.
    pub name: String,
    /// The version of the rules that its next block follows.
    pub protocol: u32,
    /// The highest version that the node asked follows.
    pub follows: u32,
    /// The version that comes next, once it is agreed.
    pub upgrade: Option<Upgrade>,
    /// The last final block.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Who orders its ledger.
    pub validators: Vec<Validator>,
}

/// A version of the rules that will hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upgrade {
    /// The version.
    pub version: u32,
    /// The first block that follows it.
    #[schema(value_type = u64)]
    pub height: Height,
}

/// One that orders the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Validator {
    /// The account that holds the stake.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// The key it votes with.
    #[schema(value_type = String)]
    pub key: PublicKey,
    /// Its weight.
    pub power: u64,
    /// Its name for people, empty when it told none.
    pub display: String,
}
