//! The arguments of `key`.

use clap::{Args, Subcommand};
use grange_types::{Amount, Right};

use super::value;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyAction {
    /// Show what may sign for the account
    Show,
    /// Make an API key, and print it this once
    Create {
        /// Its name, by which it is listed and revoked
        #[arg(long)]
        name: String,
        /// What it may do: read, data, deploy, name, pay, sell, invite
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', required = true, value_parser = value::right)]
        scope: Vec<Right>,
        #[command(flatten)]
        limits: Limits,
    },
    /// List the API keys there are
    List,
    /// Revoke an API key; it is refused at once, and what was narrowed from it
    Revoke {
        /// Its name, its id, or eight or more first digits of that
        #[arg(required_unless_present = "all")]
        name: Option<String>,
        /// Revoke every one
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// Make of the key in --token-file or GRANGE_TOKEN one that may do less, without asking anybody
    Narrow {
        /// Its name
        #[arg(long)]
        name: String,
        /// What of it remains; everything if not given
        #[arg(long, value_name = "SCOPES", value_delimiter = ',', value_parser = value::right)]
        scope: Vec<Right>,
        #[command(flatten)]
        limits: Limits,
    },
    /// Replace the node's own token; the old one is refused at once
    RotateToken,
}

/// How far a key goes.
#[derive(Debug, Args)]
pub(crate) struct Limits {
    /// Only with deployments and names that begin so
    #[arg(long, value_name = "TEXT")]
    pub(crate) prefix: Option<String>,
    /// For how long it is taken, such as 1h or 30d; else for ever
    #[arg(long, value_name = "TIME", value_parser = value::long_duration)]
    pub(crate) until: Option<u64>,
    /// The most that it may spend in all its life, in credits; else no limit
    #[arg(long, value_name = "CREDITS", allow_negative_numbers = true)]
    pub(crate) max_spend: Option<Amount>,
}
