//! Money: conserved account by account, paid only on receipts, no more than was served, within every ceiling.
//!
//! Every account is counted again from the blocks alone: what it began with, what was sent, what its leases earned and
//! cost. The ledger's own sums are only compared with that.
//!
//! # Rules of receipts
//! - Each is judged by itself when it is said, by who signed it. One of an honest payer says no more than was truly served
//!   until then, and what receipts of others, villains and thieves, were paid on that lease: honest payers go on from what the
//!   ledger paid, and from nothing else that a villain says.

use std::collections::{BTreeMap, BTreeSet};

use super::pay::Pay;
use grange_ledger::{Action as Deed, Block, Deployment, Ledger, LedgerView};
use grange_types::{
    AccountId, Amount, ByteCount, Counters, DeploymentId, LeaseId, LeaseTerms, Millis, PeerId, Receipt, Signed,
};

use crate::seed::{Cast, FORTUNE};

/// What a provider gives on credit, and what it takes to stop.
const WINDOW: Millis = Millis::seconds(60);
/// Between the last good look at a replica and the moment it died.
const LOOK: Millis = Millis::seconds(10);
/// Until a stop is decided and heard of.
const STOPS: Millis = Millis::seconds(25);
/// Requests a second that a provider takes for payers' own visits, which are not on the bill.
const VISITS: u64 = 2;

/// What an entry of a lease counts for its deposit, in bytes.
const LEASE_ROOM: u32 = 512;

/// What is known of a lease, also once the ledger has forgotten it.
struct Seen {
    deployment: DeploymentId,
    owner: AccountId,
    terms: LeaseTerms,
    settled: Amount,
    counters: Counters,
}

/// What the ledger's blocks paid of a lease.
#[derive(Clone, Copy, Default)]
struct Paid {
    amount: Amount,
    served: Millis,
    /// Of these, what receipts of villains and thieves came to.
    falsely: (Amount, Millis),
}

/// The books.
pub(crate) struct Money {
    accounts: BTreeMap<AccountId, PeerId>,
    villains: BTreeSet<AccountId>,
    /// What went in and out by transfers.
    received: BTreeMap<AccountId, u128>,
    sent: BTreeMap<AccountId, u128>,
    /// What was locked as a bond, and what of it was asked back: it comes when its time is over.
    bonded: BTreeMap<AccountId, u128>,
    unbonded: BTreeMap<AccountId, u128>,
    /// What every transaction costs, and what that came to.
    fee: Amount,
    fees: BTreeMap<AccountId, u128>,
    leases: BTreeMap<LeaseId, Seen>,
    owners: BTreeMap<DeploymentId, AccountId>,
    truth: BTreeMap<LeaseId, Counters>,
    blocks: BTreeMap<LeaseId, Paid>,
    /// What the blocks' receipts paid: by lease, and by the delegate who signed and the day.
    paid: BTreeMap<LeaseId, Amount>,
    by_delegate: BTreeMap<(DeploymentId, AccountId, u64), Amount>,
    /// Receipts of the last block, to be laid to a delegate once the lease is known.
    receipts: Vec<(Signed<Receipt>, u64)>,
    pay: Pay,
}

impl Money {
    pub(super) fn new(cast: &Cast) -> Self {
        let villains = cast.hosts.iter().filter(|host| !host.honest()).map(|host| host.id().account());
        Self {
            accounts: cast.hosts.iter().map(|host| (host.id().account(), host.id())).collect(),
            villains: villains.collect(),
            received: BTreeMap::new(),
            sent: BTreeMap::new(),
            bonded: BTreeMap::new(),
            unbonded: BTreeMap::new(),
            fee: cast.genesis.parameters.fee,
            fees: BTreeMap::new(),
            leases: BTreeMap::new(),
            owners: BTreeMap::new(),
            truth: BTreeMap::new(),
            blocks: BTreeMap::new(),
            paid: BTreeMap::new(),
            by_delegate: BTreeMap::new(),
            receipts: Vec::new(),
            pay: Pay::default(),
        }
    }

