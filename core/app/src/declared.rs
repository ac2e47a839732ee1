//! `configs` and `secrets` at the top: that each says where its content comes from, once.

use std::collections::BTreeMap;

use crate::app::Origin;
use crate::finding::{Findings, Position, quote};
use crate::path::{is_name, work_path};
use crate::shape;
use crate::yaml::{Entry, Map, Value};

/// What a config or secret may come from.
const SOURCES: [&str; 3] = ["file", "environment", "content"];

/// What is declared beside services, by name.
#[derive(Debug, Default)]
pub(crate) struct Declared {
    pub(crate) configs: BTreeMap<String, Declaration>,
    pub(crate) secrets: BTreeMap<String, Declaration>,
}

/// A config or a secret; without an origin where the reason has been told.
#[derive(Debug)]
pub(crate) struct Declaration {
    pub(crate) origin: Option<Origin>,
    /// What to say where it is used.
    pub(crate) missing: Option<String>,
    /// Where the origin is written.
    pub(crate) at: Position,
}

/// Reads what is declared beside services.
pub(crate) fn declared(file: &Map, variables: &BTreeMap<String, String>, findings: &mut Findings) -> Declared {
    let mut read = |key: &str, noun: &str| {
        let map = file.get(key).and_then(|entry| shape::mapping(findings, entry));
        let entries = map.into_iter().flat_map(|map| &map.entries);
        entries.map(|entry| (entry.key.clone(), one(entry, noun, variables, findings))).collect()
    };
    Declared { configs: read("configs", "config"), secrets: read("secrets", "secret") }
}

fn one(entry: &Entry, noun: &str, variables: &BTreeMap<String, String>, findings: &mut Findings) -> Declaration {
    let none = Declaration { origin: None, missing: None, at: entry.at };
    if !is_name(&entry.key) {
        let message = format!(
            "the name of a {noun} is letters, digits, `.`, `_` and `-`, a letter or digit first; not {}",
            quote(&entry.key)
        );
        findings.error(entry.at, message);
        return none;
    }
    let map = match &entry.node.value {
        Value::Map(map) => map,
        Value::Nothing => &Map::default(),
        _ => {
            shape::wrong(findings, &entry.node, &format!("the {noun} {} takes a mapping", quote(&entry.key)));
            return none;
        }
    };
    let sources: Vec<&Entry> = SOURCES.iter().filter_map(|key| map.get(key)).collect();
    // What comes from elsewhere has been refused with its reason.
    let elsewhere = ["external", "driver"]
        .into_iter()
        .any(|key| map.get(key).is_some_and(|entry| !entry.node.is_nothing() && entry.node.text() != Some("false")));
    match sources.as_slice() {
        [] if elsewhere => none,
        [] => {
            let given = if noun == "config" { "`file`, `environment`, `content`" } else { "`file`, `environment`" };
            let message = format!("the {noun} {} has no content; give it one of {given}", quote(&entry.key));
            findings.error(entry.at, message);
            none
        }
        [source] => origin(source, variables, findings),
        [first, second, ..] => {
            let message = format!(
                "the {noun} {} comes from one place, not from `{}` and `{}`",
                quote(&entry.key),
                first.key,
                second.key
            );
            findings.error(second.at, message);
            none
        }
    }
}

fn origin(source: &Entry, variables: &BTreeMap<String, String>, findings: &mut Findings) -> Declaration {
    let at = source.node.at;
    let Some(text) = shape::text(findings, &source.key, &source.node) else {
        return Declaration { origin: None, missing: None, at };
    };
    let origin = match source.key.as_str() {
        "file" => match work_path(text) {
            Ok(path) => Some(Origin::File(path)),
            Err(error) => {
                findings.error(at, format!("{error}; not {}", quote(text)));
                None
            }
        },
        "environment" if variables.contains_key(text) => Some(Origin::Environment(text.to_owned())),
        "environment" => {
            let missing = format!("the variable {} is not set; set it, or put it into `.env`", quote(text));
            return Declaration { origin: None, missing: Some(missing), at };
        }
        _ => Some(Origin::Content(text.to_owned())),
    };
    Declaration { origin, missing: None, at }
}
