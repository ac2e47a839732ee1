//! Deployments: an account of their own with slots and delegates, and the names that lead to them.

use std::collections::{BTreeMap, BTreeSet};

use grange_types::{AccountId, Amount, BlobId, DeploymentId, SlotSpec, limits};

use super::{Execution, Trial};
use crate::entry::{Deployment, DeploymentState, NAMES_PER_DEPLOYMENT, NameEntry, Slot};
use crate::money::Book;
use crate::rejection::{Authority, Rejection};
use crate::transaction::Delegate;

impl Execution<'_> {
    pub(super) fn open_deployment(
        &mut self,
        trial: &Trial<'_>,
        name: Option<&str>,
        manifest: BlobId,
        budget: Amount,
        slots: &[SlotSpec],
        delegates: &[Delegate],
    ) -> Result<(), Rejection> {
        let owner = trial.transaction.body.account;
        self.require(trial, Authority::Spend)?;
        check_slots(slots)?;
        check_delegates(owner, delegates)?;
        let id = DeploymentId(trial.id.0);
        let numbered = (0..).zip(slots).map(|(number, spec)| new_slot(number, spec)).collect();
        self.deployments.put(
            id,
            Deployment {
                id,
                owner,
                names: Vec::new(),
                balance: Amount::ZERO,
                counted: BTreeMap::new(),
                uncounted: Amount::ZERO,
                manifest,
                slots: numbered,
                next_slot: slots.len() as u32,
                delegates: delegates.to_vec(),
                spent: BTreeMap::new(),
                opened: self.now,
                state: DeploymentState::Open,
                leases: 0,
                archived: Amount::ZERO,
            },
        );
        self.deposit(owner, Book::Balance(owner), 0, self.deployment(id)?.size())?;
        if let Some(name) = name {
            self.give_name(name, id)?;
        }
        self.set_first_cap(owner, budget)?;
        self.put_in(trial, id, budget)
    }

    pub(super) fn update_deployment(
        &mut self,
        trial: &Trial<'_>,
        id: DeploymentId,
        manifest: BlobId,
        slots: &[SlotSpec],
        delegates: &[Delegate],
    ) -> Result<(), Rejection> {
        let deployment = self.open_deployment_of(id)?;
        self.require_owner(trial, deployment)?;
        check_slots(slots)?;
        check_delegates(deployment.owner, delegates)?;
        if deployment.is_loosened(slots, delegates) {
            self.answer_for(trial, id)?;
        }
        let deployment = self.deployment(id)?;
        let mut next = deployment.next_slot;
        let mut present: BTreeMap<_, _> = deployment
            .slots
            .iter()
            .map(|slot| ((slot.spec.service.clone(), slot.spec.replica), slot.clone()))
            .collect();
        let mut fresh = Vec::with_capacity(slots.len());
        for spec in slots {
            match present.remove(&(spec.service.clone(), spec.replica)) {
                Some(slot) => fresh.push(Slot { spec: spec.clone(), ..slot }),
                None => {
                    fresh.push(new_slot(next, spec));
                    next = next.checked_add(1).ok_or(Rejection::SlotsInvalid)?;
                }
            }
        }
        fresh.sort_by_key(|slot| slot.number);
        for lease in present.values().filter_map(|slot| slot.lease) {
            self.end_lease(lease, self.now)?;
        }
        let Some(deployment) = self.deployments.get_mut(&id) else {
            return Err(Rejection::UnknownDeployment { deployment: id });
        };
        let (owner, before) = (deployment.owner, deployment.size());
        deployment.manifest = manifest;
        deployment.slots = fresh;
        deployment.next_slot = next;
        deployment.delegates = delegates.to_vec();
        deployment.spent.retain(|account, _| delegates.iter().any(|delegate| delegate.account == *account));
        let after = deployment.size();
        self.deposit(owner, Book::Balance(owner), before, after)
    }

    pub(super) fn fund_deployment(
        &mut self,
        trial: &Trial<'_>,
        id: DeploymentId,
        amount: Amount,
    ) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Spend)?;
        let owner = self.open_deployment_of(id)?.owner;
        if amount.is_zero() {
            return Err(Rejection::ZeroAmount);
        }
        if owner == account {
            self.set_first_cap(account, amount)?;
        }
        self.put_in(trial, id, amount)
    }

    pub(super) fn close_deployment(&mut self, trial: &Trial<'_>, id: DeploymentId) -> Result<(), Rejection> {
        let deployment = self.open_deployment_of(id)?;
        self.require_owner(trial, deployment)?;
        let owner = deployment.owner;
        let leases: Vec<_> = deployment.slots.iter().filter_map(|slot| slot.lease).collect();
        for lease in leases {
            self.end_lease(lease, self.now)?;
        }
        let at = self.now;
        let Some(deployment) = self.deployments.get_mut(&id) else {
            return Err(Rejection::UnknownDeployment { deployment: id });
        };
        deployment.state = DeploymentState::Closed { at };
        let before = deployment.size();
        let (names, rest) = (core::mem::take(&mut deployment.names), deployment.balance);
        let after = deployment.size();
        for name in names {
            self.names.remove(&name);
        }
        self.deposit(owner, Book::Balance(owner), before, after)?;
        self.post(Book::Deployment(id), Book::Balance(owner), rest)
    }

    pub(super) fn claim_name(&mut self, trial: &Trial<'_>, name: &str, id: DeploymentId) -> Result<(), Rejection> {
        let deployment = self.open_deployment_of(id)?;
        self.require_owner(trial, deployment)?;
        self.give_name(name, id)
    }

    pub(super) fn release_name(&mut self, trial: &Trial<'_>, name: &str) -> Result<(), Rejection> {
        let name = name.to_owned();
        let Some(entry) = self.names.get(&name).copied() else { return Err(Rejection::UnknownName { name }) };
        let deployment = self.deployment(entry.deployment)?;
        self.require_owner(trial, deployment)?;
        self.names.remove(&name);
        let Some(deployment) = self.deployments.get_mut(&entry.deployment) else { return Ok(()) };
        let (owner, before) = (deployment.owner, deployment.size());
        deployment.names.retain(|other| *other != name);
        let after = deployment.size();
        self.deposit(owner, Book::Balance(owner), before, after)
    }

    fn give_name(&mut self, name: &str, id: DeploymentId) -> Result<(), Rejection> {
        if !is_label(name) {
            let shown = name.chars().take(limits::NAME_BYTES).collect();
            return Err(Rejection::NameInvalid { name: shown });
        }
        let name = name.to_owned();
        if let Some(entry) = self.names.get(&name) {
            return Err(Rejection::NameTaken { name, deployment: entry.deployment });
        }
        let Some(deployment) = self.deployments.get_mut(&id) else {
            return Err(Rejection::UnknownDeployment { deployment: id });
        };
        if deployment.names.len() >= NAMES_PER_DEPLOYMENT {
            return Err(Rejection::TooManyNames);
        }
        let (owner, before) = (deployment.owner, deployment.size());
        deployment.names.push(name.clone());
        let after = deployment.size();
        self.names.put(name, NameEntry { deployment: id });
        self.deposit(owner, Book::Balance(owner), before, after)
    }

    pub(super) fn deployment(&self, id: DeploymentId) -> Result<&Deployment, Rejection> {
        self.deployments.get(&id).ok_or(Rejection::UnknownDeployment { deployment: id })
    }

    pub(super) fn open_deployment_of(&self, id: DeploymentId) -> Result<&Deployment, Rejection> {
        let deployment = self.deployment(id)?;
        if deployment.is_open() { Ok(deployment) } else { Err(Rejection::DeploymentClosed { deployment: id }) }
    }

    /// Where money goes that a lease no longer needs.
    pub(super) fn refund_book(&self, id: DeploymentId) -> Result<Book, Rejection> {
        let deployment = self.deployment(id)?;
        Ok(if deployment.is_open() { Book::Deployment(id) } else { Book::Balance(deployment.owner) })
    }

    /// Takes a closed deployment without leases out of the state.
    pub(super) fn forget_deployment(&mut self, id: DeploymentId) -> Result<(), Rejection> {
        let deployment = self.deployment(id)?;
        if deployment.due(&self.state.parameters).is_some_and(|due| due <= self.now) {
            let (owner, rest, size) = (deployment.owner, deployment.balance, deployment.size());
            self.post(Book::Deployment(id), Book::Balance(owner), rest)?;
            self.deposit(owner, Book::Balance(owner), size, 0)?;
            self.deployments.remove(&id);
        }
        Ok(())
    }
}

