//! The pool of waiting transactions.

use grange_ledger::{Action, Mempool, MempoolError};
use grange_types::{Amount, Millis, Signed, TxId, limits};

use crate::world::{World, account};

fn transfer(world: &mut World, who: &str) -> (TxId, Signed<grange_ledger::Transaction>) {
    let action = Action::Transfer { to: account("bob"), amount: Amount(1), memo: String::new() };
    let transaction = world.envelope(who, who, action);
    (transaction.id(), transaction)
}

#[test]
fn transactions_wait_in_the_order_of_their_arrival() {
    let (mut world, mut pool) = (World::new(), Mempool::new());
    let all: Vec<_> = ["north", "alice", "south", "alice"].map(|who| transfer(&mut world, who)).into();
    for (id, transaction) in &all {
        pool.insert(*id, transaction.clone(), &world.ledger, world.time).unwrap();
    }
    let order: Vec<_> = pool.candidates().map(|(id, _)| id).collect();
    assert_eq!(order, all.iter().map(|(id, _)| *id).collect::<Vec<_>>());
    let (id, transaction) = all[1].clone();
    assert_eq!(pool.insert(id, transaction.clone(), &world.ledger, world.time), Err(MempoolError::Present { id }));
    assert!(pool.contains(&id) && pool.holds(&id, &transaction));
    let mut forged = transaction;
    forged.signature.0[0] ^= 1;
    assert!(!pool.holds(&id, &forged));
    let prepared = world.ledger.build(world.time, crate::world::node("north"), &mut pool.candidates()).unwrap();
    assert!(pool.covers(&prepared.block));
    let committed = world.ledger.commit(prepared).unwrap();
    pool.remove_committed(&committed.transactions);
    assert!(pool.is_empty());
    let (id, transaction) = all[0].clone();
    assert_eq!(pool.insert(id, transaction, &world.ledger, world.time), Err(MempoolError::Applied { id }));
}

#[test]
fn expired_transactions_leave() {
    let (mut world, mut pool) = (World::new(), Mempool::new());
    let (early, transaction) = transfer(&mut world, "alice");
    pool.insert(early, transaction.clone(), &world.ledger, world.time).unwrap();
    world.time = world.time.after(Millis::seconds(1));
    let (late, other) = transfer(&mut world, "alice");
    pool.insert(late, other, &world.ledger, world.time).unwrap();
    assert_eq!(pool.remove_expired(transaction.expires), []);
    let after = transaction.expires.after(Millis(1));
    assert_eq!(pool.remove_expired(after), [early]);
    assert_eq!((pool.len(), pool.get(&early)), (1, None));
    let expired = Err(MempoolError::Expired { id: early, expired: transaction.expires });
    assert_eq!(pool.insert(early, transaction, &world.ledger, after), expired);
}

#[test]
fn one_account_cannot_fill_the_pool() {
    let (mut world, mut pool) = (World::new(), Mempool::new());
    let mut first = None;
    for _ in 0..limits::MEMPOOL_PER_ACCOUNT {
        let (id, transaction) = transfer(&mut world, "alice");
        first.get_or_insert(id);
        pool.insert(id, transaction, &world.ledger, world.time).unwrap();
    }
    let (id, transaction) = transfer(&mut world, "alice");
    let full = MempoolError::AccountFull { account: account("alice"), limit: limits::MEMPOOL_PER_ACCOUNT };
    assert_eq!(pool.insert(id, transaction.clone(), &world.ledger, world.time), Err(full));
    let (other, theirs) = transfer(&mut world, "south");
    pool.insert(other, theirs, &world.ledger, world.time).unwrap();
    pool.remove(&first.unwrap()).unwrap();
    pool.insert(id, transaction, &world.ledger, world.time).unwrap();
}

#[test]
fn the_pool_has_a_limit() {
    let (mut world, mut pool) = (World::new(), Mempool::new());
    let (_, transaction) = transfer(&mut world, "alice");
    // The pool trusts the ids it is given, so these need not be signed one by one.
    let numbered = |number: usize| {
        let mut copy = transaction.clone();
        copy.body.account.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
        let mut id = TxId([0; 32]);
        id.0[..8].copy_from_slice(&(number as u64).to_le_bytes());
        (id, copy)
    };
    for number in 0..limits::MEMPOOL_TRANSACTIONS {
        let (id, transaction) = numbered(number);
        pool.insert(id, transaction, &world.ledger, world.time).unwrap();
    }
    let (id, transaction) = numbered(limits::MEMPOOL_TRANSACTIONS);
    let full = MempoolError::Full { limit: limits::MEMPOOL_TRANSACTIONS };
    assert_eq!(pool.insert(id, transaction, &world.ledger, world.time), Err(full));
}
