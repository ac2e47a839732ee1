//! Ceilings and credit: what a node's key may pay once the owner's key is another, and when a provider stops.

use grange_api::{Call, ProblemCode, Reply};
use grange_ledger::{Action, Delegate, Deployment, Lease, Parameters, Transaction};
use grange_peer::{Channel, Event, MarketMessage};
use grange_types::{
    Amount, ByteCount, Counters, DeploymentId, KeyGrant, LeaseId, Manifest, Millis, Prices, Receipt, Role, SecretKey,
    Signed, SlotSpec, Time, Wire,
};

use crate::support::{World, credits, manifest};

fn lease(world: &World, id: LeaseId) -> Lease {
    world.peer(1).ledger().view().lease(id).cloned().unwrap()
}

fn deployment(world: &World, id: DeploymentId) -> Deployment {
    world.peer(0).ledger().view().deployment(id).cloned().unwrap()
}

fn is_open(world: &World, id: LeaseId) -> bool {
    let view = world.peer(1).ledger().view();
    view.lease(id).is_some_and(|lease| lease.is_open(view.now()))
}

/// What the first operator's node has spent today.
fn spent(world: &World) -> Amount {
    let key = world.key(0).public();
    world.peer(0).ledger().view().spent_today(key.account(), key)
}

fn sealed(world: &World, index: usize, nonce: u64, action: Action) -> Vec<u8> {
    let key = world.key(index);
    let body = Transaction { account: key.public().account(), nonce, action };
    Signed::seal(world.genesis().network_id(), &key, world.now.after(Millis::minutes(5)), body).encode()
}

/// What `grange identity phrase` does: the owner's key is on paper, the node's may spend so much a day.
pub(crate) fn phrase(world: &mut World, per_day: &str) {
    let owner = KeyGrant { key: SecretKey::from_bytes(&[0x55; 32]).public(), roles: vec![Role::Owner] };
    let spend = Role::Spend { per_day: credits(per_day) };
    let node = KeyGrant { key: world.key(0).public(), roles: vec![Role::Node, spend] };
    let bytes = sealed(world, 0, 1, Action::SetKeys { keys: vec![owner, node] });
    world.ask(0, Call::SubmitTransaction { bytes }).unwrap();
}

/// The same app in another version.
fn version(budget: &str, version: &str) -> Manifest {
    let mut app = manifest("shop", budget);
    app.services.get_mut("web").unwrap().environment = [("VERSION".into(), version.into())].into();
    app
}

#[test]
fn a_node_pays_with_the_money_that_its_day_was_used_for() {
    let mut world = World::new(4);
    world.settle();
    phrase(&mut world, "20");
    let done = world.deploy(0, manifest("shop", "20")).unwrap();
    assert_eq!(spent(&world), credits("20"), "the day is used");
    world.run_for(Millis::seconds(90));
    let first = lease(&world, done.leases[0].lease);
    assert!(first.settled > Amount::ZERO && is_open(&world, first.id), "{first:?}");
    assert!(world.deploy(0, version("20", "2")).unwrap().changed);
    world.run_for(Millis::seconds(90));
    let second = world.peer(0).ledger().view().open_lease_of(done.id, 0).cloned().unwrap();
    assert!(second.generation == 2 && second.settled > Amount::ZERO, "{second:?}");
    assert_eq!(spent(&world), credits("20"));
}

#[test]
fn a_node_updates_what_holds_more_than_its_day_under_the_terms_that_stand() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    phrase(&mut world, "1");
    let before = deployment(&world, done.id);
    // What the next version could cost has risen meanwhile.
    let scaled = |text: &str| credits(text).scaled(13, 10);
    let dear = Prices { cpu_hour: scaled("0.02"), request_million: scaled("0.4"), ..Prices::default() };
    world.ask(3, Call::SetPrices(dear.into())).unwrap();
    world.run_for(Millis::seconds(5));
    let again = world.deploy(0, version("10", "2")).unwrap();
    assert!(again.changed && again.leases[0].generation == 2);
    let after = deployment(&world, done.id);
    assert_eq!(after.slots[0].spec.max_rate, before.slots[0].spec.max_rate);
    assert_eq!((after.delegates, after.uncounted), (before.delegates, before.uncounted));
    world.run_for(Millis::seconds(60));
    assert!(spent(&world) > Amount::ZERO && spent(&world) < credits("0.01"), "what it signs for: {}", spent(&world));
    // One more replica is more than stands: that asks for the owner's key.
    let mut two = version("10", "3");
    two.services.get_mut("web").unwrap().replicas = 2;
    let planned = world.ask(0, Call::Plan { manifest: Box::new(two.clone()) }).unwrap_err();
    for refused in [planned, world.deploy(0, two).unwrap_err()] {
        assert_eq!(refused.code, ProblemCode::LimitReached, "{refused:?}");
        assert!(
            refused.message.contains("another slot") && refused.message.contains("may spend 1 a day"),
            "{refused:?}"
        );
        assert!(refused.remedy.contains("the owner's key") && refused.remedy.contains("device add"), "{refused:?}");
    }
    assert_eq!(deployment(&world, done.id).slots.len(), 1);
}

