//! A service's ports, in compose's short and long form. Grange opens none: a gateway serves every app over HTTP
//! on its own port, so what matters is that there are any, and that none was meant to be private.

use crate::app::Port;
use crate::finding::{Findings, Position, quote};
use crate::limits;
use crate::shape;
use crate::yaml::{Entry, Map, Node, Value};

/// Reads `ports`.
pub(crate) fn ports(entry: Option<&Entry>, findings: &mut Findings) -> Vec<Port> {
    let Some((entry, list)) = entry.and_then(|entry| Some((entry, shape::list(findings, entry)?))) else {
        return Vec::new();
    };
    if list.len() > limits::PORTS {
        let message = format!("`ports` has {} entries, more than the limit of {}", list.len(), limits::PORTS);
        findings.error(entry.at, message);
        return Vec::new();
    }
    let written = list.iter().filter_map(|node| match &node.value {
        Value::Map(map) => long(map, node.at, findings),
        Value::Text(text) => short(&text.text, node.at, findings),
        _ => {
            shape::wrong(findings, node, "a port is a number, a text such as \"8080:80\" or a mapping");
            None
        }
    });
    let written: Vec<Written> = written.collect();
    written.iter().filter_map(|port| port.judged(findings)).collect()
}

/// What tells a port from another: its address, both numbers and its protocol.
pub(crate) fn identity(node: &Node) -> Option<String> {
    // What is wrong with it is said when it is read.
    let mut ignored = Findings::default();
    let port = match &node.value {
        Value::Map(map) => long(map, node.at, &mut ignored),
        Value::Text(text) => short(&text.text, node.at, &mut ignored),
        _ => None,
    }?;
    // A range is told by its text, since of a range only the first port is kept.
    let range = if port.range { node.text().unwrap_or_default() } else { "" };
    let address = port.address.as_deref().unwrap_or_default();
    Some(format!("{address} {:?} {} {} {range}", port.published, port.target, port.protocol.to_ascii_lowercase()))
}

/// A port as written, before it is judged.
struct Written {
    at: Position,
    address: Option<String>,
    target: u16,
    published: Option<u16>,
    /// Whether a range of ports was written.
    range: bool,
    protocol: String,
    application: Option<String>,
}

impl Written {
    fn judged(&self, findings: &mut Findings) -> Option<Port> {
        if self.address.as_deref().is_some_and(is_private) {
            let address = quote(self.address.as_deref().unwrap_or_default());
            let message = format!(
                "a port on {address} is meant for the host alone, but a gateway would make it public; remove it"
            );
            findings.error(self.at, message);
            return None;
        }
        // Some files say what runs over TCP where TCP itself is meant.
        if !["tcp", "http", "https"].iter().any(|known| known.eq_ignore_ascii_case(&self.protocol)) {
            let message =
                format!("only HTTP is served; the {} port {} is left out", quote(&self.protocol), self.target);
            findings.warning(self.at, message);
            return None;
        }
        const HTTP: [&str; 5] = ["http", "https", "http2", "ws", "wss"];
        if let Some(other) =
            self.application.as_deref().filter(|name| !HTTP.iter().any(|known| known.eq_ignore_ascii_case(name)))
        {
            findings.warning(
                self.at,
                format!("only HTTP is served; the {} port {} is left out", quote(other), self.target),
            );
            return None;
        }
        if self.range {
            findings.warning(self.at, format!("one port is enough; of this range only {} is kept", self.target));
        }
        if let Some(published) = self.published {
            let message =
                format!("port {published} is not opened: the app is reached under its name, on the gateway's port");
            findings.warning(self.at, message);
        }
        Some(Port { target: self.target, published: self.published })
    }
}

