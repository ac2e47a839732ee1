//! Updates that break off half-way: what was ordered comes about, whoever is left, and nobody says that it is there before.

use grange_api::{Call, ProblemCode, Reply};
use grange_types::{Amount, DeploymentId, HealthCheck, Manifest, Millis, Prices, Service};

use crate::support::{Villain, World, manifest};

/// A front page that needs a service behind it.
fn two(colour: &str) -> Manifest {
    let mut app = manifest("shop", "10");
    let environment = [("COLOUR".to_owned(), colour.to_owned())].into();
    let web = Service { environment, ..app.services["web"].clone() };
    app.services.insert("api".into(), Service { route: Some("/api".into()), ..web.clone() });
    app.services.insert("web".into(), Service { depends_on: vec!["api".into()], ..web });
    app
}

/// Whether every slot is leased for what it is to run, by the ledger of a peer.
fn current(world: &World, index: usize, id: DeploymentId) -> bool {
    let view = world.peer(index).ledger().view();
    let slots = &view.deployment(id).unwrap().slots;
    slots
        .iter()
        .all(|slot| view.open_lease_of(id, slot.number).is_some_and(|lease| lease.revision == slot.spec.revision))
}

/// A deployment whose owner died when the update was on the ledger and half of its leases were not.
fn half_updated() -> (World, DeploymentId) {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, two("red")).unwrap();
    world.run_for(Millis::seconds(10));
    assert!(current(&world, 1, done.id));
    world.order(0, two("blue"));
    let told = |world: &World| {
        let manifest = world.peer(1).ledger().view().deployment(done.id).unwrap().manifest;
        !current(world, 1, done.id) && world.holders(manifest).len() >= 3
    };
    world.until("the update is on the ledger and its manifest with the stewards", Millis::seconds(10), told);
    world.kill(0);
    world.run_for(Millis::seconds(20));
    assert!(!current(&world, 1, done.id), "the front page is of before");
    (world, done.id)
}

#[test]
fn what_an_update_left_undone_the_stewards_do() {
    let (mut world, id) = half_updated();
    world.until("every slot runs the new version", Millis::seconds(200), |world| current(world, 1, id));
}

#[test]
fn an_update_that_broke_off_is_taken_up_by_deploying_again() {
    let (mut world, id) = half_updated();
    world.start(0);
    world.run_for(Millis::seconds(10));
    let again = world.deploy(0, two("blue")).unwrap();
    assert!(again.changed, "it was not there yet");
    assert!(current(&world, 1, id));
    let same = world.deploy(0, two("blue")).unwrap();
    assert!(!same.changed);
}

#[test]
fn silence_is_not_paid_while_a_health_check_is_patient() {
    let mut world = World::new(4);
    world.settle();
    let mut app = manifest("shop", "10");
    let health =
        HealthCheck { path: "/health".into(), interval: Millis::seconds(30), timeout: Millis(1_000), retries: 3 };
    app.services.get_mut("web").unwrap().health = Some(health);
    let done = world.deploy(0, app).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    world.run_for(Millis::seconds(30));
    let served = |world: &World| world.peer(0).ledger().view().lease(id).unwrap().counters.served;
    world.hosts[provider].villain = Villain::Silent;
    world.run_for(Millis::seconds(15));
    let before = served(&world);
    world.run_for(Millis::seconds(30));
    assert_eq!(world.peer(0).ledger().view().open_lease_of(done.id, 0).unwrap().id, id, "it is given time");
    assert_eq!(served(&world), before, "and no money");
}

#[test]
fn the_plan_of_what_runs_keeps_it_where_it_is() {
    let mut world = World::new(4);
    world.settle();
    let shop = manifest("shop", "10");
    let done = world.deploy(0, shop.clone()).unwrap();
    let provider = done.leases[0].provider;
    // By now another one would be the cheapest, and by its price is for something new.
    let other = (1..4).find(|index| world.peer_id(*index) != provider).unwrap();
    let free = Prices { cpu_hour: Amount(1), memory_gib_hour: Amount(1), ..Prices::default() };
    world.ask(other, Call::SetPrices(free.into())).unwrap();
    world.run_for(Millis::seconds(5));
    let planned = |world: &mut World, from: usize, app: &Manifest| {
        let call = Call::Plan { manifest: Box::new(app.clone()) };
        world.ask(from, call).map(|reply| match reply {
            Reply::Plan(plan) => plan.services[0].provider,
            other => panic!("{other:?}"),
        })
    };
    let new = Manifest { name: "new".into(), ..shop.clone() };
    assert_eq!(planned(&mut world, 0, &new).unwrap(), world.peer_id(other));
    assert_eq!(planned(&mut world, 0, &shop).unwrap(), provider);
    assert!(!world.deploy(0, shop.clone()).unwrap().changed);
    assert_eq!(planned(&mut world, 1, &shop).unwrap_err().code, ProblemCode::NameTaken);
}

#[test]
fn a_replica_whose_provider_was_just_lost_is_not_said_to_run_where_it_stays() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    world.run_for(Millis::seconds(10));
    let provider = world.index_of(done.leases[0].provider);
    assert_eq!(world.deploy(0, manifest("shop", "11")).unwrap().notes, [] as [String; 0]);
    world.kill(provider);
    world.run_for(Millis::seconds(2));
    let raised = world.deploy(0, manifest("shop", "12")).unwrap();
    assert!(raised.changed);
    let expected = format!("web.0 on operator-{provider} does not serve now (its provider does not answer): ");
    assert_eq!(raised.notes.len(), 1, "{:?}", raised.notes);
    assert!(raised.notes[0].starts_with(&expected) && raised.notes[0].contains("replaced"), "{:?}", raised.notes);
    let moved = |world: &World| {
        let view = world.peer(0).ledger().view();
        view.open_lease_of(done.id, 0).is_some_and(|lease| lease.terms.provider != done.leases[0].provider)
    };
    world.until("it is replaced, as was said", Millis::seconds(20), moved);
    world.run_for(Millis::seconds(5));
    assert_eq!(world.deploy(0, manifest("shop", "12")).unwrap().notes, [] as [String; 0]);
}
