//! Key sets, roles and ceilings: an account's id alone proves nothing.

use grange_ledger::{Action, Authority, KeySetError, Rejection};
use grange_types::{Amount, BlobId, KeyGrant, Millis, PublicKey, Role};

use crate::world::{World, account, credits, key, slot, terms};

fn grant(name: &str, roles: &[Role]) -> KeyGrant {
    KeyGrant { key: key(name).public(), roles: roles.to_vec() }
}

fn pay(amount: &str) -> Action {
    Action::Transfer { to: account("bob"), amount: credits(amount), memo: String::new() }
}

fn set_keys(world: &mut World, signer: &str, keys: Vec<KeyGrant>) -> Result<(), Rejection> {
    let transaction = world.envelope(signer, "alice", Action::SetKeys { keys });
    world.offer(transaction).map(drop)
}

fn as_alice(world: &mut World, signer: &str, action: Action) -> Result<(), Rejection> {
    let transaction = world.envelope(signer, "alice", action);
    world.offer(transaction).map(drop)
}

fn not_allowed(signer: &str, needed: Authority) -> Result<(), Rejection> {
    Err(Rejection::KeyNotAllowed { account: account("alice"), signer: key(signer).public(), needed })
}

#[test]
fn an_account_without_a_key_set_has_its_own_key_with_all_roles() {
    let mut world = World::new();
    assert_eq!(as_alice(&mut world, "alice", pay("1")), Ok(()));
    assert_eq!(as_alice(&mut world, "bob", pay("1")), not_allowed("bob", Authority::Spend));
    let keys = world.ledger.view().account(account("alice")).unwrap().keys;
    assert_eq!(keys, [grant("alice", &[Role::Owner])]);
}

#[test]
fn a_replaced_key_signs_no_more() {
    let mut world = World::new();
    set_keys(&mut world, "alice", vec![grant("phone", &[Role::Owner])]).unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(as_alice(&mut world, "alice", pay("1")), not_allowed("alice", Authority::Spend));
    assert_eq!(as_alice(&mut world, "phone", pay("1")), Ok(()));
    // Back to the first key set: the entry says nothing special any more.
    set_keys(&mut world, "phone", vec![grant("alice", &[Role::Owner])]).unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(as_alice(&mut world, "alice", pay("1")), Ok(()));
}

#[test]
fn each_role_signs_only_for_what_it_is() {
    let mut world = World::new();
    let spend = Role::Spend { per_day: Amount::credits(10) };
    let keys = vec![
        grant("alice", &[Role::Owner]),
        grant("card", &[spend]),
        grant("server", &[Role::Node]),
        grant("voter", &[Role::Validator]),
    ];
    set_keys(&mut world, "alice", keys.clone()).unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(as_alice(&mut world, "card", pay("1")), Ok(()));
    assert_eq!(as_alice(&mut world, "server", pay("1")), not_allowed("server", Authority::Spend));
    assert_eq!(as_alice(&mut world, "voter", pay("1")), not_allowed("voter", Authority::Spend));
    for signer in ["card", "server", "voter"] {
        assert_eq!(set_keys(&mut world, signer, keys.clone()), not_allowed(signer, Authority::Owner));
        let bond = Action::Bond { amount: Amount::credits(1) };
        assert_eq!(as_alice(&mut world, signer, bond), not_allowed(signer, Authority::Owner));
    }
}

#[test]
fn a_spending_key_has_a_ceiling_a_day() {
    let mut world = World::new();
    let ceiling = Amount::credits(10);
    let keys = vec![grant("alice", &[Role::Owner]), grant("card", &[Role::Spend { per_day: ceiling }])];
    set_keys(&mut world, "alice", keys.clone()).unwrap();
    world.wait(Millis::seconds(1));
    as_alice(&mut world, "card", pay("6")).unwrap();
    let open = |budget: u32| Action::OpenDeployment {
        name: None,
        manifest: BlobId::of(b"manifest"),
        budget: Amount::credits(budget),
        slots: vec![slot(0, Amount::CREDIT)],
        delegates: Vec::new(),
    };
    as_alice(&mut world, "card", open(3)).unwrap();
    let (signer, spent) = (key("card").public(), Amount::credits(9));
    let full = |amount| Err(Rejection::KeyCeiling { signer, ceiling, spent, amount });
    assert_eq!(as_alice(&mut world, "card", pay("1.5")), full(credits("1.5")));
    world.wait(Millis::seconds(1));
    assert_eq!(world.ledger.view().spent_today(account("alice"), signer), spent);
    assert_eq!(as_alice(&mut world, "card", open(2)), full(Amount::credits(2)));
    // Setting the same key anew does not lift what it has spent.
    set_keys(&mut world, "alice", keys).unwrap();
    assert_eq!(as_alice(&mut world, "card", pay("2")), full(Amount::credits(2)));
    assert_eq!(as_alice(&mut world, "alice", pay("100")), Ok(()));
    // The next day of block time brings a new ceiling.
    world.wait(Millis::DAY);
    assert_eq!(as_alice(&mut world, "card", pay("10")), Ok(()));
}

