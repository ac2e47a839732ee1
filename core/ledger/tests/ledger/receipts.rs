//! Several receipts in one transaction: all are paid, or none.

use grange_ledger::{Action, Rejection};
use grange_types::{Amount, LeaseId, Millis, Receipt, Signed, limits};

use crate::world::{World, credits, terms};

/// Two leases of alice's node for bob, which have run for ten seconds at 3.6 credits an hour.
fn leased() -> (World, [LeaseId; 2]) {
    let mut world = World::new();
    let rate = credits("3.6");
    let app = world.open("bob", "app", Amount::credits(100), 2, rate, &[]).unwrap();
    let leases = [0, 1].map(|slot| {
        let quote = world.seal("alice.node", world.quote(app, slot, 1, terms("alice", rate)));
        world.lease("bob", quote, None).unwrap()
    });
    world.wait(Millis::seconds(10));
    (world, leases)
}

fn receipt(world: &World, signer: &str, lease: LeaseId, sequence: u64) -> Signed<Receipt> {
    world.seal(signer, world.receipt(lease, 1, sequence, Millis::seconds(10), credits("0.01")))
}

fn settled(world: &World, leases: [LeaseId; 2]) -> [Amount; 2] {
    leases.map(|lease| world.ledger.view().lease(lease).unwrap().settled)
}

#[test]
fn receipts_that_come_together_are_paid_together() {
    let (mut world, leases) = leased();
    let receipts = leases.map(|lease| receipt(&world, "bob", lease, 1)).to_vec();
    world.act("alice", Action::SettleMany { receipts }).unwrap();
    world.commit();
    assert_eq!(settled(&world, leases), [credits("0.01"); 2]);
}

#[test]
fn one_that_does_not_count_keeps_the_others_from_being_paid() {
    let (mut world, leases) = leased();
    let good = receipt(&world, "bob", leases[0], 1);
    world.act("alice", Action::SettleMany { receipts: vec![good.clone()] }).unwrap();
    world.commit();
    // The first was paid before.
    let receipts = vec![receipt(&world, "bob", leases[1], 1), good];
    let again = world.act("alice", Action::SettleMany { receipts });
    assert_eq!(again, Err(Rejection::AlreadySettled { lease: leases[0], sequence: 1 }));
    // Nobody but the payer grants anything.
    let receipts = vec![receipt(&world, "bob", leases[1], 1), receipt(&world, "south", leases[0], 2)];
    assert!(world.act("alice", Action::SettleMany { receipts }).is_err());
    // What was altered after it was signed is found, wherever in the list it stands.
    let mut forged = receipt(&world, "bob", leases[0], 2);
    forged.body.sequence = 3;
    let receipts = vec![receipt(&world, "bob", leases[1], 1), forged];
    let transaction = world.envelope("alice", "alice", Action::SettleMany { receipts });
    assert!(matches!(world.ledger.check(&transaction, world.time), Err(Rejection::Inner { what: "receipt", .. })));
    assert!(matches!(world.ledger.verify(&transaction, world.time), Err(Rejection::Inner { what: "receipt", .. })));
    world.commit();
    assert_eq!(settled(&world, leases), [credits("0.01"), Amount::ZERO]);
}

#[test]
fn a_transaction_settles_some_receipts_and_not_too_many() {
    let (mut world, leases) = leased();
    let one = receipt(&world, "bob", leases[0], 1);
    for count in [0, limits::RECEIPTS + 1] {
        let receipts = vec![one.clone(); count];
        let refused = world.act("alice", Action::SettleMany { receipts });
        assert_eq!(refused, Err(Rejection::ReceiptCount { count }));
    }
}

#[test]
fn a_number_that_leaves_no_room_is_not_let_in_and_breaks_no_block() {
    let (mut world, leases) = leased();
    let receipts = vec![receipt(&world, "bob", leases[0], u64::MAX)];
    let leaps = |refused: Result<_, Rejection>| {
        assert!(matches!(refused, Err(Rejection::ReceiptLeaps { theirs: u64::MAX, .. })), "{refused:?}");
    };
    let transaction = world.envelope("alice", "alice", Action::SettleMany { receipts });
    leaps(world.ledger.check(&transaction, world.time));
    leaps(world.ledger.verify(&transaction, world.time));
    // A lease that may still come leaves no more room.
    let early = Receipt { lease: LeaseId([7; 32]), ..receipt(&world, "bob", leases[0], u64::MAX).body };
    let early = Action::Settle { receipt: Box::new(world.seal("bob", early)) };
    let early = world.envelope("alice", "alice", early);
    leaps(world.ledger.verify(&early, world.time));
    // By the ledger's own clock, which stands at the last block.
    let elapsed = world.ledger.view().elapsed(world.ledger.view().lease(leases[0]).unwrap());
    let latest = Receipt::latest(elapsed);
    let receipts = vec![receipt(&world, "bob", leases[0], latest)];
    let last = world.envelope("alice", "alice", Action::SettleMany { receipts });
    world.ledger.check(&last, world.time).unwrap();
    // Who builds a block of it all the same has built a valid one: others must come to the same state as ever.
    let mut candidates = [(transaction.id(), &transaction)].into_iter();
    let built = world.ledger.build(world.time, crate::world::node("north"), &mut candidates).unwrap();
    assert_eq!(built.block.transactions.len(), 1);
    world.ledger.prepare(built.block, &|_, _| false).unwrap();
}
