//! What a key with a ceiling may do with money that is in deployments already: its own, which was counted, and its owner's.

use grange_ledger::{Action, Delegate, Parameters, Rejection};
use grange_types::{
    Amount, BlobId, ByteCount, Counters, DeploymentId, KeyGrant, LeaseId, Millis, Prices, Role, SlotSpec,
};

use crate::world::{World, account, credits, delegate, genesis, key, slot, terms};

/// Alice's account with the key `card` beside hers, which may spend so much a day.
fn world(per_day: Amount) -> World {
    let mut world = World::new();
    world.act("alice", Action::SetCap { per_day: None }).unwrap();
    set_keys(&mut world, &[("card", per_day)]);
    world
}

/// Gives Alice's account to her key and these, which may spend so much a day.
fn set_keys(world: &mut World, limited: &[(&str, Amount)]) {
    let grant = |name: &str, role| KeyGrant { key: key(name).public(), roles: vec![role] };
    let spends = limited.iter().map(|(name, per_day)| grant(name, Role::Spend { per_day: *per_day }));
    let keys = core::iter::once(grant("alice", Role::Owner)).chain(spends).collect();
    world.act("alice", Action::SetKeys { keys }).unwrap();
}

/// Acts for Alice's account with one of its keys.
fn by(world: &mut World, signer: &str, action: Action) -> Result<(), Rejection> {
    let transaction = world.envelope(signer, "alice", action);
    world.offer(transaction).map(drop)
}

fn by_card(world: &mut World, action: Action) -> Result<(), Rejection> {
    by(world, "card", action)
}

fn fund(deployment: DeploymentId, amount: &str) -> Action {
    Action::FundDeployment { deployment, amount: credits(amount) }
}

/// What each key has counted in, and what nobody has.
fn remembered(world: &World, app: DeploymentId, keys: &[&str]) -> Vec<Amount> {
    let found = world.ledger.view().deployment(app).unwrap().clone();
    let counted = keys.iter().map(|name| found.counted_by(key(name).public()));
    counted.chain([found.uncounted]).collect()
}

/// What receipts with this signer may still pay.
fn allowance(world: &World, app: DeploymentId, signer: &str) -> Option<Amount> {
    let view = world.ledger.view();
    view.allowance(view.deployment(app).unwrap(), key(signer).public())
}

fn update(deployment: DeploymentId, slots: &[SlotSpec], delegates: &[Delegate]) -> Action {
    let manifest = BlobId::of(b"another");
    Action::UpdateDeployment { deployment, manifest, slots: slots.to_vec(), delegates: delegates.to_vec() }
}

fn spent(world: &World) -> Amount {
    spent_by(world, "card")
}

fn spent_by(world: &World, signer: &str) -> Amount {
    world.ledger.view().spent_today(account("alice"), key(signer).public())
}

/// An app of the owner's with so much in it, at 36 credits an hour, a hundredth a second.
fn app(world: &mut World, budget: &str) -> DeploymentId {
    world.open("alice", "app", credits(budget), 1, credits("36"), &[("steward", credits("5"))]).unwrap()
}

fn lease(world: &mut World, app: DeploymentId) -> LeaseId {
    let quote = world.seal("north.node", world.quote(app, 0, 1, terms("north", credits("36"))));
    world.lease("alice", quote, None).unwrap()
}

/// A receipt by `signer` for so many seconds.
fn settle(world: &mut World, lease: LeaseId, signer: &str, seconds: u64) -> Result<(), Rejection> {
    let sequence = world.ledger.view().lease(lease).map_or(0, |lease| lease.sequence) + 1;
    let amount = credits("0.01").scaled(seconds.into(), 1);
    let receipt = world.seal(signer, world.receipt(lease, 1, sequence, Millis::seconds(seconds), amount));
    let settled = world.settle("north", receipt).map(drop);
    world.commit();
    settled
}

