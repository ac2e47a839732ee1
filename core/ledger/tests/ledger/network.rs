//! Genesis, nodes, validators and fees.

use grange_ledger::{
    Action, Change, Genesis, GenesisError, Ledger, NodeEntry, Parameters, Purpose, Rejection, Validator,
};
use grange_types::{
    Amount, BlockId, Equivocation, Height, KeyGrant, Millis, Role, SignedVote, Time, Vote, VoteKind, Wire,
};

use crate::world::{World, account, credits, genesis, key, node};

fn register(world: &mut World, who: &str, name: &str, consent_by: &str) -> Result<(), Rejection> {
    let entry = NodeEntry {
        peer: key(name).public().peer(),
        operator: account(who),
        display: name.into(),
        region: "eu".to_owned().try_into().unwrap(),
        relays: Vec::new(),
    };
    let consent = world.statement(consent_by, who, Purpose::Node);
    world.act(who, Action::RegisterNode { node: entry, consent }).map(drop)
}

fn vote(world: &mut World, who: &str, name: &str, power: u64) -> Result<(), Rejection> {
    let consent = world.statement(name, who, Purpose::Validator);
    world.act(who, Action::SetValidator { key: key(name).public(), power, consent }).map(drop)
}

#[test]
fn a_node_is_registered_by_both_signatures() {
    let mut world = World::new();
    let peer = key("fresh").public().peer();
    let (purpose, who) = (Purpose::Node, account("bob"));
    let refusal = Err(Rejection::NoConsent { key: key("fresh").public(), account: who, purpose });
    assert_eq!(register(&mut world, "bob", "fresh", "bob"), refusal);
    register(&mut world, "bob", "fresh", "fresh").unwrap();
    world.wait(Millis::seconds(1));
    let view = world.ledger.view();
    assert_eq!((view.operator_of(peer), view.node(peer).unwrap().display.as_str()), (Some(who), "fresh"));
    assert_eq!(view.operator(who).unwrap().nodes, 1);
    assert_eq!(world.history.last().unwrap().changes, [Change::Account(who), Change::Node(peer)]);
    // Another operator gets it only after it was removed here.
    let taken = Err(Rejection::NodeTaken { node: peer, operator: who });
    assert_eq!(register(&mut world, "alice", "fresh", "fresh"), taken);
    assert_eq!(world.act("alice", Action::RemoveNode { node: peer }).map(drop), taken);
    world.act("bob", Action::RemoveNode { node: peer }).unwrap();
    register(&mut world, "alice", "fresh", "fresh").unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(world.ledger.view().operator_of(peer), Some(account("alice")));
    assert_eq!(world.ledger.view().operator(who), None);
    assert_eq!(
        world.act("bob", Action::RemoveNode { node: node("x") }),
        Err(Rejection::UnknownNode { node: node("x") })
    );
}

#[test]
fn a_node_whose_key_owns_its_account_comes_over_with_its_consent_alone() {
    let mut world = World::new();
    let (peer, own) = (key("fresh").public().peer(), account("fresh"));
    register(&mut world, "fresh", "fresh", "fresh").unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!((world.ledger.view().account_of(peer), world.ledger.view().nodes_of(own)), (Some(own), vec![peer]));
    let nodes = |world: &World| world.ledger.view().operator(account("alice")).map_or(0, |operator| operator.nodes);
    let before = nodes(&world);
    register(&mut world, "alice", "fresh", "fresh").unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(nodes(&world), before + 1);
    let view = world.ledger.view();
    assert_eq!((view.account_of(peer), view.operator(own)), (Some(account("alice")), None));
    assert!(view.nodes_of(own).is_empty() && view.nodes_of(account("alice")).contains(&peer));
    // Its own key owns no account that it serves any more: the next one has to wait until it is removed.
    let taken = Err(Rejection::NodeTaken { node: peer, operator: account("alice") });
    assert_eq!(register(&mut world, "bob", "fresh", "fresh"), taken);
}

