//! What a peer is told at its start.

use grange_api::NodeRole;
use grange_ledger::{Genesis, Ledger};
use grange_types::{Amount, Height, Isolation, Kind, Millis, Prices, Region, Resources, SecretKey};

/// Which parts a node plays; each can be switched off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Roles {
    /// Votes, when the state lists its key.
    pub validator: bool,
    /// Sells.
    pub provider: bool,
    /// Serves names over HTTP.
    pub gateway: bool,
    /// Relays packets for others.
    pub relay: bool,
    /// Holds and watches others' deployments.
    pub steward: bool,
}

impl Roles {
    /// The parts that are played.
    #[must_use]
    pub fn list(self) -> Vec<NodeRole> {
        let Self { validator, provider, gateway, relay, steward } = self;
        let played = [validator, provider, gateway, relay, steward];
        NodeRole::ALL.into_iter().zip(played).filter(|(_, played)| *played).map(|(role, _)| role).collect()
    }

    /// The parts in a list.
    #[must_use]
    pub fn of(list: &[NodeRole]) -> Self {
        let has = |role| list.contains(&role);
        Self {
            validator: has(NodeRole::Validator),
            provider: has(NodeRole::Provider),
            gateway: has(NodeRole::Gateway),
            relay: has(NodeRole::Relay),
            steward: has(NodeRole::Steward),
        }
    }
}

/// Who a node is and what it sells.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's key, also the first key of its own account.
    pub key: SecretKey,
    /// The network's beginning.
    pub genesis: Genesis,
    /// A name for people.
    pub display: String,
    /// Where it stands.
    pub region: Region,
    /// Which parts it plays.
    pub roles: Roles,
    /// What it sells.
    pub capacity: Resources,
    /// The kinds of work it runs.
    pub kinds: Vec<Kind>,
    /// How strongly it isolates.
    pub isolation: Isolation,
    /// For how much.
    pub prices: Prices,
    /// Whether it takes no new work.
    pub paused: bool,
    /// The port of its HTTP gateway, for the URLs it prints.
    pub gateway_port: u16,
    /// The number of the last price sheet it issued.
    pub sequence: u64,
    /// A snapshot is taken every so many blocks, at least one.
    pub snapshot_every: u64,
    /// Whether blocks before the last two snapshots are let go.
    pub prune: bool,
    /// The longest block that travels with its proposal, in bytes; of a longer one only the hash does.
    pub inline: usize,
    /// The highest version of the ledger's rules that it follows: lower than this build's to hold it back from an upgrade.
    pub rules: u16,
    /// What orders may cost a day that only show whether providers serve; nothing for none.
    pub canaries: Amount,
    /// A steward of a deployment that it looks after is lost once it could not be reached for so long.
    pub lost_after: Millis,
    /// Makes numbers that must differ between starts.
    pub seed: u64,
}

impl Config {
    /// Blocks between two snapshots, where nothing speaks for another number: a start reads about as many.
    pub const SNAPSHOT_EVERY: u64 = 2_000;
    /// The longest block that travels with its proposal, where nothing speaks for another length.
    pub const INLINE: usize = grange_consensus::Config::INLINE;
    /// How long a steward may be out of reach, where nothing speaks for another time: a restart is shorter, the days for which
    /// an owner is away are longer.
    pub const LOST_AFTER: Millis = Millis::minutes(10);
}

impl Recovery {
    /// The height of the snapshot, from the state that it and the blocks behind it led to.
    pub(crate) fn snapshot_height(&self, ledger: &Ledger) -> Height {
        if self.snapshot.is_empty() { Height::GENESIS } else { Height(ledger.height().0 - self.blocks.len() as u64) }
    }
}

/// What a node kept on its disk.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The newest snapshot that can be read, in pieces; empty when there is none.
    pub snapshot: Vec<Vec<u8>>,
    /// Decided blocks after the snapshot, lowest first.
    pub blocks: Vec<Vec<u8>>,
    /// The first block that the disk has; what is before was pruned, or never here.
    pub first: Height,
    /// The height the write-ahead log is for.
    pub wal_height: Height,
    /// Its entries.
    pub wal: Vec<Vec<u8>>,
    /// What was seen of others, as the last [`crate::Action::Evidence`] had it; empty when there was none.
    pub evidence: Vec<u8>,
}
