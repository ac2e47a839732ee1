//! Files as targets that a person writes, or that the command line keeps for one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use http::Uri;

use crate::disks::with_file;

// The command is a program and no library: its file is compiled in here, the very one.
#[path = "../../cli/src/registry.rs"]
#[allow(dead_code, reason = "the command does more with it")]
mod registry;

/// A `.env`: every variable has a name, and what is read again with itself for the environment reads the same.
pub(crate) fn dotenv(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let known = BTreeMap::from([("NAME".to_owned(), "value".to_owned())]);
    let first = grange_app::dotenv(&text, &known);
    if let Err(error) = &first {
        let lines = u32::try_from(text.lines().count().max(1)).unwrap_or(u32::MAX);
        assert!((1..=lines).contains(&error.line), "line {} of {lines} is refused", error.line);
    }
    assert!(first == grange_app::dotenv(&text, &known), "read twice, it is two things");
    first.is_ok_and(|variables| variables.keys().all(|name| !name.is_empty()))
}

/// `nodes.json`: what is read is written so that it reads as the same again, without the nodes whose folders are gone, and
/// the newest only where there are too many.
pub(crate) fn nodes(bytes: &[u8]) -> bool {
    with_file("nodes.json", bytes, |path| {
        let before = registry::read(path);
        let kept: Vec<_> = match &before {
            Ok(nodes) => nodes.iter().skip(nodes.len().saturating_sub(256)).cloned().collect(),
            Err(_) => Vec::new(),
        };
        let there: Vec<_> = kept.into_iter().filter(|node| node.data.is_dir()).collect();
        let written = registry::add(path, &[]);
        assert!(written.is_ok(), "the list cannot be written anew: {written:?}");
        let after = registry::read(path).ok();
        assert!(after.as_ref() == Some(&there), "{before:?} is written as {after:?}");
        let gone = PathBuf::from("/");
        assert!(registry::remove(path, &gone).is_ok(), "no node can be taken out");
        assert!(
            registry::read(path).is_ok_and(|left| left.iter().all(|node| !node.data.starts_with(&gone))),
            "some stay"
        );
        before.is_ok()
    })
}

/// What a service calls, and the hosts that its manifest lets it call, with zero bytes between: a call is let through only
/// to a host of the list, worked out here a second time.
pub(crate) fn host_list(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut pieces = text.split('\0').map(str::to_owned);
    let Some(Ok(uri)) = pieces.next().map(|uri| uri.parse::<Uri>()) else { return false };
    let allowed: Vec<String> = pieces.collect();
    let Some((name, port)) = grange_sandbox::fuzz::admitted(&allowed, &uri) else { return false };
    assert!(!allowed.is_empty(), "{uri} is let through by nothing");
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let asked = uri.host().map(plain);
    assert!(asked.as_ref() == Some(&name) && port == uri.port_u16().unwrap_or(usual), "{uri} goes to {name}:{port}");
    let named = |entry: &String| {
        let entry = entry.to_ascii_lowercase();
        let (host, given) = match entry.rsplit_once(':') {
            Some((host, digits)) if digits.bytes().all(|byte| byte.is_ascii_digit()) => (host, digits.parse().ok()),
            _ => (entry.as_str(), None),
        };
        plain(host) == name && given.unwrap_or(usual) == port
    };
    assert!(allowed.iter().any(named), "{uri} is let through to {name}:{port} by {allowed:?}");
    true
}

fn plain(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}
