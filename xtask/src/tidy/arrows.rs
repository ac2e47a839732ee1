//! Who may know whom. Everything not written here is forbidden.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, PackageId};

use super::Finding;

/// What each crate of ours may depend on, by exact name.
const ARROWS: &[(&str, &[&str])] = &[
    ("grange-types", &[]),
    ("grange-ledger", &["grange-types"]),
    ("grange-consensus", &["grange-types"]),
    ("grange-market", &["grange-types"]),
    ("grange-objects", &["grange-types"]),
    ("grange-app", &["grange-types"]),
    ("grange-api", &["grange-types"]),
    (
        "grange-peer",
        &[
            "grange-types",
            "grange-ledger",
            "grange-consensus",
            "grange-market",
            "grange-objects",
            "grange-app",
            "grange-api",
        ],
    ),
    ("grange-net", &["grange-types"]),
    ("grange-disk", &["grange-types"]),
    ("grange-sandbox", &["grange-types", "grange-objects"]),
    ("grange-keystore", &["grange-types"]),
    ("grange-gateway", &["grange-types", "grange-api"]),
    (
        "grange-node",
        &[
            "grange-types",
            "grange-ledger",
            "grange-objects",
            "grange-api",
            "grange-peer",
            "grange-net",
            "grange-disk",
            "grange-keystore",
            "grange-sandbox",
            "grange-gateway",
        ],
    ),
    ("grange", &["grange-types", "grange-api", "grange-app", "grange-node"]),
    ("grange-sim", PURE),
    ("grange-storm", &["grange-types", "grange-node"]),
    ("grange-fuzz", FUZZED),
    ("xtask", &["grange-api"]),
];

/// Benchmarks may look at anything.
const FREE: &str = "grange-bench-";

/// The pure crates.
const PURE: &[&str] = &[
    "grange-types",
    "grange-ledger",
    "grange-consensus",
    "grange-market",
    "grange-objects",
    "grange-app",
    "grange-api",
    "grange-peer",
];

/// What takes bytes from strangers or from a disk: all but the command line.
const FUZZED: &[&str] = &[
    "grange-types",
    "grange-ledger",
    "grange-consensus",
    "grange-market",
    "grange-objects",
    "grange-app",
    "grange-api",
    "grange-peer",
    "grange-net",
    "grange-disk",
    "grange-keystore",
    "grange-sandbox",
    "grange-gateway",
    "grange-node",
];

/// What touches the world, and so has no place below `edge/`.
const WORLDLY: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "iroh",
    "iroh-gossip",
    "iroh-relay",
    "quinn",
    "hyper",
    "axum",
    "redb",
    "wasmtime",
    "rustix",
    "reqwest",
    "ureq",
];

/// What a pure dependency pulls in by itself: (who, what, why it does no harm).
const EXCUSED: &[(&str, &str, &str)] = &[
    ("grange-consensus", "tokio", MALACHITE),
    ("grange-consensus", "mio", MALACHITE),
    ("grange-peer", "tokio", MALACHITE),
    ("grange-peer", "mio", MALACHITE),
];

const MALACHITE: &str = "the Malachite core names tokio's channels in a crate of its own; no runtime is ever started";

/// Checks the arrows between our crates, and what the pure ones pull in.
pub(crate) fn check(metadata: &Metadata) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let normal = package.dependencies.iter().filter(|dependency| dependency.kind == DependencyKind::Normal);
        let names: Vec<&str> = normal.map(|dependency| dependency.name.as_str()).collect();
        findings.extend(forbidden(package.name.as_str(), &names));
    }
    for (who, reached) in reach(metadata) {
        findings.extend(worldly(&who, &reached));
    }
    findings
}

/// The arrows of one crate that are not in the table.
fn forbidden(name: &str, dependencies: &[&str]) -> Vec<Finding> {
    if name.starts_with(FREE) {
        return Vec::new();
    }
    let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
        return vec![Finding::new(name, "arrow", "the crate is not in the table of arrows; give it a floor")];
    };
    let ours = dependencies.iter().filter(|dependency| ARROWS.iter().any(|(known, _)| known == *dependency));
    let bad = ours.filter(|dependency| !allowed.contains(dependency));
    bad.map(|dependency| Finding::new(name, "arrow", format!("may not depend on {dependency}"))).collect()
}

/// What of a pure crate's dependencies touches the world.
fn worldly(who: &str, reached: &BTreeSet<String>) -> Vec<Finding> {
    let excused = |what: &str| EXCUSED.iter().any(|(by, excused, _)| *by == who && *excused == what);
    let bad = reached.iter().filter(|what| WORLDLY.contains(&what.as_str()) && !excused(what));
    bad.map(|what| Finding::new(who, "pure", format!("pulls in {what}, which touches the world"))).collect()
}

/// Everything each pure crate depends on, however far, by normal dependencies.
fn reach(metadata: &Metadata) -> BTreeMap<String, BTreeSet<String>> {
    let names: BTreeMap<&PackageId, &str> =
        metadata.packages.iter().map(|package| (&package.id, package.name.as_str())).collect();
    let Some(resolve) = &metadata.resolve else { return BTreeMap::new() };
    let edges: BTreeMap<&PackageId, Vec<&PackageId>> = resolve
        .nodes
        .iter()
        .map(|node| {
            let normal = node.deps.iter().filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind == DependencyKind::Normal && kind.target.is_none())
            });
            (&node.id, normal.map(|dependency| &dependency.pkg).collect())
        })
        .collect();
    let mut reached = BTreeMap::new();
    for package in metadata.workspace_packages().into_iter().filter(|package| PURE.contains(&package.name.as_str())) {
        let (mut seen, mut todo) = (BTreeSet::new(), vec![&package.id]);
        while let Some(id) = todo.pop() {
            if seen.insert(id) {
                todo.extend(edges.get(id).into_iter().flatten());
            }
        }
        let found = seen.into_iter().filter_map(|id| names.get(id)).map(|name| (*name).to_owned()).collect();
        reached.insert(package.name.to_string(), found);
    }
    reached
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_arrow_is_caught() {
        assert_eq!(forbidden("grange-market", &["grange-types", "serde"]), []);
        let sideways = forbidden("grange-market", &["grange-types", "grange-ledger"]);
        assert_eq!(sideways, [Finding::new("grange-market", "arrow", "may not depend on grange-ledger")]);
        assert_eq!(forbidden("grange-types", &["grange-api"]).len(), 1);
        assert_eq!(forbidden("grange-unheard-of", &[]).len(), 1);
        assert_eq!(forbidden("grange-bench-market", &["grange-market", "grange-node"]), []);
    }

    #[test]
    fn a_planted_worldly_dependency_is_caught() {
        let reached = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(worldly("grange-ledger", &reached(&["serde", "blake3"])), []);
        assert_eq!(worldly("grange-ledger", &reached(&["serde", "tokio"])).len(), 1);
    }
}
