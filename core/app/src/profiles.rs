//! `profiles`: services that are part of the app only when one of their profiles is asked for.

use std::collections::{BTreeMap, BTreeSet};

use crate::finding::{Findings, quote};
use crate::load::Variables;
use crate::nearest::suggestion;
use crate::shape;
use crate::yaml::{Entry, Map, Value};

/// The variable that names the active profiles where the caller names none, separated by commas.
const ACTIVE: &str = "COMPOSE_PROFILES";

/// Services that are left out, with the profiles that would bring them in.
pub(crate) type Inactive = BTreeMap<String, Vec<String>>;

/// Takes the services out that belong to no active profile. A service without profiles always stays.
pub(crate) fn select(file: &mut Map, asked: &[String], variables: &Variables, findings: &mut Findings) -> Inactive {
    let mut active: Vec<&str> = asked.iter().map(String::as_str).collect();
    if active.is_empty() {
        let named = variables.get(ACTIVE).map(String::as_str).unwrap_or_default();
        active = named.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    }
    let mut inactive = Inactive::new();
    let mut known = BTreeSet::new();
    let entry = file.entries.iter_mut().find(|entry| entry.key == "services");
    let Some(Entry { at, node, .. }) = entry else {
        return inactive;
    };
    let Value::Map(services) = &mut node.value else {
        return inactive;
    };
    services.entries.retain(|service| {
        let profiles = profiles(service, findings);
        known.extend(profiles.iter().cloned());
        let stays = profiles.is_empty() || profiles.iter().any(|name| active.contains(&name.as_str()));
        let stays = stays || active.contains(&"*");
        if !stays {
            inactive.insert(service.key.clone(), profiles);
        }
        stays
    });
    if services.entries.is_empty() && !inactive.is_empty() {
        let names: Vec<String> = inactive.values().flatten().map(|name| format!("`{name}`")).collect();
        let message = format!("no service is in an active profile; name one with --profile: {}", names.join(", "));
        findings.error(*at, message);
    }
    // The variable may be set for several projects, so only what was asked for is surely meant for this one.
    for name in asked.iter().filter(|name| *name != "*" && !known.contains(*name)) {
        let near = suggestion(name, known.iter().map(String::as_str));
        findings.warning(*at, format!("no service has the profile {}{near}", quote(name)));
    }
    inactive
}

/// The profiles of a service; one that cannot be read has none, so that nothing is left out silently.
fn profiles(service: &Entry, findings: &mut Findings) -> Vec<String> {
    let entry = service.node.map().and_then(|map| map.get("profiles"));
    let Some(list) = entry.and_then(|entry| shape::list(findings, entry)) else {
        return Vec::new();
    };
    let mut names = Vec::new();
    for node in list {
        let Some(name) = shape::text(findings, "profiles", node) else {
            continue;
        };
        let legal = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
        if name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.chars().all(legal) {
            names.push(name.to_owned());
        } else {
            let message =
                format!("a profile is letters, digits, `_`, `.` and `-`, a letter or digit first; not {}", quote(name));
            findings.error(node.at, message);
        }
    }
    names
}
