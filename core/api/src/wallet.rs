//! Money of an account: its balance, transfers, what came and went.

use core::fmt;

use grange_types::{AccountId, Amount, Height, TxId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// The balance of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Wallet {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// What can be spent.
    #[schema(value_type = String, example = "12.5")]
    pub available: Amount,
    /// What is set aside for deployments and their leases; `null` where the node keeps no state and so cannot add it up.
    #[schema(value_type = Option<String>)]
    pub pending: Option<Amount>,
}

/// An order to send money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransferRequest {
    /// Who gets it.
    #[schema(value_type = String)]
    pub to: AccountId,
    /// How much, in credits.
    #[schema(value_type = String, example = "1.25")]
    pub amount: Amount,
    /// A word to the receiver, at most 64 bytes.
    #[serde(default)]
    #[schema(max_length = 64)]
    pub memo: String,
}

/// A transaction that is final.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Submitted {
    /// Its id.
    #[schema(value_type = String)]
    pub transaction: TxId,
    /// The block that holds it.
    #[schema(value_type = u64)]
    pub height: Height,
}

/// One thing that changed a balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryEntry {
    /// The block.
    #[schema(value_type = u64)]
    pub height: Height,
    /// Its time.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// The transaction; `null` for the genesis.
    #[schema(value_type = Option<String>)]
    pub transaction: Option<TxId>,
    /// What it was.
    pub kind: HistoryKind,
    /// Whether it came or went.
    pub direction: Direction,
    /// How much.
    #[schema(value_type = String)]
    pub amount: Amount,
    /// The account on the other side, where there is one.
    #[schema(value_type = Option<String>)]
    pub counterparty: Option<AccountId>,
    /// The sender's word, or the deployment's name; empty when there is none.
    pub memo: String,
}

/// Whether money came or went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It came.
    In,
    /// It went.
    Out,
}

/// What changed a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HistoryKind {
    /// The account began with it.
    Genesis,
    /// A transfer.
    Transfer,
    /// A deployment's budget was set aside.
    Budget,
    /// The rest of a budget came back.
    Refund,
    /// A lease paid its provider.
    Lease,
    /// A fee or a deposit.
    Fee,
}

impl fmt::Display for HistoryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Genesis => "genesis",
            Self::Transfer => "transfer",
            Self::Budget => "budget",
            Self::Refund => "refund",
            Self::Lease => "lease",
            Self::Fee => "fee",
        })
    }
}
