//! Our own keys: `x-grange` at the top and at a service.

use core::str::FromStr;
use std::collections::BTreeSet;

use grange_types::{Amount, Isolation, On, Placement, Region, limits::ALLOWED_HOSTS};

use crate::app::WorkSource;
use crate::finding::{Findings, Position, quote};
use crate::nearest::suggestion;
use crate::path::{route_path, work_path};
use crate::shape;
use crate::walk::GRANGE;
use crate::yaml::{Entry, Map};

/// The budget of a deployment whose file names none: ten credits.
pub(crate) const DEFAULT_BUDGET: Amount = Amount::credits(10);

/// What a service's `x-grange` says.
#[derive(Debug, Default)]
pub(crate) struct ServiceBlock {
    pub(crate) source: Option<WorkSource>,
    /// Whether `wasm` or `site` is written, right or wrong.
    pub(crate) has_source: bool,
    pub(crate) route: Option<String>,
    /// Where a route is written, right or wrong.
    pub(crate) route_at: Option<Position>,
    pub(crate) allow_http: Vec<String>,
    pub(crate) placement: Placement,
}

/// Reads the budget at the top of the file.
pub(crate) fn budget(file: &Map, findings: &mut Findings) -> Amount {
    let block = file.get(GRANGE);
    let map = block.map(|entry| shape::mapping(findings, entry));
    if let Some(None) = map {
        return DEFAULT_BUDGET;
    }
    match map.flatten().and_then(|map| map.get("budget")) {
        Some(entry) => {
            let budget = amount(entry, findings).unwrap_or(DEFAULT_BUDGET);
            if budget == Amount::ZERO && !runs_on_own(file) {
                let message = "a budget of 0 credits pays for no capacity of others; give some, such as `10`, or run \
                               every service on your own with `x-grange.on: own`";
                findings.error(entry.node.at, message);
            }
            budget
        }
        None => {
            let at = block.map_or(Position::START, |entry| entry.at);
            findings.warning(
                at,
                format!("there is no `budget` under `x-grange`; at most {DEFAULT_BUDGET} credits will be spent"),
            );
            DEFAULT_BUDGET
        }
    }
}

/// Whether every service takes capacity of one's own alone, which costs nothing.
fn runs_on_own(file: &Map) -> bool {
    let services = file.get("services").and_then(|entry| entry.node.map());
    services.is_some_and(|services| {
        services.entries.iter().all(|service| {
            let block = service.node.map().and_then(|service| service.get(GRANGE)).and_then(|block| block.node.map());
            block.and_then(|block| block.get("on")).is_some_and(|on| on.node.text() == Some("own"))
        })
    })
}

/// Reads `x-grange` of a service.
pub(crate) fn service_block(service: &Map, findings: &mut Findings) -> ServiceBlock {
    let Some(map) = service.get(GRANGE).and_then(|entry| shape::mapping(findings, entry)) else {
        return ServiceBlock::default();
    };
    let wasm = map.get("wasm");
    let site = map.get("site");
    if let (Some(wasm), Some(site)) = (wasm, site) {
        let second = if wasm.at > site.at { wasm } else { site };
        findings.error(second.at, "a service is either `wasm` or `site`, not both");
    }
    let mut path = |entry: &Entry| word(entry, findings, work_path).map(|path| (path, entry.node.at));
    let source = match (wasm, site) {
        (Some(entry), _) => path(entry).map(|(path, at)| WorkSource::Wasm { path, at }),
        (None, Some(entry)) => path(entry).map(|(path, at)| WorkSource::Site { path, at }),
        (None, None) => None,
    };
    let route = map.get("route");
    let route_at = route.map(|entry| entry.node.at);
    let route = route.and_then(|entry| word(entry, findings, route_path));
    let placement = Placement {
        on: map.get("on").and_then(|entry| on(entry, findings)).unwrap_or_default(),
        price_max: map.get("price_max").and_then(|entry| amount(entry, findings)),
        region: map.get("region").and_then(|entry| word(entry, findings, |text| Region::try_from(text.to_owned()))),
        isolation: map.get("isolation").and_then(|entry| isolation(entry, findings)),
        trust_min: map.get("trust_min").and_then(|entry| word(entry, findings, trust)),
    };
    ServiceBlock {
        source,
        has_source: wasm.is_some() || site.is_some(),
        route,
        route_at,
        allow_http: map.get("allow_http").map(|entry| allow_http(entry, findings)).unwrap_or_default(),
        placement,
    }
}

/// Reads a single value whose error is a whole sentence.
fn word<T, E: core::fmt::Display>(
    entry: &Entry,
    findings: &mut Findings,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text = shape::text(findings, &entry.key, &entry.node)?;
    match parse(text) {
        Ok(value) => Some(value),
        Err(error) => {
            findings.error(entry.node.at, format!("{error}; not {}", quote(text)));
            None
        }
    }
}

fn amount(entry: &Entry, findings: &mut Findings) -> Option<Amount> {
    word(entry, findings, Amount::from_str)
}

fn on(entry: &Entry, findings: &mut Findings) -> Option<On> {
    const WORDS: [(&str, On); 3] = [("market", On::Market), ("own", On::Own), ("own-first", On::OwnFirst)];
    choice(entry, findings, &WORDS)
}

fn isolation(entry: &Entry, findings: &mut Findings) -> Option<Isolation> {
    const WORDS: [(&str, Isolation); 3] =
        [("wasm", Isolation::Wasm), ("container", Isolation::Container), ("vm", Isolation::Vm)];
    choice(entry, findings, &WORDS)
}

