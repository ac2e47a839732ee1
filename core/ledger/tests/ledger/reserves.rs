//! A lost steward's place: who may give it, to whom, and what does not change by it.

use grange_ledger::{Action, Delegate, Genesis, Parameters, Rejection, Verb};
use grange_types::{Amount, BlobId, DeploymentId, Millis};

use crate::world::{World, account, delegate, genesis, slot};

/// Alice's app with two stewards, and two reserves whom she allows to take their places.
fn opened(world: &mut World) -> DeploymentId {
    let reserve = |name| Delegate { account: account(name), verbs: [].into(), ceiling_per_day: Amount::ZERO };
    let stewards = [delegate("steward", Amount::CREDIT), delegate("watcher", Amount::credits(2))];
    let action = Action::OpenDeployment {
        name: Some("app".into()),
        manifest: BlobId::of(b"manifest"),
        budget: Amount::credits(10),
        slots: vec![slot(0, Amount::CREDIT)],
        delegates: [&stewards[..], &["north", "south"].map(reserve)].concat(),
    };
    DeploymentId(world.act("alice", action).unwrap().0)
}

fn replace(world: &mut World, who: &str, deployment: DeploymentId, lost: &str, by: &str) -> Result<(), Rejection> {
    world.act(who, Action::ReplaceDelegate { deployment, lost: account(lost), by: account(by) }).map(drop)
}

/// The delegates in order: who acts, with its ceiling, and who does not.
fn delegates(world: &mut World, id: DeploymentId) -> Vec<(String, Amount)> {
    world.wait(Millis::seconds(1));
    let view = world.ledger.view();
    let name = |delegate: &Delegate| {
        let names = ["alice", "bob", "north", "south", "steward", "watcher"];
        let name = names.into_iter().find(|name| account(name) == delegate.account).unwrap();
        let acts = delegate.verbs.contains(&Verb::Receipt);
        (if acts { name.to_owned() } else { format!("({name})") }, delegate.ceiling_per_day)
    };
    view.deployment(id).unwrap().delegates.iter().map(name).collect()
}

#[test]
fn a_reserve_takes_the_place_of_a_steward_that_is_lost() {
    let mut world = World::with(genesis(Parameters::dev()));
    let id = opened(&mut world);
    let no = |lost: &str, by: &str| Err(Rejection::NoReserve { deployment: id, lost: account(lost), by: account(by) });
    // Nobody brings in whom the owner did not name, calls himself lost, or has what is no steward replaced.
    assert_eq!(replace(&mut world, "steward", id, "watcher", "bob"), no("watcher", "bob"));
    assert_eq!(replace(&mut world, "steward", id, "steward", "north"), no("steward", "north"));
    assert_eq!(replace(&mut world, "steward", id, "south", "north"), no("south", "north"));
    assert_eq!(replace(&mut world, "steward", id, "watcher", "steward"), no("watcher", "steward"));
    // A reserve may do nothing, this neither; and a stranger even less.
    for who in ["north", "bob"] {
        let denied = Rejection::NotDelegate { deployment: id, account: account(who), verb: Verb::Place };
        assert_eq!(replace(&mut world, who, id, "watcher", "north"), Err(denied));
    }
    let steward = ("steward".to_owned(), Amount::CREDIT);
    replace(&mut world, "steward", id, "watcher", "south").unwrap();
    let after = [
        steward.clone(),
        ("south".to_owned(), Amount::credits(2)),
        ("(north)".to_owned(), Amount::ZERO),
        ("(watcher)".to_owned(), Amount::ZERO),
    ];
    assert_eq!(delegates(&mut world, id), after);
    // Of two that act at once, one comes too late; and who was lost comes back in the same way.
    assert_eq!(replace(&mut world, "alice", id, "watcher", "south"), no("watcher", "south"));
    replace(&mut world, "alice", id, "south", "watcher").unwrap();
    assert_eq!(delegates(&mut world, id)[1], ("watcher".to_owned(), Amount::credits(2)));
}

#[test]
fn rules_of_before_know_no_reserves() {
    let old: Genesis = genesis(Parameters { version: 2, ..Parameters::dev() });
    let mut world = World::with(old);
    let id = opened(&mut world);
    assert_eq!(replace(&mut world, "alice", id, "watcher", "south"), Err(Rejection::NotYet { needed: 3, holds: 2 }));
}
