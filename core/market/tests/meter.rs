//! The payer's meter: scripts of what it saw, and properties over random ones.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use grange_market::meter::{AdoptError, CREDIT_WINDOW};
use grange_market::{Meter, Word};
use grange_types::{
    AccountId, Amount, BlobId, ByteCount, Counters, Isolation, Kind, LeaseId, LeaseTerms, Millis, PeerId, Prices,
    Receipt, Resources, Time,
};
use proptest::prelude::*;

const LEASE: LeaseId = LeaseId([1; 32]);
/// The word of a key without a ceiling, long after the lease began.
/// The word of an owner's key by which the ledger pays what counters cost.
const OWNER: Word = Word::Full { most: Amount::credits(360) };
const GENERATION: u64 = 4;
const START: Time = Time(1_000_000);

/// One processor at 3.6 credits an hour is a thousandth of a credit a second.
fn terms() -> LeaseTerms {
    LeaseTerms {
        provider: PeerId([2; 32]),
        operator: AccountId([3; 32]),
        kind: Kind::Wasm,
        workload: BlobId([4; 32]),
        resources: Resources { cpu_millis: 1_000, memory: ByteCount(0), disk: ByteCount(0) },
        isolation: Isolation::Wasm,
        prices: Prices {
            cpu_hour: "3.6".parse().unwrap(),
            request_million: "1".parse().unwrap(),
            egress_gib: "1".parse().unwrap(),
            ..Prices::default()
        },
        max_rate: Amount::credits(360),
    }
}

/// The most that a receipt may say after so long.
fn cap(elapsed: Millis) -> Amount {
    terms().cap(elapsed)
}

fn meter() -> Meter {
    Meter::new(LEASE, terms(), GENERATION, START, None)
}

fn at(seconds: u64) -> Time {
    START.after(Millis::seconds(seconds))
}

fn counters(seconds: u64, requests: u64, egress: u64) -> Counters {
    Counters { served: Millis::seconds(seconds), requests, egress: ByteCount(egress) }
}

fn receipt(sequence: u64, counters: Counters) -> Receipt {
    let amount = terms().prices.charge(&terms().resources, &counters);
    Receipt { lease: LEASE, generation: GENERATION, sequence, counters, amount, disputed: Amount::ZERO }
}

/// Probes every second of a range.
fn probe(meter: &mut Meter, seconds: core::ops::RangeInclusive<u64>) {
    for second in seconds {
        meter.probe(at(second), true);
    }
}

/// A script of probes as (second, answered), and how many seconds are taken as served.
#[track_caller]
fn check(script: &[(u64, bool)], expected: u64) {
    let mut meter = meter();
    for (second, ok) in script {
        meter.probe(at(*second), *ok);
    }
    assert_eq!(meter.usage().served, Millis::seconds(expected), "{script:?}");
}

#[test]
fn served_time_lies_between_successes_that_are_near_each_other() {
    check(&[], 0);
    check(&[(5, true)], 0);
    check(&[(0, true), (1, true), (2, true)], 2);
    check(&[(0, true), (3, true), (6, true)], 6);
    check(&[(0, true), (4, true), (5, true)], 1);
    check(&[(0, true), (1, true), (2, false), (3, true), (4, true)], 2);
    check(&[(0, false), (1, false)], 0);
    check(&[(0, true), (2, true), (1, true), (2, true), (3, true)], 3);
}

#[test]
fn a_receipt_is_made_when_it_says_more_than_the_last() {
    let mut meter = meter();
    assert_eq!(meter.receipt(at(0), cap(Millis(0))), None);
    probe(&mut meter, 0..=10);
    meter.gateway(1_000_000, ByteCount::gib(1));
    let first = meter.receipt(at(10), cap(Millis::seconds(10_000))).unwrap();
    assert_eq!((first.sequence, first.counters), (1, counters(10, 1_000_000, 1 << 30)));
    assert_eq!(first.amount.to_string(), "2.01");
    assert_eq!(meter.receipt(at(10), cap(Millis::seconds(10_000))), None);
    probe(&mut meter, 11..=12);
    assert_eq!(meter.receipt(at(12), cap(Millis::seconds(10_000))).unwrap().amount.to_string(), "2.012");
    assert_eq!(meter.last().unwrap().sequence, 2);
}

