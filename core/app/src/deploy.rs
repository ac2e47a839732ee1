//! How many of a service, and what each may use: `deploy` and the older keys that mean the same.

use grange_types::{ByteCount, Resources, limits as shared};

use crate::finding::Findings;
use crate::limits;
use crate::scalar::{ScalarError, parsed, processors, size, whole};
use crate::shape;
use crate::yaml::{Entry, Map};

/// What a replica gets where the file says nothing: a quarter of a processor, 64 MiB of memory, no disk.
pub(crate) const DEFAULT: Resources = Resources { cpu_millis: 250, memory: ByteCount::mib(64), disk: ByteCount(0) };

/// The parts of `deploy` that are honoured.
#[derive(Clone, Copy, Default)]
struct Parts<'a> {
    deploy: Option<&'a Map>,
    limits: Option<&'a Map>,
    reservations: Option<&'a Map>,
}

/// Reads how many replicas a service has and what each may use.
pub(crate) fn deploy(service: &Map, findings: &mut Findings) -> (u32, Resources) {
    let parts = parts(service, findings);
    let replicas =
        same(findings, [(parts.deploy, "replicas"), (Some(service), "scale")], |text| whole(text, 1, shared::REPLICAS));
    let cpus = |text: &str| processors(text, limits::PROCESSORS);
    let cpu_limit = same(findings, [(parts.limits, "cpus"), (Some(service), "cpus")], cpus);
    let cpu_reserved = same(findings, [(parts.reservations, "cpus"), (None, "")], cpus);
    let memory_limit = same(findings, [(parts.limits, "memory"), (Some(service), "mem_limit")], size);
    let memory_reserved = same(findings, [(parts.reservations, "memory"), (Some(service), "mem_reservation")], size);
    let resources = Resources {
        cpu_millis: settled(findings, cpu_limit, cpu_reserved, "more processors are reserved than the limit allows")
            .unwrap_or(DEFAULT.cpu_millis),
        memory: settled(findings, memory_limit, memory_reserved, "more memory is reserved than the limit allows")
            .unwrap_or(DEFAULT.memory),
        disk: DEFAULT.disk,
    };
    (replicas.map_or(1, |(_, replicas)| replicas), resources)
}

fn parts<'a>(service: &'a Map, findings: &mut Findings) -> Parts<'a> {
    let mut inner = |map: &'a Map, key: &str| map.get(key).and_then(|entry| shape::mapping(findings, entry));
    let Some(deploy) = inner(service, "deploy") else {
        return Parts::default();
    };
    let Some(resources) = inner(deploy, "resources") else {
        return Parts { deploy: Some(deploy), ..Parts::default() };
    };
    Parts { deploy: Some(deploy), limits: inner(resources, "limits"), reservations: inner(resources, "reservations") }
}

/// Reads a value that can be written in two places, which must agree where both are used.
fn same<'a, T: PartialEq>(
    findings: &mut Findings,
    places: [(Option<&'a Map>, &str); 2],
    parse: impl Fn(&str) -> Result<T, ScalarError>,
) -> Option<(&'a Entry, T)> {
    let mut read = |(map, key): (Option<&'a Map>, &str)| {
        let entry = map?.get(key)?;
        Some((entry, parsed(findings, entry, &parse)?))
    };
    let [first, second] = places;
    match (read(first), read(second)) {
        (Some((first, value)), Some((second, other))) => {
            if value != other {
                let message = format!("`{}` differs from `{}` on line {}", second.key, first.key, first.at.line);
                findings.error(second.node.at, message);
            }
            Some((first, value))
        }
        (first, second) => first.or(second),
    }
}

/// The limit, else what is reserved, which is never more than the limit.
fn settled<T: PartialOrd>(
    findings: &mut Findings,
    limit: Option<(&Entry, T)>,
    reserved: Option<(&Entry, T)>,
    too_much: &str,
) -> Option<T> {
    match (limit, reserved) {
        (Some((_, limit)), Some((entry, reserved))) => {
            if reserved > limit {
                findings.error(entry.node.at, too_much);
            }
            Some(limit)
        }
        (limit, reserved) => limit.or(reserved).map(|(_, value)| value),
    }
}