/// Whether an address is the host's own.
fn is_private(address: &str) -> bool {
    let address = address.trim_start_matches('[').trim_end_matches(']');
    match address.parse::<core::net::IpAddr>() {
        Ok(core::net::IpAddr::V4(address)) => address.is_loopback(),
        Ok(core::net::IpAddr::V6(address)) => {
            address.is_loopback() || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
        Err(_) => address.eq_ignore_ascii_case("localhost"),
    }
}

/// `[[ADDRESS:]PUBLISHED:]TARGET[/PROTOCOL]`.
fn short(text: &str, at: Position, findings: &mut Findings) -> Option<Written> {
    let (ports, protocol) = text.split_once('/').unwrap_or((text, "tcp"));
    let (outside, target) = ports.rsplit_once(':').map_or((None, ports), |(outside, target)| (Some(outside), target));
    // What stands before the last colon of the outside is an address, itself with colons where it is of version 6.
    let (address, published) = match outside.map(|outside| outside.rsplit_once(':').unwrap_or(("", outside))) {
        None => (None, None),
        Some(("", published)) => (None, Some(published)),
        Some((address, published)) => (Some(address.to_owned()), Some(published)),
    };
    let published = published.filter(|published| !published.is_empty());
    let (target, published) = (number(target), published.map(number));
    match (target, published) {
        (Some((target, range)), None | Some(Some(_))) => Some(Written {
            at,
            address,
            target,
            published: published.flatten().map(|(published, _)| published),
            range: range || matches!(published, Some(Some((_, true)))),
            protocol: protocol.to_owned(),
            application: None,
        }),
        _ => {
            findings.error(at, format!("{} is no port; write 80, \"8080:80\" or \"80/tcp\"", quote(text)));
            None
        }
    }
}

fn long(map: &Map, at: Position, findings: &mut Findings) -> Option<Written> {
    let mut text = |key: &str| {
        map.get(key).and_then(|entry| Some((shape::text(findings, key, &entry.node)?.to_owned(), &entry.node)))
    };
    let (target, published) = (text("target"), text("published"));
    let (protocol, application, address) = (text("protocol"), text("app_protocol"), text("host_ip"));
    let mut port = |value: Option<(String, &Node)>| {
        let (text, node) = value?;
        let port = number(&text);
        if port.is_none() {
            findings.error(node.at, format!("a port is a number from 1 to 65535, not {}", quote(&text)));
        }
        port
    };
    let published = port(published);
    if target.is_none() {
        if !map.has("target") {
            findings.error(at, "a port needs a `target`");
        }
        return None;
    }
    let (target, range) = port(target)?;
    Some(Written {
        at,
        address: address.map(|(address, _)| address),
        target,
        published: published.map(|(published, _)| published),
        range: range || published.is_some_and(|(_, range)| range),
        protocol: protocol.map_or_else(|| "tcp".to_owned(), |(protocol, _)| protocol),
        application: application.map(|(application, _)| application),
    })
}

/// A port, or the first of a range and that it is one.
fn number(text: &str) -> Option<(u16, bool)> {
    let single = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if digits { text.parse::<u16>().ok().filter(|port| *port > 0) } else { None }
    };
    match text.split_once('-') {
        None => single(text).map(|port| (port, false)),
        Some((first, last)) => {
            let (first, last) = (single(first)?, single(last)?);
            (first <= last).then_some((first, last > first))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Address, published port, target and protocol.
    type Parts<'a> = (Option<&'a str>, Option<u16>, u16, &'a str);

    #[track_caller]
    fn check(text: &str, expected: Result<Parts<'_>, ()>) {
        let mut findings = Findings::default();
        let written = short(text, Position::START, &mut findings);
        let actual =
            written.as_ref().map(|port| (port.address.as_deref(), port.published, port.target, port.protocol.as_str()));
        assert_eq!(actual.ok_or(()), expected, "{text}");
        assert_eq!(findings.finish(&[]).len(), usize::from(written.is_none()), "{text}");
    }

    #[test]
    fn the_short_form_has_four_parts() {
        check("80", Ok((None, None, 80, "tcp")));
        check("8080:80", Ok((None, Some(8080), 80, "tcp")));
        check("8080:80/udp", Ok((None, Some(8080), 80, "udp")));
        check("127.0.0.1:8080:80", Ok((Some("127.0.0.1"), Some(8080), 80, "tcp")));
        check("127.0.0.1::80", Ok((Some("127.0.0.1"), None, 80, "tcp")));
        check("[::1]:8080:80", Ok((Some("[::1]"), Some(8080), 80, "tcp")));
        check("3000-3005", Ok((None, None, 3000, "tcp")));
        check("9090-9091:8080-8081", Ok((None, Some(9090), 8080, "tcp")));
        for bad in ["", "0", "65536", "http", "80:", "a:80", "80:b", "-1", "5-3", "80 ", "+80"] {
            check(bad, Err(()));
        }
    }

    #[test]
    fn the_hosts_own_addresses_are_private() {
        for address in ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"] {
            assert!(is_private(address), "{address}");
        }
        for address in ["0.0.0.0", "::", "192.168.1.2", "example.org"] {
            assert!(!is_private(address), "{address}");
        }
    }
}
