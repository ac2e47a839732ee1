//! How far operators are trusted, and the evidence that each number rests on.

use grange_types::{AccountId, PeerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// What the node trusts an operator, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustReport {
    /// The operator.
    #[schema(value_type = String)]
    pub operator: AccountId,
    /// Its nodes that sell.
    #[schema(value_type = Vec<String>)]
    pub nodes: Vec<PeerId>,
    /// Their names for people.
    pub names: Vec<String>,
    /// Whose view this is: the operator of the node that answers. No two need hold the same number.
    #[schema(value_type = String)]
    pub seen_by: AccountId,
    /// That node's name for people.
    pub seen_by_name: String,
    /// From 0 to 100; `null` while nothing that counts was seen, and always of the node's own operator: nobody measures
    /// himself.
    #[schema(minimum = 0, maximum = 100)]
    pub trust: Option<u8>,
    /// The same in thousandths, by which offers of one price are ordered.
    #[schema(minimum = 0, maximum = 1000)]
    pub thousandths: Option<u16>,
    /// What the node saw itself: good and bad weight as they count, within their bound.
    pub own: TrustWeight,
    /// What others say: good and bad weight as they count, within the bounds on each and on all of them.
    pub hearsay: TrustWeight,
    /// How many others that is.
    pub witnesses: u64,
    /// After so many hours a piece of evidence weighs half.
    pub half_life_hours: u64,
    /// What was seen, newest first, a line for each day.
    pub evidence: Vec<TrustEvidence>,
}

/// A good and a bad weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustWeight {
    /// What speaks for it.
    pub good: u64,
    /// What speaks against it.
    pub bad: u64,
}

/// What was seen on one day, by one operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TrustEvidence {
    /// `uptime`, `served`, `lease`, `copy` or `canary`.
    pub kind: String,
    /// Who saw it.
    #[schema(value_type = String)]
    pub observer: AccountId,
    /// A name for people of a node of whoever saw it; empty where none is known.
    pub observer_name: String,
    /// `own`, `heard`, or why it counts for nothing: `itself`, `unbonded`, `fresh`.
    pub standing: String,
    /// How often it went well.
    pub good: u32,
    /// How often it did not.
    pub bad: u32,
    /// What that weighs now, before the bounds.
    pub weight: TrustWeight,
    /// When the last of it was seen.
    #[schema(value_type = String, format = DateTime)]
    pub last: Timestamp,
    /// When it is forgotten.
    #[schema(value_type = String, format = DateTime)]
    pub until: Timestamp,
}