#[test]
fn a_stolen_key_opens_no_way_for_money_that_it_did_not_put_in() {
    let mut world = world(credits("1"));
    let app = app(&mut world, "500");
    world.commit();
    let (plain, steward) = (slot(0, credits("36")), delegate("steward", credits("5")));
    let dear = slot(0, credits("36000"));
    let generous = delegate("steward", Amount::MAX);
    let thief = delegate("bob", Amount::MAX);
    let reserve =
        Delegate { verbs: Default::default(), ceiling_per_day: Amount::ZERO, ..delegate("bob", Amount::ZERO) };
    let (signer, ceiling) = (key("card").public(), credits("1"));
    let full = Err(Rejection::KeyCeiling { signer, ceiling, spent: Amount::ZERO, amount: credits("500") });
    for loosened in [
        update(app, core::slice::from_ref(&plain), &[steward.clone(), thief]),
        update(app, core::slice::from_ref(&plain), &[generous]),
        update(app, core::slice::from_ref(&plain), &[steward.clone(), reserve]),
        update(app, &[dear], core::slice::from_ref(&steward)),
        update(app, &[plain.clone(), slot(1, credits("0"))], core::slice::from_ref(&steward)),
    ] {
        assert_eq!(by_card(&mut world, loosened.clone()), full, "{loosened:?}");
        assert!(world.act("alice", loosened).is_ok(), "the owner's key may");
        world.pending.pop();
    }
    // A new version under the same terms or narrower ones costs the key nothing.
    by_card(&mut world, update(app, &[plain], &[steward])).unwrap();
    by_card(&mut world, update(app, &[slot(0, credits("3.6"))], &[])).unwrap();
    world.commit();
    assert_eq!(spent(&world), Amount::ZERO);
}

#[test]
fn who_loosens_terms_answers_for_the_money_once() {
    let mut world = world(credits("10"));
    let app = app(&mut world, "8");
    let loosened = |rate: &str| update(app, &[slot(0, credits(rate))], &[delegate("bob", credits("5"))]);
    by_card(&mut world, loosened("36")).unwrap();
    world.commit();
    assert_eq!(spent(&world), credits("8"));
    assert_eq!(remembered(&world, app, &["card"]), [credits("8"), Amount::ZERO]);
    by_card(&mut world, loosened("360")).unwrap();
    world.commit();
    assert_eq!(spent(&world), credits("8"), "what was counted is not counted again");
    world.act("alice", Action::FundDeployment { deployment: app, amount: credits("3") }).unwrap();
    assert!(
        matches!(by_card(&mut world, loosened("3600")), Err(Rejection::KeyCeiling { .. })),
        "2 are left, 3 are new"
    );
    by_card(&mut world, loosened("360")).unwrap();
}

#[test]
fn money_that_was_counted_when_it_was_put_in_is_not_counted_again_when_it_is_paid() {
    let mut world = world(credits("1"));
    let open = Action::OpenDeployment {
        name: Some("app".into()),
        manifest: BlobId::of(b"manifest"),
        budget: credits("1"),
        slots: vec![slot(0, credits("36"))],
        delegates: Vec::new(),
    };
    let transaction = world.envelope("card", "alice", open);
    let app = DeploymentId(world.offer(transaction).unwrap().0);
    assert!(matches!(
        by_card(&mut world, Action::FundDeployment { deployment: app, amount: Amount(1) }),
        Err(Rejection::KeyCeiling { .. })
    ));
    // The owner adds a hundred, a stranger one: neither is the card's to pay out beyond its ceiling.
    world.act("alice", Action::FundDeployment { deployment: app, amount: credits("100") }).unwrap();
    world.act("bob", Action::FundDeployment { deployment: app, amount: credits("1") }).unwrap();
    // The day of block time ends within the lease.
    world.wait(Millis::HOUR);
    let lease = lease(&mut world, app);
    world.wait(Millis::seconds(600));
    settle(&mut world, lease, "card", 60).unwrap();
    settle(&mut world, lease, "card", 100).unwrap();
    assert_eq!(spent(&world), credits("1"));
    assert!(matches!(settle(&mut world, lease, "card", 101), Err(Rejection::KeyCeiling { .. })));
    settle(&mut world, lease, "alice", 200).unwrap();
    world.wait(Millis::minutes(45));
    settle(&mut world, lease, "card", 300).unwrap();
    assert!(matches!(settle(&mut world, lease, "card", 301), Err(Rejection::KeyCeiling { .. })));
    assert_eq!(world.ledger.view().balance(account("north")), credits("1003"));
}

