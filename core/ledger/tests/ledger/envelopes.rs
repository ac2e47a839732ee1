//! Envelopes that are foreign, altered, replayed or expired: outside and inside a transaction.

use grange_ledger::{Action, BlockError, Rejection, RejectionKind};
use grange_types::{Amount, EnvelopeError, Millis, NetworkId, Receipt, Signed, Time};

use crate::world::{World, account, credits, key, terms};

fn transfer() -> Action {
    Action::Transfer { to: account("bob"), amount: Amount::credits(1), memo: String::new() }
}

/// Checks a transaction at admission and in a block that another node made, which must agree.
#[track_caller]
fn refused(world: &World, transaction: &Signed<grange_ledger::Transaction>) -> Rejection {
    let at_admission = world.ledger.check(transaction, world.time).unwrap_err();
    let prepared = world.ledger.build(world.time, world_node(), &mut core::iter::empty()).unwrap();
    let mut block = prepared.block;
    block.transactions.push(transaction.clone());
    match world.ledger.prepare(block, &|_, _| false).unwrap_err() {
        BlockError::Transaction { index: 0, source, .. } => assert_eq!(source, at_admission),
        other => panic!("{other:?}"),
    }
    at_admission
}

fn world_node() -> grange_types::PeerId {
    crate::world::node("north")
}

#[test]
fn a_foreign_network_is_named() {
    let mut world = World::new();
    let mut transaction = world.envelope("alice", "alice", transfer());
    let foreign = NetworkId([7; 32]);
    transaction = Signed::seal(foreign, &key("alice"), transaction.expires, transaction.body);
    let rejection = refused(&world, &transaction);
    let expected = EnvelopeError::ForeignNetwork { theirs: foreign, ours: world.ledger.network() };
    assert_eq!(rejection, Rejection::Envelope(expected));
    assert_eq!(rejection.kind(), RejectionKind::Denied);
    // Renaming the network without signing anew is an alteration.
    transaction.network = world.ledger.network();
    assert!(matches!(refused(&world, &transaction), Rejection::Envelope(EnvelopeError::BadSignature { .. })));
}

#[test]
fn any_alteration_breaks_the_signature() {
    let mut world = World::new();
    let transaction = world.envelope("alice", "alice", transfer());
    assert!(world.ledger.check(&transaction, world.time).is_ok());
    let mut altered = Vec::new();
    let change = |edit: &dyn Fn(&mut Signed<grange_ledger::Transaction>)| {
        let mut copy = transaction.clone();
        edit(&mut copy);
        copy
    };
    altered.push(change(&|copy| {
        copy.body.action = Action::Transfer { to: account("bob"), amount: Amount::credits(2), memo: String::new() };
    }));
    altered.push(change(&|copy| copy.body.nonce += 1));
    altered.push(change(&|copy| copy.expires = copy.expires.after(Millis(1))));
    altered.push(change(&|copy| copy.signature.0[0] ^= 1));
    altered.push(change(&|copy| copy.signature.0[63] ^= 0x80));
    for altered in altered {
        assert!(matches!(refused(&world, &altered), Rejection::Envelope(EnvelopeError::BadSignature { .. })));
    }
    let other = change(&|copy| copy.signer = key("bob").public());
    // Bob's key is also not Alice's; whichever is found first, it does not pass.
    assert!(matches!(refused(&world, &other), Rejection::Envelope(EnvelopeError::BadSignature { .. })));
}

#[test]
fn an_expired_transaction_is_refused_and_so_is_one_that_would_live_too_long() {
    let mut world = World::new();
    let body = world.envelope("alice", "alice", transfer()).body;
    let at = |expires: Time, world: &World| Signed::seal(world.ledger.network(), &key("alice"), expires, body.clone());
    let (now, hour) = (world.time, Millis::HOUR);
    assert!(world.ledger.check(&at(now, &world), now).is_ok());
    assert!(world.ledger.check(&at(now.after(hour), &world), now).is_ok());
    let rejection = refused(&world, &at(Time(now.0 - 1), &world));
    assert_eq!(rejection.kind(), RejectionKind::Expired);
    let expires = now.after(hour).after(Millis(1));
    let rejection = refused(&world, &at(expires, &world));
    assert_eq!(rejection, Rejection::ExpiryTooFar { expires, latest: now.after(hour) });
}

