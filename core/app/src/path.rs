//! Paths: of what a service runs, below the compose file, and of a route, below the app's name.

use crate::limits;
use crate::yaml::{Entry, Map, Node, Text, Value};

/// Why a text is no path of a component or site.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathError {
    #[error("a path is 1 to {} bytes long", limits::PATH_BYTES)]
    Length,
    #[error("a path has no control characters")]
    Control,
    #[error("the parts of a path are separated by `/`")]
    Backslash,
    #[error("a path starts at the compose file, such as ./app.wasm")]
    Absolute,
    #[error("a path stays below the compose file, without `..`")]
    Parent,
    #[error(
        "the path names the compose file's own folder, and with it the compose file; name a file or folder below it"
    )]
    Here,
}

/// The path without `.` and empty parts.
pub(crate) fn work_path(text: &str) -> Result<String, PathError> {
    if text.is_empty() || text.len() > limits::PATH_BYTES {
        return Err(PathError::Length);
    }
    if text.chars().any(char::is_control) {
        return Err(PathError::Control);
    }
    if text.contains('\\') {
        return Err(PathError::Backslash);
    }
    if is_absolute(text) {
        return Err(PathError::Absolute);
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(PathError::Parent);
    }
    if parts.is_empty() { Err(PathError::Here) } else { Ok(parts.join("/")) }
}

/// A path that starts at a folder of the project, as one that starts at the project's own. `..` may lead up, but not
/// out of the project.
pub(crate) fn project_path(folder: &str, text: &str) -> Result<String, PathError> {
    match joined(folder, text) {
        Some(path) => work_path(&path),
        None => work_path(text),
    }
}

/// Whether a text can name a service, a config or a secret.
pub(crate) fn is_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let starts = text.starts_with(|first: char| first.is_ascii_alphanumeric());
    starts && text.len() <= grange_types::limits::NAME_BYTES && text.bytes().all(legal)
}

/// The folder that a path lies in, empty for the project's own.
pub(crate) fn folder_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}

/// Lets the paths of a file in a folder below the project start at the project's own folder. `include` and
/// `extends` see to theirs themselves.
pub(crate) fn rebase(file: &mut Map, folder: &str) {
    if folder.is_empty() {
        return;
    }
    let declared = file.entries.iter_mut().filter(|entry| matches!(entry.key.as_str(), "configs" | "secrets"));
    for map in declared.filter_map(map_of).flat_map(|map| map.entries.iter_mut()).filter_map(map_of) {
        let paths = map.entries.iter_mut().filter(|entry| entry.key == "file");
        paths.for_each(|entry| rebase_text(&mut entry.node, folder));
    }
    let services = file.entries.iter_mut().filter(|entry| entry.key == "services").filter_map(map_of);
    for service in services.flat_map(|map| map.entries.iter_mut()).filter_map(map_of) {
        for Entry { key, node, .. } in &mut service.entries {
            match (key.as_str(), &mut node.value) {
                ("env_file", Value::List(list)) => list.iter_mut().for_each(|node| rebase_file(node, folder)),
                ("env_file", _) => rebase_file(node, folder),
                (crate::walk::GRANGE, Value::Map(map)) => {
                    let paths = map.entries.iter_mut().filter(|entry| matches!(entry.key.as_str(), "wasm" | "site"));
                    paths.for_each(|entry| rebase_text(&mut entry.node, folder));
                }
                _ => {}
            }
        }
    }
}

fn map_of(entry: &mut Entry) -> Option<&mut Map> {
    if let Value::Map(map) = &mut entry.node.value { Some(map) } else { None }
}

/// A path, or a mapping with one.
fn rebase_file(node: &mut Node, folder: &str) {
    if let Value::Map(map) = &mut node.value {
        let paths = map.entries.iter_mut().filter(|entry| entry.key == "path");
        paths.for_each(|entry| rebase_text(&mut entry.node, folder));
    } else {
        rebase_text(node, folder);
    }
}

fn rebase_text(node: &mut Node, folder: &str) {
    if let Value::Text(Text { text, .. }) = &mut node.value
        && let Some(path) = joined(folder, text)
    {
        *text = path;
    }
}

/// Both paths together, with `..` carried out as far as the project reaches; none when the second is not relative.
fn joined(folder: &str, text: &str) -> Option<String> {
    if text.is_empty() || text.len() > limits::PATH_BYTES || is_absolute(text) {
        return None;
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in text.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            _ => parts.push(part),
        }
    }
    Some(if parts.is_empty() { ".".to_owned() } else { parts.join("/") })
}

