//! What came to our own account and what went, newest last: the page of history that a wallet shows.
//!
//! The ledger keeps balances, not how they came about. Each node keeps that for its own account, from the blocks it
//! commits; it travels with the snapshot, so that a restart from there and the blocks behind it comes to the same.

use std::collections::{BTreeMap, VecDeque};

use grange_api::{Direction, HistoryEntry, HistoryKind, Timestamp};
use grange_ledger::{Action as Deed, Block, Book, Committed, Genesis, Ledger, Posting};
use grange_types::{AccountId, Amount, DeploymentId, Height, Record, Time, TxId};
use serde::{Deserialize, Serialize};

/// Entries kept; the oldest are forgotten.
const KEPT: usize = 10_000;

/// What changed a balance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Movement {
    /// The account began with it.
    Genesis,
    /// A transfer.
    Transfer,
    /// A deployment's budget was set aside, or its rest came back.
    Budget,
    /// A lease paid its provider, or what was set aside for it came back.
    Lease,
    /// A fee, a bond or a deposit.
    Fee,
}

/// One thing that changed the balance of our account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The block.
    pub height: Height,
    /// Its time.
    pub at: Time,
    /// The transaction; none where time did it, and for the genesis.
    pub transaction: Option<TxId>,
    /// What it was.
    pub movement: Movement,
    /// Whether it came.
    pub came: bool,
    /// How much.
    pub amount: Amount,
    /// The account on the other side of a transfer.
    pub counterparty: Option<AccountId>,
    /// The sender's word; the name of a deployment of ours, the short id of another's.
    pub memo: String,
}

/// The entries of one account, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    entries: VecDeque<Entry>,
}

impl Record for History {
    const NAME: &'static str = "history";
    /// Entries with the longest memo there may be.
    const LIMIT: usize = KEPT * 512;
}

/// The words of a block's transfers that concern us, by the transactions' places in the block.
pub(crate) type Memos = BTreeMap<usize, String>;

/// Reads the words before the block is handed to the ledger.
pub(crate) fn memos(block: &Block, me: AccountId) -> Memos {
    let word = |(place, transaction): (usize, &grange_types::Signed<grange_ledger::Transaction>)| {
        let Deed::Transfer { to, memo, .. } = &transaction.body.action else { return None };
        let concerned = transaction.body.account == me || *to == me;
        (concerned && !memo.is_empty()).then(|| (place, memo.clone()))
    };
    block.transactions.iter().enumerate().filter_map(word).collect()
}

impl History {
    /// What the network's beginning gave us.
    pub(crate) fn begin(genesis: &Genesis, me: AccountId) -> Self {
        let given = genesis.accounts.iter().filter(|account| account.id == me && !account.balance.is_zero());
        let entry = |account: &grange_ledger::GenesisAccount| Entry {
            height: Height::GENESIS,
            at: genesis.created,
            transaction: None,
            movement: Movement::Genesis,
            came: true,
            amount: account.balance,
            counterparty: None,
            memo: String::new(),
        };
        Self { entries: given.map(entry).collect() }
    }

    /// What our account held when we began from a snapshot; how it came to that is not known here.
    pub(crate) fn carried(ledger: &Ledger, me: AccountId) -> Self {
        let amount = ledger.view().balance(me);
        let entry = Entry {
            height: ledger.height(),
            at: ledger.time(),
            transaction: None,
            movement: Movement::Genesis,
            came: true,
            amount,
            counterparty: None,
            memo: String::new(),
        };
        Self { entries: (!amount.is_zero()).then_some(entry).into_iter().collect() }
    }

    /// A block was committed.
    pub(crate) fn take(&mut self, ledger: &Ledger, me: AccountId, committed: &Committed, memos: &Memos) {
        for posting in &committed.postings {
            let (other, came) = match (posting.debit, posting.credit) {
                (Book::Balance(account), other) if account == me => (other, false),
                (other, Book::Balance(account)) if account == me => (other, true),
                _ => continue,
            };
            let entry = self.entry(ledger, (me, memos), committed, posting, (other, came));
            self.entries.push_back(entry);
            if self.entries.len() > KEPT {
                self.entries.pop_front();
            }
        }
    }