#[test]
fn a_first_key_that_was_taken_out_is_no_node_of_its_account_any_more() {
    let mut world = World::new();
    let (lost, own) = (key("bob").public().peer(), account("bob"));
    let phrase = KeyGrant { key: key("phrase").public(), roles: vec![Role::Owner] };
    let spend = Role::Spend { per_day: credits("1") };
    // Nobody registered it: who may act for the account with the machine's key follows from the key set alone.
    for (roles, acts) in [(vec![Role::Owner], true), (vec![Role::Node, spend], true), (vec![Role::Validator], false)] {
        let keys = vec![phrase.clone(), KeyGrant { key: key("bob").public(), roles }];
        let change = world.envelope("phrase", "bob", Action::SetKeys { keys: keys.clone() });
        let first = world.ledger.view().accounts_owned_by(phrase.key).is_empty();
        if first { world.act("bob", Action::SetKeys { keys }) } else { world.offer(change) }.unwrap();
        world.wait(Millis::seconds(1));
        let view = world.ledger.view();
        assert_eq!((view.account_of(lost), view.nodes_of(own).contains(&lost)), (acts.then_some(own), acts));
    }
    // What is registered acts for its account, whatever the key set says.
    let entry = NodeEntry {
        peer: lost,
        operator: own,
        display: String::new(),
        region: "eu".to_owned().try_into().unwrap(),
        relays: Vec::new(),
    };
    let consent = world.statement("bob", "bob", Purpose::Node);
    let registered = world.envelope("phrase", "bob", Action::RegisterNode { node: entry, consent });
    world.offer(registered).unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(world.ledger.view().account_of(lost), Some(own));
}

#[test]
fn the_accounts_of_a_key_are_those_that_it_owns() {
    let mut world = World::new();
    let phrase = key("phrase").public();
    assert_eq!(world.ledger.view().accounts_owned_by(phrase), []);
    let spend = Role::Spend { per_day: credits("1") };
    let keys = vec![
        KeyGrant { key: phrase, roles: vec![Role::Owner] },
        KeyGrant { key: key("alice").public(), roles: vec![spend] },
    ];
    world.act("alice", Action::SetKeys { keys }).unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(world.ledger.view().accounts_owned_by(phrase), [account("alice")]);
    assert_eq!(world.ledger.view().accounts_owned_by(key("alice").public()), [], "it may only spend now");
    assert_eq!(world.ledger.view().accounts_owned_by(key("bob").public()), [account("bob")]);
}

#[test]
fn a_consent_is_for_one_account_and_one_purpose() {
    let mut world = World::new();
    let entry = |who| NodeEntry {
        peer: key("fresh").public().peer(),
        operator: account(who),
        display: String::new(),
        region: "eu".to_owned().try_into().unwrap(),
        relays: Vec::new(),
    };
    for consent in
        [world.statement("fresh", "alice", Purpose::Node), world.statement("fresh", "bob", Purpose::Validator)]
    {
        let result = world.act("bob", Action::RegisterNode { node: entry("bob"), consent });
        assert!(matches!(result, Err(Rejection::NoConsent { .. })), "{result:?}");
    }
    let consent = world.statement("fresh", "bob", Purpose::Node);
    let result = world.act("bob", Action::RegisterNode { node: entry("alice"), consent });
    assert!(matches!(result, Err(Rejection::NodeInvalid { .. })), "{result:?}");
}

#[test]
fn bonds_gate_nodes_and_power() {
    let parameters = Parameters { min_bond: Amount::credits(10), power_bond: Amount::credits(5), ..Parameters::dev() };
    let mut world = World::with(genesis(parameters));
    let low = |needed, available| {
        let (needed, available) = (Amount::credits(needed), Amount::credits(available));
        Err(Rejection::BondTooLow { account: account("bob"), needed, available })
    };
    assert_eq!(register(&mut world, "bob", "fresh", "fresh"), low(10, 0));
    assert_eq!(vote(&mut world, "bob", "bob.votes", 1), low(5, 0));
    world.act("bob", Action::Bond { amount: Amount::credits(12) }).unwrap();
    register(&mut world, "bob", "fresh", "fresh").unwrap();
    assert_eq!(vote(&mut world, "bob", "bob.votes", 3), low(15, 12));
    vote(&mut world, "bob", "bob.votes", 2).unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(world.ledger.view().validators().len(), 2);
    assert_eq!(world.act("bob", Action::Unbond { amount: Amount::credits(3) }).map(drop), low(10, 9));
    world.act("bob", Action::Unbond { amount: Amount::credits(2) }).unwrap();
    vote(&mut world, "bob", "bob.votes", 0).unwrap();
    world.act("bob", Action::RemoveNode { node: key("fresh").public().peer() }).unwrap();
    world.act("bob", Action::Unbond { amount: Amount::credits(10) }).unwrap();
    world.wait(Millis::HOUR);
    world.commit();
    assert_eq!(world.ledger.view().balance(account("bob")), Amount::credits(1_000));
    assert_eq!(world.ledger.view().operator(account("bob")), None);
}

