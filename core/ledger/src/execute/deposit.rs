//! Deposits: what stands for the room that an entry takes in everybody's state, and comes back when the entry goes.
//!
//! # Rules
//! - An entry counts as many bytes as its parts take at their largest: what is deposited changes with how many slots, names,
//!   keys or relays there are, and never because a number grew. A receipt may give some back, and never takes any.
//! - A deployment, a node, a key set and a cap are deposited for by their account; a lease by its deployment's budget, since a
//!   steward opens it while the owner is away.
//! - With a price of nothing for a byte, nothing is moved.

use grange_types::{AccountId, Amount};

use super::Execution;
use crate::entry::{AccountEntry, Deployment, Lease};
use crate::genesis::{NodeEntry, Parameters};
use crate::money::Book;
use crate::rejection::Rejection;

impl Execution<'_> {
    /// Moves what the size of an account's entry changed by: out of `purse` where it grew, into it where it shrank.
    pub(super) fn deposit(
        &mut self,
        account: AccountId,
        purse: Book,
        before: u64,
        after: u64,
    ) -> Result<(), Rejection> {
        let parameters = &self.state.parameters;
        let (grown, shrunk) = (after.saturating_sub(before), before.saturating_sub(after));
        let (more, back) = (parameters.deposit_of(grown), parameters.deposit_of(shrunk));
        self.post(purse, Book::Deposit(account), more)?;
        self.post(Book::Deposit(account), purse, back)
    }
}

impl Parameters {
    /// What stands for so many bytes of the state.
    #[must_use]
    pub fn deposit_of(&self, bytes: u64) -> Amount {
        self.byte_deposit.scaled(u128::from(bytes), 1)
    }
}

impl Lease {
    /// What a lease counts for its deposit, in bytes.
    pub const SIZE: u64 = 512;
}

impl Deployment {
    /// What it counts for its deposit, in bytes; a name counts with its own entry.
    #[must_use]
    pub fn size(&self) -> u64 {
        let parts =
            [(self.slots.len(), 272), (self.names.len(), 160), (self.delegates.len(), 96), (self.counted.len(), 48)];
        parts.iter().fold(256, |sum, (count, bytes)| sum + *count as u64 * bytes)
    }
}

impl NodeEntry {
    /// What it counts for its deposit, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        256 + self.relays.len() as u64 * 32
    }
}

impl AccountEntry {
    /// What it counts for its deposit, in bytes: nothing before it has a key set or a cap of its own.
    #[must_use]
    pub fn size(&self) -> u64 {
        let keys = self.keys.as_ref().map_or(0, |set| set.keys.len() as u64 * 128);
        keys + self.cap.as_ref().map_or(0, |_| 64)
    }
}