#[test]
fn a_ceiling_below_what_was_spent_today_stops_no_pay_for_what_was_counted() {
    let mut world = world(credits("3"));
    let open = Action::OpenDeployment {
        name: None,
        manifest: BlobId::of(b"manifest"),
        budget: credits("2"),
        slots: vec![slot(0, credits("36"))],
        delegates: Vec::new(),
    };
    let transaction = world.envelope("card", "alice", open);
    let app = DeploymentId(world.offer(transaction).unwrap().0);
    world.commit();
    let lease = lease(&mut world, app);
    set_keys(&mut world, &[("card", credits("1"))]);
    world.wait(Millis::seconds(20));
    assert_eq!(settle(&mut world, lease, "card", 10), Ok(()));
    assert_eq!(spent(&world), credits("2"), "nothing was counted for it");
}

#[test]
fn what_is_left_of_an_allowance_is_what_receipts_may_still_pay() {
    let mut world = world(credits("1"));
    let app = app(&mut world, "500");
    by_card(&mut world, Action::FundDeployment { deployment: app, amount: credits("0.25") }).unwrap();
    let lease = lease(&mut world, app);
    world.wait(Millis::seconds(100));
    assert_eq!(allowance(&world, app, "alice"), None);
    assert_eq!(allowance(&world, app, "card"), Some(credits("1")), "0.75 of the day and 0.25 that it counted");
    assert_eq!(allowance(&world, app, "steward"), Some(credits("5")));
    assert_eq!(allowance(&world, app, "bob"), Some(Amount::ZERO));
    // A steward's receipt leaves a key what it counted, as long as there is other money.
    settle(&mut world, lease, "steward", 40).unwrap();
    assert_eq!(
        (allowance(&world, app, "card"), allowance(&world, app, "steward")),
        (Some(credits("1")), Some(credits("4.6")))
    );
    assert_eq!(remembered(&world, app, &["card"]), [credits("0.25"), credits("499.6")]);
    world.wait(Millis::seconds(100));
    assert!(matches!(settle(&mut world, lease, "card", 141), Err(Rejection::KeyCeiling { .. })));
    settle(&mut world, lease, "card", 140).unwrap();
    assert_eq!(allowance(&world, app, "card"), Some(Amount::ZERO), "to the last of it");
    assert_eq!(remembered(&world, app, &["card"]), [Amount::ZERO, credits("498.85")]);
}

