//! What a key with a ceiling may do with money that is in deployments already: its own, which was counted, and its owner's.

use grange_ledger::{Action, Delegate, Rejection};
use grange_types::{
    Amount, BlobId, ByteCount, Counters, DeploymentId, KeyGrant, LeaseId, Millis, Prices, Role, SlotSpec,
};

use crate::world::{World, account, credits, delegate, key, slot, terms};

/// Alice's account with the key `card` beside hers, which may spend so much a day.
fn world(per_day: Amount) -> World {
    let mut world = World::new();
    let grant = |name: &str, role| KeyGrant { key: key(name).public(), roles: vec![role] };
    let keys = vec![grant("alice", Role::Owner), grant("card", Role::Spend { per_day })];
    world.act("alice", Action::SetKeys { keys }).unwrap();
    world.act("alice", Action::SetCap { per_day: None }).unwrap();
    world
}

fn by_card(world: &mut World, action: Action) -> Result<(), Rejection> {
    let transaction = world.envelope("card", "alice", action);
    world.offer(transaction).map(drop)
}

fn update(deployment: DeploymentId, slots: &[SlotSpec], delegates: &[Delegate]) -> Action {
    let manifest = BlobId::of(b"another");
    Action::UpdateDeployment { deployment, manifest, slots: slots.to_vec(), delegates: delegates.to_vec() }
}

fn spent(world: &World) -> Amount {
    world.ledger.view().spent_today(account("alice"), key("card").public())
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
    let found = world.ledger.view().deployment(app).unwrap().clone();
    assert_eq!((found.counted, found.uncounted), (credits("8"), Amount::ZERO));
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
    let grant = |name: &str, role| KeyGrant { key: key(name).public(), roles: vec![role] };
    let keys = vec![grant("alice", Role::Owner), grant("card", Role::Spend { per_day: credits("1") })];
    world.act("alice", Action::SetKeys { keys }).unwrap();
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
    let allowance = |world: &World, signer: &str| {
        let view = world.ledger.view();
        view.allowance(view.deployment(app).unwrap(), key(signer).public())
    };
    assert_eq!(allowance(&world, "alice"), None);
    assert_eq!(allowance(&world, "card"), Some(credits("1")), "0.75 of the day and 0.25 that were counted");
    assert_eq!(allowance(&world, "steward"), Some(credits("5")));
    assert_eq!(allowance(&world, "bob"), Some(Amount::ZERO));
    // A steward's receipt uses up what was counted, too.
    settle(&mut world, lease, "steward", 40).unwrap();
    assert_eq!(
        (allowance(&world, "card"), allowance(&world, "steward")),
        (Some(credits("0.75")), Some(credits("4.6")))
    );
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
    assert_eq!(settle("steward", 2, endless, "0.051"), (Ok(()), honest));
    let next = counters(60, 2_000);
    assert_eq!(settle("alice", 3, next, "0.062"), (Ok(()), next));
    // What it pays for counts, and no more.
    assert_eq!(
        settle("steward", 4, Counters { served: next.served, ..endless }, "0.072"),
        (Ok(()), counters(60, 12_000))
    );
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
