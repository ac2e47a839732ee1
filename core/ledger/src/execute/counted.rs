//! What of a deployment's money has counted against a ceiling, so that it counts once.
//!
//! # Rules
//! - Money counts when a key with a ceiling puts it in, and then no more: receipts use it up first, whoever signs them. What
//!   they pay beyond it counts on the day of the key that signs, if that has a ceiling.
//! - Upon new terms under which more of it could go out, or to others: a key with a ceiling answers for all that was not
//!   counted yet, as if it put that in now. Terms that stay or get narrower cost it nothing.
//! - So in a day no more goes out by such a key than its ceiling, and what the ceilings of days before have counted into
//!   deployments and nobody has used.

use grange_types::{Amount, DeploymentId, SlotSpec};

use super::{Execution, Trial};
use crate::entry::{Deployment, Slot};
use crate::money::Book;
use crate::rejection::Rejection;
use crate::transaction::Delegate;

impl Execution<'_> {
    /// Moves money into a deployment, and remembers whether a ceiling has counted it.
    pub(super) fn put_in(&mut self, trial: &Trial<'_>, id: DeploymentId, amount: Amount) -> Result<(), Rejection> {
        let (account, signer) = (trial.transaction.body.account, trial.transaction.signer);
        self.charge_key(account, signer, amount)?;
        self.charge_cap(account, signer, amount)?;
        let limited = self.held(account, signer).ceiling().is_some();
        let Some(deployment) = self.deployments.get_mut(&id) else {
            return Err(Rejection::UnknownDeployment { deployment: id });
        };
        // A stranger's ceiling says nothing of what the owner's keys may pay out.
        let counted = limited && deployment.owner == account;
        let part = if counted { &mut deployment.counted } else { &mut deployment.uncounted };
        *part = part.saturating_add(amount);
        self.post(Book::Balance(account), Book::Deployment(id), amount)
    }

    /// Counts all the money of a deployment that was not counted yet against the ceiling of the key that changes on what
    /// terms it goes out; an owner's key has none.
    pub(super) fn answer_for(&mut self, trial: &Trial<'_>, id: DeploymentId) -> Result<(), Rejection> {
        let (account, signer) = (trial.transaction.body.account, trial.transaction.signer);
        if self.held(account, signer).ceiling().is_none() {
            return Ok(());
        }
        let uncounted = self.deployment(id)?.uncounted;
        self.charge_key(account, signer, uncounted)?;
        if let Some(deployment) = self.deployments.get_mut(&id) {
            deployment.counted = deployment.counted.saturating_add(uncounted);
            deployment.uncounted = Amount::ZERO;
        }
        Ok(())
    }
}

impl Deployment {
    /// Takes what a receipt pays out of the money that was counted, and then out of the rest; gives how much of the rest.
    pub(crate) fn draw(&mut self, amount: Amount) -> Amount {
        let counted = amount.min(self.counted);
        let rest = amount.saturating_sub(counted);
        self.counted = self.counted.saturating_sub(counted);
        self.uncounted = self.uncounted.saturating_sub(rest);
        rest
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
