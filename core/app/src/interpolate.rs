//! Replaces variables in values: `$NAME`, `${NAME}` and the forms with a word behind.
//!
//! | form | is |
//! |---|---|
//! | `${A:-word}`, `${A-word}` | the word when `A` is unset or empty; when it is unset |
//! | `${A:?word}`, `${A?word}` | an error that says the word when `A` is unset or empty; when it is unset |
//! | `${A:+word}`, `${A+word}` | the word when `A` is set and not empty; when it is set; else nothing |
//! | `$$` | one dollar |
//!
//! A word may hold variables again; only the word that is used is looked at. A dollar before anything else stays.
//! Keys, and what stands under the file's own `x-…` keys other than `x-grange`, are left alone: fragments are
//! looked at where they are used. Source: compose specification, chapter 12.

use std::collections::BTreeMap;

use crate::finding::{Findings, Position, one_line, quote};
use crate::limits;
use crate::walk::is_extension;
use crate::yaml::{Map, Node, Text, Value};

/// Replaces the variables in every value of a whole file, and takes what is written from the bytes that are left.
pub(crate) fn interpolate(
    file: &mut Map,
    variables: &BTreeMap<String, String>,
    room: &mut usize,
    findings: &mut Findings,
) {
    let mut run = Run { variables, findings, room: *room };
    for entry in file.entries.iter_mut().filter(|entry| !is_extension(&entry.key)) {
        run.node(&mut entry.node);
    }
    *room = run.room;
}

/// A text with its variables replaced, or why that cannot be. A variable that is not set becomes nothing.
pub(crate) fn replaced(text: &str, variables: &BTreeMap<String, String>) -> Result<String, String> {
    let mut template = Template { variables, unset: Vec::new(), room: limits::FILE_BYTES };
    template.replace(text, 0, 0).map_err(|fault| fault.kind.to_string())
}

/// Replaces the variables in one value alone.
pub(crate) fn interpolate_node(node: &mut Node, variables: &BTreeMap<String, String>, findings: &mut Findings) {
    Run { variables, findings, room: limits::INTERPOLATED_BYTES }.node(node);
}

/// Why a text could not be replaced, and how many characters into it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fault {
    offset: usize,
    kind: FaultKind,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum FaultKind {
    #[error("a `${{` opens here and never closes; write `$$` for a dollar that is meant")]
    Unclosed,
    #[error("{} is no variable; a name is letters, digits and `_`, not a digit first", quote(.name))]
    Name { name: String },
    #[error("after the name of a variable comes `}}`, or one of `:-` `-` `:?` `?` `:+` `+`")]
    Operator,
    #[error("the variable {} is required{}{}", quote(.name), if .reason.is_empty() { "" } else { ": " }, one_line(.reason, limits::REASON_CHARACTERS))]
    Required { name: String, reason: String },
    #[error("defaults nest more than {} deep", limits::VARIABLE_DEPTH)]
    Deep,
    #[error("with variables replaced, the values become larger than {} bytes", limits::INTERPOLATED_BYTES)]
    Large,
}

struct Run<'a> {
    variables: &'a BTreeMap<String, String>,
    findings: &'a mut Findings,
    /// How many bytes may still be written.
    room: usize,
}

impl Run<'_> {
    fn node(&mut self, node: &mut Node) {
        match &mut node.value {
            Value::Nothing | Value::Broken => {}
            Value::List(list) => list.iter_mut().for_each(|node| self.node(node)),
            Value::Map(map) => map.entries.iter_mut().for_each(|entry| self.node(&mut entry.node)),
            Value::Text(text) => {
                if !self.text(node.at, text) {
                    node.value = Value::Broken;
                }
            }
        }
    }

    /// Whether the text came out whole.
    fn text(&mut self, at: Position, text: &mut Text) -> bool {
        if !text.text.contains('$') {
            return true;
        }
        let place = |offset: usize| match text.inside {
            Some(inside) => at.right(inside.saturating_add(u32::try_from(offset).unwrap_or(u32::MAX))),
            None => at,
        };
        let mut template = Template { variables: self.variables, unset: Vec::new(), room: self.room };
        let result = template.replace(&text.text, 0, 0);
        self.room = template.room;
        for (offset, name) in template.unset {
            let message = format!("the variable {} is not set; an empty text takes its place", quote(&name));
            self.findings.warning(place(offset), message);
        }
        match result {
            // What was replaced no longer stands in the file letter for letter.
            Ok(replaced) => {
                *text = Text { text: replaced, inside: None };
                true
            }
            Err(fault) => {
                self.findings.error(place(fault.offset), fault.kind.to_string());
                false
            }
        }
    }
}

