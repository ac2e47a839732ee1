//! The arguments of `dev` and `tour`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::value;

/// Operators of one dev cloud: as many as have a name.
const MOST: u32 = 16;

/// A dev cloud to run, or what to do with it.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = false)]
pub(crate) struct Dev {
    #[command(subcommand)]
    pub(crate) action: Option<DevAction>,
    /// How many nodes, each an operator of its own; 4 for a new cloud
    #[arg(long, value_name = "N", value_parser = value::whole(1..=MOST))]
    pub(crate) nodes: Option<u32>,
    /// The cloud's folder; else grange/dev below XDG_DATA_HOME
    #[arg(long, value_name = "DIR", global = true)]
    pub(crate) data: Option<PathBuf>,
    /// Return when every node is ready, and leave them running
    #[arg(long)]
    pub(crate) detach: bool,
    /// Let a new cloud be reached from the local network, so that other machines can join it
    #[arg(long)]
    pub(crate) lan: bool,
    /// The version of the ledger's rules that a new cloud begins with and does not go beyond; else the latest
    #[arg(long, value_name = "VERSION", value_parser = value::rules())]
    pub(crate) rules: Option<u16>,
    /// After how long without a link the nodes of a new cloud let a reserve take a steward's place, such as 30s; else 10m
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    pub(crate) lost_after: Option<u64>,
    /// How many nodes that keep no ledger, and believe only what is proven to them, run beside the others; as many as there
    /// are already, if not given
    #[arg(long, value_name = "N", value_parser = value::whole(0..=MOST))]
    pub(crate) light: Option<u32>,
}

/// What can be done with a dev cloud.
#[derive(Debug, Subcommand)]
pub(crate) enum DevAction {
    /// Stop all its nodes; returns when their processes are gone
    Stop,
    /// Start one node again
    Start {
        /// Which, from 0
        #[arg(value_parser = value::whole(0..=u32::MAX))]
        index: u32,
        /// Follow the ledger's rules up to this version from now on
        #[arg(long, value_name = "VERSION", value_parser = value::rules())]
        rules: Option<u16>,
    },
    /// List its nodes and how they are
    Status,
    /// Stop it and remove everything it kept: ledger, money, deployments, data
    Reset {
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
}

/// A tour of a dev cloud.
#[derive(Debug, Args)]
pub(crate) struct Tour {
    /// The app to deploy: a compose file, or a folder that holds one; else a guestbook, which comes with the program
    #[arg(value_name = "FILE|DIR")]
    pub(crate) app: Option<PathBuf>,
    /// How many nodes a new cloud has
    #[arg(long, value_name = "N", value_parser = value::whole(1..=MOST))]
    pub(crate) nodes: Option<u32>,
    /// The cloud's folder; else grange/dev below XDG_DATA_HOME
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
}
