use std::collections::BTreeMap;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::*;

/// The same map, written as the definition reads: split at the first bit at which the keys differ.
fn naive_root(entries: &[(Hash, Hash)]) -> Hash {
    match entries {
        [] => EMPTY,
        [(key, value)] => leaf_hash(key, value),
        _ => {
            let bit = entries.iter().filter_map(|(key, _)| first_difference(&entries[0].0, key)).min().unwrap();
            let (right, left): (Vec<_>, Vec<_>) = entries.iter().copied().partition(|(key, _)| is_set(key, bit));
            node_hash(bit, &naive_root(&left), &naive_root(&right))
        }
    }
}

fn root_of(entries: &BTreeMap<Hash, Hash>) -> Hash {
    let entries: Vec<_> = entries.iter().map(|(key, value)| (*key, *value)).collect();
    naive_root(&entries)
}

/// Keys that often share long prefixes, so that deep and skewed trees are met too.
fn keys() -> impl Strategy<Value = Hash> {
    (any::<[u8; 2]>(), 0usize..31, any::<bool>()).prop_map(|(bytes, place, far)| {
        let mut key = [0; 32];
        key[if far { place } else { 0 }] = bytes[0] & 7;
        key[place + 1] = bytes[1];
        key
    })
}

fn values() -> impl Strategy<Value = Hash> {
    any::<u8>().prop_map(|byte| [byte; 32])
}

proptest! {
    #[test]
    fn any_history_of_sets_and_removals_gives_the_root_of_its_content(
        steps in vec((keys(), proptest::option::of(values()), any::<bool>()), 0..120),
    ) {
        let (mut tree, mut model) = (Tree::default(), BTreeMap::new());
        for (key, value, hash_now) in steps {
            match value {
                Some(value) => {
                    tree.set(&key, &value);
                    model.insert(key, value);
                }
                None => {
                    tree.remove(&key);
                    model.remove(&key);
                }
            }
            prop_assert_eq!(tree.len(), model.len());
            if hash_now {
                prop_assert_eq!(tree.root(), root_of(&model));
            }
        }
        prop_assert_eq!(tree.root(), root_of(&model));
    }

    #[test]
    fn removing_what_was_added_restores_the_earlier_root(
        first in btree_map(keys(), values(), 0..40),
        second in btree_map(keys(), values(), 0..40),
    ) {
        let mut tree = Tree::default();
        first.iter().for_each(|(key, value)| tree.set(key, value));
        let earlier = tree.root();
        let added: Vec<_> = second.iter().filter(|(key, _)| !first.contains_key(*key)).collect();
        added.iter().for_each(|(key, value)| tree.set(key, value));
        tree.root();
        added.iter().rev().for_each(|(key, _)| tree.remove(key));
        prop_assert_eq!(tree.root(), earlier);
        prop_assert_eq!(tree.nodes.len(), tree.len().saturating_sub(1));
    }
}

#[test]
fn a_large_tree_hashes_only_what_changed() {
    let name = |number: u32| *blake3::hash(&number.to_le_bytes()).as_bytes();
    let mut tree = Tree::default();
    (0..20_000).for_each(|number| tree.set(&name(number), &name(number)));
    let before = tree.root();
    tree.set(&name(7), &name(8));
    let Some(top) = tree.top else { panic!("the tree is empty") };
    let mut stale = 0;
    let mut open = vec![top];
    while let Some(child) = open.pop() {
        if !child.is_leaf() && tree.nodes.hot(child.place()).stale {
            stale += 1;
            open.extend(tree.nodes.hot(child.place()).children);
        }
    }
    assert!((10..60).contains(&stale), "{stale} nodes are stale");
    assert_ne!(tree.root(), before);
    tree.set(&name(7), &name(7));
    assert_eq!(tree.root(), before);
}
