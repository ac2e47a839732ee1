//! Blocks: what makes one valid, what building drops, what committing tells.

use grange_ledger::{Action, Block, BlockError, Book, Change, CommitError, Ledger, Posting, Rejection};
use grange_types::{Amount, BlockId, Height, Millis, Signed, StateRoot, Time, TxId, limits};

use crate::world::{World, account, node};

fn pay(to: &str, amount: u32) -> Action {
    Action::Transfer { to: account(to), amount: Amount::credits(amount), memo: String::new() }
}

fn build(world: &World) -> Block {
    let mut candidates = world.pending.iter().map(|(id, transaction)| (*id, transaction));
    world.ledger.build(world.time, node("north"), &mut candidates).unwrap().block
}

fn refused(ledger: &Ledger, block: Block) -> BlockError {
    ledger.prepare(block, &|_, _| false).unwrap_err()
}

#[test]
fn a_block_must_be_the_next_one_on_this_state() {
    let mut world = World::new();
    world.act("alice", pay("bob", 1)).unwrap();
    world.wait(Millis::seconds(1));
    let block = build(&world);
    let (ledger, parent) = (&world.ledger, world.ledger.time());
    let check = |edit: &dyn Fn(&mut Block)| {
        let mut block = block.clone();
        edit(&mut block);
        refused(ledger, block)
    };
    assert!(ledger.prepare(block.clone(), &|_, _| false).is_ok());
    assert_eq!(
        check(&|block| block.header.version = 1),
        BlockError::Version { theirs: 1, expected: grange_ledger::VERSION }
    );
    let expected = Height(2);
    assert_eq!(check(&|block| block.header.height = Height(3)), BlockError::Height { theirs: Height(3), expected });
    let theirs = BlockId([1; 32]);
    assert_eq!(check(&|block| block.header.parent = theirs), BlockError::Parent { theirs, expected: ledger.head() });
    let (theirs, expected) = (StateRoot([1; 32]), ledger.state_root());
    assert_eq!(check(&|block| block.header.state_root = theirs), BlockError::StateRoot { theirs, expected });
    assert_eq!(check(&|block| block.header.time = parent), BlockError::Time { theirs: parent, parent });
}

#[test]
fn a_valid_block_holds_only_transactions_that_apply() {
    let mut world = World::new();
    world.act("alice", pay("bob", 1)).unwrap();
    let mut block = build(&world);
    let transaction = world.envelope("alice", "alice", pay("bob", 5_000));
    block.transactions.push(transaction.clone());
    match refused(&world.ledger, block.clone()) {
        BlockError::Transaction { index: 1, id, source: Rejection::InsufficientBalance { .. } } => {
            assert_eq!(id, transaction.id());
        }
        other => panic!("{other:?}"),
    }
    block.transactions[1] = block.transactions[0].clone();
    let replayed = refused(&world.ledger, block);
    assert!(matches!(replayed, BlockError::Transaction { index: 1, source: Rejection::Replayed { .. }, .. }));
}

#[test]
fn order_counts() {
    let mut world = World::new();
    world.act("alice", pay("fresh", 10)).unwrap();
    world.act("fresh", pay("bob", 10)).unwrap();
    let mut block = build(&world);
    assert!(world.ledger.prepare(block.clone(), &|_, _| false).is_ok());
    block.transactions.reverse();
    assert!(matches!(refused(&world.ledger, block), BlockError::Transaction { index: 0, .. }));
}

#[test]
fn signatures_are_verified_unless_exactly_that_one_is_known() {
    let mut world = World::new();
    world.act("alice", pay("bob", 1)).unwrap();
    let mut block = build(&world);
    let known = block.transactions[0].clone();
    let holds = |_: &TxId, transaction: &Signed<grange_ledger::Transaction>| transaction.signature == known.signature;
    assert!(world.ledger.prepare(block.clone(), &holds).is_ok());
    block.transactions[0].signature.0[0] ^= 1;
    assert!(matches!(world.ledger.prepare(block, &holds), Err(BlockError::Transaction { index: 0, .. })));
}

