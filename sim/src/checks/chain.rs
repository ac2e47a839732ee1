//! One chain: every host decides the same blocks and comes to the same state, at times that a good clock allows.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use grange_ledger::{Block, Ledger};
use grange_types::{Height, Millis, StateRoot, Time, TxId, Wire};

/// How far ahead of true time a block may be: what voters allow, and how far ahead the best clocks of two thirds may be.
const AHEAD: Millis = Millis(2_000 + 1_500);
/// Until everybody who is linked has a block.
const FOLLOWS: Millis = Millis::seconds(10);
/// A longer pause between two blocks is a halt, in which nothing is settled.
const HALT: Millis = Millis::seconds(3);

/// What was decided, by whoever decided first.
pub(crate) struct Chain {
    blocks: BTreeMap<u64, [u8; 32]>,
    roots: BTreeMap<u64, StateRoot>,
    transactions: BTreeMap<TxId, u64>,
    heights: Vec<u64>,
    looked: u64,
    /// When the last block was decided, and how long nothing was, in all.
    pub(super) moved_at: Time,
    /// The heights of the last seconds, and when each was decided.
    recent: VecDeque<(Time, u64)>,
    pub(super) halted: Millis,
    repeated: BTreeSet<TxId>,
}

impl Chain {
    pub(super) fn new(hosts: usize) -> Self {
        Self {
            blocks: BTreeMap::new(),
            roots: BTreeMap::new(),
            transactions: BTreeMap::new(),
            heights: vec![0; hosts],
            looked: 0,
            moved_at: Time(0),
            recent: VecDeque::new(),
            halted: Millis(0),
            repeated: BTreeSet::new(),
        }
    }

    pub(super) fn last(&self) -> Height {
        Height(self.blocks.last_key_value().map_or(0, |(height, _)| *height))
    }

    /// A host decided a block; whether it is the first to decide at this height.
    pub(super) fn decided(&mut self, height: Height, bytes: &[u8]) -> Result<bool, String> {
        let hash = *blake3::hash(bytes).as_bytes();
        match self.blocks.get(&height.0) {
            Some(known) if *known == hash => return Ok(false),
            Some(_) => return Err(format!("two blocks were decided at height {height}")),
            None => {}
        }
        if height != self.last().next() {
            return Err(format!("block {height} was decided when the last one was {}", self.last()));
        }
        self.blocks.insert(height.0, hash);
        let block = Block::decode(bytes).map_err(|error| format!("block {height} cannot be read: {error}"))?;
        for transaction in &block.transactions {
            let id = transaction.id();
            if self.transactions.insert(id, height.0).is_some() && !self.repeated.insert(id) {
                return Err(format!("transaction {} was applied twice", id.short()));
            }
            if self.repeated.contains(&id) {
                return Err(format!("transaction {} was applied twice, the second time in block {height}", id.short()));
            }
        }
        Ok(true)
    }

    /// A block was decided now: how long it took is taken down.
    pub(super) fn pause(&mut self, now: Time) {
        let pause = now.since(self.moved_at);
        if self.moved_at.0 > 0 && pause > HALT {
            self.halted = Millis(self.halted.0 + pause.0);
        }
        self.moved_at = now;
        self.recent.push_back((now, self.last().0));
        // One that is old enough stays.
        while self.recent.get(1).is_some_and(|(at, _)| now.since(*at) > FOLLOWS) {
            self.recent.pop_front();
        }
    }

    /// What everybody has heard of by now: who asks somebody that keeps blocks to himself asks another one after some seconds.
    pub(super) fn known(&self, now: Time) -> u64 {
        let old = self.recent.iter().take_while(|(at, _)| now.since(*at) > FOLLOWS);
        old.last().map_or(0, |(_, height)| *height)
    }

    /// Whether a transaction is in a block at this height.
    pub(super) fn holds(&self, id: &TxId, height: Height) -> bool {
        self.transactions.get(id) == Some(&height.0)
    }

    pub(super) fn started(&mut self, host: usize) {
        self.heights[host] = 0;
    }

    /// Whether a host's ledger is at another height than when it was last looked at.
    pub(super) fn moved(&mut self, host: usize, ledger: &Ledger) -> bool {
        let height = ledger.height().0;
        core::mem::replace(&mut self.heights[host], height) != height
    }

    /// Whether nobody has looked at the state of this height yet.
    pub(super) fn fresh(&mut self, height: Height) -> bool {
        let fresh = height.0 > self.looked;
        self.looked = self.looked.max(height.0);
        fresh
    }

    /// A host's state is the one that others came to at the same height.
    pub(super) fn root(&mut self, host: usize, ledger: &Ledger) -> Result<(), String> {
        let (height, root) = (ledger.height(), ledger.view().state_root());
        let known = *self.roots.entry(height.0).or_insert(root);
        if known == root {
            Ok(())
        } else {
            Err(format!("host {host} came to another state than others at height {height}"))
        }
    }
}

/// A block's time is not ahead of true time by more than two thirds' clocks allow.
pub(super) fn timely(now: Time, block: &Block) -> Result<(), String> {
    let time = block.header.time;
    if time <= now.after(AHEAD) {
        Ok(())
    } else {
        Err(format!("block {} is {} ms ahead of true time", block.header.height, time.since(now).0))
    }
}

/// A line about a block.
pub(super) fn describe(block: &Block) -> String {
    let mut deeds: BTreeMap<&str, usize> = BTreeMap::new();
    for transaction in &block.transactions {
        *deeds.entry(transaction.body.action.word()).or_default() += 1;
    }
    let deeds: Vec<String> = deeds.iter().map(|(word, count)| format!("{word} × {count}")).collect();
    let what = if deeds.is_empty() { "empty".to_owned() } else { deeds.join(", ") };
    format!("block {}: {what}", block.header.height)
}
