//! Who is paid for what: honest providers, two villains, a budget that ends, a night in which everything was off.

use grange_api::{Call, Direction, HistoryKind, ProblemCode, ReplicaState, Reply, TransferRequest, Usage};
use grange_ledger::{Lease, Parameters};
use grange_types::{Amount, Height, LeaseId, Millis, Sku};

use crate::support::{Villain, World, credits, manifest};

fn lease(world: &World, id: LeaseId) -> Lease {
    world.peer(0).ledger().view().lease(id).cloned().unwrap()
}

fn usage(world: &mut World, name: &str) -> Usage {
    match world.ask(0, Call::Usage { name: name.into() }) {
        Ok(Reply::Usage(usage)) => usage,
        other => panic!("{other:?}"),
    }
}

fn less(from: Amount, amount: Amount) -> Amount {
    Amount(from.0.checked_sub(amount.0).unwrap())
}

fn balance(world: &World, index: usize) -> Amount {
    let account = world.peer_id(index).account();
    world.peer(0).ledger().view().account(account).unwrap().balance
}

/// What a provider has earned after five minutes of service under load, all claims done.
fn earned(villain: Villain) -> Amount {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    assert_eq!(provider, 1, "the cheapest other operator");
    world.hosts[provider].villain = villain;
    for second in 0..300 {
        world.run_for(Millis(1_000));
        // The provider's own gateway would not be believed.
        world.load(second % 2 * 2, id, 20, 20 << 10);
    }
    world.ask(0, Call::Down { name: "shop".into() }).unwrap();
    world.run_for(Millis::seconds(60));
    let earned = less(balance(&world, provider), Amount::credits(1_000));
    assert_eq!(lease(&world, id).settled, earned, "nothing else has paid it");
    earned
}

#[test]
fn a_provider_that_reports_a_fifth_too_much_is_paid_no_more() {
    let honest = earned(Villain::Honest);
    let villain = earned(Villain::Reports(120));
    assert!(honest > Amount::ZERO && villain > Amount::ZERO);
    // 6,000 requests cost 0.00132 at the prices of the cheapest other operator; most of the bill is theirs.
    assert!(honest > credits("0.00132"), "{honest}");
    assert!(villain <= honest, "the villain earned {villain}, an honest provider {honest}");
}

#[test]
fn a_provider_that_stops_serving_is_not_paid_past_its_last_receipt() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    world.run_for(Millis::seconds(60));
    world.hosts[provider].villain = Villain::Pretends;
    let stopped = world.now;
    let replaced =
        |world: &World| world.peer(0).ledger().view().open_lease_of(done.id, 0).is_some_and(|it| it.id != id);
    world.until("another provider serves", Millis::seconds(15), replaced);
    world.run_for(Millis::seconds(300));
    let paid = lease(&world, id);
    assert!(paid.settled > Amount::ZERO);
    let served = stopped.since(paid.start);
    // A probe a second: what is on the last receipt is what had been served when it stopped.
    assert!(paid.counters.served <= Millis(served.0 + 1_000), "{:?} of {served:?}", paid.counters.served);
    assert_eq!(balance(&world, provider), Amount::credits(1_000).saturating_add(paid.settled));
}

#[test]
fn silence_is_not_paid_and_moves_only_after_a_long_while() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    world.run_for(Millis::seconds(30));
    world.hosts[provider].villain = Villain::Silent;
    let served = world.now.since(lease(&world, id).start);
    world.run_for(Millis::seconds(40));
    let view = world.peer(0).ledger().view();
    assert_eq!(view.open_lease_of(done.id, 0).unwrap().id, id, "it stays where it is");
    assert!(lease(&world, id).counters.served <= Millis(served.0 + 1_000));
    let moved = |world: &World| world.peer(0).ledger().view().open_lease_of(done.id, 0).is_some_and(|it| it.id != id);
    world.until("another provider is tried", Millis::seconds(60), moved);
}

