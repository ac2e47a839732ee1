//! Who may do what: key sets, registered nodes, delegates, and ceilings for a day.

use grange_types::{AccountId, Amount, Millis, PublicKey, Role};

use super::{Execution, Trial};
use crate::entry::{Deployment, Lease, Spent};
use crate::rejection::{Authority, Rejection};
use crate::transaction::Verb;

/// What a key may do for an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Held {
    pub(crate) owner: bool,
    pub(crate) node: bool,
    /// Whether it is in the key set at all, be it only to vote.
    pub(crate) listed: bool,
    /// The ceiling of a key that may spend.
    pub(crate) spend: Option<Amount>,
}

impl Held {
    /// What these roles say.
    pub(crate) fn of(roles: &[Role]) -> Self {
        let mut held = Self { listed: true, ..Self::default() };
        for role in roles {
            match role {
                Role::Owner => held.owner = true,
                Role::Node => held.node = true,
                Role::Validator => {}
                Role::Spend { per_day } => held.spend = Some(*per_day),
            }
        }
        held
    }

    /// What the key may spend a day; none where nothing limits that, or where it spends nothing.
    pub(crate) fn ceiling(&self) -> Option<Amount> {
        self.spend.filter(|_| !self.owner)
    }

    /// Whether this suffices.
    pub(crate) const fn covers(&self, needed: Authority) -> bool {
        let spend = self.owner || self.spend.is_some();
        match needed {
            Authority::Owner => self.owner,
            Authority::Spend => spend,
            Authority::Act => spend || self.node,
        }
    }
}

/// Who pays by a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Payer {
    /// The deployment's owner.
    Owner,
    /// A delegate, within its ceiling.
    Delegate(AccountId),
}

