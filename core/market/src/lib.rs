//! Match offers with needs; quote, lease, meter, settle.
//!
//! The market never moves money: it says what fits, what is reserved, what was delivered and when a receipt should
//! be carried to the ledger. `ledger` checks and commits, `peer` carries one to the other.
//!
//! | side | part | question it answers |
//! |---|---|---|
//! | buyer | [`OfferIndex`] | who sells what I need, best first, or which constraint excluded how many |
//! | buyer | [`placement`] | which slots need a lease now, and which operators must be avoided |
//! | buyer | [`Watch`] | does the replica still serve, and is it my turn to replace it |
//! | buyer | [`Meter`] | what did the replica deliver, and what do I sign for it |
//! | both | [`trust::Book`] | how far is an operator trusted, and what shows it |
//! | seller | [`Desk`] | is there room, and for how long is it held |
//! | seller | [`Till`] | what was I paid, what do I settle, and whom do I stop serving |
//!
//! # Rules
//! - Prices and amounts are integers; a bill is computed on cumulative counters, so settling often or once is the same.
//! - A payer counts by its own probes and its gateways, never by the provider's report.
//! - Every answer is a function of what was told before: no clock, no randomness, no order of a hash.
//! - Signatures are the caller's: what enters here was opened, what leaves here is sealed by the caller.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod desk;
pub mod index;
pub mod meter;
pub mod offer;
pub mod placement;
pub mod quote;
pub mod signer;
pub mod till;
pub mod trust;
pub mod watch;

pub use desk::{Buyer, Desk, DeskSetup, OpenError};
pub use index::{MATCHES, OfferIndex};
pub use meter::{AdoptError, Meter, Word};
pub use offer::{Constraint, Match, Need, NoOffer, Offer, OfferError, Trust};
pub use placement::{Due, Held, Pick, SlotNeed, due, place};
pub use quote::{QuoteReply, QuoteRequest, Refusal};
pub use signer::{Payer, signer};
pub use till::{Claimable, ReceiptError, Settled, Tab, Till};
pub use watch::{Health, Watch};
