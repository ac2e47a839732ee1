//! The ledger: a state, the block it stands on, and the one way forward.

use grange_types::{BlockId, Height, Millis, NetworkId, PeerId, Receipt, Signed, StateRoot, Time, TxId, Wire, limits};

use crate::block::{Block, BlockError, BlockHeader, VERSION};
use crate::entry::{Change, Entry, Operator, StateKey, Validator};
use crate::execute::{Execution, Outcome, Trial, identify};
use crate::genesis::{Genesis, GenesisError};
use crate::money::Posting;
use crate::rejection::Rejection;
use crate::state::{State, Writes};
use crate::transaction::{Action, Transaction};
use crate::tree::{StateProof, key_hash};
use crate::view::LedgerView;

/// What one signed transaction adds to its body.
const ENVELOPE_BYTES: usize = <Signed<Transaction> as Wire>::LIMIT - Transaction::LIMIT;

/// How many candidates one block tries at most: twice as many as it holds, so that a pool full of transactions
/// that no longer apply costs a proposer a bounded time.
const TRIED: usize = 2 * limits::BLOCK_TRANSACTIONS;

/// A receipt's number may leap so far above what the ledger was paid by: what went on from a leap, one by one, is still let in.
const LEAP: u64 = 1 << 32;

/// The state after some block.
#[derive(Debug, Clone)]
pub struct Ledger {
    pub(crate) state: State,
    pub(crate) network: NetworkId,
    pub(crate) height: Height,
    pub(crate) time: Time,
    pub(crate) head: BlockId,
    pub(crate) root: StateRoot,
    /// The highest version of the rules that this node follows.
    pub(crate) follows: u16,
}

/// A valid block and what it would write. Bound to the head it was made for.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The block.
    pub block: Block,
    /// Its id.
    pub id: BlockId,
    /// Candidates that did not apply in their turn, and why; only of blocks that were built here. The proposer
    /// takes them out of its pool, or they would be tried again for every block.
    pub refused: Vec<(TxId, Rejection)>,
    transactions: Vec<TxId>,
    postings: Vec<Posting>,
    writes: Writes,
}

/// What a committed block did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The block.
    pub id: BlockId,
    /// Its height.
    pub height: Height,
    /// Its time.
    pub time: Time,
    /// Its transactions, in order.
    pub transactions: Vec<TxId>,
    /// What it touched, each thing once.
    pub changes: Vec<Change>,
    /// How money moved, in order: the block's page of history.
    pub postings: Vec<Posting>,
}

/// Why a prepared block was not committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Another block was committed since it was prepared.
    #[error("block {} was prepared on {}, the head is {}", .block.short(), .parent.short(), .head.short())]
    Stale {
        /// The block.
        block: BlockId,
        /// The head it was prepared on.
        parent: BlockId,
        /// The head now.
        head: BlockId,
    },
}

impl Prepared {
    /// The validators after the block, where it changes them.
    #[must_use]
    pub fn next_validators(&self) -> Option<&[Validator]> {
        self.writes.validators.as_deref()
    }
}

impl Ledger {
    /// The state before any block.
    pub fn new(genesis: &Genesis) -> Result<Self, GenesisError> {
        genesis.validate()?;
        let mut state = State::new(genesis.parameters.clone());
        for account in &genesis.accounts {
            let entry = genesis.first_entry(account)?;
            if !entry.is_empty() {
                state.put(Entry::Account(account.id, entry));
            }
        }
        for node in &genesis.nodes {
            let mut operator = state.operators.get(&node.operator).copied().unwrap_or_default();
            operator.nodes = operator.nodes.saturating_add(1);
            state.put(Entry::Operator(node.operator, Operator { ..operator }));
            state.put(Entry::Node(node.clone()));
        }
        let mut validators = genesis.validators.clone();
        validators.sort();
        state.put(Entry::Validators(validators));
        let (network, root) = (genesis.network_id(), StateRoot(state.root()));
        let head = BlockId(network.0);
        Ok(Self { state, network, height: Height::GENESIS, time: genesis.created, head, root, follows: VERSION })
    }

    /// The same, of a node that follows the rules up to `version` only: one that is held back from an upgrade.
    #[must_use]
    pub fn following(mut self, version: u16) -> Self {
        self.follows = version.min(VERSION);
        self
    }

    /// The highest version of the rules that this node follows.
    #[must_use]
    pub const fn follows(&self) -> u16 {
        self.follows
    }

    /// Whether this node follows the rules of the next block; if not, it can build, judge and apply none.
    pub fn check_version(&self) -> Result<(), BlockError> {
        let (height, followed) = (self.height.next(), self.follows);
        let needed = self.state.chain.at(height).version;
        if needed > followed { Err(BlockError::Outdated { height, needed, followed }) } else { Ok(()) }
    }

