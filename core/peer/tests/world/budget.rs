//! How budgets stand, who is told when they go down, what is disputed, and what keys may put in a day.

use grange_api::{Budget, Call, CapRequest, Caps, ProblemCode, ReplicaState, Reply, TransferRequest, Usage};
use grange_ledger::{Action, Parameters, Transaction};
use grange_market::meter::CREDIT_WINDOW;
use grange_types::{Amount, Millis, On, Signed, Wire};

use crate::support::{Villain, World, credits, manifest};

fn usage(world: &mut World) -> Usage {
    match world.ask(0, Call::Usage { name: "shop".into() }) {
        Ok(Reply::Usage(usage)) => usage,
        other => panic!("{other:?}"),
    }
}

fn caps(world: &mut World) -> Caps {
    match world.ask(0, Call::Caps) {
        Ok(Reply::Caps(caps)) => caps,
        other => panic!("{other:?}"),
    }
}

fn note(world: &mut World) -> String {
    match world.ask(0, Call::Deployment { name: "shop".into() }) {
        Ok(Reply::Replicas(replicas)) => replicas[0].note.clone(),
        other => panic!("{other:?}"),
    }
}

/// What was said of budgets on the owner's node.
fn alerts(world: &World) -> Vec<String> {
    let said = world.hosts[0].notes.iter().filter(|(event, ..)| *event == "budget.alert");
    said.map(|(_, purpose, reason)| format!("{purpose}: {reason}")).collect()
}

/// Leases of two minutes, of twenty seconds at least.
fn short_leases() -> Parameters {
    Parameters { lease_length: Millis::minutes(2), min_lease: Millis::seconds(20), ..Parameters::dev() }
}

#[test]
fn who_pays_is_told_at_half_three_quarters_and_nine_tenths_of_a_budget() {
    let mut world = World::with(4, short_leases(), |_| {});
    world.settle();
    world.deploy(0, manifest("shop", "0.02")).unwrap();
    let id = world.peer(0).ledger().view().deployment_named("shop").unwrap().slots[0].lease.unwrap();
    world.run_for(Millis::seconds(90));
    let Budget { budget, left, alert, runs_until } = usage(&mut world).budget.unwrap();
    assert_eq!((budget, alert), (credits("0.02"), None));
    assert!(left < budget && left > credits("0.018"), "{left}");
    // It says until when before anything is used up, and no lease costs more than its rate.
    assert!(runs_until.unwrap().0 > world.now.after(Millis::minutes(10)), "{runs_until:?}");
    assert_eq!((alerts(&world).len(), note(&mut world)), (0, String::new()));
    let (mut seen, mut noted) = (Vec::new(), std::collections::BTreeSet::new());
    for _ in 0..3_600 {
        world.run_for(Millis(1_000));
        world.load(2, id, 30, 1 << 10);
        let level = usage(&mut world).budget.unwrap().alert;
        if level != seen.last().copied().flatten() {
            seen.push(level);
        }
        let said = note(&mut world);
        if said.contains(" % of the budget are used; it runs until ") {
            noted.insert(said[..2].to_owned());
        }
        if level == Some(90) {
            break;
        }
    }
    assert_eq!(seen, [Some(50), Some(75), Some(90)]);
    assert!(noted.contains("50") && noted.contains("75"), "{noted:?}");
    world.run_for(Millis::seconds(5));
    let said = alerts(&world);
    assert_eq!(said.len(), 3, "each is said once: {said:?}");
    for (line, level) in said.iter().zip(["50", "75", "90"]) {
        assert!(line.starts_with(&format!("shop: {level} % of 0.02 are used, ")), "{line}");
    }
    let found = caps(&mut world);
    assert_eq!(found.deployments[0].budget.alert, Some(90));
    assert_eq!(found.deployments[0].deployment, "shop");
}

#[test]
fn what_a_provider_asks_too_much_is_held_and_comes_back() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    world.hosts[provider].villain = Villain::Reports(120);
    for _ in 0..300 {
        world.run_for(Millis(1_000));
        world.load(2, id, 20, 20 << 10);
    }
    let bill = usage(&mut world);
    assert!(bill.disputed > Amount::ZERO && bill.settled > Amount::ZERO, "{bill:?}");
    let view = world.peer(0).ledger().view();
    let lease = view.lease(id).unwrap();
    assert!(lease.held > Amount::ZERO, "the ledger holds it");
    assert!(lease.held <= lease.terms.cap(CREDIT_WINDOW), "never more than a credit window");
    assert_eq!(view.total(), Amount::credits(4_000));
    world.ask(0, Call::Down { name: "shop".into() }).unwrap();
    world.run_for(Millis::seconds(60));
    let view = world.peer(0).ledger().view();
    let (paid, held) = (view.lease(id).unwrap().settled, view.lease(id).unwrap().held);
    assert_eq!(held, Amount::ZERO);
    let owner = view.account(world.peer_id(0).account()).unwrap();
    assert_eq!((owner.balance.saturating_add(paid), owner.pending), (Amount::credits(1_000), Amount::ZERO));
}

