//! Deposits for the room that entries take in the state: taken with the entry, back when it goes.

use grange_ledger::{Action, GenesisError, Lease, Ledger, NodeEntry, Parameters, Purpose, Rejection};
use grange_types::{Amount, BlobId, KeyGrant, Millis, Role};

use crate::world::{World, account, credits, genesis, key, node, slot, terms};

/// Rules under which a byte of the state stands for a ten-thousandth of a credit.
fn parameters() -> Parameters {
    Parameters { byte_deposit: credits("0.0001"), retention: Millis::HOUR, ..Parameters::dev() }
}

/// What is deposited by an account, in bytes.
fn bytes(world: &mut World, who: &str) -> u128 {
    world.commit();
    let deposit = world.ledger.view().account(account(who)).map_or(Amount::ZERO, |found| found.deposit);
    assert_eq!(deposit.0 % credits("0.0001").0, 0);
    deposit.0 / credits("0.0001").0
}

#[test]
fn a_deployment_its_names_and_its_leases_are_deposited_for_until_they_are_forgotten() {
    let mut world = World::with(genesis(parameters()));
    let before = bytes(&mut world, "bob");
    assert_eq!(before, 0);
    let rate = credits("3.6");
    let app = world.open("bob", "app", Amount::credits(10), 2, rate, &[("steward", Amount::credits(1))]).unwrap();
    // The entry, two slots, a delegate, a name, and the cap that the first budget sets.
    assert_eq!(bytes(&mut world, "bob"), 256 + 2 * 272 + 96 + 160 + 64);
    let held = world.ledger.view().balance(account("bob"));
    assert_eq!(held, Amount::credits(990).saturating_sub(credits("0.0001").scaled(1_120, 1)));
    // A steward opens a lease: the budget pays for its entry, and the owner gets it back.
    let quote = world.seal("north.node", world.quote(app, 0, 1, terms("north", rate)));
    world.lease("steward", quote, None).unwrap();
    assert_eq!(bytes(&mut world, "bob"), 1_120 + u128::from(Lease::SIZE));
    let balance = world.ledger.view().deployment(app).unwrap().balance;
    assert_eq!(balance, credits("6.4").saturating_sub(credits("0.0512")));
    world.act("bob", Action::ClaimName { name: "shop".into(), deployment: app }).unwrap();
    assert_eq!(bytes(&mut world, "bob"), 1_120 + 512 + 160);
    world.act("bob", Action::ReleaseName { name: "shop".into() }).unwrap();
    let slots = vec![slot(0, rate), slot(1, rate), slot(2, rate)];
    let manifest = BlobId::of(b"another");
    world.act("bob", Action::UpdateDeployment { deployment: app, manifest, slots, delegates: Vec::new() }).unwrap();
    assert_eq!(bytes(&mut world, "bob"), 256 + 3 * 272 + 160 + 64 + 512);
    world.act("bob", Action::CloseDeployment { deployment: app }).unwrap();
    assert_eq!(bytes(&mut world, "bob"), 256 + 3 * 272 + 64 + 512);
    world.wait(Millis::minutes(125));
    assert_eq!(bytes(&mut world, "bob"), 64);
    assert_eq!(world.ledger.view().balance(account("bob")), Amount::credits(1_000).saturating_sub(credits("0.0064")));
}

#[test]
fn who_cannot_deposit_gets_no_entry() {
    let mut world = World::with(genesis(parameters()));
    let short = |result: Result<_, Rejection>| matches!(result, Err(Rejection::InsufficientBalance { .. }));
    assert!(short(world.open("bob", "app", Amount::credits(1_000), 1, credits("3.6"), &[]).map(drop)));
    let pay = Action::Transfer { to: account("poor"), amount: credits("0.01"), memo: String::new() };
    world.act("bob", pay).unwrap();
    let keys = vec![KeyGrant { key: key("laptop").public(), roles: vec![Role::Owner] }];
    assert!(short(world.act("poor", Action::SetKeys { keys: keys.clone() }).map(drop)));
    world.act("bob", Action::SetKeys { keys }).unwrap();
    assert_eq!(bytes(&mut world, "bob"), 128);
}

#[test]
fn a_node_is_deposited_for_by_its_operator_from_the_genesis_on() {
    let mut world = World::with(genesis(parameters()));
    assert_eq!(bytes(&mut world, "north"), 256);
    world.act("north", Action::RemoveNode { node: node("north") }).unwrap();
    assert_eq!(bytes(&mut world, "north"), 0);
    assert_eq!(world.ledger.view().balance(account("north")), Amount::credits(1_000));
    let entry = NodeEntry {
        peer: node("north"),
        operator: account("bob"),
        display: "north".into(),
        region: "eu".to_owned().try_into().unwrap(),
        relays: vec![node("south")],
    };
    let consent = world.statement("north.node", "bob", Purpose::Node);
    world.act("bob", Action::RegisterNode { node: entry, consent }).unwrap();
    assert_eq!(bytes(&mut world, "bob"), 256 + 32);
    let mut poor = genesis(parameters());
    poor.accounts.iter_mut().for_each(|account| account.balance = Amount(1));
    assert!(matches!(Ledger::new(&poor), Err(GenesisError::Deposit { .. })));
    let mut nobodys = genesis(parameters());
    nobodys.accounts.retain(|listed| listed.id != account("north"));
    assert!(matches!(Ledger::new(&nobodys), Err(GenesisError::Deposit { .. })));
}
