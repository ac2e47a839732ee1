//! A service's health check. Grange asks replicas over HTTP; a check that does that by `curl` or `wget` is taken
//! over, any other is left out with a warning, since there is no container to run a command in.

use grange_types::{HealthCheck, Millis};

use crate::finding::Findings;
use crate::limits;
use crate::path::url_path;
use crate::scalar::{duration, parsed, switch, whole};
use crate::shape;
use crate::yaml::{Entry, Map, Node, Value};

/// Compose's own default for interval and timeout.
const THIRTY_SECONDS: Millis = Millis::seconds(30);
/// Compose's own default for retries.
const RETRIES: u32 = 3;

/// Reads `healthcheck`.
pub(crate) fn health(entry: Option<&Entry>, findings: &mut Findings) -> Option<HealthCheck> {
    let entry = entry?;
    let map = shape::mapping(findings, entry)?;
    // All keys are read before any decides, so that one run names every mistake.
    let disabled = map.get("disable").and_then(|entry| parsed(findings, entry, switch)).unwrap_or(false);
    let mut time = |key: &str| map.get(key).and_then(|entry| parsed(findings, entry, duration));
    let (interval, timeout) = (time("interval"), time("timeout"));
    let retries = map.get("retries").and_then(|entry| parsed(findings, entry, |text| whole(text, 1, limits::RETRIES)));
    let path = path(map, findings);
    if disabled {
        return None;
    }
    if map.get("test").is_none() {
        findings.warning(entry.at, "without a `test` there is no check");
    }
    Some(HealthCheck {
        path: path?,
        interval: interval.unwrap_or(THIRTY_SECONDS),
        timeout: timeout.unwrap_or(THIRTY_SECONDS),
        retries: retries.unwrap_or(RETRIES),
    })
}

/// The path that the check gets, if it is an HTTP check of the service itself.
fn path(map: &Map, findings: &mut Findings) -> Option<String> {
    let test = map.get("test")?;
    let words = words(&test.node, findings)?;
    if words.is_empty() {
        return None;
    }
    let path = http_path(&words);
    if path.is_none() {
        let message = "only an HTTP check of localhost by curl or wget is understood; this one is left out";
        findings.warning(test.node.at, message);
    }
    path
}

/// The words of the command; none when there is to be no check.
fn words(test: &Node, findings: &mut Findings) -> Option<Vec<String>> {
    let list = match &test.value {
        Value::Text(text) => return Some(shell_words(&text.text)),
        Value::List(list) => list,
        _ => {
            shape::wrong(findings, test, "`test` takes a line or a list");
            return None;
        }
    };
    let mut words = Vec::new();
    for node in list {
        words.push(shape::text(findings, "test", node)?.to_owned());
    }
    match words.first().map(String::as_str) {
        Some("NONE") if words.len() == 1 => Some(Vec::new()),
        Some("CMD") if words.len() > 1 => Some(words.split_off(1)),
        Some("CMD-SHELL") if words.len() == 2 => Some(words.get(1).map(|line| shell_words(line)).unwrap_or_default()),
        _ => {
            findings.error(test.at, "`test` starts with CMD and words, CMD-SHELL and one line, or NONE alone");
            None
        }
    }
}

/// The words of a shell line up to the first operator that joins or redirects commands. Quotes are taken off.
fn shell_words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut open) = (Vec::new(), String::new(), None, false);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(mark), _) if letter == mark => quote = None,
            (Some(_), _) => word.push(letter),
            (None, '"' | '\'') => (quote, open) = (Some(letter), true),
            (None, '|' | '&' | ';' | '>' | '<') => break,
            (None, _) if letter.is_whitespace() => {
                if open || !word.is_empty() {
                    words.push(core::mem::take(&mut word));
                }
                open = false;
            }
            (None, _) => word.push(letter),
        }
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    words
}

/// The path and query of the one local URL that a `curl` or `wget` gets.
fn http_path(words: &[String]) -> Option<String> {
    let (program, arguments) = words.split_first()?;
    if !matches!(program.rsplit('/').next(), Some("curl" | "wget")) {
        return None;
    }
    let mut urls = arguments.iter().filter_map(|word| local_path(word));
    let path = urls.next()?;
    urls.next().is_none().then_some(path)
}

fn local_path(word: &str) -> Option<String> {
    let bare = word.strip_prefix("http://").or_else(|| word.strip_prefix("https://"));
    // Both programs take an address without its scheme.
    let bare = bare.or_else(|| (!word.contains("://") && !word.starts_with('-')).then_some(word))?;
    let bare = bare.split('#').next()?;
    let end = bare.find(['/', '?']).unwrap_or(bare.len());
    let (authority, rest) = bare.split_at(end);
    let host = match authority.strip_prefix('[') {
        Some(six) => six.split_once(']').map(|(host, _)| host)?,
        None => authority.split(':').next()?,
    };
    if !matches!(host, "localhost" | "127.0.0.1" | "::1" | "0.0.0.0") {
        return None;
    }
    let (path, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let clean = query.bytes().all(|byte| byte.is_ascii_graphic()) && rest.len() <= limits::PATH_BYTES;
    (url_path(path).is_ok() && clean).then(|| format!("{path}{query}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        assert_eq!(http_path(&shell_words(line)).as_deref(), expected, "{line}");
    }

    #[test]
    fn an_http_check_of_the_service_itself_is_taken_over() {
        check("curl -f http://localhost:8080/health", Some("/health"));
        check("curl -fsS 'http://127.0.0.1/a/b?c=d' || exit 1", Some("/a/b?c=d"));
        check("/usr/bin/wget -q -O - http://[::1]:80/ > /dev/null", Some("/"));
        check("wget --spider localhost:8080/ready/", Some("/ready/"));
        check("curl -f \"http://localhost\" && true", Some("/"));
        check("curl http://localhost?x=1#y", Some("/?x=1"));
        check("curl https://0.0.0.0/ok", Some("/ok"));
    }

    #[test]
    fn any_other_check_is_not() {
        check("pg_isready -U postgres", None);
        check("curl -f http://db:8080/health", None);
        check("curl", None);
        check("", None);
        check("curl http://localhost/a http://localhost/b", None);
        check("curl http://localhost/../etc", None);
        check("echo http://localhost/", None);
        check("test -f /tmp/ok && curl http://localhost/", None);
    }
}
