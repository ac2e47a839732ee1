//! What a peer starts from: its disk.

use grange_ledger::{Block, Ledger, SnapshotError};
use grange_types::{AccountId, PeerId, Record, Wire};

use crate::config::{Config, Recovery};
use crate::history::{History, memos};

/// Why a peer cannot start from what is on its disk.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The genesis breaks its rules.
    #[error("the genesis is refused")]
    Genesis(#[source] grange_ledger::GenesisError),
    /// The snapshot cannot be read.
    #[error("the snapshot of the ledger cannot be read; remove it to start from the blocks")]
    Snapshot(#[source] SnapshotError),
    /// The history at the end of the snapshot cannot be read.
    #[error("the history in the snapshot cannot be read; remove the snapshot to start from the blocks")]
    History(#[source] grange_types::DecodeError),
    /// A stored block cannot be read.
    #[error("block {height} on the disk cannot be read")]
    Unreadable {
        /// Its height.
        height: u64,
        /// Why.
        source: grange_types::DecodeError,
    },
    /// A stored block is not valid.
    #[error("block {height} on the disk does not follow the one before it")]
    Invalid {
        /// Its height.
        height: u64,
        /// Why.
        source: Box<grange_ledger::BlockError>,
    },
    /// A stored block does not apply.
    #[error("block {height} on the disk does not apply")]
    Commit {
        /// Its height.
        height: u64,
        /// Why.
        source: grange_ledger::CommitError,
    },
}

/// The account that this node acts for. Where its key was taken out, its own user still sees what the account was; nobody else
/// does anything for it.
pub(crate) fn own_account(ledger: &Ledger, me: PeerId) -> AccountId {
    ledger.view().account_of(me).unwrap_or_else(|| me.account())
}

/// The state that snapshot and blocks lead to, and how our money came there. Blocks on our own disk were checked when they
/// were stored.
pub(crate) fn recover(config: &Config, recovery: &Recovery) -> Result<(Ledger, History), StartError> {
    let me = config.key.public().peer();
    let (ledger, mut history) = match recovery.snapshot.split_last() {
        None => {
            (Ledger::new(&config.genesis).map_err(StartError::Genesis)?, History::begin(&config.genesis, me.account()))
        }
        Some((history, state)) => (
            Ledger::restore(state).map_err(StartError::Snapshot)?,
            History::from_record(history).map_err(StartError::History)?,
        ),
    };
    let mut ledger = ledger.following(config.rules);
    for bytes in &recovery.blocks {
        let height = ledger.height().next().0;
        let block = Block::decode(bytes).map_err(|source| StartError::Unreadable { height, source })?;
        let prepared = ledger
            .prepare(block, &|_, _| true)
            .map_err(|source| StartError::Invalid { height, source: Box::new(source) })?;
        let account = own_account(&ledger, me);
        let memos = memos(&prepared.block, account);
        let committed = ledger.commit(prepared).map_err(|source| StartError::Commit { height, source })?;
        history.take(&ledger, account, &committed, &memos);
        if own_account(&ledger, me) != account {
            history = History::default();
        }
    }
    Ok((ledger, history))
}