fn choice<T: Copy>(entry: &Entry, findings: &mut Findings, words: &[(&str, T)]) -> Option<T> {
    let text = shape::text(findings, &entry.key, &entry.node)?;
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
        return Some(*value);
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    let near = suggestion(text, words.iter().map(|(word, _)| *word));
    findings.error(entry.node.at, format!("`{}` is one of {}, not {}{near}", entry.key, known.join(", "), quote(text)));
    None
}

/// A number of hundredths, as `grange offers` shows trust.
fn trust(text: &str) -> Result<u8, TrustError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|least| digits && *least <= 100).ok_or(TrustError)
}

/// Why a text is no measure of trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the least trust is a whole number from 0 to 100, as `grange offers` shows it")]
struct TrustError;

fn allow_http(entry: &Entry, findings: &mut Findings) -> Vec<String> {
    let Some(list) = shape::list(findings, entry) else {
        return Vec::new();
    };
    let mut hosts = BTreeSet::new();
    for node in list {
        let Some(text) = shape::text(findings, "allow_http", node) else {
            continue;
        };
        match host(text) {
            Ok(host) => {
                hosts.insert(host);
            }
            Err(error) => findings.error(node.at, format!("{error}; not {}", quote(text))),
        }
    }
    if hosts.len() > ALLOWED_HOSTS {
        let message = format!("`allow_http` has {} hosts, more than the limit of {ALLOWED_HOSTS}", hosts.len());
        findings.error(entry.at, message);
    }
    hosts.into_iter().collect()
}

/// Why a text is no host that a component may be allowed to call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum HostError {
    #[error("a host stands alone, such as api.example.org, without scheme and path")]
    Bare,
    #[error("hosts are named one by one, without `*`")]
    Wildcard,
    #[error("a port is a number from 1 to 65535")]
    Port,
    #[error("a host is letters, digits, dashes and dots, such as api.example.org, or a public address")]
    Name,
    #[error("a component never calls its host's own or private addresses")]
    Private,
}

/// The host in lower case, with its port where it has one.
fn host(text: &str) -> Result<String, HostError> {
    if text.contains(['/', '@', '?', '#']) {
        return Err(HostError::Bare);
    }
    if text.contains('*') {
        return Err(HostError::Wildcard);
    }
    let (name, port) = match text.strip_prefix('[').and_then(|six| six.split_once(']')) {
        Some((name, "")) => (name, None),
        Some((name, port)) => (name, Some(port.strip_prefix(':').ok_or(HostError::Port)?)),
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    if port.is_some_and(|port| !digits(port) || !port.parse::<u16>().is_ok_and(|port| port > 0)) {
        return Err(HostError::Port);
    }
    let name = name.to_ascii_lowercase();
    if let Ok(address) = name.parse::<core::net::IpAddr>() {
        return if is_public(address) { Ok(text.to_ascii_lowercase()) } else { Err(HostError::Private) };
    }
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&label.len()) && label.bytes().all(inner) && !label.starts_with('-') && !label.ends_with('-')
    };
    // A last label of digits alone is an address that was misspelt, which resolvers read in surprising ways.
    let numeric = name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    if name.len() > 253 || !name.split('.').all(label) || numeric {
        return Err(HostError::Name);
    }
    if name == "localhost" || name.ends_with(".localhost") {
        return Err(HostError::Private);
    }
    Ok(text.to_ascii_lowercase())
}

/// A first, plain judgement; what a name resolves to is judged again where the call is made.
fn is_public(address: core::net::IpAddr) -> bool {
    match address {
        core::net::IpAddr::V4(four) => {
            let [first, second, ..] = four.octets();
            let shared = first == 100 && (64..128).contains(&second);
            let special = four.is_private() || four.is_loopback() || four.is_link_local() || four.is_unspecified();
            !(shared || special || four.is_multicast() || four.is_broadcast() || first == 0 || first >= 240)
        }
        core::net::IpAddr::V6(six) => match six.to_ipv4_mapped() {
            Some(four) => is_public(core::net::IpAddr::V4(four)),
            // Global unicast alone.
            None => six.segments()[0] & 0xe000 == 0x2000,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_a_public_address() {
        let table = [
            ("api.example.org", Ok("api.example.org")),
            ("API.Example.org:8443", Ok("api.example.org:8443")),
            ("8.8.8.8", Ok("8.8.8.8")),
            ("[2001:4860::1]:443", Ok("[2001:4860::1]:443")),
            ("https://api.example.org", Err(HostError::Bare)),
            ("api.example.org/v1", Err(HostError::Bare)),
            ("user@example.org", Err(HostError::Bare)),
            ("*.example.org", Err(HostError::Wildcard)),
            ("example.org:0", Err(HostError::Port)),
            ("example.org:http", Err(HostError::Port)),
            ("example.org:70000", Err(HostError::Port)),
            ("example.org:", Err(HostError::Port)),
            ("", Err(HostError::Name)),
            ("exa mple.org", Err(HostError::Name)),
            ("-a.org", Err(HostError::Name)),
            ("a..org", Err(HostError::Name)),
            ("127.1", Err(HostError::Name)),
            ("localhost", Err(HostError::Private)),
            ("a.localhost:80", Err(HostError::Private)),
            ("127.0.0.1", Err(HostError::Private)),
            ("10.1.2.3:80", Err(HostError::Private)),
            ("100.64.0.1", Err(HostError::Private)),
            ("169.254.169.254", Err(HostError::Private)),
            ("[::1]", Err(HostError::Private)),
            ("[fd00::1]:80", Err(HostError::Private)),
            ("[::ffff:10.0.0.1]", Err(HostError::Private)),
        ];
        for (text, expected) in table {
            assert_eq!(host(text).as_deref(), expected.as_ref().map(|host| *host), "{text}");
        }
    }
}