fn is_absolute(text: &str) -> bool {
    let drive = text.as_bytes().get(1) == Some(&b':') && text.starts_with(|first: char| first.is_ascii_alphabetic());
    text.starts_with(['/', '~']) || text.contains("://") || drive
}

/// Why a text is no route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RouteError {
    #[error("a route starts with `/`, such as /api")]
    Start,
    #[error("a route is at most {} bytes long", limits::ROUTE_BYTES)]
    Length,
    #[error("a route has no `?`, `#`, `%`, blanks or letters beyond ASCII")]
    Character,
    #[error("a route has no empty parts and no `.` or `..`")]
    Part,
}

/// The route without a slash at its end.
pub(crate) fn route_path(text: &str) -> Result<String, RouteError> {
    let route = url_path(text)?;
    if route.len() > limits::ROUTE_BYTES { Err(RouteError::Length) } else { Ok(route) }
}

/// The path of a URL, of any length, without a slash at its end.
pub(crate) fn url_path(text: &str) -> Result<String, RouteError> {
    if text == "/" {
        return Ok(text.to_owned());
    }
    let inner = text.strip_prefix('/').ok_or(RouteError::Start)?;
    let legal = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#' | b'%' | b'\\' | b'"' | b'<' | b'>');
    if !text.bytes().all(legal) {
        return Err(RouteError::Character);
    }
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(RouteError::Part);
    }
    Ok(format!("/{inner}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_work_path_stays_below_the_compose_file() {
        for (text, expected) in [
            ("./app.wasm", "app.wasm"),
            ("public", "public"),
            ("./a//b/./c/", "a/b/c"),
            ("a b/ü", "a b/ü"),
            ("a..b", "a..b"),
        ] {
            assert_eq!(work_path(text).as_deref(), Ok(expected), "{text}");
        }
        let long = "a".repeat(2_000);
        for (text, expected) in [
            ("", PathError::Length),
            (long.as_str(), PathError::Length),
            ("a\0b", PathError::Control),
            ("a\\b", PathError::Backslash),
            ("/etc/passwd", PathError::Absolute),
            ("~/app", PathError::Absolute),
            ("C:/app", PathError::Absolute),
            ("https://a.example/app.wasm", PathError::Absolute),
            ("../app", PathError::Parent),
            ("a/../../b", PathError::Parent),
            (".", PathError::Here),
            (".//.", PathError::Here),
        ] {
            assert_eq!(work_path(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn a_path_of_a_folder_stays_in_the_project() {
        for (folder, text, expected) in [
            ("", "./a.yaml", "a.yaml"),
            ("sub", "a.yaml", "sub/a.yaml"),
            ("sub", "../a.yaml", "a.yaml"),
            ("a/b", ".././c", "a/c"),
            ("", "a/../b", "b"),
        ] {
            assert_eq!(project_path(folder, text).as_deref(), Ok(expected), "{folder} {text}");
        }
        for (folder, text, expected) in [
            ("", "../a", PathError::Parent),
            ("sub", "../../a", PathError::Parent),
            ("sub", "a/../../../b", PathError::Parent),
            ("sub", "/etc/passwd", PathError::Absolute),
            ("sub", "~/a", PathError::Absolute),
            ("sub", "oci://a.example/b", PathError::Absolute),
            ("sub", "", PathError::Length),
            ("sub", "..", PathError::Here),
        ] {
            assert_eq!(project_path(folder, text), Err(expected), "{folder} {text}");
        }
    }

    #[test]
    fn a_route_is_a_clean_prefix() {
        for (text, expected) in [("/", "/"), ("/api", "/api"), ("/api/", "/api"), ("/a/b-c_d.e~f", "/a/b-c_d.e~f")] {
            assert_eq!(route_path(text).as_deref(), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("", RouteError::Start),
            ("api", RouteError::Start),
            ("/a b", RouteError::Character),
            ("/a?b", RouteError::Character),
            ("/%41", RouteError::Character),
            ("/ü", RouteError::Character),
            ("//", RouteError::Part),
            ("/a//b", RouteError::Part),
            ("/a/../b", RouteError::Part),
            ("/.", RouteError::Part),
        ] {
            assert_eq!(route_path(text), Err(expected), "{text}");
        }
        assert_eq!(route_path(&format!("/{}", "a".repeat(2_000))), Err(RouteError::Length));
    }
}