/// What a stolen key does: everything stays but what it may cost, a thousand times of what was agreed.
fn raise(world: &mut World, id: DeploymentId) {
    let found = deployment(world, id);
    let dear = |amount: Amount| amount.scaled(1_000, 1);
    let slots = found.slots.iter().map(|slot| SlotSpec { max_rate: dear(slot.spec.max_rate), ..slot.spec.clone() });
    let delegates = found.delegates.iter().map(|found| {
        let ceiling_per_day = dear(found.ceiling_per_day);
        Delegate { ceiling_per_day, ..found.clone() }
    });
    let (slots, delegates) = (slots.collect(), delegates.collect());
    let action = Action::UpdateDeployment { deployment: id, manifest: found.manifest, slots, delegates };
    let bytes = sealed(world, 0, 900 + world.now.0, action);
    world.ask(0, Call::SubmitTransaction { bytes }).unwrap();
    world.run_for(Millis::seconds(2));
    assert!(deployment(world, id).slots[0].spec.max_rate > found.slots[0].spec.max_rate);
}

#[test]
fn a_rate_that_a_thief_raised_is_not_kept_by_the_next_version() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let before = deployment(&world, done.id);
    raise(&mut world, done.id);
    // Nothing of it has to move, and what runs does not.
    assert!(world.deploy(0, manifest("shop", "11")).unwrap().changed);
    let after = deployment(&world, done.id);
    assert_eq!((&after.slots, &after.delegates), (&before.slots, &before.delegates));
    raise(&mut world, done.id);
    assert_eq!(world.deploy(0, version("11", "2")).unwrap().leases[0].generation, 2);
    let after = deployment(&world, done.id);
    assert_eq!(after.slots[0].spec.max_rate, before.slots[0].spec.max_rate);
    assert_eq!(after.delegates, before.delegates);
    // Nor by a key that could not answer for the terms that it would write itself.
    raise(&mut world, done.id);
    phrase(&mut world, "0");
    assert!(world.deploy(0, version("11", "3")).unwrap().changed);
    let after = deployment(&world, done.id);
    assert_eq!(after.slots[0].spec.max_rate, before.slots[0].spec.max_rate);
    assert_eq!(after.delegates, before.delegates);
    assert_eq!(spent(&world), Amount::ZERO);
}

#[test]
fn what_may_cost_more_than_its_file_allows_is_placed_anew() {
    let mut world = World::new(4);
    world.settle();
    let app = |budget: &str| {
        let mut app = manifest("shop", budget);
        app.services.get_mut("web").unwrap().placement.price_max = Some(credits("0.05"));
        app
    };
    let done = world.deploy(0, app("10")).unwrap();
    raise(&mut world, done.id);
    // Whoever takes its place is offered what the thief wrote.
    world.kill(world.index_of(done.leases[0].provider));
    let placed = |world: &World| world.peer(0).ledger().view().open_lease_of(done.id, 0).cloned();
    let moved = |world: &World| placed(world).is_some_and(|lease| lease.generation == 2);
    world.until("it runs elsewhere", Millis::seconds(60), moved);
    assert!(placed(&world).unwrap().terms.max_rate > credits("0.05"));
    world.run_for(Millis::seconds(5));
    let again = world.deploy(0, app("11")).unwrap();
    assert_eq!(again.leases[0].generation, 3);
    assert!(placed(&world).unwrap().terms.max_rate <= credits("0.05"));
    assert!(deployment(&world, done.id).slots[0].spec.max_rate <= credits("0.05"));
    assert!(world.deploy(0, app("12")).unwrap().changed);
    assert_eq!(deployment(&world, done.id).slots[0].generation, 3, "within it, it stays");
}

