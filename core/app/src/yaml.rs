//! A compose file as a tree of values that know where they stand.
//!
//! - One document a file; it is a mapping.
//! - Keys are text and appear once in a mapping; a second one is an error at its place.
//! - Aliases are written out. What that may weigh is bounded, so a file of a few lines cannot become gigabytes.
//! - A plain `<<` merges a mapping or a list of mappings: written keys win over merged ones, earlier mappings over
//!   later ones.
//! - A value keeps its text as written: `0x10`, `1.0` and `yes` are what the reader of that key makes of them.
//!   Only an empty plain value, `~` and `null` are nothing at all.
//! - The tags `!reset` and `!override` are kept as a [`Mark`]: they say how a value is laid over another file's.

mod build;
mod place;

pub(crate) use build::parse;

use crate::finding::Position;
use crate::limits;

/// A value and where it starts.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
    pub(crate) mark: Mark,
}

/// What becomes of a value when it is laid over another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    /// The two are merged by the rules of their key.
    Merge,
    /// Neither is kept.
    Reset,
    /// The other one goes.
    Override,
}

/// How much the trees of all files of a project may still weigh, whatever is written out in them.
#[derive(Debug)]
pub(crate) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(limits::EXPANDED_BYTES)
    }
}

impl Room {
    /// Takes so much, if it is there.
    pub(crate) fn take(&mut self, weight: usize) -> bool {
        let left = self.0.checked_sub(weight);
        self.0 = left.unwrap_or(0);
        left.is_some()
    }
}

/// What a value is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Nothing,
    Text(Text),
    List(Vec<Node>),
    Map(Map),
    /// A text whose variables could not be replaced. That has been told, so nobody complains about it again.
    Broken,
}

/// A scalar.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) text: String,
    /// How many characters after the start of the node the text starts, when it stands there letter for letter on
    /// one line, so that a finding can point inside it.
    pub(crate) inside: Option<u32>,
}

/// A mapping, in the order of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Map {
    pub(crate) entries: Vec<Entry>,
}

/// A key and its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) at: Position,
    pub(crate) node: Node,
}

impl Node {
    /// A value that is merged by the rules of its key.
    pub(crate) const fn new(at: Position, value: Value) -> Self {
        Self { at, value, mark: Mark::Merge }
    }

    /// A text that stands in no file letter for letter.
    pub(crate) fn of_text(at: Position, text: impl Into<String>) -> Self {
        Self::new(at, Value::Text(Text { text: text.into(), inside: None }))
    }

    /// What a copy of it takes.
    pub(crate) fn weight(&self) -> usize {
        limits::VALUE_WEIGHT
            + match &self.value {
                Value::Nothing | Value::Broken => 0,
                Value::Text(text) => text.text.len(),
                Value::List(list) => list.iter().map(Self::weight).sum(),
                Value::Map(map) => map.entries.iter().map(|entry| entry.key.len() + entry.node.weight()).sum(),
            }
    }

    pub(crate) const fn map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(&text.text),
            _ => None,
        }
    }

    pub(crate) const fn is_nothing(&self) -> bool {
        matches!(self.value, Value::Nothing)
    }

    /// What this is, as a message calls it.
    pub(crate) const fn noun(&self) -> &'static str {
        match self.value {
            Value::Nothing => "nothing",
            Value::Text(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
            Value::Broken => "a broken value",
        }
    }
}

impl Map {
    /// The entry of that key, unless its value is nothing: compose takes both for the same.
    pub(crate) fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key && !entry.node.is_nothing())
    }

    /// Takes the entry of that key out.
    pub(crate) fn remove(&mut self, key: &str) -> Option<Entry> {
        let index = self.entries.iter().position(|entry| entry.key == key)?;
        Some(self.entries.remove(index))
    }

    /// Whether the key is written, with any value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }
}

#[cfg(test)]
mod tests;
