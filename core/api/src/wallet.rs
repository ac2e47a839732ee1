//! Money of an account: its balance, transfers, what came and went.

use core::fmt;

use grange_types::{AccountId, Amount, Height, PublicKey, TxId};
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
    /// What stands for the room that the account's entries take on the ledger; it comes back when they go.
    #[schema(value_type = String)]
    pub deposit: Amount,
}

/// What an account's keys may put into deployments, and how its deployments' budgets stand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Caps {
    /// The account.
    #[schema(value_type = String)]
    pub account: AccountId,
    /// What each key may put into deployments a day; `null` where nothing caps it.
    #[schema(value_type = Option<String>)]
    pub per_day: Option<Amount>,
    /// Whether it was ever set, by the first deployment or by hand.
    pub set: bool,
    /// What each key put in today while a cap stood, by the ledger's day in UTC; keys of which nothing was counted are not
    /// listed. Without a cap nothing is counted.
    pub keys: Vec<KeyUse>,
    /// The deployments that have not ended; the budget of each is its cap.
    pub deployments: Vec<BudgetUse>,
}

/// What a key put into deployments today.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyUse {
    /// The key.
    #[schema(value_type = String)]
    pub key: PublicKey,
    /// How much, of what was put in while a cap stood.
    #[schema(value_type = String)]
    pub put: Amount,
    /// How much of the day's cap is used, in percent; `null` where nothing caps it.
    pub used: Option<u8>,
}

/// How a deployment's budget stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BudgetUse {
    /// The deployment's name.
    pub deployment: String,
    /// Its budget.
    #[serde(flatten)]
    pub budget: Budget,
}

/// A budget and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    /// All the money that was put in.
    #[schema(value_type = String)]
    pub budget: Amount,
    /// What of it is not used: neither paid nor owed by a receipt that is known.
    #[schema(value_type = String)]
    pub left: Amount,
    /// The highest of 50, 75 and 90 percent that its use has reached; `null` before the first.
    pub alert: Option<u8>,
    /// Until when it lasts if things go on as they do now; `null` where nothing is used up.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub runs_until: Option<Timestamp>,
}

/// An order to change the cap of an account's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CapRequest {
    /// What each key may put into deployments a day; `null`, which has to be said, lifts the cap.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(value_type = Option<String>, required, example = "50")]
    pub per_day: Option<Amount>,
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
    /// The sender's word; the name of one's own deployment, the first digits of the id of another's; empty when there is none.
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
