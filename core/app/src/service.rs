//! One service, from its mapping to a draft that still has to meet the others.

use std::collections::BTreeMap;

use grange_types::{Kind, limits::NAME_BYTES};

use crate::app::AppService;
use crate::declared::Declared;
use crate::deploy::deploy;
use crate::environment::environment;
use crate::finding::{Findings, Position, quote};
use crate::furnish::files;
use crate::grange::{ServiceBlock, service_block};
use crate::health::health;
use crate::path::is_name;
use crate::ports::ports;
use crate::shape;
use crate::yaml::{Entry, Map, Value};

/// A service whose route is not settled yet.
pub(crate) struct Draft {
    pub(crate) name: String,
    pub(crate) service: AppService,
    /// Where a route is written, right or wrong.
    pub(crate) route_at: Option<Position>,
}

/// Reads one service. Nothing comes of it when what it runs is not known; the reason is among the findings.
pub(crate) fn service(
    entry: &Entry,
    variables: &BTreeMap<String, String>,
    declared: &Declared,
    findings: &mut Findings,
) -> Option<Draft> {
    check_name(entry, findings);
    let empty = Map::default();
    let map = match &entry.node.value {
        Value::Map(map) => map,
        Value::Nothing => &empty,
        _ => {
            shape::wrong(findings, &entry.node, &format!("the service {} takes a mapping", quote(&entry.key)));
            return None;
        }
    };
    // Everything is read before anything is given up, so that one run names every mistake.
    let ServiceBlock { source, has_source, route, route_at, allow_http, placement } = service_block(map, findings);
    let (replicas, resources) = deploy(map, findings);
    let environment = environment(map.get("environment"), variables, findings);
    let health = health(map.get("healthcheck"), findings);
    let ports = ports(map.get("ports"), findings);
    let mut files = files(map, declared, findings);
    let told = |key: &str| map.get(key).is_some();
    // A service that still has `extends` could not get what it extends, which has been told.
    if !has_source && !["image", "build", "extends"].into_iter().any(told) {
        let message =
            format!("the service {} has nothing to run; give it `x-grange.wasm` or `x-grange.site`", quote(&entry.key));
        findings.error(entry.at, message);
    }
    let source = source?;
    if source.kind() == Kind::Site {
        idle_in_a_site(map, findings);
        files.clear();
    }
    let at = entry.at;
    let service = AppService {
        source,
        replicas,
        resources,
        environment,
        route,
        health,
        depends_on: Vec::new(),
        placement,
        allow_http,
        ports,
        files,
        at,
    };
    Some(Draft { name: entry.key.clone(), service, route_at })
}

fn check_name(entry: &Entry, findings: &mut Findings) {
    let name = &entry.key;
    if !is_name(name) {
        let message = format!(
            "a service's name is 1 to {NAME_BYTES} letters, digits, `.`, `_` and `-`, a letter or digit first; not {}",
            quote(name)
        );
        findings.error(entry.at, message);
    }
}

/// Files have no use for what a program is given.
fn idle_in_a_site(service: &Map, findings: &mut Findings) {
    let hosts = service.get(crate::walk::GRANGE).and_then(|entry| match &entry.node.value {
        Value::Map(map) => map.get("allow_http"),
        _ => None,
    });
    let idle = ["environment", "configs", "secrets"].map(|key| service.get(key));
    for entry in idle.into_iter().chain([hosts]).flatten() {
        findings.warning(entry.at, format!("`{}` has no effect: a site is files, and runs nothing", entry.key));
    }
}
