//! Keys with a ceiling: in a day no more goes out by one than its ceiling, and what its ceilings of days before have counted
//! into deployments.
//!
//! # Rules
//! - All is read from the blocks: which keys there are and what they may, what they send, put in, change and sign. Of the
//!   ledger only who owns what is asked, and what a deployment holds. What it counted itself is not.
//! - Upon a day: what a key sends and puts in together is within its ceiling.
//! - Upon a day: what it sends, puts into deployments of others, and pays by receipts is within its ceiling and what it
//!   counted into its own account's deployments on days before. A day on which it loosened terms may have counted all of the
//!   ceiling.
//! - Upon terms that it loosens: it answers for all that the deployment holds, so that is within the same.
//! - A key that is taken away and given again begins a day anew: that is its owner's word.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{Action as Deed, Block, Delegate, Transaction};
use grange_ledger::{Deployment, LedgerView};
use grange_types::{AccountId, Amount, DeploymentId, LeaseId, Millis, PublicKey, Role, Signed, SlotSpec};

/// What a key with a ceiling does.
#[derive(Default)]
pub(super) struct Keys {
    cards: BTreeMap<Key, Card>,
    owners: BTreeMap<DeploymentId, AccountId>,
    leases: BTreeMap<LeaseId, DeploymentId>,
    terms: BTreeMap<DeploymentId, Terms>,
    /// What the receipts so far paid of each lease.
    paid: BTreeMap<LeaseId, Amount>,
    /// What keys that were taken away may have counted in before.
    gone: BTreeMap<Key, Amount>,
    /// Of blocks that were not looked at yet, with their day.
    news: Vec<(Signed<Transaction>, u64)>,
    /// Who loosened what in them.
    loosened: Vec<(Key, DeploymentId)>,
}

/// A key of an account.
type Key = (AccountId, PublicKey);

struct Card {
    ceiling: Amount,
    day: u64,
    sent: Amount,
    put_in: Amount,
    /// What of that went into deployments of others.
    given: Amount,
    paid: Amount,
    loosened: bool,
    /// What it may have counted in on days before.
    before: Amount,
}

/// What a deployment's money may go out on.
#[derive(Clone)]
struct Terms {
    slots: Vec<SlotSpec>,
    delegates: Vec<Delegate>,
}

impl Terms {
    fn of(deployment: &Deployment) -> Self {
        let slots = deployment.slots.iter().map(|slot| slot.spec.clone()).collect();
        Self { slots, delegates: deployment.delegates.clone() }
    }

    /// Whether more may go out on these than on those.
    fn is_looser(&self, before: &Self) -> bool {
        let dearer = |slot: &SlotSpec| {
            let same = |other: &&SlotSpec| (&other.service, other.replica) == (&slot.service, slot.replica);
            before.slots.iter().find(same).is_none_or(|other| slot.max_rate > other.max_rate)
        };
        let freer = |delegate: &Delegate| {
            let present = before.delegates.iter().find(|other| other.account == delegate.account);
            present.is_none_or(|present| {
                delegate.ceiling_per_day > present.ceiling_per_day || !delegate.verbs.is_subset(&present.verbs)
            })
        };
        self.slots.iter().any(dearer) || self.delegates.iter().any(freer)
    }
}

impl Card {
    const fn new(ceiling: Amount, day: u64, before: Amount) -> Self {
        let none = Amount::ZERO;
        Self { ceiling, day, sent: none, put_in: none, given: none, paid: none, loosened: false, before }
    }

    /// What it may have counted into deployments until the end of its day.
    fn counted_in(&self) -> Amount {
        let own = self.put_in.saturating_sub(self.given);
        let today = if self.loosened { self.ceiling.saturating_sub(self.sent).saturating_sub(self.given) } else { own };
        self.before.saturating_add(today)
    }

    fn turn(&mut self, day: u64) {
        if day != self.day {
            *self = Self::new(self.ceiling, day, self.counted_in());
        }
    }

    fn is_within(&self) -> Result<(), String> {
        let moved = self.sent.saturating_add(self.put_in);
        if moved > self.ceiling {
            return Err(format!("sent and put in {moved} in a day, its ceiling is {}", self.ceiling));
        }
        let out = self.sent.saturating_add(self.given).saturating_add(self.paid);
        let most = self.ceiling.saturating_add(self.before);
        if out > most {
            return Err(format!("let {out} go out in a day, at most {most} may be"));
        }
        Ok(())
    }
}

impl Keys {
    /// Reads a block.
    pub(super) fn moved(&mut self, block: &Block) {
        let day = block.header.time.0 / Millis::DAY.0;
        self.news.extend(block.transactions.iter().map(|transaction| (transaction.clone(), day)));
    }