#[test]
fn the_first_deployment_caps_what_a_key_puts_in_a_day() {
    let mut world = World::new(4);
    world.settle();
    assert!(!caps(&mut world).set);
    let Ok(Reply::Plan(plan)) = world.ask(0, Call::Plan { manifest: Box::new(manifest("shop", "2")) }) else {
        panic!("no plan")
    };
    let done = world.deploy(0, manifest("shop", "2")).unwrap();
    let [note] = plan.notes.as_slice() else { panic!("{:?}", plan.notes) };
    assert!(note.contains("may put 20 credits into deployments a day") && note.contains("wallet caps"), "{note}");
    assert_eq!(done.notes, plan.notes);
    assert_eq!(world.deploy(0, manifest("shop", "2")).unwrap().notes, [] as [String; 0], "it is said once");
    let found = caps(&mut world);
    assert_eq!((found.per_day, found.set), (Some(Amount::credits(20)), true));
    let key = world.key(0).public();
    assert_eq!((found.keys[0].key, found.keys[0].put, found.keys[0].used), (key, Amount::credits(2), Some(10)));
    let refused = world.deploy(0, manifest("other", "19")).unwrap_err();
    assert_eq!(refused.code, ProblemCode::LimitReached, "{refused:?}");
    assert!(refused.message.contains("may put 20 into deployments a day and has put 2 today"), "{refused:?}");
    assert!(refused.remedy.contains("grange wallet caps --per-day"), "{refused:?}");
    // Sending money is not its matter.
    let transfer = TransferRequest { to: world.peer_id(2).account(), amount: credits("100"), memo: String::new() };
    world.ask(0, Call::Transfer(transfer)).unwrap();
    world.ask(0, Call::SetCap(CapRequest { per_day: Some(Amount::credits(21)) })).unwrap();
    world.deploy(0, manifest("other", "19")).unwrap();
    assert_eq!(caps(&mut world).keys[0].used, Some(100));
    world.run_for(Millis::seconds(2));
    let said = world.hosts[0].notes.iter().filter(|(event, ..)| *event == "cap.alert").count();
    assert_eq!(said, 1, "a jump over all levels is said once");
    world.ask(0, Call::SetCap(CapRequest { per_day: None })).unwrap();
    world.deploy(0, manifest("third", "50")).unwrap();
    assert_eq!(caps(&mut world).per_day, None);
}

#[test]
fn a_new_version_whose_money_is_refused_does_not_go_on_without_it() {
    let mut world = World::new(4);
    world.settle();
    let first = world.deploy(0, manifest("shop", "2")).unwrap();
    let mut raised = manifest("shop", "30");
    raised.services.get_mut("web").unwrap().resources.cpu_millis += 50;
    let planned = world.ask(0, Call::Plan { manifest: Box::new(raised.clone()) }).unwrap_err();
    let refused = world.deploy(0, raised.clone()).unwrap_err();
    for problem in [planned, refused] {
        assert_eq!(problem.code, ProblemCode::LimitReached, "{problem:?}");
        assert!(problem.message.contains("has put 2 today, so not 28 more"), "{problem:?}");
        assert!(problem.remedy.contains("grange wallet caps --per-day"), "{problem:?}");
    }
    world.run_for(Millis::seconds(10));
    let slot = world.peer(0).ledger().view().deployment(first.id).unwrap().slots[0].clone();
    assert_eq!((slot.lease, slot.generation), (Some(first.leases[0].lease), 1), "what ran goes on");
    world.ask(0, Call::SetCap(CapRequest { per_day: None })).unwrap();
    assert!(world.deploy(0, raised.clone()).unwrap().changed);
    assert_eq!(usage(&mut world).budget.unwrap().budget, Amount::credits(30));
    assert!(!world.deploy(0, raised).unwrap().changed);
    // Nor is more promised than there is.
    let dear = world.ask(0, Call::Plan { manifest: Box::new(manifest("shop", "100000")) }).unwrap_err();
    assert_eq!(dear.code, ProblemCode::InsufficientFunds, "{dear:?}");
}

