//! The desk: scripts of requests with what is answered, and a property that capacity is never oversold.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;

use grange_market::desk::{QUOTE_LIFE, RESERVATIONS_PER_BUYER};
use grange_market::{Buyer, Desk, DeskSetup, OpenError, QuoteRequest, Refusal};
use grange_types::{
    AccountId, Amount, BlobId, ByteCount, DeploymentId, Isolation, Kind, LeaseId, PeerId, Prices, Quote, Region,
    Resources, Time,
};
use proptest::prelude::*;

const OPERATOR: AccountId = AccountId([1; 32]);
const BUYER: Buyer = Buyer { account: AccountId([2; 32]), rate: Amount(1_000_000_000) };
const OWN: Buyer = Buyer { account: OPERATOR, rate: Amount::ZERO };
const NOW: Time = Time(100_000);

fn cpu(millis: u32) -> Resources {
    Resources { cpu_millis: millis, memory: ByteCount::mib(u64::from(millis)), disk: ByteCount(0) }
}

fn desk() -> Desk {
    Desk::new(DeskSetup {
        provider: PeerId([1; 32]),
        operator: OPERATOR,
        display: "a barn".into(),
        region: Region::try_from("eu-be".to_owned()).unwrap(),
        kinds: vec![Kind::Wasm],
        isolation: Isolation::Wasm,
        capacity: cpu(1_000),
        prices: Prices { cpu_hour: Amount(1_000), request_million: Amount(5), ..Prices::default() },
        sequence: 41,
        first_nonce: 7,
    })
}

fn deployment(number: u8) -> DeploymentId {
    DeploymentId([number; 32])
}

fn request(number: u8, slot: u32, generation: u64, millis: u32) -> QuoteRequest {
    QuoteRequest {
        deployment: deployment(number),
        slot,
        generation,
        kind: Kind::Wasm,
        workload: BlobId([3; 32]),
        resources: cpu(millis),
        isolation: Isolation::Wasm,
        max_rate: Amount(1_000_000),
        own: false,
    }
}

/// Opens the lease that a quote allows.
fn open(desk: &mut Desk, lease: u8, quote: &Quote) -> Result<(), OpenError> {
    desk.opened(LeaseId([lease; 32]), quote.deployment, quote.slot, quote.generation, &quote.terms)
}

#[test]
fn a_quote_locks_the_terms_and_holds_the_capacity() {
    let mut desk = desk();
    let quote = desk.quote(&request(1, 0, 1, 400), BUYER, NOW).unwrap();
    assert_eq!((quote.valid_until, quote.nonce, quote.terms.operator), (NOW.after(QUOTE_LIFE), 7, OPERATOR));
    assert_eq!((quote.terms.prices.cpu_hour, quote.terms.max_rate), (Amount(1_000), Amount(1_000_000)));
    assert_eq!(desk.free(), cpu(600));
    // A reservation does not survive the first final block after its end, and does survive its last.
    desk.final_block(quote.valid_until);
    assert_eq!(desk.free(), cpu(600));
    desk.final_block(Time(quote.valid_until.0 + 1));
    assert_eq!((desk.free(), desk.reservations()), (cpu(1_000), 0));
}

