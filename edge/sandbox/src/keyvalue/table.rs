//! The tables of one store, and the operations on them within a transaction.
//!
//! A key gets a number when it is first set. Keys are listed by number, so that a cursor stays true while others
//! write: nothing moves, and what is new comes last.

use std::collections::BTreeSet;

use grange_objects::log::{Mark, View};
use grange_types::Record as _;
use grange_types::limits::{KEY_VALUE_KEY_BYTES, KEY_VALUE_VALUE_BYTES};
use redb::{ReadableTable, ReadableTableMetadata as _, Table, TableDefinition, WriteTransaction};

use super::KeyValueError;

/// The number of each key.
pub(super) const NUMBERS: TableDefinition<'_, &str, u64> = TableDefinition::new("numbers");
/// The key of each number.
pub(super) const KEYS: TableDefinition<'_, u64, &str> = TableDefinition::new("keys");
/// The value of each number.
pub(super) const VALUES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("values");
/// Facts about the store.
pub(super) const FACTS: TableDefinition<'_, &str, u64> = TableDefinition::new("facts");

/// Records about the store, each under its name.
pub(super) const RECORDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("records");

/// The fact: the generation that wrote the last entry of the store's log.
pub(super) const GENERATION: &str = "mark-generation";
/// The fact: the number of that entry.
pub(super) const SEQUENCE: &str = "mark-sequence";
/// The record: the newest view of the store's log.
pub(super) const VIEW: &str = "view";

/// The fact: bytes of all keys and values.
pub(super) const BYTES: &str = "bytes";
/// The fact: the number that the next new key gets.
const NEXT: &str = "next";
/// The fact: the generation that continues this store.
pub(super) const SEALED: &str = "sealed";

/// Refuses keys that no store holds.
pub(super) const fn check_key(key: &str) -> Result<(), KeyValueError> {
    if key.is_empty() || key.len() > KEY_VALUE_KEY_BYTES {
        return Err(KeyValueError::KeyLength { length: key.len() });
    }
    Ok(())
}

/// Refuses values that no store holds.
pub(super) const fn check_value(value: &[u8]) -> Result<(), KeyValueError> {
    if value.len() > KEY_VALUE_VALUE_BYTES {
        return Err(KeyValueError::ValueLength { length: value.len() });
    }
    Ok(())
}

/// A number, and the key and value it has now.
pub(super) type Changed = (u64, Option<(String, Vec<u8>)>);

/// The tables of a store in one write transaction.
pub(super) struct Tables<'t> {
    numbers: Table<'t, &'static str, u64>,
    keys: Table<'t, u64, &'static str>,
    values: Table<'t, u64, &'static [u8]>,
    facts: Table<'t, &'static str, u64>,
    records: Table<'t, &'static str, &'static [u8]>,
    /// Numbers whose content is another one since the transaction began.
    changed: BTreeSet<u64>,
}

