//! Name the things: keys, ids, amounts, units, signed envelopes, wire codec, limits.
//!
//! Everything in Grange that two crates must agree on has its name here, and only here: `ledger`,
//! `market` and `app` do not know each other, so the words they share (a price, a lease's terms, a
//! receipt, a manifest) are spelled in this crate. It holds data and arithmetic, no rules of conduct.
//!
//! # Rules
//! - Integers only. An [`Amount`] is a `u128` count of 10⁻¹² credit; text and JSON carry decimal strings.
//! - Only a type that implements [`Wire`] or [`Record`] can be turned into bytes, and each has golden bytes
//!   under `golden/` that freeze it.
//! - A decoder refuses bytes that are longer than the type's limit or do not re-encode to themselves.
//! - Every signature covers a domain, a network id and an expiry ([`Signed`]), and there is one predicate
//!   for it: `verify_strict`.

pub mod amount;
pub mod codec;
pub mod envelope;
pub mod id;
pub mod id_start;
pub mod key;
pub mod lease;
pub mod limits;
pub mod manifest;
pub mod plant;
pub mod price;
pub mod rights;
pub mod seal;
pub mod sighting;
mod signature;
#[cfg(feature = "simulation")]
pub mod simulation;
pub mod unit;
pub mod vote;
pub mod work;

pub use amount::{Amount, AmountError, ParseAmountError};
pub use codec::{DecodeError, Record, Wire};
pub use envelope::{EnvelopeError, Signed};
pub use id::{
    AccountId, BlobId, BlockId, DeploymentId, KeyId, LeaseId, NetworkId, ParseIdError, PeerId, StateRoot, TxId,
};
pub use id_start::{AmbiguousId, IdStart, ParseIdStartError};
pub use key::{KeyError, KeyGrant, PublicKey, Role, SecretKey, Signature};
pub use lease::{Counters, LeaseTerms, Quote, Receipt};
pub use manifest::{
    Content, File, HealthCheck, Manifest, On, Placement, Service, SiteFile, SiteIndex, SlotSpec, Workload,
};
pub use plant::{Plant, is_sown};
pub use price::{Isolation, Kind, OfferDelta, PriceSheet, Prices, Region, Resources, Sku, UsageLine};
pub use rights::{Right, Rights, RightsBlock, RightsError, RightsToken, Scope};
pub use seal::{SealKey, Secrets};
pub use sighting::{Sighting, Sightings};
pub use unit::{ByteCount, Height, Millis, Time};
pub use vote::{Equivocation, EquivocationError, Proposal, SignedProposal, SignedVote, Vote, VoteKind};
pub use work::Work;
