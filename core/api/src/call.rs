//! What can be asked of a node: one variant per operation, with its arguments.

use grange_types::{Amount, BlobId, Height, IdStart, Manifest, PublicKey, Secrets};

use crate::key::KeyRequest;
use crate::ledger::NameRequest;
use crate::market::{PauseRequest, PriceSettings};
use crate::node::InviteRequest;
use crate::operation::Operation;
use crate::wallet::{CapRequest, TransferRequest};

/// One request, read or to be sent. Bytes that are streamed (a blob's) travel beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// How the node fares.
    Status,
    /// Whom it knows.
    Peers,
    /// What is for sale.
    Offers,
    /// Who sells.
    Providers,
    /// How far operators are trusted.
    Trust {
        /// Only this one: its account, a node of its, eight or more first digits of either, or a node's name.
        of: Option<String>,
    },
    /// Where a manifest would run and what it would cost.
    Plan {
        /// The manifest.
        manifest: Box<Manifest>,
    },
    /// Hand over a blob.
    PutBlob {
        /// The hash of the bytes.
        blob: BlobId,
    },
    /// Whether the node holds a blob.
    HasBlob {
        /// The hash of the bytes.
        blob: BlobId,
    },
    /// Start or change a deployment.
    Deploy {
        /// The manifest.
        manifest: Box<Manifest>,
        /// The values of the secrets that it names.
        secrets: Secrets,
        /// The most that it may take from the account, where that was counted against a key's limit before. No request
        /// says it.
        most: Option<Amount>,
    },
    /// The replicas of all of one's deployments.
    Deployments,
    /// The replicas of one deployment.
    Deployment {
        /// Its name or id.
        name: String,
    },
    /// End a deployment.
    Down {
        /// Its name or id.
        name: String,
    },
    /// The bill of a deployment.
    Usage {
        /// Its name or id.
        name: String,
    },
    /// What the services of a deployment wrote.
    Logs {
        /// Its name or id.
        name: String,
        /// Only this service.
        service: Option<String>,
        /// Whether to wait for more at the end.
        follow: bool,
        /// Only lines with a greater id.
        after: Option<u64>,
        /// Also lines of replicas that were replaced.
        earlier: bool,
    },
    /// The key-value data of a deployment.
    ExportData {
        /// Its name or id.
        name: String,
        /// Only this service.
        service: Option<String>,
        /// Also what earlier generations left.
        earlier: bool,
    },
    /// The balance.
    Wallet,
    /// What keys may put into deployments.
    Caps,
    /// Change that.
    SetCap(CapRequest),
    /// Send money.
    Transfer(TransferRequest),
    /// What came and went.
    WalletHistory {
        /// At most so many entries, the newest.
        limit: u32,
    },
    /// Hand in a signed transaction.
    SubmitTransaction {
        /// The encoded envelope.
        bytes: Vec<u8>,
    },
    /// The last final block.
    LedgerHeight,
    /// What the ledger says of an account.
    LedgerAccount {
        /// The account.
        account: IdStart,
    },
    /// What the ledger says of a lease.
    LedgerLease {
        /// The lease.
        lease: IdStart,
    },
    /// Where a name leads, whoever holds it.
    LedgerName {
        /// The name.
        name: String,
    },
    /// The accounts that a key owns.
    LedgerKey {
        /// The key.
        key: PublicKey,
    },
    /// What the network starts from.
    LedgerGenesis,
    /// Final blocks with the certificates that decided them, lowest first.
    LedgerBlocks {
        /// The height of the first.
        from: Height,
    },
    /// The pieces of the newest snapshot at or below a height.
    LedgerSnapshot {
        /// The height; without one, the newest snapshot of all.
        at: Option<Height>,
    },
    /// The names that the account holds.
    Names,
    /// Take a name.
    ClaimName(NameRequest),
    /// Give a name back.
    ReleaseName {
        /// The name.
        name: String,
    },
    /// Set the node's prices.
    SetPrices(PriceSettings),
    /// Take no new work, or take it again.
    Pause(PauseRequest),
    /// The key set of the account.
    Keys,
    /// Replace the API token.
    RotateToken,
    /// The API keys there are.
    ApiKeys,
    /// Make an API key.
    CreateKey(KeyRequest),
    /// Revoke an API key.
    RevokeKey {
        /// Its name.
        name: String,
    },
    /// Revoke every API key.
    RevokeKeys,
    /// Who asked what.
    Audit {
        /// Whether to wait for more at the end.
        follow: bool,
        /// Only lines with a greater number.
        after: Option<u64>,
        /// Only calls of this principal.
        principal: Option<String>,
    },
    /// Which network this is.
    Network,
    /// Make an invitation.
    Invite(InviteRequest),
}

impl Call {
    /// The number of entries of a history when none is asked for.
    pub const HISTORY: u32 = 100;

    /// Which operation it is.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Status => Operation::Status,
            Self::Peers => Operation::Peers,
            Self::Offers => Operation::Offers,
            Self::Providers => Operation::Providers,
            Self::Trust { .. } => Operation::Trust,
            Self::Plan { .. } => Operation::Plan,
            Self::PutBlob { .. } => Operation::PutBlob,
            Self::HasBlob { .. } => Operation::HasBlob,
            Self::Deploy { .. } => Operation::Deploy,
            Self::Deployments => Operation::Deployments,
            Self::Deployment { .. } => Operation::Deployment,
            Self::Down { .. } => Operation::Down,
            Self::Usage { .. } => Operation::Usage,
            Self::Logs { .. } => Operation::Logs,
            Self::ExportData { .. } => Operation::ExportData,
            Self::Wallet => Operation::Wallet,
            Self::Caps => Operation::Caps,
            Self::SetCap(_) => Operation::SetCap,
            Self::Transfer(_) => Operation::Transfer,
            Self::WalletHistory { .. } => Operation::WalletHistory,
            Self::SubmitTransaction { .. } => Operation::SubmitTransaction,
            Self::LedgerHeight => Operation::LedgerHeight,
            Self::LedgerAccount { .. } => Operation::LedgerAccount,
            Self::LedgerLease { .. } => Operation::LedgerLease,
            Self::LedgerName { .. } => Operation::LedgerName,
            Self::LedgerKey { .. } => Operation::LedgerKey,
            Self::LedgerGenesis => Operation::LedgerGenesis,
            Self::LedgerBlocks { .. } => Operation::LedgerBlocks,
            Self::LedgerSnapshot { .. } => Operation::LedgerSnapshot,
            Self::Names => Operation::Names,
            Self::ClaimName(_) => Operation::ClaimName,
            Self::ReleaseName { .. } => Operation::ReleaseName,
            Self::SetPrices(_) => Operation::SetPrices,
            Self::Pause(_) => Operation::Pause,
            Self::Keys => Operation::Keys,
            Self::RotateToken => Operation::RotateToken,
            Self::ApiKeys => Operation::ApiKeys,
            Self::CreateKey(_) => Operation::CreateKey,
            Self::RevokeKey { .. } => Operation::RevokeKey,
            Self::RevokeKeys => Operation::RevokeKeys,
            Self::Audit { .. } => Operation::Audit,
            Self::Network => Operation::Network,
            Self::Invite(_) => Operation::Invite,
        }
    }
}
