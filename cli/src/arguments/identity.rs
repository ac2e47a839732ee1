//! The arguments of `identity`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use grange_types::{AccountId, Amount, IdStart, PublicKey};

use super::value;

/// The owner's key.
#[derive(Debug, Args)]
pub(crate) struct Identity {
    #[command(subcommand)]
    pub(crate) action: IdentityAction,
    #[command(flatten)]
    pub(crate) sealed: Sealed,
}

/// Where the owner's key is sealed, and what opens it.
#[derive(Debug, Args)]
pub(crate) struct Sealed {
    /// The folder of the node; else the one that nodes.json names
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// The file that holds the passphrase; else systemd's credential grange-passphrase, else it is asked for
    #[arg(long, value_name = "FILE", global = true, env = "GRANGE_PASSPHRASE_FILE", hide_env_values = true)]
    pub(crate) passphrase_file: Option<PathBuf>,
}

/// What can be done with it.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityAction {
    /// Show the account, its owner's key, and whether it has a recovery phrase
    Show,
    /// Make the owner's key and show its recovery phrase, 24 words, this once; the node's own key may then only spend
    Phrase {
        /// Show the phrase that there is, once more
        #[arg(long)]
        again: bool,
        /// Print it also where no terminal shows it
        #[arg(short, long)]
        yes: bool,
        /// The most that the node's own key may spend in a day, in credits
        #[arg(
            long,
            value_name = "CREDITS",
            allow_negative_numbers = true,
            default_value = "1000",
            conflicts_with = "again"
        )]
        per_day: Amount,
    },
    /// Read a recovery phrase from stdin, and let this machine's node act for its account
    Restore {
        /// The account, where the phrase is of several
        #[arg(long, value_name = "ACCOUNT", value_parser = value::account)]
        account: Option<AccountId>,
        /// The most that the node's own key may spend in a day, in credits
        #[arg(long, value_name = "CREDITS", allow_negative_numbers = true, default_value = "1000")]
        per_day: Amount,
    },
    /// Change the passphrase of the owner's key
    Passwd {
        /// The file that holds the new passphrase; else it is asked for
        #[arg(long, value_name = "FILE")]
        new_passphrase_file: Option<PathBuf>,
    },
    /// Look after the keys that act for the account
    Device {
        #[command(subcommand)]
        action: DeviceAction,
    },
}

/// What can be done with devices.
#[derive(Debug, Subcommand)]
pub(crate) enum DeviceAction {
    /// List the keys that act for the account
    List,
    /// Let a key act for the account, or change what it may do
    Add {
        /// The device's public key: 64 hexadecimal digits
        #[arg(value_name = "KEY", value_parser = value::public_key)]
        key: PublicKey,
        /// What it may do
        #[arg(long, value_enum, default_value_t = DeviceRole::Spend)]
        role: DeviceRole,
        /// The most that it may spend in a day, in credits
        #[arg(long, value_name = "CREDITS", allow_negative_numbers = true, default_value = "100")]
        per_day: Amount,
    },
    /// Take a key out; the ledger refuses what it signs from then on
    Revoke {
        /// The device's public key, or eight or more first digits of it
        #[arg(value_name = "KEY", value_parser = value::public_key_start)]
        key: IdStart,
    },
}

/// What a device may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceRole {
    /// Spend up to the ceiling: transfers, deployments, receipts
    Spend,
    /// Sign for a node: offers, quotes, settlements; no money leaves through it
    Node,
    /// Everything, also changing the key set
    Owner,
}