#[test]
fn what_one_key_counted_pays_for_no_other() {
    let mut world = world(credits("2"));
    set_keys(&mut world, &[("card", credits("2")), ("phone", credits("1")), ("thief", Amount::ZERO)]);
    let app = app(&mut world, "3");
    by(&mut world, "card", fund(app, "2")).unwrap();
    by(&mut world, "phone", fund(app, "0.5")).unwrap();
    let lease = lease(&mut world, app);
    world.wait(Millis::seconds(500));
    let keys = ["card", "phone", "thief"];
    let left = |world: &World| keys.map(|signer| allowance(world, app, signer).unwrap());
    assert_eq!(left(&world), [credits("2"), credits("1"), Amount::ZERO]);
    // Who may spend nothing signs for nothing, whoever's money is there.
    assert!(matches!(settle(&mut world, lease, "thief", 1), Err(Rejection::KeyCeiling { .. })));
    // Its own half credit is free, the other half its day.
    settle(&mut world, lease, "phone", 80).unwrap();
    assert_eq!((spent_by(&world, "phone"), spent_by(&world, "card")), (credits("0.8"), credits("2")));
    assert_eq!(remembered(&world, app, &keys), [credits("2"), Amount::ZERO, Amount::ZERO, credits("2.7")]);
    assert_eq!(left(&world), [credits("2"), credits("0.2"), Amount::ZERO]);
    assert!(matches!(settle(&mut world, lease, "phone", 101), Err(Rejection::KeyCeiling { .. })));
    settle(&mut world, lease, "card", 130).unwrap();
    assert_eq!(spent_by(&world, "card"), credits("2"), "its own is free");
    assert_eq!(remembered(&world, app, &keys), [credits("1.5"), Amount::ZERO, Amount::ZERO, credits("2.7")]);
    // The owner's key uses up first what nobody counted, and then the keys' money.
    settle(&mut world, lease, "alice", 400).unwrap();
    assert_eq!(remembered(&world, app, &keys), [credits("1.5"), Amount::ZERO, Amount::ZERO, Amount::ZERO]);
    settle(&mut world, lease, "steward", 450).unwrap();
    assert_eq!(remembered(&world, app, &keys), [credits("1"), Amount::ZERO, Amount::ZERO, Amount::ZERO]);
    assert_eq!(left(&world), [credits("1"), credits("0.2"), Amount::ZERO]);
    settle(&mut world, lease, "phone", 470).unwrap();
    assert_eq!(spent_by(&world, "phone"), credits("1"), "what another key counted counts on its day");
    assert_eq!(remembered(&world, app, &keys), [credits("0.8"), Amount::ZERO, Amount::ZERO, Amount::ZERO]);
    assert_eq!(left(&world), [credits("0.8"), Amount::ZERO, Amount::ZERO]);
}

#[test]
fn who_loosens_terms_answers_for_what_other_keys_counted() {
    let mut world = world(credits("20"));
    set_keys(&mut world, &[("card", credits("20")), ("phone", credits("12")), ("thief", Amount::ZERO)]);
    let app = app(&mut world, "3");
    by(&mut world, "card", fund(app, "7")).unwrap();
    by(&mut world, "phone", fund(app, "1")).unwrap();
    world.commit();
    let keys = ["card", "phone", "thief"];
    let dear = |rate: &str| update(app, &[slot(0, credits(rate))], &[delegate("steward", credits("5"))]);
    let (signer, ceiling, spent) = (key("thief").public(), Amount::ZERO, Amount::ZERO);
    let refused = Err(Rejection::KeyCeiling { signer, ceiling, spent, amount: credits("11") });
    assert_eq!(by(&mut world, "thief", dear("37")), refused);
    by(&mut world, "phone", dear("37")).unwrap();
    world.commit();
    assert_eq!(spent_by(&world, "phone"), credits("11"), "one that it put in, and ten of others");
    assert_eq!(remembered(&world, app, &keys), [Amount::ZERO, credits("11"), Amount::ZERO, Amount::ZERO]);
    assert_eq!(allowance(&world, app, "card"), Some(credits("13")), "of the day alone");
    // Now it is all its own, and another one's next.
    by(&mut world, "phone", dear("38")).unwrap();
    by(&mut world, "card", dear("39")).unwrap();
    world.commit();
    assert_eq!((spent_by(&world, "phone"), spent_by(&world, "card")), (credits("11"), credits("18")));
    assert_eq!(remembered(&world, app, &keys), [credits("11"), Amount::ZERO, Amount::ZERO, Amount::ZERO]);
}

#[test]
fn what_a_revoked_key_counted_is_nobodys() {
    let mut world = world(credits("20"));
    set_keys(&mut world, &[("card", credits("20")), ("phone", credits("2"))]);
    let app = app(&mut world, "1");
    by(&mut world, "card", fund(app, "3")).unwrap();
    by(&mut world, "phone", fund(app, "1")).unwrap();
    set_keys(&mut world, &[("phone", credits("2"))]);
    let lease = lease(&mut world, app);
    world.wait(Millis::seconds(300));
    assert_eq!(remembered(&world, app, &["card", "phone"]), [credits("3"), credits("1"), credits("1")]);
    assert!(matches!(settle(&mut world, lease, "card", 1), Err(Rejection::ReceiptSigner { .. })));
    // The owner's receipt takes it before what a key that is still there counted.
    settle(&mut world, lease, "alice", 250).unwrap();
    assert_eq!(remembered(&world, app, &["card", "phone"]), [Amount::ZERO, credits("1"), credits("1.5")]);
    let loosened = update(app, &[slot(0, credits("37"))], &[delegate("steward", credits("5"))]);
    assert!(
        matches!(by(&mut world, "phone", loosened), Err(Rejection::KeyCeiling { .. })),
        "1 is left, 1.5 is not its"
    );
    // Who comes back begins anew.
    set_keys(&mut world, &[("card", credits("20")), ("phone", credits("2"))]);
    world.commit();
    assert_eq!(allowance(&world, app, "card"), Some(credits("20")));
}

