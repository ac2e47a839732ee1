//! What a node says of itself: status, peers, invitations, tokens.

use core::fmt;

use grange_types::{AccountId, Height, NetworkId, PeerId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// What a node is and how it fares.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The node.
    #[schema(value_type = String)]
    pub peer: PeerId,
    /// Its name for people.
    pub display: String,
    /// The account it acts for.
    #[schema(value_type = String)]
    pub operator: AccountId,
    /// The network it is in.
    #[schema(value_type = String)]
    pub network: NetworkId,
    /// The version of the program.
    pub version: String,
    /// What it does.
    pub roles: Vec<NodeRole>,
    /// Whether it keeps no ledger and believes only what is proven to it.
    #[serde(default)]
    pub light: bool,
    /// The last final block it has applied.
    #[schema(value_type = u64)]
    pub height: Height,
    /// The block time of that block; `null` before the first.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finalized_at: Option<Timestamp>,
    /// How many peers it is connected to.
    pub peers: u32,
    /// Whether it can do all that its roles promise.
    pub ready: bool,
    /// What it waits for when it is not ready, or what is wrong although it is.
    pub reason: Option<String>,
}

/// What a node does, as its configuration says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Orders the ledger.
    Validator,
    /// Sells capacity.
    Provider,
    /// Serves names to the outside.
    Gateway,
    /// Carries packets of peers that cannot reach each other.
    Relay,
    /// Watches over deployments of others.
    Steward,
}

impl NodeRole {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Validator, Self::Provider, Self::Gateway, Self::Relay, Self::Steward];
}

impl fmt::Display for NodeRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Validator => "validator",
            Self::Provider => "provider",
            Self::Gateway => "gateway",
            Self::Relay => "relay",
            Self::Steward => "steward",
        })
    }
}

/// A peer that the node is connected to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Peer {
    /// The peer.
    #[schema(value_type = String)]
    pub peer: PeerId,
    /// Its name for people, empty when it told none.
    pub display: String,
    /// Where it is reached now: an address, or the relay in between.
    pub address: Option<String>,
    /// Whether packets go through a relay.
    pub relayed: bool,
    /// The round trip in milliseconds, once measured.
    pub round_trip_ms: Option<u64>,
    /// Since when it is connected.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// A request for an invitation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InviteRequest {
    /// For how many seconds it lets machines join.
    #[schema(minimum = 1, example = 3600)]
    pub valid_for: u64,
}

/// A string by which another machine joins the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invite {
    /// The argument of `grange up --join`.
    pub invite: String,
    /// When it lapses.
    #[schema(value_type = String, format = DateTime)]
    pub expires: Timestamp,
}

/// A new API token; the one before it is refused from now on.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Token {
    /// What stands behind `Bearer`.
    pub token: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}
