//! What of a deployment's money has counted against a ceiling, and against whose, so that it counts once.
//!
//! # Rules
//! - Money counts when a key with a ceiling puts it in, and is remembered as that key's. What its receipts pay comes out of
//!   that first, and counts no more; what they pay beyond it counts on its day.
//! - What others pay, stewards and owner's keys, and what a key pays beyond its own, comes out of what nobody's ceiling has
//!   counted, and then out of what keys have, in their order: nobody pays freely with what another key answered for.
//! - Upon new terms under which more of it could go out, or to others: a key with a ceiling answers for all that it has not
//!   counted itself, as if it put that in now, and then all of it is its own. Terms that stay or get narrower cost it nothing.
//! - What was counted by a key that has no ceiling any more, since it was revoked or became an owner's, counts as nobody's. So
//!   no more keys are remembered than an account has.
//! - So in a day no more goes out by such a key than its ceiling, and what its own ceilings of days before have counted into
//!   deployments and was not paid yet.
//!
//! # What it leaves out
//! - Where such a key places. A slot's highest rate is the owner's own word on what a placement may cost an hour: raising it
//!   is answered for, using it is not, or who looks after a deployment could not move it when its provider dies.

use grange_types::{Amount, DeploymentId, PublicKey, SlotSpec};

use super::{Execution, Trial};
use crate::entry::{Deployment, Slot};
use crate::money::Book;
use crate::rejection::Rejection;
use crate::transaction::Delegate;

impl Execution<'_> {
    /// Moves money into a deployment, and remembers whose ceiling has counted it.
    pub(super) fn put_in(&mut self, trial: &Trial<'_>, id: DeploymentId, amount: Amount) -> Result<(), Rejection> {
        let (account, signer) = (trial.transaction.body.account, trial.transaction.signer);
        self.charge_key(account, signer, amount)?;
        self.charge_cap(account, signer, amount)?;
        let limited = self.held(account, signer).ceiling().is_some();
        // A stranger's ceiling says nothing of what the owner's keys may pay out.
        let by = (limited && self.deployment(id)?.owner == account).then_some(signer);
        self.remember(id, |deployment| deployment.add(by, amount))?;
        self.post(Book::Balance(account), Book::Deployment(id), amount)
    }

    /// Counts all the money of a deployment that a key has not counted itself against its ceiling, since it changes on what
    /// terms that goes out; an owner's key has none.
    pub(super) fn answer_for(&mut self, trial: &Trial<'_>, id: DeploymentId) -> Result<(), Rejection> {
        let (account, signer) = (trial.transaction.body.account, trial.transaction.signer);
        if self.held(account, signer).ceiling().is_none() {
            return Ok(());
        }
        let others = self.deployment(id)?.not_counted_by(signer);
        self.charge_key(account, signer, others)?;
        self.remember(id, |deployment| deployment.claim(signer))
    }

    /// Takes what a receipt pays out of what is remembered: `by` is the owner's key with a ceiling that signed it, if one did.
    /// Gives what such a key has not counted itself.
    pub(super) fn draw(
        &mut self,
        id: DeploymentId,
        by: Option<PublicKey>,
        amount: Amount,
    ) -> Result<Amount, Rejection> {
        self.remember(id, |deployment| deployment.draw(by, amount))
    }

    /// Changes what is remembered of a deployment's money, and moves the deposit that stands for it.
    fn remember<T>(&mut self, id: DeploymentId, change: impl FnOnce(&mut Deployment) -> T) -> Result<T, Rejection> {
        let gone = self.without_ceiling(id)?;
        let Some(deployment) = self.deployments.get_mut(&id) else {
            return Err(Rejection::UnknownDeployment { deployment: id });
        };
        let (owner, before) = (deployment.owner, deployment.size());
        gone.into_iter().for_each(|key| deployment.release(key));
        let result = change(deployment);
        let after = deployment.size();
        self.deposit(owner, Book::Balance(owner), before, after)?;
        Ok(result)
    }

    /// Keys that have counted money into a deployment and have no ceiling any more.
    fn without_ceiling(&self, id: DeploymentId) -> Result<Vec<PublicKey>, Rejection> {
        let deployment = self.deployment(id)?;
        let gone = |key: &PublicKey| self.held(deployment.owner, *key).ceiling().is_none();
        Ok(deployment.counted.keys().copied().filter(gone).collect())
    }
}

