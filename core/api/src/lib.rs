//! Describe what a user may ask of a node (plain types, one OpenAPI).
//!
//! Everything a user can do is one [`Operation`], with one method and path ([`Operation::endpoint`]) and one
//! variant of [`Call`] that carries its typed arguments. A server turns requests into calls with
//! [`Call::from_request`], a client turns calls into requests with [`Call::to_request`], and a test holds the two
//! against each other; so no client spells a path by hand. Answers are a [`Reply`], a stream of [`Line`]s, or a
//! [`Problem`].
//!
//! # Rules
//! - Every request type refuses unknown fields; an unknown field, path or query parameter is named.
//! - Amounts are decimal strings of credits, ids 64 hexadecimal digits, times RFC 3339 in UTC, sizes bytes.
//! - Every failure is one [`Problem`]; [`ProblemCode`] is the only table of HTTP statuses and exit codes.
//! - A stream is NDJSON, one [`Line`] each, and its last line may be a [`Problem`]; a followed log is server-sent
//!   events whose `id:` is the line's [`LogLine::id`].
//!
//! # Limits
//! [`BODY_BYTES`] for a JSON body; [`grange_types::limits::BLOB_BYTES`] for a blob and
//! [`grange_types::limits::TRANSACTION_BYTES`] (and its signature) for an encoded transaction.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod access;
pub mod base64;
pub mod call;
pub mod deployment;
pub mod files;
pub mod key;
pub mod ledger;
pub mod manifest;
pub mod market;
pub mod node;
pub mod openapi;
pub mod operation;
pub mod problem;
pub mod reply;
pub mod request;
pub mod timestamp;
pub mod trust;
pub mod wallet;

pub use access::{About, AuditLine, REQUEST_HEADER};
pub use base64::Base64;
pub use call::Call;
pub use deployment::{
    BegunLine, DataLine, DeployDone, DeployPhase, Down, LeaseEntry, LogLine, NoteLine, Replica, ReplicaState, Usage,
    UsageRow,
};
pub use files::{ContentBody, FileBody, SecretsBody};
pub use key::{ApiKey, KeyRequest, NewApiKey, RevokedKey};
pub use ledger::{
    Account, BlockLine, GenesisFile, Key, KeySet, Lease, LeaseStanding, LedgerHeight, Name, NameRequest, Network,
    OwnedAccount, PieceLine, Upgrade, Validator,
};
pub use manifest::{DeployRequest, ManifestBody, ManifestRequest};
pub use market::{Offer, PauseRequest, Plan, PlannedService, PriceSettings, Provider, ProviderSettings, ResourceSet};
pub use node::{Invite, InviteRequest, NodeRole, Peer, Status, Token};
pub use openapi::{PEER_HEADER, openapi, openapi_json};
pub use operation::{Answering, Endpoint, Method, Operation, Sending};
pub use problem::{Finding, Problem, ProblemCode};
pub use reply::{Blob, Line, Reply};
pub use request::{IncomingRequest, OutgoingRequest};
pub use timestamp::Timestamp;
pub use trust::{TrustEvidence, TrustReport};
pub use wallet::{
    Budget, BudgetUse, CapRequest, Caps, Direction, HistoryEntry, HistoryKind, KeyUse, Submitted, TransferRequest,
    Wallet,
};

/// The most bytes a JSON body may take: a manifest as JSON is at most twice its encoding.
pub const BODY_BYTES: usize = 2 * grange_types::limits::MANIFEST_BYTES;
