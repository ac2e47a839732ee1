//! The key-values of a deployment: the present ones of each replica, from whoever has its newest generation.
//!
//! # Rules
//! - Of each replica the newest generation is asked first. Where its node has not begun it, the one before is asked, and so on: what
//!   is then shown is all there is, is not marked as present, and a note says so.
//! - A node that has to be asked and cannot be is a problem: what was given is not whole. Of nodes whose generations are over a note
//!   is enough.
//! - A node is believed about what it holds itself, and about nothing else.

use std::collections::{BTreeMap, BTreeSet};

use grange_api::Line;
use grange_peer::{Named, Replica};
use grange_types::{Kind, PeerId};
use tokio::sync::mpsc;

use super::{LINES, PaperRequest, Papers, note, shorts};

impl Papers {
    /// What is at the newest generation of each replica, and upon `earlier` at every holder. Gives who has to be asked and
    /// could not be.
    pub(super) async fn data(
        &self,
        name: &str,
        request: &PaperRequest,
        earlier: bool,
        lines: &mpsc::Sender<Line>,
    ) -> BTreeSet<PeerId> {
        let table = self.ingress.table();
        let Some(named) = table.names.get(name) else { return BTreeSet::new() };
        let mut places = Places::of(named, request);
        let holders = places.holders(named, request, earlier);
        let (mut asked, mut lost, mut others) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        let mut left_out = 0;
        let mut due = if earlier { holders.clone() } else { places.due() };
        while !due.is_empty() {
            let (missed, more) = self.gather(&due, request, earlier, &mut places, lines).await;
            lost.extend(places.go_on(&missed));
            // Everybody was asked: what is known goes for all generations.
            while earlier && !places.due().is_empty() {
                lost.extend(places.go_on(&missed));
            }
            others.extend(missed);
            asked.append(&mut due);
            left_out += more;
            due = if earlier { BTreeSet::new() } else { places.due() };
        }
        for text in places.notes() {
            note(text, lines).await;
        }
        others.retain(|peer| !lost.contains(peer));
        if !others.is_empty() {
            let text = format!("{} held earlier generations alone and cannot be asked now", shorts(&others));
            note(text + ": the present data does not need them", lines).await;
        }
        let unasked = &holders - &asked;
        if left_out > 0 || !unasked.is_empty() {
            let whose = if unasked.is_empty() { String::new() } else { format!(", also at {}", shorts(&unasked)) };
            note(format!("what earlier generations left{whose} is not shown: --earlier shows it"), lines).await;
        }
        lost
    }

    /// Asks these nodes at once. Gives who could not be asked, and how many lines were left out.
    async fn gather(
        &self,
        peers: &BTreeSet<PeerId>,
        request: &PaperRequest,
        earlier: bool,
        places: &mut Places,
        lines: &mpsc::Sender<Line>,
    ) -> (BTreeSet<PeerId>, usize) {
        let (gathered, given) = mpsc::channel(LINES);
        let fetch = async {
            let ask = |peer: PeerId| self.ask_peer(peer, request.clone(), gathered.clone());
            let missed = futures_util::future::join_all(peers.iter().copied().map(ask)).await;
            drop(gathered);
            missed.into_iter().flatten().collect::<BTreeSet<PeerId>>()
        };
        tokio::join!(fetch, places.sift(given, earlier, lines))
    }
}

/// Where the key-values of one replica may be.
#[derive(Default)]
struct Place {
    /// Who had it in which generation, the newest first.
    generations: Vec<(PeerId, u64)>,
    /// Which of these is asked.
    at: usize,
    /// Whether that one has a store.
    begun: bool,
    done: bool,
}

/// A store: of which service and replica, at whom, in which generation.
type Store = (String, u32, PeerId, u64);

impl Place {
    fn asked(&self) -> Option<(PeerId, u64)> {
        self.generations.get(self.at).copied().filter(|_| !self.done)
    }
}

