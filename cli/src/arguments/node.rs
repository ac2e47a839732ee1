//! The arguments of `up`, which are those of a node's folder.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use grange_api::PriceSettings;
use grange_types::{Amount, Region};

use super::value;

/// A node to run. What is given is kept in its folder for the next time.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Up {
    /// The node's folder; else grange/node below XDG_DATA_HOME
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// What `grange invite` printed on a machine of the network to join
    #[arg(long, value_name = "INVITATION")]
    pub(crate) join: Option<String>,
    /// The name of the network to found
    #[arg(long, value_name = "NAME", conflicts_with = "join")]
    pub(crate) network: Option<String>,
    /// The node's name for people
    #[arg(long, value_name = "NAME")]
    pub(crate) display: Option<String>,
    /// Where it stands, such as eu-be-ghent
    #[arg(long, value_parser = value::region)]
    pub(crate) region: Option<Region>,
    /// Where its API listens, on loopback
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = value::loopback)]
    pub(crate) api: Option<SocketAddr>,
    /// Where it serves names over HTTP
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = value::address)]
    pub(crate) gateway: Option<SocketAddr>,
    /// The UDP address on which it talks to peers
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = value::address)]
    pub(crate) listen: Option<SocketAddr>,
    /// Offer a relay on this TCP address, for peers that cannot reach each other
    #[arg(long, value_name = "ADDRESS:PORT", value_parser = value::address)]
    pub(crate) relay: Option<SocketAddr>,
    /// Let go of blocks before the last two snapshots; who keeps all can be audited from the genesis
    #[arg(long)]
    pub(crate) prune: bool,
    /// Follow the ledger's rules up to this version only, to hold an upgrade back; else all that this program knows
    #[arg(long, value_name = "VERSION", value_parser = value::rules())]
    pub(crate) rules: Option<u16>,
    /// Spend up to this much a day on small orders that show whether providers serve; 0 for none
    #[arg(long, value_name = "CREDITS", allow_negative_numbers = true)]
    pub(crate) canaries: Option<Amount>,
    /// Let a reserve take the place of a steward that could not be reached for so long, such as 30m; else 10m
    #[arg(long, value_name = "TIME", value_parser = value::duration)]
    pub(crate) lost_after: Option<u64>,
    #[command(flatten)]
    pub(crate) prices: Prices,
    /// The process that keeps it: it ends when that one does
    #[arg(long, hide = true, value_name = "PID", conflicts_with = "detached")]
    pub(crate) supervised_by: Option<i32>,
    /// Started by another process, and outlives it
    #[arg(long, hide = true)]
    pub(crate) detached: bool,
}

/// Prices in credits; what is not given stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub(crate) struct Prices {
    /// The price of one processor for an hour
    #[arg(long, value_name = "CREDITS", allow_negative_numbers = true, help_heading = "Prices")]
    pub(crate) cpu_hour: Option<Amount>,
    /// The price of one GiB of memory for an hour
    #[arg(long, value_name = "CREDITS", allow_negative_numbers = true, help_heading = "Prices")]
    pub(crate) memory_gib_hour: Option<Amount>,
    /// The price of one GiB of disk for an hour
    #[arg(long, value_name = "CREDITS", allow_negative_numbers = true, help_heading = "Prices")]
    pub(crate) disk_gib_hour: Option<Amount>,
    /// The price of a million requests
    #[arg(long, value_name = "CREDITS", allow_negative_numbers = true, help_heading = "Prices")]
    pub(crate) request_million: Option<Amount>,
    /// The price of one GiB sent to clients
    #[arg(long, value_name = "CREDITS", allow_negative_numbers = true, help_heading = "Prices")]
    pub(crate) egress_gib: Option<Amount>,
}

impl Prices {
    /// Whether none is given.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// All five, where all are given.
    pub(crate) fn whole(&self) -> Option<PriceSettings> {
        Some(PriceSettings {
            cpu_hour: self.cpu_hour?,
            memory_gib_hour: self.memory_gib_hour?,
            disk_gib_hour: self.disk_gib_hour?,
            request_million: self.request_million?,
            egress_gib: self.egress_gib?,
        })
    }

    /// The present prices with the given ones put in.
    pub(crate) fn over(&self, present: PriceSettings) -> PriceSettings {
        PriceSettings {
            cpu_hour: self.cpu_hour.unwrap_or(present.cpu_hour),
            memory_gib_hour: self.memory_gib_hour.unwrap_or(present.memory_gib_hour),
            disk_gib_hour: self.disk_gib_hour.unwrap_or(present.disk_gib_hour),
            request_million: self.request_million.unwrap_or(present.request_million),
            egress_gib: self.egress_gib.unwrap_or(present.egress_gib),
        }
    }
}