#[test]
fn no_more_keys_are_remembered_than_an_account_has() {
    let mut world = World::with(genesis(Parameters { byte_deposit: Amount(1), ..Parameters::dev() }));
    world.act("alice", Action::SetCap { per_day: None }).unwrap();
    let app = app(&mut world, "1");
    let mut others = 0;
    for round in 0..3 {
        let names: Vec<String> = (0..15).map(|number| format!("{round}.{number}")).collect();
        let limited: Vec<(&str, Amount)> = names.iter().map(|name| (name.as_str(), credits("1"))).collect();
        set_keys(&mut world, &limited);
        for name in &names {
            by(&mut world, name, fund(app, "1")).unwrap();
        }
        world.commit();
        let found = world.ledger.view().deployment(app).unwrap();
        assert_eq!((found.counted.len(), found.uncounted), (15, credits("1").scaled(1 + others, 1)));
        // An entry, a slot, a delegate, a name, what is remembered, sixteen keys, a cap, and a node of the genesis.
        let deposit = world.ledger.view().account(account("alice")).unwrap().deposit;
        assert_eq!(deposit, Amount(256 + 272 + 96 + 160 + 15 * 48 + 16 * 128 + 64 + 256));
        others += 15;
    }
}

#[test]
fn what_a_lease_gives_back_is_still_its_keys() {
    let mut world = world(credits("40"));
    let app = app(&mut world, "1");
    by_card(&mut world, fund(app, "39")).unwrap();
    let lease = lease(&mut world, app);
    world.wait(Millis::seconds(100));
    settle(&mut world, lease, "card", 50).unwrap();
    assert_eq!(remembered(&world, app, &["card"]), [credits("38.5"), credits("1")]);
    world.act("alice", Action::CloseLease { lease }).unwrap();
    world.wait(Millis::seconds(60));
    world.commit();
    let found = world.ledger.view().deployment(app).unwrap();
    assert_eq!((found.balance, found.remembered()), (credits("39.5"), credits("39.5")));
    assert_eq!(allowance(&world, app, "card"), Some(credits("39.5")), "one of the day, and its own");
    // A removed deployment's money is the account's again, and counts when it goes in anew.
    by_card(&mut world, Action::CloseDeployment { deployment: app }).unwrap();
    let open = world.open("alice", "next", Amount::ZERO, 1, credits("36"), &[]).unwrap();
    by_card(&mut world, fund(open, "1")).unwrap();
    assert!(matches!(by_card(&mut world, fund(open, "0.1")), Err(Rejection::KeyCeiling { .. })));
}