    /// Somebody says a receipt.
    pub(super) fn signed(&mut self, receipt: &Signed<Receipt>) -> Result<(), String> {
        self.pay.signed(receipt);
        if self.is_honest(receipt.signer.account()) { self.earned(receipt) } else { Ok(()) }
    }

    /// Whether an account is that of an honest host's own key; a card is nobody's account.
    fn is_honest(&self, signer: AccountId) -> bool {
        self.accounts.contains_key(&signer) && !self.villains.contains(&signer)
    }

    pub(super) fn did(&mut self, lease: LeaseId, more: Counters) {
        let truth = self.truth.entry(lease).or_default();
        *truth = truth.plus(&more);
    }

    /// Reads a block's transfers and receipts.
    pub(super) fn moved(&mut self, block: &Block) {
        let day = block.header.time.0 / Millis::DAY.0;
        self.pay.moved(block);
        for transaction in &block.transactions {
            *self.fees.entry(transaction.body.account).or_default() += self.fee.0;
            match &transaction.body.action {
                Deed::Transfer { to, amount, .. } => {
                    *self.sent.entry(transaction.body.account).or_default() += amount.0;
                    *self.received.entry(*to).or_default() += amount.0;
                }
                // What is put into another's deployment is his.
                Deed::FundDeployment { deployment, amount } => {
                    if let Some(owner) = self.owners.get(deployment) {
                        *self.sent.entry(transaction.body.account).or_default() += amount.0;
                        *self.received.entry(*owner).or_default() += amount.0;
                    }
                }
                Deed::Bond { amount } => {
                    *self.bonded.entry(transaction.body.account).or_default() += amount.0;
                }
                Deed::Unbond { amount } => {
                    *self.unbonded.entry(transaction.body.account).or_default() += amount.0;
                }
                deed => {
                    deed.receipts().iter().for_each(|receipt| self.paid_by(receipt));
                    self.receipts.extend(deed.receipts().iter().map(|receipt| (receipt.clone(), day)));
                }
            }
        }
    }

    fn paid_by(&mut self, receipt: &Signed<Receipt>) {
        let honest = self.is_honest(receipt.signer.account());
        let Receipt { lease, amount, counters: Counters { served, .. }, .. } = receipt.body;
        let paid = self.blocks.entry(lease).or_default();
        if !honest {
            let (more, longer) = (amount.saturating_sub(paid.amount), served.0.saturating_sub(paid.served.0));
            paid.falsely = (paid.falsely.0.saturating_add(more), Millis(paid.falsely.1.0.saturating_add(longer)));
        }
        (paid.amount, paid.served) = (amount, paid.served.max(served));
    }

    /// Every account has what it began with, and what it sent, received, earned and spent since, fees included.
    pub(super) fn conserved(&mut self, ledger: &Ledger) -> Result<(), String> {
        let view = ledger.view();
        let total = FORTUNE.0 * self.accounts.len() as u128;
        if view.total().0 != total {
            return Err(format!("there are {} credits, there were {}", view.total(), Amount(total)));
        }
        self.take_leases(view);
        let mut earned: BTreeMap<AccountId, u128> = BTreeMap::new();
        let mut spent: BTreeMap<AccountId, u128> = BTreeMap::new();
        for lease in self.leases.values() {
            let kept = view.parameters().fee_of(lease.settled);
            *earned.entry(lease.terms.operator).or_default() += lease.settled.0 - kept.0;
            *spent.entry(lease.owner).or_default() += lease.settled.0;
        }
        for account in self.accounts.keys() {
            let of = |book: &BTreeMap<AccountId, u128>| book.get(account).copied().unwrap_or(0);
            let came = FORTUNE.0 + of(&self.received) + of(&earned);
            let went = of(&self.sent) + of(&spent) + of(&self.fees);
            let held: Amount = view.deployments_of(*account).map(|found| view.held_by(found)).sum();
            let bond = view.operator(*account).map_or(0, |operator| operator.bond.0 + operator.unbonding.0);
            let (most, back) = (of(&self.bonded), of(&self.unbonded));
            if bond > most || bond + back < most {
                return Err(format!(
                    "account {} has a bond of {}, its books say otherwise",
                    account.short(),
                    Amount(bond)
                ));
            }
            let deposit = view.account(*account).map_or(0, |found| found.deposit.0);
            let has = view.balance(*account).0 + held.0 + bond + deposit;
            if came.checked_sub(went) != Some(has) {
                let should = Amount(came.saturating_sub(went));
                return Err(format!("account {} has {}, its books say {should}", account.short(), Amount(has)));
            }
        }
        Ok(())
    }