#[test]
fn a_transaction_applies_once() {
    let mut world = World::new();
    let transaction = world.envelope("alice", "alice", transfer());
    let id = world.offer(transaction.clone()).unwrap();
    // In the same block, in the next, and in any until it expires.
    assert_eq!(world.offer(transaction.clone()), Err(Rejection::Replayed { id }));
    world.wait(Millis::seconds(1));
    assert!(world.ledger.view().has_applied(&id, transaction.expires));
    assert_eq!(refused(&world, &transaction), Rejection::Replayed { id });
    world.wait(Millis::seconds(598));
    assert_eq!(refused(&world, &transaction), Rejection::Replayed { id });
    world.wait(Millis::seconds(2));
    assert_eq!(refused(&world, &transaction).kind(), RejectionKind::Expired);
    // Once its second is over, its id is forgotten.
    world.commit();
    assert!(!world.ledger.view().has_applied(&id, transaction.expires));
    assert_eq!(world.ledger.view().balance(account("bob")), Amount::credits(1_001));
    // The same wish with another nonce is another transaction.
    world.wait(Millis::seconds(1));
    let again = world.envelope("alice", "alice", transfer());
    world.offer(again).unwrap();
}

#[test]
fn a_second_signature_over_the_same_statement_is_the_same_transaction() {
    let mut world = World::new();
    let transaction = world.envelope("alice", "alice", transfer());
    let id = world.offer(transaction.clone()).unwrap();
    world.wait(Millis::seconds(1));
    let mut forged = transaction;
    forged.signature.0[5] ^= 1;
    assert_eq!(refused(&world, &forged), Rejection::Replayed { id });
}

#[test]
fn a_quote_is_refused_when_expired_altered_or_foreign() {
    let mut world = World::new();
    let rate = credits("3.6");
    let app = world.open("alice", "app", Amount::credits(10), 1, rate, &[]).unwrap();
    world.wait(Millis::seconds(1));
    let quote = world.quote(app, 0, 1, terms("north", rate));
    let good = world.seal("north.node", quote.clone());

    let mut altered = good.clone();
    altered.body.terms.max_rate = credits("3.5");
    let inner = |rejection: Rejection| match rejection {
        Rejection::Inner { what: "quote", source } => source,
        other => panic!("{other:?}"),
    };
    let open = |world: &mut World, quote: &Signed<grange_types::Quote>| {
        let action = Action::OpenLease { quote: Box::new(quote.clone()), replaces: None };
        let transaction = world.envelope("alice", "alice", action);
        refused(world, &transaction)
    };
    assert!(matches!(inner(open(&mut world, &altered)), EnvelopeError::BadSignature { .. }));
    let foreign = Signed::seal(NetworkId([9; 32]), &key("north.node"), good.expires, quote.clone());
    assert!(matches!(inner(open(&mut world, &foreign)), EnvelopeError::ForeignNetwork { .. }));
    let short = Signed::seal(world.ledger.network(), &key("north.node"), Time(world.time.0 - 1), quote.clone());
    assert!(matches!(inner(open(&mut world, &short)), EnvelopeError::Expired { .. }));
    let other = world.seal("south.node", quote);
    assert!(matches!(open(&mut world, &other), Rejection::QuoteSigner { .. }));

    // At its last instant it counts, one millisecond later it does not.
    world.wait(Millis(30_000));
    world.lease("alice", good.clone(), None).unwrap();
    world.pending.clear();
    world.wait(Millis(1));
    let rejection = open(&mut world, &good);
    assert_eq!(rejection, Rejection::QuoteExpired { valid_until: good.body.valid_until, time: world.time });
}

#[test]
fn a_receipt_is_refused_when_expired_altered_or_foreign() {
    let mut world = World::new();
    let rate = credits("3.6");
    let app = world.open("alice", "app", Amount::credits(10), 1, rate, &[]).unwrap();
    let quote = world.seal("north.node", world.quote(app, 0, 1, terms("north", rate)));
    let lease = world.lease("alice", quote, None).unwrap();
    world.wait(Millis::seconds(11));
    let receipt = world.receipt(lease, 1, 1, Millis::seconds(10), credits("0.01"));
    let good = world.seal("alice", receipt.clone());
    let settle = |world: &mut World, receipt: &Signed<Receipt>| {
        let transaction = world.envelope("north", "north", Action::Settle { receipt: Box::new(receipt.clone()) });
        match refused(world, &transaction) {
            Rejection::Inner { what: "receipt", source } => source,
            other => panic!("{other:?}"),
        }
    };
    let mut altered = good.clone();
    altered.body.amount = credits("0.009");
    assert!(matches!(settle(&mut world, &altered), EnvelopeError::BadSignature { .. }));
    let foreign = Signed::seal(NetworkId([9; 32]), &key("alice"), good.expires, receipt.clone());
    assert!(matches!(settle(&mut world, &foreign), EnvelopeError::ForeignNetwork { .. }));
    let short = Signed::seal(world.ledger.network(), &key("alice"), Time(world.time.0 - 1), receipt);
    assert!(matches!(settle(&mut world, &short), EnvelopeError::Expired { .. }));
    world.settle("north", good).unwrap();
}
