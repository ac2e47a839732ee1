//! What a peer wants done. Carried out in order by `node`, or by a simulated world.

use grange_api::{Line, Problem, Reply};
use grange_ledger::{BlockError, CommitError};
use grange_types::{BlobId, DecodeError, DeploymentId, Height, LeaseId, PeerId, SealKey, Work};

use crate::event::CallId;
use crate::message::{Channel, SyncRequest};
use crate::retention::Kept;

/// Names a request to a peer, or from one, until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Add an entry to the write-ahead log.
    WalAppend(Vec<u8>),
    /// Make the write-ahead log durable before the next action.
    WalFlush,
    /// Empty the write-ahead log: it is now that of this height.
    WalReset(Height),
    /// Store a decided block durably before the next action.
    Commit {
        /// Its height.
        height: Height,
        /// The block.
        block: Vec<u8>,
        /// Its certificate.
        certificate: Vec<u8>,
    },
    /// Store durably, before the next action and for good, that others decide after this height: an encoded
    /// [`crate::Turn`]. Comes again for a height after a restart.
    Turn {
        /// The height.
        height: Height,
        /// The turn.
        turn: Vec<u8>,
    },
    /// Begin anew behind a snapshot that came from a peer: store it durably, and let go of all blocks, before the next
    /// action.
    Install {
        /// The height of the last block before it.
        height: Height,
        /// The state, in pieces.
        state: Vec<Vec<u8>>,
    },
    /// Let go of the blocks below a height; may happen later.
    Prune {
        /// The first height to keep.
        first: Height,
    },
    /// Store a snapshot of the state after this height; may happen later.
    Snapshot {
        /// The height.
        height: Height,
        /// The state, in pieces.
        state: Vec<Vec<u8>>,
    },
    /// Send a message.
    Send {
        /// To whom.
        to: PeerId,
        /// In which protocol.
        channel: Channel,
        /// What.
        bytes: Vec<u8>,
    },
    /// Ask a peer; answered by [`crate::Event::Response`].
    Request {
        /// The question's name.
        id: RequestId,
        /// Whom.
        to: PeerId,
        /// In which protocol.
        channel: Channel,
        /// What.
        bytes: Vec<u8>,
        /// How long to wait, in milliseconds.
        within: u64,
    },
    /// Answer a peer's request.
    Respond {
        /// The name it came under.
        id: RequestId,
        /// The answer.
        bytes: Vec<u8>,
    },
    /// Answer a peer's request from what is on the disk, with [`crate::serve`].
    Serve {
        /// The name it came under.
        id: RequestId,
        /// What is wanted.
        request: SyncRequest,
    },
    /// Tell everybody who trades.
    Gossip(Vec<u8>),
    /// Store a blob of our own before the next action.
    Keep {
        /// Its content.
        bytes: Vec<u8>,
    },
    /// Store durably, before the next action and readable by nobody else, the key of a deployment that we open.
    KeepKey {
        /// The deployment.
        deployment: DeploymentId,
        /// Its key.
        key: SealKey,
    },
    /// Fetch blobs, and the files of a site index among them, from whoever has them; answered by
    /// [`crate::Event::Fetched`].
    Fetch {
        /// What for.
        deployment: DeploymentId,
        /// The blobs that are missing.
        blobs: Vec<BlobId>,
        /// Who may have them, best first.
        from: Vec<PeerId>,
    },
    /// Free the room of everything on the disk that is not among this, unless it came there lately.
    Retain(Box<Kept>),
    /// Store durably what was seen of others, in place of what was stored before; may happen later.
    Evidence(Vec<u8>),
    /// Run a workload; answered by [`crate::Event::Work`].
    Start {
        /// What.
        work: Box<Work>,
        /// Who has the blobs.
        from: Vec<PeerId>,
    },
    /// Get a page of a replica on the way that requests take; answered by [`crate::Event::Visited`].
    Visit {
        /// The replica's lease.
        lease: LeaseId,
        /// Its generation.
        generation: u64,
        /// Who runs it.
        provider: PeerId,
        /// The name it is asked under.
        name: String,
        /// The path.
        path: String,
        /// How long to wait, in milliseconds.
        within: u64,
        /// Whether the whole answer counts, and not its status alone: then its hash is told.
        whole: bool,
    },
    /// Stop a workload. Its data stays.
    Stop {
        /// Which.
        lease: LeaseId,
    },
    /// Serve the requests of strangers to a workload from now on, or refuse them: those that are on no ledger, which is what
    /// [`crate::RouteTable::is_stranger`] says. At first they are served.
    Strangers {
        /// Which.
        lease: LeaseId,
        /// Whether they are served.
        served: bool,
    },
    /// Answer a user's call.
    Reply {
        /// Which.
        call: CallId,
        /// The answer.
        reply: Box<Result<Reply, Problem>>,
    },
    /// Send a line of a call's stream.
    Line {
        /// Which.
        call: CallId,
        /// The line.
        line: Box<Line>,
        /// Whether it is the last.
        last: bool,
    },
    /// Write a line to the log.
    Note {
        /// What happened, as a stable word.
        event: &'static str,
        /// What it was for.
        purpose: String,
        /// Why.
        reason: String,
    },
    /// The ledger cannot go on: log why and stop taking part.
    Halt(Halt),
}

/// Why a ledger cannot go on: what was decided by all does not hold here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Halt {
    /// Our own block could not be built.
    #[error("block {height} could not be built")]
    Build {
        /// Its height.
        height: Height,
        /// Why.
        source: Box<BlockError>,
    },
    /// A decided block is not valid here.
    #[error("block {height} was decided but is not valid here")]
    Invalid {
        /// Its height.
        height: Height,
        /// Why.
        source: Box<BlockError>,
    },
    /// A decided block cannot be read.
    #[error("block {height} was decided but cannot be read")]
    Unreadable {
        /// Its height.
        height: Height,
        /// Why.
        source: DecodeError,
    },
    /// A decided block does not apply.
    #[error("block {height} was decided but does not apply")]
    Commit {
        /// Its height.
        height: Height,
        /// Why.
        source: CommitError,
    },
}
