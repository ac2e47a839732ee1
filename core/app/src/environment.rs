//! A service's variables, as a mapping or a list.

use std::collections::BTreeMap;

use grange_types::limits::ENVIRONMENT_ENTRIES;

use crate::finding::{Findings, Position, quote};
use crate::limits;
use crate::shape;
use crate::yaml::{Entry, Node, Value};

/// Reads `environment`. A name without a value takes it from `variables`, and is left out where there is none.
pub(crate) fn environment(
    entry: Option<&Entry>,
    variables: &BTreeMap<String, String>,
    findings: &mut Findings,
) -> BTreeMap<String, String> {
    let Some(entry) = entry else {
        return BTreeMap::new();
    };
    let mut run = Run { variables, findings, result: BTreeMap::new() };
    match &entry.node.value {
        Value::Map(map) => map.entries.iter().for_each(|entry| run.pair(entry)),
        Value::List(list) => list.iter().for_each(|node| run.item(node)),
        _ => {
            shape::wrong(run.findings, &entry.node, "`environment` takes a mapping or a list of NAME=value");
        }
    }
    let Run { result, .. } = run;
    let bytes: usize = result.iter().map(|(name, value)| name.len() + value.len()).sum();
    if result.len() > ENVIRONMENT_ENTRIES {
        let message =
            format!("`environment` has {} variables, more than the limit of {ENVIRONMENT_ENTRIES}", result.len());
        findings.error(entry.at, message);
    }
    if bytes > limits::ENVIRONMENT_BYTES {
        let message = format!("`environment` has {bytes} bytes, more than the limit of {}", limits::ENVIRONMENT_BYTES);
        findings.error(entry.at, message);
    }
    result
}

struct Run<'a> {
    variables: &'a BTreeMap<String, String>,
    findings: &'a mut Findings,
    result: BTreeMap<String, String>,
}

impl Run<'_> {
    fn pair(&mut self, entry: &Entry) {
        match &entry.node.value {
            Value::Nothing => self.inherit(&entry.key, entry.at),
            Value::Text(text) => self.set(&entry.key, &text.text, entry.at),
            Value::List(_) | Value::Map(_) | Value::Broken => {
                let wanted = format!("the variable {} takes a single value", quote(&entry.key));
                shape::wrong(self.findings, &entry.node, &wanted);
            }
        }
    }

    fn item(&mut self, node: &Node) {
        let Some(text) = node.text() else {
            shape::wrong(self.findings, node, "an entry of `environment` is NAME=value");
            return;
        };
        match text.split_once('=') {
            None => self.inherit(text, node.at),
            Some((name, value)) => {
                if self.result.contains_key(name) {
                    self.findings.warning(node.at, format!("{} is set before; this value wins", quote(name)));
                }
                self.set(name, value, node.at);
            }
        }
    }

    fn inherit(&mut self, name: &str, at: Position) {
        match self.variables.get(name) {
            Some(value) => self.set(name, value, at),
            None => {
                let message = format!("{} has no value here and is not set outside; it is left out", quote(name));
                self.findings.warning(at, message);
            }
        }
    }

    fn set(&mut self, name: &str, value: &str, at: Position) {
        if name.is_empty()
            || name.contains(|letter: char| letter == '=' || letter.is_whitespace() || letter.is_control())
        {
            self.findings.error(at, format!("{} is no name of a variable: no blanks, no `=`, not empty", quote(name)));
        } else if value.contains('\0') {
            self.findings.error(at, format!("the value of {} holds a zero byte", quote(name)));
        } else {
            self.result.insert(name.to_owned(), value.to_owned());
        }
    }
}