    fn take_leases(&mut self, view: LedgerView<'_>) {
        for deployment in view.deployments() {
            self.owners.insert(deployment.id, deployment.owner);
            for lease in view.leases_of(deployment.id) {
                let seen = self.leases.entry(lease.id).or_insert_with(|| Seen {
                    deployment: deployment.id,
                    owner: deployment.owner,
                    terms: lease.terms.clone(),
                    settled: Amount::ZERO,
                    counters: Counters::default(),
                });
                (seen.settled, seen.counters) = (lease.settled, lease.counters);
            }
        }
    }

    /// Every lease was paid exactly what receipts say, as far as it could be.
    pub(super) fn receipted(&mut self, ledger: &Ledger) -> Result<(), String> {
        self.pay.judge(ledger)
    }

    /// Honest payers sign for what was served, and for the moment until they noticed its end.
    fn earned(&self, receipt: &Signed<Receipt>) -> Result<(), String> {
        let Receipt { lease, counters, amount, .. } = &receipt.body;
        let Some(seen) = self.leases.get(lease) else { return Ok(()) };
        let truth = self.truth.get(lease).copied().unwrap_or_default();
        let (falsely, longer) = self.blocks.get(lease).copied().unwrap_or_default().falsely;
        let most = Counters {
            served: Millis(truth.served.0 + LOOK.0 + truth.served.0 / 50),
            // Counts travel as what is new; a message that arrives twice is counted twice.
            requests: truth.requests + truth.requests / 4 + 20,
            egress: ByteCount(truth.egress.0 + truth.egress.0 / 4 + (1 << 20)),
        };
        let (id, signer) = (lease.short(), receipt.signer.account().short());
        if counters.served.0 > most.served.0.saturating_add(longer.0) {
            let (said, is, others) = (counters.served.0, truth.served.0, longer.0);
            return Err(format!(
                "{signer} signed {said} ms for lease {id}, which served {is} ms; others were paid {others}"
            ));
        }
        let worth = seen.terms.prices.charge(&seen.terms.resources, &most).saturating_add(falsely);
        if *amount > worth {
            return Err(format!(
                "{signer} signed {amount} for lease {id}, what it did and what others were paid is at most {worth}"
            ));
        }
        Ok(())
    }

    /// No delegate's receipts paid more in a day than its deployment allows.
    pub(super) fn within_ceilings(&mut self, ledger: &Ledger) -> Result<(), String> {
        let view = ledger.view();
        for (receipt, day) in core::mem::take(&mut self.receipts) {
            let id = receipt.body.lease;
            let Some(seen) = self.leases.get(&id) else { continue };
            let amount = receipt.body.amount.min(seen.settled);
            let before = self.paid.insert(id, amount).unwrap_or_default();
            let signer = receipt.signer.account();
            if signer == seen.owner {
                continue;
            }
            let sum = self.by_delegate.entry((seen.deployment, signer, day)).or_default();
            *sum = sum.saturating_add(amount.saturating_sub(before));
            let delegate = view.deployment(seen.deployment).and_then(|found| found.delegate(signer));
            // One that lost its place meanwhile has no ceiling any more.
            let delegate = delegate.filter(|delegate| !delegate.verbs.is_empty());
            if let Some(delegate) = delegate.filter(|delegate| *sum > delegate.ceiling_per_day) {
                let (who, ceiling) = (signer.short(), delegate.ceiling_per_day);
                return Err(format!("delegate {who} paid {sum} in a day, its ceiling is {ceiling}"));
            }
        }
        Ok(())
    }