struct Template<'a> {
    variables: &'a BTreeMap<String, String>,
    /// Variables without a value and without a default, by their offset.
    unset: Vec<(usize, String)>,
    room: usize,
}

impl Template<'_> {
    /// The text with its variables replaced. `base` is where it stands in the whole value, in characters.
    fn replace(&mut self, text: &str, base: usize, depth: usize) -> Result<String, Fault> {
        if depth > limits::VARIABLE_DEPTH {
            return Err(Fault { offset: base, kind: FaultKind::Deep });
        }
        let (mut result, mut rest, mut offset) = (String::new(), text, base);
        while let Some(dollar) = rest.find('$') {
            let (before, from_dollar) = rest.split_at(dollar);
            self.write(&mut result, before, offset)?;
            offset += before.chars().count();
            let after = from_dollar.get(1..).unwrap_or_default();
            let name = name_length(after);
            let (taken, value) = if after.starts_with('$') {
                (2, "$".to_owned())
            } else if after.starts_with('{') {
                let inner = braced(after).ok_or(Fault { offset, kind: FaultKind::Unclosed })?;
                (inner.len() + 3, self.expression(inner, offset, depth)?)
            } else if name > 0 {
                (name + 1, self.variable(after.get(..name).unwrap_or_default(), offset))
            } else {
                (1, "$".to_owned())
            };
            self.write(&mut result, &value, offset)?;
            let (used, left) = from_dollar.split_at(taken);
            offset += used.chars().count();
            rest = left;
        }
        self.write(&mut result, rest, offset)?;
        Ok(result)
    }

    /// What stands between the braces: a name, or a name, an operator and a word.
    fn expression(&mut self, inner: &str, offset: usize, depth: usize) -> Result<String, Fault> {
        let (name, behind) = inner.split_at(name_length(inner));
        if name.is_empty() {
            let end = inner.find([':', '-', '?', '+']).unwrap_or(inner.len());
            let name = inner.get(..end).unwrap_or_default().to_owned();
            return Err(Fault { offset, kind: FaultKind::Name { name } });
        }
        if behind.is_empty() {
            return Ok(self.variable(name, offset));
        }
        let (strict, operation) = match behind.strip_prefix(':') {
            Some(operation) => (true, operation),
            None => (false, behind),
        };
        let value = self.variables.get(name).filter(|value| !(strict && value.is_empty()));
        let word = operation.get(1..).unwrap_or_default();
        // The dollar, the brace, the name, the colon and the sign; all of one byte each.
        let word_offset = offset + 2 + name.len() + usize::from(strict) + 1;
        match (operation.as_bytes().first(), value) {
            (Some(b'-' | b'?'), Some(value)) => Ok(value.clone()),
            (Some(b'-'), None) | (Some(b'+'), Some(_)) => self.replace(word, word_offset, depth + 1),
            (Some(b'+'), None) => Ok(String::new()),
            (Some(b'?'), None) => {
                let reason = self.replace(word, word_offset, depth + 1)?;
                Err(Fault { offset, kind: FaultKind::Required { name: name.to_owned(), reason } })
            }
            _ => Err(Fault { offset: offset + 2 + name.len(), kind: FaultKind::Operator }),
        }
    }

    fn variable(&mut self, name: &str, offset: usize) -> String {
        match self.variables.get(name) {
            Some(value) => value.clone(),
            None => {
                self.unset.push((offset, name.to_owned()));
                String::new()
            }
        }
    }

    fn write(&mut self, result: &mut String, piece: &str, offset: usize) -> Result<(), Fault> {
        self.room = self.room.checked_sub(piece.len()).ok_or(Fault { offset, kind: FaultKind::Large })?;
        result.push_str(piece);
        Ok(())
    }
}

/// How many bytes of a variable's name the text starts with.
fn name_length(text: &str) -> usize {
    let legal = |(index, byte): &(usize, u8)| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'_' => true,
        b'0'..=b'9' => *index > 0,
        _ => false,
    };
    text.bytes().enumerate().take_while(legal).count()
}

