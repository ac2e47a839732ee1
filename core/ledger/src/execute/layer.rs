//! A table seen through what a block, and within it a transaction, has written.

use std::collections::BTreeMap;

/// The writes to one table: those of the block so far, and those of the transaction being tried.
#[derive(Debug)]
pub(crate) struct Layer<'a, K, V> {
    base: &'a BTreeMap<K, V>,
    block: BTreeMap<K, Option<V>>,
    trial: BTreeMap<K, Option<V>>,
}

impl<'a, K: Ord + Clone, V: Clone> Layer<'a, K, V> {
    /// No writes yet.
    pub(crate) const fn over(base: &'a BTreeMap<K, V>) -> Self {
        Self { base, block: BTreeMap::new(), trial: BTreeMap::new() }
    }

    /// The present value.
    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        match self.trial.get(key).or_else(|| self.block.get(key)) {
            Some(written) => written.as_ref(),
            None => self.base.get(key),
        }
    }

    /// The present value, to change it.
    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        if !self.trial.contains_key(key) {
            let value = self.get(key)?.clone();
            self.trial.insert(key.clone(), Some(value));
        }
        self.trial.get_mut(key).and_then(Option::as_mut)
    }

    /// Adds or replaces a value.
    pub(crate) fn put(&mut self, key: K, value: V) {
        self.trial.insert(key, Some(value));
    }

    /// Takes a value away.
    pub(crate) fn remove(&mut self, key: &K) {
        self.trial.insert(key.clone(), None);
    }

    /// Lets the trial's writes become the block's.
    pub(crate) fn accept(&mut self) {
        while let Some((key, value)) = self.trial.pop_first() {
            self.block.insert(key, value);
        }
    }

    /// Drops the trial's writes.
    pub(crate) fn reject(&mut self) {
        self.trial.clear();
    }

    /// How much more money the block's entries hold than those they replace.
    pub(crate) fn gain(&self, money: impl Fn(&V) -> u128) -> i128 {
        let held = |value: Option<&V>| value.map_or(0, &money) as i128;
        self.block.iter().map(|(key, value)| held(value.as_ref()) - held(self.base.get(key))).sum()
    }

    /// The keys written to.
    pub(crate) fn written(&self) -> impl Iterator<Item = &K> {
        self.trial.keys().chain(self.block.keys())
    }

    /// The block's writes.
    pub(crate) fn into_writes(self) -> BTreeMap<K, Option<V>> {
        self.block
    }
}

impl<K: Ord + Clone, V: Clone + Default> Layer<'_, K, V> {
    /// The present value or an empty one, to change it.
    pub(crate) fn get_or_default(&mut self, key: &K) -> &mut V {
        if !self.trial.contains_key(key) {
            let value = self.get(key).cloned().unwrap_or_default();
            self.trial.insert(key.clone(), Some(value));
        }
        self.trial.entry(key.clone()).or_default().get_or_insert_default()
    }
}
