//! Which services wait for which, and that none waits for itself.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Findings, Position, quote};
use crate::nearest::suggestion;
use crate::profiles::Inactive;
use crate::scalar::{parsed, switch};
use crate::shape;
use crate::yaml::{Entry, Map, Value};

/// One service that another waits for.
struct Dependency {
    name: String,
    at: Position,
    /// Whether its absence is an error.
    required: bool,
}

/// Which services each one waits for, sorted. Nothing else of a service is looked at: also one that has nothing to run
/// waits, and is waited for.
pub(crate) fn dependencies(
    services: &Map,
    inactive: &Inactive,
    findings: &mut Findings,
) -> BTreeMap<String, Vec<String>> {
    let read = |entry: &Entry| {
        let depends_on = match &entry.node.value {
            Value::Map(service) => depends_on(service.get("depends_on"), findings),
            _ => Vec::new(),
        };
        (entry.key.clone(), depends_on)
    };
    let mut graph: BTreeMap<String, Vec<Dependency>> = services.entries.iter().map(read).collect();
    settle(&mut graph, inactive, findings);
    let names = |dependencies: Vec<Dependency>| {
        let names: BTreeSet<String> = dependencies.into_iter().map(|dependency| dependency.name).collect();
        names.into_iter().collect()
    };
    graph.into_iter().map(|(name, dependencies)| (name, names(dependencies))).collect()
}

/// Reads `depends_on`, as a list of names or a mapping from names.
fn depends_on(entry: Option<&Entry>, findings: &mut Findings) -> Vec<Dependency> {
    let Some(entry) = entry else {
        return Vec::new();
    };
    let mut result = Vec::new();
    match &entry.node.value {
        Value::List(list) => {
            for node in list {
                if let Some(name) = shape::text(findings, "depends_on", node) {
                    result.push(Dependency { name: name.to_owned(), at: node.at, required: true });
                }
            }
        }
        Value::Map(map) => {
            for entry in &map.entries {
                let required = match &entry.node.value {
                    Value::Map(map) => map.get("required").and_then(|entry| parsed(findings, entry, switch)),
                    Value::Nothing => None,
                    _ => shape::mapping(findings, entry).and(None),
                };
                result.push(Dependency { name: entry.key.clone(), at: entry.at, required: required.unwrap_or(true) });
            }
        }
        _ => {
            shape::wrong(findings, &entry.node, "`depends_on` takes a list or a mapping");
        }
    }
    result
}

/// Checks that every dependency is a service and that there is no circle; drops what is not there and not
/// required. A service of a profile that is not active is not there.
fn settle(graph: &mut BTreeMap<String, Vec<Dependency>>, inactive: &Inactive, findings: &mut Findings) {
    let names: BTreeSet<String> = graph.keys().cloned().collect();
    for dependencies in graph.values_mut() {
        dependencies.retain(|Dependency { name, at, required }| {
            let known = names.contains(name);
            if let Some(profiles) = inactive.get(name) {
                if *required {
                    let profiles: Vec<String> = profiles.iter().map(|name| format!("--profile {name}")).collect();
                    let message = format!(
                        "the service {} is in no active profile; deploy with {}, or wait with `required: false`",
                        quote(name),
                        profiles.join(" or ")
                    );
                    findings.error(*at, message);
                }
            } else if !known && *required {
                let near = suggestion(name, names.iter().map(String::as_str));
                findings.error(*at, format!("there is no service {}{near}", quote(name)));
            } else if !known {
                findings.warning(*at, format!("there is no service {}; it is not waited for", quote(name)));
            }
            known
        });
    }
    let mut clear = BTreeSet::new();
    for name in graph.keys() {
        let mut path = Vec::new();
        circle(name, graph, &mut clear, &mut path, findings);
    }
}

/// Goes down the dependencies of one service; `path` holds those on the way, `clear` those known to be in no
/// circle that has not been told. Recursion is as deep as there are services at most.
fn circle<'a>(
    name: &'a str,
    graph: &'a BTreeMap<String, Vec<Dependency>>,
    clear: &mut BTreeSet<&'a str>,
    path: &mut Vec<&'a str>,
    findings: &mut Findings,
) {
    if clear.contains(name) {
        return;
    }
    path.push(name);
    for Dependency { name: next, at, .. } in graph.get(name).into_iter().flatten() {
        match path.iter().position(|on_the_way| on_the_way == next) {
            Some(start) if start + 1 == path.len() => findings.error(*at, "a service cannot wait for itself"),
            Some(start) => {
                let round: Vec<&str> = path.iter().skip(start).copied().chain([next.as_str()]).collect();
                let message = format!("services wait for each other in a circle: {}", round.join(" → "));
                findings.error(*at, message);
            }
            None => circle(next, graph, clear, path, findings),
        }
    }
    path.pop();
    clear.insert(name);
}
