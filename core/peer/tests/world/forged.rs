//! Transactions whose envelope is good and whose inside is forged: what no rule may take, whoever passes them on.

use grange_api::Call;
use grange_ledger::{Action, Lease, Transaction};
use grange_peer::{Batch, Channel, Event, MarketMessage};
use grange_types::{Amount, Counters, LeaseId, Millis, Quote, Receipt, Signed, Wire};

use crate::support::{World, manifest};

/// Hands a transaction to every validator, as a peer does that passes on what it was given.
pub(crate) fn pass_on(world: &mut World, from: usize, action: Action) {
    let body = Transaction { account: world.peer_id(from).account(), nonce: world.now.0, action };
    let network = world.peer(0).ledger().network();
    let expires = world.peer(0).ledger().time().after(Millis::minutes(1));
    let transaction = Signed::seal(network, &world.key(from), expires, body);
    let bytes = Batch { transactions: vec![transaction] }.encode();
    let from = world.peer_id(from);
    for to in 0..4 {
        let bytes = bytes.clone();
        world.deliver(to, Millis(1), Event::Message { from, channel: Channel::Transactions, bytes });
    }
}

#[test]
fn a_receipt_that_its_payer_did_not_sign_pays_nothing() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    world.run_for(Millis::seconds(2));
    let lease = world.peer(0).ledger().view().lease(id).cloned().unwrap();
    let counters = Counters { served: Millis::seconds(1), requests: 90_000, ..lease.counters };
    let amount = lease.terms.amount(&counters, Millis::seconds(2));
    assert!(amount > lease.settled && amount > Amount::ZERO);
    let receipt =
        Receipt { lease: id, generation: lease.generation, sequence: 1_000, counters, amount, disputed: Amount::ZERO };
    let network = world.peer(0).ledger().network();
    let expires = world.peer(0).ledger().time().after(Millis::HOUR);
    let own = Signed::seal(network, &world.key(provider), expires, receipt);
    let forged = Signed { signer: world.key(0).public(), ..own };
    pass_on(&mut world, provider, Action::Settle { receipt: Box::new(forged) });
    world.run_for(Millis::seconds(5));
    let lease = world.peer(0).ledger().view().lease(id).cloned().unwrap();
    assert!(lease.sequence < 1_000 && lease.counters.requests == 0, "{lease:?}");
}

#[test]
fn a_quote_that_its_provider_did_not_sign_leases_nothing() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (lease, deployment) = (done.leases[0].lease, done.id);
    let present = world.peer(0).ledger().view().lease(lease).cloned().unwrap();
    let (slot, generation) = (present.slot, present.generation + 1);
    let valid_until = world.peer(0).ledger().time().after(Millis::minutes(1));
    let quote = Quote { deployment, slot, generation, terms: present.terms.clone(), valid_until, nonce: 7 };
    let network = world.peer(0).ledger().network();
    let own = Signed::seal(network, &world.key(0), valid_until, quote);
    let forged = Signed { signer: present.terms.provider.into(), ..own };
    pass_on(&mut world, 0, Action::OpenLease { quote: Box::new(forged), replaces: Some(lease) });
    world.run_for(Millis::seconds(5));
    let slot = world.peer(0).ledger().view().deployment(deployment).unwrap().slots[0].clone();
    assert_eq!((slot.lease, slot.generation), (Some(lease), 1));
}

/// A steward's receipt for a second more than what was paid before, under a number of its choice.
fn numbered(world: &World, lease: LeaseId, steward: usize, sequence: u64) -> Signed<Receipt> {
    let lease = world.peer(0).ledger().view().lease(lease).cloned().unwrap();
    let Lease { id, generation, counters, settled, held, terms, .. } = lease;
    let counters = Counters { served: Millis(counters.served.0 + 1_000), ..counters };
    let amount = terms.prices.charge(&terms.resources, &counters).max(settled);
    let receipt = Receipt { lease: id, generation, sequence, counters, amount, disputed: held };
    let ledger = world.peer(0).ledger();
    Signed::seal(ledger.network(), &world.key(steward), ledger.time().after(Millis::HOUR), receipt)
}

/// Tells everybody a receipt, and hands it in.
fn tell(world: &mut World, steward: usize, receipt: &Signed<Receipt>) {
    let from = world.peer_id(steward);
    for to in (0..4).filter(|to| *to != steward) {
        let bytes = MarketMessage::Receipt(receipt.clone()).encode();
        world.deliver(to, Millis(1), Event::Message { from, channel: Channel::Steward, bytes });
    }
    pass_on(world, steward, Action::Settle { receipt: Box::new(receipt.clone()) });
}

#[test]
fn a_number_without_room_after_it_is_taken_by_nobody() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    world.run_for(Millis::seconds(30));
    let steward = (1..4).find(|index| *index != provider).unwrap();
    let lease = |world: &World| world.peer(0).ledger().view().lease(id).cloned().unwrap();
    for sequence in [u64::MAX, u64::MAX - 1, 1 << 40] {
        let receipt = numbered(&world, id, steward, sequence);
        tell(&mut world, steward, &receipt);
        world.run_for(Millis::seconds(30));
    }
    assert!(lease(&world).sequence < 1_000, "{:?}", lease(&world));
    let bytes = {
        let receipt = Box::new(numbered(&world, id, steward, u64::MAX));
        let body =
            Transaction { account: world.peer_id(steward).account(), nonce: 5, action: Action::Settle { receipt } };
        let ledger = world.peer(0).ledger();
        Signed::seal(ledger.network(), &world.key(steward), ledger.time().after(Millis::minutes(1)), body).encode()
    };
    let refused = world.ask(steward, Call::SubmitTransaction { bytes }).unwrap_err();
    assert!(refused.message.contains("leaps beyond"), "{refused:?}");
    // A leap that leaves room is harmless, also one that no provider takes and only the ledger is told of: all go on from there.
    let leap = Receipt::latest(Millis::HOUR);
    let receipt = numbered(&world, id, steward, leap);
    pass_on(&mut world, steward, Action::Settle { receipt: Box::new(receipt) });
    world.run_for(Millis::seconds(5));
    let before = lease(&world);
    assert_eq!(before.sequence, leap);
    world.run_for(Millis::minutes(3));
    let after = lease(&world);
    assert!(after.sequence > leap && after.sequence < leap + 1_000 && after.is_open(world.now), "{after:?}");
    let paid = after.counters.served.0 - before.counters.served.0;
    assert!(paid > 160_000, "{paid} ms of three minutes");
}
