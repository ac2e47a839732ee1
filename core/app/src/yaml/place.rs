//! From the parser's marks to positions in the file.

use saphyr_parser::{Marker, Span};

use crate::finding::Position;

/// The text of a file and where its characters are.
pub(super) struct Places<'a> {
    file: u16,
    text: &'a str,
    /// The byte at which each character starts; empty when all characters are one byte long.
    starts: Vec<u32>,
}

impl<'a> Places<'a> {
    pub(super) fn new(file: u16, text: &'a str) -> Self {
        let start = |(byte, _): (usize, char)| u32::try_from(byte).unwrap_or(u32::MAX);
        let starts = if text.is_ascii() { Vec::new() } else { text.char_indices().map(start).collect() };
        Self { file, text, starts }
    }

    pub(super) fn position(&self, marker: &Marker) -> Position {
        let number = |value: usize| u32::try_from(value).unwrap_or(u32::MAX);
        let (line, column) = (number(marker.line()).max(1), number(marker.col()).saturating_add(1));
        Position { file: self.file, line, column }
    }

    /// How far after the start of the span `value` stands letter for letter: 0 when plain, 1 when quoted.
    pub(super) fn inside(&self, span: &Span, value: &str) -> Option<u32> {
        if value.trim_end_matches('\n').contains(['\n', '\r']) {
            return None;
        }
        let source = self.slice(span)?;
        if source == value {
            return Some(0);
        }
        let quoted = |mark: char| source.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
        let unquoted = quoted('"').or_else(|| quoted('\''))?;
        (unquoted == value).then_some(1)
    }

    fn slice(&self, span: &Span) -> Option<&'a str> {
        let byte = |index: usize| {
            if self.starts.is_empty() || index == self.starts.len() {
                // Past the last character, and everywhere in a text of one-byte characters.
                return Some(if self.starts.is_empty() { index } else { self.text.len() });
            }
            self.starts.get(index).map(|start| *start as usize)
        };
        self.text.get(byte(span.start.index())?..byte(span.end.index())?)
    }
}