    /// What of ours was opened, and under which name, newest first: the transaction of a deployment's first budget is its
    /// id. Those of later budgets are among them and are no deployment's.
    pub(crate) fn opened(&self) -> impl Iterator<Item = (DeploymentId, &str)> {
        let paid = self.entries.iter().rev().filter(|entry| entry.movement == Movement::Budget && !entry.came);
        paid.filter_map(|entry| Some((DeploymentId(entry.transaction?.0), entry.memo.as_str())))
    }

    /// What a deployment is called in every entry that is about it. One of ours has its name, also when it is removed and the
    /// ledger has that no more. One of others has its id, which it keeps.
    fn called(&self, ledger: &Ledger, me: AccountId, id: DeploymentId) -> String {
        let found = ledger.view().deployment(id).filter(|found| found.owner == me);
        let name = found.and_then(|found| {
            found.name().or_else(|| self.opened().find(|(opened, _)| *opened == id).map(|(_, name)| name))
        });
        name.map_or_else(|| id.short(), str::to_owned)
    }

    fn entry(
        &self,
        ledger: &Ledger,
        (me, memos): (AccountId, &Memos),
        committed: &Committed,
        posting: &Posting,
        (other, came): (Book, bool),
    ) -> Entry {
        let word = || {
            let place = committed.transactions.iter().position(|id| Some(*id) == posting.cause)?;
            memos.get(&place).cloned()
        };
        let (movement, counterparty, memo) = match other {
            Book::Balance(account) => (Movement::Transfer, Some(account), word().unwrap_or_default()),
            Book::Deployment(id) => (Movement::Budget, None, self.called(ledger, me, id)),
            Book::Escrow(lease) | Book::Held(lease) => {
                let deployment = ledger.view().lease(lease).map(|lease| lease.deployment);
                (Movement::Lease, None, deployment.map_or_else(|| lease.short(), |id| self.called(ledger, me, id)))
            }
            Book::Bond(_) | Book::Unbonding(_) | Book::Deposit(_) | Book::Treasury => {
                (Movement::Fee, None, other.to_string())
            }
        };
        Entry {
            height: committed.height,
            at: committed.time,
            transaction: posting.cause,
            movement,
            came,
            amount: posting.amount,
            counterparty,
            memo,
        }
    }

    /// The newest entries, newest first.
    pub(crate) fn newest(&self, limit: usize) -> Vec<HistoryEntry> {
        self.entries.iter().rev().take(limit).map(Entry::show).collect()
    }
}

impl Entry {
    fn show(&self) -> HistoryEntry {
        HistoryEntry {
            height: self.height,
            at: Timestamp(self.at),
            transaction: self.transaction,
            kind: match (self.movement, self.came) {
                (Movement::Genesis, _) => HistoryKind::Genesis,
                (Movement::Transfer, _) => HistoryKind::Transfer,
                (Movement::Budget, false) => HistoryKind::Budget,
                (Movement::Budget, true) => HistoryKind::Refund,
                (Movement::Lease, _) => HistoryKind::Lease,
                (Movement::Fee, _) => HistoryKind::Fee,
            },
            direction: if self.came { Direction::In } else { Direction::Out },
            amount: self.amount,
            counterparty: self.counterparty,
            memo: self.memo.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::codec::check_golden;

    #[test]
    fn the_bytes_are_frozen() {
        let entry = Entry {
            height: Height(300),
            at: Time(9),
            transaction: Some(TxId([1; 32])),
            movement: Movement::Transfer,
            came: false,
            amount: Amount(5),
            counterparty: Some(AccountId([2; 32])),
            memo: "rent".into(),
        };
        check_golden(&History { entries: VecDeque::from([entry]) }, include_str!("../golden/history.hex"));
    }
}