/// A user changes only the budget, then removes a service: nothing has to start, and the money follows the file.
#[test]
fn a_change_in_which_nothing_starts_is_done_at_once() {
    let mut world = World::new(4);
    world.settle();
    let mut app = manifest("shop", "1");
    let web = app.services["web"].clone();
    app.services.insert("api".into(), grange_types::Service { route: Some("/api".into()), ..web });
    let done = world.deploy(0, app.clone()).unwrap();
    world.run_for(Millis::seconds(60));
    app.budget = credits("5");
    let begun = world.now;
    let again = world.deploy(0, app.clone()).unwrap();
    assert!(world.now.since(begun) < Millis::seconds(10), "it took {} ms", world.now.since(begun).0);
    assert_eq!(again.leases, done.leases, "what runs goes on");
    let Ok(Reply::Wallet(wallet)) = world.ask(0, Call::Wallet) else { panic!("no wallet") };
    let paid = usage(&mut world, "shop").settled;
    assert_eq!(wallet.pending, Some(less(credits("5"), paid)), "the budget is what the file says");
    app.services.remove("api");
    let removed = world.deploy(0, app).unwrap();
    assert_eq!(removed.leases.len(), 1);
    world.run_for(Millis::seconds(5));
    let api = done.leases.iter().find(|entry| entry.service == "api").unwrap();
    assert!(!world.runs(world.index_of(api.provider), api.lease), "what is not in the file any more stops");
}

/// An edit stays with its provider, although another has become cheaper: its data is there.
#[test]
fn an_edit_stays_where_its_data_is() {
    let mut world = World::new(4);
    world.settle();
    let mut app = manifest("shop", "10");
    let done = world.deploy(0, app.clone()).unwrap();
    let free = grange_types::Prices { cpu_hour: credits("0.000001"), ..Default::default() };
    world.ask(3, Call::SetPrices(free.into())).unwrap();
    world.run_for(Millis::seconds(5));
    app.services.get_mut("web").unwrap().environment.insert("COLOUR".into(), "blue".into());
    let again = world.deploy(0, app).unwrap();
    assert_eq!((again.leases[0].generation, again.leases[0].provider), (2, done.leases[0].provider));
}

#[test]
fn requests_are_billed_from_the_first_on() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    let gateway = (1..4).find(|index| *index != provider).unwrap();
    // Before any payer has looked at the lease.
    world.load(gateway, id, 7, 1 << 10);
    world.run_for(Millis::seconds(5));
    let bill = usage(&mut world, "shop");
    let requests = bill.lines.iter().find(|line| line.sku == Sku::RequestMillion).unwrap();
    assert_eq!((requests.counted.as_str(), requests.lease), ("7", id));

    // And to the last: what gateways tell when the lease is over already.
    world.load(gateway, id, 5, 1 << 10);
    world.ask(0, Call::Down { name: "shop".into() }).unwrap();
    world.load(gateway, id, 3, 1 << 10);
    world.run_for(Millis::seconds(60));
    let ended = lease(&world, id);
    assert_eq!((ended.counters.requests, ended.is_open(world.peer(0).ledger().view().now())), (15, false));
}

/// A stranger's gossip and a stranger's count are nobody's bill.
#[test]
fn counts_of_strangers_and_of_gossip_are_not_believed() {
    let honest = earned(Villain::Honest);
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    for _ in 0..300 {
        world.run_for(Millis(1_000));
        world.whisper(0, id, 1_000_000);
    }
    world.ask(0, Call::Down { name: "shop".into() }).unwrap();
    world.run_for(Millis::seconds(60));
    let earned = less(balance(&world, provider), Amount::credits(1_000));
    assert!(earned < honest, "{earned} without any request, {honest} with six thousand");
}

#[test]
fn a_lease_renews_itself_until_the_budget_is_used() {
    let parameters =
        Parameters { lease_length: Millis::minutes(2), min_lease: Millis::seconds(20), ..Parameters::dev() };
    let mut world = World::with(4, parameters, |_| {});
    world.settle();
    let done = world.deploy(0, manifest("shop", "0.02")).unwrap();
    let (id, provider) = (done.leases[0].lease, world.index_of(done.leases[0].provider));
    let first = lease(&world, id).end.unwrap();
    let state = |world: &mut World| match world.ask(0, Call::Deployment { name: "shop".into() }) {
        Ok(Reply::Replicas(replicas)) => replicas[0].state,
        other => panic!("{other:?}"),
    };
    let mut seconds = 0;
    let mut latest = first;
    while state(&mut world) != ReplicaState::BudgetExhausted {
        seconds += 1;
        assert!(seconds < 3_600, "an hour passed, {:?}", usage(&mut world, "shop"));
        world.run_for(Millis(1_000));
        world.load(2, id, 30, 1 << 10);
        latest = latest.max(lease(&world, id).end.unwrap());
    }
    assert!(latest > first.after(Millis::minutes(4)), "it was renewed more than once: {first} to {latest}");
    world.run_for(Millis::seconds(60));
    assert_eq!(state(&mut world), ReplicaState::Pending, "what was not claimed is back, and buys another lease");
    assert!(!world.runs(provider, id), "the service stopped");
    let bill = usage(&mut world, "shop");
    assert_eq!(bill.total, bill.settled);
    assert!(bill.total <= credits("0.02") && bill.total > credits("0.01"), "{}", bill.total);
    let Ok(Reply::Wallet(wallet)) = world.ask(0, Call::Wallet) else { panic!("no wallet") };
    assert_eq!(wallet.available, less(Amount::credits(1_000), credits("0.02")));
    assert_eq!(wallet.pending, Some(less(credits("0.02"), bill.total)), "the rest is still the owner's");
}

