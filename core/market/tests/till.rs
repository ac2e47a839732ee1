//! The provider's till: what it takes, what it hands out, and when it stops serving.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use grange_market::{ReceiptError, Settled, Till};
use grange_market::{
    meter::CREDIT_WINDOW,
    till::{Claimable, ELAPSED_TOLERANCE, SETTLE_EVERY},
};
use grange_types::{
    AccountId, Amount, BlobId, ByteCount, Counters, Isolation, Kind, LeaseId, LeaseTerms, Millis, NetworkId, PeerId,
    Prices, Receipt, Resources, SecretKey, Signed, Time,
};

const LEASE: LeaseId = LeaseId([1; 32]);
const START: Time = Time(1_000_000);

/// One processor at 36 credits an hour is a hundredth of a credit a second.
fn terms() -> LeaseTerms {
    LeaseTerms {
        provider: PeerId([2; 32]),
        operator: AccountId([3; 32]),
        kind: Kind::Wasm,
        workload: BlobId([4; 32]),
        resources: Resources { cpu_millis: 1_000, memory: ByteCount(0), disk: ByteCount(0) },
        isolation: Isolation::Wasm,
        prices: Prices {
            cpu_hour: Amount::credits(36),
            request_million: Amount::credits(1),
            egress_gib: Amount::credits(1),
            ..Prices::default()
        },
        max_rate: Amount::credits(360),
    }
}

fn at(seconds: u64) -> Time {
    START.after(Millis::seconds(seconds))
}

fn served(seconds: u64) -> Counters {
    Counters { served: Millis::seconds(seconds), ..Counters::default() }
}

fn body(sequence: u64, counters: Counters) -> Receipt {
    let amount = terms().prices.charge(&terms().resources, &counters);
    Receipt { lease: LEASE, generation: 4, sequence, counters, amount, disputed: Amount::ZERO }
}

fn sign(body: Receipt) -> Signed<Receipt> {
    Signed::seal(NetworkId([9; 32]), &SecretKey::from_bytes(&[7; 32]), at(1_000_000), body)
}

/// What the ledger lets receipts say so many seconds after the lease began, where its highest rate alone limits it.
fn by(seconds: u64) -> Claimable {
    let at = |millis| terms().cap(Millis(millis));
    let (now, tolerance) = (seconds * 1_000, ELAPSED_TOLERANCE.0);
    Claimable {
        elapsed: Millis(now),
        now: at(now),
        before: at(now.saturating_sub(tolerance)),
        soon: at(now + tolerance),
        holdable: terms().cap(CREDIT_WINDOW),
    }
}

/// What the ledger has paid, for time alone at a hundredth of a credit a second.
fn paid(sequence: u64, amount: &str) -> Settled {
    let amount: Amount = amount.parse().unwrap();
    let served = amount.scaled(100_000, Amount::CREDIT.0).0 as u64;
    Settled {
        sequence,
        amount,
        counters: Counters { served: Millis(served), ..Counters::default() },
        held: Amount::ZERO,
    }
}

fn till() -> Till {
    let mut till = Till::new();
    till.open(START, LEASE, 4, terms(), Settled::default(), Counters::default());
    till
}

/// Takes a receipt over so many seconds after as many of block time.
fn accept(till: &mut Till, sequence: u64, seconds: u64) {
    till.accept(at(seconds), by(seconds), sign(body(sequence, served(seconds)))).unwrap();
}

/// The numbers of the receipts that are handed out.
fn settle(till: &mut Till, seconds: u64) -> Vec<u64> {
    till.poll_settle(at(seconds)).iter().map(|receipt| receipt.body.sequence).collect()
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut Receipt), expected: ReceiptError) {
    let mut till = till();
    accept(&mut till, 5, 10);
    let mut receipt = body(6, served(20));
    change(&mut receipt);
    assert_eq!(till.accept(at(20), by(20), sign(receipt)), Err(expected));
    assert_eq!(till.tab(&LEASE).unwrap().best().unwrap().body.sequence, 5);
}

