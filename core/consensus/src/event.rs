//! What the world tells the machine, and what the machine asks of it.

use grange_types::{BlockId, DecodeError, Equivocation, Height, Millis, NetworkId, PeerId, SecretKey, Time, VoteKind};

use crate::certificate::Certificate;
use crate::timers::Timeouts;
use crate::validators::ValidatorSet;

/// Who this machine is, and how long it waits.
#[derive(Debug, Clone)]
pub struct Config {
    /// The network; part of every signature.
    pub network: NetworkId,
    /// The validator's key, which is also its peer id.
    pub key: SecretKey,
    /// Whether it votes where the validators list its key; else it follows, and is as good as away to the others.
    pub votes: bool,
    /// How long to wait for others.
    pub timeouts: Timeouts,
    /// The longest block that travels with its proposal, in bytes; of a longer one only the hash does, and who lacks it asks.
    pub inline: usize,
}

impl Config {
    /// The usual [`Config::inline`]: a hundred transfers, which cost less to send to all than a question costs time.
    pub const INLINE: usize = 32 << 10;
}

/// The world speaks.
#[derive(Debug, Clone)]
pub enum Event {
    /// The host is ready; said once. Ignored when the machine already runs.
    Start {
        /// The height to decide next: one above the host's last durable block.
        height: Height,
        /// When the last block was made; empty blocks are paced from here.
        parent_time: Time,
        /// Who decides this height.
        validators: ValidatorSet,
        /// The height that the log is for. It is above `height` when the host has lost blocks: what this validator said
        /// below it is forgotten, so that it says nothing there again.
        wal_height: Height,
        /// The entries logged for that height, in order.
        wal: Vec<Vec<u8>>,
    },
    /// Bytes from a peer whose identity the transport has shown.
    Message {
        /// Who sent them.
        from: PeerId,
        /// An encoded [`crate::Message`], or anything.
        bytes: Vec<u8>,
    },
    /// Answers [`Action::Build`]. Ignored when its round has passed.
    Built {
        /// The height of the request.
        height: Height,
        /// The round of the request.
        round: u32,
        /// The block.
        block: Vec<u8>,
    },
    /// Answers [`Action::Validate`].
    Validated {
        /// The height of the request.
        height: Height,
        /// The block that was judged.
        block: BlockId,
        /// Whether it may follow its parent.
        valid: bool,
    },
    /// The host has made the decision of the present height durable.
    Committed {
        /// The height that was decided.
        height: Height,
        /// Who decides the height after it.
        validators: ValidatorSet,
    },
    /// The host came by certified blocks in another way: abandon the present height and go on after this one.
    Caught {
        /// The height of the last durable block; lower than the present height is ignored.
        height: Height,
        /// Who decides the height after it.
        validators: ValidatorSet,
    },
    /// A transaction waits: start the next height now rather than after the pause. Forgotten with every decision, which may
    /// have taken it in: who has one left says so again.
    Work,
    /// From now on an empty block follows its parent after this time.
    Pace {
        /// The time between empty blocks.
        interval: Millis,
    },
    /// A peer that follows the chain can be reached: it is sent what it may have missed.
    Connected(PeerId),
    /// A peer can no longer be reached: nobody waits long for its proposals.
    Disconnected(PeerId),
    /// The time of [`crate::Consensus::poll_timeout`] has come.
    Tick,
}

/// The machine answers. Carried out strictly in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Append an entry to the log of the present height.
    WalAppend(Vec<u8>),
    /// Make everything appended durable before the next action begins.
    WalFlush,
    /// Forget the log; entries from here on belong to this height.
    WalReset {
        /// The height whose log begins.
        height: Height,
    },
    /// Send to one peer.
    Send {
        /// The peer.
        to: PeerId,
        /// An encoded [`crate::Message`].
        bytes: Vec<u8>,
    },
    /// Send to all other validators of the present height.
    Broadcast {
        /// An encoded [`crate::Message`].
        bytes: Vec<u8>,
    },
    /// Build a block to follow the last durable one, and answer [`Event::Built`].
    Build {
        /// The height it is for.
        height: Height,
        /// The round it is for.
        round: u32,
    },
    /// Judge a block, and answer [`Event::Validated`].
    Validate {
        /// The height it is for.
        height: Height,
        /// The round it was proposed in.
        round: u32,
        /// Who proposed it.
        proposer: PeerId,
        /// Its id, already checked against its bytes.
        id: BlockId,
        /// Its bytes.
        block: Vec<u8>,
        /// Whether two thirds prevoted it in an earlier round, and so found its time right: then it is not for this clock to
        /// say otherwise, or a clock that was wrong for a moment could hold up the height for good.
        timely: bool,
    },
    /// The block is decided: commit it with its certificate and answer [`Event::Committed`]. Comes again for the same
    /// height after a restart, and may cross an [`Event::Caught`]: a host that holds the height already does nothing.
    Decide {
        /// Its height.
        height: Height,
        /// Its id.
        id: BlockId,
        /// Its bytes.
        block: Vec<u8>,
        /// The signatures that decided it.
        certificate: Certificate,
    },
    /// A peer says it works on a height above ours: ask it for blocks.
    Behind {
        /// The height it works on; every height below has been decided, if it says the truth.
        height: Height,
        /// The peer to ask.
        peer: PeerId,
    },
    /// A validator signed two statements of which an honest one signs at most one.
    Evidence {
        /// The height of both.
        height: Height,
        /// Who signed both.
        validator: PeerId,
        /// The two statements.
        proof: Box<Equivocation>,
    },
}

/// Why a machine has stopped taking part in a height; the height after it may go well again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// An entry of the log cannot be read.
    #[error("entry {index} of the consensus log cannot be read; this validator stays silent until the next height")]
    Unreadable {
        /// Which entry, from 0.
        index: usize,
        /// Why.
        #[source]
        error: DecodeError,
    },
    /// Replaying the log led elsewhere than the first time.
    #[error(
        "entry {index} of the consensus log leads elsewhere than when it was written; this validator stays silent until the next height"
    )]
    Diverged {
        /// Which entry, from 0.
        index: usize,
    },
    /// The core asked to sign a second, different vote for one round.
    #[error(
        "a second {kind:?} for height {height} round {round} was refused; this validator stays silent until the next height"
    )]
    SecondVote {
        /// The kind of vote.
        kind: VoteKind,
        /// Its height.
        height: Height,
        /// Its round.
        round: u32,
    },
    /// The core asked to sign a second, different proposal for one round.
    #[error(
        "a second proposal for height {height} round {round} was refused; this validator stays silent until the next height"
    )]
    SecondProposal {
        /// Its height.
        height: Height,
        /// Its round.
        round: u32,
    },
}