#[test]
fn building_drops_what_does_not_apply_and_says_so() {
    let mut world = World::new();
    let transactions: Vec<_> = [(1, 600), (2, 600), (3, 300)]
        .into_iter()
        .map(|(_, amount)| world.envelope("alice", "alice", pay("bob", amount)))
        .collect();
    let mut candidates = transactions.iter().map(|transaction| (transaction.id(), transaction));
    let prepared = world.ledger.build(world.time, node("north"), &mut candidates).unwrap();
    assert_eq!(prepared.block.transactions, [transactions[0].clone(), transactions[2].clone()]);
    assert_eq!(prepared.refused.len(), 1);
    assert_eq!(prepared.refused[0].0, transactions[1].id());
    assert!(matches!(prepared.refused[0].1, Rejection::InsufficientBalance { .. }));
}

#[test]
fn a_block_is_never_earlier_than_its_parent() {
    let world = World::new();
    let prepared = world.ledger.build(Time(0), node("north"), &mut core::iter::empty()).unwrap();
    assert_eq!(prepared.block.header.time, world.ledger.time().after(Millis(1)));
    assert!(world.ledger.prepare(prepared.block, &|_, _| false).is_ok());
}

#[test]
fn a_commit_tells_what_was_touched_and_how_money_moved() {
    let mut world = World::new();
    let first = world.act("alice", pay("bob", 2)).unwrap();
    let second = world.act("bob", pay("fresh", 3)).unwrap();
    world.commit();
    let committed = world.history.last().unwrap();
    assert_eq!(committed.transactions, [first, second]);
    assert_eq!((committed.height, committed.time, committed.id), (Height(1), world.time, world.ledger.head()));
    let mut touched = ["alice", "bob", "fresh"].map(|name| Change::Account(account(name)));
    touched.sort();
    assert_eq!(committed.changes, touched);
    let posting = |cause, debit, credit, amount| Posting {
        cause: Some(cause),
        debit: Book::Balance(account(debit)),
        credit: Book::Balance(account(credit)),
        amount: Amount::credits(amount),
    };
    assert_eq!(committed.postings, [posting(first, "alice", "bob", 2), posting(second, "bob", "fresh", 3)]);
}

#[test]
fn a_block_prepared_on_another_head_is_not_committed() {
    let mut world = World::new();
    let stale = world.ledger.build(world.time, node("north"), &mut core::iter::empty()).unwrap();
    world.act("alice", pay("bob", 1)).unwrap();
    world.commit();
    let before = (world.ledger.head(), world.ledger.state_root());
    let (block, parent) = (stale.id, stale.block.header.parent);
    assert_eq!(world.ledger.commit(stale), Err(CommitError::Stale { block, parent, head: before.0 }));
    assert_eq!((world.ledger.head(), world.ledger.state_root()), before);
}

#[test]
fn checking_building_and_preparing_leave_the_state_alone() {
    let mut world = World::new();
    let transaction = world.envelope("alice", "alice", pay("bob", 1));
    let before = (world.ledger.state_root(), world.ledger.view().balance(account("bob")));
    world.ledger.check(&transaction, world.time).unwrap();
    let mut candidates = core::iter::once((transaction.id(), &transaction));
    let prepared = world.ledger.build(world.time, node("north"), &mut candidates).unwrap();
    world.ledger.prepare(prepared.block, &|_, _| false).unwrap();
    assert_eq!((world.ledger.state_root(), world.ledger.view().balance(account("bob"))), before);
}

#[test]
fn two_nodes_with_the_same_blocks_have_the_same_root() {
    let mut world = World::new();
    let mut follower = world.ledger.clone();
    for round in 1..20 {
        world.act("alice", pay("bob", round)).unwrap();
        world.act("bob", pay("fresh", 1)).unwrap();
        let prepared = follower.prepare(build(&world), &|_, _| false).unwrap();
        follower.commit(prepared).unwrap();
        world.wait(Millis::seconds(1));
        assert_eq!((follower.head(), follower.state_root()), (world.ledger.head(), world.ledger.state_root()));
    }
}

#[test]
fn a_block_keeps_to_its_number_of_transactions() {
    let world = World::new();
    let mut block = build(&world);
    let mut maker = World::new();
    let transaction = maker.envelope("alice", "alice", pay("bob", 1));
    block.transactions = vec![transaction; limits::BLOCK_TRANSACTIONS + 1];
    assert!(matches!(refused(&world.ledger, block), BlockError::TooMany { .. }));
}
