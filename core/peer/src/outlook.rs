//! Until when leases can be renewed: the ledger's own arithmetic, carried on into the time to come.
//!
//! # Rules
//! - Each lease goes on at what it costs now. It is renewed when its provider asks for it, half a lease before its end; the
//!   ledger then sets aside what could still be claimed of it, at its highest rate, since the renewal before the last one. So
//!   a lease ends with what half of it may cost not used yet, and one that was never renewed with nearly all of it.
//! - What is set aside of leases that are over comes back with the end of their claim window, and counts from then on.
//! - A budget is at its end when the first of its leases cannot be renewed any more. The others may go on for a while.
//! - Years of full renewals are not gone through one by one: once each lease has been renewed in full a few times, the next
//!   ones are all alike.

use std::collections::BTreeSet;

use grange_ledger::{Deployment, Lease, LeaseState, Ledger, Mark};
use grange_types::{Amount, Millis, Time};

/// After so many full renewals in a row a lease sets aside the same at each.
const STEADY: u32 = 3;
/// Renewals that are gone through at most. Towards its end a budget buys short ones, about four for each time that the
/// highest rate is what the lease costs; what is beyond is told as the end of the leases so far.
const ROUNDS: usize = 4_096;

/// A lease as it goes on.
struct Run {
    /// What it costs an hour.
    cost: Amount,
    /// The most that it may cost an hour.
    rate: Amount,
    end: Time,
    escrow: Amount,
    used: Amount,
    floor: Mark,
    mark: Mark,
    /// The time up to which its use is counted.
    at: Time,
    /// Full renewals in a row.
    full: u32,
}

/// The budget of a deployment as it goes on.
struct Outlook {
    length: Millis,
    shortest: Millis,
    balance: Amount,
    /// What comes back and when.
    returns: BTreeSet<(Time, Amount)>,
    runs: Vec<Run>,
}

/// The ledger time at which the first open lease of a deployment can no longer be renewed; none where nothing is used up.
/// `cost` says of an open lease what it has come to and what it costs an hour.
pub(crate) fn lasts_until(
    ledger: &Ledger,
    deployment: &Deployment,
    cost: &dyn Fn(&Lease) -> (Amount, Amount),
) -> Option<Time> {
    let view = ledger.view();
    let parameters = view.parameters();
    let (length, shortest, now) = (parameters.lease_length, parameters.min_lease, view.now());
    let (mut returns, mut runs) = (BTreeSet::new(), Vec::new());
    for lease in view.leases_of(deployment.id).filter(|lease| lease.is_priced()) {
        match (lease.state, lease.end) {
            (LeaseState::Open, Some(end)) if end > now => {
                let (used, cost) = cost(lease);
                let escrow = lease.escrow.saturating_sub(used.saturating_sub(lease.settled));
                let (rate, floor, mark) = (lease.terms.max_rate, lease.floor, lease.mark);
                runs.push(Run { cost, rate, end, escrow, used, floor, mark, at: now, full: 0 });
            }
            (LeaseState::Closing { until }, _) => {
                returns.insert((until, lease.escrow.saturating_add(lease.held)));
            }
            _ => {}
        }
    }
    Outlook { length, shortest, balance: deployment.balance, returns, runs }.end(now)
}

impl Outlook {
    fn end(mut self, now: Time) -> Option<Time> {
        if self.runs.iter().all(|run| run.cost.is_zero()) {
            return None;
        }
        let due =
            |outlook: &Self, run: &Run, from: Time| Time(run.end.0.saturating_sub(outlook.length.0 / 2)).max(from);
        let places = 0..self.runs.len();
        let mut next: BTreeSet<(Time, usize)> =
            places.map(|place| (due(&self, &self.runs[place], now), place)).collect();
        let (mut ended, mut leapt): (Option<Time>, bool) = (None, false);
        for _ in 0..ROUNDS {
            let Some((at, place)) = next.pop_first().filter(|(at, _)| ended.is_none_or(|ended| *at < ended)) else {
                return ended;
            };
            self.collect(at);
            let end = self.runs[place].end;
            if self.renew(place, at) {
                next.insert((due(&self, &self.runs[place], at), place));
            } else if let Some((back, _)) = self.returns.first().filter(|(back, _)| *back < end) {
                next.insert((*back, place));
            } else {
                ended = Some(ended.map_or(end, |ended| ended.min(end)));
            }
            if !leapt && self.runs.iter().all(|run| run.full >= STEADY) {
                leapt = true;
                let span = self.leap()?;
                next = next.into_iter().map(|(at, place)| (at.after(span), place)).collect();
            }
        }
        self.runs.iter().map(|run| run.end).min()
    }

