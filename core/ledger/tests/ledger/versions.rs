//! New rules: who follows them says so, and they hold for all from one height on. And headers without their blocks.

use grange_ledger::{
    Action, Block, BlockError, Genesis, HeaderProof, Ledger, Parameters, Rejection, Upgrade, Validator,
    validators_digest,
};
use grange_types::{Amount, BlockId, Height, Millis, Wire};

use crate::world::{World, account, genesis, key, node};

/// Four validators with the powers 1, 1, 1 and 2, under the first rules.
fn four() -> Genesis {
    let power = |name: &str| if name == "south" { 2 } else { 1 };
    let voter = |name: &&str| Validator::new(account(name), key(&format!("{name}.votes")).public(), power(name));
    let parameters = Parameters { version: 1, activation: 3, ..Parameters::dev() };
    let voters = ["alice", "bob", "north", "south"];
    Genesis { validators: voters.iter().map(voter).collect(), ..genesis(parameters) }
}

fn signal(world: &mut World, name: &str, version: u16) -> Result<(), Rejection> {
    let envelope = world.envelope(&format!("{name}.votes"), name, Action::Signal { version });
    world.offer(envelope).map(drop)
}

fn pay(world: &mut World, memo: usize) -> Result<(), Rejection> {
    let memo = "m".repeat(memo);
    world.act("alice", Action::Transfer { to: account("bob"), amount: Amount::CREDIT, memo }).map(drop)
}

#[test]
fn new_rules_hold_when_more_than_two_thirds_follow_them() {
    let mut world = World::with(four());
    assert_eq!(pay(&mut world, 65), Err(Rejection::MemoTooLong { length: 65, limit: 64 }));
    assert_eq!(signal(&mut world, "watcher", 2), Err(Rejection::UnknownValidator { account: account("watcher") }));
    signal(&mut world, "south", 2).unwrap();
    let again = Rejection::SignalledBefore { account: account("south"), version: 2 };
    assert_eq!(signal(&mut world, "south", 2), Err(again));
    signal(&mut world, "bob", 2).unwrap();
    world.wait(Millis::seconds(1));
    // Three of five are less than two thirds.
    assert_eq!((world.ledger.view().upgrade(), world.ledger.view().version()), (None, 1));
    signal(&mut world, "alice", 2).unwrap();
    world.wait(Millis::seconds(1));
    let height = world.ledger.height();
    let upgrade = Upgrade { version: 2, height: height.plus(3) };
    assert_eq!((world.ledger.view().upgrade(), world.ledger.view().version()), (Some(upgrade), 1));
    // Who takes back what it said does not stop what is under way.
    signal(&mut world, "alice", 1).unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(world.ledger.view().version(), 1);
    world.wait(Millis::seconds(1));
    assert_eq!((world.ledger.view().upgrade(), world.ledger.view().version()), (None, 2));
    assert_eq!(pay(&mut world, 129), Err(Rejection::MemoTooLong { length: 129, limit: 128 }));
    pay(&mut world, 128).unwrap();
    world.wait(Millis::seconds(1));
    assert_eq!(world.ledger.height(), height.plus(3));
}

#[test]
fn who_is_left_behind_stops_before_the_new_rules_and_says_so() {
    let mut world = World::with(four());
    let mut behind = Ledger::new(&four()).unwrap().following(1);
    for name in ["south", "bob", "alice"] {
        signal(&mut world, name, 2).unwrap();
    }
    for _ in 0..4 {
        let time = world.time;
        let mut candidates = world.pending.iter().map(|(id, transaction)| (*id, transaction));
        let block = world.ledger.build(time, node("north"), &mut candidates).unwrap().block;
        world.wait(Millis::seconds(1));
        match behind.prepare(block, &|_, _| false) {
            Ok(prepared) => drop(behind.commit(prepared).unwrap()),
            Err(error) => {
                let needed = BlockError::Outdated { height: Height(4), needed: 2, followed: 1 };
                assert_eq!((error, behind.check_version()), (needed.clone(), Err(needed)));
            }
        }
    }
    assert_eq!((behind.height(), world.ledger.height()), (Height(3), Height(4)));
    let built = behind.build(world.time, node("north"), &mut core::iter::empty());
    assert!(matches!(built, Err(BlockError::Outdated { .. })), "who does not follow the rules builds no block by them");
    let Ok(()) = behind.following(2).check_version() else { panic!("after an upgrade it goes on") };
}

#[test]
fn a_block_by_other_rules_than_those_of_its_height_is_refused() {
    let world = World::with(four());
    let mut block = world.ledger.build(world.time, node("north"), &mut core::iter::empty()).unwrap().block;
    block.header.version = 2;
    let refused = world.ledger.prepare(block, &|_, _| false).unwrap_err();
    assert_eq!(refused, BlockError::Version { theirs: 2, expected: 1 });
}

#[test]
fn a_header_names_who_decides_the_next_block() {
    let mut world = World::with(four());
    signal(&mut world, "south", 2).unwrap();
    let mut candidates = world.pending.iter().map(|(id, transaction)| (*id, transaction));
    let mut block = world.ledger.build(world.time, node("north"), &mut candidates).unwrap().block;
    world.wait(Millis::seconds(1));
    assert_eq!(block.header.next_validators, validators_digest(world.ledger.view().validators()));
    let fresh = Ledger::new(&four()).unwrap();
    let (theirs, expected) = (validators_digest(&[]), block.header.next_validators);
    block.header.next_validators = theirs;
    assert_eq!(fresh.prepare(block, &|_, _| false).unwrap_err(), BlockError::Validators { theirs, expected });
}

#[test]
fn a_header_is_shown_without_its_block() {
    let mut world = World::new();
    for count in [0, 1, 3, 7, 40] {
        for _ in 0..count {
            pay(&mut world, 40).unwrap();
        }
        let mut candidates = world.pending.iter().map(|(id, transaction)| (*id, transaction));
        let block = world.ledger.build(world.time, node("north"), &mut candidates).unwrap().block;
        world.wait(Millis::seconds(1));
        check_header(&block, count);
    }
}

fn check_header(block: &Block, count: usize) {
    let proof = HeaderProof::of(block);
    assert_eq!((proof.id().unwrap(), &proof.header), (block.id(), &block.header), "{count} transactions");
    assert_eq!(HeaderProof::decode(&proof.encode()).unwrap(), proof);
    // Whatever is altered, it is not this block's header any more.
    let altered = |change: &dyn Fn(&mut HeaderProof)| {
        let mut other = proof.clone();
        change(&mut other);
        assert_ne!(other.id().unwrap_or(BlockId([0; 32])), block.id(), "{count} transactions");
    };
    altered(&|other| other.header.state_root.0[0] ^= 1);
    altered(&|other| other.rest.push(0));
    altered(&|other| other.beside.push([0; 32]));
    altered(&|other| other.rest.truncate(other.rest.len().saturating_sub(1)));
    if !proof.beside.is_empty() {
        altered(&|other| other.beside[0][0] ^= 1);
        altered(&|other| other.beside.truncate(proof.beside.len() - 1));
        altered(&|other| other.beside.swap_remove(0)[0] = 0);
    }
}
