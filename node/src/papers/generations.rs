//! What of a deployment's logs and data is of the present generation of each replica, and what is of those before.

use std::collections::{BTreeMap, BTreeSet};

use grange_api::{Line, Timestamp};
use grange_peer::{Named, Replica};
use grange_types::PeerId;
use tokio::sync::mpsc;

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

/// Where the present key-values of a request are.
pub(super) struct Newest {
    /// By service and replica: the provider and the generation.
    places: BTreeMap<(String, u32), (PeerId, u64)>,
    pub(super) providers: BTreeSet<PeerId>,
}

impl Newest {
    pub(super) fn of(named: &Named, request: &PaperRequest) -> Self {
        let place = |replica: &Replica| {
            ((replica.service.clone(), replica.replica), (replica.at.provider, replica.at.generation))
        };
        let places: BTreeMap<_, _> = named.newest().filter(|replica| request.wants(replica)).map(place).collect();
        Self { providers: places.values().map(|(provider, _)| *provider).collect(), places }
    }

    /// Marks what is present and hands it on; the rest only if it is wanted too. Gives how many were left out.
    pub(super) async fn sift(
        &self,
        mut given: mpsc::Receiver<Line>,
        earlier: bool,
        lines: &mpsc::Sender<Line>,
    ) -> usize {
        let mut left_out = 0;
        while let Some(mut line) = given.recv().await {
            if let Line::Data(data) = &mut line {
                let place = self.places.get(&(data.service.clone(), data.replica));
                data.current = place == Some(&(data.provider, data.generation));
                if !data.current && !earlier {
                    left_out += 1;
                    continue;
                }
            }
            if lines.send(line).await.is_err() {
                break;
            }
        }
        left_out
    }
}

#[cfg(test)]
mod tests {
    use grange_api::DataLine;
    use grange_peer::Routed;
    use grange_types::{DeploymentId, Kind, LeaseId, Time};

    use super::*;

    fn replica(service: &str, provider: u8, generation: u64) -> Replica {
        let at = Routed { provider: PeerId([provider; 32]), lease: LeaseId([generation as u8; 32]), generation };
        Replica { service: service.into(), replica: 0, kind: Kind::Wasm, at, since: Time(generation) }
    }

    /// The api is in its third generation; the cache has no open lease, its second was the last.
    fn shop() -> Named {
        Named {
            deployment: DeploymentId([7; 32]),
            services: ["api".into(), "cache".into()].into(),
            replicas: vec![replica("api", 3, 3), Replica { kind: Kind::Site, ..replica("site", 4, 1) }],
            earlier: vec![replica("api", 1, 1), replica("api", 3, 2), replica("cache", 5, 1), replica("cache", 6, 2)],
            routes: Vec::new(),
            holders: [1, 3, 5, 6].map(|peer| PeerId([peer; 32])).into(),
        }
    }

    fn data(service: &str, provider: u8, generation: u64) -> Line {
        let (service, provider) = (service.to_owned(), PeerId([provider; 32]));
        let (bucket, key, value) = (String::new(), "k".to_owned(), String::new());
        Line::Data(DataLine { service, provider, replica: 0, generation, current: false, bucket, key, value })
    }

    /// What of these lines is handed on, by service and generation, with its mark; and how many are left out.
    async fn sifted(earlier: bool) -> (Vec<(String, u64, bool)>, usize) {
        let request = PaperRequest::Data { name: "shop".into(), service: None };
        let newest = Newest::of(&shop(), &request);
        assert_eq!(newest.providers, [3, 6].map(|peer| PeerId([peer; 32])).into(), "no site has data");
        let (give, given) = mpsc::channel(8);
        for line in [data("api", 3, 2), data("api", 3, 3), data("api", 1, 3), data("cache", 6, 2), data("gone", 3, 9)] {
            give.send(line).await.unwrap();
        }
        drop(give);
        let (lines, mut handed) = mpsc::channel(8);
        let left_out = newest.sift(given, earlier, &lines).await;
        drop(lines);
        let mut found = Vec::new();
        while let Some(Line::Data(line)) = handed.recv().await {
            found.push((line.service, line.generation, line.current));
        }
        (found, left_out)
    }

    #[tokio::test]
    async fn the_present_value_is_what_the_newest_generation_has_at_its_provider() {
        let line = |service: &str, generation, current| (service.to_owned(), generation, current);
        let (found, left_out) = sifted(false).await;
        assert_eq!((found, left_out), (vec![line("api", 3, true), line("cache", 2, true)], 3));
        let (found, left_out) = sifted(true).await;
        let all = [
            line("api", 2, false),
            line("api", 3, true),
            line("api", 3, false),
            line("cache", 2, true),
            line("gone", 9, false),
        ];
        assert_eq!((found, left_out), (all.to_vec(), 0));
    }

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
