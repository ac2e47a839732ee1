//! What of a deployment's logs is of the present generation of each replica, and what is of those before.

use std::collections::{BTreeMap, BTreeSet};

use grange_api::Timestamp;
use grange_peer::{Named, Replica};
use grange_types::PeerId;

use super::{PaperRequest, shorts};

/// The replicas that were replaced, of those that are wanted, the oldest first.
pub(super) fn replaced<'a>(named: &'a Named, request: &PaperRequest) -> Vec<&'a Replica> {
    let mut replaced: Vec<&Replica> = named.earlier.iter().filter(|replica| request.wants(replica)).collect();
    replaced.sort_by_key(|replica| replica.since);
    replaced
}

/// Why a log is not all that was ever written: a sentence for each replica that was replaced. Whoever goes on after a line was
/// told before.
pub(super) fn notes_of(named: &Named, request: &PaperRequest, before: &[&Replica]) -> Vec<String> {
    if !matches!(request, PaperRequest::Logs { after: 0, .. }) {
        return Vec::new();
    }
    let mut by_replica: BTreeMap<(&str, u32), BTreeSet<PeerId>> = BTreeMap::new();
    for replica in before {
        by_replica.entry((&replica.service, replica.replica)).or_default().insert(replica.at.provider);
    }
    let sentence = |((service, number), providers): ((&str, u32), BTreeSet<PeerId>)| {
        let is_it = |replica: &&Replica| replica.service == service && replica.replica == number;
        let now = named.replicas.iter().find(is_it).map_or_else(
            || "runs nowhere now".to_owned(),
            |now| format!("is generation {} since {}", now.at.generation, Timestamp(now.since)),
        );
        let where_to = shorts(&providers);
        format!("{service}.{number} {now}; lines of earlier ones, at {where_to}, are not shown: --earlier shows them")
    };
    by_replica.into_iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::super::data::tests::shop;
    use super::*;

    #[test]
    fn a_log_says_what_of_a_replica_it_leaves_out() {
        let shop = shop();
        let notes = |service: Option<&str>, after| {
            let service = service.map(str::to_owned);
            let request = PaperRequest::Logs { name: "shop".into(), service, follow: false, after, lease: None };
            notes_of(&shop, &request, &replaced(&shop, &request))
        };
        let all = notes(None, 0);
        assert!(all[0].starts_with("api.0 is generation 3 since 1970-") && all[0].contains("--earlier"), "{all:?}");
        assert!(all[1].starts_with("cache.0 runs nowhere now"), "{all:?}");
        assert_eq!(notes(Some("cache"), 0), all[1..]);
        assert!(notes(None, 1).is_empty(), "whoever goes on was told");
    }
}
