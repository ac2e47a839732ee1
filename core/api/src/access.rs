//! Who may ask what: what each operation needs of whoever asks, and the audit log.
//!
//! # Rules
//! - The token of a node's token file is its owner's: everything is allowed, and only it makes and revokes keys and
//!   reads the audit log.
//! - An API key has scopes ([`Right`]). An operation needs one of them ([`Operation::right`]), or the owner.
//! - A key that has a prefix is for things whose name begins so. A call that is about no thing in particular but about
//!   the whole account ([`About::Account`]) or about everybody's ([`About::Accounts`]) is refused to it; a list shows it
//!   those things alone, and what is looked up by an id ([`About::Found`]) is looked up among them alone.

use grange_types::{KeyId, Right};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::call::Call;
use crate::operation::Operation;
use crate::timestamp::Timestamp;

/// One line of the audit log: who asked what, and what came of it. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditLine {
    /// Its number; greater than that of every line before.
    pub seq: u64,
    /// When the answer was known.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `owner` for the node's own token, else the key's name; empty where nobody was recognised.
    pub principal: String,
    /// The key's id; `null` for the owner's token and for nobody.
    #[schema(value_type = Option<String>)]
    pub key: Option<KeyId>,
    /// The operation, as the OpenAPI names it.
    pub call: String,
    /// What it was about: a name, an id, an account; empty where it was about nothing in particular.
    pub object: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// `ok`, the code of the problem that ended it, or `cut` where the asker left before the end.
    pub result: String,
    /// The request's id, which its answer carries in the header `grange-request-id`.
    pub request: String,
}

/// The header in which every answer of the API names its request.
pub const REQUEST_HEADER: &str = "grange-request-id";

/// What a call is about, for keys that are for some things only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About<'a> {
    /// Nothing of the account's: the node, the market, the network, bytes that are named by their hash.
    Nothing,
    /// A thing with a name.
    Thing(&'a str),
    /// What is looked up by this name or id. Whose it is says the name that it has on the ledger: whoever keeps that leaves
    /// out what the asker's key is not for, so that it is not there for him.
    Found(&'a str),
    /// All things of the account that the asker may see.
    List,
    /// The account as a whole.
    Account,
    /// Everybody's accounts: what the ledger says of any of them, and the blocks and states that say all of it.
    Accounts,
}

impl Operation {
    /// The right that it needs; none where it is the owner's alone.
    #[must_use]
    pub const fn right(self) -> Option<Right> {
        Some(match self {
            Self::Status
            | Self::Peers
            | Self::Offers
            | Self::Providers
            | Self::Trust
            | Self::Plan
            | Self::HasBlob
            | Self::Deployments
            | Self::Deployment
            | Self::Usage
            | Self::Logs
            | Self::Wallet
            | Self::Caps
            | Self::WalletHistory
            | Self::LedgerHeight
            | Self::LedgerAccount
            | Self::LedgerKey
            | Self::LedgerLease
            | Self::LedgerName
            | Self::LedgerGenesis
            | Self::LedgerBlocks
            | Self::LedgerSnapshot
            | Self::Names
            | Self::Keys
            | Self::Network => Right::Read,
            Self::ExportData => Right::Data,
            Self::PutBlob | Self::Deploy | Self::Down => Right::Deploy,
            Self::ClaimName | Self::ReleaseName => Right::Name,
            Self::Transfer | Self::SubmitTransaction => Right::Pay,
            Self::SetPrices | Self::Pause => Right::Sell,
            Self::Invite => Right::Invite,
            Self::SetCap
            | Self::RotateToken
            | Self::ApiKeys
            | Self::CreateKey
            | Self::RevokeKey
            | Self::RevokeKeys
            | Self::Audit => {
                return None;
            }
        })
    }

    /// Whether what it does is done by a transaction: once it is answered, a block keeps it.
    #[must_use]
    pub const fn is_on_ledger(self) -> bool {
        matches!(
            self,
            Self::Deploy
                | Self::Down
                | Self::Transfer
                | Self::SubmitTransaction
                | Self::SetCap
                | Self::ClaimName
                | Self::ReleaseName
        )
    }
}

impl Call {
    /// What it is about.
    #[must_use]
    pub fn about(&self) -> About<'_> {
        match self {
            Self::Plan { manifest } | Self::Deploy { manifest, .. } => About::Thing(&manifest.name),
            Self::ReleaseName { name } | Self::LedgerName { name } => About::Thing(name),
            Self::Deployment { name }
            | Self::Down { name }
            | Self::Usage { name }
            | Self::Logs { name, .. }
            | Self::ExportData { name, .. } => About::Found(name),
            Self::LedgerLease { lease } => About::Found(lease.as_str()),
            // Both must be within; a name that leads to a deployment of others is refused by its own rule.
            Self::ClaimName(request) => About::Thing(&request.name),
            Self::Deployments | Self::Names => About::List,
            Self::Status
            | Self::Peers
            | Self::Offers
            | Self::Providers
            | Self::Trust { .. }
            | Self::PutBlob { .. }
            | Self::HasBlob { .. }
            | Self::LedgerHeight
            | Self::LedgerGenesis
            | Self::Network => About::Nothing,
            Self::LedgerAccount { .. }
            | Self::LedgerKey { .. }
            | Self::LedgerBlocks { .. }
            | Self::LedgerSnapshot { .. } => About::Accounts,
            Self::Wallet
            | Self::Caps
            | Self::SetCap(_)
            | Self::Transfer(_)
            | Self::WalletHistory { .. }
            | Self::SubmitTransaction { .. }
            | Self::SetPrices(_)
            | Self::Pause(_)
            | Self::Keys
            | Self::RotateToken
            | Self::Invite(_)
            | Self::ApiKeys
            | Self::CreateKey(_)
            | Self::RevokeKey { .. }
            | Self::RevokeKeys
            | Self::Audit { .. } => About::Account,
        }
    }

    /// What an audit log calls its object: never a secret.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::PutBlob { blob } | Self::HasBlob { blob } => blob.to_string(),
            Self::Transfer(request) => request.to.to_string(),
            Self::LedgerAccount { account } => account.to_string(),
            Self::LedgerKey { key } => key.to_string(),
            Self::Trust { of } => of.clone().unwrap_or_default(),
            Self::LedgerBlocks { from } => from.to_string(),
            Self::CreateKey(request) => request.name.clone(),
            Self::RevokeKey { name } => name.clone(),
            call => match call.about() {
                About::Thing(name) | About::Found(name) => name.to_owned(),
                _ => String::new(),
            },
        }
    }
}
