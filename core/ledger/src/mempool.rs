//! Transactions that wait for a block at one node.

use std::collections::{BTreeMap, BTreeSet};

use grange_types::{AccountId, Signed, Time, TxId, limits};

use crate::block::Block;
use crate::ledger::Ledger;
use crate::transaction::Transaction;

/// Why a transaction may not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MempoolError {
    /// It waits already.
    #[error("transaction {} waits already", .id.short())]
    Present {
        /// Which.
        id: TxId,
    },
    /// It was applied already.
    #[error("transaction {} was applied already", .id.short())]
    Applied {
        /// Which.
        id: TxId,
    },
    /// It has expired.
    #[error("transaction {} expired at {expired}", .id.short())]
    Expired {
        /// Which.
        id: TxId,
        /// When.
        expired: Time,
    },
    /// As many of the account wait as may.
    #[error("{limit} transactions of account {account} wait already, which is the limit; try again later")]
    AccountFull {
        /// The account.
        account: AccountId,
        /// How many may wait.
        limit: usize,
    },
    /// As many wait as may.
    #[error("{limit} transactions wait already, which is the limit; try again later")]
    Full {
        /// How many may wait.
        limit: usize,
    },
}

/// Transactions in the order of their arrival. Holds only what passed [`Ledger::check`] or [`Ledger::verify`]: blocks
/// made of it are not verified again.
#[derive(Debug, Default)]
pub struct Mempool {
    waiting: BTreeMap<u64, (TxId, Signed<Transaction>)>,
    places: BTreeMap<TxId, u64>,
    expiries: BTreeSet<(Time, u64)>,
    per_account: BTreeMap<AccountId, usize>,
    next: u64,
}

impl Mempool {
    /// Nothing waits.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a transaction wait. `id` is what [`Ledger::check`] or [`Ledger::verify`] gave for exactly this envelope.
    pub fn insert(
        &mut self,
        id: TxId,
        transaction: Signed<Transaction>,
        ledger: &Ledger,
        now: Time,
    ) -> Result<(), MempoolError> {
        let (account, expires) = (transaction.body.account, transaction.expires);
        if self.places.contains_key(&id) {
            return Err(MempoolError::Present { id });
        }
        if ledger.view().has_applied(&id, expires) {
            return Err(MempoolError::Applied { id });
        }
        if expires < now.max(ledger.time()) {
            return Err(MempoolError::Expired { id, expired: expires });
        }
        if self.waiting.len() >= limits::MEMPOOL_TRANSACTIONS {
            return Err(MempoolError::Full { limit: limits::MEMPOOL_TRANSACTIONS });
        }
        let waiting = self.per_account.entry(account).or_default();
        if *waiting >= limits::MEMPOOL_PER_ACCOUNT {
            return Err(MempoolError::AccountFull { account, limit: limits::MEMPOOL_PER_ACCOUNT });
        }
        *waiting += 1;
        self.places.insert(id, self.next);
        self.expiries.insert((expires, self.next));
        self.waiting.insert(self.next, (id, transaction));
        self.next += 1;
        Ok(())
    }

    /// What waits, the first to arrive first: candidates for [`Ledger::build`].
    pub fn candidates(&self) -> impl Iterator<Item = (TxId, &Signed<Transaction>)> {
        self.waiting.values().map(|(id, transaction)| (*id, transaction))
    }

    /// Whether a transaction waits.
    #[must_use]
    pub fn contains(&self, id: &TxId) -> bool {
        self.places.contains_key(id)
    }

    /// Whether exactly this transaction waits, signature included: what [`Ledger::prepare`] asks as `known`.
    #[must_use]
    pub fn holds(&self, id: &TxId, transaction: &Signed<Transaction>) -> bool {
        self.get(id).is_some_and(|waiting| waiting.signature == transaction.signature)
    }

    /// A transaction that waits.
    #[must_use]
    pub fn get(&self, id: &TxId) -> Option<&Signed<Transaction>> {
        self.places.get(id).and_then(|place| self.waiting.get(place)).map(|(_, transaction)| transaction)
    }

    /// Takes a transaction out, for one that was committed or can no longer apply.
    pub fn remove(&mut self, id: &TxId) -> Option<Signed<Transaction>> {
        let place = self.places.remove(id)?;
        let (_, transaction) = self.waiting.remove(&place)?;
        self.expiries.remove(&(transaction.expires, place));
        if let Some(waiting) = self.per_account.get_mut(&transaction.body.account) {
            *waiting -= 1;
            if *waiting == 0 {
                self.per_account.remove(&transaction.body.account);
            }
        }
        Some(transaction)
    }

    /// Takes out what a block has committed.
    pub fn remove_committed(&mut self, ids: &[TxId]) {
        for id in ids {
            self.remove(id);
        }
    }

    /// Takes out what has expired, and says which.
    pub fn remove_expired(&mut self, now: Time) -> Vec<TxId> {
        let places = self.expiries.iter().take_while(|(expires, _)| *expires < now);
        let expired: Vec<_> = places.filter_map(|(_, place)| self.waiting.get(place)).map(|(id, _)| *id).collect();
        self.remove_committed(&expired);
        expired
    }

    /// Whether every transaction of a block waits here, so that none must be verified anew.
    #[must_use]
    pub fn covers(&self, block: &Block) -> bool {
        block.transactions.iter().all(|transaction| self.holds(&transaction.id(), transaction))
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}
