//! A block: some transactions in order, on top of one state.

use grange_types::{BlobId, BlockId, Height, Millis, PeerId, Signed, StateRoot, Time, TxId, Wire, limits};
use serde::{Deserialize, Serialize};

use crate::rejection::Rejection;
use crate::transaction::Transaction;

/// The highest version of the rules that this crate follows; it follows all before, too.
///
/// 1 is the first. Since 2 a transfer's memo may have 128 bytes in place of 64. Since 3 a reserve takes the place of a steward
/// that is lost.
pub const VERSION: u16 = 3;

/// How far ahead of one's own clock a proposed block time may lie.
pub const CLOCK_TOLERANCE: Millis = Millis::seconds(2);

/// What a block says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockHeader {
    /// The rules it follows.
    pub version: u16,
    /// Its number.
    pub height: Height,
    /// Its time: the proposer's clock, later than the parent's.
    pub time: Time,
    /// Who made it.
    pub proposer: PeerId,
    /// The block before it; of the first block, the network's id.
    pub parent: BlockId,
    /// The state after the block before it.
    pub state_root: StateRoot,
    /// Who decides the next block: BLAKE3 of the state's entry of the validators after this one. So who knows the
    /// validators of one block can follow them without the state ([`crate::Trail`]).
    pub next_validators: BlobId,
}

impl Wire for BlockHeader {
    const NAME: &'static str = "block-header";
    const LIMIT: usize = 192;
}

/// A header and the transactions, all of which apply in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The header.
    pub header: BlockHeader,
    /// The transactions.
    pub transactions: Vec<Signed<Transaction>>,
}

impl Wire for Block {
    const NAME: &'static str = "block";
    /// The transactions and a header of at most 128 bytes.
    const LIMIT: usize = limits::BLOCK_BYTES + 256;
}

impl Block {
    /// The block's id: BLAKE3 over its bytes.
    #[must_use]
    pub fn id(&self) -> BlockId {
        BlockId(*blake3::hash(&self.encode()).as_bytes())
    }
}

/// Why a block is not valid on top of the present state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// It follows other rules than those of its height.
    #[error("the block follows version {theirs} of the rules, version {expected} holds at its height")]
    Version {
        /// The version it names.
        theirs: u16,
        /// The version that holds.
        expected: u16,
    },
    /// The network has gone on to rules that this node does not follow.
    #[error(
        "version {needed} of the rules holds from height {height} on, this node follows {followed}; upgrade grange"
    )]
    Outdated {
        /// The next height.
        height: Height,
        /// The version that holds there.
        needed: u16,
        /// The version that this node follows.
        followed: u16,
    },
    /// It says of the next block that others decide it.
    #[error("the block says that validators {} decide the next one, the state says {}", .theirs.short(), .expected.short())]
    Validators {
        /// What the header has.
        theirs: BlobId,
        /// What follows from the block.
        expected: BlobId,
    },
    /// It is not the next block.
    #[error("the block has height {theirs}, the next one is {expected}")]
    Height {
        /// Its height.
        theirs: Height,
        /// The next height here.
        expected: Height,
    },
    /// It stands on another block.
    #[error("the block stands on {}, the head is {}", .theirs.short(), .expected.short())]
    Parent {
        /// The parent it names.
        theirs: BlockId,
        /// The head here.
        expected: BlockId,
    },
    /// It was made on another state, so one of the two nodes has broken the rules.
    #[error("the block was made on state {}, the state here is {}", .theirs.short(), .expected.short())]
    StateRoot {
        /// The root it names.
        theirs: StateRoot,
        /// The root here.
        expected: StateRoot,
    },
    /// Its time is not after its parent's.
    #[error("the block's time {theirs} is not after its parent's {parent}")]
    Time {
        /// Its time.
        theirs: Time,
        /// The parent's.
        parent: Time,
    },
    /// It has more bytes than a block may have.
    #[error("the block has {bytes} bytes, a block has at most {}", Block::LIMIT)]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// It has more transactions than a block may have.
    #[error("the block has {count} transactions, a block has at most {}", limits::BLOCK_TRANSACTIONS)]
    TooMany {
        /// How many.
        count: usize,
    },
    /// One of its transactions does not apply.
    #[error("transaction {index} of the block ({}) does not apply", .id.short())]
    Transaction {
        /// Its place.
        index: usize,
        /// Its id.
        id: TxId,
        /// Why.
        source: Rejection,
    },
    /// The postings do not sum to zero: the ledger itself is wrong and must not go on.
    #[error("the block would create or destroy {units} units of money; the ledger stops")]
    Unbalanced {
        /// How many units too many, or too few.
        units: i128,
    },
}

/// Why a block time is not voted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockError {
    /// Not after the parent.
    #[error("the proposed time {proposed} is not after the parent's {parent}")]
    NotAfterParent {
        /// The parent's time.
        parent: Time,
        /// The proposed time.
        proposed: Time,
    },
    /// Too far ahead of one's own clock.
    #[error("the proposed time {proposed} is more than two seconds ahead of this clock, {own}")]
    Ahead {
        /// The proposed time.
        proposed: Time,
        /// One's own clock.
        own: Time,
    },
}

/// The clock rule of voters: parent < proposed ≤ own clock + 2 s. A decided block is not held against it,
/// because those who decided it have.
pub fn clock_rule(parent: Time, proposed: Time, own: Time) -> Result<(), ClockError> {
    if proposed <= parent {
        return Err(ClockError::NotAfterParent { parent, proposed });
    }
    if proposed > own.after(CLOCK_TOLERANCE) {
        return Err(ClockError::Ahead { proposed, own });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_after_the_parent_and_at_most_two_seconds_ahead_is_voted_for() {
        let check = |parent, proposed, own| clock_rule(Time(parent), Time(proposed), Time(own)).is_ok();
        assert!(check(10, 11, 11));
        assert!(!check(10, 10, 11));
        assert!(check(10, 2_011, 11));
        assert!(!check(10, 2_012, 11));
        assert!(check(10, 11, 90_000_000));
    }
}
