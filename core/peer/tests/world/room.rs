//! Room: what stays needs none, what one order takes is gone for its next replica, what an order does not take is free at once.

use grange_api::{Call, DeployDone, Problem, ProblemCode, Reply};
use grange_ledger::{Action, Parameters, Transaction};
use grange_types::{Amount, Manifest, Millis, Resources, Signed, Wire};

use crate::support::{Villain, World, credits, manifest};

/// A world of a buyer who does not sell, and so many others with room for so many processors each.
fn sellers(count: usize, processors: u32) -> World {
    let mut world = World::with(count + 1, Parameters::dev(), |config| {
        config.roles.provider = config.display != "operator-0";
        config.capacity.cpu_millis = processors * 1_000;
    });
    world.settle();
    world
}

/// An app of replicas that need so many processors each.
fn app(name: &str, budget: &str, replicas: u32, processors: u32) -> Manifest {
    let mut app = manifest(name, budget);
    let web = app.services.get_mut("web").unwrap();
    web.replicas = replicas;
    web.resources = Resources { cpu_millis: processors * 1_000, ..web.resources };
    app
}

fn planned(world: &mut World, app: &Manifest) -> Result<usize, Problem> {
    match world.ask(0, Call::Plan { manifest: Box::new(app.clone()) }) {
        Ok(Reply::Plan(plan)) => Ok(plan.services.len()),
        Err(problem) => Err(problem),
        other => panic!("{other:?}"),
    }
}

/// The leases that the slots of a deployment hold.
fn leases(done: &DeployDone) -> Vec<(u32, grange_types::LeaseId)> {
    done.leases.iter().map(|entry| (entry.replica, entry.lease)).collect()
}

#[test]
fn a_raised_budget_needs_no_room() {
    let mut world = sellers(1, 4);
    let first = world.deploy(0, app("shop", "10", 1, 3)).unwrap();
    world.run_for(Millis::seconds(5));
    let raised = app("shop", "12", 1, 3);
    assert_eq!(planned(&mut world, &raised), Ok(1), "what runs stays");
    let second = world.deploy(0, raised).unwrap();
    assert!(second.changed);
    assert_eq!(leases(&second), leases(&first), "nothing had to move");
    let view = world.peer(0).ledger().view();
    let found = view.deployment_named("shop").unwrap();
    assert_eq!(view.held_by(found).saturating_add(view.spent_by(found)), credits("12"));
    // Another replica does need room, and what is there does not count against it twice.
    let problem = world.deploy(0, app("shop", "12", 2, 3)).unwrap_err();
    assert_eq!(problem.code, ProblemCode::NoOffer);
    assert!(problem.message.contains("1 has too little free"), "{}", problem.message);
}

#[test]
fn a_new_version_takes_the_room_of_the_old_one() {
    let mut world = sellers(1, 4);
    let first = world.deploy(0, app("shop", "10", 1, 3)).unwrap();
    world.run_for(Millis::seconds(5));
    let mut changed = app("shop", "10", 1, 4);
    changed.services.get_mut("web").unwrap().environment = [("COLOUR".into(), "blue".into())].into();
    let second = world.deploy(0, changed).unwrap();
    assert_ne!(leases(&second), leases(&first));
    assert_eq!(second.leases[0].provider, first.leases[0].provider);
}

#[test]
fn a_plan_counts_what_it_has_placed_itself() {
    let mut world = sellers(2, 4);
    let four = app("shop", "20", 4, 3);
    for problem in [planned(&mut world, &four).unwrap_err(), world.deploy(0, four).unwrap_err()] {
        assert_eq!(problem.code, ProblemCode::NoOffer);
        assert!(problem.message.contains("of 2 providers 2 have too little free"), "{}", problem.message);
    }
    let two = app("shop", "20", 2, 3);
    assert_eq!(planned(&mut world, &two), Ok(2));
    world.deploy(0, two).unwrap();
    // Where there is room for several, several share.
    let mut world = sellers(1, 4);
    assert_eq!(planned(&mut world, &app("shop", "20", 4, 1)), Ok(4));
    let mut services = app("shop", "20", 1, 3);
    let web = services.services["web"].clone();
    services.services.insert("api".into(), grange_types::Service { route: Some("/api".into()), ..web });
    assert_eq!(planned(&mut world, &services).unwrap_err().code, ProblemCode::NoOffer, "other services count too");
    world.deploy(0, app("shop", "20", 4, 1)).unwrap();
}

