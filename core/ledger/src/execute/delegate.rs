//! A reserve takes the place of a steward that is lost, without the owner.
//!
//! # Rules
//! - the owner names reserves beforehand: delegates without verbs. Nobody else chooses who comes, so that a steward can bring
//!   in no friend of its own.
//! - upon replacing: whoever may place for the deployment, and is not the one that goes, has the two change their entries:
//!   the reserve gets verbs, ceiling and turn, the other one becomes a reserve and may come back in the same way.
//! - what each of them has signed for on this day stays counted.

use grange_types::{AccountId, DeploymentId};

use super::{Execution, Trial};
use crate::rejection::Rejection;
use crate::transaction::Verb;

/// The version of the rules that knows reserves.
const SINCE: u16 = 3;

impl Execution<'_> {
    pub(super) fn replace_delegate(
        &mut self,
        trial: &Trial<'_>,
        id: DeploymentId,
        lost: AccountId,
        by: AccountId,
    ) -> Result<(), Rejection> {
        if self.chain.version < SINCE {
            return Err(Rejection::NotYet { needed: SINCE, holds: self.chain.version });
        }
        let deployment = self.open_deployment_of(id)?;
        self.require_verb(trial, deployment, Verb::Place)?;
        let place = |account| deployment.delegates.iter().position(|delegate| delegate.account == account);
        let other = trial.transaction.body.account != lost;
        let fits = other && deployment.is_steward(lost) && !deployment.is_steward(by);
        let (Some(from), Some(to), true) = (place(lost), place(by), fits) else {
            return Err(Rejection::NoReserve { deployment: id, lost, by });
        };
        let Some(deployment) = self.deployments.get_mut(&id) else {
            return Err(Rejection::UnknownDeployment { deployment: id });
        };
        for (index, account) in [(from, by), (to, lost)] {
            if let Some(delegate) = deployment.delegates.get_mut(index) {
                delegate.account = account;
            }
        }
        Ok(())
    }
}
