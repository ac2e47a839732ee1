//! Operators' nodes, and the validators.

use grange_types::{AccountId, PeerId, PublicKey, Signed, limits};

use super::{Execution, Trial};
use crate::entry::{NODES_PER_OPERATOR, Validator};
use crate::genesis::NodeEntry;
use crate::money::Book;
use crate::rejection::{Authority, Rejection};
use crate::transaction::{KeyStatement, Purpose};

impl Execution<'_> {
    pub(super) fn register_node(
        &mut self,
        trial: &Trial<'_>,
        node: &NodeEntry,
        consent: &Signed<KeyStatement>,
    ) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Owner)?;
        if node.operator != account || !node.is_legal() {
            return Err(Rejection::NodeInvalid { node: node.peer });
        }
        self.check_consent(trial, consent, PublicKey::from(node.peer), Purpose::Node)?;
        let known = match self.nodes.get(&node.peer) {
            Some(entry) if entry.operator != account => {
                return Err(Rejection::NodeTaken { node: node.peer, operator: entry.operator });
            }
            known => known.is_some(),
        };
        let needed = self.state.parameters.min_bond;
        let operator = self.operators.get_or_default(&account);
        if operator.bond < needed {
            return Err(Rejection::BondTooLow { account, needed, available: operator.bond });
        }
        if !known {
            if operator.nodes >= NODES_PER_OPERATOR {
                return Err(Rejection::TooManyNodes);
            }
            operator.nodes += 1;
        }
        self.nodes.put(node.peer, node.clone());
        Ok(())
    }

    pub(super) fn remove_node(&mut self, trial: &Trial<'_>, node: PeerId) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Owner)?;
        match self.nodes.get(&node) {
            None => return Err(Rejection::UnknownNode { node }),
            Some(entry) if entry.operator != account => {
                return Err(Rejection::NodeTaken { node, operator: entry.operator });
            }
            Some(_) => {}
        }
        self.nodes.remove(&node);
        let operator = self.operators.get_or_default(&account);
        operator.nodes = operator.nodes.saturating_sub(1);
        self.prune(Book::Bond(account));
        Ok(())
    }

    /// Refuses unless the key itself has said that it serves the transaction's account.
    fn check_consent(
        &self,
        trial: &Trial<'_>,
        consent: &Signed<KeyStatement>,
        key: PublicKey,
        purpose: Purpose,
    ) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        if consent.signer != key || consent.body != (KeyStatement { account, purpose }) {
            return Err(Rejection::NoConsent { key, account, purpose });
        }
        self.open_inner(trial, "statement", consent)
    }

    pub(super) fn set_validator(
        &mut self,
        trial: &Trial<'_>,
        key: PublicKey,
        power: u64,
        consent: &Signed<KeyStatement>,
    ) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Owner)?;
        let mut validators = self.validators().to_vec();
        let place = validators.iter().position(|validator| validator.account == account);
        if power == 0 {
            let place = place.ok_or(Rejection::UnknownValidator { account })?;
            if validators.len() == 1 {
                return Err(Rejection::LastValidator { account });
            }
            validators.remove(place);
            self.validators = Some(validators);
            return Ok(());
        }
        self.check_consent(trial, consent, key, Purpose::Validator)?;
        if let Some(other) = validators.iter().find(|other| other.key == key && other.account != account) {
            return Err(Rejection::ValidatorKeyTaken { key, account: other.account });
        }
        self.check_power(account, power)?;
        let validator = Validator { account, key, power };
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

    fn validators(&self) -> &[Validator] {
        self.validators.as_deref().unwrap_or(&self.state.validators)
    }

    /// An account's place among the validators.
    pub(super) fn validator_of(&self, account: AccountId) -> Option<Validator> {
        self.validators().iter().find(|validator| validator.account == account).copied()
    }
}