#[test]
fn a_buyer_gives_back_what_he_reserved_and_nobody_else_does() {
    let mut desk = desk();
    let running = desk.quote(&request(1, 0, 1, 400), BUYER, NOW).unwrap();
    open(&mut desk, 1, &running).unwrap();
    let quote = desk.quote(&request(1, 0, 2, 700), BUYER, NOW).unwrap();
    assert_eq!((desk.free(), desk.reservations()), (cpu(300), 1));
    assert!(!desk.cancel(deployment(1), 0, quote.nonce, AccountId([3; 32])), "another's");
    assert!(!desk.cancel(deployment(1), 0, running.nonce, BUYER.account), "it became a lease");
    assert!(!desk.cancel(deployment(1), 1, quote.nonce, BUYER.account) && desk.free() == cpu(300));
    assert!(desk.cancel(deployment(1), 0, quote.nonce, BUYER.account));
    assert_eq!((desk.free(), desk.reservations()), (cpu(600), 0), "what runs goes on");
    assert!(!desk.cancel(deployment(1), 0, quote.nonce, BUYER.account), "once");
    // His money counts for other reservations again.
    let few = Buyer { rate: Amount(1_000_000), ..BUYER };
    let first = desk.quote(&request(2, 0, 1, 100), few, NOW).unwrap();
    assert!(matches!(desk.quote(&request(3, 0, 1, 100), few, NOW), Err(Refusal::Means { .. })));
    desk.cancel(deployment(2), 0, first.nonce, few.account);
    desk.quote(&request(3, 0, 1, 100), few, NOW).unwrap();
}

#[test]
fn the_same_question_has_the_same_answer_until_half_its_life_is_over() {
    let mut desk = desk();
    let first = desk.quote(&request(1, 0, 1, 400), BUYER, NOW).unwrap();
    desk.set_prices(Prices { cpu_hour: Amount(2_000), ..Prices::default() });
    let half = Time(NOW.0 + QUOTE_LIFE.0 / 2);
    assert_eq!(desk.quote(&request(1, 0, 1, 400), BUYER, half).unwrap(), first);
    let later = desk.quote(&request(1, 0, 1, 400), BUYER, Time(half.0 + 1)).unwrap();
    assert_eq!((later.nonce, later.terms.prices.cpu_hour), (8, Amount(2_000)));
    assert_eq!((desk.free(), desk.reservations()), (cpu(600), 1));
    // The first one's end frees nothing: its place was taken.
    desk.final_block(Time(first.valid_until.0 + 1));
    assert_eq!((desk.free(), desk.reservations()), (cpu(600), 1));
}

#[track_caller]
fn check_refused(change: impl FnOnce(&mut QuoteRequest, &mut Desk), expected: Refusal) {
    let (mut desk, mut request) = (desk(), request(1, 0, 1, 400));
    change(&mut request, &mut desk);
    let free = desk.free();
    assert_eq!(desk.quote(&request, BUYER, NOW), Err(expected));
    assert_eq!(desk.free(), free);
}

#[test]
fn a_desk_says_why_it_refuses() {
    check_refused(|_, desk| desk.pause(true), Refusal::Paused);
    check_refused(|request, _| request.kind = Kind::Site, Refusal::Kind { kind: Kind::Site });
    check_refused(|request, _| request.isolation = Isolation::Vm, Refusal::Isolation { strongest: Isolation::Wasm });
    check_refused(|request, _| request.resources = cpu(1_001), Refusal::Full { free: cpu(1_000) });
    check_refused(|request, _| request.max_rate = Amount(399), Refusal::Rate { per_hour: Amount(400) });
    check_refused(|request, _| request.own = true, Refusal::NotOwn);
    check_refused(
        |_, desk| {
            desk.quote(&request(1, 0, 2, 1), BUYER, NOW).unwrap();
        },
        Refusal::Superseded { known: 2 },
    );
}

#[test]
fn one_buyer_may_not_hold_every_place() {
    let mut desk = desk();
    let limit = RESERVATIONS_PER_BUYER as u32;
    for slot in 0..limit {
        // However many deployments it spreads them over.
        desk.quote(&request(slot as u8 % 3, slot, 1, 1), BUYER, NOW).unwrap();
    }
    assert_eq!(desk.quote(&request(1, limit, 1, 1), BUYER, NOW), Err(Refusal::Busy { open: limit }));
    let other = Buyer { account: AccountId([3; 32]), ..BUYER };
    desk.quote(&request(4, 0, 1, 1), other, NOW).unwrap();
    // A slot that has a reservation may still renew it.
    desk.quote(&request(0, 0, 2, 1), BUYER, NOW).unwrap();
    // What has lapsed no longer counts.
    desk.final_block(Time(NOW.0 + QUOTE_LIFE.0 + 1));
    desk.quote(&request(1, limit, 1, 1), BUYER, NOW).unwrap();
}