#[test]
fn a_receipt_that_does_not_extend_the_last_is_refused() {
    let (lease, sequence) = (LEASE, 6);
    let stranger = LeaseId([8; 32]);
    check_refused(|receipt| receipt.lease = stranger, ReceiptError::UnknownLease { lease: stranger });
    check_refused(|receipt| receipt.generation = 3, ReceiptError::WrongGeneration { lease, theirs: 3, ours: 4 });
    let stale = |sequence| ReceiptError::Stale { lease, sequence, known: 5 };
    check_refused(|receipt| *receipt = body(5, served(10)), stale(5));
    check_refused(|receipt| *receipt = body(4, served(10)), stale(4));
    check_refused(|receipt| receipt.sequence = 0, stale(0));
    let latest = Receipt::latest(Millis::seconds(20));
    let leaps = |sequence| ReceiptError::Leaps { lease, sequence, latest };
    check_refused(|receipt| receipt.sequence = u64::MAX, leaps(u64::MAX));
    check_refused(|receipt| receipt.sequence = latest + 1, leaps(latest + 1));
    check_refused(|receipt| *receipt = body(6, served(9)), ReceiptError::Backwards { lease, sequence });
    check_refused(|receipt| receipt.amount = Amount(0), ReceiptError::Backwards { lease, sequence });
    for wrong in ["0.199999999999", "0.200000000001"] {
        let (stated, due) = (wrong.parse().unwrap(), "0.2".parse().unwrap());
        let expected = ReceiptError::WrongAmount { lease, sequence, stated, due };
        // Block time enough that the cap explains nothing.
        let mut till = till();
        accept(&mut till, 5, 10);
        let mut receipt = body(6, served(20));
        receipt.amount = stated;
        assert_eq!(till.accept(at(20), by(1_000), sign(receipt)), Err(expected));
    }
}

#[test]
fn after_the_largest_number_there_may_be_what_says_more_goes_on() {
    let mut till = till();
    accept(&mut till, 5, 10);
    // The ledger's clock stands still from here on, as after the lease's end.
    let latest = Receipt::latest(Millis::seconds(20));
    let mut take = |sequence, seconds| till.accept(at(30), by(20), sign(body(sequence, served(seconds))));
    take(latest, 10).unwrap();
    let leaps = |sequence, latest| Err(ReceiptError::Leaps { lease: LEASE, sequence, latest });
    assert_eq!(take(latest + 1, 10), leaps(latest + 1, latest), "it says nothing new");
    assert_eq!(take(latest + 65, 11), leaps(latest + 65, latest + 64));
    take(latest + 1, 20).unwrap();
    take(latest + 65, 21).unwrap();
}

#[test]
fn a_capped_amount_is_taken_within_the_tolerance_of_two_views() {
    // Two hundred million requests cost 200 credits; the cap is a tenth of a credit a second.
    let capped = |seconds: u64, amount: &str| {
        let mut till = till();
        let counters = Counters { requests: 200_000_000, ..served(0) };
        let receipt = Receipt { amount: amount.parse().unwrap(), ..body(1, counters) };
        till.accept(at(seconds), by(seconds), sign(receipt)).is_ok()
    };
    assert!(capped(1_000, "100") && capped(1_000, "94"));
    assert!(!capped(1_000, "93.9") && !capped(1_000, "100.1"));
}

