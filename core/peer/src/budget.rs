//! How budgets stand: what is left of each, until when it lasts, and who is told when it goes down.
//!
//! # Rules
//! - A budget is all the money that was put into a deployment. Used is what receipts that are known here say, handed in or
//!   not; what stands for its leases' entries is not left either.
//! - It lasts as long as its leases can be renewed from it ([`crate::outlook`]), if each goes on at what it has cost so far, or
//!   at its resources alone where that is more, and never at more than its highest rate.
//! - Upon the use of 50, 75 and 90 percent of a budget, or of what a key may put into deployments on a day: the node's log
//!   says so, once for each. `ps`, `usage` and `wallet caps` show it for as long as it is so.

use std::collections::BTreeMap;

use grange_api::{Budget, BudgetUse, Caps, KeyUse, Timestamp};
use grange_ledger::{Deployment, Lease, Ledger};
use grange_types::{AccountId, Amount, DeploymentId, LeaseId, Millis, PublicKey, Time};

use crate::action::Action;
use crate::context::Context;
use crate::describe::deposited;
use crate::outlook::lasts_until;
use crate::payer::Payer;

/// The percentages at which somebody is told, lowest first.
const LEVELS: [u8; 3] = [50, 75, 90];
/// A lease that has run for less says little about what it costs.
const TELLING: Millis = Millis::minutes(1);
/// The last millisecond of the year 9999: a date needs a year of four digits.
const LAST_DATE: Time = Time(253_402_300_799_999);

/// The percentage of `whole` that is used, rounded down; 100 of nothing.
fn percent(used: Amount, whole: Amount) -> u8 {
    if whole.is_zero() {
        return if used.is_zero() { 0 } else { 100 };
    }
    u8::try_from(used.scaled(100, whole.0).0.min(100)).unwrap_or(100)
}

/// The highest level that a percentage has reached.
fn level(percent: u8) -> Option<u8> {
    LEVELS.into_iter().rev().find(|level| percent >= *level)
}

/// Until when `left` lasts at a cost an hour; none where nothing is used up, or for longer than dates go.
pub(crate) fn lasts(now: Time, left: Amount, per_hour: Amount) -> Option<Timestamp> {
    if per_hour.is_zero() {
        return None;
    }
    let millis = u64::try_from(left.scaled(u128::from(Millis::HOUR.0), per_hour.0).0).ok()?;
    Some(now.after(Millis(millis))).filter(|time| *time <= LAST_DATE).map(Timestamp)
}

/// How the budget of a deployment stands; `receipted` is what the newest receipt that is known of a lease says.
pub(crate) fn budget(
    now: Time,
    ledger: &Ledger,
    deployment: &Deployment,
    receipted: &dyn Fn(LeaseId) -> Option<Amount>,
) -> Budget {
    let view = ledger.view();
    let (budget, left) = standing(ledger, deployment, receipted);
    let cost = |lease: &Lease| {
        let owed = owed(lease, receipted);
        (owed, cost_per_hour(lease, owed, view.elapsed(lease)))
    };
    let end = lasts_until(ledger, deployment, &cost).filter(|_| deployment.is_open());
    let runs_until = end.map(|end| view.block_time_of(end).max(now)).filter(|end| *end <= LAST_DATE).map(Timestamp);
    Budget { budget, left, alert: alert(budget, left), runs_until }
}

/// All the money that was put into a deployment, and what is left of it for leases.
fn standing(
    ledger: &Ledger,
    deployment: &Deployment,
    receipted: &dyn Fn(LeaseId) -> Option<Amount>,
) -> (Amount, Amount) {
    let view = ledger.view();
    let (mut paid, mut used) = (deployment.archived, deployment.archived);
    for lease in view.leases_of(deployment.id).filter(|lease| lease.is_priced()) {
        paid = paid.saturating_add(lease.settled);
        used = used.saturating_add(owed(lease, receipted));
    }
    let whole = paid.saturating_add(view.held_by(deployment));
    (whole.saturating_add(deposited(ledger, deployment)), whole.saturating_sub(used))
}

fn owed(lease: &Lease, receipted: &dyn Fn(LeaseId) -> Option<Amount>) -> Amount {
    receipted(lease.id).map_or(lease.settled, |amount| amount.max(lease.settled))
}

fn alert(budget: Amount, left: Amount) -> Option<u8> {
    level(percent(budget.saturating_sub(left), budget))
}

