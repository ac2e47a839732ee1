//! What runs where: replacement, order of the start, roles.

use grange_api::{Call, ProblemCode, Reply};
use grange_peer::Roles;
use grange_types::{HealthCheck, Millis};

use crate::support::{Villain, World, manifest};

#[test]
fn a_dead_provider_is_replaced() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let provider = world.index_of(done.leases[0].provider);
    world.run_for(Millis::seconds(10));
    world.kill(provider);
    let elsewhere = |world: &World| {
        let view = world.peer(0).ledger().view();
        view.open_lease_of(done.id, 0)
            .is_some_and(|lease| lease.generation == 2 && world.runs(world.index_of(lease.terms.provider), lease.id))
    };
    world.until("it runs elsewhere", Millis::seconds(15), elsewhere);
    world.start(provider);
    world.run_for(Millis::seconds(10));
    assert!(!world.runs(provider, done.leases[0].lease), "the old lease serves nothing");
}

#[test]
fn the_stewards_replace_a_provider_without_the_owner() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let provider = world.index_of(done.leases[0].provider);
    world.run_for(Millis::seconds(10));
    world.kill(0);
    world.run_for(Millis::seconds(5));
    world.hosts[provider].villain = Villain::Pretends;
    let other = (1..4).find(|index| *index != provider).unwrap();
    let elsewhere = |world: &World| {
        let view = world.peer(other).ledger().view();
        view.open_lease_of(done.id, 0).is_some_and(|lease| lease.generation > 1)
    };
    world.until("a steward has it run elsewhere", Millis::seconds(20), elsewhere);
    world.run_for(Millis::seconds(60));
    let view = world.peer(other).ledger().view();
    let generations: Vec<u64> = view.leases_of(done.id).map(|lease| lease.generation).collect();
    let mut distinct = generations.clone();
    distinct.dedup();
    assert_eq!(generations, distinct, "no generation has two leases");
}

#[test]
fn a_deployment_that_a_halt_of_the_ledger_meets_says_so_at_its_end() {
    let mut world = World::new(4);
    world.settle();
    let call = world.order(0, manifest("shop", "10"));
    world.until("its quotes", Millis::seconds(5), |world| world.phases(0, call).contains(&"quote".into()));
    world.kill(2);
    world.kill(3);
    let problem = world.end_of(0, call).unwrap_err();
    assert_eq!(problem.code, ProblemCode::LedgerHalted);
    assert!(problem.message.contains("120 s") && problem.message.contains("votes"), "{}", problem.message);
    // Whoever plans is told what deploying would be told.
    let Ok(Reply::Plan(plan)) = world.ask(0, Call::Plan { manifest: Box::new(manifest("blog", "10")) }) else {
        panic!("no plan")
    };
    let said =
        plan.notes.iter().any(|note| note.starts_with("`grange deploy` is refused at present: the ledger is halted"));
    assert!(said, "{:?}", plan.notes);
    for index in [2, 3] {
        world.start(index);
    }
    world.run_for(Millis::seconds(30));
    let mut left = world.peer(0).ledger().view().deployments();
    assert!(left.all(|found| !found.is_open()), "nothing stays behind, open and paid");
}

#[test]
fn a_service_starts_after_what_it_depends_on() {
    let mut world = World::new(4);
    world.settle();
    let mut app = manifest("shop", "10");
    let web = app.services["web"].clone();
    app.services.insert("api".into(), grange_types::Service { route: Some("/api".into()), ..web.clone() });
    app.services.insert("web".into(), grange_types::Service { depends_on: vec!["api".into()], ..web });
    let done = world.deploy(0, app).unwrap();
    let started = |service: &str| {
        let entry = done.leases.iter().find(|entry| entry.service == service).unwrap();
        world.peer(0).ledger().view().lease(entry.lease).unwrap().start
    };
    assert!(started("api").after(Millis(20)) <= started("web"), "{} and {}", started("api"), started("web"));
}

#[test]
fn a_health_check_decides_only_by_bad_answers() {
    let mut world = World::new(4);
    world.settle();
    let mut app = manifest("shop", "10");
    let health = HealthCheck { path: "/health".into(), interval: Millis(1_000), timeout: Millis(500), retries: 3 };
    app.services.get_mut("web").unwrap().health = Some(health);
    let done = world.deploy(0, app).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    world.run_for(Millis::seconds(30));
    assert!(world.runs(provider, id));
    world.hosts[provider].villain = Villain::Answers(500);
    let replaced =
        |world: &World| world.peer(0).ledger().view().open_lease_of(done.id, 0).is_some_and(|lease| lease.id != id);
    world.until("it is replaced", Millis::seconds(20), replaced);

    // Without a health check a bad answer is its owner's affair.
    let done = world.deploy(0, manifest("plain", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    world.hosts[provider].villain = Villain::Answers(500);
    world.run_for(Millis::seconds(30));
    assert_eq!(world.peer(0).ledger().view().open_lease_of(done.id, 0).unwrap().id, id);
}

#[test]
fn a_disk_holds_what_is_wanted_and_lets_go_of_the_rest() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let gone = world.deploy(0, manifest("stall", "10")).unwrap();
    let named = |world: &World, id| world.peer(0).ledger().view().deployment(id).unwrap().manifest;
    let (kept, dropped) = (named(&world, done.id), named(&world, gone.id));
    world.run_for(Millis::seconds(10));
    let before = world.holders(kept);
    assert!(before.len() >= 3 && world.holders(dropped).len() >= 3, "the owner and two stewards hold both");
    world.ask(0, Call::Down { name: "stall".into() }).unwrap();
    world.run_for(Millis::minutes(21));
    assert_eq!(world.holders(kept), before);
    assert_eq!(world.holders(dropped), Vec::<usize>::new());
    assert!(world.runs(world.index_of(done.leases[0].provider), done.leases[0].lease));
}

#[test]
fn who_does_not_sell_has_no_offer_and_who_stewards_nothing_is_not_asked_to() {
    let none = Roles { validator: true, provider: false, gateway: false, relay: false, steward: false };
    let mut world = World::with(4, grange_ledger::Parameters::dev(), |config| {
        if config.display == "operator-1" {
            config.roles = none;
        }
    });
    world.settle();
    let Ok(Reply::Offers(offers)) = world.ask(0, Call::Offers) else { panic!("no offers") };
    assert_eq!(offers.len(), 3);
    assert!(offers.iter().all(|offer| offer.provider != world.peer_id(1)));
    let refused = world.ask(1, Call::Pause(grange_api::PauseRequest { paused: true })).unwrap_err();
    assert_eq!(refused.code, ProblemCode::Unsupported);
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let view = world.peer(0).ledger().view();
    let stewards: Vec<_> = view.deployment(done.id).unwrap().stewards().map(|it| it.account.peer()).collect();
    assert_eq!(stewards.len(), 2);
    assert!(!stewards.contains(&world.peer_id(1)), "it is no steward");
}