    /// What honest providers served for a price.
    fn sold(&self) -> impl Iterator<Item = (&LeaseId, &Seen, Counters)> {
        let leases = self
            .leases
            .iter()
            .filter(|(_, seen)| !self.villains.contains(&seen.terms.operator) && !seen.terms.prices.cpu_hour.is_zero());
        leases.map(|(id, seen)| (id, seen, self.truth.get(id).copied().unwrap_or_default()))
    }

    /// No honest provider served for more than a credit window without being paid, the time of halts aside.
    pub(super) fn losses(&self, halted: Millis) -> Result<(), String> {
        for (id, seen, truth) in self.sold() {
            let unpaid = truth.served.0.saturating_sub(seen.counters.served.0);
            let most = WINDOW.0 + truth.served.0 / 20 + STOPS.0 + halted.0;
            if unpaid > most {
                let what = format!("lease {} served {unpaid} ms that were not paid, at most {most} may be", id.short());
                return Err(what);
            }
        }
        Ok(())
    }

    /// No honest provider is owed more than a credit window costs at the highest rate, the time of halts aside, whatever of:
    /// time, requests or bytes.
    pub(super) fn debts(&self, halted: Millis) -> Result<(), String> {
        for (id, seen, truth) in self.sold() {
            let earned = seen.terms.amount(&billable(&truth), truth.served);
            let most = seen.terms.cap(Millis(WINDOW.0 + STOPS.0 + halted.0)).saturating_add(earned.scaled(1, 20));
            let unpaid = earned.saturating_sub(seen.settled);
            if unpaid > most {
                let id = id.short();
                return Err(format!("lease {id} earned {unpaid} that were not paid, at most {most} may be"));
            }
        }
        Ok(())
    }
}

/// Of the money that is in an open deployment and in its leases it is known what was counted against whose ceiling, and what
/// against none: together that is all of it, and what of it stands for its leases' room on the ledger.
pub(super) fn counted(ledger: &Ledger) -> Result<(), String> {
    let view = ledger.view();
    for deployment in view.deployments().filter(|found| found.is_open()) {
        let rooms = view.parameters().byte_deposit.scaled(u128::from(LEASE_ROOM) * u128::from(deployment.leases), 1);
        let (known, holds) = (known_of(deployment), view.held_by(deployment).saturating_add(rooms));
        if known != holds {
            let id = deployment.id.short();
            return Err(format!("of deployment {id} {known} is counted or not counted, it holds {holds}"));
        }
    }
    Ok(())
}

/// What was counted against some key's ceiling, and what against none.
fn known_of(deployment: &Deployment) -> Amount {
    deployment.counted.values().copied().fold(deployment.uncounted, Amount::saturating_add)
}

/// What a replica has done, less as many requests as payers' visits may have come to and what such requests carry.
fn billable(truth: &Counters) -> Counters {
    let requests = truth.requests.saturating_sub(truth.served.0 / 1_000 * VISITS);
    let part = u128::from(truth.egress.0) * u128::from(requests) / u128::from(truth.requests.max(1));
    Counters { requests, egress: ByteCount(u64::try_from(part).unwrap_or(u64::MAX)), ..*truth }
}

/// No more is held of a lease than a credit window costs at most; nothing to say where nothing is held.
pub(super) fn disputed(ledger: &Ledger) -> Option<Result<(), String>> {
    let mut verdict = None;
    for lease in ledger.view().leases().filter(|lease| !lease.held.is_zero()) {
        let most = lease.terms.cap(WINDOW);
        if lease.held > most {
            return Some(Err(format!("lease {} has {} held, at most {most} may be", lease.id.short(), lease.held)));
        }
        verdict = Some(Ok(()));
    }
    verdict
}