/// What a lease costs an hour, by what it has cost so far.
fn cost_per_hour(lease: &Lease, owed: Amount, elapsed: Millis) -> Amount {
    let terms = &lease.terms;
    let least = terms.prices.per_hour(&terms.resources);
    if elapsed < TELLING {
        return least.min(terms.max_rate);
    }
    owed.scaled(u128::from(Millis::HOUR.0), u128::from(elapsed.0)).max(least).min(terms.max_rate)
}

/// What an account's keys may put into deployments, what they have, and how its budgets stand.
pub(crate) fn caps(now: Time, ledger: &Ledger, account: AccountId, payer: &Payer) -> Caps {
    let view = ledger.view();
    let cap = view.cap(account);
    let per_day = cap.and_then(|cap| cap.per_day);
    let key_use = |key: &PublicKey| {
        let put = view.put_today(account, *key);
        KeyUse { key: *key, put, used: per_day.map(|per_day| percent(put, per_day)) }
    };
    let keys = cap.into_iter().flat_map(|cap| cap.spent.keys()).map(key_use).filter(|used| !used.put.is_zero());
    let open = view.deployments_of(account).filter(|found| found.is_open());
    let budget_use = |found: &Deployment| BudgetUse {
        deployment: found.name().unwrap_or_default().to_owned(),
        budget: budget(now, ledger, found, &|lease| payer.amount(lease)),
    };
    Caps { account, per_day, set: cap.is_some(), keys: keys.collect(), deployments: open.map(budget_use).collect() }
}

/// What was said last of each budget, and of each key's day.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    budgets: BTreeMap<DeploymentId, u8>,
    keys: BTreeMap<PublicKey, u8>,
}

impl Alerts {
    /// Says what has gone down since the last look.
    pub(crate) fn tick(&mut self, ctx: &mut Context, ledger: &Ledger, payer: &Payer) {
        let view = ledger.view();
        let mut budgets = BTreeMap::new();
        for found in view.deployments_of(ctx.account).filter(|found| found.is_open()) {
            let receipted = |lease| payer.amount(lease);
            let (whole, left) = standing(ledger, found, &receipted);
            let Some(level) = alert(whole, left) else { continue };
            budgets.insert(found.id, level);
            if self.budgets.get(&found.id).is_none_or(|said| *said < level) {
                let Budget { budget, left, runs_until, .. } = budget(ctx.now, ledger, found, &receipted);
                let name = found.name().unwrap_or_default().to_owned();
                let until = runs_until.map_or_else(String::new, |until| format!("; it runs until {until}"));
                let reason = format!("{level} % of {budget} are used, {left} are left{until}");
                ctx.push(Action::Note { event: "budget.alert", purpose: name, reason });
            }
        }
        self.budgets = budgets;
        self.tell_keys(ctx, ledger);
    }

    fn tell_keys(&mut self, ctx: &mut Context, ledger: &Ledger) {
        let view = ledger.view();
        let Some(cap) = view.cap(ctx.account) else { return };
        let Some(per_day) = cap.per_day else { return };
        let mut keys = BTreeMap::new();
        for key in cap.spent.keys() {
            let put = view.put_today(ctx.account, *key);
            let Some(level) = level(percent(put, per_day)) else { continue };
            keys.insert(*key, level);
            if self.keys.get(key).is_none_or(|said| *said < level) {
                let reason = format!("{level} % of the {per_day} that it may put into deployments a day are used");
                ctx.push(Action::Note { event: "cap.alert", purpose: format!("key {key}"), reason });
            }
        }
        self.keys = keys;
    }

    /// How many budgets are used by half or more.
    pub(crate) fn count(&self) -> usize {
        self.budgets.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_reached_from_below() {
        let at = |used, whole| level(percent(Amount(used), Amount(whole)));
        assert_eq!([at(0, 0), at(0, 10), at(49, 100), at(499, 1_000)], [None; 4]);
        assert_eq!([at(50, 100), at(74, 100)], [Some(50); 2]);
        assert_eq!([at(75, 100), at(899, 1_000)], [Some(75); 2]);
        assert_eq!([at(90, 100), at(100, 100), at(200, 100), at(1, 0)], [Some(90); 4]);
        assert_eq!(at(u128::MAX / 2 + 1, u128::MAX), Some(50));
    }

    #[test]
    fn what_is_not_used_up_lasts_for_ever() {
        assert_eq!(lasts(Time(0), Amount::credits(1), Amount::ZERO), None);
        let hours = lasts(Time(0), Amount::credits(3), Amount::credits(2));
        assert_eq!(hours, Some(Timestamp(Time(5_400_000))));
        assert_eq!(lasts(Time(0), Amount(u128::MAX), Amount(1)), None);
    }
}