#[test]
fn validators_change_with_the_block_and_never_vanish() {
    let mut world = World::new();
    let last = Err(Rejection::LastValidator { account: account("north") });
    assert_eq!(vote(&mut world, "north", "north.votes", 0), last);
    assert_eq!(vote(&mut world, "bob", "bob.votes", 1), Err(Rejection::ValidatorsClosed));
    assert_eq!(vote(&mut world, "north", "north.votes", 2), Err(Rejection::ValidatorsClosed));
    assert_eq!(vote(&mut world, "bob", "bob.votes", 0), Err(Rejection::UnknownValidator { account: account("bob") }));
    // A new machine brings a new key, with the power the account has.
    vote(&mut world, "north", "north.new", 1).unwrap();
    world.wait(Millis::seconds(1));
    let expected = Validator::new(account("north"), key("north.new").public(), 1);
    assert_eq!(world.ledger.view().validators(), [expected]);
    assert!(world.history.last().unwrap().changes.contains(&Change::Validators));

    let parameters = Parameters { power_bond: Amount::CREDIT, ..Parameters::dev() };
    let mut world = World::with(genesis(parameters));
    world.act("bob", Action::Bond { amount: Amount::credits(9) }).unwrap();
    let taken = Err(Rejection::ValidatorKeyTaken { key: key("north.votes").public(), account: account("north") });
    assert_eq!(vote(&mut world, "bob", "north.votes", 9), taken);
    assert_eq!(vote(&mut world, "bob", "bob.votes", (1 << 48) + 1), Err(Rejection::PowerTooHigh));
    vote(&mut world, "bob", "bob.votes", 9).unwrap();
    vote(&mut world, "north", "north.votes", 0).unwrap();
    world.wait(Millis::seconds(1));
    let total: u64 = world.ledger.view().validators().iter().map(|validator| validator.power).sum();
    assert_eq!(total, 9);
}

/// Two votes of a key for one place: of one block, and of none.
fn lie(world: &World, name: &str, height: u64) -> Box<Equivocation> {
    let network = world.ledger.network();
    let vote = |block| {
        let (height, validator) = (Height(height), key(name).public().peer());
        SignedVote::seal(network, &key(name), Vote { kind: VoteKind::Precommit, height, round: 2, block, validator })
    };
    Box::new(Equivocation::Votes(vote(None), vote(Some(BlockId([1; 32])))))
}

/// A network in which bob votes beside north, with a bond.
fn two_voters() -> World {
    let parameters = Parameters { power_bond: Amount::CREDIT, ..Parameters::dev() };
    let mut world = World::with(genesis(parameters));
    world.act("bob", Action::Bond { amount: Amount::credits(9) }).unwrap();
    vote(&mut world, "bob", "bob.votes", 9).unwrap();
    world.wait(Millis::seconds(1));
    world
}

#[test]
fn who_votes_against_himself_votes_no_more_and_gets_no_bond_back() {
    let mut world = two_voters();
    let accused = account("bob");
    world.act("bob", Action::Unbond { amount: Amount::ZERO }).unwrap_err();
    let proof = lie(&world, "bob.votes", 7);
    world.act("alice", Action::Accuse { accused, proof: proof.clone() }).unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(world.ledger.view().validators().len(), 1, "it votes no more");
    let frozen = Err(Rejection::Frozen { account: accused });
    assert_eq!(world.act("alice", Action::Accuse { accused, proof }).map(drop), frozen, "once is enough");
    assert_eq!(world.act("bob", Action::Unbond { amount: Amount::CREDIT }).map(drop), frozen);
    assert_eq!(vote(&mut world, "bob", "bob.again", 1), frozen);
    for _ in 0..3 {
        world.wait(Millis::HOUR);
    }
    let operator = world.ledger.view().operator(accused).unwrap();
    assert_eq!((operator.bond, operator.frozen), (Amount::credits(9), true), "for good");
}