#[test]
fn the_cap_of_the_lease_bounds_a_receipt_and_grows_with_block_time() {
    let mut meter = meter();
    meter.gateway(100_000_000, ByteCount(0));
    assert_eq!(meter.receipt(at(0), cap(Millis::seconds(10))).unwrap().amount.to_string(), "1");
    let later = meter.receipt(at(0), cap(Millis::seconds(20))).unwrap();
    assert_eq!((later.sequence, later.amount.to_string()), (2, "2".into()));
    assert_eq!(meter.receipt(at(0), cap(Millis::seconds(20))), None);
}

#[test]
fn a_lease_without_prices_has_no_receipts() {
    let own = LeaseTerms { prices: Prices::default(), ..terms() };
    let mut meter = Meter::new(LEASE, own, GENERATION, START, None);
    probe(&mut meter, 0..=10);
    assert_eq!((meter.receipt(at(10), cap(Millis::HOUR)), meter.usage().served), (None, Millis::seconds(10)));
}

/// What is signed when the payer counted a thousand seconds, requests and bytes, and the provider claims something.
#[track_caller]
fn check_claim(claim: Counters, expected: Counters, disputed: bool) {
    let mut meter = meter();
    probe(&mut meter, 0..=1_000);
    meter.gateway(1_000, ByteCount(1_000));
    meter.report(claim);
    assert_eq!(meter.disputed(at(2_000)), disputed);
    assert_eq!(meter.receipt(at(2_000), cap(Millis::HOUR)).unwrap().counters, expected);
}

#[test]
fn a_report_counts_only_within_the_tolerance() {
    check_claim(counters(1_000, 1_000, 1_000), counters(1_000, 1_000, 1_000), false);
    check_claim(counters(990, 990, 990), counters(1_000, 1_000, 1_000), false);
    check_claim(counters(989, 989, 989), counters(989, 989, 989), false);
    check_claim(counters(1_010, 1_010, 1_010), counters(1_010, 1_010, 1_010), false);
    check_claim(counters(1_011, 1_011, 1_011), counters(1_000, 1_000, 1_000), true);
    check_claim(counters(1_200, 1_000, 0), counters(1_000, 1_000, 0), true);
    check_claim(counters(u64::MAX / 1_000, u64::MAX, u64::MAX), counters(1_000, 1_000, 1_000), true);
}

#[test]
fn whoever_reports_a_fifth_too_much_is_paid_what_silence_is_paid() {
    let paid = |report: bool| {
        let mut meter = meter();
        for second in 0..=600 {
            meter.probe(at(second), true);
            meter.gateway(7, ByteCount(7_000));
            if report {
                let honest = meter.usage();
                meter.report(counters(second * 6 / 5, honest.requests * 6 / 5, honest.egress.0 * 6 / 5));
            }
            if second % 10 == 0 {
                meter.receipt(at(second), cap(Millis::seconds(second)));
            }
        }
        meter.last().unwrap().clone()
    };
    let (greedy, silent) = (paid(true), paid(false));
    assert_eq!(Receipt { disputed: Amount::ZERO, ..greedy.clone() }, silent);
    // What it asks more is written down, up to a credit window.
    assert!(greedy.disputed > Amount::ZERO && greedy.disputed <= meter().terms().cap(CREDIT_WINDOW));
    // It takes that back, or says no more: nothing is paid by that.
    let mut meter = meter();
    probe(&mut meter, 0..=100);
    meter.report(counters(120, 0, 0));
    assert_eq!(
        meter.receipt(at(100), cap(Millis::seconds(100))).unwrap().disputed,
        Amount::ZERO,
        "it may be a moment ahead"
    );
    probe(&mut meter, 101..=110);
    assert_eq!(meter.receipt(at(110), cap(Millis::seconds(110))).unwrap().disputed, "0.01".parse().unwrap());
    meter.report_lapsed();
    assert_eq!(meter.receipt(at(110), cap(Millis::seconds(110))), None, "what it asked last stands");
    meter.report(counters(110, 0, 0));
    assert_eq!(meter.receipt(at(110), cap(Millis::seconds(110))).unwrap().disputed, Amount::ZERO);
}