    /// The network.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.network
    }

    /// The height of the last block.
    #[must_use]
    pub const fn height(&self) -> Height {
        self.height
    }

    /// The time of the last block.
    #[must_use]
    pub const fn time(&self) -> Time {
        self.time
    }

    /// The last block; before any, the network's id.
    #[must_use]
    pub const fn head(&self) -> BlockId {
        self.head
    }

    /// The root of the state after the last block: what the next header carries.
    #[must_use]
    pub const fn state_root(&self) -> StateRoot {
        self.root
    }

    /// The state, to be read.
    #[must_use]
    pub const fn view(&self) -> LedgerView<'_> {
        LedgerView::new(self)
    }

    /// The entry at a key with the proof that the state behind [`Ledger::state_root`] has it, or none and the
    /// proof that there is none. [`crate::verify_proof`] checks it.
    #[must_use]
    pub fn prove(&self, key: &StateKey) -> (Option<Entry>, StateProof) {
        let entry = self.state.entry(key);
        let (steps, leaf) = self.state.tree().path(&key_hash(key));
        let other = leaf.filter(|_| entry.is_none());
        (entry, StateProof { steps, other })
    }

    /// Whether a transaction may wait for a block: its size, envelope, signatures and roles, and whether it
    /// would apply if it were the next one, at `now`.
    pub fn check(&self, transaction: &Signed<Transaction>, now: Time) -> Result<TxId, Rejection> {
        let (id, message) = identify(transaction)?;
        self.check_leaps(transaction)?;
        let mut execution = Execution::begin(self, self.after_head(now));
        execution.apply(Trial { id, transaction, unverified: Some(&message) })?;
        Ok(id)
    }

    /// Whether a transaction's envelope counts at `now` and every signature is good, its own and those inside it, whatever
    /// the state says of the rest: for one that builds on another which is not in a block yet, or that a peer passes on.
    pub fn verify(&self, transaction: &Signed<Transaction>, now: Time) -> Result<TxId, Rejection> {
        let (id, message) = identify(transaction)?;
        self.check_leaps(transaction)?;
        let execution = Execution::begin(self, self.after_head(now));
        execution.check_signatures(&Trial { id, transaction, unverified: Some(&message) })?;
        Ok(id)
    }

    /// Refuses receipts whose number leaves no room for those after them. Whoever builds or passes on does not help to that; a
    /// block with one is valid all the same, as it always was.
    fn check_leaps(&self, transaction: &Signed<Transaction>) -> Result<(), Rejection> {
        let receipts = match &transaction.body.action {
            Action::Settle { receipt } => core::slice::from_ref(&**receipt),
            Action::SettleMany { receipts } => receipts.as_slice(),
            _ => return Ok(()),
        };
        for Receipt { lease, sequence, .. } in receipts.iter().map(|receipt| &receipt.body) {
            // One that is not there yet begins at the earliest now.
            let found = self.view().lease(*lease);
            let elapsed = found.map_or(Millis(0), |found| self.view().now().since(found.start));
            let known = found.map_or(0, |found| found.sequence);
            let latest = Receipt::latest(elapsed).max(known.saturating_add(LEAP));
            if *sequence > latest {
                return Err(Rejection::ReceiptLeaps { lease: *lease, theirs: *sequence, latest });
            }
        }
        Ok(())
    }

    /// Whether a transaction that passed [`Ledger::check`] before would still apply if it were the next one, at `now`.
    /// No signature is verified again.
    pub fn recheck(&self, id: TxId, transaction: &Signed<Transaction>, now: Time) -> Result<(), Rejection> {
        let mut execution = Execution::begin(self, self.after_head(now));
        execution.apply(Trial { id, transaction, unverified: None })
    }

    /// Makes a block of those candidates that apply, in their order, within the limits of a block.
    ///
    /// Candidates have passed [`Ledger::check`] or [`Ledger::verify`]: no signature is verified again. `time` is the proposer's clock;
    /// if that is not after the head, the block is one millisecond after the head.
    ///
    /// Fails only if the ledger itself is wrong ([`BlockError::Unbalanced`]).
    pub fn build(
        &self,
        time: Time,
        proposer: PeerId,
        candidates: &mut dyn Iterator<Item = (TxId, &Signed<Transaction>)>,
    ) -> Result<Prepared, BlockError> {
        self.check_version()?;
        let time = self.after_head(time);
        let mut execution = Execution::begin(self, time);
        execution.sweep();
        let (mut ids, mut transactions, mut refused, mut bytes) = (Vec::new(), Vec::new(), Vec::new(), 0);
        for (id, transaction) in candidates.take(TRIED) {
            let size = transaction.encode().len();
            if transactions.len() >= limits::BLOCK_TRANSACTIONS || bytes + size > limits::BLOCK_BYTES {
                break;
            }
            if size > Transaction::LIMIT + ENVELOPE_BYTES {
                refused.push((id, Rejection::TooLarge { bytes: size }));
                continue;
            }
            match execution.apply(Trial { id, transaction, unverified: None }) {
                Ok(()) => {
                    bytes += size;
                    ids.push(id);
                    transactions.push(transaction.clone());
                }
                Err(rejection) => refused.push((id, rejection)),
            }
        }
        let outcome = execution.finish();
        let height = self.height.next();
        let header = BlockHeader {
            version: self.state.chain.at(height).version,
            height,
            time,
            proposer,
            parent: self.head,
            state_root: self.root,
            next_validators: outcome.next_validators,
        };
        let block = Block { header, transactions };
        let id = block.id();
        conclude(block, id, ids, refused, outcome)
    }

    /// Whether a block is valid as the next one, and what it would write.
    ///
    /// `known` says of a transaction whether exactly it, with this signature, was verified here before
    /// ([`crate::Mempool::holds`]); an id alone does not cover the signature, so it would not do. The clock rule
    /// ([`crate::clock_rule`]) is for voters and not checked here.
    pub fn prepare(
        &self,
        block: Block,
        known: &dyn Fn(&TxId, &Signed<Transaction>) -> bool,
    ) -> Result<Prepared, BlockError> {
        self.check_header(&block.header)?;
        let count = block.transactions.len();
        if count > limits::BLOCK_TRANSACTIONS {
            return Err(BlockError::TooMany { count });
        }
        let bytes = block.encode();
        if bytes.len() > Block::LIMIT {
            return Err(BlockError::TooLarge { bytes: bytes.len() });
        }
        let mut execution = Execution::begin(self, block.header.time);
        execution.sweep();
        let mut ids = Vec::with_capacity(count);
        for (index, transaction) in block.transactions.iter().enumerate() {
            let refused = |id| move |source| BlockError::Transaction { index, id, source };
            let (id, message) = identify(transaction).map_err(refused(TxId([0; 32])))?;
            let unverified = (!known(&id, transaction)).then_some(message.as_slice());
            execution.apply(Trial { id, transaction, unverified }).map_err(refused(id))?;
            ids.push(id);
        }
        let id = BlockId(*blake3::hash(&bytes).as_bytes());
        let (outcome, theirs) = (execution.finish(), block.header.next_validators);
        if theirs != outcome.next_validators {
            return Err(BlockError::Validators { theirs, expected: outcome.next_validators });
        }
        conclude(block, id, ids, Vec::new(), outcome)
    }

    /// Makes a prepared block the head.
    pub fn commit(&mut self, prepared: Prepared) -> Result<Committed, CommitError> {
        let header = &prepared.block.header;
        if header.parent != self.head {
            return Err(CommitError::Stale { block: prepared.id, parent: header.parent, head: self.head });
        }
        let changes = self.state.apply(prepared.writes);
        self.root = StateRoot(self.state.root());
        (self.height, self.time, self.head) = (header.height, header.time, prepared.id);
        Ok(Committed {
            id: prepared.id,
            height: self.height,
            time: self.time,
            transactions: prepared.transactions,
            changes,
            postings: prepared.postings,
        })
    }

    fn check_header(&self, header: &BlockHeader) -> Result<(), BlockError> {
        self.check_version()?;
        if header.height != self.height.next() {
            return Err(BlockError::Height { theirs: header.height, expected: self.height.next() });
        }
        let expected = self.state.chain.at(header.height).version;
        if header.version != expected {
            return Err(BlockError::Version { theirs: header.version, expected });
        }
        if header.parent != self.head {
            return Err(BlockError::Parent { theirs: header.parent, expected: self.head });
        }
        if header.state_root != self.root {
            return Err(BlockError::StateRoot { theirs: header.state_root, expected: self.root });
        }
        if header.time <= self.time {
            return Err(BlockError::Time { theirs: header.time, parent: self.time });
        }
        Ok(())
    }

    fn after_head(&self, time: Time) -> Time {
        time.max(Time(self.time.0.saturating_add(1)))
    }
}

/// A block with what it did, unless that made or lost money.
fn conclude(
    block: Block,
    id: BlockId,
    transactions: Vec<TxId>,
    refused: Vec<(TxId, Rejection)>,
    outcome: Outcome,
) -> Result<Prepared, BlockError> {
    if outcome.gain != 0 {
        return Err(BlockError::Unbalanced { units: outcome.gain });
    }
    Ok(Prepared { block, id, refused, transactions, postings: outcome.postings, writes: outcome.writes })
}
