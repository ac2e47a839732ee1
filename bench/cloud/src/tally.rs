//! What the ledger itself says was finalized, read from a stopped node's chain.

use std::path::Path;
use std::time::Duration;

use grange_disk::Chain;
use grange_ledger::Block;
use grange_types::{Height, Time, Wire};

use crate::Fault;
use crate::stats::Sample;

/// What the blocks of a chain hold.
pub(crate) struct Tally {
    /// Transactions of all blocks.
    pub(crate) all: u64,
    /// Transactions of the blocks whose time is in the window.
    pub(crate) inside: u64,
    /// Those blocks.
    pub(crate) blocks: u64,
    /// From each of those blocks to the one before it.
    pub(crate) gaps: Sample,
}

/// Counts; `from` is in the window and `until` is not.
pub(crate) fn tally(chain: &Path, from: Time, until: Time) -> Result<Tally, Fault> {
    let (chain, _) = Chain::open(chain)?;
    let (mut all, mut inside, mut blocks) = (0, 0, 0);
    let (mut gaps, mut before) = (Vec::new(), None);
    for height in chain.first().0..=chain.last().0 {
        let stored = chain.read(Height(height))?.ok_or_else(|| format!("block {height} cannot be read"))?;
        let block = Block::decode(&stored.block)?;
        let (time, count) = (block.header.time, block.transactions.len() as u64);
        all += count;
        if from <= time && time < until {
            inside += count;
            blocks += 1;
            gaps.extend(before.map(|before| Duration::from_millis(time.since(before).0)));
        }
        before = Some(time);
    }
    Ok(Tally { all, inside, blocks, gaps: Sample::new(gaps) })
}