/// Where the key-values of each replica may be.
struct Places {
    /// By service and number.
    places: BTreeMap<(String, u32), Place>,
    /// The stores that were told of since the last were asked.
    begun: BTreeSet<Store>,
}

impl Places {
    fn of(named: &Named, request: &PaperRequest) -> Self {
        let mut places: BTreeMap<(String, u32), Place> = BTreeMap::new();
        let all = named.replicas.iter().chain(&named.earlier);
        for replica in all.filter(|replica| replica.kind == Kind::Wasm && request.wants(replica)) {
            let Replica { service, replica: number, at, .. } = replica;
            places.entry((service.clone(), *number)).or_default().generations.push((at.provider, at.generation));
        }
        for place in places.values_mut() {
            place.generations.sort_by_key(|(_, generation)| std::cmp::Reverse(*generation));
        }
        Self { places, begun: BTreeSet::new() }
    }

    /// Everybody who may hold something of what is wanted; upon `earlier` also of services that are there no more.
    fn holders(&self, named: &Named, request: &PaperRequest, earlier: bool) -> BTreeSet<PeerId> {
        let known = self.places.values().flat_map(|place| &place.generations).map(|(peer, _)| *peer);
        let all = earlier || matches!(request, PaperRequest::Data { service: None, .. });
        known.chain(named.holders.iter().copied().filter(|_| all)).collect()
    }

    /// Who has to be asked now.
    fn due(&self) -> BTreeSet<PeerId> {
        self.places.values().filter_map(Place::asked).map(|(peer, _)| peer).collect()
    }

    /// Everybody who was due was asked, but these could not be: who of them was needed, and then on to the generations before.
    fn go_on(&mut self, missed: &BTreeSet<PeerId>) -> BTreeSet<PeerId> {
        let mut lost = BTreeSet::new();
        for ((service, number), place) in &mut self.places {
            let Some((peer, generation)) = place.asked() else { continue };
            place.begun = self.begun.contains(&(service.clone(), *number, peer, generation));
            // Also where it had begun: it broke off.
            if missed.contains(&peer) {
                lost.insert(peer);
            }
            place.done = place.begun || missed.contains(&peer);
            place.at += usize::from(!place.done);
        }
        lost
    }

    /// What is shown in place of a newest generation that was not begun.
    fn notes(&self) -> Vec<String> {
        let sentence = |((service, number), place): (&(String, u32), &Place)| {
            let (new, newest) = place.generations.first()?;
            let Some((old, shown)) = place.generations.get(place.at) else {
                // The first of all has nobody before it.
                let older = place.generations.last().is_some_and(|(_, generation)| *generation > 1);
                let count = place.generations.len();
                let text =
                    format!("none of the last {count} generations of {service}.{number} has begun with its data");
                return older.then_some(text + ": --earlier shows what others left");
            };
            (place.at > 0 && place.begun).then(|| format!(
                "generation {newest} of {service}.{number}, at {}, has not begun with its data: shown is what generation {shown}, \
                 at {}, left",
                new.short(),
                old.short()
            ))
        };
        self.places.iter().filter_map(sentence).collect()
    }