#[test]
fn a_node_whose_day_is_used_leaves_signing_to_the_stewards() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let id = done.leases[0].lease;
    world.run_for(Millis::seconds(30));
    phrase(&mut world, "0");
    let before = lease(&world, id);
    world.run_for(Millis::seconds(180));
    let after = lease(&world, id);
    assert!(is_open(&world, id), "{after:?}");
    let served = Millis(after.counters.served.0 - before.counters.served.0);
    assert!(after.settled > before.settled && served > Millis::seconds(150), "{served:?}");
}

#[test]
fn a_provider_stops_when_the_ledger_does_not_pay_what_is_signed() {
    let mut world = World::voted(4, 1, Parameters::dev(), |config| config.roles.steward = false);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let id = done.leases[0].lease;
    let provider = world.index_of(done.leases[0].provider);
    assert_eq!(provider, 1);
    phrase(&mut world, "0");
    // What is left of it signs on and on, beyond what its key may pay.
    world.kill(0);
    let begun = world.now;
    while is_open(&world, id) {
        world.run_for(Millis(1_000));
        let (key, view) = (world.key(0), world.peer(1).ledger().view());
        let Lease { terms, start, sequence, settled, .. } = lease(&world, id);
        let elapsed = view.now().since(start);
        let counters = Counters { served: elapsed, requests: 0, egress: ByteCount(0) };
        let sequence = sequence + 1_000 + elapsed.0;
        let amount = terms.amount(&counters, elapsed).max(settled);
        let receipt = Receipt { lease: id, generation: 1, sequence, counters, amount, disputed: Amount::ZERO };
        let expires = world.now.after(Millis::HOUR);
        let receipt = Signed::seal(world.genesis().network_id(), &key, expires, receipt);
        let bytes = MarketMessage::Receipt(receipt).encode();
        let from = world.peer_id(0);
        world.deliver(provider, Millis(2), Event::Message { from, channel: Channel::Steward, bytes });
        assert!(world.now.since(begun) < Millis::seconds(120), "it serves on for nothing");
    }
    assert!(world.now.since(begun) > Millis::seconds(40), "no sooner than a credit window");
}

#[test]
fn a_raised_budget_beyond_the_day_of_the_key_changes_nothing() {
    let mut world = World::new(4);
    world.settle();
    phrase(&mut world, "20");
    let first = world.deploy(0, manifest("shop", "15")).unwrap();
    let raised = version("30", "2");
    let planned = world.ask(0, Call::Plan { manifest: Box::new(raised.clone()) }).unwrap_err();
    let refused = world.deploy(0, raised).unwrap_err();
    for problem in [planned, refused] {
        assert_eq!(problem.code, ProblemCode::LimitReached, "{problem:?}");
        assert!(problem.message.contains("may spend 20 a day and has spent 15 today, so not 15 more"), "{problem:?}");
        assert!(problem.remedy.contains("next day"), "{problem:?}");
    }
    world.run_for(Millis::seconds(10));
    let slot = deployment(&world, first.id).slots[0].clone();
    assert_eq!((slot.lease, slot.generation), (Some(first.leases[0].lease), 1), "what ran goes on");
    assert!(world.deploy(0, version("20", "2")).unwrap().changed, "what is left of the day may be added");
}

fn first_steward(world: &World, id: DeploymentId) -> usize {
    let steward = deployment(world, id).stewards().next().map(|steward| steward.account.peer()).unwrap();
    world.index_of(steward)
}

/// What a lease was paid since a time is no more than its time costs.
#[track_caller]
fn paid_for_time(world: &World, before: &Lease, begun: Time) {
    let Lease { terms, settled, .. } = lease(world, before.id);
    let passed = world.now.since(begun).0 + 20_000;
    let most = terms.prices.per_hour(&terms.resources).scaled(passed.into(), Millis::HOUR.0.into());
    let paid = settled.saturating_sub(before.settled);
    assert!(paid > Amount::ZERO && paid <= most, "{paid} were paid, {most} at most were earned");
}