impl<'t> Tables<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, KeyValueError> {
        Ok(Self {
            numbers: transaction.open_table(NUMBERS)?,
            keys: transaction.open_table(KEYS)?,
            values: transaction.open_table(VALUES)?,
            facts: transaction.open_table(FACTS)?,
            records: transaction.open_table(RECORDS)?,
            changed: BTreeSet::new(),
        })
    }

    pub(super) fn fact(&self, name: &str) -> Result<Option<u64>, KeyValueError> {
        Ok(self.facts.get(name)?.map(|value| value.value()))
    }

    pub(super) fn set_fact(&mut self, name: &str, value: u64) -> Result<(), KeyValueError> {
        self.facts.insert(name, value)?;
        Ok(())
    }

    pub(super) fn get(&self, key: &str) -> Result<Option<Vec<u8>>, KeyValueError> {
        let Some(number) = self.numbers.get(key)?.map(|number| number.value()) else { return Ok(None) };
        Ok(self.values.get(number)?.map(|value| value.value().to_vec()))
    }

    /// How many bytes more the store would hold; negative if fewer.
    pub(super) fn growth(&self, key: &str, value: &[u8]) -> Result<i64, KeyValueError> {
        let old = match self.numbers.get(key)?.map(|number| number.value()) {
            Some(number) => self.values.get(number)?.map_or(0, |value| value.value().len()),
            None => return Ok(signed(key.len() + value.len())),
        };
        Ok(signed(value.len()) - signed(old))
    }

    pub(super) fn set(&mut self, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        let growth = self.growth(key, value)?;
        let known = self.numbers.get(key)?.map(|number| number.value());
        let number = match known {
            Some(number) => number,
            None => {
                let number = self.fact(NEXT)?.unwrap_or(1);
                self.set_fact(NEXT, number + 1)?;
                self.numbers.insert(key, number)?;
                self.keys.insert(number, key)?;
                number
            }
        };
        self.values.insert(number, value)?;
        self.changed.insert(number);
        self.count(growth)
    }

    /// Puts an entry of another copy in its place, under its own number.
    pub(super) fn place(&mut self, number: u64, key: &str, value: &[u8]) -> Result<(), KeyValueError> {
        self.numbers.insert(key, number)?;
        self.keys.insert(number, key)?;
        self.values.insert(number, value)?;
        let next = self.fact(NEXT)?.unwrap_or(1).max(number.saturating_add(1));
        self.set_fact(NEXT, next)?;
        self.count(signed(key.len() + value.len()))
    }

    /// What was changed since the transaction began: each number with its key and value, or without them.
    pub(super) fn take_changed(&mut self) -> Result<Vec<Changed>, KeyValueError> {
        let mut found = Vec::new();
        for number in std::mem::take(&mut self.changed) {
            let key = self.keys.get(number)?.map(|key| key.value().to_owned());
            let value = self.values.get(number)?.map(|value| value.value().to_vec());
            found.push((number, key.zip(value)));
        }
        Ok(found)
    }

    /// How many keys there are.
    pub(super) fn entries(&self) -> Result<u64, KeyValueError> {
        Ok(self.values.len()?)
    }

    /// How far the store's log reaches.
    pub(super) fn mark(&self) -> Result<Mark, KeyValueError> {
        let fact = |name| self.fact(name).map(Option::unwrap_or_default);
        Ok(Mark { generation: fact(GENERATION)?, sequence: fact(SEQUENCE)? })
    }

    /// Adds an entry to the store's log. Gives its mark.
    pub(super) fn advance(&mut self, generation: u64) -> Result<Mark, KeyValueError> {
        let mark = Mark { generation, sequence: self.mark()?.sequence.saturating_add(1) };
        self.set_mark(mark)?;
        Ok(mark)
    }

    pub(super) fn set_mark(&mut self, mark: Mark) -> Result<(), KeyValueError> {
        self.set_fact(GENERATION, mark.generation)?;
        self.set_fact(SEQUENCE, mark.sequence)
    }

    pub(super) fn set_view(&mut self, view: &View) -> Result<(), KeyValueError> {
        self.records.insert(VIEW, view.to_record().as_slice())?;
        Ok(())
    }

    pub(super) fn delete(&mut self, key: &str) -> Result<(), KeyValueError> {
        let Some(number) = self.numbers.remove(key)?.map(|number| number.value()) else { return Ok(()) };
        self.keys.remove(number)?;
        self.changed.insert(number);
        let length = self.values.remove(number)?.map_or(0, |value| value.value().len());
        self.count(-signed(key.len() + length))
    }

    fn count(&mut self, growth: i64) -> Result<(), KeyValueError> {
        let bytes = self.fact(BYTES)?.unwrap_or(0).saturating_add_signed(growth);
        self.set_fact(BYTES, bytes)
    }
}

/// Lengths of keys and values are far below 2⁶³.
fn signed(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}
