//! API keys: how one is wished for, shown and revoked.

use grange_types::{Amount, KeyId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::timestamp::Timestamp;

/// A wish for an API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// Its name, by which it is listed and revoked: 1 to 63 bytes.
    #[schema(min_length = 1, max_length = 63, example = "ci")]
    pub name: String,
    /// What it may do: `read`, `data`, `deploy`, `name`, `pay`, `sell`, `invite`.
    #[schema(example = json!(["deploy", "read"]))]
    pub scopes: Vec<String>,
    /// Only with things whose name begins so.
    #[serde(default)]
    #[schema(max_length = 63)]
    pub prefix: String,
    /// For how many seconds it is taken; for ever where it is not given.
    #[serde(default)]
    #[schema(minimum = 1, example = 2_592_000)]
    pub valid_for: Option<u64>,
    /// The most that it may spend in all its life, in credits; no limit where it is not given.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "10")]
    pub max_spend: Option<Amount>,
}

/// An API key, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApiKey {
    /// Its id: a hash, from which nobody makes the key.
    #[schema(value_type = String)]
    pub id: KeyId,
    /// Its name.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<String>,
    /// Only with things whose name begins so; empty for all.
    pub prefix: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created: Timestamp,
    /// Until when it is taken; `null` for ever.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub until: Option<Timestamp>,
    /// The most that it may spend; `null` for no limit.
    #[schema(value_type = Option<String>)]
    pub max_spend: Option<Amount>,
    /// What it and the keys narrowed from it have spent.
    #[schema(value_type = String)]
    pub spent: Amount,
    /// `active`, `expired` or `revoked`.
    pub state: String,
}

/// A key that was just made. Its secret is shown this once and kept nowhere.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NewApiKey {
    /// The key.
    #[serde(flatten)]
    pub key: ApiKey,
    /// What stands behind `Bearer`.
    pub token: String,
}

impl core::fmt::Debug for NewApiKey {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("NewApiKey").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A key that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RevokedKey {
    /// Its id.
    #[schema(value_type = String)]
    pub id: KeyId,
    /// Its name.
    pub name: String,
}
