//! Money: conserved account by account, paid only on receipts, no more than was served, within every ceiling.
//!
//! Every account is counted again from the blocks alone: what it began with, what was sent, what its leases earned and
//! cost. The ledger's own sums are only compared with that.

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{Action as Deed, Block, Ledger, LedgerView};
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

/// What is known of a lease, also once the ledger has forgotten it.
struct Seen {
    deployment: DeploymentId,
    owner: AccountId,
    terms: LeaseTerms,
    settled: Amount,
    counters: Counters,
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
    delegates: BTreeMap<DeploymentId, BTreeSet<AccountId>>,
    signed: BTreeMap<LeaseId, BTreeSet<Amount>>,
    truth: BTreeMap<LeaseId, Counters>,
    /// What the blocks' receipts paid: by lease, and by the delegate who signed and the day.
    paid: BTreeMap<LeaseId, Amount>,
    by_delegate: BTreeMap<(DeploymentId, AccountId, u64), Amount>,
    /// Receipts of the last block, to be laid to a delegate once the lease is known.
    receipts: Vec<(Signed<Receipt>, u64)>,
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
            delegates: BTreeMap::new(),
            signed: BTreeMap::new(),
            truth: BTreeMap::new(),
            paid: BTreeMap::new(),
            by_delegate: BTreeMap::new(),
            receipts: Vec::new(),
        }
    }

    pub(super) fn signed(&mut self, receipt: &Signed<Receipt>) {
        self.signed.entry(receipt.body.lease).or_default().insert(receipt.body.amount);
    }

    pub(super) fn did(&mut self, lease: LeaseId, more: Counters) {
        let truth = self.truth.entry(lease).or_default();
        *truth = truth.plus(&more);
    }

    /// Reads a block's transfers and receipts.
    pub(super) fn moved(&mut self, block: &Block) {
        let day = block.header.time.0 / Millis::DAY.0;
        for transaction in &block.transactions {
            *self.fees.entry(transaction.body.account).or_default() += self.fee.0;
            match &transaction.body.action {
                Deed::Transfer { to, amount, .. } => {
                    *self.sent.entry(transaction.body.account).or_default() += amount.0;
                    *self.received.entry(*to).or_default() += amount.0;
                }
                Deed::Bond { amount } => {
                    *self.bonded.entry(transaction.body.account).or_default() += amount.0;
                }
                Deed::Unbond { amount } => {
                    *self.unbonded.entry(transaction.body.account).or_default() += amount.0;
                }
                deed => self.receipts.extend(deed.receipts().iter().map(|receipt| (receipt.clone(), day))),
            }
        }
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
            let delegates = self.delegates.entry(deployment.id).or_default();
            delegates.extend(deployment.stewards().map(|steward| steward.account));
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

    /// Every lease was paid exactly what some receipt says, and a receipt of an honest payer says no more than was served.
    pub(super) fn receipted(&self, ledger: &Ledger) -> Result<(), String> {
        for lease in ledger.view().leases().filter(|lease| !lease.settled.is_zero()) {
            let signed = self.signed.get(&lease.id);
            if !signed.is_some_and(|amounts| amounts.contains(&lease.settled)) {
                let (id, settled) = (lease.id.short(), lease.settled);
                return Err(format!("lease {id} was paid {settled}, which no receipt says"));
            }
            if let Some(seen) = self.leases.get(&lease.id) {
                self.earned(lease.id, seen)?;
            }
        }
        Ok(())
    }

    fn payers_are_honest(&self, seen: &Seen) -> bool {
        let delegates = self.delegates.get(&seen.deployment).into_iter().flatten();
        !self.villains.contains(&seen.owner) && delegates.into_iter().all(|account| !self.villains.contains(account))
    }

    /// Honest payers pay for what was served, and for the moment until they noticed its end.
    fn earned(&self, id: LeaseId, seen: &Seen) -> Result<(), String> {
        if !self.payers_are_honest(seen) {
            return Ok(());
        }
        let truth = self.truth.get(&id).copied().unwrap_or_default();
        let most = Counters {
            served: Millis(truth.served.0 + LOOK.0 + truth.served.0 / 50),
            // Counts travel as what is new; a message that arrives twice is counted twice.
            requests: truth.requests + truth.requests / 4 + 20,
            egress: ByteCount(truth.egress.0 + truth.egress.0 / 4 + (1 << 20)),
        };
        if seen.counters.served > most.served {
            let (said, is) = (seen.counters.served.0, truth.served.0);
            return Err(format!("lease {} was paid for {said} ms and served {is} ms", id.short()));
        }
        let worth = seen.terms.prices.charge(&seen.terms.resources, &most);
        if seen.settled > worth {
            return Err(format!(
                "lease {} was paid {}, what it did is worth at most {worth}",
                id.short(),
                seen.settled
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
            let before = self.paid.insert(id, receipt.body.amount).unwrap_or_default();
            let signer = receipt.signer.account();
            if signer == seen.owner {
                continue;
            }
            let sum = self.by_delegate.entry((seen.deployment, signer, day)).or_default();
            *sum = sum.saturating_add(receipt.body.amount.saturating_sub(before));
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

    /// No honest provider served for more than a credit window without being paid, the time of halts aside: neither in time
    /// nor in money.
    pub(super) fn losses(&self, halted: Millis) -> Result<(), String> {
        for (id, seen) in &self.leases {
            if self.villains.contains(&seen.terms.operator) || seen.terms.prices.cpu_hour.is_zero() {
                continue;
            }
            let truth = self.truth.get(id).copied().unwrap_or_default();
            let unpaid = truth.served.0.saturating_sub(seen.counters.served.0);
            let most = WINDOW.0 + truth.served.0 / 20 + STOPS.0 + halted.0;
            if unpaid > most {
                let what = format!("lease {} served {unpaid} ms that were not paid, at most {most} may be", id.short());
                return Err(what);
            }
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
