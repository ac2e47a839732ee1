//! Holds every key of a file against the table.

use crate::finding::{Findings, Position, quote};
use crate::nearest::{nearest, suggestion};
use crate::table::{GRANGE_SERVICE, GRANGE_TOP, Inner, Key, Level, SERVICE, TOP, Verdict};
use crate::yaml::{Entry, Map, Node, Value};

/// Our own key.
pub(crate) const GRANGE: &str = "x-grange";

/// Whether a key is nobody's business but the author's.
pub(crate) fn is_extension(key: &str) -> bool {
    key.starts_with("x-") && key != GRANGE
}

/// Says what becomes of every key of the file that is not simply honoured.
pub(crate) fn walk(file: &Map, findings: &mut Findings) {
    walk_map(file, &TOP, findings);
}

/// Says what becomes of one key of a service.
pub(crate) fn walk_service_key(entry: &Entry, findings: &mut Findings) {
    if let Some(key) = SERVICE.find(&entry.key) {
        judge(entry, key, findings);
    }
}

fn walk_map(map: &Map, level: &'static Level, findings: &mut Findings) {
    for entry in &map.entries {
        if findings.is_full() {
            return;
        }
        match level.find(&entry.key) {
            Some(key) => judge(entry, key, findings),
            None if entry.key == GRANGE => {
                findings.error(entry.at, "`x-grange` has no effect here; it belongs at the top or at a service");
            }
            None if is_extension(&entry.key) => misspelt_grange(entry, level, findings),
            None => findings.error(entry.at, unknown(&entry.key, level)),
        }
    }
}

fn judge(entry: &Entry, key: &'static Key, findings: &mut Findings) {
    let agrees = entry.node.text().is_some_and(|text| key.agrees.iter().any(|word| text.eq_ignore_ascii_case(word)));
    match key.verdict {
        Verdict::Honoured(_) | Verdict::Shared => {}
        // A key without a value asks for nothing.
        Verdict::Accepted(_) | Verdict::Refused(_) if agrees || entry.node.is_nothing() => return,
        Verdict::Accepted(why) => findings.warning(entry.at, format!("`{}` has no effect: {why}", key.name)),
        Verdict::Refused(why) => {
            findings.error(entry.at, why);
            return;
        }
    }
    walk_inner(&entry.node, key.inner, findings);
}

fn walk_inner(node: &Node, inner: Inner, findings: &mut Findings) {
    match (inner, &node.value) {
        (Inner::Keys(level), Value::Map(map)) => walk_map(map, level, findings),
        (Inner::Keys(level), Value::List(list)) => {
            for node in list {
                if let Value::Map(map) = &node.value {
                    walk_map(map, level, findings);
                }
            }
        }
        (Inner::Named(level), Value::Map(names)) => {
            for named in &names.entries {
                if let Value::Map(map) = &named.node.value {
                    walk_map(map, level, findings);
                }
            }
        }
        _ => {}
    }
}

fn unknown(key: &str, level: &'static Level) -> String {
    let place = match elsewhere(key, level) {
        Some(place) => format!("; it belongs under `{place}`"),
        None => suggestion(key, level.names()),
    };
    format!("unknown key {}{place}", quote(key))
}

/// Where a key belongs that is right but one step too high.
fn elsewhere(key: &str, level: &'static Level) -> Option<&'static str> {
    let below: &[&'static str] = match level.path {
        path if path == TOP.path && GRANGE_TOP.find(key).is_some() => return Some(GRANGE),
        path if path == SERVICE.path && GRANGE_SERVICE.find(key).is_some() => return Some(GRANGE),
        path if path == SERVICE.path => &["deploy", "healthcheck"],
        _ => &[],
    };
    below.iter().copied().find(|place| {
        let inner = level.find(place).map(|key| key.inner);
        matches!(inner, Some(Inner::Keys(level)) if level.find(key).is_some())
    })
}

fn misspelt_grange(entry: &Entry, level: &'static Level, findings: &mut Findings) {
    if level.find(GRANGE).is_some() && nearest(&entry.key, [GRANGE]).is_some_and(|(_, edits)| edits <= 2) {
        warn_misspelt(entry.at, &entry.key, findings);
    }
}

fn warn_misspelt(at: Position, key: &str, findings: &mut Findings) {
    findings.warning(at, format!("{} is left alone; did you mean `x-grange`?", quote(key)));
}