    /// Takes back what leases that are over no longer need.
    fn collect(&mut self, now: Time) {
        while let Some((_, amount)) = self.returns.first().copied().filter(|(at, _)| *at <= now) {
            self.returns.pop_first();
            self.balance = self.balance.saturating_add(amount);
        }
    }

    /// Renews a lease as the ledger does; `false` where it refuses.
    fn renew(&mut self, place: usize, now: Time) -> bool {
        let Some(run) = self.runs.get_mut(place) else { return false };
        run.go_on(now);
        let risen = run.mark.amount.saturating_add(cap(run.rate, now.since(run.mark.time)));
        let floor = if risen >= run.used { run.mark } else { Mark { amount: run.used, time: now } };
        let claimable =
            |end: Time| floor.amount.saturating_add(cap(run.rate, end.since(floor.time))).saturating_sub(run.used);
        let available = self.balance.saturating_add(run.escrow);
        let mut end = run.end.after(self.length);
        run.full += 1;
        if claimable(end) > available {
            let rest = available.saturating_add(run.used).saturating_sub(floor.amount);
            let bought = rest.scaled(u128::from(Millis::HOUR.0), run.rate.0).0;
            end = floor.time.after(Millis(u64::try_from(bought).unwrap_or(u64::MAX)));
            run.full = 0;
            if end < run.end.after(self.shortest) {
                return false;
            }
        }
        run.escrow = claimable(end);
        self.balance = available.saturating_sub(run.escrow);
        (run.end, run.floor, run.mark) = (end, floor, Mark { amount: run.used, time: now });
        true
    }

    /// Goes through all the full renewals to come but the last ones at once, and says how long they take; none where that
    /// is longer than there are dates.
    fn leap(&mut self) -> Option<Millis> {
        self.collect(Time(u64::MAX));
        let free = self.runs.iter().fold(self.balance, |sum, run| sum.saturating_add(run.escrow));
        // Two and a half leases lie between the renewal before the last one and the new end.
        let reserve = self.runs.iter().map(|run| cap(run.rate, Millis(self.length.0 / 2 * 5 + 5))).sum::<Amount>();
        let round = self.runs.iter().map(|run| cap(run.cost, self.length)).sum::<Amount>();
        let rounds = free.saturating_sub(reserve).0.checked_div(round.0)?;
        let span = Millis(u64::try_from(rounds).ok()?.checked_mul(self.length.0)?);
        for run in &mut self.runs {
            let used = cap(run.cost, self.length).scaled(rounds, 1);
            self.balance = self.balance.saturating_sub(used);
            for sum in [&mut run.used, &mut run.floor.amount, &mut run.mark.amount] {
                *sum = sum.saturating_add(used);
            }
            for time in [&mut run.end, &mut run.at, &mut run.floor.time, &mut run.mark.time] {
                *time = time.after(span);
            }
        }
        Some(span)
    }
}

impl Run {
    /// Counts what it costs until a time.
    fn go_on(&mut self, now: Time) {
        let used = cap(self.cost, now.since(self.at)).min(self.escrow);
        (self.used, self.escrow) = (self.used.saturating_add(used), self.escrow.saturating_sub(used));
        self.at = now;
    }
}