#[test]
fn a_spending_keys_receipts_count_against_its_ceiling() {
    let mut world = World::new();
    let rate = credits("36");
    let app = world.open("alice", "app", Amount::credits(100), 1, rate, &[]).unwrap();
    let quote = world.seal("north.node", world.quote(app, 0, 1, terms("north", rate)));
    let lease = world.lease("alice", quote, None).unwrap();
    let card = grant("card", &[Role::Spend { per_day: credits("0.5") }]);
    set_keys(&mut world, "alice", vec![grant("alice", &[Role::Owner]), card]).unwrap();
    world.wait(Millis::seconds(100));
    let receipt = world.receipt(lease, 1, 1, Millis::seconds(51), credits("0.51"));
    let receipt = world.seal("card", receipt);
    assert!(matches!(world.settle("north", receipt), Err(Rejection::KeyCeiling { .. })));
    let receipt = world.receipt(lease, 1, 1, Millis::seconds(50), credits("0.5"));
    let receipt = world.seal("card", receipt);
    world.settle("north", receipt).unwrap();
}

#[test]
fn a_key_set_keeps_an_owner_and_its_limits() {
    let mut world = World::new();
    let mut refused = |keys: Vec<KeyGrant>| match set_keys(&mut world, "alice", keys) {
        Err(Rejection::Keys(error)) => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Vec::new()), KeySetError::NoOwner);
    assert_eq!(refused(vec![grant("a", &[Role::Node])]), KeySetError::NoOwner);
    let many = (0..17).map(|number| grant(&format!("k{number}"), &[Role::Owner])).collect();
    assert_eq!(refused(many), KeySetError::TooManyKeys { count: 17 });
    let wrong = |name: &str| KeySetError::Key { key: key(name).public() };
    let owner = || grant("o", &[Role::Owner]);
    assert_eq!(refused(vec![owner(), owner()]), wrong("o"));
    assert_eq!(refused(vec![owner(), grant("a", &[])]), wrong("a"));
    let spends = [Role::Spend { per_day: Amount::CREDIT }, Role::Spend { per_day: Amount::ZERO }];
    assert_eq!(refused(vec![owner(), grant("a", &spends)]), wrong("a"));
}

#[test]
fn a_registered_node_acts_for_its_operator_but_spends_nothing() {
    let mut world = World::new();
    let rate = credits("3.6");
    let app = world.open("bob", "app", Amount::credits(100), 1, rate, &[]).unwrap();
    let quote = world.seal("alice.node", world.quote(app, 0, 1, terms("alice", rate)));
    let lease = world.lease("bob", quote, None).unwrap();
    world.wait(Millis::seconds(10));
    assert_eq!(as_alice(&mut world, "alice.node", pay("1")), not_allowed("alice.node", Authority::Spend));
    let receipt = world.receipt(lease, 1, 1, Millis::seconds(10), credits("0.01"));
    let settle = Action::Settle { receipt: Box::new(world.seal("bob", receipt)) };
    as_alice(&mut world, "alice.node", settle).unwrap();
    as_alice(&mut world, "alice.node", Action::CloseLease { lease }).unwrap();
    assert_eq!(as_alice(&mut world, "south.node", pay("1")), not_allowed("south.node", Authority::Spend));
    // A key that is no point of the curve signs nothing, but may stand in a key set without harm.
    let odd = KeyGrant { key: PublicKey([0xff; 32]), roles: vec![Role::Node] };
    set_keys(&mut world, "alice", vec![grant("alice", &[Role::Owner]), odd]).unwrap();
}