#[test]
fn a_bond_on_its_way_back_and_a_former_key_are_answered_with() {
    let mut world = two_voters();
    let accused = account("bob");
    vote(&mut world, "bob", "bob.votes", 0).unwrap();
    world.act("bob", Action::Unbond { amount: Amount::credits(9) }).unwrap();
    world.wait(Millis::minutes(59));
    let proof = lie(&world, "bob.votes", 7);
    world.act("alice", Action::Accuse { accused, proof: proof.clone() }).unwrap();
    world.wait(Millis::HOUR);
    world.wait(Millis::HOUR);
    assert_eq!(world.ledger.view().balance(accused), Amount::credits(991), "what was on its way stays too");

    // After that time nobody answers for the key any more, and the bond was back.
    let mut world = two_voters();
    vote(&mut world, "bob", "bob.votes", 0).unwrap();
    world.act("bob", Action::Unbond { amount: Amount::credits(9) }).unwrap();
    world.wait(Millis::HOUR);
    world.commit();
    let validator = key("bob.votes").public().peer();
    assert_eq!(
        world.act("alice", Action::Accuse { accused, proof }).map(drop),
        Err(Rejection::NotItsKey { accused, validator })
    );
    assert_eq!(world.ledger.view().balance(accused), Amount::credits(1_000));
    assert_eq!(world.ledger.view().operator(accused), None);
}

#[test]
fn a_key_is_changed_once_in_the_time_that_a_bond_stays_locked() {
    let mut world = two_voters();
    vote(&mut world, "bob", "bob.second", 9).unwrap();
    assert!(matches!(vote(&mut world, "bob", "bob.third", 9), Err(Rejection::KeyChangedBefore { .. })));
    assert!(matches!(vote(&mut world, "bob", "bob.second", 0), Err(Rejection::KeyChangedBefore { .. })));
    vote(&mut world, "bob", "bob.second", 3).unwrap();
    world.wait(Millis::minutes(61));
    vote(&mut world, "bob", "bob.third", 3).unwrap();
}

#[test]
fn a_key_that_is_answered_for_is_nobody_elses() {
    let mut world = two_voters();
    let taken = Err(Rejection::ValidatorKeyTaken { key: key("bob.votes").public(), account: account("bob") });
    world.act("alice", Action::Bond { amount: Amount::CREDIT }).unwrap();
    world.wait(Millis::seconds(1));
    // In the block in which bob leaves, and in later ones.
    vote(&mut world, "bob", "bob.votes", 0).unwrap();
    assert_eq!(vote(&mut world, "alice", "bob.votes", 1), taken);
    world.wait(Millis::minutes(30));
    assert_eq!(vote(&mut world, "alice", "bob.votes", 1), taken);
    world.wait(Millis::minutes(31));
    vote(&mut world, "alice", "bob.votes", 1).unwrap();
}

#[test]
fn a_false_accusation_is_refused() {
    let mut world = two_voters();
    let (accused, network) = (account("bob"), world.ledger.network());
    let Equivocation::Votes(one, other) = *lie(&world, "bob.votes", 7) else { panic!("no votes") };
    let accuse = |world: &mut World, proof| world.act("alice", Action::Accuse { accused, proof: Box::new(proof) });
    let later = SignedVote::seal(network, &key("bob.votes"), Vote { round: 3, ..other.vote });
    let forged = SignedVote { vote: other.vote, ..one };
    for (proof, reason) in [(Equivocation::Votes(one, one), "the same"), (Equivocation::Votes(one, later), "one place")]
    {
        match accuse(&mut world, proof).unwrap_err() {
            Rejection::NoProof(error) => assert!(error.to_string().contains(reason), "{error}"),
            rejection => panic!("{rejection}"),
        }
    }
    let forged = Box::new(Equivocation::Votes(one, forged));
    let transaction = world.envelope("alice", "alice", Action::Accuse { accused, proof: forged });
    for judged in [world.ledger.check(&transaction, world.time), world.ledger.verify(&transaction, world.time)] {
        assert_eq!(judged.unwrap_err().to_string(), "the proof does not show that a validator voted against itself");
    }
    let stranger = *lie(&world, "bob", 7);
    assert!(matches!(accuse(&mut world, stranger), Err(Rejection::NotItsKey { .. })));
    let proof = lie(&world, "north.votes", 7);
    vote(&mut world, "bob", "bob.votes", 0).unwrap();
    let last = Err(Rejection::LastValidator { account: account("north") });
    assert_eq!(world.act("alice", Action::Accuse { accused: account("north"), proof }).map(drop), last);
}

