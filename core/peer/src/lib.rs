//! One peer's mind: routes every event to the machine that knows, collects its actions.
//!
//! [`Peer`] joins the machines below it, none of which knows another: consensus orders blocks, the ledger keeps
//! accounts, the market matches, meters and settles. It speaks the grammar of all of them: [`Peer::handle`] takes what
//! the world says, [`Peer::poll_action`] gives what should be done, [`Peer::poll_timeout`] when to come back.
//!
//! # Parts
//! | part | what it does |
//! |---|---|
//! | `spine` | feeds consensus and ledger with each other: build, validate, decide, commit; the mempool |
//! | `sync` | fetches decided blocks from a peer that has more |
//! | `join` | begins from a snapshot where blocks are too many, or gone |
//! | `light` | follows headers under certificates, and believes proofs against them |
//! | `archive` | answers from the disk: blocks, changes of validators, a snapshot piece by piece |
//! | `shelf` | our price sheet, and the sheets of others |
//! | `seller` | quotes, runs what is leased from us, keeps receipts, settles and renews |
//! | `bids` | asks for quotes for one slot and judges them |
//! | `payer` | for deployments we own or steward: probes, meters, signs receipts, replaces what died |
//! | `slots` | what each slot of a deployment needs, and what may stay |
//! | `canary` | orders small things to see whether providers serve |
//! | `deploy` | takes a manifest from the user to serving replicas |
//! | `invoice` | makes a bill again from the receipts in the blocks |
//! | `history` | what came to our account and what went |
//! | `trust` | says what operators are trusted, and what each number rests on |
//! | `witness` | what was seen of other operators, by us and by others: trust |
//! | `copies` | how many copies there are of key-values that we write or keep |
//! | `calls` | answers what a user asks |
//! | `audit` | verifies a chain from its genesis or a checkpoint; no part of a running peer |
//!
//! # Rules
//! - Actions are carried out in order. What must be durable before it is said comes before it in that order.
//! - A workload runs if and only if an open lease of the ledger names this node; nothing else starts or stops one.
//! - What a node owes or is owed survives it: leases on the ledger, receipts with both sides, manifests with stewards.
//! - Nothing here reads a clock or draws a number: time comes with each event, the seed with the configuration.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod action;
mod archive;
mod audit;
mod bids;
mod budget;
mod calls;
mod canary;
mod config;
mod context;
mod copies;
mod deploy;
mod describe;
mod event;
mod funds;
mod gateways;
mod history;
mod invoice;
mod join;
mod library;
mod light;
mod means;
mod message;
mod notes;
mod outlook;
mod payer;
mod peer;
mod problem;
mod retention;
mod routes;
mod secrets;
mod seller;
mod shelf;
mod slots;
mod spine;
mod start;
mod stewards;
mod sync;
mod trust;
mod witness;

pub use action::{Action, Halt, RequestId};
pub use archive::{Archive, page, serve};
pub use audit::{Audit, AuditError, AuditSummary, Checkpoint, ledger_pieces};
pub use config::{Config, Recovery, Roles};
pub use event::{Asker, CallId, Event, Visit, WorkEvent};
pub use history::{Entry, History, Movement};
pub use invoice::{Invoice, InvoiceError};
pub use light::{Reader, Sealed, Shown, Trust, TrustError, Turn};
pub use message::{
    Ask, AskReply, Batch, Channel, Counted, Head, MarketMessage, PROOFS, Piece, Probe, ProbeReply, Proofs,
    SnapshotOffer, SyncReply, SyncRequest, Turns,
};
pub use peer::Peer;
pub use retention::Kept;
pub use routes::{Giver, Named, Parties, Replica, Route, RouteTable, Routed};
pub use start::StartError;
pub use witness::{Evidence, Orders};