fn new_slot(number: u32, spec: &SlotSpec) -> Slot {
    Slot { number, spec: spec.clone(), generation: 0, lease: None }
}

fn check_slots(slots: &[SlotSpec]) -> Result<(), Rejection> {
    let mut seen = BTreeSet::new();
    let short = |route: &String| route.len() <= limits::ROUTE_BYTES;
    let legal = |spec: &SlotSpec| {
        (1..=limits::NAME_BYTES).contains(&spec.service.len()) && spec.route.as_ref().is_none_or(short)
    };
    let distinct = slots.iter().all(|spec| legal(spec) && seen.insert((spec.service.as_str(), spec.replica)));
    if slots.is_empty() || slots.len() > limits::SLOTS || !distinct {
        return Err(Rejection::SlotsInvalid);
    }
    Ok(())
}

fn check_delegates(owner: AccountId, delegates: &[Delegate]) -> Result<(), Rejection> {
    let mut seen = BTreeSet::from([owner]);
    let distinct = delegates.iter().all(|delegate| seen.insert(delegate.account));
    if delegates.len() > limits::DELEGATES || !distinct {
        return Err(Rejection::DelegatesInvalid);
    }
    Ok(())
}

/// Whether a text is a lower-case DNS label: letters, digits and inner dashes, at most 63 bytes.
fn is_label(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=limits::NAME_BYTES).contains(&text.len())
        && text.bytes().all(legal)
        && !text.starts_with('-')
        && !text.ends_with('-')
}
