//! The whole state as a stream of chunks, for a node's own disk and for newcomers.
//!
//! A snapshot is: a head, then the entries, then the ids of unexpired transactions. Restoring computes the
//! state root anew and compares it; whether that root is the network's is for the caller to see, from the
//! header of the block after.

use grange_types::{BlockId, DecodeError, Height, NetworkId, Record, StateRoot, Time, TxId, Wire};
use serde::{Deserialize, Serialize};

use crate::block::VERSION;
use crate::entry::{Entry, StateKey};
use crate::genesis::Parameters;
use crate::ledger::Ledger;
use crate::state::State;

/// About how many bytes a chunk has.
const CHUNK_BYTES: usize = 512 << 10;

/// Ids in one chunk: 40 bytes each.
const CHUNK_IDS: usize = CHUNK_BYTES / 42;

/// One part of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum SnapshotChunk {
    /// The first: where the chain stood.
    Head(SnapshotHead),
    /// Some entries.
    Entries(Vec<Entry>),
    /// Some applied transactions with the second of their expiry, in the order in which they were applied.
    Seen(Vec<(u64, TxId)>),
}

/// Where the chain stood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotHead {
    /// The network.
    pub network: NetworkId,
    /// The height of the last block.
    pub height: Height,
    /// Its time.
    pub time: Time,
    /// Its id.
    pub head: BlockId,
    /// The root of the state after it.
    pub root: StateRoot,
    /// The numbers of the rules.
    pub parameters: Parameters,
    /// How many entries follow.
    pub entries: u64,
    /// How many ids follow.
    pub seen: u64,
}

impl Record for SnapshotChunk {
    const NAME: &'static str = "snapshot-chunk";
    /// A chunk closes after the entry that fills it; the largest entry has 96 KiB.
    const LIMIT: usize = CHUNK_BYTES + Entry::LIMIT + 64;
}

/// Why a snapshot was not restored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// A chunk cannot be read.
    #[error("chunk {index} of the snapshot cannot be read")]
    Chunk {
        /// Its place.
        index: usize,
        /// Why.
        source: DecodeError,
    },
    /// The chunks are not a head and then its parts.
    #[error("chunk {index} of the snapshot is not what belongs there")]
    OutOfPlace {
        /// Its place.
        index: usize,
    },
    /// Something is missing or too much.
    #[error("the snapshot has {found} of {expected} entries and ids")]
    Incomplete {
        /// How many there are.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// The state has another root than the head says.
    #[error("the restored state has root {}, the snapshot says {}", .found.short(), .expected.short())]
    Root {
        /// What was computed.
        found: StateRoot,
        /// What the head says.
        expected: StateRoot,
    },
}

impl Ledger {
    /// The state as encoded [`SnapshotChunk`]s of about 512 KiB, made one by one as they are asked for.
    pub fn snapshot(&self) -> impl Iterator<Item = Vec<u8>> + '_ {
        let state = &self.state;
        let head = SnapshotHead {
            network: self.network,
            height: self.height,
            time: self.time,
            head: self.head,
            root: self.root,
            parameters: state.parameters.clone(),
            entries: entries(state).count() as u64,
            seen: state.seen_count as u64,
        };
        let mut rest = entries(state).peekable();
        let entry_chunks = core::iter::from_fn(move || {
            rest.peek()?;
            let (mut bytes, mut chunk) = (0, Vec::new());
            while let Some(entry) = rest.next_if(|_| bytes < CHUNK_BYTES) {
                bytes += entry.encode().len();
                chunk.push(entry);
            }
            Some(SnapshotChunk::Entries(chunk))
        });
        let mut ids = seen(state).peekable();
        let seen_chunks = core::iter::from_fn(move || {
            ids.peek()?;
            Some(SnapshotChunk::Seen(ids.by_ref().take(CHUNK_IDS).collect()))
        });
        let chunks = core::iter::once(SnapshotChunk::Head(head)).chain(entry_chunks).chain(seen_chunks);
        chunks.map(|chunk| chunk.to_record())
    }

    /// The ledger of a snapshot.
    pub fn restore<C: AsRef<[u8]>>(chunks: impl IntoIterator<Item = C>) -> Result<Self, SnapshotError> {
        let mut chunks = chunks.into_iter().enumerate().map(|(index, bytes)| {
            let chunk = SnapshotChunk::from_record(bytes.as_ref());
            chunk.map(|chunk| (index, chunk)).map_err(|source| SnapshotError::Chunk { index, source })
        });
        let Some((_, SnapshotChunk::Head(head))) = chunks.next().transpose()? else {
            return Err(SnapshotError::OutOfPlace { index: 0 });
        };
        let mut state = State::new(head.parameters.clone());
        let (mut found, expected) = (0, head.entries.saturating_add(head.seen));
        for chunk in chunks {
            match chunk? {
                (index, SnapshotChunk::Head(_)) => return Err(SnapshotError::OutOfPlace { index }),
                (index, SnapshotChunk::Entries(entries)) => {
                    found += entries.len() as u64;
                    for entry in entries {
                        // These two come with the head and with the ids.
                        if matches!(entry.key(), StateKey::Parameters | StateKey::Seen(_)) {
                            return Err(SnapshotError::OutOfPlace { index });
                        }
                        state.put(entry);
                    }
                }
                (_, SnapshotChunk::Seen(ids)) => {
                    found += ids.len() as u64;
                    state.remember(&ids);
                }
            }
        }
        if found != expected {
            return Err(SnapshotError::Incomplete { found, expected });
        }
        let root = StateRoot(state.root());
        if root != head.root {
            return Err(SnapshotError::Root { found: root, expected: head.root });
        }
        let SnapshotHead { network, height, time, head, .. } = head;
        Ok(Self { state, network, height, time, head, root, follows: VERSION })
    }
}

/// All entries but the parameters, which stand in the head, and the remembered transactions.
fn entries(state: &State) -> impl Iterator<Item = Entry> + '_ {
    let single = [Entry::Chain(state.chain), Entry::Validators(state.validators.clone())];
    let accounts = state.accounts.iter().map(|(id, value)| Entry::Account(*id, value.clone()));
    let operators = state.operators.iter().map(|(id, value)| Entry::Operator(*id, *value));
    let names = state.names.iter().map(|(name, value)| Entry::Name(name.clone(), *value));
    single
        .into_iter()
        .chain(accounts)
        .chain(operators)
        .chain(state.nodes.values().cloned().map(Entry::Node))
        .chain(state.deployments.values().cloned().map(Entry::Deployment))
        .chain(state.leases.values().cloned().map(Entry::Lease))
        .chain(names)
}

/// All remembered transactions, each second's in the order in which they were applied.
fn seen(state: &State) -> impl Iterator<Item = (u64, TxId)> + '_ {
    state.seen.iter().flat_map(|(second, seen)| {
        let mut ids: Vec<_> = seen.ids.iter().map(|(id, place)| (*place, *id)).collect();
        ids.sort_unstable();
        ids.into_iter().map(|(_, id)| (*second, id))
    })
}