#[test]
fn what_a_refused_order_reserved_is_free_at_once() {
    let mut world = sellers(2, 4);
    let dear = 2;
    world.hosts[dear].villain = Villain::Dear;
    let problem = world.deploy(0, app("shop", "20", 2, 3)).unwrap_err();
    assert_eq!(problem.code, ProblemCode::NoOffer, "the second replica finds nobody: {problem:?}");
    // Its first replica's reservation would stand in the way for half a minute, and the one that was too dear too.
    let done = world.deploy(0, app("other", "20", 1, 3)).unwrap();
    assert_eq!(world.index_of(done.leases[0].provider), 1);
    world.hosts[dear].villain = Villain::Honest;
    let done = world.deploy(0, app("third", "20", 1, 3)).unwrap();
    assert_eq!(world.index_of(done.leases[0].provider), dear);
}

#[test]
fn what_an_order_reserved_that_the_ledger_refused_is_free_at_once() {
    let mut world = sellers(1, 4);
    world.ask(0, Call::SetCap(grange_api::CapRequest { per_day: Some(Amount::credits(5)) })).unwrap();
    let problem = world.deploy(0, app("shop", "20", 1, 3)).unwrap_err();
    assert_eq!(problem.code, ProblemCode::LimitReached);
    world.deploy(0, app("shop", "5", 1, 3)).unwrap();
}

/// A shop on its one provider, a new version of it that needs the same room, and who may have that meanwhile.
fn shop() -> (World, DeployDone, Manifest) {
    let mut world = sellers(1, 4);
    let first = world.deploy(0, app("shop", "10", 1, 3)).unwrap();
    world.run_for(Millis::seconds(5));
    let mut changed = app("shop", "10", 1, 3);
    changed.services.get_mut("web").unwrap().environment = [("COLOUR".into(), "blue".into())].into();
    (world, first, changed)
}

#[test]
fn what_an_update_reserved_that_the_ledger_refused_is_free_at_once() {
    let (mut world, _, changed) = shop();
    let update = world.order(0, changed);
    // It is removed before the update is on the ledger.
    world.ask(0, Call::Down { name: "shop".into() }).unwrap();
    let problem = world.end_of(0, update).unwrap_err();
    assert_eq!(
        (problem.code, problem.remedy.as_str()),
        (ProblemCode::Conflict, "it was removed meanwhile; deploy again to begin anew"),
        "{problem:?}"
    );
    let other = app("other", "10", 1, 3);
    let free = |world: &mut World| planned(world, &other).is_ok();
    let begun = world.now;
    while !free(&mut world) {
        world.run_for(Millis(100));
        assert!(world.now.since(begun) < Millis::seconds(5), "it is kept for half a minute");
    }
    world.deploy(0, other).unwrap();
}

#[test]
fn what_the_ledger_refused_of_an_update_is_said_to_be_tried_again_where_it_is() {
    let (mut world, first, changed) = shop();
    let update = world.order(0, changed);
    // The lease that the new one is to replace ends before that.
    let account = world.peer_id(0).account();
    let action = Action::CloseLease { lease: first.leases[0].lease };
    let expires = world.now.after(Millis::minutes(5));
    let body = Transaction { account, nonce: 7, action };
    let bytes = Signed::seal(world.genesis().network_id(), &world.key(0), expires, body).encode();
    world.ask(0, Call::SubmitTransaction { bytes }).unwrap();
    let problem = world.end_of(0, update).unwrap_err();
    assert!(problem.remedy.contains("is tried again until it serves"), "{problem:?}");
    let serves = |world: &World| {
        let view = world.peer(0).ledger().view();
        let slot = &view.deployment(first.id).unwrap().slots[0];
        view.open_lease_of(first.id, 0).is_some_and(|lease| lease.revision == slot.spec.revision)
    };
    world.until("it serves", Millis::seconds(20), serves);
}

#[test]
fn who_may_be_dead_is_planned_with_where_nobody_else_is() {
    let mut world = sellers(2, 4);
    let first = |world: &mut World, app: &Manifest| match world.ask(0, Call::Plan { manifest: Box::new(app.clone()) }) {
        Ok(Reply::Plan(plan)) => world.index_of(plan.services[0].provider),
        other => panic!("{other:?}"),
    };
    let (small, app) = (app("shop", "10", 1, 1), app("big", "10", 2, 3));
    assert_eq!(first(&mut world, &small), 1, "the cheapest");
    world.kill(1);
    world.run_for(Millis::seconds(3));
    assert_eq!(first(&mut world, &small), 2);
    assert_eq!(planned(&mut world, &app), Ok(2), "its offer stands until it lapses");
    world.start(1);
    world.run_for(Millis::seconds(5));
    assert_eq!(first(&mut world, &small), 1);
}
