//! The table against the specification's own JSON Schema: no key of it is unsorted, and none is made up.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Inner, Level, TOP};

/// Keys that the reference implementation takes and the specification's schema does not have yet, and our own.
const BEYOND: [&str; 11] = [
    "x-grange",
    "services.*.x-grange",
    "services.*.pre_start",
    "services.*.pre_start.command",
    "services.*.pre_start.image",
    "services.*.pre_start.user",
    "services.*.pre_start.privileged",
    "services.*.pre_start.working_dir",
    "services.*.pre_start.environment",
    "services.*.pre_start.per_replica",
    "services.*.build.no_cache_filter",
];

struct Walk {
    schema: Value,
    unsorted: Vec<String>,
    made_up: Vec<String>,
    seen: BTreeSet<String>,
}

/// The keys of a value of this schema, and the schemas of its members whose names are free, through every reference
/// and alternative.
#[derive(Default)]
struct Members<'a> {
    keys: Vec<(&'a str, &'a Value)>,
    free: Vec<&'a Value>,
}

fn members<'a>(schema: &'a Value, node: &'a Value, depth: usize, found: &mut Members<'a>) {
    assert!(depth < 20, "the schema goes round in a circle");
    if let Some(reference) = node["$ref"].as_str() {
        let target = schema.pointer(reference.trim_start_matches('#')).expect("a reference leads somewhere");
        members(schema, target, depth + 1, found);
    }
    for (key, inner) in node["properties"].as_object().into_iter().flatten() {
        found.keys.push((key, inner));
    }
    for (pattern, inner) in node["patternProperties"].as_object().into_iter().flatten() {
        if pattern != "^x-" {
            found.free.push(inner);
        }
    }
    if node["additionalProperties"].is_object() {
        found.free.push(&node["additionalProperties"]);
    }
    for alternatives in ["oneOf", "anyOf", "allOf"] {
        for inner in node[alternatives].as_array().into_iter().flatten() {
            members(schema, inner, depth + 1, found);
        }
    }
    if node["items"].is_object() {
        members(schema, &node["items"], depth + 1, found);
    }
}

impl Walk {
    fn level(&mut self, nodes: &[Value], level: &'static Level, path: &str) {
        let schema = self.schema.clone();
        let mut found = Members::default();
        for node in nodes {
            members(&schema, node, 0, &mut found);
        }
        let name = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        let official: BTreeSet<&str> = found.keys.iter().map(|(key, _)| *key).collect();
        let made_up = level.names().filter(|key| !official.contains(key)).map(name);
        self.made_up.extend(made_up.filter(|key| !BEYOND.contains(&key.as_str())));
        for key in official {
            let path = name(key);
            self.seen.insert(path.clone());
            let Some(sorted) = level.find(key) else {
                self.unsorted.push(path);
                continue;
            };
            let of_key: Vec<Value> =
                found.keys.iter().filter(|(known, _)| *known == key).map(|(_, node)| (*node).clone()).collect();
            let mut inside = Members::default();
            of_key.iter().for_each(|node| members(&schema, node, 0, &mut inside));
            match sorted.inner {
                Inner::Keys(inner) => self.level(&of_key, inner, &path),
                Inner::Named(inner) => {
                    let free: Vec<Value> = inside.free.iter().map(|node| (*node).clone()).collect();
                    self.level(&free, inner, &format!("{path}.*"));
                }
                Inner::Leaf => self.unsorted.extend(inside.keys.iter().map(|(key, _)| format!("{path}.{key}"))),
            }
        }
    }
}

#[test]
fn every_key_of_the_official_schema_is_sorted_and_no_other() {
    let text = include_str!("../../tests/official/schema/compose-spec.json");
    let schema: Value = serde_json::from_str(text).unwrap();
    let mut walk = Walk { schema: schema.clone(), unsorted: Vec::new(), made_up: Vec::new(), seen: BTreeSet::new() };
    walk.level(&[schema], &TOP, "");
    assert_eq!(walk.unsorted, Vec::<String>::new(), "not in the table");
    assert_eq!(walk.made_up, Vec::<String>::new(), "not in the schema");
    // That the walk came everywhere.
    for deep in ["services.*.deploy.resources.reservations.devices.count", "networks.*.ipam.config.aux_addresses"] {
        assert!(walk.seen.contains(deep), "{deep}");
    }
    assert!(walk.seen.len() > 250, "{} keys were seen", walk.seen.len());
}