#[test]
fn what_is_payable_a_moment_later_waits_until_it_is() {
    let mut till = till();
    let counters = |seconds| Counters { requests: 200_000_000, ..served(seconds) };
    let take = |till: &mut Till, seconds: u64, sequence, amount: &str| {
        let receipt = Receipt { amount: amount.parse().unwrap(), ..body(sequence, counters(sequence)) };
        till.accept(at(seconds), by(seconds), sign(receipt))
            .map_err(|error| matches!(error, ReceiptError::Early { .. }))
    };
    take(&mut till, 100, 1, "10").unwrap();
    // A payer ahead of us, one who would be for a minute, one whose word is payable before theirs, and one far off.
    assert_eq!(take(&mut till, 100, 2, "10.2"), Err(true));
    assert_eq!(take(&mut till, 100, 3, "16"), Err(true));
    assert_eq!(take(&mut till, 100, 4, "10.1"), Err(true));
    assert_eq!(take(&mut till, 100, 5, "16.1"), Err(false));
    assert_eq!((till.poll_early(), till.tab(&LEASE).unwrap().acknowledged().to_string()), (None, "10".into()));
    till.claimable(&LEASE, by(101));
    let early = till.poll_early().unwrap();
    assert_eq!((early.body.sequence, till.poll_early()), (4, None));
    till.accept(at(101), by(101), early).unwrap();
    assert_eq!(till.tab(&LEASE).unwrap().acknowledged().to_string(), "10.1");
}

#[test]
fn what_a_renewal_makes_payable_only_later_is_not_acknowledged_until_then() {
    let mut till = till();
    let counters = |seconds| Counters { requests: 200_000_000, ..served(seconds) };
    let receipt = |sequence, amount: &str| {
        sign(Receipt { amount: amount.parse().unwrap(), ..body(sequence, counters(sequence)) })
    };
    till.accept(at(100), by(100), receipt(1, "10")).unwrap();
    let lowered = Claimable { now: "9".parse().unwrap(), ..by(100) };
    till.claimable(&LEASE, lowered);
    assert_eq!(till.tab(&LEASE).unwrap().acknowledged().to_string(), "9");
    // The payer says so as well; what can be paid is handed in.
    till.accept(at(101), lowered, receipt(2, "9")).unwrap();
    assert_eq!(settle(&mut till, 101), [2]);
}

#[test]
fn what_says_more_needs_no_larger_number() {
    let mut till = till();
    accept(&mut till, 50, 10);
    // Somebody with a hundred at hand says the same again and again; who pays more is taken all the same.
    till.accept(at(11), by(11), sign(Receipt { disputed: Amount(1), ..body(100, served(10)) })).unwrap();
    accept(&mut till, 51, 20);
    assert_eq!(till.tab(&LEASE).unwrap().acknowledged().to_string(), "0.2");
    assert_eq!(settle(&mut till, 20), [51]);
}

#[test]
fn a_receipt_that_expires_on_the_way_is_refused() {
    let expires = at(30);
    let receipt = Signed::seal(NetworkId([9; 32]), &SecretKey::from_bytes(&[7; 32]), expires, body(1, served(1)));
    let expected = ReceiptError::ExpiresSoon { lease: LEASE, sequence: 1, expires };
    assert_eq!(till().accept(at(1), by(1), receipt), Err(expected));
}

#[test]
fn money_is_settled_now_and_then_or_when_it_is_much() {
    let mut till = till();
    assert_eq!(till.poll_timeout(), None);
    accept(&mut till, 1, 5);
    assert_eq!(till.poll_timeout(), Some(START.after(SETTLE_EVERY)));
    assert_eq!(settle(&mut till, 9), []);
    assert_eq!(settle(&mut till, 10), [1]);
    assert_eq!(settle(&mut till, 10), []);
    // Nothing came of it: once more.
    assert_eq!(settle(&mut till, 20), [1]);
    till.settled(&LEASE, paid(1, "0.05"));
    assert_eq!(settle(&mut till, 60), []);
    // 1.05 credits by the 105th second: more than a credit is waiting.
    accept(&mut till, 2, 105);
    assert_eq!(settle(&mut till, 105), [2]);
    accept(&mut till, 3, 106);
    assert_eq!(settle(&mut till, 106), []);
    assert_eq!(settle(&mut till, 115), [3]);
    assert_eq!(till.tab(&LEASE).unwrap().unsettled().to_string(), "1.01");
}