#[test]
fn a_claim_never_lifts_served_time_above_the_clock() {
    let mut meter = meter();
    probe(&mut meter, 0..=1_000);
    meter.report(counters(1_005, 0, 0));
    assert_eq!(meter.receipt(at(1_000), cap(Millis::HOUR)).unwrap().counters.served, Millis::seconds(1_000));
}

#[test]
fn what_was_signed_is_never_taken_back() {
    let mut meter = meter();
    probe(&mut meter, 0..=100);
    meter.receipt(at(100), cap(Millis::HOUR)).unwrap();
    meter.report(counters(50, 0, 0));
    assert_eq!(meter.receipt(at(100), cap(Millis::HOUR)), None);
}

#[test]
fn taking_over_goes_on_from_the_others_receipt() {
    let mut late = meter();
    probe(&mut late, 90..=100);
    late.gateway(5, ByteCount(5));
    late.adopt(at(100), &receipt(7, counters(100, 3, 50)), OWNER).unwrap();
    assert_eq!(late.usage(), counters(100, 5, 50));
    probe(&mut late, 101..=110);
    let next = late.receipt(at(110), cap(Millis::HOUR)).unwrap();
    assert_eq!((next.sequence, next.counters), (8, counters(110, 5, 50)));
}

#[test]
fn of_a_receipt_that_is_not_paid_only_the_number_is_taken() {
    let mut owner = meter();
    probe(&mut owner, 0..=100);
    owner.gateway(1_000, ByteCount(0));
    assert_eq!(owner.receipt(at(100), cap(Millis::seconds(100))).unwrap().amount.to_string(), "0.101");
    // A steward counts and grants all that there is.
    let endless = Counters { served: Millis(u64::MAX), requests: u64::MAX, egress: ByteCount(u64::MAX) };
    let most = Receipt { counters: endless, amount: Amount(u128::MAX), ..receipt(7, endless) };
    owner.adopt(at(100), &most, Word::Limited).unwrap();
    assert_eq!(owner.usage(), counters(100, 1_000, 0));
    assert_eq!(owner.receipt(at(100), cap(Millis::seconds(100))), None, "it says nothing that was not said");
    probe(&mut owner, 101..=120);
    let next = owner.receipt(at(120), cap(Millis::HOUR)).unwrap();
    assert_eq!((next.sequence, next.amount.to_string()), (8, "0.121".into()));
    assert_eq!(next.counters, counters(120, 1_000, 0));
    // What the ledger has paid is paid, also under a number that others have left behind.
    owner.adopt(at(120), &receipt(7, counters(150, 1_002, 9)), Word::Paid).unwrap();
    assert_eq!(owner.usage(), counters(150, 1_002, 9));
    probe(&mut owner, 121..=151);
    let next = owner.receipt(at(151), cap(Millis::HOUR)).unwrap();
    assert_eq!((next.sequence, next.counters), (9, counters(151, 1_002, 9)));
}

