//! What can be typed after `grange`: the grammar, and nothing of what it does.

mod dev;
mod identity;
mod key;
mod node;
mod value;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use grange_types::{AccountId, Amount, IdStart};

use crate::project::Wanted;

pub(crate) use dev::{Dev, DevAction, Tour};
pub(crate) use identity::{DeviceAction, DeviceRole, Identity, IdentityAction, Sealed};
pub(crate) use key::{KeyAction, Limits};
pub(crate) use node::{Prices, Up};
pub(crate) use value::duration;
use value::{Cap, account, account_start, cap, lease_start, whole};

/// The people's cloud: rent computers from each other, deploy to them, pay by the second.
#[derive(Debug, Parser)]
#[command(name = "grange", version, propagate_version = true, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Global {
    /// The node to ask, such as http://127.0.0.1:8081; else that of `grange up`, else the first of the dev cloud
    #[arg(long, global = true, value_name = "URL", env = "GRANGE_NODE", hide_env_values = true)]
    pub(crate) node: Option<String>,
    /// The file that holds the node's token or an API key; else GRANGE_TOKEN, else the file that nodes.json names
    #[arg(long, global = true, value_name = "FILE", env = "GRANGE_TOKEN_FILE", hide_env_values = true)]
    pub(crate) token_file: Option<PathBuf>,
    /// Print JSON for scripts; a failure is one JSON object on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// The commands, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node in the foreground; the first time makes its folder
    Up(Box<Up>),
    /// Run a whole cloud of independent operators on this machine
    Dev(Dev),
    /// Write a project that can be deployed as it is
    Init {
        /// What kind of project
        #[arg(long, value_enum, default_value_t = Template::Site)]
        template: Template,
        /// The folder, made if it is not there
        #[arg(value_name = "DIR", default_value = ".")]
        folder: PathBuf,
    },
    /// Read a compose file and say every mistake in it
    Validate(App),
    /// Print what a compose file may hold
    Compose {
        #[command(subcommand)]
        action: ComposeAction,
    },
    /// Show where an app would run and the most it would cost
    Plan(App),
    /// Deploy an app, or change the one of its name
    Deploy(App),
    /// List replicas: where they run and how they are
    Ps {
        /// Only this deployment: its name, its id, or eight or more first digits of that
        name: Option<String>,
    },
    /// Print what the services of a deployment wrote
    Logs {
        /// The deployment: its name or its id
        name: String,
        /// Wait for more at the end
        #[arg(short, long)]
        follow: bool,
        /// Only this service
        #[arg(long)]
        service: Option<String>,
        /// Only lines whose id is greater
        #[arg(long, value_name = "ID", value_parser = whole(0..=u64::MAX))]
        after: Option<u64>,
        /// Also print lines of replicas that were replaced; not while following
        #[arg(long, conflicts_with = "follow")]
        earlier: bool,
    },
    /// Show how the node and its ledger fare
    Status,
    /// End a deployment; the rest of its budget returns
    Down {
        /// The deployment: its name or its id
        name: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Read a deployment's key-value data
    Data {
        #[command(subcommand)]
        action: DataAction,
    },
    /// List the providers that the node has heard of
    Providers,
    /// List what is for sale, cheapest first
    Offers,
    /// Show how far operators are trusted, and what each number rests on
    Trust {
        /// Only this operator: its account, a node of its, eight or more first digits of either, or a node's name
        #[arg(value_name = "OPERATOR|NODE")]
        of: Option<String>,
    },
    /// List the peers that the node is connected to
    Peers,
    /// Look after money
    Wallet {
        #[command(subcommand)]
        action: WalletAction,
    },
    /// Show the bill of a deployment, line by line
    Usage(Bill),
    /// Look after names
    Name {
        #[command(subcommand)]
        action: NameAction,
    },
    /// Sell this node's capacity
    Provider {
        #[command(subcommand)]
        action: ProviderAction,
    },
    /// Look into the ledger
    Ledger {
        #[command(subcommand)]
        action: LedgerAction,
    },
    /// Look after API keys and the node's token
    Key {
        #[command(subcommand)]
        action: KeyAction,
    },
    /// Look after the owner's key: its recovery phrase, its passphrase, and the devices that act for the account
    Identity(Identity),
    /// Show who asked what of the node, and what came of it
    Audit {
        /// Wait for more at the end
        #[arg(short, long)]
        follow: bool,
        /// Only calls of this key's name, its id or eight or more first digits of that, or of `owner`
        #[arg(long, value_name = "NAME")]
        principal: Option<String>,
        /// Only lines whose number is greater
        #[arg(long, value_name = "NUMBER", value_parser = whole(0..=u64::MAX))]
        after: Option<u64>,
    },
    /// Make a network, or show which one this is
    Network {
        #[command(subcommand)]
        action: NetworkAction,
    },
    /// Make a string by which another machine joins
    Invite {
        /// For how long a machine takes it for good, such as 30m, 1h or 2d
        #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
        valid_for: u64,
    },
    /// Check this machine, and say what would help
    Doctor {
        /// The folder of the node to check; else the one of `grange up`
        #[arg(long, value_name = "DIR")]
        data: Option<PathBuf>,
    },
    /// Print completions for a shell
    Completions {
        /// The shell
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Run a dev cloud until Ctrl-C, deploy an app to it and show what happens; one that ran before goes on afterwards
    Tour(Tour),
    /// Turn a wasm component into native code; nodes run this
    #[command(hide = true)]
    CompileComponent {
        /// The component
        input: PathBuf,
        /// Where the native code goes
        output: PathBuf,
    },
}

/// An app to read.
#[derive(Debug, Args)]
pub(crate) struct App {
    /// A compose file, or a folder that holds compose.yaml, compose.yml or docker-compose.yml
    #[arg(value_name = "FILE|DIR", default_value = ".")]
    pub(crate) path: PathBuf,
    /// A compose file; given again, each is laid over those before it. The first one's folder holds all others
    #[arg(short, long = "file", value_name = "FILE", conflicts_with = "path")]
    pub(crate) files: Vec<PathBuf>,
    /// Also the services of this profile, `*` for all; else those of COMPOSE_PROFILES
    #[arg(long = "profile", value_name = "NAME")]
    pub(crate) profiles: Vec<String>,
}

impl App {
    /// What is to be read.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted { path: &self.path, files: &self.files, profiles: &self.profiles }
    }
}