#[test]
fn the_end_of_a_lease_settles_at_once_what_is_left_and_what_is_signed_later() {
    let mut till = till();
    accept(&mut till, 1, 5);
    assert_eq!(settle(&mut till, 10), [1]);
    accept(&mut till, 2, 11);
    till.close(&LEASE);
    assert_eq!(settle(&mut till, 11), [2]);
    assert_eq!(settle(&mut till, 12), []);
    till.settled(&LEASE, paid(1, "0.05"));
    assert!(till.tab(&LEASE).is_some());
    till.settled(&LEASE, paid(2, "0.11"));
    assert_eq!(settle(&mut till, 13), []);
    accept(&mut till, 3, 14);
    assert_eq!(settle(&mut till, 14), [3]);
    till.forget(&LEASE);
    assert!(till.tab(&LEASE).is_none() && settle(&mut till, 60).is_empty());
}

#[test]
fn a_lease_that_ended_without_a_debt_still_takes_a_receipt() {
    let mut till = till();
    till.close(&LEASE);
    accept(&mut till, 1, 5);
    assert_eq!(settle(&mut till, 5), [1]);
}

#[test]
fn service_stops_one_credit_window_after_the_last_receipt() {
    let mut till = till();
    let window = CREDIT_WINDOW.0 / 1_000;
    till.delivered(&LEASE, served(30));
    accept(&mut till, 1, 30);
    till.delivered(&LEASE, served(30 + window));
    assert_eq!((till.poll_stop(), till.exposure(&LEASE).to_string()), (None, "0.6".into()));
    till.delivered(&LEASE, served(30 + window + 1));
    assert_eq!((till.poll_stop(), till.poll_stop()), (Some(LEASE), None));
    // The ledger did not hear of it.
    till.stop_again(&LEASE);
    assert_eq!((till.poll_stop(), till.poll_stop()), (Some(LEASE), None));
    assert!(till.tab(&LEASE).unwrap().is_stopped());
    // The payer pays again: it is served again, and stopped again if it stops again.
    accept(&mut till, 2, 30 + window);
    assert!(!till.tab(&LEASE).unwrap().is_stopped());
    till.delivered(&LEASE, served(30 + 3 * window));
    assert_eq!(till.poll_stop(), Some(LEASE));
}

#[test]
fn receipts_that_only_crawl_do_not_keep_a_lease_alive() {
    let mut till = till();
    let mut stopped = None;
    for second in 1..=1_000 {
        till.delivered(&LEASE, served(second));
        if second % 30 == 0 {
            let crawl = sign(body(second, served(second / 10)));
            till.accept(at(second), by(second), crawl).unwrap();
        }
        if till.poll_stop().is_some() {
            stopped = stopped.or(Some(second));
        }
    }
    // Nine tenths of the service are not paid: over the window and a twentieth at 60 / (0.9 − 0.05) ≈ 70 seconds.
    assert!((60..=80).contains(&stopped.unwrap()), "{stopped:?}");
}

/// When a lease stops of which each second so many requests and bytes are delivered, of which the payer signs the time and
/// `paid` hundredths of the rest.
fn stops(requests: u64, egress: u64, paid: u64, own: bool) -> Option<u64> {
    let mut till = till();
    for second in 1..=2_000 {
        let counters = Counters { requests: requests * second, egress: ByteCount(egress * second), ..served(second) };
        till.delivered(&LEASE, counters);
        if own {
            till.unbilled(&LEASE, requests, ByteCount(egress));
        }
        let (requests, egress) = (counters.requests * paid / 100, ByteCount(counters.egress.0 * paid / 100));
        let receipt = sign(body(second, Counters { requests, egress, ..counters }));
        till.accept(at(second), by(second), receipt).unwrap();
        if till.poll_stop().is_some() {
            let cost = terms().cap(CREDIT_WINDOW).scaled(108, 100);
            assert!(
                till.exposure(&LEASE) <= cost.saturating_add(till.tab(&LEASE).unwrap().acknowledged().scaled(1, 20))
            );
            return Some(second);
        }
    }
    None
}

