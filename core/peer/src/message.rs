//! What peers say to each other, beside the messages of consensus.

use grange_ledger::{HeaderProof, SnapshotChunk, StateKey, Transaction};
use grange_market::QuoteRequest;
use grange_types::{
    Counters, DeploymentId, Height, LeaseId, OfferDelta, PriceSheet, Quote, Receipt, Record, Sightings, Signed, Wire,
    limits,
};
use serde::{Deserialize, Serialize};

use crate::light::{Sealed, Shown, Turn};

/// A protocol; each is one ALPN at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// Votes and proposals.
    Consensus,
    /// Transactions on their way to a proposer.
    Transactions,
    /// Blocks for who lags behind.
    Sync,
    /// Sheets, quotes, probes, counts.
    Market,
    /// Receipts.
    Steward,
}

/// Transactions for the receiver's mempool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The transactions, oldest first.
    pub transactions: Vec<Signed<Transaction>>,
}

impl Batch {
    /// How many of these transactions one batch may hold, from the first on; at least one.
    #[must_use]
    pub fn fitting(transactions: &[Signed<Transaction>]) -> usize {
        // The count takes a few bytes more.
        let mut room = Self::LIMIT - 8;
        let fits = |transaction: &&Signed<Transaction>| {
            let size = transaction.encode().len();
            let fits = size <= room;
            room = room.saturating_sub(size);
            fits
        };
        transactions.iter().take_while(fits).count().max(1)
    }
}

impl Wire for Batch {
    const NAME: &'static str = "batch";
    const LIMIT: usize = 4 * limits::TRANSACTION_BYTES;
}

/// How far the sender's chain reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Its last height.
    pub height: Height,
    /// The first height whose block it has; what is before was pruned.
    pub first: Height,
}

impl Wire for Head {
    const NAME: &'static str = "head";
    const LIMIT: usize = 20;
}

/// Asks for what follows, or shows, the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SyncRequest {
    /// Decided blocks; answered by [`SyncReply`].
    Blocks {
        /// The first height wanted.
        from: Height,
    },
    /// Changes of the validators; answered by [`Turns`].
    Turns {
        /// Those after this height.
        above: Height,
    },
    /// The newest snapshot there is; answered by [`SnapshotOffer`].
    Snapshot,
    /// A piece of a snapshot; answered by [`Piece`].
    Piece {
        /// The snapshot's height.
        height: Height,
        /// Which piece, from 0.
        index: u32,
    },
    /// Entries of the state with their proofs, under the next block's header: it may take as long as that takes; answered
    /// by [`Proofs`].
    Proofs {
        /// Where they stand; at most 32.
        keys: Vec<StateKey>,
    },
}

/// How many entries can be asked for at once.
pub const PROOFS: usize = 32;

impl Wire for SyncRequest {
    const NAME: &'static str = "sync-request";
    const LIMIT: usize = 16 + PROOFS * StateKey::LIMIT;
}

/// Changes of the validators, lowest first, without a gap; empty when the sender knows of none from there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Turns {
    /// The changes.
    pub turns: Vec<Turn>,
}

impl Wire for Turns {
    const NAME: &'static str = "turns";
    const LIMIT: usize = limits::MESSAGE_BYTES;
}

/// A snapshot that the sender gives away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotOffer {
    /// The header of the last block before the snapshot, the sealed header after it, which carries the snapshot's state
    /// root, and the number of pieces; none when there is no snapshot yet.
    pub offer: Option<Box<(HeaderProof, Sealed, u32)>>,
}

impl Wire for SnapshotOffer {
    const NAME: &'static str = "snapshot-offer";
    const LIMIT: usize = HeaderProof::LIMIT + Sealed::LIMIT + 8;
}

/// A piece of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Its bytes; empty when the sender does not have it.
    pub bytes: Vec<u8>,
}

impl Wire for Piece {
    const NAME: &'static str = "snapshot-piece";
    const LIMIT: usize = SnapshotChunk::LIMIT + 4;
}

/// Entries of the state under a sealed header.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proofs {
    /// The header; its state root is what the proofs lead to.
    pub sealed: Sealed,
    /// The entries, in the order in which they were asked for.
    pub shown: Vec<Shown>,
}

impl Wire for Proofs {
    const NAME: &'static str = "proofs";
    const LIMIT: usize = limits::MESSAGE_BYTES;
}

/// Decided blocks with their certificates, as bytes, without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReply {
    /// (block, certificate), lowest first; empty when the sender has none from there.
    pub blocks: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Wire for SyncReply {
    const NAME: &'static str = "sync-reply";
    const LIMIT: usize = limits::MESSAGE_BYTES;
}

/// What is said on the market without waiting for an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum MarketMessage {
    /// A provider's price sheet.
    Sheet(Signed<PriceSheet>),
    /// What a provider has free.
    Delta(Signed<OfferDelta>),
    /// What the sender's gateway counted for a lease.
    Counted(Counted),
    /// A payer's word on what a lease has earned.
    Receipt(Signed<Receipt>),
    /// Whether the sender's node takes on others' deployments as a steward; said when a link stands.
    Steward(bool),
    /// What a node saw of others in a period.
    Seen(Signed<Sightings>),
}

impl Wire for MarketMessage {
    const NAME: &'static str = "market-message";
    const LIMIT: usize = 2 << 10;
}

/// What one gateway has counted for one lease since it last said so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    /// The lease.
    pub lease: LeaseId,
    /// Requests answered.
    pub requests: u64,
    /// Bytes sent to clients.
    pub egress: u64,
}

/// A question on the market.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ask {
    /// What would you take for this, and do you hold it for me?
    Quote {
        /// What is wanted.
        request: QuoteRequest,
    },
    /// Does it serve?
    Probe(Probe),
    /// Is anybody there?
    Look,
    /// Give to others what you hold for me by this quote of yours; I do not take it.
    Cancel {
        /// The quote's deployment.
        deployment: DeploymentId,
        /// Its slot.
        slot: u32,
        /// Its number.
        nonce: u64,
    },
}

impl Wire for Ask {
    const NAME: &'static str = "ask";
    const LIMIT: usize = 4 << 10;
}

/// Asks a provider whether a lease's replica serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The lease.
    pub lease: LeaseId,
    /// Its generation.
    pub generation: u64,
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AskReply {
    /// A reservation.
    Quote(Box<Signed<Quote>>),
    /// No, and the sentence why.
    Refused {
        /// Why.
        reason: String,
    },
    /// How the replica is.
    Probe(ProbeReply),
    /// How it is when it cannot start yet for a reason that it would meet with another provider too.
    Waiting(ProbeReply),
    /// Yes.
    Here,
}

impl AskReply {
    /// How the replica is, if that was asked.
    #[must_use]
    pub fn probe(self) -> Option<ProbeReply> {
        match self {
            Self::Probe(reply) | Self::Waiting(reply) => Some(reply),
            Self::Quote(_) | Self::Refused { .. } | Self::Here => None,
        }
    }
}

impl Wire for AskReply {
    const NAME: &'static str = "ask-reply";
    const LIMIT: usize = 4 << 10;
}

/// How a replica is, by its provider's word.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeReply {
    /// Whether it serves.
    pub serving: bool,
    /// What the provider says that it delivered; never paid on.
    pub counters: Counters,
    /// The best receipt the provider holds, so that a payer that lost its memory goes on from it.
    pub receipt: Option<Signed<Receipt>>,
    /// Why it does not serve.
    pub reason: Option<String>,
}
