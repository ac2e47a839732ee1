//! An owner whose machine is lost goes on with another one; the lost one, in whoever's hands, is nobody's.

use grange_api::{Call, ProblemCode};
use grange_ledger::{Action, KeyStatement, NodeEntry, Parameters, Purpose, Transaction};
use grange_objects::share::deployment_key;
use grange_peer::{Event, Giver, RouteTable};
use grange_types::{DeploymentId, KeyGrant, Manifest, Millis, Role, SecretKey, Signed, Wire as _};

use crate::support::{World, credits, manifest, token, vault};

/// The machine that is lost, the one in its place, and somebody who goes on all the while.
const LOST: usize = 0;
const NEW: usize = 1;
const OTHER: usize = 6;

fn phrase() -> SecretKey {
    SecretKey::from_bytes(&[99; 32])
}

/// An app with a secret.
fn shop(name: &str) -> Manifest {
    vault(name, &["/run/secrets/token"])
}

/// What the manifest on the new machine's disk says of the secret, opened with the key that a machine draws.
fn opened(world: &World, drawn_by: usize, id: DeploymentId) -> Option<Vec<u8>> {
    world.opened(NEW, drawn_by, id)
}

/// Has an act of the lost machine's account put on the ledger.
fn act(world: &mut World, key: &SecretKey, action: Action) {
    let account = world.peer_id(LOST).account();
    let body = Transaction { account, nonce: world.now.0, action };
    let bytes = Signed::seal(world.genesis().network_id(), key, world.now.after(Millis::minutes(5)), body).encode();
    world.ask(OTHER, Call::SubmitTransaction { bytes }).unwrap();
    world.run_for(Millis::seconds(2));
}

/// Gives the account to the phrase and these machines.
fn set_keys(world: &mut World, by: &SecretKey, machines: &[usize]) {
    let mut keys = vec![KeyGrant { key: phrase().public(), roles: vec![Role::Owner] }];
    let roles = || vec![Role::Node, Role::Spend { per_day: credits("100") }];
    keys.extend(machines.iter().map(|index| KeyGrant { key: world.key(*index).public(), roles: roles() }));
    act(world, by, Action::SetKeys { keys });
}

/// A deployment whose owner's machine is gone, and another one that acts for the account by now.
fn restored() -> (World, DeploymentId) {
    let mut world = World::voted(7, 5, Parameters::dev(), |config| {
        // Before it is the owner's it has nothing to do with what is his.
        let new = config.display == "operator-1";
        (config.roles.provider, config.roles.steward) = (!new, !new);
    });
    world.settle();
    let by = world.key(LOST);
    set_keys(&mut world, &by, &[LOST]);
    let done = world.deploy_with(LOST, shop("shop"), token(b"before")).unwrap();
    world.run_for(Millis::seconds(20));
    world.kill(LOST);
    world.run_for(Millis::seconds(5));

    set_keys(&mut world, &phrase(), &[LOST, NEW]);
    let account = world.peer_id(LOST).account();
    let (peer, key) = (world.peer_id(NEW), world.key(NEW));
    let statement = KeyStatement { account, purpose: Purpose::Node };
    let expires = world.now.after(Millis::minutes(5));
    let consent = Box::new(Signed::seal(world.genesis().network_id(), &key, expires, statement));
    let region = world.hosts[NEW].config.region.clone();
    let node = NodeEntry { peer, operator: account, display: "new".into(), region, relays: Vec::new() };
    act(&mut world, &phrase(), Action::RegisterNode { node, consent });
    world.until("it acts for the account", Millis::seconds(5), |world| world.peer(NEW).account() == account);
    (world, done.id)
}

#[test]
fn a_restored_owner_deploys_anew_and_seals_under_a_key_that_is_kept() {
    let (mut world, _) = restored();
    let done = world.deploy_with(NEW, shop("second"), token(b"new")).unwrap();
    assert_eq!(opened(&world, NEW, done.id).as_deref(), Some(&b"new"[..]));
    let drawn = deployment_key(&world.key(NEW), done.id);
    assert_eq!(world.hosts[NEW].disk.keys.get(&done.id), Some(&drawn), "who runs it can have shares of it");
    let again = world.deploy_with(NEW, shop("second"), token(b"newer")).unwrap();
    assert!(again.changed);
    assert_eq!(opened(&world, NEW, done.id).as_deref(), Some(&b"newer"[..]));
}