/// What is said of a budget's end some time after it was deployed, against when the lease really ends.
#[track_caller]
fn check_end(budget: &str, price_max: &str, length: Millis, looks: &[u64]) {
    let parameters = Parameters { lease_length: length, min_lease: Millis::seconds(20), ..Parameters::dev() };
    let mut world = World::with(4, parameters, |_| {});
    world.settle();
    let mut app = manifest("shop", budget);
    app.services.get_mut("web").unwrap().placement.price_max = Some(credits(price_max));
    let id = world.deploy(0, app).unwrap().leases[0].lease;
    let mut said = Vec::new();
    for seconds in looks {
        world.run_for(Millis::seconds(*seconds));
        said.push((world.now, usage(&mut world).budget.unwrap().runs_until.unwrap().0));
    }
    let over = |world: &World| {
        let view = world.peer(0).ledger().view();
        view.lease(id).is_none_or(|lease| !lease.is_open(view.now()))
    };
    world.until("the lease ends", Millis(2 * Millis::HOUR.0), over);
    // What is settled at a renewal is some seconds older than what is used, and what it costs is known roughly at first.
    for (at, time) in said {
        let (apart, ahead) = (world.now.0.abs_diff(time.0), world.now.since(at).0);
        assert!(apart <= 15_000 + ahead / 20, "{budget} ended {ahead} ms later, said was {}", time.since(at).0);
    }
}

#[test]
fn it_runs_until_its_leases_cannot_be_renewed() {
    // At the highest rate five minutes, at what it costs two hours, of which there is nothing to renew with.
    check_end("0.003", "1", Millis::HOUR, &[30, 60]);
    check_end("0.004", "1", Millis::minutes(2), &[10, 90]);
    // Where the highest rate is near what it costs, it is renewed a few times.
    check_end("0.0004", "0.002", Millis::minutes(2), &[10, 100, 200]);
}

/// A byte of the ledger costs so much that the entry of a lease takes 0.0512.
fn dear_bytes() -> World {
    let mut world = World::with(4, Parameters { byte_deposit: credits("0.0001"), ..Parameters::dev() }, |_| {});
    world.settle();
    world
}

#[test]
fn what_stands_for_entries_is_part_of_the_budget() {
    let mut world = dear_bytes();
    let entry = credits("0.0512");
    let id = world.deploy(0, manifest("shop", "10")).unwrap().id;
    for (version, leases) in [("1", 1), ("2", 2), ("3", 3), ("3", 3)] {
        let mut app = manifest("shop", "10");
        if version != "1" {
            app.services.get_mut("web").unwrap().environment = [("VERSION".into(), version.into())].into();
        }
        world.deploy(0, app).unwrap();
        let view = world.peer(0).ledger().view();
        let found = view.deployment(id).unwrap();
        assert_eq!(found.leases, leases);
        let there = view.held_by(found).saturating_add(view.spent_by(found));
        assert_eq!(there.saturating_add(entry.scaled(leases.into(), 1)), credits("10"), "version {version}");
        let Budget { budget, left, .. } = usage(&mut world).budget.unwrap();
        assert_eq!(budget, credits("10"));
        assert!(left <= credits("10").saturating_sub(entry.scaled(leases.into(), 1)), "{left}");
    }
    // What the entries take has to be there beside the shortest lease.
    let problem = world.deploy(0, manifest("small", "0.05")).unwrap_err();
    assert_eq!(problem.code, ProblemCode::BudgetTooLow);
    assert!(problem.message.contains("of which 0.0512 stand for entries"), "{}", problem.message);
}

#[test]
fn own_capacity_needs_no_budget_where_entries_cost_money() {
    let mut world = dear_bytes();
    let app = |version: &str| {
        let mut app = manifest("home", "0");
        let web = app.services.get_mut("web").unwrap();
        web.placement.on = On::Own;
        web.environment = [("VERSION".into(), version.into())].into();
        app
    };
    let first = world.deploy(0, app("1")).unwrap();
    assert_eq!(first.leases[0].provider, world.peer_id(0));
    let second = world.deploy(0, app("2")).unwrap();
    let lease = second.leases[0].lease;
    assert_ne!(lease, first.leases[0].lease);
    // One that its provider gave up is replaced, as it is where entries cost nothing.
    let account = world.peer_id(0).account();
    let body = Transaction { account, nonce: 7, action: Action::CloseLease { lease } };
    let expires = world.now.after(Millis::minutes(5));
    let bytes = Signed::seal(world.genesis().network_id(), &world.key(0), expires, body).encode();
    world.ask(0, Call::SubmitTransaction { bytes }).unwrap();
    let again = |world: &World| world.peer(0).ledger().view().open_lease_of(second.id, 0).is_some();
    assert!(!again(&world));
    world.until("it has a lease again", Millis::seconds(60), again);
    let view = world.peer(0).ledger().view();
    assert_eq!(view.deployment(second.id).unwrap().balance, Amount::ZERO, "no more than the entries take was added");
}

