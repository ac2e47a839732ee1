//! Snapshots and proofs: the state as others get it.

use grange_ledger::{Action, Entry, Ledger, ProofError, SnapshotChunk, SnapshotError, StateKey, verify_proof};
use grange_types::{Amount, Millis, Record, StateRoot};

use crate::world::{World, account, credits, node, terms};

/// A world with an entry of every kind.
fn lived_in() -> World {
    let mut world = World::new();
    let rate = credits("3.6");
    let app = world.open("alice", "app", Amount::credits(100), 2, rate, &[("steward", Amount::CREDIT)]).unwrap();
    let quote = world.seal("north.node", world.quote(app, 0, 1, terms("north", rate)));
    let lease = world.lease("alice", quote, None).unwrap();
    world.leases.insert("L".into(), lease);
    world.act("bob", Action::Bond { amount: Amount::credits(7) }).unwrap();
    world.act("bob", Action::Unbond { amount: Amount::credits(3) }).unwrap();
    world.wait(Millis::seconds(10));
    let receipt = world.receipt(lease, 1, 1, Millis::seconds(10), credits("0.01"));
    let receipt = world.seal("steward", receipt);
    world.settle("north", receipt).unwrap();
    world.off(Millis::HOUR);
    world.act("alice", Action::CloseLease { lease }).unwrap();
    world.commit();
    world
}

#[test]
fn a_restored_ledger_goes_on_like_the_original() {
    let mut world = lived_in();
    let chunks: Vec<_> = world.ledger.snapshot().collect();
    let mut restored = Ledger::restore(&chunks).unwrap();
    assert_eq!(restored.snapshot().collect::<Vec<_>>(), chunks);
    assert_eq!((restored.head(), restored.height()), (world.ledger.head(), world.ledger.height()));
    // Time goes on in both: the claim window ends, the bond returns, bills are forgotten.
    for _ in 0..3 {
        world.wait(Millis::minutes(40));
        let prepared = world.ledger.build(world.time, node("north"), &mut core::iter::empty()).unwrap();
        while restored.height() < world.ledger.height() {
            let missed = world.history[restored.height().0 as usize].clone();
            let block = restored.build(missed.time, node("north"), &mut core::iter::empty()).unwrap();
            assert_eq!(restored.commit(block).unwrap().id, missed.id);
        }
        assert_eq!(restored.prepare(prepared.block, &|_, _| false).unwrap().id, prepared.id);
    }
    assert_eq!(restored.view().balance(account("bob")), Amount::credits(996));
    assert_eq!(restored.view().total(), world.total);
}

#[test]
fn a_restored_ledger_remembers_what_was_applied() {
    let mut world = World::new();
    let action = Action::Transfer { to: account("bob"), amount: Amount::CREDIT, memo: String::new() };
    let transaction = world.envelope("alice", "alice", action);
    world.offer(transaction.clone()).unwrap();
    world.commit();
    let restored = Ledger::restore(world.ledger.snapshot()).unwrap();
    let now = world.time.after(Millis(1));
    assert_eq!(restored.check(&transaction, now), world.ledger.check(&transaction, now));
    assert!(restored.check(&transaction, now).is_err());
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let world = lived_in();
    let chunks: Vec<_> = world.ledger.snapshot().collect();
    assert_eq!(chunks.len(), 3);
    let check = |chunks: &[Vec<u8>]| Ledger::restore(chunks).map(drop).unwrap_err();
    assert_eq!(check(&[]), SnapshotError::OutOfPlace { index: 0 });
    assert_eq!(check(&chunks[1..]), SnapshotError::OutOfPlace { index: 0 });
    assert!(matches!(check(&chunks[..2]), SnapshotError::Incomplete { .. }));
    let twice = [chunks.clone(), vec![chunks[0].clone()]].concat();
    assert_eq!(check(&twice), SnapshotError::OutOfPlace { index: 3 });
    let mut torn = chunks.clone();
    torn[1].pop();
    assert!(matches!(check(&torn), SnapshotError::Chunk { index: 1, .. }));
    // Someone richer, or one transaction fewer remembered, is another root.
    let edit = |index: usize, edit: &dyn Fn(&mut SnapshotChunk)| {
        let mut chunks = chunks.clone();
        let mut chunk = SnapshotChunk::from_record(&chunks[index]).unwrap();
        edit(&mut chunk);
        chunks[index] = chunk.to_record();
        check(&chunks)
    };
    let richer = |chunk: &mut SnapshotChunk| {
        let SnapshotChunk::Entries(entries) = chunk else { panic!("no entries") };
        for entry in entries {
            if let Entry::Account(_, account) = entry {
                account.balance.0 += 1;
            }
        }
    };
    assert!(matches!(edit(1, &richer), SnapshotError::Root { .. }));
    let swapped = |chunk: &mut SnapshotChunk| {
        let SnapshotChunk::Seen(ids) = chunk else { panic!("no ids") };
        ids[0].1.0[0] ^= 1;
    };
    assert!(matches!(edit(2, &swapped), SnapshotError::Root { .. }));
}

#[test]
fn every_entry_and_every_absence_can_be_proved() {
    let world = lived_in();
    let (ledger, root) = (&world.ledger, world.ledger.state_root());
    let app = world.deployments["app"];
    let present = [
        StateKey::Parameters,
        StateKey::Chain,
        StateKey::Validators,
        StateKey::Account(account("alice")),
        StateKey::Operator(account("bob")),
        StateKey::Node(node("north")),
        StateKey::Deployment(app),
        StateKey::Lease(world.leases["L"]),
        StateKey::Name("app".into()),
    ];
    for key in &present {
        let (entry, proof) = ledger.prove(key);
        let entry = entry.unwrap_or_else(|| panic!("{key:?} is missing"));
        assert_eq!(verify_proof(root, key, Some(&entry), &proof), Ok(()));
        assert_eq!(verify_proof(root, key, None, &proof), Err(ProofError::Malformed));
        assert_eq!(verify_proof(StateRoot([3; 32]), key, Some(&entry), &proof), Err(ProofError::OtherRoot));
        let mut bent = proof.clone();
        bent.steps[0].sibling[0] ^= 1;
        assert_eq!(verify_proof(root, key, Some(&entry), &bent), Err(ProofError::OtherRoot));
        bent.steps.swap(0, 1);
        assert_eq!(verify_proof(root, key, Some(&entry), &bent), Err(ProofError::Malformed));
    }
    let absent = [
        StateKey::Account(account("stranger")),
        StateKey::Node(node("stranger")),
        StateKey::Name("free".into()),
        StateKey::Seen(0),
    ];
    for key in &absent {
        let (entry, proof) = ledger.prove(key);
        assert_eq!(entry, None);
        assert_eq!(verify_proof(root, key, None, &proof), Ok(()));
        // The proof of one absence does not deny what is there.
        for other in &present {
            assert!(verify_proof(root, other, None, &proof).is_err());
        }
    }
}

#[test]
fn a_proof_of_another_balance_is_refused() {
    let world = lived_in();
    let key = StateKey::Account(account("alice"));
    let (entry, proof) = world.ledger.prove(&key);
    let Some(Entry::Account(id, mut account)) = entry else { panic!("alice is missing") };
    account.balance.0 += 1;
    let richer = Entry::Account(id, account);
    let root = world.ledger.state_root();
    assert_eq!(verify_proof(root, &key, Some(&richer), &proof), Err(ProofError::OtherRoot));
    let others = StateKey::Account(crate::world::account("bob"));
    assert_eq!(verify_proof(root, &others, Some(&richer), &proof), Err(ProofError::OtherEntry));
}
