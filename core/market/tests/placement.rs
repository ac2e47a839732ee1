//! Placement: which slots are due, and whom they are offered.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use grange_market::{Health, Held, Need, OfferIndex, SlotNeed, Trust, due, place};
use grange_types::{
    AccountId, Amount, BlobId, ByteCount, Isolation, Kind, LeaseId, PeerId, PriceSheet, Prices, Region, Resources, Time,
};

const NOW: Time = Time(1_000);
const SMALL: Resources = Resources { cpu_millis: 100, memory: ByteCount(0), disk: ByteCount(0) };

fn slot(number: u32, service: &str, depends_on: &[&str]) -> SlotNeed {
    SlotNeed {
        slot: number,
        service: service.into(),
        revision: BlobId([1; 32]),
        need: Need::new(AccountId([99; 32]), Kind::Wasm, SMALL),
        depends_on: depends_on.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// A lease of a slot with provider and operator of one number.
fn held(slot: u32, provider: u8, health: Health) -> Held {
    Held {
        slot,
        lease: LeaseId([slot as u8; 32]),
        provider: PeerId([provider; 32]),
        operator: AccountId([provider; 32]),
        revision: BlobId([1; 32]),
        health,
    }
}

/// Offers as (provider, operator), the first the cheapest.
fn index(offers: &[(u8, u8)]) -> OfferIndex {
    let mut index = OfferIndex::new(100);
    for (place, (provider, operator)) in (1..).zip(offers) {
        let sheet = PriceSheet {
            provider: PeerId([*provider; 32]),
            operator: AccountId([*operator; 32]),
            display: String::new(),
            region: Region::try_from("eu".to_owned()).unwrap(),
            kinds: vec![Kind::Wasm],
            isolation: Isolation::Wasm,
            prices: Prices { cpu_hour: Amount(place * 1_000), ..Prices::default() },
            capacity: SMALL,
            sequence: 1,
            issued: NOW,
        };
        index.insert(sheet, Trust(0), None, NOW).unwrap();
    }
    index
}

#[track_caller]
fn check_due(slots: &[SlotNeed], leases: &[Held], expected: &[u32]) {
    let due: Vec<u32> = due(slots, leases).iter().map(|due| due.slot).collect();
    assert_eq!(due, expected);
}

#[test]
fn a_slot_is_due_without_a_living_lease_of_its_revision() {
    let slots = [slot(1, "b", &[]), slot(0, "a", &[])];
    check_due(&slots, &[], &[0, 1]);
    check_due(&slots, &[held(0, 1, Health::Alive)], &[1]);
    check_due(&slots, &[held(0, 1, Health::Suspect), held(1, 1, Health::Starting)], &[]);
    check_due(&slots, &[held(0, 1, Health::Dead), held(1, 1, Health::Alive)], &[0]);
    let old = Held { revision: BlobId([9; 32]), ..held(0, 1, Health::Alive) };
    check_due(&slots, &[old, held(1, 1, Health::Alive)], &[0]);
}

#[test]
fn a_service_waits_for_those_it_depends_on_but_is_replaced_without_them() {
    let slots = [slot(0, "front", &["entries"]), slot(1, "entries", &[]), slot(2, "entries", &[])];
    check_due(&slots, &[], &[1, 2]);
    check_due(&slots, &[held(1, 1, Health::Starting), held(2, 2, Health::Starting)], &[]);
    check_due(&slots, &[held(1, 1, Health::Alive), held(2, 2, Health::Starting)], &[0]);
    check_due(&slots, &[held(0, 3, Health::Dead), held(1, 1, Health::Dead), held(2, 2, Health::Dead)], &[0, 1, 2]);
}

/// Whom the due slots are offered first, as (slot, provider, shares).
#[track_caller]
fn check_placed(slots: &[SlotNeed], leases: &[Held], offers: &[(u8, u8)], expected: &[(u32, u8, bool)]) {
    let picks = place(&index(offers), slots, leases, 3, NOW);
    let placed: Vec<_> = picks
        .iter()
        .filter_map(|pick| Some((pick.slot, pick.matches.as_ref().ok()?.first()?.provider.0[0], pick.shares)))
        .collect();
    assert_eq!(placed, expected);
}

#[test]
fn siblings_are_kept_apart_as_far_as_there_are_operators() {
    let slots = [slot(0, "a", &[]), slot(1, "a", &[]), slot(2, "a", &[]), slot(3, "b", &[])];
    // Providers 1 and 2 are of one operator.
    check_placed(&slots, &[], &[(1, 1), (2, 1), (3, 3)], &[(0, 1, false), (1, 3, false), (2, 2, true), (3, 1, false)]);
    check_placed(&slots, &[], &[(1, 1)], &[(0, 1, false), (1, 1, true), (2, 1, true), (3, 1, false)]);
    let leases = [held(0, 3, Health::Alive), held(1, 4, Health::Alive)];
    check_placed(&slots, &leases, &[(3, 3), (4, 4), (5, 5)], &[(2, 5, false), (3, 3, false)]);
}

#[test]
fn a_dead_provider_is_not_asked_again_and_its_operator_is_free_for_others() {
    let slots = [slot(0, "a", &[]), slot(1, "a", &[])];
    let leases = [held(0, 1, Health::Dead), held(1, 2, Health::Alive)];
    check_placed(&slots, &leases, &[(1, 1), (2, 2), (3, 3)], &[(0, 3, false)]);
    check_placed(&slots, &leases, &[(1, 1), (2, 2)], &[(0, 2, true)]);
    check_placed(&slots, &leases, &[(1, 1)], &[]);
    let picks = place(&index(&[(1, 1)]), &slots, &leases, 3, NOW);
    assert_eq!(picks[0].replaces, Some(LeaseId([0; 32])));
    let refused = picks[0].matches.as_ref().unwrap_err();
    assert_eq!(refused.to_string(), "no offer: of 1 provider 1 is dead or refused");
}

#[test]
fn a_new_revision_may_stay_where_the_old_one_is() {
    let slots = [slot(0, "a", &[])];
    let old = Held { revision: BlobId([9; 32]), ..held(0, 1, Health::Alive) };
    check_placed(&slots, &[old], &[(1, 1), (2, 2)], &[(0, 1, false)]);
}
