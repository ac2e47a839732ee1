//! A bill is the same however its receipts came to the ledger: in any order, any number of times, with any of them lost but
//! the last; and whatever the treasury keeps of it.

use grange_ledger::{Lease, Parameters};
use grange_types::{Amount, LeaseId, Millis, Receipt};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::world::{World, account, genesis, served, terms};

/// A world in which a lease of a credit for a thousand seconds has run for half an hour.
fn world(settlement_fee: u16) -> (World, LeaseId) {
    let mut world = World::with(genesis(Parameters { settlement_fee, ..Parameters::dev() }));
    let rate = "3.6".parse().unwrap();
    let app = world.open("alice", "app", Amount::credits(10), 1, rate, &[("steward", Amount::credits(5))]).unwrap();
    let quote = world.seal("north.node", world.quote(app, 0, 1, terms("north", rate)));
    let lease = world.lease("alice", quote, None).unwrap();
    world.wait(Millis::minutes(30));
    (world, lease)
}

/// Receipts that grow, by two payers: who signs, what is granted and what is disputed of each.
fn receipts(lease: LeaseId, steps: &[(bool, u64, u64)]) -> Vec<(&'static str, Receipt)> {
    let rate: Amount = "3.6".parse().unwrap();
    let mut millis = 0;
    let receipt = |(sequence, (owner, more, disputed)): (u64, &(bool, u64, u64))| {
        millis += more;
        let counters = served(Millis(millis));
        let amount = rate.scaled(u128::from(millis), u128::from(Millis::HOUR.0));
        let disputed = Amount(u128::from(*disputed));
        let signer = if *owner { "alice" } else { "steward" };
        (signer, Receipt { lease, generation: 1, sequence, counters, amount, disputed })
    };
    (1..).zip(steps).map(receipt).collect()
}

/// What a bill comes to: the lease, what the provider has, what the treasury has.
fn outcome(world: &mut World, lease: LeaseId) -> (Lease, Amount, Amount) {
    world.commit();
    let view = world.ledger.view();
    (view.lease(lease).unwrap().clone(), view.balance(account("north")), view.treasury())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_order_any_number_of_times_any_loss(
        fee in prop_oneof![Just(0), 0u16..=10_000],
        steps in vec((any::<bool>(), 1u64..40_000, prop_oneof![Just(0), 0u64..1_000_000_000_000]), 1..12),
        arrivals in vec((any::<prop::sample::Index>(), any::<bool>()), 0..40),
    ) {
        let (mut direct, lease) = world(fee);
        let all = receipts(lease, &steps);
        let last = all.last().unwrap();
        let signed = direct.seal(last.0, last.1.clone());
        direct.settle("north", signed).unwrap();
        let expected = outcome(&mut direct, lease);

        let (mut lossy, same) = world(fee);
        prop_assert_eq!(lease, same);
        for (which, block) in arrivals {
            let (signer, receipt) = &all[which.index(all.len())];
            let signed = lossy.seal(signer, receipt.clone());
            // What comes too late is refused, and changes nothing.
            let _ = lossy.settle("bob", signed);
            if block {
                lossy.commit();
            }
        }
        let signed = lossy.seal(last.0, last.1.clone());
        let _ = lossy.settle("north", signed);
        prop_assert_eq!(outcome(&mut lossy, lease), expected);
    }

    /// Payers who do not hear of each other number as they like, and count other things.
    #[test]
    fn the_largest_amount_whatever_the_numbers_and_counters(
        steps in vec((any::<bool>(), 1u64..40_000, Just(0u64)), 1..12),
        others in vec((1u64..1_000, 0u64..50), 12),
        arrivals in vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let (mut world, lease) = world(0);
        let mut all = receipts(lease, &steps);
        for ((_, receipt), (sequence, requests)) in all.iter_mut().zip(others) {
            (receipt.sequence, receipt.counters.requests) = (sequence, requests);
        }
        let last = all.len() - 1;
        let mut largest = Amount::ZERO;
        for which in arrivals.iter().map(|which| which.index(all.len())).chain([last]) {
            let (signer, receipt) = &all[which];
            let signed = world.seal(signer, receipt.clone());
            let paid = world.settle("bob", signed).is_ok();
            prop_assert_eq!(paid, receipt.amount > largest, "nothing is disputed, so only more is news");
            largest = largest.max(receipt.amount);
            world.commit();
        }
        let (settled, north, _) = outcome(&mut world, lease);
        prop_assert_eq!((settled.settled, north), (largest, Amount::credits(1_000).saturating_add(largest)));
        prop_assert_eq!(largest, all[last].1.amount);
    }
}

#[test]
fn the_treasury_keeps_its_part_of_all_that_was_paid_however_often() {
    let (mut once, lease) = world(333);
    let (_, receipt) = receipts(lease, &[(true, 100_003, 0)]).pop().unwrap();
    let signed = once.seal("alice", receipt);
    once.settle("north", signed).unwrap();
    let (settled, north, treasury) = outcome(&mut once, lease);
    assert_eq!(settled.settled, "0.100003".parse().unwrap());
    assert_eq!(treasury, "0.003330099900".parse().unwrap());
    assert_eq!(north, Amount::credits(1_000).saturating_add(settled.settled).saturating_sub(treasury));
    let (mut often, lease) = world(333);
    for (signer, receipt) in receipts(lease, &[(true, 7, 0); 101]).into_iter().take(100) {
        let signed = often.seal(signer, receipt);
        often.settle("north", signed).unwrap();
        often.commit();
    }
    let rest = receipts(lease, &[(true, 100_003, 0)]).pop().unwrap().1;
    let signed = often.seal("alice", Receipt { sequence: 200, ..rest });
    often.settle("north", signed).unwrap();
    let (_, often_north, often_treasury) = outcome(&mut often, lease);
    assert_eq!((often_north, often_treasury), (north, treasury));
}