#[test]
fn requests_and_bytes_that_are_not_paid_stop_a_lease_as_time_does() {
    // The highest rate is ten times that of time alone: six credits are a window of it.
    let window = |stopped: Option<u64>| stopped.is_some_and(|second| (60..=75).contains(&second));
    assert!(window(stops(1_000_000, 0, 0, false)), "far above the rate: only what it allows is ever earned");
    let slow = stops(50_000, 0, 0, false).unwrap();
    assert!((120..=140).contains(&slow), "0.05 credits a second are six after two minutes: {slow}");
    assert!(stops(50_000, 0, 50, false).unwrap() > slow);
    assert!(window(stops(100, 1 << 30, 0, false)), "bytes are the same");
    assert_eq!(stops(50_000, 0, 96, false), None, "a twentieth may lag behind");
    assert_eq!(stops(50_000, 0, 100, false), None);
    // Payers look at it each second, and no payer believes our own gateways.
    assert_eq!(stops(2, 2 << 20, 0, false), None);
    assert_eq!(stops(50_000, 1 << 30, 0, true), None);
}

#[test]
fn receipts_that_the_ledger_does_not_pay_do_not_keep_a_lease_alive() {
    let mut till = till();
    let window = CREDIT_WINDOW.0 / 1_000;
    let serve = |till: &mut Till, seconds| {
        till.delivered(&LEASE, served(seconds));
        accept(till, seconds, seconds);
        till.poll_stop()
    };
    assert_eq!(serve(&mut till, 10), None);
    till.refused(&LEASE);
    assert_eq!(serve(&mut till, 20), None);
    till.refused(&LEASE);
    assert_eq!(serve(&mut till, 10 + window), None);
    assert_eq!(serve(&mut till, 11 + window), Some(LEASE));
    // The next payer's word is paid: it is served again.
    till.settled(&LEASE, paid(11 + window, "0.71"));
    serve(&mut till, 12 + window);
    assert!(!till.tab(&LEASE).unwrap().is_stopped());
}

#[test]
fn the_next_payer_need_not_go_on_from_what_the_ledger_refused() {
    let mut till = till();
    till.delivered(&LEASE, served(40));
    accept(&mut till, 1, 10);
    till.settled(&LEASE, paid(1, "0.1"));
    accept(&mut till, 2, 30);
    let lower = |sequence| sign(body(sequence, served(20)));
    let backwards = Err(ReceiptError::Backwards { lease: LEASE, sequence: 3 });
    assert_eq!(till.accept(at(40), by(40), lower(3)), backwards);
    till.refused(&LEASE);
    assert_eq!(till.tab(&LEASE).unwrap().best(), None, "it is worth nothing");
    let stale = Err(ReceiptError::Stale { lease: LEASE, sequence: 1, known: 1 });
    assert_eq!(till.accept(at(40), by(40), sign(body(1, served(10)))), stale);
    let below = Err(ReceiptError::Backwards { lease: LEASE, sequence: 3 });
    assert_eq!(till.accept(at(40), by(40), sign(body(3, served(9)))), below, "less than was paid");
    till.accept(at(40), by(40), lower(3)).unwrap();
    assert_eq!(till.tab(&LEASE).unwrap().acknowledged().to_string(), "0.2");
    till.settled(&LEASE, paid(3, "0.2"));
    assert!(!till.tab(&LEASE).unwrap().is_refused());
    accept(&mut till, 4, 41);
}

#[test]
fn service_that_is_acknowledged_ahead_is_not_waited_for() {
    let mut till = till();
    till.delivered(&LEASE, served(10));
    // Somebody pays for two minutes more than there were; nobody can say more before they are over.
    accept(&mut till, 1, 130);
    for second in 11..=130 + CREDIT_WINDOW.0 / 1_000 {
        till.delivered(&LEASE, served(second));
        assert_eq!(till.poll_stop(), None, "after {second} s");
    }
    till.delivered(&LEASE, served(131 + CREDIT_WINDOW.0 / 1_000));
    assert_eq!(till.poll_stop(), Some(LEASE));
}

#[test]
fn what_was_paid_ahead_is_no_debt_once_it_is_over_at_once() {
    let mut till = till();
    till.delivered(&LEASE, served(10));
    accept(&mut till, 1, 130);
    till.delivered(&LEASE, served(131));
    assert_eq!(till.poll_stop(), None);
}

