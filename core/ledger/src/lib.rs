//! Keep accounts: apply a block of transactions to the replicated state.
//!
//! A [`Ledger`] is the state after some block. [`Ledger::check`] says whether a transaction may wait,
//! [`Ledger::build`] makes a block of those that wait, [`Ledger::prepare`] says whether another's block is valid
//! and what it would write, and [`Ledger::commit`] writes it. Everybody else reads a [`LedgerView`].
//!
//! # Rules
//! - **A valid block holds only transactions that apply**, in its order. One rule, `Execution::apply`, decides
//!   for checking, building and preparing alike. Nothing touches the state but a commit.
//! - **Money** moves by postings that name the book it leaves and the book it enters. Every block is held
//!   against the sum of all entries it touches: not one unit may be made or lost, or the ledger stops.
//! - **Time** is block time for what others have signed (expiries, quotes, days) and ledger time for what the
//!   ledger itself promises (leases, claim windows, bonds). Ledger time stands still while the cloud is off: a
//!   pause between two blocks longer than [`Parameters::gap`] moves one offset, and with it every pending end.
//! - **Keys**: an account's id is its first key; what may sign for it is its key set. An account without one has
//!   that first key with all roles. A registered node acts for its operator. Nothing is believed by id alone.
//! - **Replay**: an applied transaction's id is remembered until it expires, at most an hour ahead. The ids are
//!   kept by the second of their expiry, and a digest of each second is in the state root.
//! - **Slots**: a slot never has two open leases. Each lease raises the slot's generation by one, so of two
//!   requests for the same generation exactly one applies.
//! - **Nothing loops over leases.** Ends come from an ordered index, at most 64 a block; whoever touches a lease
//!   first brings that lease up to date.
//!
//! # Example
//! ```
//! use grange_ledger::{Action, Genesis, GenesisAccount, Ledger, Mempool, Parameters, Transaction, Validator};
//! use grange_types::{Amount, Millis, SecretKey, Signed, Time};
//!
//! let (alice, bob) = (SecretKey::from_bytes(&[1; 32]), SecretKey::from_bytes(&[2; 32]));
//! let (from, to) = (alice.public().account(), bob.public().account());
//! let now = Time(1_700_000_000_000);
//! let genesis = Genesis {
//!     name: "home".into(),
//!     created: now,
//!     parameters: Parameters::dev(),
//!     accounts: vec![GenesisAccount { id: from, keys: vec![], balance: Amount::credits(10) }],
//!     validators: vec![Validator::new(from, alice.public(), 1)],
//!     nodes: vec![],
//!     bootstrap: vec![],
//! };
//! let mut ledger = Ledger::new(&genesis)?;
//! let mut waiting = Mempool::new();
//!
//! let action = Action::Transfer { to, amount: Amount::credits(3), memo: "for the milk".into() };
//! let wish = Transaction { account: from, nonce: 1, action };
//! let transaction = Signed::seal(ledger.network(), &alice, now.after(Millis::minutes(1)), wish);
//! let id = ledger.check(&transaction, now)?;
//! waiting.insert(id, transaction, &ledger, now)?;
//!
//! let built = ledger.build(now, alice.public().peer(), &mut waiting.candidates())?;
//! let prepared = ledger.prepare(built.block, &|id, transaction| waiting.holds(id, transaction))?;
//! let committed = ledger.commit(prepared)?;
//! waiting.remove_committed(&committed.transactions);
//! assert_eq!(ledger.view().balance(to), Amount::credits(3));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//! Those of [`grange_types::limits`]; 64 things done by time in a block; 4,000,000 remembered transactions; 8
//! names and 16,384 kept leases of a deployment; 1,024 nodes of an operator.
//!
//! # Left out
//! Consensus, networking, storage: this crate is told blocks and gives bytes. Organisations and proposals are not
//! in this version.

mod block;
mod claim;
mod entry;
mod execute;
mod genesis;
mod header;
mod ledger;
mod mempool;
mod money;
mod rejection;
mod snapshot;
mod state;
mod transaction;
mod tree;
mod view;

pub use block::{Block, BlockError, BlockHeader, CLOCK_TOLERANCE, ClockError, VERSION, clock_rule};
pub use entry::{
    AccountEntry, Cap, Chain, Change, Deployment, DeploymentState, Entry, FormerKey, KeySet, KeySetError,
    LEASES_PER_DEPLOYMENT, Lease, LeaseState, Mark, NAMES_PER_DEPLOYMENT, NODES_PER_OPERATOR, NameEntry, Operator,
    SeenDigest, Slot, Spent, StateKey, Upgrade, Validator,
};
pub use genesis::{Bootstrap, Genesis, GenesisAccount, GenesisError, HOME_RELAYS, NodeEntry, Parameters};
pub use header::{HeaderProof, HeaderProofError};
pub use ledger::{CommitError, Committed, Ledger, Prepared};
pub use mempool::{Mempool, MempoolError};
pub use money::{Book, Posting};
pub use rejection::{Authority, Rejection, RejectionKind};
pub use snapshot::{SnapshotChunk, SnapshotError, SnapshotHead};
pub use state::validators_digest;
pub use transaction::{Action, Delegate, KeyStatement, Purpose, Transaction, Verb};
pub use tree::{ProofError, StateProof, Step, verify_proof};
pub use view::{Account, LedgerView};