impl Deployment {
    /// What of its money a key with a ceiling has counted, and may pay out freely.
    #[must_use]
    pub fn counted_by(&self, key: PublicKey) -> Amount {
        self.counted.get(&key).copied().unwrap_or_default()
    }

    /// What of its money a key would answer for that loosened its terms: all that it has not counted itself.
    #[must_use]
    pub fn not_counted_by(&self, key: PublicKey) -> Amount {
        self.remembered().saturating_sub(self.counted_by(key))
    }

    /// All the money that is remembered here, whoever has counted it or nobody. While the deployment is open, that is what is
    /// in it and in its leases, and what of it stands for their entries.
    #[must_use]
    pub fn remembered(&self) -> Amount {
        self.counted.values().copied().fold(self.uncounted, Amount::saturating_add)
    }

    /// Remembers money that was put in, as counted by a key or by none.
    fn add(&mut self, by: Option<PublicKey>, amount: Amount) {
        if amount.is_zero() {
            return;
        }
        let part = match by {
            Some(key) => self.counted.entry(key).or_default(),
            None => &mut self.uncounted,
        };
        *part = part.saturating_add(amount);
    }

    /// Makes all of it a key's own.
    fn claim(&mut self, key: PublicKey) {
        let all = self.remembered();
        (self.counted, self.uncounted) = Default::default();
        self.add(Some(key), all);
    }

    /// Makes what a key has counted nobody's.
    fn release(&mut self, key: PublicKey) {
        let amount = self.counted.remove(&key).unwrap_or_default();
        self.uncounted = self.uncounted.saturating_add(amount);
    }

    /// Takes what a receipt pays out of its signer's own, then out of what nobody has counted, then out of others'. Gives what
    /// was not the signer's own.
    fn draw(&mut self, by: Option<PublicKey>, amount: Amount) -> Amount {
        let own = by.map_or(Amount::ZERO, |key| self.take(key, amount));
        let beyond = amount.saturating_sub(own);
        let mut rest = beyond.saturating_sub(self.uncounted);
        self.uncounted = self.uncounted.saturating_sub(beyond);
        while let Some(first) = self.counted.keys().next().copied().filter(|_| !rest.is_zero()) {
            rest = rest.saturating_sub(self.take(first, rest));
        }
        beyond
    }

    /// Takes so much at most out of what a key has counted; gives how much that was.
    fn take(&mut self, key: PublicKey, most: Amount) -> Amount {
        let Some(left) = self.counted.get_mut(&key) else { return Amount::ZERO };
        let taken = most.min(*left);
        *left = left.saturating_sub(taken);
        if left.is_zero() {
            self.counted.remove(&key);
        }
        taken
    }

    /// Whether under new terms more of its money could go out than before, or to others: there is a slot that was not there,
    /// or one that may cost more, or a delegate that was not there, may do more or has a higher ceiling.
    #[must_use]
    pub fn is_loosened(&self, slots: &[SlotSpec], delegates: &[Delegate]) -> bool {
        let within = |spec: &SlotSpec| {
            let same = |slot: &&Slot| slot.spec.service == spec.service && slot.spec.replica == spec.replica;
            self.slots.iter().find(same).is_some_and(|slot| spec.max_rate <= slot.spec.max_rate)
        };
        let narrower = |delegate: &Delegate| {
            self.delegate(delegate.account).is_some_and(|present| {
                delegate.verbs.is_subset(&present.verbs) && delegate.ceiling_per_day <= present.ceiling_per_day
            })
        };
        !slots.iter().all(within) || !delegates.iter().all(narrower)
    }
}