    /// Judges what is new; nothing to say where no key with a ceiling did anything.
    pub(super) fn judge(&mut self, view: LedgerView<'_>) -> Option<Result<(), String>> {
        self.owners.extend(view.deployments().map(|found| (found.id, found.owner)));
        self.leases.extend(view.leases().map(|lease| (lease.id, lease.deployment)));
        let news = core::mem::take(&mut self.news);
        let mut verdict = None;
        for (transaction, day) in &news {
            let acted = self.take(transaction, *day);
            for (key, card) in acted.iter().filter_map(|key| self.cards.get_key_value(key)) {
                verdict = Some(Ok(()));
                if let Err(what) = card.is_within() {
                    return Some(Err(format!("key {} of {} {what}", key.1.peer().short(), key.0.short())));
                }
            }
        }
        if let Some(what) = self.unanswered(view, &news) {
            return Some(Err(what));
        }
        self.terms = view.deployments().map(|found| (found.id, Terms::of(found))).collect();
        verdict
    }

    /// Takes down what a transaction does; gives the keys with a ceiling by which it does something.
    fn take(&mut self, transaction: &Signed<Transaction>, day: u64) -> BTreeSet<Key> {
        let key = (transaction.body.account, transaction.signer);
        let mut acted = BTreeSet::new();
        if let Deed::SetKeys { keys } = &transaction.body.action {
            self.set(key.0, keys, day);
            return acted;
        }
        for receipt in transaction.body.action.receipts() {
            let lease = receipt.body.lease;
            let more =
                receipt.body.amount.saturating_sub(self.paid.insert(lease, receipt.body.amount).unwrap_or_default());
            let owner = self.leases.get(&lease).and_then(|id| self.owners.get(id)).copied();
            let signer = owner.map(|owner| (owner, receipt.signer));
            if let Some((signer, card)) = signer.and_then(|signer| Some((signer, self.cards.get_mut(&signer)?))) {
                card.turn(day);
                card.paid = card.paid.saturating_add(more);
                acted.insert(signer);
            }
        }
        let loosened = self.loosens(&transaction.body.action);
        let Some(card) = self.cards.get_mut(&key) else { return acted };
        card.turn(day);
        acted.insert(key);
        match &transaction.body.action {
            Deed::Transfer { amount, .. } => card.sent = card.sent.saturating_add(*amount),
            Deed::OpenDeployment { budget, .. } => card.put_in = card.put_in.saturating_add(*budget),
            Deed::FundDeployment { deployment, amount } => {
                card.put_in = card.put_in.saturating_add(*amount);
                if self.owners.get(deployment) != Some(&key.0) {
                    card.given = card.given.saturating_add(*amount);
                }
            }
            _ => {}
        }
        if let Some(deployment) = loosened {
            card.loosened = true;
            self.loosened.push((key, deployment));
        }
        acted
    }

    /// The deployment whose terms are changed such that more may go out.
    fn loosens(&mut self, deed: &Deed) -> Option<DeploymentId> {
        let Deed::UpdateDeployment { deployment, slots, delegates, .. } = deed else { return None };
        let after = Terms { slots: slots.clone(), delegates: delegates.clone() };
        let before = self.terms.insert(*deployment, after.clone())?;
        after.is_looser(&before).then_some(*deployment)
    }

    fn set(&mut self, account: AccountId, keys: &[grange_types::KeyGrant], day: u64) {
        let ceiling = |key: PublicKey| {
            let grant = keys.iter().find(|grant| grant.key == key)?;
            grant.roles.iter().find_map(|role| match role {
                Role::Spend { per_day } if !grant.roles.contains(&Role::Owner) => Some(*per_day),
                _ => None,
            })
        };
        let before = core::mem::take(&mut self.cards);
        let (mut own, others): (BTreeMap<_, _>, _) = before.into_iter().partition(|((of, _), _)| *of == account);
        self.cards = others;
        for grant in keys {
            let Some(per_day) = ceiling(grant.key) else { continue };
            let key = (account, grant.key);
            let fresh = || Card::new(per_day, day, self.gone.remove(&key).unwrap_or_default());
            let card = own.remove(&key).unwrap_or_else(fresh);
            self.cards.insert(key, Card { ceiling: per_day, ..card });
        }
        self.gone.extend(own.into_iter().map(|(key, card)| (key, card.counted_in())));
    }

    /// Whoever loosened terms has counted all that the deployment holds: finds one that cannot have.
    fn unanswered(&mut self, view: LedgerView<'_>, news: &[(Signed<Transaction>, u64)]) -> Option<String> {
        let funds = |id: &DeploymentId, deed: &Deed| matches!(deed, Deed::FundDeployment { deployment, .. } if deployment == id);
        core::mem::take(&mut self.loosened).into_iter().find_map(|(key, id)| {
            let card = self.cards.get(&key)?;
            // Where money came in the same moment, nothing tells whether it came before.
            let funded = news.iter().any(|(transaction, _)| funds(&id, &transaction.body.action));
            let deployment = view.deployment(id).filter(|_| !funded)?;
            let (held, most) = (view.held_by(deployment), card.ceiling.saturating_add(card.before));
            let (name, owner) = (key.1.peer().short(), key.0.short());
            (held > most).then(|| {
                format!("key {name} of {owner} loosened the terms of what holds {held}, it may answer for {most}")
            })
        })
    }
}