#[test]
fn twelve_hours_in_which_everything_was_off_cost_nothing() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let id = done.leases[0].lease;
    world.run_for(Millis::seconds(120));
    let before = usage(&mut world, "shop").total;
    (0..4).for_each(|index| world.kill(index));
    world.sleep(Millis(12 * Millis::HOUR.0));
    (0..4).for_each(|index| world.start(index));
    world.run_for(Millis::seconds(120));
    let after = usage(&mut world, "shop").total;
    let open = world.peer(0).ledger().view().open_lease_of(done.id, 0).cloned().unwrap();
    assert_eq!((open.id, open.generation), (id, 1), "the same lease goes on");
    // Two minutes before, two after; a restart takes a few seconds.
    let grown = less(after, before);
    assert!(grown <= before, "{before} before, {grown} after");
    assert!(grown > before.scaled(8, 10), "{before} before, {grown} after");
}

#[test]
fn the_wallet_remembers_what_came_and_what_went() {
    let mut world = World::new(4);
    world.settle();
    let to = world.peer_id(2).account();
    let transfer = TransferRequest { to, amount: credits("2.5"), memo: "rent".into() };
    let Ok(Reply::Submitted(sent)) = world.ask(0, Call::Transfer(transfer)) else { panic!("not sent") };
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    world.run_for(Millis::seconds(60));
    world.ask(0, Call::Down { name: "shop".into() }).unwrap();
    world.run_for(Millis::seconds(60));
    let history = |world: &mut World, index| match world.ask(index, Call::WalletHistory { limit: 100 }) {
        Ok(Reply::History(entries)) => entries,
        other => panic!("{other:?}"),
    };
    let owner = history(&mut world, 0);
    let kinds: Vec<HistoryKind> = owner.iter().rev().map(|entry| entry.kind).collect();
    assert_eq!(kinds[..3], [HistoryKind::Genesis, HistoryKind::Transfer, HistoryKind::Budget]);
    assert!(kinds[3..].contains(&HistoryKind::Refund) || kinds[3..].contains(&HistoryKind::Lease), "{kinds:?}");
    let transfer = &owner[owner.len() - 2];
    assert_eq!((transfer.height, transfer.transaction), (sent.height, Some(sent.transaction)));
    assert_eq!((transfer.direction, transfer.counterparty), (Direction::Out, Some(to)));
    assert_eq!((transfer.amount, transfer.memo.as_str()), (credits("2.5"), "rent"));
    // Every balance is what its history sums to.
    for index in 0..4 {
        let mut sum = Amount::ZERO;
        for entry in history(&mut world, index).iter().rev() {
            sum = match entry.direction {
                Direction::In => sum.saturating_add(entry.amount),
                Direction::Out => less(sum, entry.amount),
            };
        }
        assert_eq!(sum, balance(&world, index), "operator {index}");
    }
    let provider = world.index_of(done.leases[0].provider);
    // Each entry calls it the same: by its name to its owner, by its id to its provider, also when it is removed.
    for (index, memo) in [(0, "shop".to_owned()), (provider, done.id.short())] {
        let moved = |kind| matches!(kind, HistoryKind::Budget | HistoryKind::Refund | HistoryKind::Lease);
        let about: Vec<_> = history(&mut world, index).into_iter().filter(|entry| moved(entry.kind)).collect();
        assert!(about.len() > 1 && about.iter().all(|entry| entry.memo == memo), "{memo}: {about:?}");
    }
    // A restart comes to the same.
    world.kill(0);
    world.start(0);
    world.settle();
    let again = history(&mut world, 0);
    assert!(again.ends_with(&owner), "{again:?}");
    assert_eq!(again[again.len() - 1].height, Height::GENESIS);
}

/// A quote binds to what was advertised: who asks ten times that is passed over.
#[test]
fn a_quote_dearer_than_its_price_sheet_is_not_taken() {
    let mut world = World::new(4);
    world.settle();
    world.hosts[1].villain = Villain::Dear;
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let provider = world.index_of(done.leases[0].provider);
    assert_eq!(provider, 2, "the next cheapest that keeps its word");
    let terms = lease(&world, done.leases[0].lease).terms;
    assert_eq!(terms.prices.cpu_hour, credits("0.012"), "at its price sheet's price");
}