impl Execution<'_> {
    /// What a key may do for an account: by the key set, or as a registered node.
    pub(super) fn held(&self, account: AccountId, key: PublicKey) -> Held {
        let mut held = match self.accounts.get(&account).and_then(|entry| entry.keys.as_ref()) {
            Some(set) => {
                let grant = set.keys.iter().find(|grant| grant.key == key);
                grant.map(|grant| Held::of(&grant.roles)).unwrap_or_default()
            }
            None if key.account() == account => Held::of(&[Role::Owner]),
            None => Held::default(),
        };
        held.node |= self.nodes.get(&key.peer()).is_some_and(|node| node.operator == account);
        held
    }

    /// Refuses unless the transaction's signer may do this for the transaction's account.
    pub(super) fn require(&self, trial: &Trial<'_>, needed: Authority) -> Result<(), Rejection> {
        let (account, signer) = (trial.transaction.body.account, trial.transaction.signer);
        if self.held(account, signer).covers(needed) {
            return Ok(());
        }
        Err(Rejection::KeyNotAllowed { account, signer, needed })
    }

    /// Refuses unless the transaction comes from the deployment's owner.
    pub(super) fn require_owner(&self, trial: &Trial<'_>, deployment: &Deployment) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        if account != deployment.owner {
            return Err(Rejection::NotOwner { deployment: deployment.id, owner: deployment.owner, account });
        }
        self.require(trial, Authority::Spend)
    }

    /// Refuses unless the transaction comes from the deployment's owner or a delegate with the verb.
    pub(super) fn require_verb(&self, trial: &Trial<'_>, deployment: &Deployment, verb: Verb) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        if account == deployment.owner {
            return self.require(trial, Authority::Spend);
        }
        if deployment.delegates_to(account, verb) {
            return self.require(trial, Authority::Act);
        }
        Err(Rejection::NotDelegate { deployment: deployment.id, account, verb })
    }

    /// Counts money against the ceiling of the key that moves it; an owner's key has none. What moves nothing is no matter of the
    /// ceiling, which may have been lowered below what was spent today.
    pub(super) fn charge_key(
        &mut self,
        account: AccountId,
        signer: PublicKey,
        amount: Amount,
    ) -> Result<(), Rejection> {
        let ceiling = self.held(account, signer).ceiling().filter(|_| !amount.is_zero());
        let Some(ceiling) = ceiling else { return Ok(()) };
        let day = self.day();
        let Some(set) = self.accounts.get_mut(&account).and_then(|entry| entry.keys.as_mut()) else { return Ok(()) };
        let spent = set.spent.entry(signer).or_default();
        match add_within(*spent, day, amount, ceiling) {
            Some(more) => *spent = more,
            None => return Err(Rejection::KeyCeiling { signer, ceiling, spent: spent.on(day), amount }),
        }
        Ok(())
    }

    /// Counts what a key puts into a deployment against the cap that its account gave all its keys.
    pub(super) fn charge_cap(
        &mut self,
        account: AccountId,
        signer: PublicKey,
        amount: Amount,
    ) -> Result<(), Rejection> {
        let day = self.day();
        let Some(cap) = self.accounts.get_mut(&account).and_then(|entry| entry.cap.as_mut()) else { return Ok(()) };
        let Some(per_day) = cap.per_day.filter(|_| !amount.is_zero()) else { return Ok(()) };
        // Only today counts, so no more keys are remembered than may act on one day.
        cap.spent.retain(|_, spent| spent.day == day);
        let spent = cap.spent.get(&signer).copied().unwrap_or_default();
        match add_within(spent, day, amount, per_day) {
            Some(more) => drop(cap.spent.insert(signer, more)),
            None => return Err(Rejection::KeyCap { signer, cap: per_day, spent: spent.on(day), amount }),
        }
        Ok(())
    }

    /// Counts money against a delegate's ceiling.
    fn charge_delegate(&mut self, lease: &Lease, account: AccountId, amount: Amount) -> Result<(), Rejection> {
        let day = self.day();
        let unknown = Rejection::UnknownDeployment { deployment: lease.deployment };
        let deployment = self.deployments.get_mut(&lease.deployment).ok_or(unknown)?;
        let ceiling = deployment.delegate(account).map_or(Amount::ZERO, |delegate| delegate.ceiling_per_day);
        let spent = deployment.spent.entry(account).or_default();
        match add_within(*spent, day, amount, ceiling) {
            Some(more) => *spent = more,
            None => return Err(Rejection::DelegateCeiling { account, ceiling, spent: spent.on(day), amount }),
        }
        Ok(())
    }

    /// Counts what a receipt pays against whoever signed it.
    pub(super) fn charge_payer(
        &mut self,
        lease: &Lease,
        owner: AccountId,
        signer: PublicKey,
        payer: Payer,
        amount: Amount,
    ) -> Result<(), Rejection> {
        let limited = payer == Payer::Owner && self.held(owner, signer).ceiling().is_some();
        let beyond = self.draw(lease.deployment, limited.then_some(signer), amount)?;
        match payer {
            Payer::Owner => self.charge_key(owner, signer, beyond),
            Payer::Delegate(_) if amount.is_zero() => Ok(()),
            Payer::Delegate(account) => self.charge_delegate(lease, account, amount),
        }
    }

    /// Who pays by a receipt with this signer: the owner or a delegate, never a key of the one who is paid.
    pub(super) fn payer(&self, deployment: &Deployment, lease: &Lease, signer: PublicKey) -> Result<Payer, Rejection> {
        let operator = lease.terms.operator;
        let paid = self.held(operator, signer);
        if paid.listed || paid.node || signer.peer() == lease.terms.provider {
            return Err(Rejection::ReceiptByOperator { operator });
        }
        if self.held(deployment.owner, signer).covers(Authority::Spend) {
            return Ok(Payer::Owner);
        }
        let signs = |account| self.held(account, signer).covers(Authority::Act);
        let mut delegates = deployment.delegates.iter().filter(|delegate| delegate.verbs.contains(&Verb::Receipt));
        match delegates.find(|delegate| delegate.account != operator && signs(delegate.account)) {
            Some(delegate) => Ok(Payer::Delegate(delegate.account)),
            None => Err(Rejection::ReceiptSigner { signer }),
        }
    }

    /// The day of block time.
    fn day(&self) -> u64 {
        self.time.0 / Millis::DAY.0
    }
}

/// What was spent on a day after `amount` more, unless that is above the ceiling.
fn add_within(spent: Spent, day: u64, amount: Amount, ceiling: Amount) -> Option<Spent> {
    let sum = spent.on(day).add(amount).ok()?;
    (sum <= ceiling).then_some(Spent { day, amount: sum })
}
