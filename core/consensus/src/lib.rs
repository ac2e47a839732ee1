//! Order opaque blocks among validators, some of whom lie (Malachite core inside).
//!
//! [`Consensus`] is one validator's machine: events in ([`Consensus::handle`]), actions out
//! ([`Consensus::poll_action`]), and a time at which to call again ([`Consensus::poll_timeout`]). It knows nothing of
//! what a block means: the host builds, validates and commits blocks; the machine makes more than two thirds of the
//! voting power agree on one block per height, whatever the other third does.
//!
//! # Rules the host keeps
//! - Actions are carried out strictly in their order. [`Action::WalFlush`] is durable before the next action begins;
//!   a host whose log fails stops the machine for good.
//! - After a restart [`Event::Start`] brings every entry logged since the last [`Action::WalReset`] for exactly the
//!   height that is decided next, in order. A validator that lost its log must not start at a height it took part in.
//! - After each commit, and whenever a transaction arrives, the host says [`Event::Work`] if a transaction waits.
//!
//! # How it is built
//! - `machine` holds the phases of a height (waiting, running, decided), `host` answers Malachite's effects, `chain`
//!   gives Malachite our types, `journal` is the log, `inbox` keeps messages that come early, `claims` notices that
//!   others are ahead, `timers` knows how long to wait.
//! - A proposal carries its block, or its hash alone when the block is long: who lacks it asks those who have voted for it.
//!   Without it nobody votes, so that what is decided is with two thirds. A short proposal carries its block. Malachite sees only block ids and is told a block's validity by the host; what it
//!   accepted is exactly what it asks to log, so blocks enter the log and the host's validation there.
//! - Nothing leaves before the log behind it is flushed, and no second vote for one round is ever signed: besides
//!   Malachite's own guard, `host` refuses by a table of its own.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod blocks;
mod bodies;
mod certificate;
mod chain;
mod claims;
mod event;
mod host;
mod inbox;
mod journal;
mod machine;
mod message;
mod timers;
mod validators;

pub use certificate::{
    Certificate, CertificateError, PolkaCertificate, RoundCertificate, RoundSeal, Seal, verify_certificate,
};
pub use event::{Action, Config, Event, Fault};
pub use grange_types::vote::{Equivocation, Proposal, SignedProposal, SignedVote, Vote, VoteKind};
pub use journal::{Entry, Step};
pub use machine::Consensus;
pub use message::{BLOCK_LIMIT, Message};
pub use timers::Timeouts;
pub use validators::{Quorum, Validator, ValidatorSet};
