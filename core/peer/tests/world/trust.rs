//! Trust: who does his part is ordered from, who does not is not; strangers change nothing; every number names its evidence.

use grange_api::{Call, CapRequest, ProblemCode, Reply, TrustReport};
use grange_ledger::{Action, Parameters, Transaction};
use grange_peer::{Event, MarketMessage};
use grange_types::{AccountId, Manifest, Millis, SecretKey, Sighting, Sightings, Signed, Wire};

use crate::support::{Villain, World, manifest};

/// Four operators who all ask the same.
fn level() -> World {
    let mut world = World::with(4, Parameters::dev(), |config| config.prices = crate::support::prices(1));
    world.settle();
    world
}

fn operator(world: &World, index: usize) -> AccountId {
    world.peer_id(index).account()
}

/// What one operator's node says of another operator.
#[track_caller]
fn report(world: &mut World, by: usize, of: usize) -> TrustReport {
    let of = operator(world, of).to_string();
    match world.ask(by, Call::Trust { of: Some(of) }) {
        Ok(Reply::Trust(reports)) => reports.into_iter().next().unwrap(),
        other => panic!("{other:?}"),
    }
}

fn count(report: &TrustReport, kind: &str, standing: &str) -> (u32, u32) {
    let lines = report.evidence.iter().filter(|line| line.kind == kind && line.standing == standing);
    lines.fold((0, 0), |(good, bad), line| (good + line.good, bad + line.bad))
}