#[test]
fn payers_of_a_busy_app_that_fall_silent_are_noticed_as_soon_as_others() {
    let mut till = Till::new();
    let prices = Prices { request_million: Amount::credits(10_000), ..terms().prices };
    let terms = LeaseTerms { prices, ..terms() };
    till.open(START, LEASE, 4, terms.clone(), Settled::default(), Counters::default());
    // Five requests a second, and of payers' visits one: two are reckoned, so ever less seems to be owed than is signed for.
    let delivered = |second| Counters { requests: 6 * second, ..served(second) };
    for second in 1..=10_000 {
        till.delivered(&LEASE, delivered(second));
        let counters = Counters { requests: 5 * second, ..served(second) };
        let amount = terms.prices.charge(&terms.resources, &counters);
        till.accept(at(second), by(second), sign(Receipt { amount, ..body(second, counters) })).unwrap();
        assert_eq!(till.poll_stop(), None, "after {second} s");
    }
    let silent = (1..10_000).find(|second| {
        till.delivered(&LEASE, delivered(10_000 + second));
        till.poll_stop().is_some()
    });
    assert_eq!(silent, Some(CREDIT_WINDOW.0 / 1_000 + 1));
}

#[test]
fn the_next_receipt_goes_on_from_what_the_ledger_was_paid_by_somebody_else() {
    let mut till = till();
    accept(&mut till, 95, 50);
    let handed_in = Settled { counters: Counters { requests: 10, ..served(45) }, ..paid(91, "0.45001") };
    till.settled(&LEASE, handed_in);
    // It counts no requests, and says more: the ledger pays that all the same.
    till.accept(at(60), by(60), sign(body(96, served(60)))).unwrap();
    let less = Err(ReceiptError::Backwards { lease: LEASE, sequence: 97 });
    assert_eq!(till.accept(at(60), by(60), sign(body(97, served(59)))), less);
}

#[test]
fn while_the_ledger_pays_bit_by_bit_nobody_stops_and_afterwards_as_ever() {
    let mut till = till();
    let burst = Counters { requests: 400_000_000, ..served(400) };
    till.delivered(&LEASE, served(400));
    till.accept(at(400), by(400), sign(Receipt { amount: terms().cap(Millis::seconds(400)), ..body(1, burst) }))
        .unwrap();
    // A renewal lets the ledger pay half of that now and the rest by and by; meanwhile no payer can say more.
    let stop = 600 + CREDIT_WINDOW.0 / 1_000;
    for second in 401..=stop {
        let now = terms().cap(Millis::seconds(second.min(600) - 200));
        let later = Claimable { now, soon: now, before: now, ..by(second) };
        till.claimable(&LEASE, Claimable { now: terms().cap(Millis::seconds(second - 200)), ..later });
        till.delivered(&LEASE, served(second));
        if second % 10 == 0 && second <= 600 {
            till.settled(&LEASE, Settled { amount: now, ..paid(1, "0") });
        }
        assert_eq!(till.poll_stop(), None, "after {second} s");
    }
    till.delivered(&LEASE, served(stop + 4_000));
    till.claimable(&LEASE, by(stop + 4_000));
    assert_eq!(till.poll_stop(), Some(LEASE), "what it paid is used up");
}

#[test]
fn a_receipt_that_expired_is_forgotten() {
    let mut till = till();
    let short = Signed::seal(NetworkId([9; 32]), &SecretKey::from_bytes(&[7; 32]), at(90), body(7, served(20)));
    till.accept(at(20), by(20), short).unwrap();
    assert_eq!(till.poll_settle(at(90)), []);
    assert_eq!(till.tab(&LEASE).unwrap().acknowledged(), Amount::ZERO);
    accept(&mut till, 3, 15);
    assert_eq!(settle(&mut till, 120), [3]);
}

