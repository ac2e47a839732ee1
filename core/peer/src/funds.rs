//! The money behind a plan: whether the budget pays for it, and what has to be added to what is there.
//!
//! # Rules
//! - The budget is the most that a deployment may ever take: what is there, what is spent and what stands for its leases'
//!   entries counts.
//! - A budget can be raised and not lowered: what was put in stays there, since the ledger gives it back with the end of the
//!   deployment alone. So a lower one is taken as what was put in, is never refused for being lower, and is told of.
//! - It has to pay the shortest lease of every slot, and where a byte of the ledger has a price what stands for the entries of
//!   the leases that are to be opened.
//! - What is to be added has to be at hand, and within the cap and the ceiling of the key that signs: a new version of a file
//!   whose money is refused would go on without it.
//! - Upon new terms that the key would have to answer for with more than it may spend today: stewards and rates stay as they
//!   are, since neither is what the file asks for. What asks for another slot is refused, by `plan` too. What stands far above what is
//!   offered is no price that has moved, but may be the word of a key that was stolen: that is given up.
//! - Capacity of one's own costs nothing, so it needs no budget: what stands for its leases' entries is added where it is not
//!   there.

use grange_api::{Problem, ProblemCode};
use grange_ledger::{Book, Delegate, Deployment, Lease, Ledger, Parameters, Rejection};
use grange_types::{AccountId, Amount, Millis, PublicKey};

use crate::describe::{deposited, returnable, settled};
use crate::problem::{rejected, unanswered};
use crate::slots::{SlotPlan, specs};
use crate::stewards::daily;

/// What a plan takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Funds {
    /// The budget, or what was put in so far where that is more.
    pub(crate) whole: Amount,
    /// What is left of it for leases.
    pub(crate) left: Amount,
    /// What is to be put into the deployment.
    pub(crate) added: Amount,
}

/// What the shortest lease takes at a rate an hour: the ledger opens none for less.
pub(crate) fn shortest_lease(parameters: &Parameters, rate: Amount) -> Amount {
    rate.scaled(u128::from(parameters.min_lease.0), u128::from(Millis::HOUR.0))
}

/// The highest rate an hour at which an amount takes the shortest lease.
pub(crate) fn affordable_rate(parameters: &Parameters, amount: Amount) -> Amount {
    amount.scaled(u128::from(Millis::HOUR.0), u128::from(parameters.min_lease.0))
}

/// What was put into a deployment so far.
fn given(ledger: &Ledger, found: &Deployment) -> Amount {
    let gone = settled(ledger, found).saturating_add(deposited(ledger, found));
    gone.saturating_add(returnable(ledger, found))
}

/// What a deployment's budget lacks of the money that was put into it.
pub(crate) fn missing(ledger: &Ledger, budget: Amount, found: &Deployment) -> Amount {
    budget.saturating_sub(given(ledger, found))
}

/// What was put into a deployment beyond its budget, and beyond what stands for its leases' entries.
pub(crate) fn surplus(ledger: &Ledger, budget: Amount, found: &Deployment) -> Amount {
    given(ledger, found).saturating_sub(budget.max(deposited(ledger, found)))
}

/// Whether an account has what is to be added, and may put it into deployments by this key today.
fn at_hand(ledger: &Ledger, (account, signer): (AccountId, PublicKey), amount: Amount) -> Result<(), Rejection> {
    let view = ledger.view();
    if let Some(cap) = view.cap(account).and_then(|cap| cap.per_day).filter(|_| !amount.is_zero()) {
        let spent = view.put_today(account, signer);
        if spent.saturating_add(amount) > cap {
            return Err(Rejection::KeyCap { signer, cap, spent, amount });
        }
    }
    if let Some(ceiling) = view.ceiling_of(account, signer).filter(|_| !amount.is_zero()) {
        let spent = view.spent_today(account, signer);
        if spent.saturating_add(amount) > ceiling {
            return Err(Rejection::KeyCeiling { signer, ceiling, spent, amount });
        }
    }
    let available = view.balance(account);
    if available < amount {
        return Err(Rejection::InsufficientBalance { book: Book::Balance(account), needed: amount, available });
    }
    Ok(())
}