/// What a rate an hour comes to.
fn cap(rate: Amount, span: Millis) -> Amount {
    rate.scaled(u128::from(span.0), u128::from(Millis::HOUR.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: Millis = Millis::HOUR;

    /// Fresh leases at these (costs, rates) an hour, and the budget that is left beside what was set aside for them.
    fn outlook(leases: &[(u64, u64)], balance: u64) -> Outlook {
        let none = Mark { amount: Amount::ZERO, time: Time(0) };
        let run = |(cost, rate): &(u64, u64)| Run {
            cost: Amount(u128::from(*cost)),
            rate: Amount(u128::from(*rate)),
            end: Time(LENGTH.0),
            escrow: Amount(u128::from(*rate)),
            used: Amount::ZERO,
            floor: none,
            mark: none,
            at: Time(0),
            full: 0,
        };
        Outlook {
            length: LENGTH,
            shortest: Millis::minutes(1),
            balance: Amount(u128::from(balance)),
            returns: BTreeSet::new(),
            runs: leases.iter().map(run).collect(),
        }
    }

    /// The end in minutes, as a ledger comes to it whose providers look every second: each second that they ask late makes
    /// short renewals a little shorter.
    #[track_caller]
    fn check(leases: &[(u64, u64)], balance: u64, expected: Option<u64>) {
        let end = outlook(leases, balance).end(Time(0)).map(|end| end.0 / 60_000);
        let near =
            expected.unwrap_or_default().abs_diff(end.unwrap_or_default()) <= 1 + expected.unwrap_or_default() / 16;
        assert!(near && end.is_some() == expected.is_some(), "{leases:?} with {balance}: {end:?}");
    }

    #[test]
    fn a_budget_ends_when_no_lease_can_be_renewed_from_it() {
        check(&[], 100, None);
        check(&[(0, 6_000)], 100, None);
        // Nothing is left to renew with, though it cost a sixtieth of what it may.
        check(&[(100, 6_000)], 0, Some(60));
        check(&[(100, 6_000)], 99, Some(60));
        // What is not claimed of the time before a renewal pays for the next one: 7,500 would last 75 hours.
        check(&[(100, 6_000)], 1_500, Some(2_546));
        check(&[(3_000, 6_000)], 12_000, Some(326));
        // Who costs what he may is renewed until the last of it.
        check(&[(6_000, 6_000)], 54_000, Some(600));
    }

    #[test]
    fn two_leases_end_when_the_first_does() {
        check(&[(100, 6_000), (100, 600)], 0, Some(60));
        check(&[(6_000, 6_000), (600, 600)], 6_600, Some(120));
        check(&[(1_000, 6_000), (500, 600)], 30_000, Some(965));
    }

    #[test]
    fn what_comes_back_in_time_counts() {
        let mut early = outlook(&[(100, 6_000)], 0);
        early.returns.insert((Time(45 * 60_000), Amount(1_500)));
        assert!(early.end(Time(0)) > Some(Time(75 * 60_000)));
        let mut late = outlook(&[(100, 6_000)], 0);
        late.returns.insert((Time(61 * 60_000), Amount(1_500)));
        assert_eq!(late.end(Time(0)), Some(Time(LENGTH.0)));
    }

    /// The same without the leap.
    fn step_by_step(leases: &[(u64, u64)], balance: u64) -> Option<Time> {
        let mut outlook = outlook(leases, balance);
        let mut ended: Option<Time> = None;
        let due = |run: &Run| Time(run.end.0 - LENGTH.0 / 2).max(run.at);
        let mut open: BTreeSet<usize> = (0..leases.len()).collect();
        while let Some(place) = open.iter().copied().min_by_key(|place| due(&outlook.runs[*place])) {
            let at = due(&outlook.runs[place]);
            if ended.is_some_and(|ended| ended <= at) {
                break;
            }
            if !outlook.renew(place, at) {
                open.remove(&place);
                let end = outlook.runs[place].end;
                ended = Some(ended.map_or(end, |ended| ended.min(end)));
            }
        }
        ended
    }

    #[test]
    fn years_at_once_come_to_the_same_as_hour_by_hour() {
        for leases in [&[(100, 6_000)][..], &[(6_000, 6_000)], &[(7, 6_000), (900, 1_000)], &[(1_000, 1_100), (3, 50)]]
        {
            for balance in [0, 10_000, 20_000, 123_456, 3_000_000] {
                let (leapt, stepped) = (outlook(leases, balance).end(Time(0)), step_by_step(leases, balance));
                let apart = leapt.unwrap().0.abs_diff(stepped.unwrap().0);
                assert!(apart <= 60_000, "{leases:?} with {balance}: {leapt:?} and {stepped:?}");
            }
        }
    }
}