#[test]
fn a_secret_of_a_deployment_that_another_machine_opened_is_sealed_under_its_key_or_not_at_all() {
    let (mut world, id) = restored();
    world.run_for(Millis::seconds(20));
    let refused = world.deploy_with(NEW, shop("shop"), token(b"after")).unwrap_err();
    assert_eq!(refused.code, ProblemCode::NotReady, "{refused:?}");
    assert!(refused.remedy.contains("stewards"), "{refused:?}");
    assert_eq!(opened(&world, LOST, id).as_deref(), Some(&b"before"[..]), "nothing was ordered");
    // Without secrets there is nothing to seal.
    world.deploy(NEW, manifest("plain", "10")).unwrap();

    // Two shares of it came together.
    let key = deployment_key(&world.key(LOST), id);
    world.deliver(NEW, Millis(0), Event::Key { deployment: id, key });
    world.run_for(Millis(1));
    assert!(world.deploy_with(NEW, shop("shop"), token(b"after")).unwrap().changed);
    assert_eq!(opened(&world, LOST, id).as_deref(), Some(&b"after"[..]));
    assert!(!world.deploy_with(NEW, shop("shop"), token(b"after")).unwrap().changed, "the same is the same");
}

#[test]
fn requests_are_told_to_every_node_of_the_owner() {
    let (mut world, id) = restored();
    world.run_for(Millis::seconds(20));
    let lease = world.peer(OTHER).ledger().view().open_lease_of(id, 0).unwrap().clone();
    let provider = world.index_of(lease.terms.provider);
    let gateway = (2..7).find(|index| *index != provider).unwrap();
    world.load(gateway, lease.id, 7, 1 << 10);
    world.run_for(Millis::seconds(20));
    world.ask(NEW, Call::Down { name: "shop".into() }).unwrap();
    world.run_for(Millis::seconds(60));
    let ended = world.peer(OTHER).ledger().view().lease(lease.id).unwrap();
    assert!(ended.counters.requests == 7 && ended.settled > lease.settled, "{:?}", ended.counters);
}

#[test]
fn a_revoked_machine_is_no_node_of_the_owner_for_anybody() {
    let (mut world, id) = restored();
    let (lost, new, account) = (world.peer_id(LOST), world.peer_id(NEW), world.peer_id(LOST).account());
    let table = |world: &World| RouteTable::read(world.peer(OTHER).ledger());
    let steward = table(&world).parties[&id].stewards[0];
    assert_eq!(table(&world).parties[&id].owners, [lost, new], "it may be found again");
    act(&mut world, &phrase(), Action::RemoveNode { node: lost });
    let version = world.peer(OTHER).routes_version();
    set_keys(&mut world, &phrase(), &[NEW]);
    assert!(world.peer(OTHER).routes_version() > version, "who answers goes by the new table");
    let now = table(&world);
    assert_eq!(now.parties[&id].owners, [new]);
    assert_eq!((now.giver(steward, lost, id), now.giver(steward, new, id)), (None, Some(Giver::Owner)));
    let named = world.peer(OTHER).ledger().view().deployment(id).unwrap().manifest;
    let reads = |peer| now.readers[&named].contains(&peer);
    assert_eq!((reads(lost), reads(new)), (false, true));

    // It goes on, with all that was on its disk.
    world.start(LOST);
    world.run_for(Millis::seconds(70));
    assert_eq!(world.peer(LOST).account(), account);
    let refused = world.deploy(LOST, manifest("theft", "10")).unwrap_err();
    assert!(refused.message.contains("taken out"), "no provider reserves anything for it: {refused:?}");
    assert!(world.peer(OTHER).ledger().view().deployment_named("theft").is_none());
    assert!(world.peer(OTHER).ledger().view().node(lost).is_none(), "nor does it come back by itself");
}
