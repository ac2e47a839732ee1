//! The validators: who joins, with how much power, who leaves, and who is shown to lie.

use grange_types::{AccountId, Equivocation, PublicKey, Signed, limits};

use super::{Execution, Trial};
use crate::entry::{FormerKey, Validator};
use crate::rejection::{Authority, Rejection};
use crate::transaction::{KeyStatement, Purpose};

impl Execution<'_> {
    pub(super) fn set_validator(
        &mut self,
        trial: &Trial<'_>,
        key: PublicKey,
        power: u64,
        consent: &Signed<KeyStatement>,
    ) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Owner)?;
        if self.is_frozen(account) {
            return Err(Rejection::Frozen { account });
        }
        let present = self.validator_of(account);
        if power == 0 {
            let present = present.ok_or(Rejection::UnknownValidator { account })?;
            self.retire(account, present.key)?;
            return self.strike(account);
        }
        self.check_consent(trial, consent, key, Purpose::Validator)?;
        if let Some(present) = present.filter(|present| present.key != key) {
            self.retire(account, present.key)?;
        }
        let mut validators = self.validators().to_vec();
        let place = validators.iter().position(|validator| validator.account == account);
        if let Some(other) = validators.iter().find(|other| other.key == key && other.account != account) {
            return Err(Rejection::ValidatorKeyTaken { key, account: other.account });
        }
        if let Some(account) = self.answers_for(key).find(|other| *other != account) {
            return Err(Rejection::ValidatorKeyTaken { key, account });
        }
        self.check_power(account, power)?;
        // A new key is another machine, of which nobody knows yet what it follows.
        let version = present.filter(|present| present.key == key).map_or(0, |present| present.version);
        let validator = Validator { account, key, power, version };
        if let Some(place) = place {
            validators.remove(place);
        }
        if validators.len() >= limits::VALIDATORS {
            return Err(Rejection::TooManyValidators);
        }
        validators.push(validator);
        validators.sort();
        self.validators = Some(validators);
        Ok(())
    }

    /// More power than before needs a bond that covers all of it.
    fn check_power(&self, account: AccountId, power: u64) -> Result<(), Rejection> {
        if power > Validator::MAX_POWER {
            return Err(Rejection::PowerTooHigh);
        }
        if self.validator_of(account).is_some_and(|validator| power <= validator.power) {
            return Ok(());
        }
        let unit = self.state.parameters.power_bond;
        if unit.is_zero() {
            return Err(Rejection::ValidatorsClosed);
        }
        let needed = unit.scaled(u128::from(power), 1);
        let available = self.operators.get(&account).map(|operator| operator.bond).unwrap_or_default();
        if available < needed {
            return Err(Rejection::BondTooLow { account, needed, available });
        }
        Ok(())
    }

    pub(super) fn validators(&self) -> &[Validator] {
        self.validators.as_deref().unwrap_or(&self.state.validators)
    }

    /// An account's place among the validators.
    pub(super) fn validator_of(&self, account: AccountId) -> Option<Validator> {
        self.validators().iter().find(|validator| validator.account == account).copied()
    }

    /// Takes an account's vote and locks its bond for good, if the proof is one.
    pub(super) fn accuse(
        &mut self,
        trial: &Trial<'_>,
        accused: AccountId,
        proof: &Equivocation,
    ) -> Result<(), Rejection> {
        self.require(trial, Authority::Act)?;
        if self.is_frozen(accused) {
            return Err(Rejection::Frozen { account: accused });
        }
        let validator = proof.validator();
        let present = self.validator_of(accused).filter(|entry| entry.key.peer() == validator);
        let former = self.operators.get(&accused).and_then(|operator| operator.former);
        let former = former.filter(|former| former.key.peer() == validator && former.until > self.now);
        if present.is_none() && former.is_none() {
            return Err(Rejection::NotItsKey { accused, validator });
        }
        proof.check().map_err(Rejection::NoProof)?;
        if trial.unverified.is_some() {
            proof.verify(self.network).map_err(Rejection::NoProof)?;
        }
        if self.validator_of(accused).is_some() {
            self.strike(accused)?;
        }
        self.operators.get_or_default(&accused).frozen = true;
        Ok(())
    }

    /// The accounts that still answer for a key they voted with before.
    fn answers_for(&self, key: PublicKey) -> impl Iterator<Item = AccountId> {
        let known = self.state.index.former.range((key, AccountId([0; 32]))..=(key, AccountId([0xff; 32])));
        let accounts = known.map(|(_, account)| *account).chain(self.operators.written().copied());
        let answers = move |account: &AccountId| {
            let former = self.operators.get(account).and_then(|operator| operator.former);
            former.is_some_and(|former| former.key == key && former.until > self.now)
        };
        accounts.filter(answers)
    }

    /// Remembers a key that votes no more: it is answered for as long as a bond stays locked.
    fn retire(&mut self, account: AccountId, key: PublicKey) -> Result<(), Rejection> {
        let now = self.now;
        let until = now.after(self.state.parameters.unbonding);
        let operator = self.operators.get_or_default(&account);
        if let Some(former) = operator.former.filter(|former| former.key != key && former.until > now) {
            return Err(Rejection::KeyChangedBefore { account, until: former.until });
        }
        operator.former = Some(FormerKey { key, until });
        Ok(())
    }

    /// Takes an account out of the validators; the last one stays.
    fn strike(&mut self, account: AccountId) -> Result<(), Rejection> {
        let mut validators = self.validators().to_vec();
        validators.retain(|validator| validator.account != account);
        if validators.is_empty() {
            return Err(Rejection::LastValidator { account });
        }
        self.validators = Some(validators);
        Ok(())
    }

    /// Whether an account has been shown to lie.
    pub(super) fn is_frozen(&self, account: AccountId) -> bool {
        self.operators.get(&account).is_some_and(|operator| operator.frozen)
    }
}
