//! What a node answers: one value, or lines.

use grange_types::{BlobId, ByteCount};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::AuditLine;
use crate::deployment::{BegunLine, DataLine, DeployDone, DeployPhase, Down, LogLine, NoteLine, Replica, Usage};
use crate::key::{ApiKey, NewApiKey, RevokedKey};
use crate::ledger::{
    Account, BlockLine, GenesisFile, KeySet, Lease, LedgerHeight, Name, Network, OwnedAccount, PieceLine,
};
use crate::market::{Offer, Plan, Provider, ProviderSettings};
use crate::node::{Invite, Peer, Status, Token};
use crate::problem::Problem;
use crate::trust::TrustReport;
use crate::wallet::{Caps, HistoryEntry, Submitted, Wallet};

/// The one value of an answer. In JSON it is the value alone; the operation says which it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Reply {
    /// To [`crate::Call::Status`].
    Status(Status),
    /// To [`crate::Call::Peers`].
    Peers(Vec<Peer>),
    /// To [`crate::Call::Offers`].
    Offers(Vec<Offer>),
    /// To [`crate::Call::Providers`].
    Providers(Vec<Provider>),
    /// To [`crate::Call::Trust`].
    Trust(Vec<TrustReport>),
    /// To [`crate::Call::Plan`].
    Plan(Plan),
    /// To [`crate::Call::PutBlob`] and [`crate::Call::HasBlob`].
    Blob(Blob),
    /// To [`crate::Call::Deployments`] and [`crate::Call::Deployment`].
    Replicas(Vec<Replica>),
    /// To [`crate::Call::Down`].
    Down(Down),
    /// To [`crate::Call::Usage`].
    Usage(Usage),
    /// To [`crate::Call::Wallet`].
    Wallet(Wallet),
    /// To [`crate::Call::Caps`].
    Caps(Caps),
    /// To [`crate::Call::Transfer`], [`crate::Call::SetCap`], [`crate::Call::SubmitTransaction`], [`crate::Call::ClaimName`] and
    /// [`crate::Call::ReleaseName`].
    Submitted(Submitted),
    /// To [`crate::Call::WalletHistory`].
    History(Vec<HistoryEntry>),
    /// To [`crate::Call::LedgerHeight`].
    LedgerHeight(LedgerHeight),
    /// To [`crate::Call::LedgerAccount`].
    Account(Account),
    /// To [`crate::Call::LedgerLease`].
    Lease(Lease),
    /// To [`crate::Call::LedgerName`].
    Name(Name),
    /// To [`crate::Call::LedgerKey`].
    Accounts(Vec<OwnedAccount>),
    /// To [`crate::Call::LedgerGenesis`].
    Genesis(GenesisFile),
    /// To [`crate::Call::Names`].
    Names(Vec<Name>),
    /// To [`crate::Call::SetPrices`] and [`crate::Call::Pause`].
    Provider(ProviderSettings),
    /// To [`crate::Call::Keys`].
    Keys(KeySet),
    /// To [`crate::Call::RotateToken`].
    Token(Token),
    /// To [`crate::Call::ApiKeys`].
    ApiKeys(Vec<ApiKey>),
    /// To [`crate::Call::CreateKey`].
    NewApiKey(NewApiKey),
    /// To [`crate::Call::RevokeKey`] and [`crate::Call::RevokeKeys`].
    RevokedKeys(Vec<RevokedKey>),
    /// To [`crate::Call::Network`].
    Network(Network),
    /// To [`crate::Call::Invite`].
    Invite(Invite),
}

/// A blob that the node holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Blob {
    /// Its name: BLAKE3 of its bytes.
    #[schema(value_type = String)]
    pub id: BlobId,
    /// Its size in bytes.
    #[schema(value_type = u64)]
    pub size: ByteCount,
}

/// One line of a streamed answer. In JSON it is the value alone; its fields say which it is.
///
/// A reader that knows what it asked for reads, for instance, a deployment's lines as this type: the variants are
/// told apart by their required fields.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Line {
    /// The stream broke off here.
    Problem(Problem),
    /// The last line of a deployment.
    Done(DeployDone),
    /// A phase of a deployment is done.
    Phase(DeployPhase),
    /// A line of a log.
    Log(LogLine),
    /// A key and its value.
    Data(DataLine),
    /// A block and what decided it.
    Block(BlockLine),
    /// A piece of a snapshot.
    Piece(PieceLine),
    /// A line of the audit log.
    Audit(AuditLine),
    /// A store of key-values was begun; between nodes only.
    Begun(BegunLine),
    /// What is worth knowing of the other lines.
    Note(NoteLine),
}

impl From<Result<Self, Problem>> for Line {
    fn from(line: Result<Self, Problem>) -> Self {
        line.unwrap_or_else(Self::Problem)
    }
}