/// Who takes his time is not waited for: the next offer is asked meanwhile.
#[test]
fn a_provider_that_does_not_answer_costs_a_moment() {
    let mut world = World::new(4);
    world.settle();
    world.hosts[1].villain = Villain::Mute;
    let begun = world.now;
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    assert_eq!(world.index_of(done.leases[0].provider), 2);
    let took = world.now.since(begun);
    assert!(took < Millis(600), "it took {} ms where an unanswered question takes two seconds", took.0);
}

#[test]
fn a_deployment_takes_no_more_than_what_was_counted_for_it() {
    let mut world = World::new(4);
    world.settle();
    world.deploy(0, manifest("shop", "10")).unwrap();
    // A program plans while it stands, ends it, and deploys: what was counted is of before.
    let plan = world.ask(0, Call::Plan { manifest: Box::new(manifest("shop", "10")) });
    let Ok(Reply::Plan(plan)) = plan else { panic!("{plan:?}") };
    assert_eq!(plan.takes, Amount::ZERO);
    world.ask(0, Call::Down { name: "shop".into() }).unwrap();
    world.run_for(Millis::seconds(60));
    let before = balance(&world, 0);
    let refused = world.deploy_within(0, manifest("shop", "10"), plan.takes).unwrap_err();
    assert_eq!((refused.code, refused.thing.as_str()), (ProblemCode::Conflict, "shop"));
    assert!(refused.message.contains("takes 10 from the account by now, and 0 was counted"), "{refused}");
    world.run_for(Millis::seconds(5));
    assert_eq!(balance(&world, 0), before);
    assert!(world.peer(0).ledger().view().deployment_named("shop").is_none());
    // As much as was counted is taken, and what stands already is not counted again.
    world.deploy_within(0, manifest("shop", "10"), credits("10")).unwrap();
    world.deploy_within(0, manifest("shop", "10"), Amount::ZERO).unwrap();
    let refused = world.deploy_within(0, manifest("shop", "12"), credits("1")).unwrap_err();
    assert_eq!(refused.code, ProblemCode::Conflict);
    world.deploy_within(0, manifest("shop", "12"), credits("2")).unwrap();
}

#[test]
fn what_was_removed_keeps_its_bill_over_a_restart_and_says_that_it_was_removed() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    for _ in 0..30 {
        world.run_for(Millis(1_000));
        world.load(2, done.leases[0].lease, 20, 20 << 10);
    }
    world.ask(0, Call::Down { name: "shop".into() }).unwrap();
    world.run_for(Millis::seconds(60));
    let before = usage(&mut world, "shop");
    assert!(before.deployment == done.id && before.settled > Amount::ZERO, "{before:?}");
    // The manifest of what ended is fetched by nobody: the owner's own history has the name.
    world.kill(0);
    world.run_for(Millis::seconds(5));
    world.start(0);
    world.run_for(Millis::seconds(5));
    assert_eq!(usage(&mut world, "shop"), before);
    // No other operator knows the name any more, and every one has the bill.
    let of = |name: &str| Call::Usage { name: name.into() };
    assert_eq!(world.ask(2, of(&done.id.to_string())), Ok(Reply::Usage(before)));
    let unknown = world.ask(2, of("shop")).unwrap_err();
    assert_eq!(unknown.code, ProblemCode::NotFound);
    assert!(unknown.remedy.contains("give the id"), "{unknown}");
    let Ok(Reply::History(history)) = world.ask(0, Call::WalletHistory { limit: 100 }) else { panic!("no history") };
    let budget = history.iter().find(|entry| entry.kind == HistoryKind::Budget).unwrap();
    assert_eq!(budget.transaction.unwrap().0, done.id.0, "where the remedy says that the id is");

    let logs = |name: &str| Call::Logs { name: name.into(), service: None, follow: false, after: None, earlier: false };
    let data = |name: &str| Call::ExportData { name: name.into(), service: None, earlier: false };
    for (call, operation) in [(logs("shop"), "logs"), (data("shop"), "data export")] {
        let removed = world.ask(0, call.clone()).unwrap_err();
        assert_eq!((removed.code, removed.operation.as_str()), (ProblemCode::NotFound, operation));
        assert!(removed.message.contains("was removed at") && removed.remedy.contains("before"), "{removed}");
        let elsewhere = world.ask(2, call).unwrap_err();
        assert!(elsewhere.message.contains("there is no deployment"), "{elsewhere}");
    }
    assert!(world.ask(0, logs("never")).unwrap_err().message.contains("there is no deployment"));
}