#[test]
fn strangers_are_served_half_a_window_and_a_fortieth_and_the_app_goes_on() {
    let mut till = till();
    let (mut open, mut taken, mut refused) = (true, 0, 0);
    for second in 1..=2_000 {
        // A hundredth of a credit a second, as much as the app's own time costs.
        if open {
            taken += 10_000;
            till.taken_by_strangers(&LEASE, 10_000, ByteCount(0));
        }
        till.delivered(&LEASE, Counters { requests: taken, ..served(second) });
        accept(&mut till, second, second);
        if let Some((lease, served)) = till.poll_strangers() {
            assert_eq!((lease, served), (LEASE, !open));
            (open, refused) = (served, refused + u64::from(!served));
        }
        assert_eq!((till.poll_stop(), till.poll_strangers()), (None, None), "after {second} s");
    }
    let most =
        terms().cap(Millis(CREDIT_WINDOW.0 / 2)).saturating_add(till.tab(&LEASE).unwrap().acknowledged().scaled(1, 40));
    let had = terms().prices.charge(&terms().resources, &Counters { requests: taken, ..served(0) });
    assert!(refused > 1 && had <= most.scaled(101, 100), "{had} of {most}, refused {refused} times");
}

#[test]
fn while_the_ledger_stands_still_no_more_is_waited_for_than_can_be_signed() {
    let mut till = till();
    // Far above the rate: three tenths of a credit a second where one is allowed. The ledger stands still after a minute.
    for second in 1..=1_000 {
        let elapsed = second.min(60);
        let counters = Counters { requests: 300_000 * second, ..served(second) };
        till.delivered(&LEASE, counters);
        till.claimable(&LEASE, by(elapsed));
        let receipt = Receipt { amount: terms().amount(&counters, Millis::seconds(elapsed)), ..body(second, counters) };
        till.accept(at(second), by(elapsed), sign(receipt)).unwrap();
        assert_eq!(till.poll_stop(), None, "after {second} s");
    }
}

#[test]
fn who_counts_what_he_does_not_pay_is_waited_for_no_longer() {
    let mut till = till();
    till.delivered(&LEASE, served(10));
    let endless = Receipt { amount: Amount::ZERO, ..body(1, served(u64::MAX / 1_000)) };
    till.accept(at(10), by(10), sign(endless)).unwrap();
    till.delivered(&LEASE, served(10 + CREDIT_WINDOW.0 / 1_000));
    assert_eq!(till.poll_stop(), None);
    till.delivered(&LEASE, served(11 + CREDIT_WINDOW.0 / 1_000));
    assert_eq!(till.poll_stop(), Some(LEASE));
}

#[test]
fn receipts_that_only_crawl_are_found_out_after_a_restart_too() {
    let mut till = Till::new();
    till.open(START, LEASE, 4, terms(), paid(50, "36"), served(3_600));
    let stopped = (1..=1_000).find(|second| {
        till.delivered(&LEASE, served(3_600 + second));
        if second % 30 == 0 {
            let crawl = sign(body(50 + second, served(3_600 + second / 10)));
            till.accept(at(*second), by(3_600 + second), crawl).unwrap();
        }
        till.poll_stop().is_some()
    });
    assert!(stopped.is_some_and(|second| (60..=80).contains(&second)), "{stopped:?}");
}

#[test]
fn a_payer_that_starts_again_while_the_rate_binds_is_no_thief() {
    let mut till = till();
    // Three times the rate for a minute, then nothing but time: the rest would be paid by and by.
    let burst = Counters { requests: 18_000_000, ..served(60) };
    till.delivered(&LEASE, burst);
    till.claimable(&LEASE, by(60));
    let capped = terms().amount(&burst, Millis::seconds(60));
    till.accept(at(60), by(60), sign(Receipt { amount: capped, ..body(60, burst) })).unwrap();
    // The payer forgot all but what the ledger has paid.
    let known = till.tab(&LEASE).unwrap().granted();
    assert!(known.requests < burst.requests / 2);
    for second in 61..=1_000 {
        till.delivered(&LEASE, Counters { served: Millis::seconds(second), ..burst });
        till.claimable(&LEASE, by(second));
        let receipt = body(second, Counters { served: Millis::seconds(second), ..known });
        till.accept(at(second), by(second), sign(receipt)).unwrap();
        assert_eq!(till.poll_stop(), None, "after {second} s");
    }
}

