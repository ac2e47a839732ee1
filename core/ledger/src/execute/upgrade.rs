//! How a network comes to new rules: validators say what they follow, and when two thirds of the power follow a version it
//! holds some blocks later, for all at the same height.

use super::{Execution, Trial};
use crate::entry::{Upgrade, Validator};
use crate::rejection::{Authority, Rejection};

impl Execution<'_> {
    pub(super) fn signal(&mut self, trial: &Trial<'_>, version: u16) -> Result<(), Rejection> {
        let (account, signer) = (trial.transaction.body.account, trial.transaction.signer);
        let present = self.validator_of(account).ok_or(Rejection::UnknownValidator { account })?;
        if present.key != signer {
            self.require(trial, Authority::Owner)?;
        }
        if version == present.version {
            return Err(Rejection::SignalledBefore { account, version });
        }
        let with = |entry: &Validator| if entry.account == account { Validator { version, ..*entry } } else { *entry };
        self.validators = Some(self.validators().iter().map(with).collect());
        Ok(())
    }

    /// Sets the height of the next version, once more than two thirds of the power follow it. What was set stays set: a
    /// validator that goes back on its word is left behind.
    pub(super) fn schedule_upgrade(&mut self) {
        if self.chain.upgrade.is_some() {
            return;
        }
        let mut power: Vec<(u16, u64)> = self.validators().iter().map(|entry| (entry.version, entry.power)).collect();
        power.sort_by(|one, other| other.cmp(one));
        let total: u64 = power.iter().map(|(_, power)| power).sum();
        let mut following = 0;
        let agreed = power.into_iter().find(|(_, power)| {
            following += power;
            following * 3 > total * 2
        });
        if let Some((version, _)) = agreed.filter(|(version, _)| *version > self.chain.version) {
            let height = self.height.plus(self.state.parameters.activation.max(1));
            self.chain.upgrade = Some(Upgrade { version, height });
        }
    }
}
