//! Which service takes a path, and which of its replicas a request.

use super::{RouteEntry, Target};
use crate::limits::TARGETS_TRIED;

/// The route with the longest prefix of the path, compared part by part.
pub(super) fn longest<'a>(routes: &'a [RouteEntry], path: &str) -> Option<&'a RouteEntry> {
    let matching = routes.iter().filter(|route| leads(&route.prefix, path));
    matching.max_by_key(|route| route.prefix.trim_end_matches('/').len())
}

/// Whether `prefix` takes `path`: `/a` takes `/a` and `/a/b`, not `/ab`.
fn leads(prefix: &str, path: &str) -> bool {
    match path.strip_prefix(prefix.trim_end_matches('/')) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

/// The replicas to try for one request, in order: the healthy ones beginning with the `turn`-th, then the others.
pub(super) fn candidates(route: &RouteEntry, turn: usize) -> impl Iterator<Item = Target> {
    let (healthy, others) = route.targets.split_at(route.healthy.min(route.targets.len()));
    let start = turn.checked_rem(healthy.len()).unwrap_or(0);
    let (before, after) = healthy.split_at(start);
    after.iter().chain(before).chain(others).copied().take(TARGETS_TRIED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::{LeaseId, PeerId};

    fn target(number: u8) -> Target {
        Target { provider: PeerId([number; 32]), lease: LeaseId([number; 32]), generation: 1 }
    }

    fn route(prefix: &str, targets: &[u8], healthy: usize) -> RouteEntry {
        RouteEntry { prefix: prefix.into(), targets: targets.iter().copied().map(target).collect(), healthy }
    }

    #[test]
    fn the_longest_prefix_takes_the_path() {
        let check = |prefixes: &[&str], path: &str, expected: Option<&str>| {
            let routes: Vec<_> = prefixes.iter().map(|prefix| route(prefix, &[1], 1)).collect();
            let found = longest(&routes, path).map(|route| route.prefix.as_str());
            assert_eq!(found, expected, "{prefixes:?} {path}");
        };
        check(&["/", "/entries"], "/", Some("/"));
        check(&["/", "/entries"], "/index.html", Some("/"));
        check(&["/", "/entries"], "/entries", Some("/entries"));
        check(&["/entries", "/"], "/entries/1", Some("/entries"));
        check(&["/", "/entries"], "/entries2", Some("/"));
        check(&["/entries/"], "/entries", Some("/entries/"));
        check(&["/a", "/a/b"], "/a/b/c", Some("/a/b"));
        check(&["/a"], "/", None);
        check(&["/a"], "*", None);
        check(&[], "/", None);
    }

    #[test]
    fn healthy_replicas_take_turns_and_the_others_come_last() {
        let check = |healthy: usize, turn: usize, expected: &[u8]| {
            let order: Vec<_> = candidates(&route("/", &[1, 2, 3], healthy), turn).collect();
            let expected: Vec<_> = expected.iter().copied().map(target).collect();
            assert_eq!(order, expected, "{healthy} {turn}");
        };
        check(2, 0, &[1, 2, 3]);
        check(2, 1, &[2, 1, 3]);
        check(2, 2, &[1, 2, 3]);
        check(0, 7, &[1, 2, 3]);
        check(9, 2, &[3, 1, 2]);
        assert_eq!(candidates(&route("/", &[1, 2, 3, 4, 5, 6], 6), 0).count(), TARGETS_TRIED);
        assert_eq!(candidates(&route("/", &[], 3), 5).count(), 0);
    }
}
