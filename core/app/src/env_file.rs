//! `env_file`: files of variables of a service, laid under its `environment`.

use crate::finding::{Findings, Position, quote};
use crate::load::{Asked, Loader, Variables};
use crate::merge;
use crate::path::project_path;
use crate::scalar::{parsed, switch};
use crate::shape;
use crate::yaml::{Entry, Map, Node, Value};

/// A path that starts at a folder, as a file to be opened.
pub(crate) fn asked(findings: &mut Findings, key: &str, node: &Node, folder: &str) -> Option<Asked> {
    let text = shape::text(findings, key, node)?;
    match project_path(folder, text) {
        Ok(path) => Some(Asked { path, at: Some(node.at) }),
        Err(error) => {
            findings.error(node.at, format!("{error}; not {}", quote(text)));
            None
        }
    }
}

/// Puts the variables of a service's files under its `environment`; each keeps the place where it is written.
pub(crate) fn lay_under(loader: &mut Loader<'_>, service: &mut Map, variables: &Variables) {
    let Some(entry) = service.get("env_file").cloned() else {
        return;
    };
    let nodes = match &entry.node.value {
        Value::List(list) => list.as_slice(),
        _ => core::slice::from_ref(&entry.node),
    };
    let mut all = Map::default();
    for node in nodes {
        let Some(Wanted { asked, required, raw }) = wanted(&mut loader.findings, node) else {
            continue;
        };
        if !required && !loader.is_there(&asked.path) {
            continue;
        }
        for variable in loader.variables(&asked, raw, variables).into_iter().flatten() {
            // The later of two files, and of two lines of one, counts.
            all.remove(&variable.name);
            let node = Node::of_text(variable.at, variable.value);
            all.entries.push(Entry { key: variable.name, at: variable.at, node });
        }
    }
    if !all.entries.is_empty() {
        merge::lay_under(service, "environment", all, entry.at);
    }
}

struct Wanted {
    asked: Asked,
    required: bool,
    raw: bool,
}

fn wanted(findings: &mut Findings, node: &Node) -> Option<Wanted> {
    let map = match &node.value {
        Value::Text(_) => {
            return Some(Wanted { asked: asked(findings, "env_file", node, "")?, required: true, raw: false });
        }
        Value::Map(map) => map,
        _ => {
            shape::wrong(findings, node, "an entry of `env_file` is a path or a mapping");
            return None;
        }
    };
    let required = map.get("required").and_then(|entry| parsed(findings, entry, switch)).unwrap_or(true);
    let raw = match map.get("format") {
        None => false,
        Some(entry) => match shape::text(findings, "format", &entry.node)? {
            "raw" => true,
            other => {
                findings.error(entry.node.at, format!("`format` is `raw` or left out, not {}", quote(other)));
                return None;
            }
        },
    };
    let Some(path) = map.get("path") else {
        let at: Position = node.at;
        findings.error(at, "an entry of `env_file` needs a `path`");
        return None;
    };
    Some(Wanted { asked: asked(findings, "path", &path.node, "")?, required, raw })
}
