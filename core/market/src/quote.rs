//! What a buyer's node and a desk say to each other.

use grange_types::{Amount, BlobId, DeploymentId, Isolation, Kind, Quote, Resources, Signed, Wire};
use serde::{Deserialize, Serialize};

/// A buyer's question: will you run this, for at most so much?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuoteRequest {
    /// The deployment.
    pub deployment: DeploymentId,
    /// The slot of it.
    pub slot: u32,
    /// The generation that the lease will have.
    pub generation: u64,
    /// What runs.
    pub kind: Kind,
    /// The blob to fetch first; a provider may do so, and compile it, before the lease.
    pub workload: BlobId,
    /// What it may use.
    pub resources: Resources,
    /// The weakest isolation accepted.
    pub isolation: Isolation,
    /// The most the lease may cost per hour.
    pub max_rate: Amount,
    /// Whether the buyer takes this for his own capacity.
    pub own: bool,
}

impl Wire for QuoteRequest {
    const NAME: &'static str = "quote-request";
    // deployment and workload 32 each, slot 5, generation 10, resources 25, amount 14, three small enums.
    const LIMIT: usize = 160;
}

/// A desk's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum QuoteReply {
    /// Reserved, until the quote's last block time.
    Quoted(Box<Signed<Quote>>),
    /// Not reserved.
    Refused(Refusal),
}

impl Wire for QuoteReply {
    const NAME: &'static str = "quote-reply";
    const LIMIT: usize = <Signed<Quote> as Wire>::LIMIT + 1;
}

/// Why a desk reserves nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// It takes no new work.
    #[error("the provider is paused")]
    Paused,
    /// It does not run this kind of work.
    #[error("the provider does not run {kind}")]
    Kind {
        /// What was asked for.
        kind: Kind,
    },
    /// It isolates more weakly than asked.
    #[error("the provider isolates by {strongest} at most")]
    Isolation {
        /// What it gives.
        strongest: Isolation,
    },
    /// Too little is free.
    #[error("the provider is full")]
    Full {
        /// What is free.
        free: Resources,
    },
    /// The resources alone cost more than the lease may.
    #[error("the provider asks {per_hour} an hour")]
    Rate {
        /// What the resources cost.
        per_hour: Amount,
    },
    /// Free capacity was asked for by someone who is not the operator.
    #[error("the provider is not the buyer's own")]
    NotOwn,
    /// A later generation of the slot is reserved or runs here.
    #[error("generation {known} of the slot is newer")]
    Superseded {
        /// The generation that is known.
        known: u64,
    },
    /// Too many reservations are open, of this buyer or of all.
    #[error("the provider holds {open} open reservations already")]
    Busy {
        /// How many of this buyer.
        open: u32,
    },
    /// The buyer's money does not pay the shortest lease on everything it reserves.
    #[error("its account pays for {affords} an hour at most, and would reserve {rate} an hour")]
    Means {
        /// What it would reserve.
        rate: Amount,
        /// What its money pays for.
        affords: Amount,
    },
}
