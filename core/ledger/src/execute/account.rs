//! Accounts: transfers, key sets, bonds.

use grange_types::{AccountId, Amount, KeyGrant};

use super::{Execution, Trial};
use crate::entry::{AccountEntry, Cap, check_keys};
use crate::money::Book;
use crate::rejection::{Authority, Rejection};

/// The longest memo, in bytes, by the version of the rules.
const fn memo_bytes(version: u16) -> usize {
    if version < 2 { 64 } else { 128 }
}

impl Execution<'_> {
    pub(super) fn transfer(
        &mut self,
        trial: &Trial<'_>,
        to: AccountId,
        amount: Amount,
        memo: &str,
    ) -> Result<(), Rejection> {
        let (account, signer) = (trial.transaction.body.account, trial.transaction.signer);
        self.require(trial, Authority::Spend)?;
        if amount.is_zero() {
            return Err(Rejection::ZeroAmount);
        }
        if to == account {
            return Err(Rejection::ToItself { account });
        }
        let limit = memo_bytes(self.chain.version);
        if memo.len() > limit {
            return Err(Rejection::MemoTooLong { length: memo.len(), limit });
        }
        self.charge_key(account, signer, amount)?;
        self.post(Book::Balance(account), Book::Balance(to), amount)
    }

    pub(super) fn set_keys(&mut self, trial: &Trial<'_>, keys: &[KeyGrant]) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Owner)?;
        check_keys(keys).map_err(Rejection::Keys)?;
        let entry = self.accounts.get_or_default(&account);
        let mut fresh = AccountEntry::with_keys(account, entry.balance, keys.to_vec());
        // What a key has spent today stays spent, or a new set with the same key would lift its ceiling.
        if let (Some(old), Some(new)) = (&entry.keys, &mut fresh.keys) {
            let kept = old.spent.iter().filter(|(key, _)| keys.iter().any(|grant| grant.key == **key));
            new.spent = kept.map(|(key, spent)| (*key, *spent)).collect();
        }
        let before = entry.size();
        (fresh.deposit, fresh.cap) = (entry.deposit, entry.cap.take());
        // Of keys that are gone nothing is remembered, or each change of keys would make the entry longer.
        if let Some(cap) = &mut fresh.cap {
            cap.spent.retain(|key, _| fresh.keys.as_ref().map_or(key.account() == account, |set| set.holds(key)));
        }
        let after = fresh.size();
        *entry = fresh;
        self.deposit(account, Book::Balance(account), before, after)?;
        self.prune(Book::Balance(account));
        Ok(())
    }

    pub(super) fn set_cap(&mut self, trial: &Trial<'_>, per_day: Option<Amount>) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Owner)?;
        let spent = self.accounts.get(&account).and_then(|entry| entry.cap.as_ref()).map(|cap| cap.spent.clone());
        self.put_cap(account, Cap { per_day, spent: spent.unwrap_or_default() })
    }

    /// The first deployment with a budget says what its account's keys may put into deployments a day.
    pub(super) fn set_first_cap(&mut self, account: AccountId, budget: Amount) -> Result<(), Rejection> {
        let has = self.accounts.get(&account).is_some_and(|entry| entry.cap.is_some());
        if has || budget.is_zero() { Ok(()) } else { self.put_cap(account, Cap::of_first(budget)) }
    }

    fn put_cap(&mut self, account: AccountId, cap: Cap) -> Result<(), Rejection> {
        let entry = self.accounts.get_or_default(&account);
        let before = entry.size();
        entry.cap = Some(Box::new(cap));
        let after = entry.size();
        self.deposit(account, Book::Balance(account), before, after)
    }

    pub(super) fn bond(&mut self, trial: &Trial<'_>, amount: Amount) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Owner)?;
        if amount.is_zero() {
            return Err(Rejection::ZeroAmount);
        }
        self.post(Book::Balance(account), Book::Bond(account), amount)
    }

    pub(super) fn unbond(&mut self, trial: &Trial<'_>, amount: Amount) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Owner)?;
        if amount.is_zero() {
            return Err(Rejection::ZeroAmount);
        }
        if self.is_frozen(account) {
            return Err(Rejection::Frozen { account });
        }
        let release = self.now.after(self.state.parameters.unbonding);
        self.post(Book::Bond(account), Book::Unbonding(account), amount)?;
        let needed = self.needed_bond(account);
        let operator = self.operators.get_or_default(&account);
        if operator.bond < needed {
            return Err(Rejection::BondTooLow { account, needed, available: operator.bond });
        }
        operator.release = release;
        Ok(())
    }

    /// The bond that an account's nodes and voting power hold fast.
    fn needed_bond(&self, account: AccountId) -> Amount {
        let parameters = &self.state.parameters;
        let nodes = self.operators.get(&account).map_or(0, |operator| operator.nodes);
        let for_nodes = if nodes > 0 { parameters.min_bond } else { Amount::ZERO };
        let power = self.validator_of(account).map_or(0, |validator| validator.power);
        for_nodes.max(parameters.power_bond.scaled(u128::from(power), 1))
    }

    /// Gives back a bond whose time has come, and forgets a key that is not answered for any more.
    pub(super) fn return_bond(&mut self, account: AccountId) -> Result<(), Rejection> {
        let now = self.now;
        let Some(operator) = self.operators.get_mut(&account).filter(|operator| !operator.frozen) else {
            return Ok(());
        };
        operator.former = operator.former.filter(|former| former.until > now);
        let amount = if operator.release <= now { operator.unbonding } else { Amount::ZERO };
        self.post(Book::Unbonding(account), Book::Balance(account), amount)?;
        self.prune(Book::Unbonding(account));
        Ok(())
    }
}
