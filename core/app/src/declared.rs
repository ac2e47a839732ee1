//! `configs` and `secrets` at the top: that each says where its content comes from, once.

use crate::finding::{Findings, quote};
use crate::scalar::{parsed, switch};
use crate::shape;
use crate::yaml::{Entry, Map, Value};

/// What a config or secret may come from.
const SOURCES: [&str; 3] = ["file", "environment", "content"];

/// Checks what is declared beside services.
pub(crate) fn check(file: &Map, findings: &mut Findings) {
    for (key, noun) in [("configs", "config"), ("secrets", "secret")] {
        if let Some(map) = file.get(key).and_then(|entry| shape::mapping(findings, entry)) {
            map.entries.iter().for_each(|entry| one(entry, noun, findings));
        }
    }
}

fn one(entry: &Entry, noun: &str, findings: &mut Findings) {
    let map = match &entry.node.value {
        Value::Map(map) => map,
        Value::Nothing => &Map::default(),
        _ => {
            shape::wrong(findings, &entry.node, &format!("the {noun} {} takes a mapping", quote(&entry.key)));
            return;
        }
    };
    let external = match map.get("external") {
        // The older form names what is outside.
        Some(Entry { node, .. }) if node.map().is_some() => true,
        Some(external) => parsed(findings, external, switch).unwrap_or(false),
        None => false,
    };
    let sources: Vec<&Entry> = SOURCES.iter().filter_map(|key| map.get(key)).collect();
    let driver = map.get("driver").is_some();
    match sources.as_slice() {
        [] if external || driver => {}
        [] => {
            let message = format!(
                "the {noun} {} has no content; give it one of `file`, `environment`, `content`, or `external: true`",
                quote(&entry.key)
            );
            findings.error(entry.at, message);
        }
        [_] if !external => {}
        [first, ..] => {
            let second = sources.get(1).copied().or_else(|| map.get("external")).unwrap_or(first);
            let message = format!(
                "the {noun} {} comes from one place, not from `{}` and `{}`",
                quote(&entry.key),
                first.key,
                second.key
            );
            findings.error(second.at, message);
        }
    }
}