#[test]
fn nobody_holds_more_than_he_could_pay_for() {
    let mut desk = desk();
    let poor = Buyer { rate: Amount(2_500_000), ..BUYER };
    for slot in 0..2 {
        desk.quote(&request(1, slot, 1, 1), poor, NOW).unwrap();
    }
    let refused = Refusal::Means { rate: Amount(3_000_000), affords: Amount(2_500_000) };
    assert_eq!(desk.quote(&request(2, 0, 1, 1), poor, NOW), Err(refused));
    // The same place again costs no more.
    desk.quote(&request(1, 0, 2, 1), poor, NOW).unwrap();
    let nobody = Buyer { account: AccountId([3; 32]), rate: Amount::ZERO };
    assert!(matches!(desk.quote(&request(3, 0, 1, 1), nobody, NOW), Err(Refusal::Means { .. })));
    assert_eq!(desk.reservations(), 2);
}

#[test]
fn own_capacity_is_free_whatever_is_asked() {
    let mut desk = desk();
    for own in [true, false] {
        let mut request = request(1, u32::from(own), 1, 400);
        (request.own, request.max_rate) = (own, Amount(0));
        let quote = desk.quote(&request, OWN, NOW).unwrap();
        assert_eq!((quote.terms.prices, quote.terms.max_rate), (Prices::default(), Amount::ZERO));
    }
}

#[test]
fn a_lease_uses_up_its_reservation_and_gives_back_at_its_end() {
    let mut desk = desk();
    let quote = desk.quote(&request(1, 0, 1, 400), BUYER, NOW).unwrap();
    open(&mut desk, 9, &quote).unwrap();
    open(&mut desk, 9, &quote).unwrap();
    assert_eq!((desk.free(), desk.reservations()), (cpu(600), 0));
    desk.final_block(Time(u64::MAX));
    assert_eq!(desk.free(), cpu(600));
    desk.closed(&LeaseId([9; 32]));
    desk.closed(&LeaseId([9; 32]));
    assert_eq!(desk.free(), cpu(1_000));
}

#[test]
fn a_newer_generation_takes_the_place_of_the_older_without_second_capacity() {
    let mut desk = desk();
    let first = desk.quote(&request(1, 0, 1, 800), BUYER, NOW).unwrap();
    open(&mut desk, 1, &first).unwrap();
    let second = desk.quote(&request(1, 0, 2, 900), BUYER, NOW).unwrap();
    assert_eq!(desk.free(), cpu(100));
    open(&mut desk, 2, &second).unwrap();
    desk.closed(&LeaseId([1; 32]));
    assert_eq!(desk.free(), cpu(100));
    let late = open(&mut desk, 1, &first).unwrap_err();
    assert_eq!(late, OpenError::Superseded { lease: LeaseId([1; 32]), generation: 1, known: 2 });
}

#[test]
fn a_lease_that_outlived_its_reservation_finds_no_room_in_a_full_house() {
    let mut desk = desk();
    let quote = desk.quote(&request(1, 0, 1, 800), BUYER, NOW).unwrap();
    desk.final_block(Time(u64::MAX));
    let other = desk.quote(&request(2, 0, 1, 800), BUYER, NOW).unwrap();
    assert_eq!(open(&mut desk, 1, &quote), Err(OpenError::NoRoom { lease: LeaseId([1; 32]) }));
    open(&mut desk, 2, &other).unwrap();
    let mut foreign = quote;
    foreign.terms.provider = PeerId([9; 32]);
    let refused = OpenError::Foreign { lease: LeaseId([3; 32]), provider: PeerId([9; 32]) };
    assert_eq!(open(&mut desk, 3, &foreign), Err(refused));
}