#[test]
fn what_a_steward_counts_for_nothing_nobody_pays() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let id = done.leases[0].lease;
    world.run_for(Millis::seconds(60));
    let steward = first_steward(&world, done.id);
    // It gives away next to no money, so no ceiling stops it; it may come a moment too late for a newer receipt.
    let gives = |world: &mut World, nonce: u64, more: u128| {
        let Lease { sequence, settled, generation, .. } = lease(world, id);
        let counters = Counters { served: Millis(u64::MAX), requests: u64::MAX, egress: ByteCount(u64::MAX) };
        let (sequence, amount) = (sequence + 500, settled.saturating_add(Amount(more)));
        let receipt = Receipt { lease: id, generation, sequence, counters, amount, disputed: Amount::ZERO };
        let expires = world.now.after(Millis::HOUR);
        let receipt = Signed::seal(world.genesis().network_id(), &world.key(steward), expires, receipt);
        let bytes = sealed(world, steward, nonce, Action::Settle { receipt: Box::new(receipt) });
        matches!(world.ask(steward, Call::SubmitTransaction { bytes }), Ok(Reply::Submitted(_)))
    };
    assert!(!(1..10).any(|nonce| gives(&mut world, nonce, 0)), "a receipt that says nothing");
    assert!((10..20).any(|nonce| gives(&mut world, nonce, 1)));
    let (before, begun) = (lease(&world, id), world.now);
    world.run_for(Millis::seconds(300));
    let after = lease(&world, id);
    assert!(after.sequence > before.sequence && is_open(&world, id), "others go on from its number: {after:?}");
    paid_for_time(&world, &before, begun);
}

#[test]
fn what_a_steward_signs_and_the_ledger_has_not_paid_nobody_else_signs() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let id = done.leases[0].lease;
    world.run_for(Millis::seconds(60));
    let steward = first_steward(&world, done.id);
    let (key, from) = (world.key(steward), world.peer_id(steward));
    let (before, begun) = (lease(&world, id), world.now);
    let others = (0..4).filter(|index| ![from, before.terms.provider].contains(&world.peer_id(*index)));
    let others: Vec<usize> = others.collect();
    // As much as may be due by then, and as much as there is; told to everybody but the ledger.
    for endless in [false, true] {
        world.run_for(Millis::seconds(30));
        let Lease { sequence, generation, start, ref terms, .. } = lease(&world, id);
        let elapsed = world.peer(0).ledger().view().now().since(start);
        let amount = if endless { Amount(u128::MAX) } else { terms.cap(elapsed) };
        let counters = Counters { served: elapsed, requests: u64::MAX, egress: ByteCount(u64::MAX) };
        let sequence = sequence + 500;
        let receipt = Receipt { lease: id, generation, sequence, counters, amount, disputed: Amount::ZERO };
        let receipt = Signed::seal(world.genesis().network_id(), &key, world.now.after(Millis::HOUR), receipt);
        let bytes = MarketMessage::Receipt(receipt).encode();
        for index in &others {
            let event = Event::Message { from, channel: Channel::Steward, bytes: bytes.clone() };
            world.deliver(*index, Millis(2), event);
        }
    }
    world.run_for(Millis::seconds(200));
    let after = lease(&world, id);
    assert!(is_open(&world, id) && after.sequence > before.sequence + 500, "others go on above its number: {after:?}");
    paid_for_time(&world, &before, begun);
}

#[test]
fn a_provider_stops_when_requests_are_not_paid_for() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    let gateway = (1..4).find(|index| *index != provider).unwrap();
    let begun = world.now;
    while is_open(&world, id) {
        world.run_for(Millis(1_000));
        world.hush(gateway, id, 5_000);
        assert!(world.now.since(begun) < Millis::seconds(120), "it serves on for nothing");
    }
    let stopped = lease(&world, id);
    assert!(stopped.settled > Amount::ZERO, "its time was paid: {stopped:?}");
}

#[test]
fn what_strangers_take_stops_no_app() {
    let mut world = World::new(4);
    world.settle();
    let id = world.deploy(0, manifest("shop", "10")).unwrap().leases[0].lease;
    let mut taken = 0;
    for _ in 0..200 {
        world.run_for(Millis(1_000));
        taken += world.whisper(0, id, 500);
    }
    let lease = lease(&world, id);
    assert!(is_open(&world, id) && lease.counters.requests == 0, "{lease:?}");
    let had = lease.terms.prices.charge(&lease.terms.resources, &Counters { requests: taken, ..Counters::default() });
    let most = lease.terms.cap(Millis::seconds(40)).saturating_add(lease.settled.scaled(1, 40));
    assert!(taken > 0 && had <= most, "strangers had {had} for nothing, {most} at most");
}

#[test]
fn what_came_through_its_own_gateway_a_provider_does_not_wait_for() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    for _ in 0..200 {
        world.run_for(Millis(1_000));
        world.load(provider, id, 5_000, 1 << 20);
    }
    assert!(is_open(&world, id));
}