#[test]
fn a_provider_that_stops_serving_loses_trust_and_the_next_order() {
    let mut world = level();
    let done = world.deploy(0, manifest("first", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    world.run_for(Millis::minutes(3));
    let before = report(&mut world, 0, provider);
    assert!(count(&before, "served", "own").0 > 100, "{before:?}");
    let again = world.deploy(0, manifest("again", "10")).unwrap();
    assert_eq!(world.index_of(again.leases[0].provider), provider, "of equal price the most trusted");
    world.ask(0, Call::Down { name: "again".into() }).unwrap();

    world.hosts[provider].villain = Villain::Pretends;
    let replaced =
        |world: &World| world.peer(0).ledger().view().open_lease_of(done.id, 0).is_some_and(|open| open.id != id);
    world.until("it is replaced", Millis::seconds(30), replaced);
    world.run_for(Millis::seconds(5));
    let after = report(&mut world, 0, provider);
    assert_eq!(count(&after, "lease", "own"), (0, 1), "it names what happened: {after:?}");
    assert!(count(&after, "served", "own").1 > 0, "{after:?}");
    assert!(after.thousandths < before.thousandths, "{:?} and before {:?}", after.thousandths, before.thousandths);
    // It serves again, and is not asked first any more.
    world.hosts[provider].villain = Villain::Honest;
    let next = world.deploy(0, manifest("next", "10")).unwrap();
    assert_ne!(world.index_of(next.leases[0].provider), provider);
    let Ok(Reply::Offers(offers)) = world.ask(0, Call::Offers) else { panic!("no offers") };
    let offer = offers.iter().find(|offer| offer.provider == world.peer_id(provider)).unwrap();
    assert_eq!(offer.trust, after.trust.or(Some(0)), "{offer:?}");
    assert!(offer.evidence.contains("lease 0 of 1"), "{}", offer.evidence);
}

#[test]
fn a_lease_is_kept_to_its_last_receipt_or_broken_by_its_provider() {
    let mut world = level();
    let done = world.deploy(0, manifest("kept", "10")).unwrap();
    let provider = world.index_of(done.leases[0].provider);
    world.run_for(Millis::minutes(11));
    world.ask(0, Call::Down { name: "kept".into() }).unwrap();
    world.run_for(Millis::minutes(2));
    assert_eq!(count(&report(&mut world, 0, provider), "lease", "own"), (1, 0));

    let done = world.deploy(0, manifest("left", "10")).unwrap();
    let (lease, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    let before = count(&report(&mut world, 0, provider), "lease", "own");
    let body = Transaction { account: operator(&world, provider), nonce: 7, action: Action::CloseLease { lease } };
    let expires = world.now.after(Millis::minutes(5));
    let bytes = Signed::seal(world.genesis().network_id(), &world.key(provider), expires, body).encode();
    world.ask(provider, Call::SubmitTransaction { bytes }).unwrap();
    world.run_for(Millis::seconds(5));
    assert_eq!(count(&report(&mut world, 0, provider), "lease", "own"), (before.0, before.1 + 1));
    // Everybody reads it on the ledger, as the word of whoever pays.
    let third = (1..4).find(|index| *index != provider).unwrap();
    let payer = operator(&world, 0);
    let seen = report(&mut world, third, provider);
    let line = seen.evidence.iter().find(|line| line.kind == "lease" && line.observer == payer);
    assert!(line.is_some_and(|line| line.bad == 1 && line.standing == "heard"), "{seen:?}");
}

#[test]
fn nobody_measures_himself_and_a_number_says_whose_it_is() {
    let mut world = level();
    let me = operator(&world, 0);
    for of in [me.to_string(), "operator-0".to_owned()] {
        let Ok(Reply::Trust(reports)) = world.ask(0, Call::Trust { of: Some(of) }) else {
            panic!("unknown to himself")
        };
        let [own] = reports.as_slice() else { panic!("{reports:?}") };
        assert_eq!((own.operator, own.seen_by, own.trust), (me, me, None));
        assert_eq!((own.names.as_slice(), own.seen_by_name.as_str()), (&["operator-0".to_owned()][..], "operator-0"));
        assert!(own.evidence.is_empty(), "{own:?}");
    }
    let done = world.deploy(0, manifest("kept", "10")).unwrap();
    let provider = world.index_of(done.leases[0].provider);
    world.run_for(Millis::minutes(11));
    world.ask(0, Call::Down { name: "kept".into() }).unwrap();
    world.run_for(Millis::minutes(2));
    // What a payer says of the provider stands on the ledger, and its own node shows it without making a number of it.
    let own = report(&mut world, provider, provider);
    assert!(own.evidence.iter().any(|line| line.kind == "lease" && line.observer == me && line.good == 1), "{own:?}");
    assert_eq!((own.trust, own.thousandths), (None, None));
    assert!(report(&mut world, 0, provider).trust.is_some(), "others have one");
    let Ok(Reply::Trust(all)) = world.ask(provider, Call::Trust { of: None }) else { panic!("no list") };
    let himself = operator(&world, provider);
    assert!(all.iter().all(|report| report.operator != himself && report.seen_by == himself), "{all:?}");
    let Ok(Reply::Offers(offers)) = world.ask(provider, Call::Offers) else { panic!("no offers") };
    assert!(offers.iter().all(|offer| offer.operator != himself || offer.trust.is_none()), "{offers:?}");
}

#[test]
fn an_offer_says_when_its_provider_was_heard_last() {
    let mut world = level();
    world.run_for(Millis::minutes(2));
    world.kill(3);
    world.run_for(Millis::minutes(3));
    let (dead, alive) = (world.peer_id(3), world.peer_id(1));
    let silent = |heard: grange_api::Timestamp, world: &World| world.now.since(heard.0);
    let Ok(Reply::Offers(offers)) = world.ask(0, Call::Offers) else { panic!("no offers") };
    let of = |peer| offers.iter().find(|offer| offer.provider == peer).unwrap();
    assert!(of(alive).connected && silent(of(alive).heard, &world) <= Millis::seconds(61), "{:?}", of(alive));
    assert!(!of(dead).connected && silent(of(dead).heard, &world) >= Millis::minutes(3), "{:?}", of(dead));
    assert!(of(world.peer_id(0)).connected, "a node reaches itself");
    let Ok(Reply::Plan(plan)) = world.ask(0, Call::Plan { manifest: Box::new(manifest("shop", "10")) }) else {
        panic!("no plan")
    };
    let planned = &plan.services[0];
    assert_eq!(planned.connected, planned.provider != dead, "{planned:?}");
    assert_eq!(planned.heard, Some(of(planned.provider).heard));
}

#[test]
fn uptime_is_seen_by_many_and_survives_a_restart() {
    let mut world = level();
    world.run_for(Millis::minutes(2));
    world.kill(3);
    world.run_for(Millis::minutes(15));
    let (dead, alive) = (report(&mut world, 0, 3), report(&mut world, 0, 1));
    let (good, bad) = count(&dead, "uptime", "own");
    assert!(good >= 1 && bad >= 12, "{dead:?}");
    assert!(count(&dead, "uptime", "heard").1 > 0, "others saw it too: {dead:?}");
    assert_eq!(count(&alive, "uptime", "own").1, 0, "{alive:?}");
    assert!(count(&alive, "uptime", "heard").0 > 0 && alive.witnesses >= 1, "{alive:?}");
    assert!(alive.thousandths > dead.thousandths, "{alive:?} {dead:?}");
    world.kill(0);
    world.run_for(Millis::seconds(5));
    world.start(0);
    world.run_for(Millis::seconds(2));
    let again = report(&mut world, 0, 3);
    assert!(count(&again, "uptime", "own").1 + 2 >= bad, "it was on the disk: {again:?}");
}

#[test]
fn a_thousand_keys_change_nothing() {
    let mut world = level();
    world.run_for(Millis::minutes(2));
    let before = report(&mut world, 0, 1);
    assert!(before.thousandths.is_some(), "{before:?}");
    let network = world.genesis().network_id();
    let seen = vec![Sighting { operator: operator(&world, 1), looks: 5, answered: 0 }];
    let told = Sightings { period: world.now.0 / Millis::minutes(5).0, seen };
    for number in 0..1_000_u32 {
        let mut secret = [9; 32];
        secret[..4].copy_from_slice(&number.to_be_bytes());
        let key = SecretKey::from_bytes(&secret);
        let told = Signed::seal(network, &key, world.now.after(Millis::minutes(5)), told.clone());
        world.deliver(0, Millis(1), Event::Gossip { bytes: MarketMessage::Seen(told).encode() });
    }
    // Its own word, and a forged one of a validator's, weigh as little.
    let own = Signed::seal(network, &world.key(1), world.now.after(Millis::minutes(5)), told.clone());
    let mut forged = Signed::seal(network, &world.key(2), world.now.after(Millis::minutes(5)), told);
    forged.body.seen[0].looks = 4;
    for told in [own, forged] {
        world.deliver(0, Millis(1), Event::Gossip { bytes: MarketMessage::Seen(told).encode() });
    }
    world.run_for(Millis::seconds(3));
    let after = report(&mut world, 0, 1);
    assert_eq!((after.thousandths, after.hearsay), (before.thousandths, before.hearsay));
    assert_eq!(after.evidence, before.evidence);
}

#[test]
fn it_decays_while_nobody_looks() {
    let mut world = level();
    world.run_for(Millis::minutes(10));
    let before = report(&mut world, 0, 1);
    (0..4).for_each(|index| world.kill(index));
    world.sleep(Millis(8 * Millis::DAY.0));
    (0..4).for_each(|index| world.start(index));
    world.run_for(Millis::seconds(2));
    let after = report(&mut world, 0, 1);
    assert!(after.own.good > 0 && after.own.good < before.own.good, "{before:?} {after:?}");
    assert!(after.thousandths < before.thousandths, "{before:?} {after:?}");
}

#[test]
fn a_least_trust_is_kept_to_and_refused_with_the_number() {
    let mut world = level();
    let demanding = |name: &str, least: u8| -> Manifest {
        let mut app = manifest(name, "10");
        app.services.get_mut("web").unwrap().placement.trust_min = Some(least);
        app
    };
    let problem = world.deploy(0, demanding("strict", 60)).unwrap_err();
    assert_eq!(problem.code, ProblemCode::NoOffer);
    let reason = "3 are trusted less than the 60 that is asked for (the most trusted: 0)";
    assert!(problem.message.contains(reason), "{}", problem.message);
    assert!(problem.remedy.contains("trust_min"), "{}", problem.remedy);
    world.run_for(Millis::minutes(12));
    world.deploy(0, demanding("modest", 30)).unwrap();
    let problem = world.deploy(0, demanding("strict", 100)).unwrap_err();
    assert!(problem.message.contains("the 100 that is asked for"), "{}", problem.message);
}

/// What is said of whom by canary orders: (good, bad).
fn canaries(world: &mut World, of: usize) -> (u32, u32) {
    count(&report(world, 0, of), "canary", "own")
}

fn ordering(ceiling: &str) -> World {
    ordering_with(4, ceiling)
}

fn ordering_with(voters: usize, ceiling: &str) -> World {
    let ceiling = crate::support::credits(ceiling);
    let mut world = World::voted(4, voters, Parameters::dev(), move |config| {
        if config.display == "operator-0" {
            config.canaries = ceiling;
        }
    });
    world.settle();
    // None is placed before the account has a cap, which would else follow the budget of an order.
    world.ask(0, Call::SetCap(CapRequest { per_day: Some(grange_types::Amount::credits(100)) })).unwrap();
    world
}

#[test]
fn a_canary_order_is_a_real_one_paid_and_closed() {
    let mut world = ordering("1");
    world.run_for(Millis::minutes(10));
    let seen: Vec<_> = (1..4).map(|index| canaries(&mut world, index)).collect();
    assert!(seen.iter().all(|(good, bad)| *good >= 1 && *bad == 0), "each in its turn: {seen:?}");
    let me = operator(&world, 0);
    let view = world.peer(0).ledger().view();
    let orders: Vec<_> = view.deployments().filter(|found| found.owner == me).collect();
    assert!(orders.len() >= 3, "they stand on the ledger");
    assert!(orders.iter().filter(|found| found.is_open()).count() <= 2, "what is over is closed");
    let paid = orders.iter().flat_map(|found| view.leases_of(found.id)).filter(|lease| !lease.settled.is_zero());
    assert!(paid.count() >= 2, "providers are paid for them");
}

#[test]
fn a_canary_order_finds_who_serves_something_else() {
    let mut world = ordering("1");
    world.hosts[2].villain = Villain::Garbles;
    world.run_for(Millis::minutes(10));
    assert!(canaries(&mut world, 2).1 >= 1);
    assert_eq!(canaries(&mut world, 1).1, 0);
    let (bad, good) = (report(&mut world, 0, 2), report(&mut world, 0, 1));
    assert!(bad.thousandths < good.thousandths, "{bad:?} {good:?}");
}

#[test]
fn canary_orders_cost_no_more_than_their_ceiling_a_day_also_over_a_restart() {
    // One costs at most three of the shortest leases at the highest rate: about 0.0018 credits.
    let mut world = ordering("0.004");
    world.run_for(Millis::minutes(8));
    world.kill(0);
    world.run_for(Millis::seconds(5));
    world.start(0);
    world.run_for(Millis::minutes(12));
    let me = operator(&world, 0);
    let view = world.peer(0).ledger().view();
    let orders: Vec<_> = view.deployments().filter(|found| found.owner == me).collect();
    assert!((1..=3).contains(&orders.len()), "{} orders", orders.len());
    assert!(orders.iter().all(|found| !found.is_open()), "what was open before the restart is closed too");
}

#[test]
fn a_canary_order_that_was_under_way_when_its_node_restarted_is_closed() {
    // The last operator alone votes, so that what it was sent comes about whoever restarts.
    let mut world = ordering_with(1, "1");
    let me = operator(&world, 0);
    let orders = |world: &World| {
        let view = world.peer(3).ledger().view();
        view.deployments().filter(|found| found.owner == me).map(|found| found.is_open()).collect::<Vec<_>>()
    };
    let sent = |world: &World| {
        let metrics = world.peer(0).metrics();
        metrics.iter().any(|(name, value)| *name == "grange_mempool_transactions" && *value > 0)
    };
    assert!(orders(&world).is_empty());
    world.until("an order is sent", Millis::minutes(4), sent);
    world.kill(0);
    world.start(0);
    assert!(orders(&world).is_empty(), "it is not on the ledger yet");
    world.until("it comes there", Millis::seconds(30), |world| orders(world) == [true]);
    world.until("it is closed", Millis::seconds(60), |world| !orders(world)[0]);
}
