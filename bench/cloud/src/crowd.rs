//! A million people with money, and the transfers that some of them sign.
//!
//! Every account has a key of its own, derived from a number, so that a run can be repeated. The first `senders` of them
//! pay the others; receivers are drawn from all that do not send, so that the whole ledger is written to.

use std::sync::Arc;
use std::thread;

use grange_ledger::{Action, GenesisAccount, Transaction};
use grange_types::{AccountId, Amount, NetworkId, SecretKey, Signed, Time, Wire};

use crate::lot::Lot;
use crate::{Fault, report};

/// What everybody begins with.
const BALANCE: Amount = Amount::credits(1);
/// What one transfer carries: the smallest amount there is.
const SENT: Amount = Amount(1);

/// The accounts of a network, and the keys of those that send.
pub(crate) struct Crowd {
    pub(crate) senders: Vec<SecretKey>,
    receivers: Arc<Vec<AccountId>>,
}

impl Crowd {
    /// Derives all keys, on all processors.
    pub(crate) fn gather(accounts: usize, senders: usize) -> Result<Self, Fault> {
        if senders == 0 || senders >= accounts {
            return Err("there must be senders, and more accounts than them".into());
        }
        let receivers = accounts - senders;
        let part = receivers.div_ceil(report::cores());
        let ids = |first: usize| {
            let last = (first + part).min(receivers);
            (first..last).map(|number| secret(senders + number).public().account()).collect::<Vec<_>>()
        };
        let parts: Result<Vec<Vec<AccountId>>, _> = thread::scope(|scope| {
            let threads: Vec<_> = (0..receivers).step_by(part).map(|first| scope.spawn(move || ids(first))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a deriving thread panicked")).collect()
        });
        let parts = parts?;
        Ok(Self { senders: (0..senders).map(secret).collect(), receivers: Arc::new(parts.concat()) })
    }

    /// Everybody, as a genesis lists them.
    pub(crate) fn accounts(&self) -> Vec<GenesisAccount> {
        let account = |id| GenesisAccount { id, keys: Vec::new(), balance: BALANCE };
        let senders = self.senders.iter().map(|key| key.public().account());
        senders.chain(self.receivers.iter().copied()).map(account).collect()
    }

    /// The senders dealt out to so many tills, each of which signs for its own.
    pub(crate) fn tills(&self, count: usize, network: NetworkId, expires: Time) -> Vec<Till> {
        let till = |number: usize| Till {
            senders: self.senders.iter().skip(number).step_by(count).cloned().collect(),
            receivers: Arc::clone(&self.receivers),
            network,
            expires,
            lot: Lot::new(number as u64),
            next: 0,
            ready: Vec::new(),
            late: 0,
        };
        (0..count.min(self.senders.len())).map(till).collect()
    }
}

/// Signs transfers for some senders in turn.
pub(crate) struct Till {
    senders: Vec<SecretKey>,
    receivers: Arc<Vec<AccountId>>,
    network: NetworkId,
    expires: Time,
    lot: Lot,
    /// How many were signed; it is also the nonce, which makes equal transfers distinct.
    next: usize,
    ready: Vec<Vec<u8>>,
    /// How many were signed when they were wanted.
    late: u64,
}

impl Till {
    /// Signs so many beforehand, at all tills, on all processors.
    pub(crate) fn prepare(tills: &mut [Self], each: usize) {
        let part = tills.len().div_ceil(report::cores()).max(1);
        thread::scope(|scope| {
            for some in tills.chunks_mut(part) {
                scope.spawn(move || some.iter_mut().for_each(|till| till.sign_ahead(each)));
            }
        });
    }

    fn sign_ahead(&mut self, count: usize) {
        let signed: Vec<_> = (0..count).map(|_| self.sign().encode()).collect();
        self.ready.extend(signed);
    }

    /// The next transfer, as the API takes it.
    pub(crate) fn next(&mut self) -> Vec<u8> {
        self.ready.pop().unwrap_or_else(|| {
            self.late += 1;
            self.sign().encode()
        })
    }

    pub(crate) const fn late(&self) -> u64 {
        self.late
    }

    /// A transfer that nobody has seen.
    pub(crate) fn sign(&mut self) -> Signed<Transaction> {
        let key = &self.senders[self.next % self.senders.len()];
        let to = self.receivers[self.lot.below(self.receivers.len())];
        let nonce = self.next as u64;
        self.next += 1;
        let action = Action::Transfer { to, amount: SENT, memo: String::new() };
        Signed::seal(self.network, key, self.expires, Transaction { account: key.public().account(), nonce, action })
    }
}

/// The key with this number.
fn secret(number: usize) -> SecretKey {
    let mut bytes = *b"grange-bench-cloud, key number: ";
    bytes[..8].copy_from_slice(&(number as u64).to_le_bytes());
    SecretKey::from_bytes(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_account_is_its_own_and_every_transfer_another() {
        let crowd = Crowd::gather(50, 10).unwrap();
        let accounts: BTreeSet<_> = crowd.accounts().into_iter().map(|account| account.id).collect();
        assert_eq!(accounts.len(), 50);
        let network = NetworkId([1; 32]);
        let mut tills = crowd.tills(4, network, Time(9));
        Till::prepare(&mut tills, 3);
        let mut seen = BTreeSet::new();
        for till in &mut tills {
            for _ in 0..5 {
                let transfer = Signed::<Transaction>::decode(&till.next()).unwrap();
                assert!(seen.insert(transfer.open(network, Time(9)).unwrap()));
            }
            assert_eq!(till.late(), 2);
        }
        assert!(Crowd::gather(10, 10).is_err());
    }
}