#[test]
fn sheets_and_deltas_are_numbered_upwards() {
    let mut desk = desk();
    desk.quote(&request(1, 0, 1, 400), BUYER, NOW).unwrap();
    let (sheet, next) = (desk.price_sheet(NOW), desk.price_sheet(NOW));
    assert_eq!((sheet.sequence, next.sequence, next.issued, next.capacity), (42, 43, NOW, cpu(1_000)));
    desk.pause(true);
    let (delta, next) = (desk.delta(NOW), desk.delta(NOW));
    assert_eq!((delta.free, delta.paused, delta.sequence, next.sequence), (cpu(600), true, NOW.0, NOW.0 + 1));
}

#[derive(Debug, Clone)]
enum Step {
    Quote { deployment: u8, slot: u32, generation: u64, millis: u32 },
    Open { pick: usize, lease: u8 },
    Close { lease: u8 },
    Pass { millis: u64 },
}

fn steps() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0_u8..3, 0_u32..3, 0_u64..4, 0_u32..600)
            .prop_map(|(deployment, slot, generation, millis)| Step::Quote { deployment, slot, generation, millis }),
        3 => (any::<usize>(), any::<u8>()).prop_map(|(pick, lease)| Step::Open { pick, lease }),
        2 => any::<u8>().prop_map(|lease| Step::Close { lease: lease % 16 }),
        1 => (0_u64..20_000).prop_map(|millis| Step::Pass { millis }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// What runs, as the world sees it, with what is promised by quotes that still count, never exceeds capacity.
    #[test]
    fn capacity_is_never_oversold(steps in prop::collection::vec(steps(), 0..200)) {
        let (mut desk, mut now) = (desk(), NOW);
        let mut promised: BTreeMap<(DeploymentId, u32), Quote> = BTreeMap::new();
        let mut running: BTreeMap<(DeploymentId, u32), (LeaseId, u64, u32)> = BTreeMap::new();
        for step in steps {
            match step {
                Step::Quote { deployment, slot, generation, millis } => {
                    if let Ok(quote) = desk.quote(&request(deployment, slot, generation, millis), BUYER, now) {
                        prop_assert_eq!(quote.terms.resources, cpu(millis));
                        promised.insert((quote.deployment, quote.slot), quote);
                    }
                }
                Step::Open { pick, lease } => {
                    let quote = promised.values().nth(pick % promised.len().max(1)).cloned();
                    let lease = LeaseId([lease % 16; 32]);
                    if let Some(quote) = quote && running.values().all(|(known, ..)| *known != lease) {
                        let slot = (quote.deployment, quote.slot);
                        prop_assert_eq!(
                            desk.opened(lease, quote.deployment, quote.slot, quote.generation, &quote.terms),
                            Ok(())
                        );
                        running.insert(slot, (lease, quote.generation, quote.terms.resources.cpu_millis));
                        promised.remove(&slot);
                    }
                }
                Step::Close { lease } => {
                    desk.closed(&LeaseId([lease; 32]));
                    running.retain(|_, (known, ..)| *known != LeaseId([lease; 32]));
                }
                Step::Pass { millis } => {
                    now = Time(now.0 + millis);
                    desk.final_block(now);
                    promised.retain(|_, quote| quote.valid_until >= now);
                }
            }
            let slots = promised.keys().chain(running.keys()).collect::<std::collections::BTreeSet<_>>();
            let held: u32 = slots
                .into_iter()
                .map(|slot| {
                    let runs = running.get(slot).map_or(0, |(_, _, millis)| *millis);
                    runs.max(promised.get(slot).map_or(0, |quote| quote.terms.resources.cpu_millis))
                })
                .sum();
            prop_assert!(held <= 1_000);
            prop_assert_eq!(desk.free(), cpu(1_000 - held));
            prop_assert_eq!(desk.reservations(), promised.len());
        }
    }
}