#[test]
fn what_is_forgiven_is_forgiven_once() {
    let mut till = till();
    // In the first minute an amount below the charge passes for capped.
    let burst = Counters { requests: 10_000_000, ..served(30) };
    till.delivered(&LEASE, burst);
    for pair in 1..=100 {
        let most = Receipt { amount: body(1, served(30)).amount, ..body(2 * pair, burst) };
        till.accept(at(30), by(30), sign(most)).unwrap();
        till.accept(at(30), by(30), sign(body(2 * pair + 1, served(30)))).unwrap();
    }
    let more = |seconds: u64| Counters { requests: 10_000_000 + 50_000 * seconds, ..served(30 + seconds) };
    let stopped = (1..=400).find(|second| {
        till.delivered(&LEASE, more(*second));
        let receipt = body(300 + second, served(30 + second));
        till.accept(at(30 + second), by(30 + second), sign(receipt)).unwrap();
        till.poll_stop().is_some()
    });
    assert!(stopped.is_some_and(|second| second < 150), "{stopped:?}");
}

#[test]
fn who_counts_too_much_once_is_not_forgiven_for_ever() {
    let mut till = till();
    let endless = Counters { requests: u64::MAX, ..served(10) };
    let capped = Receipt { amount: terms().cap(Millis::seconds(10)), ..body(10, endless) };
    till.delivered(&LEASE, Counters { requests: 1_000, ..served(10) });
    till.accept(at(10), by(10), sign(capped)).unwrap();
    let known = till.tab(&LEASE).unwrap().granted();
    let stopped = (11..=400).find(|second| {
        till.delivered(&LEASE, Counters { requests: 100_000 * second, ..served(*second) });
        let receipt = body(*second, Counters { served: Millis::seconds(*second), ..known });
        till.accept(at(*second), by(*second), sign(receipt)).unwrap();
        till.poll_stop().is_some()
    });
    assert!(stopped.is_some_and(|second| second < 120), "{stopped:?}");
}

#[test]
fn what_a_receipt_counts_and_does_not_pay_stands_in_nobodys_way() {
    let mut till = till();
    accept(&mut till, 1, 10);
    // Where the ledger's clock may be a minute behind, an amount that is too small passes for capped.
    let endless = Counters { served: Millis(u64::MAX), requests: u64::MAX, egress: ByteCount(0) };
    let free = Receipt { amount: body(1, served(10)).amount, ..body(2, endless) };
    till.accept(at(11), by(11), sign(free)).unwrap();
    assert_eq!(till.tab(&LEASE).unwrap().granted(), served(10));
    accept(&mut till, 3, 12);
    assert_eq!(till.tab(&LEASE).unwrap().granted(), served(12));
}

#[test]
fn a_free_lease_never_stops() {
    let mut till = Till::new();
    let own = LeaseTerms { prices: Prices::default(), ..terms() };
    till.open(START, LEASE, 4, own, Settled::default(), Counters::default());
    till.delivered(&LEASE, served(1_000_000));
    assert_eq!(till.poll_stop(), None);
}

#[test]
fn a_restart_forgives_nothing_and_blames_nobody() {
    let mut till = Till::new();
    let settled = paid(50, "10");
    till.open(START, LEASE, 4, terms(), settled, served(1_010));
    assert_eq!(till.poll_stop(), None);
    let stale = ReceiptError::Stale { lease: LEASE, sequence: 50, known: 50 };
    let replayed = till.accept(at(0), by(1_010), sign(body(50, served(1_000))));
    assert_eq!(replayed, Err(stale));
    till.delivered(&LEASE, served(1_070));
    assert_eq!(till.poll_stop(), None);
    till.delivered(&LEASE, served(1_071));
    assert_eq!(till.poll_stop(), Some(LEASE));
}