#[test]
fn what_was_counted_since_anothers_receipt_comes_on_top_once_that_is_paid() {
    // A payer that starts again knows what was paid ten seconds ago.
    let mut owner = Meter::new(LEASE, terms(), GENERATION, START, Some(receipt(50, counters(90, 5, 0))));
    owner.probe(at(100), true);
    let steward = receipt(60, counters(100, 9, 7));
    owner.adopt(at(100), &steward, Word::Limited).unwrap();
    probe(&mut owner, 101..=110);
    owner.gateway(2, ByteCount(3));
    assert_eq!(owner.usage(), counters(100, 7, 3));
    // Another number is paid first: that says nothing of what is counted here.
    owner.adopt(at(110), &receipt(55, counters(95, 7, 0)), Word::Paid).unwrap();
    assert_eq!(owner.usage(), counters(100, 7, 3));
    owner.adopt(at(110), &steward, Word::Paid).unwrap();
    assert_eq!(owner.usage(), counters(110, 11, 10));
    owner.adopt(at(110), &steward, Word::Paid).unwrap_err();
    assert_eq!(owner.usage(), counters(110, 11, 10), "once");
    // What was told before it was true brings nothing, nor does a number that was told with something else.
    let mut other = meter();
    for sequence in 1..=32 {
        other.adopt(at(0), &receipt(sequence, counters(60, 500, 0)), Word::Limited).unwrap();
    }
    probe(&mut other, 0..=100);
    other.gateway(500, ByteCount(0));
    for (sequence, seconds) in (1..=32).zip(60..) {
        let _ = other.adopt(at(100), &receipt(sequence, counters(seconds, 500, 0)), Word::Paid);
    }
    assert_eq!(other.usage(), counters(100, 500, 0));
    // Nobody serves longer than there was time.
    let mut late = meter();
    late.adopt(at(100), &receipt(7, counters(130, 0, 0)), Word::Limited).unwrap();
    probe(&mut late, 100..=110);
    late.adopt(at(110), &receipt(7, counters(130, 0, 0)), Word::Paid).unwrap();
    assert_eq!(late.usage(), counters(130, 0, 0));
}

#[test]
fn what_was_paid_here_meanwhile_comes_on_top_of_nobodys_receipt() {
    // A steward tells of requests that have not been, and its provider keeps that back until the owner has paid most of it.
    let (mut owner, mut second) = (meter(), meter());
    probe(&mut owner, 0..=10);
    probe(&mut second, 0..=10);
    let ahead = receipt(60, counters(10, 50_000, 0));
    owner.adopt(at(10), &ahead, Word::Limited).unwrap();
    second.adopt(at(10), &ahead, Word::Limited).unwrap();
    let mut signed = None;
    for now in 11..=50 {
        for payer in [&mut owner, &mut second] {
            payer.probe(at(now), true);
            payer.gateway(10, ByteCount(0));
        }
        signed = owner.receipt(at(now), cap(Millis::HOUR));
        second.adopt(at(now), signed.as_ref().unwrap(), OWNER).unwrap();
    }
    // The same for whoever signed it and for another one, who went on from it.
    for mut payer in [owner, second] {
        payer.adopt(at(50), signed.as_ref().unwrap(), Word::Paid).unwrap_err();
        probe(&mut payer, 51..=55);
        payer.gateway(50, ByteCount(0));
        payer.adopt(at(55), &ahead, Word::Paid).unwrap();
        assert_eq!(payer.usage().requests, 50_050, "of what was counted here only what was not paid comes on top");
    }
}

#[test]
fn an_owners_receipt_that_grants_more_than_is_due_is_not_adopted() {
    let mut meter = meter();
    let told = receipt(7, counters(100, 0, 0));
    let (lease, sequence, most) = (LEASE, 7, told.amount);
    for amount in [Amount(most.0 + 1), Amount(u128::MAX)] {
        let overstated = AdoptError::Overstated { lease, sequence, amount, most };
        assert_eq!(meter.adopt(at(100), &Receipt { amount, ..told.clone() }, OWNER), Err(overstated));
    }
    let last = meter.last().unwrap();
    assert_eq!((last.sequence, last.amount), (7, Amount::ZERO), "its number is taken, or ours would be too small");
    meter.adopt(at(100), &told, OWNER).unwrap();
    assert_eq!(meter.last(), Some(&told));
}

#[test]
fn after_a_restart_ones_own_receipt_counts_for_what_the_ledger_did_not_pay_of_it() {
    // The highest rate allowed only a part, and of that the ledger remembers only what was paid for.
    let mut again = Meter::new(LEASE, terms(), GENERATION, START, Some(receipt(7, counters(100, 0, 0))));
    let own = receipt(7, counters(100, 9, 50));
    again.adopt(at(100), &Receipt { amount: again.last().unwrap().amount, ..own }, OWNER).unwrap();
    assert_eq!(again.usage(), counters(100, 9, 50));
}