/// What a plan with a budget takes of who pays, or why the budget is too low for it or who pays has not got it.
pub(crate) fn funds(
    ledger: &Ledger,
    payer: (AccountId, PublicKey),
    (operation, name, budget): (&str, &str, Amount),
    existing: Option<&Deployment>,
    slots: &[SlotPlan],
) -> Result<Funds, Box<Problem>> {
    let funds = priced(ledger, (operation, name, budget), existing, slots)?;
    at_hand(ledger, payer, funds.added).map_err(|rejection| Box::new(rejected(operation, name, &rejection)))?;
    Ok(funds)
}

/// A rate that stands is kept by a key that could not take it back while it is no more than so many times what is offered.
const KEPT_TIMES: u128 = 2;

/// Who is to act for a deployment from now on: `delegates`, if the key that signs may answer today for all the money that it
/// has not counted, beside what it adds. Else stewards and rates stay as they are, also where they could be somewhat less:
/// what is given up once such a key could not take back.
pub(crate) fn within_ceiling(
    ledger: &Ledger,
    (account, signer): (AccountId, PublicKey),
    (operation, name, added): (&str, &str, Amount),
    found: &Deployment,
    slots: &mut [SlotPlan],
    delegates: Vec<Delegate>,
) -> Result<Vec<Delegate>, Box<Problem>> {
    let view = ledger.view();
    let Some(ceiling) = view.ceiling_of(account, signer) else { return Ok(delegates) };
    let (spent, amount) = (view.spent_today(account, signer).saturating_add(added), found.not_counted_by(signer));
    if spent.saturating_add(amount) <= ceiling {
        return Ok(delegates);
    }
    for plan in &mut *slots {
        if let Some(slot) = found.slot(plan.number) {
            let standing = slot.spec.max_rate;
            let far = standing > plan.spec.max_rate.scaled(KEPT_TIMES, 1);
            plan.spec.max_rate = if far { plan.spec.max_rate } else { standing };
        }
    }
    let specs = specs(slots);
    if found.is_loosened(&specs, &found.delegates) {
        let rejection = Rejection::KeyCeiling { signer, ceiling, spent, amount };
        return Err(Box::new(unanswered(operation, name, &rejection)));
    }
    let most = daily(&specs);
    let within =
        |delegate: &Delegate| Delegate { ceiling_per_day: delegate.ceiling_per_day.min(most), ..delegate.clone() };
    Ok(found.delegates.iter().map(within).collect())
}

/// What a plan with a budget takes, or why the budget is too low for it.
fn priced(
    ledger: &Ledger,
    (operation, name, budget): (&str, &str, Amount),
    existing: Option<&Deployment>,
    slots: &[SlotPlan],
) -> Result<Funds, Box<Problem>> {
    let parameters = ledger.view().parameters().clone();
    let sum = |part: fn(&Ledger, &Deployment) -> Amount| existing.map_or(Amount::ZERO, |found| part(ledger, found));
    let gone = sum(settled).saturating_add(sum(deposited));
    let whole = existing.map_or(budget, |found| budget.max(given(ledger, found)));
    let left = whole.saturating_sub(gone);
    let rate: Amount = slots.iter().map(SlotPlan::rate).sum();
    let fresh = slots.iter().filter(|plan| plan.is_pending()).count() as u64;
    let deposit = parameters.deposit_of(fresh * Lease::SIZE);
    let added = existing.map_or(budget, |found| missing(ledger, budget, found));
    if rate.is_zero() {
        let balance = existing.map_or(Amount::ZERO, |found| found.balance);
        return Ok(Funds { whole, left, added: added.max(deposit.saturating_sub(balance)) });
    }
    let needed = shortest_lease(&parameters, rate).saturating_add(deposit);
    if left >= needed {
        return Ok(Funds { whole, left: left.saturating_sub(deposit), added });
    }
    let seconds = parameters.min_lease.0 / 1_000;
    let what = match existing {
        None => format!("a budget of {budget} does"),
        Some(_) => format!("what is left of a budget of {whole}, {}, does", left.in_words()),
    };
    let mut text = format!("{what} not pay the shortest lease of {seconds} s at {rate} an hour: {}", needed.in_words());
    if !deposit.is_zero() {
        text += &format!(", of which {deposit} stand for entries of the ledger and come back");
    }
    Err(Box::new(Problem::new(ProblemCode::BudgetTooLow, operation, name, text)))
}
