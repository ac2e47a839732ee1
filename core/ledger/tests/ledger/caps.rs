//! What each key of an account may put into deployments a day.

use grange_ledger::{Action, Rejection};
use grange_types::{Amount, DeploymentId, KeyGrant, Millis, Role};

use crate::world::{World, account, credits, key};

fn open(world: &mut World, signer: &str, name: &str, budget: u32) -> Result<DeploymentId, Rejection> {
    let action = Action::OpenDeployment {
        name: Some(name.into()),
        manifest: grange_types::BlobId::of(b"manifest"),
        budget: Amount::credits(budget),
        slots: vec![crate::world::slot(0, credits("3.6"))],
        delegates: Vec::new(),
    };
    let transaction = world.envelope(signer, "alice", action);
    world.offer(transaction).map(|id| DeploymentId(id.0))
}

fn set(world: &mut World, signer: &str, per_day: Option<Amount>) -> Result<(), Rejection> {
    let transaction = world.envelope(signer, "alice", Action::SetCap { per_day });
    world.offer(transaction).map(drop)
}

#[test]
fn the_first_deployment_caps_what_each_key_puts_in_a_day_at_ten_times_its_budget() {
    let mut world = World::new();
    assert_eq!(world.ledger.view().cap(account("alice")), None);
    let app = open(&mut world, "alice", "app", 5).unwrap();
    let fund = |amount| Action::FundDeployment { deployment: app, amount: Amount::credits(amount) };
    world.act("alice", fund(44)).unwrap();
    let (signer, cap) = (key("alice").public(), Amount::credits(50));
    let full = |spent, amount| {
        let (spent, amount) = (Amount::credits(spent), Amount::credits(amount));
        Err(Rejection::KeyCap { signer, cap, spent, amount })
    };
    assert_eq!(world.act("alice", fund(2)).map(drop), full(49, 2));
    assert_eq!(open(&mut world, "alice", "other", 2).map(drop), full(49, 2));
    open(&mut world, "alice", "free", 0).unwrap();
    world.act("alice", fund(1)).unwrap();
    // It brakes deployments; what is sent to others is not its matter.
    world
        .act("alice", Action::Transfer { to: account("bob"), amount: Amount::credits(100), memo: String::new() })
        .unwrap();
    world.commit();
    let view = world.ledger.view();
    assert_eq!(view.put_today(account("alice"), signer), cap);
    assert_eq!(view.cap(account("alice")).and_then(|cap| cap.per_day), Some(cap));
    // The first budget says it once and for all, and a new day begins anew.
    world.wait(Millis(Millis::DAY.0));
    open(&mut world, "alice", "third", 50).unwrap();
    assert_eq!(open(&mut world, "alice", "fourth", 1).map(drop), full(50, 1));
}

#[test]
fn the_owner_alone_changes_the_cap_and_what_was_put_in_stays_put_in() {
    let mut world = World::new();
    let spend = Role::Spend { per_day: Amount::credits(1_000) };
    let keys = vec![
        KeyGrant { key: key("alice").public(), roles: vec![Role::Owner] },
        KeyGrant { key: key("laptop").public(), roles: vec![spend] },
    ];
    world.act("alice", Action::SetKeys { keys: keys.clone() }).unwrap();
    open(&mut world, "laptop", "app", 5).unwrap();
    open(&mut world, "alice", "second", 50).unwrap();
    assert!(matches!(open(&mut world, "laptop", "third", 46), Err(Rejection::KeyCap { .. })));
    assert!(matches!(set(&mut world, "laptop", None), Err(Rejection::KeyNotAllowed { .. })));
    set(&mut world, "alice", Some(Amount::credits(60))).unwrap();
    assert!(matches!(open(&mut world, "laptop", "third", 56), Err(Rejection::KeyCap { .. })));
    // A new key set does not lift it, and remembers no key that is not in it.
    world.act("alice", Action::SetKeys { keys }).unwrap();
    assert!(matches!(open(&mut world, "laptop", "third", 56), Err(Rejection::KeyCap { .. })));
    open(&mut world, "laptop", "third", 55).unwrap();
    set(&mut world, "alice", None).unwrap();
    open(&mut world, "laptop", "fourth", 100).unwrap();
    set(&mut world, "alice", Some(Amount::ZERO)).unwrap();
    assert!(matches!(open(&mut world, "alice", "fifth", 1), Err(Rejection::KeyCap { .. })));
    open(&mut world, "alice", "sixth", 0).unwrap();
}

#[test]
fn keys_that_are_gone_make_no_entry_longer() {
    let mut world = World::new();
    let app = open(&mut world, "alice", "app", 5).unwrap();
    for round in 0..20 {
        let other = format!("key-{round}");
        let owner = |name: &str| KeyGrant { key: key(name).public(), roles: vec![Role::Owner] };
        world.act("alice", Action::SetKeys { keys: vec![owner("alice"), owner(&other)] }).unwrap();
        let fund = Action::FundDeployment { deployment: app, amount: Amount(1) };
        let transaction = world.envelope(&other, "alice", fund);
        world.offer(transaction).unwrap();
        world.commit();
    }
    assert_eq!(world.ledger.view().cap(account("alice")).unwrap().spent.len(), 2);
}

#[test]
fn a_budget_that_comes_later_sets_the_cap_too() {
    let mut world = World::new();
    let app = open(&mut world, "alice", "app", 0).unwrap();
    assert_eq!(world.ledger.view().cap(account("alice")), None);
    let fund = |amount| Action::FundDeployment { deployment: app, amount: Amount::credits(amount) };
    world.act("bob", fund(7)).unwrap();
    world.commit();
    assert_eq!(world.ledger.view().cap(account("alice")), None, "what others put in is their matter");
    world.act("alice", fund(3)).unwrap();
    world.commit();
    assert_eq!(world.ledger.view().cap(account("alice")).unwrap().per_day, Some(Amount::credits(30)));
}
