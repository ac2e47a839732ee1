//! A compose file as a tree of values that know where they stand.
//!
//! - One document a file; it is a mapping.
//! - Keys are text and appear once in a mapping; a second one is an error at its place.
//! - Aliases are written out. What that may weigh is bounded, so a file of a few lines cannot become gigabytes.
//! - A plain `<<` merges a mapping or a list of mappings: written keys win over merged ones, earlier mappings over
//!   later ones.
//! - A value keeps its text as written: `0x10`, `1.0` and `yes` are what the reader of that key makes of them.
//!   Only an empty plain value, `~` and `null` are nothing at all.

mod build;
mod place;

pub(crate) use build::parse;

use crate::finding::Position;

/// A value and where it starts.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) at: Position,
    pub(crate) value: Value,
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

    /// Whether the key is written, with any value.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }
}

#[cfg(test)]
mod tests;
