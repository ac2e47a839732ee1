//! Room: what stays needs none, what one order takes is gone for its next replica, what an order does not take is free at once.

use grange_api::{Call, DeployDone, Problem, ProblemCode, Reply};
use grange_ledger::Parameters;
use grange_types::{Amount, Manifest, Millis, Resources};

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