#[test]
fn who_hears_late_how_old_a_lease_is_goes_on_at_once() {
    // By the ledger as it was before the restart the lease began ninety seconds later than it did.
    let mut late = Meter::new(LEASE, terms(), GENERATION, at(90), None);
    late.adopt(at(100), &receipt(7, counters(95, 0, 0)), Word::Paid).unwrap();
    probe(&mut late, 100..=105);
    assert_eq!(late.usage(), counters(95, 0, 0), "more than there was time for, as far as it knows");
    late.began(START);
    probe(&mut late, 106..=110);
    assert_eq!(late.usage(), counters(100, 0, 0));
}

#[test]
fn the_interval_under_way_is_not_counted_twice() {
    let mut late = meter();
    late.probe(at(98), true);
    late.adopt(at(100), &receipt(7, counters(100, 0, 0)), OWNER).unwrap();
    late.probe(at(101), true);
    assert_eq!(late.usage().served, Millis::seconds(101));
}

#[test]
fn a_receipt_that_is_foreign_or_old_is_not_adopted() {
    let mut meter = Meter::new(LEASE, terms(), GENERATION, START, Some(receipt(7, counters(9, 0, 0))));
    assert_eq!(meter.usage(), counters(9, 0, 0));
    let stale = AdoptError::Stale { lease: LEASE, sequence: 7, known: 7 };
    assert_eq!(meter.adopt(at(100), &receipt(7, counters(50, 0, 0)), Word::Limited), Err(stale));
    for word in [Word::Paid, OWNER] {
        assert_eq!(meter.adopt(at(100), &receipt(7, counters(9, 0, 0)), word), Err(stale));
    }
    let stale = AdoptError::Stale { lease: LEASE, sequence: 6, known: 7 };
    assert_eq!(meter.adopt(at(100), &receipt(6, counters(9, 0, 0)), OWNER), Err(stale));
    assert_eq!(meter.adopt(at(100), &receipt(6, counters(50, 0, 0)), Word::Limited), Err(stale));
    let mut foreign = receipt(8, counters(50, 0, 0));
    foreign.generation = 5;
    let refused = AdoptError::Foreign { lease: LEASE, generation: 5 };
    assert_eq!(meter.adopt(at(100), &foreign, Word::Paid), Err(refused));
    assert_eq!(meter.usage(), counters(9, 0, 0));
    // The larger amount counts, whatever its number.
    meter.adopt(at(100), &receipt(6, counters(50, 0, 0)), OWNER).unwrap();
    assert_eq!((meter.usage(), meter.last().unwrap().sequence), (counters(50, 0, 0), 7));
}

#[test]
fn a_payers_word_on_a_number_is_believed_by_half_and_a_providers_wholly() {
    let mut meter = meter();
    let latest = Receipt::latest(Millis::seconds(100)) / 2;
    let leaps = AdoptError::Leaps { lease: LEASE, sequence: latest + 1, latest };
    assert_eq!(meter.check_number(at(100), latest + 1), Err(leaps));
    meter.check_number(at(100), latest).unwrap();
    meter.adopt(at(100), &receipt(u64::MAX - 1, counters(60, 0, 0)), OWNER).unwrap();
    probe(&mut meter, 100..=110);
    assert_eq!(meter.receipt(at(110), cap(Millis::HOUR)).unwrap().sequence, u64::MAX);
    probe(&mut meter, 111..=120);
    assert_eq!(meter.receipt(at(120), cap(Millis::HOUR)), None, "there is no number left");
}

#[derive(Debug, Clone)]
enum Step {
    Probe { who: usize, ok: bool },
    Gateway { requests: u64 },
    Claim { percent: u64 },
    Sign { who: usize },
}

fn steps() -> impl Strategy<Value = (u64, Step)> {
    let step = prop_oneof![
        8 => (0_usize..2, prop::bool::weighted(0.9)).prop_map(|(who, ok)| Step::Probe { who, ok }),
        1 => (0_u64..1_000).prop_map(|requests| Step::Gateway { requests }),
        1 => (90_u64..130).prop_map(|percent| Step::Claim { percent }),
        2 => (0_usize..2).prop_map(|who| Step::Sign { who }),
    ];
    (0_u64..1_500, step)
}