#[test]
fn every_transaction_pays_the_fee_to_the_treasury() {
    let parameters = Parameters { fee: credits("0.25"), ..Parameters::dev() };
    let mut world = World::with(genesis(parameters));
    let pay = |amount| Action::Transfer { to: account("poor"), amount, memo: String::new() };
    world.act("alice", pay(credits("0.2"))).unwrap();
    assert!(matches!(world.act("bob", pay(Amount::credits(1_000))), Err(Rejection::InsufficientBalance { .. })));
    world.wait(Millis::seconds(1));
    let keys = vec![KeyGrant { key: key("poor").public(), roles: vec![Role::Owner] }];
    assert!(matches!(world.act("poor", Action::SetKeys { keys }), Err(Rejection::InsufficientBalance { .. })));
    world.commit();
    let view = world.ledger.view();
    assert_eq!((view.treasury(), view.balance(account("alice"))), (credits("0.25"), credits("999.55")));
    assert_eq!(view.balance(account("bob")), Amount::credits(1_000));
}

#[test]
fn a_genesis_that_is_no_beginning_is_refused() {
    let check = |edit: &dyn Fn(&mut Genesis)| {
        let mut genesis = genesis(Parameters::dev());
        edit(&mut genesis);
        Ledger::new(&genesis).map(drop)
    };
    assert_eq!(check(&|_| ()), Ok(()));
    assert_eq!(check(&|genesis| genesis.name.clear()), Err(GenesisError::Name { length: 0 }));
    assert_eq!(check(&|genesis| genesis.validators.clear()), Err(GenesisError::ValidatorCount { count: 0 }));
    let voter = key("north.votes").public();
    assert_eq!(check(&|genesis| genesis.validators[0].power = 0), Err(GenesisError::Validator { key: voter }));
    let twice = |genesis: &mut Genesis| genesis.validators.push(genesis.validators[0]);
    assert_eq!(check(&twice), Err(GenesisError::Validator { key: voter }));
    let alice = account("alice");
    let twice = |genesis: &mut Genesis| genesis.accounts.push(genesis.accounts[0].clone());
    assert_eq!(check(&twice), Err(GenesisError::AccountTwice { account: alice }));
    assert_eq!(check(&|genesis| genesis.accounts[0].balance = Amount::MAX), Err(GenesisError::TooMuchMoney));
    let twice = |genesis: &mut Genesis| genesis.nodes.push(genesis.nodes[0].clone());
    assert_eq!(check(&twice), Err(GenesisError::Node { peer: node("alice") }));
    let wrong = |parameter| Err(GenesisError::Parameter { parameter });
    assert_eq!(check(&|genesis| genesis.parameters.gap = Millis(0)), wrong("gap"));
    assert_eq!(check(&|genesis| genesis.parameters.min_lease = Millis::DAY), wrong("min_lease"));
    assert_eq!(check(&|genesis| genesis.parameters.lease_length = Millis(u64::MAX)), wrong("lease_length"));
    let keyless = |genesis: &mut Genesis| {
        genesis.accounts[0].keys = vec![KeyGrant { key: key("a").public(), roles: vec![Role::Node] }];
    };
    assert!(matches!(check(&keyless), Err(GenesisError::Keys { .. })));
}

#[test]
fn a_networks_id_is_its_genesis() {
    let (one, mut other) = (genesis(Parameters::dev()), genesis(Parameters::dev()));
    assert_eq!(one.network_id(), Genesis::decode(&one.encode()).unwrap().network_id());
    other.created = Time(other.created.0 + 1);
    assert_ne!(one.network_id(), other.network_id());
    assert_eq!(Ledger::new(&one).unwrap().network(), one.network_id());
    assert_eq!(Ledger::new(&one).unwrap().head().0, one.network_id().0);
}
