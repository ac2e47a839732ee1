//! Paths: of what a service runs, below the compose file, and of a route, below the app's name.

use crate::limits;

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
    let drive = text.as_bytes().get(1) == Some(&b':') && text.starts_with(|first: char| first.is_ascii_alphabetic());
    if text.starts_with(['/', '~']) || text.contains("://") || drive {
        return Err(PathError::Absolute);
    }
    let parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    if parts.contains(&"..") {
        return Err(PathError::Parent);
    }
    if parts.is_empty() { Err(PathError::Here) } else { Ok(parts.join("/")) }
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