/// What can be printed about compose files.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum ComposeAction {
    /// Print the JSON Schema of a compose file with x-grange, for editors
    Schema,
}

/// What `init` can write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Template {
    /// A static site
    Site,
    /// A service in JavaScript
    Js,
}

/// What can be done with data.
#[derive(Debug, Subcommand)]
pub(crate) enum DataAction {
    /// Print the key-value data of a deployment, one JSON object a line
    Export {
        /// The deployment: its name or its id
        name: String,
        /// Only this service
        #[arg(long)]
        service: Option<String>,
        /// Also print what earlier generations left
        #[arg(long)]
        earlier: bool,
    },
}

/// What can be done with money.
#[derive(Debug, Subcommand)]
pub(crate) enum WalletAction {
    /// Show what there is
    Balance,
    /// Send money; returns once it is final
    Send {
        /// The account that gets it
        #[arg(value_name = "ACCOUNT", value_parser = account)]
        to: AccountId,
        /// How much, in credits
        #[arg(allow_negative_numbers = true)]
        amount: Amount,
        /// A word to the receiver
        #[arg(long, default_value = "", hide_default_value = true)]
        memo: String,
    },
    /// Show or change what keys may put into deployments a day, and how the budgets of deployments stand
    Caps {
        /// Each key may put in so many credits a day from now on; `none` lifts the cap, and nothing is counted without one.
        /// Only the owner's key may say so
        #[arg(long, value_name = "CREDITS|none", allow_negative_numbers = true, value_parser = cap)]
        per_day: Option<Cap>,
        #[command(flatten)]
        sealed: Sealed,
    },
    /// Show what came and went, newest first
    History {
        /// At most so many entries
        #[arg(long, default_value_t = grange_api::Call::HISTORY, value_parser = whole(1..=1_000_u32))]
        limit: u32,
    },
}