/// What stands between a `{` at the start and the brace that closes it.
fn braced(text: &str) -> Option<&str> {
    let mut depth = 0usize;
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return text.get(1..index),
            b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables() -> BTreeMap<String, String> {
        let pairs = [("A", "alpha"), ("EMPTY", ""), ("_x1", "low"), ("MONEY", "$A ${A}")];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    fn run(text: &str) -> Result<String, (usize, String)> {
        let variables = variables();
        let mut template = Template { variables: &variables, unset: Vec::new(), room: 1_000 };
        template.replace(text, 0, 0).map_err(|fault| (fault.offset, fault.kind.to_string()))
    }

    #[test]
    fn every_form_has_its_value() {
        let table = [
            ("plain", "plain"),
            ("$A", "alpha"),
            ("${A}", "alpha"),
            ("x$A.y", "xalpha.y"),
            ("$A$A", "alphaalpha"),
            ("${_x1}", "low"),
            ("$UNSET", ""),
            ("${UNSET}", ""),
            ("${A:-d}", "alpha"),
            ("${EMPTY:-d}", "d"),
            ("${UNSET:-d}", "d"),
            ("${A-d}", "alpha"),
            ("${EMPTY-d}", ""),
            ("${UNSET-d}", "d"),
            ("${UNSET:-}", ""),
            ("${A:+d}", "d"),
            ("${EMPTY:+d}", ""),
            ("${UNSET:+d}", ""),
            ("${A+d}", "d"),
            ("${EMPTY+d}", "d"),
            ("${UNSET+d}", ""),
            ("${A:?why}", "alpha"),
            ("${A?why}", "alpha"),
            ("${EMPTY?why}", ""),
            ("$$", "$"),
            ("$$A", "$A"),
            ("$${A}", "${A}"),
            ("$$$A", "$alpha"),
            ("${UNSET:-$$A}", "$A"),
            ("${UNSET:-${A}}", "alpha"),
            ("${UNSET:-${EMPTY:-${A}}}!", "alpha!"),
            ("${UNSET-a}${UNSET-b}", "ab"),
            ("${A:+${A}-${A}}", "alpha-alpha"),
            ("${UNSET:-{\"a\":{}}}", "{\"a\":{}}"),
            ("${UNSET:-a:-b}", "a:-b"),
            ("${UNSET:-é}ü", "éü"),
            // A dollar before anything that is no name stays, and values are not replaced again.
            ("5$", "5$"),
            ("$ 5", "$ 5"),
            ("$5", "$5"),
            ("$-", "$-"),
            ("$é", "$é"),
            ("$MONEY", "$A ${A}"),
            // Words that are not used are not looked at.
            ("${A:-${}}", "alpha"),
            ("${UNSET:+${B:?no}}", ""),
        ];
        for (text, expected) in table {
            assert_eq!(run(text), Ok(expected.to_owned()), "{text}");
        }
    }

    #[test]
    fn every_fault_says_where_it_is() {
        let table = [
            ("ab${A", 2, "a `${` opens here and never closes; write `$$` for a dollar that is meant"),
            ("é${", 1, "a `${` opens here and never closes; write `$$` for a dollar that is meant"),
            ("${}", 0, "`` is no variable; a name is letters, digits and `_`, not a digit first"),
            ("${1A:-b}", 0, "`1A` is no variable; a name is letters, digits and `_`, not a digit first"),
            ("${A/b/c}", 3, "after the name of a variable comes `}`, or one of `:-` `-` `:?` `?` `:+` `+`"),
            ("${A:}", 3, "after the name of a variable comes `}`, or one of `:-` `-` `:?` `?` `:+` `+`"),
            ("${A:é}", 3, "after the name of a variable comes `}`, or one of `:-` `-` `:?` `?` `:+` `+`"),
            ("${EMPTY:?say why}", 0, "the variable `EMPTY` is required: say why"),
            ("x ${UNSET?}", 2, "the variable `UNSET` is required"),
            ("${UNSET?see $A}", 0, "the variable `UNSET` is required: see alpha"),
            ("${UNSET:-é${B?}}", 10, "the variable `B` is required"),
        ];
        for (text, offset, message) in table {
            assert_eq!(run(text), Err((offset, message.to_owned())), "{text}");
        }
    }

    #[test]
    fn nesting_and_growth_are_bounded() {
        let deep = "${X:-".repeat(20) + &"}".repeat(20);
        assert_eq!(run(&deep).unwrap_err().1, "defaults nest more than 16 deep");
        let wide = "$A".repeat(201);
        assert!(run(&wide).unwrap_err().1.contains("larger than"));
        assert_eq!(run(&"$A".repeat(200)).map(|text| text.len()), Ok(1_000));
    }
}