#[test]
fn where_a_key_with_a_ceiling_places_the_slots_highest_rate_binds() {
    let mut world = world(Amount::ZERO);
    let two = [slot(0, credits("36")), slot(1, credits("36"))];
    let app = world.open("alice", "app", credits("500"), 2, credits("36"), &[]).unwrap();
    world.commit();
    let (rate, allowed) = (credits("36").saturating_add(Amount(1)), credits("36"));
    let too_high = Err(Rejection::RateTooHigh { rate, allowed });
    let place = |world: &mut World, operator: &str, generation, rate, replaces| {
        let quote = world.quote(app, 0, generation, terms(operator, rate));
        let quote = Box::new(world.seal(&format!("{operator}.node"), quote));
        by_card(world, Action::OpenLease { quote, replaces })
    };
    let full = |result| matches!(result, Err(Rejection::KeyCeiling { .. }));
    assert_eq!(place(&mut world, "north", 1, rate, None), too_high);
    // Neither by raising the rate before, nor by a slot that is given up and taken anew.
    assert!(full(by_card(&mut world, update(app, &[slot(0, rate), two[1].clone()], &[]))));
    by_card(&mut world, update(app, &two[1..], &[])).unwrap();
    assert!(full(by_card(&mut world, update(app, &[slot(0, rate), two[1].clone()], &[]))));
    assert!(full(by_card(&mut world, update(app, &two, &[]))), "not even at the rate of before");
    world.pending.pop();
    // Nor in place of a lease that serves well, nor as capacity of one's own.
    place(&mut world, "north", 1, credits("3.6"), None).unwrap();
    world.commit();
    let held = world.ledger.view().open_lease_of(app, 0).unwrap().id;
    assert_eq!(place(&mut world, "south", 2, rate, Some(held)), too_high);
    assert_eq!(place(&mut world, "alice", 2, rate, Some(held)), too_high);
    assert_eq!(place(&mut world, "alice", 2, credits("3.6"), Some(held)), Err(Rejection::OwnCapacityPriced));
    // Up to it, it may: that is what the slot's rate says.
    place(&mut world, "south", 2, allowed, Some(held)).unwrap();
    world.commit();
    assert_eq!(spent(&world), Amount::ZERO);
}

#[test]
fn what_a_receipt_counts_and_does_not_pay_binds_nobody() {
    let mut world = World::new();
    let app = app(&mut world, "500");
    let mut agreed = terms("north", credits("36"));
    agreed.prices = Prices { cpu_hour: credits("3.6"), request_million: credits("1"), ..Prices::default() };
    let quote = world.seal("north.node", world.quote(app, 0, 1, agreed));
    let lease = world.lease("alice", quote, None).unwrap();
    world.wait(Millis::seconds(100));
    let mut settle = |signer: &str, sequence, counters: Counters, amount: &str| {
        let mut receipt = world.receipt(lease, 1, sequence, Millis(0), credits(amount));
        receipt.counters = counters;
        let receipt = world.seal(signer, receipt);
        let settled = world.settle("north", receipt).map(drop);
        world.commit();
        (settled, world.ledger.view().lease(lease).unwrap().counters)
    };
    let counters = |seconds, requests| Counters { served: Millis::seconds(seconds), requests, egress: ByteCount(0) };
    let honest = counters(50, 1_000);
    assert_eq!(settle("alice", 1, honest, "0.051"), (Ok(()), honest));
    // For nothing it counts all that there is, and the owner goes on from where he was.
    let endless = Counters { served: Millis(u64::MAX), requests: u64::MAX, egress: ByteCount(0) };
    let nothing = Rejection::ReceiptSaysNothing { lease, sequence: 2 };
    assert_eq!(settle("steward", 2, endless, "0.051"), (Err(nothing), honest));
    let next = counters(60, 2_000);
    assert_eq!(settle("alice", 3, next, "0.062"), (Ok(()), next));
    // What it pays for counts, and no more.
    assert_eq!(
        settle("steward", 4, Counters { served: next.served, ..endless }, "0.072"),
        (Ok(()), counters(60, 12_000))
    );
    // What the owner signed meanwhile is paid all the same, and binds as far as it pays beside that.
    let meanwhile = counters(70, 4_000);
    assert_eq!(settle("alice", 4, meanwhile, "0.074"), (Ok(()), counters(62, 12_000)));
}

#[test]
fn a_slots_route_is_no_longer_than_files_may_say() {
    let mut world = World::new();
    let route = |bytes: usize| SlotSpec { route: Some("/".repeat(bytes)), ..slot(0, credits("36")) };
    let app = app(&mut world, "10");
    let long = update(app, &[route(97)], &[]);
    assert_eq!(world.act("alice", long).map(drop), Err(Rejection::SlotsInvalid));
    world.act("alice", update(app, &[route(96)], &[])).unwrap();
}
