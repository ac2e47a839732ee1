//! What one node saw of others, told to everybody: how often it looked, and how often it was answered.
//!
//! Whose words these are says the envelope's signer; what they are worth, says whoever hears them. They name operators
//! and not nodes: an operator is looked at once a round, however many nodes it has.

use serde::{Deserialize, Serialize};

use crate::codec::Wire;
use crate::id::AccountId;

/// What a node saw in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sightings {
    /// Which period, counted since the Unix epoch.
    pub period: u64,
    /// What was seen, at most [`Sightings::MOST`].
    pub seen: Vec<Sighting>,
}

/// What was seen of one operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// The operator that was looked at.
    pub operator: AccountId,
    /// How often one of its nodes was asked whether it is there.
    pub looks: u8,
    /// How often it answered.
    pub answered: u8,
}

impl Sightings {
    /// Operators in one message: with its envelope it stays below 2 KiB.
    pub const MOST: usize = 32;
}

impl Wire for Sightings {
    const NAME: &'static str = "sightings";
    const LIMIT: usize = 16 + Self::MOST * 34;
}
