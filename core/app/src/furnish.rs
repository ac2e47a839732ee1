//! `configs` and `secrets` of a service: which it is given, and where it finds them.

use grange_types::limits as shared;

use crate::app::AppFile;
use crate::declared::{Declaration, Declared};
use crate::finding::{Findings, Position, quote};
use crate::nearest::suggestion;
use crate::shape;
use crate::yaml::{Map, Node, Value};

/// Where a secret lies whose place is not named.
const SECRETS: &str = "/run/secrets";

/// Reads what a service is given, sorted by place.
pub(crate) fn files(service: &Map, declared: &Declared, findings: &mut Findings) -> Vec<AppFile> {
    let mut files: Vec<(AppFile, Position)> = Vec::new();
    for (key, noun, all) in [("configs", "config", &declared.configs), ("secrets", "secret", &declared.secrets)] {
        let list = service.get(key);
        for node in list.and_then(|entry| shape::list(findings, entry)).unwrap_or_default() {
            let Some(used) = used(node, key, findings) else { continue };
            let Some(Declaration { origin, missing, at }) = all.get(used.source) else {
                let known = suggestion(used.source, all.keys().map(String::as_str));
                let message = format!("there is no {noun} {} at the top{known}", quote(used.source));
                findings.error(used.source_at, message);
                continue;
            };
            if let Some(missing) = missing {
                findings.error(*at, missing);
            }
            let Some(target) = target(&used, noun, findings) else { continue };
            let Some(origin) = origin.clone() else { continue };
            let (name, is_secret) = (used.source.to_owned(), noun == "secret");
            files.push((AppFile { target, name, is_secret, origin, at: *at }, used.source_at));
        }
    }
    if files.len() > shared::SERVICE_FILES {
        let message =
            format!("{} configs and secrets are more than the limit of {}", files.len(), shared::SERVICE_FILES);
        findings.error(files[shared::SERVICE_FILES].1, message);
    }
    files.sort_by(|(one, at), (other, later)| (&one.target, at).cmp(&(&other.target, later)));
    clashes(&files, findings);
    files.into_iter().map(|(file, _)| file).collect()
}

/// Two files in one place, or one in another as if that were a folder.
fn clashes(files: &[(AppFile, Position)], findings: &mut Findings) {
    for (index, (file, at)) in files.iter().enumerate() {
        let below = |other: &AppFile| file.target.strip_prefix(&other.target).is_some_and(|rest| rest.starts_with('/'));
        let before = files[..index].iter().find(|(other, _)| other.target == file.target || below(other));
        if let Some((_, taken)) = before {
            let message = format!("{} is taken by what is on line {}", quote(&file.target), taken.line);
            findings.error(*at, message);
        }
    }
}

/// One entry, short or long.
struct Used<'a> {
    source: &'a str,
    source_at: Position,
    target: Option<(&'a str, Position)>,
}

fn used<'a>(node: &'a Node, key: &str, findings: &mut Findings) -> Option<Used<'a>> {
    let map = match &node.value {
        Value::Text(text) => return Some(Used { source: &text.text, source_at: node.at, target: None }),
        Value::Map(map) => map,
        _ => {
            shape::wrong(findings, node, &format!("an entry of `{key}` is a name or a mapping"));
            return None;
        }
    };
    let Some(source) = map.get("source") else {
        findings.error(node.at, format!("an entry of `{key}` needs a `source`"));
        return None;
    };
    let target = match map.get("target") {
        Some(entry) => Some((shape::text(findings, "target", &entry.node)?, entry.node.at)),
        None => None,
    };
    Some(Used { source: shape::text(findings, "source", &source.node)?, source_at: source.node.at, target })
}

/// The whole path of where a file is put.
fn target(used: &Used<'_>, noun: &str, findings: &mut Findings) -> Option<String> {
    let (text, at) = used.target.unwrap_or((used.source, used.source_at));
    let folder = if noun == "secret" { SECRETS } else { "" };
    let whole = if text.starts_with('/') { text.to_owned() } else { format!("{folder}/{text}") };
    let legal = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\0', '\\']);
    let fits = whole.len() <= shared::TARGET_BYTES && whole.split('/').skip(1).all(legal);
    if !fits || text.is_empty() {
        let message = format!(
            "a place of at most {} bytes has no empty parts and no `.` or `..`, such as /etc/app.toml; not {}",
            shared::TARGET_BYTES,
            quote(text)
        );
        findings.error(at, message);
        return None;
    }
    Some(whole)
}
