//! Takes a value for the shape that its key wants, or says at the value that it has another.

use crate::finding::Findings;
use crate::yaml::{Entry, Map, Node, Value};

/// A single value.
pub(crate) fn text<'a>(findings: &mut Findings, key: &str, node: &'a Node) -> Option<&'a str> {
    let text = node.text();
    if text.is_none() {
        wrong(findings, node, &format!("`{key}` takes a single value"));
    }
    text
}

/// A mapping.
pub(crate) fn mapping<'a>(findings: &mut Findings, entry: &'a Entry) -> Option<&'a Map> {
    match &entry.node.value {
        Value::Map(map) => Some(map),
        _ => {
            wrong(findings, &entry.node, &format!("`{}` takes a mapping", entry.key));
            None
        }
    }
}

/// A list.
pub(crate) fn list<'a>(findings: &mut Findings, entry: &'a Entry) -> Option<&'a [Node]> {
    match &entry.node.value {
        Value::List(list) => Some(list),
        _ => {
            wrong(findings, &entry.node, &format!("`{}` takes a list", entry.key));
            None
        }
    }
}

/// Says what is wanted and what is there instead, unless it has been told already that the value is broken.
pub(crate) fn wrong(findings: &mut Findings, node: &Node, wanted: &str) {
    if !matches!(node.value, Value::Broken) {
        findings.error(node.at, format!("{wanted}, not {}", node.noun()));
    }
}
