//! `extends`: a service that begins as a copy of another, of the same file or of another one.
//!
//! The copy is laid under the service by the rules of [`crate::merge`]. What the other service names (volumes,
//! networks, services it waits for) is not copied; it has to be where the service is.

use crate::env_file;
use crate::finding::quote;
use crate::limits;
use crate::load::{Asked, Loader, Scope};
use crate::merge;
use crate::nearest::suggestion;
use crate::shape;
use crate::walk::walk_service_key;
use crate::yaml::{Entry, Map, Value};

/// The key.
const EXTENDS: &str = "extends";

/// A service on the way to what it extends in the end.
type Step = (String, String);

/// Resolves `extends` of every service of one file.
pub(crate) fn resolve(loader: &mut Loader<'_>, file: &mut Map, path: &str, scope: &Scope) {
    let any = |services: &Map| services.entries.iter().any(|entry| reference(entry).is_some());
    if !services(file).is_some_and(any) {
        return;
    }
    let whole = core::mem::take(file);
    for entry in &whole.entries {
        let mut entry = entry.clone();
        if entry.key == "services"
            && let Value::Map(map) = &mut entry.node.value
        {
            for service in &mut map.entries {
                if reference(service).is_some() {
                    let mut chain = vec![(path.to_owned(), service.key.clone())];
                    // What could not be copied has been told; the service goes on without it.
                    if let Some(resolved) = extended(loader, &whole, path, scope, service, &mut chain) {
                        *service = resolved;
                    }
                }
            }
        }
        file.entries.push(entry);
    }
}

fn services(file: &Map) -> Option<&Map> {
    file.get("services").and_then(|entry| entry.node.map())
}

fn reference(service: &Entry) -> Option<&Entry> {
    service.node.map().and_then(|map| map.get(EXTENDS))
}

/// The service with what it extends under it, to the end of the chain.
fn extended(
    loader: &mut Loader<'_>,
    file: &Map,
    path: &str,
    scope: &Scope,
    service: &Entry,
    chain: &mut Vec<Step>,
) -> Option<Entry> {
    let Some(entry) = reference(service) else {
        return copied(loader, service);
    };
    // The key goes with the copy, so what is in it is judged here.
    walk_service_key(entry, &mut loader.findings);
    let (name, other) = wanted(loader, entry, scope)?;
    let at = entry.node.at;
    let (base_file, base_scope, base_path);
    let (file, scope, path) = match other {
        None => (file, scope, path),
        Some(asked) => {
            (base_file, base_scope) = loader.extended(&asked, scope)?;
            base_path = asked.path;
            (&*base_file, &base_scope, base_path.as_str())
        }
    };
    let step = (path.to_owned(), name.clone());
    if let Some(start) = chain.iter().position(|known| *known == step) {
        let round: Vec<String> =
            chain.iter().skip(start).chain([&step]).map(|(path, name)| format!("{name} in {path}")).collect();
        loader.findings.error(at, format!("services extend each other in a circle: {}", round.join(" → ")));
        return None;
    }
    if chain.len() >= limits::EXTENDS_DEEP {
        loader.findings.error(at, format!("services extend each other more than {} deep", limits::EXTENDS_DEEP));
        return None;
    }
    let all = services(file);
    let Some(base) = all.and_then(|all| all.entries.iter().find(|entry| entry.key == name)) else {
        let near = suggestion(&name, all.into_iter().flat_map(|all| &all.entries).map(|entry| entry.key.as_str()));
        loader.findings.error(at, format!("there is no service {} in {}{near}", quote(&name), quote(path)));
        return None;
    };
    chain.push(step);
    let base = extended(loader, file, path, scope, base, chain)?;
    let mut over = copied(loader, service)?;
    if let Value::Map(map) = &mut over.node.value {
        map.remove(EXTENDS);
    }
    Some(merge::service(base, over))
}

/// A copy, if there is room for it.
fn copied(loader: &mut Loader<'_>, service: &Entry) -> Option<Entry> {
    if !loader.room.take(service.node.weight()) {
        let message = "with the services that others extend written out, the app becomes too large here";
        loader.findings.error(service.at, message);
        return None;
    }
    Some(service.clone())
}

/// The service that is named, and its file unless it is the same.
fn wanted(loader: &mut Loader<'_>, entry: &Entry, scope: &Scope) -> Option<(String, Option<Asked>)> {
    let map = match &entry.node.value {
        Value::Text(text) => return Some((text.text.clone(), None)),
        Value::Map(map) => map,
        _ => {
            shape::wrong(&mut loader.findings, &entry.node, "`extends` takes the name of a service or a mapping");
            return None;
        }
    };
    let Some(service) = map.get("service") else {
        loader.findings.error(entry.at, "`extends` needs a `service`");
        return None;
    };
    let name = shape::text(&mut loader.findings, "service", &service.node)?.to_owned();
    let file = match map.get("file") {
        None => None,
        Some(file) => Some(env_file::asked(&mut loader.findings, "file", &file.node, &scope.folder)?),
    };
    Some((name, file))
}