    /// Hands on what was asked for, marked where it is of the newest generation; the rest only if it is wanted too. Gives
    /// how many lines were left out. Ends when nobody wants more.
    async fn sift(&mut self, mut given: mpsc::Receiver<Line>, earlier: bool, lines: &mpsc::Sender<Line>) -> usize {
        let mut left_out = 0;
        self.begun.clear();
        loop {
            let next = tokio::select! {
                next = given.recv() => next,
                () = lines.closed() => None,
            };
            let line = match next {
                None => return left_out,
                Some(Line::Begun(line)) => {
                    // Only what there may be at all: nobody fills the memory with names.
                    let place = self.places.get(&(line.service.clone(), line.replica));
                    if place.is_some_and(|place| place.generations.contains(&(line.provider, line.generation))) {
                        self.begun.insert((line.service, line.replica, line.provider, line.generation));
                    }
                    continue;
                }
                Some(Line::Data(mut data)) => {
                    let place = self.places.get(&(data.service.clone(), data.replica));
                    let place = place.filter(|place| place.asked() == Some((data.provider, data.generation)));
                    data.current = place.is_some_and(|place| place.at == 0);
                    if place.is_none() && !earlier {
                        left_out += 1;
                        continue;
                    }
                    Line::Data(data)
                }
                Some(_) => continue,
            };
            if lines.send(line).await.is_err() {
                return left_out;
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use grange_api::{BegunLine, DataLine};
    use grange_peer::Routed;
    use grange_types::{DeploymentId, LeaseId, Time};

    use super::*;

    fn peer(byte: u8) -> PeerId {
        PeerId([byte; 32])
    }

    fn replica(service: &str, provider: u8, generation: u64) -> Replica {
        let at = Routed { provider: peer(provider), lease: LeaseId([generation as u8; 32]), generation };
        Replica { service: service.into(), replica: 0, kind: Kind::Wasm, at, since: Time(generation) }
    }

    /// The api is in its third generation; the cache has no open lease, its second was the last.
    pub(in super::super) fn shop() -> Named {
        Named {
            deployment: DeploymentId([7; 32]),
            services: ["api".into(), "cache".into()].into(),
            replicas: vec![replica("api", 3, 3), Replica { kind: Kind::Site, ..replica("site", 4, 1) }],
            earlier: vec![replica("api", 1, 1), replica("api", 3, 2), replica("cache", 5, 1), replica("cache", 6, 2)],
            routes: Vec::new(),
            holders: [1, 3, 5, 6, 9].map(peer).into(),
        }
    }

    fn request(service: Option<&str>) -> PaperRequest {
        PaperRequest::Data { name: "shop".into(), service: service.map(str::to_owned) }
    }

    fn begun(service: &str, provider: u8, generation: u64) -> Line {
        let (service, provider) = (service.to_owned(), peer(provider));
        Line::Begun(BegunLine { service, provider, replica: 0, generation, begun: true })
    }

    fn data(service: &str, provider: u8, generation: u64) -> Line {
        let (service, provider) = (service.to_owned(), peer(provider));
        let (bucket, key, value) = (String::new(), "k".to_owned(), String::new());
        Line::Data(DataLine { service, provider, replica: 0, generation, current: false, bucket, key, value })
    }

    /// What of these lines is handed on, by service and generation, with its mark; and how many are left out.
    async fn sifted(places: &mut Places, given: Vec<Line>, earlier: bool) -> (Vec<(String, u64, bool)>, usize) {
        let (give, taken) = mpsc::channel(16);
        for line in given {
            give.send(line).await.unwrap();
        }
        drop(give);
        let (lines, mut handed) = mpsc::channel(16);
        let left_out = places.sift(taken, earlier, &lines).await;
        drop(lines);
        let mut found = Vec::new();
        while let Some(Line::Data(line)) = handed.recv().await {
            found.push((line.service, line.generation, line.current));
        }
        (found, left_out)
    }

    fn all() -> Vec<Line> {
        vec![
            begun("api", 3, 2),
            data("api", 3, 2),
            begun("api", 3, 3),
            data("api", 3, 3),
            begun("api", 1, 3),
            data("api", 1, 3),
            begun("cache", 6, 2),
            data("cache", 6, 2),
            data("gone", 3, 9),
        ]
    }

    #[tokio::test]
    async fn the_present_value_is_what_the_newest_generation_has_at_its_provider() {
        let line = |service: &str, generation, current| (service.to_owned(), generation, current);
        let mut places = Places::of(&shop(), &request(None));
        assert_eq!(places.due(), [3, 6].map(peer).into(), "no site has data");
        let present = vec![line("api", 3, true), line("cache", 2, true)];
        assert_eq!(sifted(&mut places, all(), false).await, (present, 3));
        assert_eq!((places.go_on(&BTreeSet::new()), places.due()), (BTreeSet::new(), BTreeSet::new()));
        assert!(places.notes().is_empty());
        let marks = [line("api", 2, false), line("api", 3, true), line("api", 3, false), line("cache", 2, true)];
        let marks = marks.into_iter().chain([line("gone", 9, false)]).collect();
        assert_eq!(sifted(&mut Places::of(&shop(), &request(None)), all(), true).await, (marks, 0));
    }

    #[tokio::test]
    async fn where_the_newest_generation_was_not_begun_the_one_before_is_shown_and_said() {
        let mut places = Places::of(&shop(), &request(Some("api")));
        assert_eq!(
            places.holders(&shop(), &request(Some("api")), false),
            [1, 3].map(peer).into(),
            "no other service's"
        );
        let all_of_them = places.holders(&shop(), &request(Some("api")), true);
        assert_eq!(all_of_them, shop().holders, "a service that is there no more has no generations");
        assert_eq!(sifted(&mut places, vec![begun("api", 3, 2), data("api", 3, 2)], false).await, (Vec::new(), 1));
        assert_eq!((places.go_on(&BTreeSet::new()), places.due()), (BTreeSet::new(), [peer(3)].into()));
        let shown = vec![("api".to_owned(), 2, false)];
        assert_eq!(sifted(&mut places, all(), false).await.0, shown);
        assert_eq!((places.go_on(&BTreeSet::new()), places.due()), (BTreeSet::new(), BTreeSet::new()));
        let notes = places.notes();
        assert!(notes.len() == 1 && notes[0].starts_with("generation 3 of api.0, at "), "{notes:?}");
        assert!(notes[0].contains("shown is what generation 2"), "{notes:?}");
        // Nor is anything passed over where everybody is asked at once.
        let mut places = Places::of(&shop(), &request(Some("api")));
        sifted(&mut places, vec![begun("api", 1, 1), data("api", 1, 1)], true).await;
        for _ in 0..3 {
            assert_eq!(places.go_on(&BTreeSet::new()), BTreeSet::new());
        }
        assert!(places.due().is_empty() && places.notes()[0].contains("shown is what generation 1"));
        // And where nobody has anything.
        let mut nothing = Places::of(&shop(), &request(Some("api")));
        nothing.places.values_mut().for_each(|place| place.generations.truncate(2));
        for _ in 0..2 {
            nothing.go_on(&BTreeSet::new());
        }
        assert!(nothing.due().is_empty() && nothing.notes()[0].starts_with("none of the last 2 generations of api.0"));
    }

    #[tokio::test]
    async fn who_has_to_be_asked_and_cannot_be_is_told() {
        let mut places = Places::of(&shop(), &request(None));
        let missed = BTreeSet::from([peer(6)]);
        sifted(&mut places, vec![begun("api", 3, 3), begun("cache", 6, 2)], false).await;
        assert_eq!((places.go_on(&missed), places.due()), (missed, BTreeSet::new()), "it broke off");
        // Also where it is asked in place of one that has nothing.
        let mut places = Places::of(&shop(), &request(Some("cache")));
        assert_eq!((places.go_on(&BTreeSet::new()), places.due()), (BTreeSet::new(), [peer(5)].into()));
        assert_eq!((places.go_on(&[peer(5)].into()), places.due()), ([peer(5)].into(), BTreeSet::new()));
    }

    #[tokio::test]
    async fn who_left_is_waited_for_no_longer() {
        let (give, given) = mpsc::channel(1);
        let (lines, handed) = mpsc::channel(1);
        drop(handed);
        give.send(data("gone", 3, 9)).await.unwrap();
        assert!(Places::of(&shop(), &request(None)).sift(given, false, &lines).await <= 1);
        assert!(give.send(data("gone", 3, 9)).await.is_err());
    }
}
