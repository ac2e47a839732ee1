//! `include`: other applications whose services, networks, volumes, configs, secrets and models become this one's.
//!
//! Each is read by itself, with its own folder and its own defaults of variables, before anything is copied. Nothing
//! is merged: a name that both have is an error.

use std::collections::BTreeMap;

use crate::env_file;
use crate::finding::{Position, quote};
use crate::limits;
use crate::load::{Asked, Loader, Scope, Variables};
use crate::path::{folder_of, project_path};
use crate::shape;
use crate::walk::{GRANGE, walk};
use crate::yaml::{Entry, Map, Node, Value};

/// What is copied, and what one of them is called.
const COPIED: [(&str, &str); 6] = [
    ("services", "service"),
    ("networks", "network"),
    ("volumes", "volume"),
    ("configs", "config"),
    ("secrets", "secret"),
    ("models", "model"),
];

/// Adds to a file what it includes.
pub(crate) fn include(loader: &mut Loader<'_>, whole: &mut Map, scope: &Scope, chain: &mut Vec<String>) {
    // Taken out while the file grows; put back for whoever looks at its keys.
    let Some(entry) = whole.remove("include") else {
        return;
    };
    if !entry.node.is_nothing()
        && let Some(list) = shape::list(&mut loader.findings, &entry)
    {
        for node in list {
            if let Some(wanted) = wanted(loader, node, scope) {
                one(loader, whole, &wanted, scope, chain);
            }
        }
    }
    whole.entries.push(entry);
}

/// One entry of `include`.
struct Wanted {
    at: Position,
    files: Vec<Asked>,
    folder: String,
    /// None where the entry says nothing.
    variables: Option<Vec<Asked>>,
}

fn wanted(loader: &mut Loader<'_>, node: &Node, scope: &Scope) -> Option<Wanted> {
    let (path, folder, variables) = match &node.value {
        Value::Text(_) => (node, None, None),
        Value::Map(map) => {
            let Some(path) = map.get("path") else {
                loader.findings.error(node.at, "an entry of `include` needs a `path`");
                return None;
            };
            (&path.node, map.get("project_directory"), map.get("env_file"))
        }
        _ => {
            shape::wrong(&mut loader.findings, node, "an entry of `include` is a path or a mapping");
            return None;
        }
    };
    let files = paths(loader, "path", path, scope)?;
    let first = files.first()?;
    let folder = match folder {
        None => folder_of(&first.path).to_owned(),
        Some(entry) => {
            let text = shape::text(&mut loader.findings, &entry.key, &entry.node)?;
            // The project's own folder is a folder too.
            let here = project_path(&scope.folder, &format!("{text}/-"));
            match here {
                Ok(path) => folder_of(&path).to_owned(),
                Err(error) => {
                    loader.findings.error(entry.node.at, format!("{error}; not {}", quote(text)));
                    return None;
                }
            }
        }
    };
    let variables = match variables {
        None => None,
        Some(entry) => Some(paths(loader, "env_file", &entry.node, scope)?),
    };
    Some(Wanted { at: node.at, files, folder, variables })
}

/// One path or several.
fn paths(loader: &mut Loader<'_>, key: &str, node: &Node, scope: &Scope) -> Option<Vec<Asked>> {
    let nodes = match &node.value {
        Value::List(list) => list.as_slice(),
        _ => core::slice::from_ref(node),
    };
    let path = |node: &Node| env_file::asked(&mut loader.findings, key, node, &scope.folder);
    nodes.iter().map(path).collect()
}

/// Reads one application and copies what it declares.
fn one(loader: &mut Loader<'_>, whole: &mut Map, wanted: &Wanted, scope: &Scope, chain: &mut Vec<String>) {
    for asked in &wanted.files {
        if let Some(start) = chain.iter().position(|path| *path == asked.path) {
            let round: Vec<&str> = chain.iter().skip(start).map(String::as_str).chain([asked.path.as_str()]).collect();
            let at = asked.at.unwrap_or(wanted.at);
            loader.findings.error(at, format!("files include each other in a circle: {}", round.join(" → ")));
            return;
        }
    }
    if chain.len() >= limits::INCLUDES_DEEP {
        let message = format!("files include each other more than {} deep", limits::INCLUDES_DEEP);
        loader.findings.error(wanted.at, message);
        return;
    }
    let Some(variables) = variables(loader, wanted, &scope.variables) else {
        return;
    };
    let Some(parsed) = loader.parse_all(&wanted.files) else {
        return;
    };
    let inner = loader.scope(wanted.folder.clone(), variables);
    let included = loader.application(parsed, &inner, chain);
    copy(loader, whole, included);
}

/// The variables of an included file: those of the file that includes it, and as defaults its own.
fn variables(loader: &mut Loader<'_>, wanted: &Wanted, outer: &Variables) -> Option<Variables> {
    let beside = if wanted.folder.is_empty() { ".env".to_owned() } else { format!("{}/.env", wanted.folder) };
    let files = match &wanted.variables {
        Some(files) => files.clone(),
        None if loader.is_there(&beside) => vec![Asked { path: beside, at: Some(wanted.at) }],
        None => Vec::new(),
    };
    let mut defaults = BTreeMap::new();
    for asked in &files {
        let read = loader.variables(asked, false, outer)?;
        defaults.extend(read.into_iter().map(|variable| (variable.name, variable.value)));
    }
    defaults.extend(outer.iter().map(|(name, value)| (name.clone(), value.clone())));
    Some(defaults)
}

/// Adds one declaration, unless there is one of its name.
fn add(loader: &mut Loader<'_>, target: &mut Map, named: Entry, noun: &str) {
    let Some(known) = target.entries.iter().find(|known| known.key == named.key) else {
        target.entries.push(named);
        return;
    };
    let file = loader.names.get(usize::from(known.at.file)).cloned().unwrap_or_default();
    let place = format!("{file}, line {}", known.at.line);
    loader.findings.error(named.at, format!("the {noun} {} is already in {place}; rename one", quote(&named.key)));
}

fn copy(loader: &mut Loader<'_>, whole: &mut Map, included: Map) {
    let mut rest = Map::default();
    for entry in included.entries {
        let Some((_, noun)) = COPIED.iter().find(|(key, _)| *key == entry.key) else {
            rest.entries.push(entry);
            continue;
        };
        let Value::Map(map) = entry.node.value else {
            if !entry.node.is_nothing() {
                shape::wrong(&mut loader.findings, &entry.node, &format!("`{}` takes a mapping", entry.key));
            }
            continue;
        };
        let mut target = whole.remove(&entry.key).unwrap_or_else(|| Entry {
            key: entry.key.clone(),
            at: entry.at,
            node: Node::new(entry.node.at, Value::Nothing),
        });
        if target.node.is_nothing() {
            target.node.value = Value::Map(Map::default());
        }
        // What is no mapping above is told when it is read.
        if let Value::Map(target) = &mut target.node.value {
            map.entries.into_iter().for_each(|named| add(loader, target, named, noun));
        }
        whole.entries.push(target);
    }
    if let Some(ours) = rest.get(GRANGE) {
        let message = "`x-grange` has no effect at the top of an included file; the app has that of the first file";
        loader.findings.warning(ours.at, message);
    }
    walk(&rest, &mut loader.findings);
}
