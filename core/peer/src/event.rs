//! What the world tells a peer.

use std::collections::BTreeSet;

use grange_api::Call;
use grange_objects::log::LogId;
use grange_types::{AccountId, BlobId, Counters, DeploymentId, LeaseId, PeerId, SealKey};

use crate::action::RequestId;
use crate::message::Channel;

/// Names a user's call until it is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u64);

/// For whom a user asks, and with what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The account.
    pub account: AccountId,
    /// How the names begin that his key is for; empty where it is for all. What has no such name is not there for him.
    pub prefix: String,
}

impl Asker {
    /// Whether his key is for things of this name.
    pub(crate) fn is_for(&self, name: &str) -> bool {
        name.starts_with(&self.prefix)
    }
}

impl From<AccountId> for Asker {
    /// Who may ask for all that is the account's.
    fn from(account: AccountId) -> Self {
        Self { account, prefix: String::new() }
    }
}

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A link to a peer stands.
    Connected(PeerId),
    /// A link to a peer is gone.
    Disconnected(PeerId),
    /// A message.
    Message {
        /// From whom.
        from: PeerId,
        /// In which protocol.
        channel: Channel,
        /// What.
        bytes: Vec<u8>,
    },
    /// A request; answered by [`crate::Action::Respond`] or [`crate::Action::Serve`].
    Request {
        /// Its name.
        id: RequestId,
        /// From whom.
        from: PeerId,
        /// In which protocol.
        channel: Channel,
        /// What.
        bytes: Vec<u8>,
    },
    /// The answer to our request, or that there was none.
    Response {
        /// The request's name.
        id: RequestId,
        /// The answer.
        answer: Option<Vec<u8>>,
    },
    /// A gossiped message; who delivered it says nothing of who wrote it.
    Gossip {
        /// What.
        bytes: Vec<u8>,
    },
    /// Blobs were fetched, or could not be.
    Fetched {
        /// What for.
        deployment: DeploymentId,
        /// The blobs asked for that are here now, with the files of those that are sites.
        here: Vec<BlobId>,
        /// Those of them that are manifests, with their content.
        manifests: Vec<(BlobId, Vec<u8>)>,
    },
    /// News of a workload we run.
    Work {
        /// Its lease.
        lease: LeaseId,
        /// The news.
        event: WorkEvent,
    },
    /// The key of a deployment of our account that was kept, or taken over from those who hold shares of it.
    Key {
        /// The deployment.
        deployment: DeploymentId,
        /// Its key.
        key: SealKey,
    },
    /// Which keepers count for key-values that we write or keep.
    Keepers {
        /// Whose.
        log: LogId,
        /// Of which generation.
        generation: u64,
        /// The keepers; none when the only copy is the provider's.
        keepers: BTreeSet<PeerId>,
        /// Keepers of before that the generation went on without.
        without: BTreeSet<PeerId>,
        /// Whether our own writer says so; else another's, of a copy that we keep for it.
        own: bool,
    },
    /// A replica was visited.
    Visited {
        /// Its lease.
        lease: LeaseId,
        /// What came of it.
        visit: Visit,
    },
    /// What our own gateway counted for a lease since it last said so.
    Counted {
        /// The lease.
        lease: LeaseId,
        /// Requests answered.
        requests: u64,
        /// Bytes sent to clients.
        egress: u64,
    },
    /// What requests of a peer took from a replica of ours since we last said so; ours too, which come through our own gateway.
    Taken {
        /// Who.
        from: PeerId,
        /// The lease of the replica.
        lease: LeaseId,
        /// Requests answered.
        requests: u64,
        /// Bytes sent.
        egress: u64,
    },
    /// A user asks.
    Call {
        /// The call's name.
        id: CallId,
        /// For whom he acts, and with what.
        asker: Asker,
        /// What he asks.
        call: Box<Call>,
    },
    /// Nothing; the time that [`crate::Peer::poll_timeout`] named has come.
    Tick,
}

/// What came of a visit to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visit {
    /// It answered with this HTTP status.
    Answered(u16),
    /// It answered, and its whole answer was read, which was asked for.
    Read {
        /// The HTTP status.
        status: u16,
        /// The hash of the body.
        content: BlobId,
    },
    /// Its node took the request, and no answer came in the time there was.
    Late,
    /// Its node cannot be reached, does not run it, or broke off.
    Failed {
        /// How.
        reason: String,
    },
}

/// News of a workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkEvent {
    /// It cannot start yet, for a reason that it would meet with another provider too.
    Waiting {
        /// Which.
        reason: String,
    },
    /// It serves.
    Serving,
    /// It could not be started, or ended by itself.
    Failed {
        /// Why.
        reason: String,
    },
    /// What it did so far, by the provider's own count.
    Counters(Counters),
}