#[test]
fn who_can_pay_the_shortest_lease_is_quoted_for_it_however_long_leases_are() {
    let mut world = World::with(4, short_leases(), |_| {});
    world.settle();
    // At its highest rate, some 0.036 an hour, that is half a minute.
    let rest = credits("0.0003");
    let amount = Amount::credits(1_000).saturating_sub(rest);
    let all = TransferRequest { to: world.peer_id(2).account(), amount, memo: String::new() };
    world.ask(0, Call::Transfer(all)).unwrap();
    world.deploy(0, manifest("shop", "0.0003")).unwrap();
}

#[test]
fn a_budget_that_buys_another_lease_is_not_used_up_however_long_leases_are() {
    let mut world = World::voted(4, 2, short_leases(), |config| {
        config.roles.provider = config.display == "operator-1";
    });
    world.settle();
    let id = world.deploy(0, manifest("shop", "0.003")).unwrap().leases[0].lease;
    world.kill(1);
    let over = |world: &World| {
        let view = world.peer(0).ledger().view();
        view.lease(id).is_none_or(|lease| !lease.is_open(view.now()))
    };
    world.until("the lease ends", Millis::minutes(3), over);
    let Ok(Reply::Replicas(replicas)) = world.ask(0, Call::Deployment { name: "shop".into() }) else { panic!("none") };
    let left = world.peer(0).ledger().view().deployment_named("shop").unwrap().balance;
    assert!(left > credits("0.001"), "{left}");
    assert_eq!(replicas[0].state, ReplicaState::Pending, "{left} buys minutes: {replicas:?}");
}

#[test]
fn a_budget_that_is_lowered_is_said_to_stay() {
    let mut world = World::new(4);
    world.settle();
    let planned = |world: &mut World, budget: &str| {
        let call = Call::Plan { manifest: Box::new(manifest("shop", budget)) };
        let Ok(Reply::Plan(plan)) = world.ask(0, call) else { panic!("no plan") };
        assert_eq!(plan.budget, credits(budget).max(credits("10")));
        plan.notes
    };
    world.deploy(0, manifest("shop", "10")).unwrap();
    assert_eq!(planned(&mut world, "12"), [] as [String; 0]);
    let notes = planned(&mut world, "4");
    assert_eq!(notes.len(), 1, "{notes:?}");
    assert!(notes[0].starts_with("shop has been given 6 more than the budget of 4: "), "{notes:?}");
    assert!(notes[0].contains("`grange down shop` returns what is left"), "{notes:?}");
    let lowered = world.deploy(0, manifest("shop", "4")).unwrap();
    assert_eq!((lowered.changed, &lowered.notes), (true, &notes));
    let again = world.deploy(0, manifest("shop", "4")).unwrap();
    assert_eq!((again.changed, &again.notes), (false, &notes), "and as often as it is asked");
    // Also where the file gives less than what is used already: what was put in goes on paying.
    let least = planned(&mut world, "0.0000001");
    assert!(least[0].contains("more than the budget of 0.0000001: "), "{least:?}");
    assert!(world.deploy(0, manifest("shop", "0.0000001")).unwrap().changed);
    assert_eq!(usage(&mut world).budget.unwrap().budget, credits("10"), "as the ledger has it");
    let low = world.ask(0, Call::Plan { manifest: Box::new(manifest("blog", "0.0000001")) }).unwrap_err();
    assert!(low.message.starts_with("a budget of 0.0000001 does not pay the shortest lease"), "{low:?}");
    // What stands for the entries of one's own capacity is no budget.
    let mut world = dear_bytes();
    let mut home = manifest("home", "0");
    home.services.get_mut("web").unwrap().placement.on = On::Own;
    world.deploy(0, home.clone()).unwrap();
    assert_eq!(world.deploy(0, home).unwrap().notes, [] as [String; 0]);
}