/// The length of the union of intervals.
fn union(mut intervals: Vec<(u64, u64)>) -> u64 {
    intervals.sort_unstable();
    let (mut length, mut reached) = (0, 0);
    for (from, to) in intervals {
        length += to.saturating_sub(from.max(reached));
        reached = reached.max(to);
    }
    length
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Two payers probe at their own times, sign in turns and adopt each other's receipts, while the provider claims what
    /// it likes. What is signed never shrinks, never exceeds the clock, and never exceeds what the two saw between them
    /// by more than the tolerance; without claims, not at all.
    #[test]
    fn two_payers_together_never_sign_more_than_they_saw(
        steps in prop::collection::vec(steps(), 0..300),
        claims in any::<bool>(),
    ) {
        let mut meters = [meter(), meter()];
        let mut last_ok = [None, None];
        let (mut seen, mut now, mut largest) = (Vec::new(), START, receipt(0, Counters::default()));
        for (pause, step) in steps {
            now = now.after(Millis(pause));
            match step {
                Step::Probe { who, ok } => {
                    meters[who].probe(now, ok);
                    if let Some(since) = last_ok[who].filter(|since: &Time| ok && now.since(*since).0 <= 3_000) {
                        seen.push((since.0, now.0));
                    }
                    last_ok[who] = ok.then_some(now);
                }
                Step::Gateway { requests } => meters.iter_mut().for_each(|meter| meter.gateway(requests, ByteCount(0))),
                Step::Claim { percent } if claims => {
                    for meter in &mut meters {
                        let Counters { served, requests, egress } = meter.usage();
                        let served = Millis(served.0 * percent / 100);
                        meter.report(Counters { served, requests: requests * percent / 100, egress });
                    }
                }
                Step::Claim { .. } => {}
                Step::Sign { who } => {
                    if let Some(signed) = meters[who].receipt(now, cap(now.since(START))) {
                        prop_assert!(signed.sequence > largest.sequence);
                        prop_assert!(signed.counters.extends(&largest.counters) && signed.amount >= largest.amount);
                        prop_assert!(signed.counters.served <= now.since(START));
                        prop_assert_eq!(signed.amount, terms().amount(&signed.counters, now.since(START)));
                        let bound = union(seen.clone());
                        let tolerated = if claims { bound / 100 } else { 0 };
                        prop_assert!(signed.counters.served.0 <= bound + tolerated);
                        let word = Word::Full { most: cap(now.since(START)) };
                        meters[1 - who].adopt(now, &signed, word).unwrap();
                        largest = signed;
                    }
                }
            }
        }
    }

    /// Bills are made from cumulative counters: a hundred receipts end where a single one does.
    #[test]
    fn settling_often_is_settling_once(
        beats in prop::collection::vec((0_u64..4_000, 0_u64..5_000, 0_u64..1_000_000, any::<bool>()), 1..200),
    ) {
        let (mut often, mut once, mut now) = (meter(), meter(), START);
        for (pause, requests, egress, sign) in beats {
            now = now.after(Millis(pause));
            for meter in [&mut often, &mut once] {
                meter.probe(now, true);
                meter.gateway(requests, ByteCount(egress));
            }
            if sign {
                often.receipt(now, cap(Millis::DAY));
            }
        }
        often.receipt(now, cap(Millis::DAY));
        once.receipt(now, cap(Millis::DAY));
        let last = |meter: &Meter| meter.last().map(|last| (last.counters, last.amount));
        prop_assert_eq!(last(&often), last(&once));
        let lines: Amount = once.lines().iter().map(|line| line.amount).sum();
        prop_assert_eq!(lines, once.last().map_or(Amount::ZERO, |last| last.amount));
    }
}

#[test]
fn visits_that_a_provider_counts_as_requests_are_no_dispute() {
    let mut meter = meter();
    for second in 0..=600 {
        meter.probe(at(second), true);
        // Nobody else asks: all that its counters show are the payers' own looks, two kilobytes each.
        meter.report(counters(second, second * 7 / 5, second * 7 / 5 * 2_000));
        if let Some(receipt) = meter.receipt(at(second), cap(Millis::seconds(second))) {
            assert_eq!(receipt.disputed, Amount::ZERO, "after {second} s");
        }
    }
}