/// What an auditor believes from the beginning.
#[derive(Debug, Args)]
pub(crate) struct Trusted {
    /// The genesis of the network, as `ledger genesis` prints it or as it lies in a node's folder
    #[arg(long, value_name = "FILE")]
    pub(crate) genesis: PathBuf,
    /// Begin at this checkpoint, as `ledger checkpoint` printed it, and not at the genesis
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
}

impl Trusted {
    /// What it begins at, in a word.
    pub(crate) const fn beginning(&self) -> &'static str {
        if self.checkpoint.is_some() { "checkpoint" } else { "genesis" }
    }
}

/// A bill.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Bill {
    #[command(subcommand)]
    pub(crate) action: Option<BillAction>,
    /// The deployment: its name, its id, or eight or more first digits of that
    #[arg(required = true)]
    pub(crate) name: Option<String>,
    /// Print it as a table for billing tools instead
    #[arg(long, value_enum)]
    pub(crate) format: Option<BillFormat>,
}

/// A form in which billing tools read a bill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum BillFormat {
    /// The FinOps Open Cost and Usage Specification 1.2, as comma-separated values
    Focus,
}

/// What can be done with a bill.
#[derive(Debug, Subcommand)]
pub(crate) enum BillAction {
    /// Make a bill again from the receipts in a node's blocks, each of them verified, and compare it with the node's
    Verify {
        /// The deployment: its name, its id, or eight or more first digits of that
        name: String,
        #[command(flatten)]
        trusted: Trusted,
    },
}

/// What can be done with names.
#[derive(Debug, Subcommand)]
pub(crate) enum NameAction {
    /// List the names that the account holds
    List,
    /// Take a name for a deployment
    Claim {
        /// The name: lower-case letters, digits and dashes
        name: String,
        /// The deployment that it shall lead to
        deployment: String,
    },
    /// Give a name back
    Release {
        /// The name
        name: String,
    },
}

/// What a provider can do.
#[derive(Debug, Subcommand)]
pub(crate) enum ProviderAction {
    /// Set prices in credits; what is not given stays. Without any, show them
    Price(Prices),
    /// Take no new work; what runs goes on
    Pause,
    /// Take new work again
    Resume,
}

/// What can be asked of the ledger.
#[derive(Debug, Subcommand)]
pub(crate) enum LedgerAction {
    /// Show the last final block
    Height,
    /// Show what the ledger says of an account
    Account {
        /// The account, or eight or more first digits of it
        #[arg(value_name = "ACCOUNT", value_parser = account_start)]
        id: IdStart,
    },
    /// Show what the ledger says of a lease
    Lease {
        /// The lease, or eight or more first digits of it, as `grange usage` shows them
        #[arg(value_name = "LEASE", value_parser = lease_start)]
        id: IdStart,
    },
    /// Show where a name leads, whoever holds it
    Name {
        /// The name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Verify every block and signature of a node's chain, without taking its word for anything
    Verify(Trusted),
    /// Print a checkpoint of the node's newest snapshot, to be kept and verified from later
    Checkpoint,
    /// Print the genesis of the node's network
    Genesis,
}

/// What can be done with networks.
#[derive(Debug, Subcommand)]
pub(crate) enum NetworkAction {
    /// Make the folder of a node that founds a network; `grange up` starts it
    Create(Box<Up>),
    /// Show which network this is, and who orders its ledger
    Show,
}
