//! The index against a model that keeps a plain list and sorts all of it for every need.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::cmp::Reverse;
use std::collections::BTreeMap;

use grange_market::index::{ALLOWANCE, CLOCK_TOLERANCE, DELTA_LIFETIME};
use grange_market::{Constraint, Match, Need, NoOffer, Offer, OfferError, OfferIndex, Trust};
use grange_types::{
    AccountId, Amount, ByteCount, Isolation, Kind, Millis, OfferDelta, On, PeerId, PriceSheet, Prices, Region,
    Resources, Time, limits,
};
use proptest::prelude::*;

const REGIONS: [&str; 6] = ["eu", "eu-be", "eu-be-ghent", "eu-de", "eu0", "us-ca"];
const ISOLATIONS: [Isolation; 3] = [Isolation::Wasm, Isolation::Container, Isolation::Vm];
const ONS: [On; 3] = [On::Market, On::Own, On::OwnFirst];

fn peer(number: u16) -> PeerId {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&number.to_be_bytes());
    PeerId(bytes)
}

fn account(number: u8) -> AccountId {
    AccountId([number; 32])
}

fn region(number: usize) -> Region {
    Region::try_from(REGIONS[number % REGIONS.len()].to_owned()).unwrap()
}

fn resources(cpu_millis: u32, memory: u64, disk: u64) -> Resources {
    Resources { cpu_millis, memory: ByteCount::mib(memory), disk: ByteCount::mib(disk) }
}

/// The plain list: what is known of each provider.
#[derive(Default)]
struct Model {
    offers: BTreeMap<PeerId, Known>,
}

struct Known {
    offer: Offer,
    delta: Option<(u64, Time)>,
}

impl Model {
    fn insert(&mut self, sheet: &PriceSheet, trust: Trust, distance: Option<Millis>, now: Time) {
        let former = self.offers.remove(&sheet.provider);
        let mut known = Known {
            offer: Offer { sheet: sheet.clone(), free: sheet.capacity, paused: false, trust, distance, heard: now },
            delta: former.as_ref().and_then(|former| former.delta),
        };
        if let Some(former) = former {
            if former.offer.sheet.sequence >= sheet.sequence {
                self.offers.insert(sheet.provider, former);
                return;
            }
            if former.delta.is_some_and(|(_, until)| until > now) {
                known.offer.free = smaller(former.offer.free, sheet.capacity);
                known.offer.paused = former.offer.paused;
            }
        }
        self.offers.insert(sheet.provider, known);
    }

    fn apply(&mut self, delta: &OfferDelta, now: Time) {
        if let Some(known) = self.offers.get_mut(&delta.provider)
            && known.delta.is_none_or(|(sequence, _)| delta.sequence > sequence)
        {
            known.delta = Some((delta.sequence, now.after(DELTA_LIFETIME)));
            known.offer.free = smaller(delta.free, known.offer.sheet.capacity);
            known.offer.paused = delta.paused;
            known.offer.heard = now;
        }
    }

    fn expire(&mut self, now: Time) {
        self.offers.retain(|_, known| known.offer.sheet.issued.after(limits::PRICE_SHEET_LIFETIME) > now);
        for known in self.offers.values_mut() {
            if known.delta.is_some_and(|(_, until)| until <= now) {
                known.offer.free = known.offer.sheet.capacity;
                known.offer.paused = false;
            }
        }
    }

    fn find(&self, need: &Need, k: usize) -> Result<Vec<Match>, BTreeMap<Constraint, usize>> {
        let alone = self.offers.values().all(|known| known.offer.sheet.operator == need.owner);
        let mut excluded = BTreeMap::new();
        let mut fitting = Vec::new();
        for Known { offer, .. } in self.offers.values() {
            let own = offer.sheet.operator == need.owner;
            let wanted = match need.on {
                On::Own => own,
                On::OwnFirst => true,
                On::Market => own == alone,
            };
            let prices = if own { Prices::default() } else { offer.sheet.prices };
            let per_hour = prices.per_hour(&need.resources);
            match if wanted { reason(need, offer, per_hour) } else { Some(Constraint::Own) } {
                Some(constraint) => *excluded.entry(constraint).or_default() += 1,
                None => fitting.push((offer, own, per_hour, prices)),
            }
        }
        if fitting.is_empty() {
            return Err(excluded);
        }
        fitting.sort_by_key(|(offer, own, per_hour, _)| {
            let distance = offer.distance.map_or(u64::MAX, |distance| distance.0);
            (!own, *per_hour, Reverse(offer.trust), distance, offer.sheet.provider)
        });
        let (mut first, mut further) = (Vec::new(), Vec::new());
        for (offer, own, per_hour, prices) in fitting {
            let (provider, operator) = (offer.sheet.provider, offer.sheet.operator);
            let allowed = prices.charge(&need.resources, &ALLOWANCE);
            let max_rate = allowed.min(need.price_max.unwrap_or(Amount::MAX));
            let known = first.iter().any(|other: &Match| other.operator == operator);
            let answer = Match { provider, operator, prices, per_hour, max_rate, own };
            if known { further.push(answer) } else { first.push(answer) }
        }
        first.extend(further);
        first.truncate(k);
        Ok(first)
    }
}

fn smaller(one: Resources, other: Resources) -> Resources {
    Resources {
        cpu_millis: one.cpu_millis.min(other.cpu_millis),
        memory: one.memory.min(other.memory),
        disk: one.disk.min(other.disk),
    }
}

fn reason(need: &Need, offer: &Offer, per_hour: Amount) -> Option<Constraint> {
    let sheet = &offer.sheet;
    let near = |most: Millis| offer.distance.is_some_and(|distance| distance <= most);
    let tests = [
        (Constraint::Excluded, !need.exclude.contains(&sheet.provider)),
        (Constraint::Operator, !need.distinct_from.contains(&sheet.operator)),
        (Constraint::Kind, sheet.kinds.contains(&need.kind)),
        (Constraint::Isolation, need.isolation.is_none_or(|least| sheet.isolation >= least)),
        (Constraint::Region, need.region.as_ref().is_none_or(|wanted| sheet.region.lies_in(wanted))),
        (Constraint::Trust, sheet.operator == need.owner || need.trust_min.is_none_or(|least| offer.trust >= least)),
        (Constraint::Latency, need.latency_max.is_none_or(near)),
        (Constraint::Price, need.price_max.is_none_or(|most| per_hour <= most)),
        (Constraint::Resources, need.rooms.get(&sheet.provider).unwrap_or(&offer.free).cover(&need.resources)),
        (Constraint::Paused, !offer.paused),
    ];
    tests.into_iter().find(|(_, passed)| !passed).map(|(constraint, _)| constraint)
}

/// One thing that happens to an index.
#[derive(Debug, Clone)]
enum Step {
    Insert(Box<PriceSheet>, Trust, Option<Millis>),
    Apply(OfferDelta),
    Measure(PeerId, Trust, Option<Millis>),
    Remove(PeerId),
    Pass(Millis),
}

prop_compose! {
    fn sheets(providers: u16, places: usize)(
        provider in 0..providers,
        operator in 0_u8..9,
        place in 0..places,
        kinds in 0_usize..3,
        isolation in 0_usize..3,
        prices in (0_u128..5, 0_u128..5, 0_u128..3),
        capacity in (0_u32..5, 0_u64..5, 0_u64..3),
        sequence in 1_u64..4,
        trust in 0_u16..4,
        distance in prop::option::of(0_u64..4),
    ) -> (PriceSheet, Trust, Option<Millis>) {
        let price = |units: u128| Amount(units * 1_000_000_007);
        let sheet = PriceSheet {
            provider: peer(provider),
            // Mostly one node for one operator; the ninth is the buyer himself.
            operator: if operator == 8 { account(0) } else { account((provider % 251) as u8) },
            display: String::new(),
            region: region(place),
            // Where there are few places, there are few shelves, so that blocks fill up.
            kinds: [vec![Kind::Site, Kind::Wasm], vec![Kind::Wasm], vec![Kind::Site]][kinds % places].clone(),
            isolation: ISOLATIONS[isolation % places],
            prices: Prices {
                cpu_hour: price(prices.0),
                memory_gib_hour: price(prices.1),
                disk_gib_hour: price(prices.2),
                request_million: price(1),
                egress_gib: price(2),
            },
            capacity: resources(capacity.0 * 500, capacity.1 * 256, capacity.2 * 512),
            sequence,
            issued: Time(0),
        };
        (sheet, Trust(trust), distance.map(Millis))
    }
}

prop_compose! {
    fn needs(providers: u16)(
        basic in (any::<bool>(), 0_u32..4, 0_u64..4, 0_u64..3),
        isolation in prop::option::of(0_usize..3),
        place in prop::option::of(0_usize..6),
        price_max in prop::option::of(0_u128..8),
        trust_min in prop::option::of(0_u16..4),
        latency_max in prop::option::of(0_u64..4),
        on in 0_usize..3,
        owner in 0_u8..2,
        distinct_from in prop::collection::vec(0_u8..250, 0..6),
        exclude in prop::collection::vec(0..providers, 0..6),
        rooms in prop::collection::vec((0..providers, 0_u32..5, 0_u64..5), 0..6),
    ) -> Need {
        Need {
            kind: if basic.0 { Kind::Site } else { Kind::Wasm },
            resources: resources(basic.1 * 500, basic.2 * 256, basic.3 * 512),
            isolation: isolation.map(|place| ISOLATIONS[place]),
            region: place.map(region),
            price_max: price_max.map(|units| Amount(units * 500_000_003)),
            trust_min: trust_min.map(Trust),
            latency_max: latency_max.map(Millis),
            on: ONS[on],
            owner: account(owner * 100),
            distinct_from: distinct_from.into_iter().map(account).collect(),
            exclude: exclude.into_iter().map(peer).collect(),
            rooms: rooms.into_iter().map(|(number, cpu, mib)| (peer(number), resources(cpu * 500, mib * 256, 4_096))).collect(),
        }
    }
}

fn steps(providers: u16, places: usize) -> impl Strategy<Value = Step> {
    let numbers = 0..providers;
    let distance = || prop::option::of(0_u64..4).prop_map(|distance| distance.map(Millis));
    prop_oneof![
        12 => sheets(providers, places).prop_map(|(sheet, trust, distance)| Step::Insert(Box::new(sheet), trust, distance)),
        6 => (numbers.clone(), 0_u32..5, 0_u64..5, any::<bool>(), 0_u64..5).prop_map(
            |(number, cpu, memory, paused, sequence)| Step::Apply(OfferDelta {
                provider: peer(number),
                free: resources(cpu * 500, memory * 256, 4_096),
                paused,
                sequence,
            })
        ),
        2 => (numbers.clone(), 0_u16..4, distance())
            .prop_map(|(number, trust, distance)| Step::Measure(peer(number), Trust(trust), distance)),
        4 => numbers.prop_map(|number| Step::Remove(peer(number))),
        1 => (0_u64..400_000).prop_map(|millis| Step::Pass(Millis(millis))),
    ]
}

/// Carries out the steps on both, then asks both.
fn compare(steps: Vec<Step>, needs: &[Need], k: usize) {
    let (mut index, mut model, mut now) = (OfferIndex::new(limits::OFFERS), Model::default(), Time(0));
    for step in steps {
        match step {
            Step::Insert(sheet, trust, distance) => {
                model.insert(&sheet, trust, distance, now);
                let _ = index.insert(*sheet, trust, distance, now);
            }
            Step::Apply(delta) => {
                model.apply(&delta, now);
                let _ = index.apply(&delta, now);
            }
            Step::Measure(provider, trust, distance) => {
                if let Some(known) = model.offers.get_mut(&provider) {
                    (known.offer.trust, known.offer.distance) = (trust, distance);
                }
                let _ = index.measured(&provider, trust, distance, now);
            }
            Step::Remove(provider) => {
                let removed = model.offers.remove(&provider).map(|known| known.offer);
                assert_eq!(index.remove(&provider), removed);
            }
            Step::Pass(span) => {
                now = now.after(span);
                model.expire(now);
                index.expire(now);
                assert!(index.poll_timeout().is_none_or(|time| time > now));
            }
        }
    }
    assert!(index.offers().eq(model.offers.values().map(|known| &known.offer)), "the offers differ");
    for need in needs {
        let found = index.find(need, k, now);
        let considered = model.offers.len();
        let expected = model.find(need, k).map_err(|excluded| {
            assert_eq!(excluded.values().sum::<usize>(), considered);
            let others = model.offers.values().filter(|known| known.offer.sheet.operator != need.owner);
            NoOffer {
                considered,
                excluded,
                kind: need.kind,
                on: need.on,
                price_max: need.price_max,
                trust_min: need.trust_min,
                trust_best: others.map(|known| known.offer.trust).max().unwrap_or_default(),
            }
        });
        assert_eq!(found, expected, "{need:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn few_offers_are_found_as_the_model_finds_them(
        steps in prop::collection::vec(steps(8, 6), 0..40),
        needs in prop::collection::vec(needs(8), 12),
        k in 1_usize..6,
    ) {
        compare(steps, &needs, k);
    }

    #[test]
    fn many_offers_are_found_as_the_model_finds_them(
        steps in prop::collection::vec(steps(900, 6), 0..2_000),
        needs in prop::collection::vec(needs(900), 12),
        k in 1_usize..40,
    ) {
        compare(steps, &needs, k);
    }

    #[test]
    fn crowded_shelves_that_are_cleared_again_are_found_as_the_model_finds_them(
        steps in prop::collection::vec(steps(1_500, 1), 0..3_000),
        cleared in prop::collection::vec(0_u16..1_500, 0..3_000),
        later in prop::collection::vec(steps(1_500, 1), 0..200),
        needs in prop::collection::vec(needs(1_500), 12),
        k in 1_usize..40,
    ) {
        let cleared = cleared.into_iter().map(|number| Step::Remove(peer(number)));
        compare(steps.into_iter().chain(cleared).chain(later).collect(), &needs, k);
    }
}

fn sheet(provider: u16, sequence: u64) -> PriceSheet {
    PriceSheet {
        provider: peer(provider),
        operator: peer(provider).account(),
        display: "a barn".into(),
        region: region(0),
        kinds: vec![Kind::Wasm],
        isolation: Isolation::Wasm,
        prices: Prices { cpu_hour: "0.01".parse().unwrap(), ..Prices::default() },
        capacity: resources(4_000, 4_096, 4_096),
        sequence,
        issued: Time(1_000_000),
    }
}

const NOW: Time = Time(1_000_000);

fn need() -> Need {
    Need::new(account(255), Kind::Wasm, resources(1_000, 256, 0))
}

#[track_caller]
fn check_insert(change: impl FnOnce(&mut PriceSheet), now: Time, expected: Result<(), OfferError>) {
    let mut sheet = sheet(1, 2);
    change(&mut sheet);
    let mut index = OfferIndex::new(10);
    assert_eq!(index.insert(sheet, Trust(0), None, now), expected);
    assert_eq!(index.len(), usize::from(expected.is_ok()));
}

#[test]
fn a_sheet_is_refused_when_old_early_malformed_or_absurd() {
    let provider = peer(1);
    check_insert(|_| {}, NOW, Ok(()));
    let expired = NOW.after(limits::PRICE_SHEET_LIFETIME);
    check_insert(|_| {}, expired, Err(OfferError::Expired { provider, expired }));
    check_insert(|_| {}, Time(expired.0 - 1), Ok(()));
    check_insert(|sheet| sheet.issued = NOW.after(CLOCK_TOLERANCE), NOW, Ok(()));
    let issued = Time(NOW.after(CLOCK_TOLERANCE).0 + 1);
    check_insert(|sheet| sheet.issued = issued, NOW, Err(OfferError::Future { provider, issued }));
    check_insert(|sheet| sheet.kinds.clear(), NOW, Err(OfferError::Malformed { provider }));
    check_insert(|sheet| sheet.kinds = vec![Kind::Wasm; 3], NOW, Err(OfferError::Malformed { provider }));
    check_insert(|sheet| sheet.display = "x".repeat(64), NOW, Err(OfferError::Malformed { provider }));
    check_insert(|sheet| sheet.prices.egress_gib = Amount::credits(1_000_000), NOW, Ok(()));
    let dear = Amount(Amount::credits(1_000_000).0 + 1);
    check_insert(|sheet| sheet.prices.request_million = dear, NOW, Err(OfferError::TooDear { provider }));
}

#[test]
fn a_larger_sequence_replaces_and_an_equal_one_changes_nothing() {
    let mut index = OfferIndex::new(10);
    index.insert(sheet(1, 2), Trust(1), None, NOW).unwrap();
    let stale = OfferError::Stale { provider: peer(1), sequence: 2, known: 2 };
    assert_eq!(index.insert(sheet(1, 2), Trust(9), None, NOW), Err(stale));
    assert_eq!(index.get(&peer(1)).unwrap().trust, Trust(1));
    index.insert(sheet(1, 3), Trust(9), None, NOW).unwrap();
    assert_eq!((index.len(), index.get(&peer(1)).unwrap().trust), (1, Trust(9)));
}

#[test]
fn a_provider_whose_clock_was_ahead_is_heard_as_soon_as_it_is_right() {
    let mut index = OfferIndex::new(10);
    index.insert(sheet(1, 1), Trust(1), None, NOW).unwrap();
    let delta = |at: Time, paused| OfferDelta { provider: peer(1), free: resources(0, 0, 0), paused, sequence: at.0 };
    let early = NOW.after(Millis::HOUR);
    let ahead = OfferError::Ahead { provider: peer(1), sequence: early.0 };
    assert_eq!(index.apply(&delta(early, false), NOW), Err(ahead));
    index.apply(&delta(NOW, true), NOW).unwrap();
    assert!(index.get(&peer(1)).unwrap().paused);
}

#[test]
fn a_delta_lapses_and_an_old_one_does_not_come_back() {
    let mut index = OfferIndex::new(10);
    let delta = OfferDelta { provider: peer(1), free: resources(0, 0, 0), paused: true, sequence: 7 };
    assert_eq!(index.apply(&delta, NOW), Err(OfferError::Unknown { provider: peer(1) }));
    index.insert(sheet(1, 1), Trust(1), None, NOW).unwrap();
    index.apply(&delta, NOW).unwrap();
    let refused = index.find(&need(), 1, NOW).unwrap_err();
    assert_eq!(refused.to_string(), "no offer: of 1 provider 1 has too little free");
    assert_eq!(index.poll_timeout(), Some(NOW.after(DELTA_LIFETIME)));
    index.expire(NOW.after(DELTA_LIFETIME));
    assert_eq!(index.find(&need(), 1, NOW).unwrap()[0].provider, peer(1));
    let stale = OfferError::Stale { provider: peer(1), sequence: 7, known: 7 };
    assert_eq!(index.apply(&delta, NOW.after(DELTA_LIFETIME)), Err(stale));
}

#[test]
fn a_sheet_that_died_is_not_found_even_before_it_is_swept() {
    let mut index = OfferIndex::new(10);
    index.insert(sheet(1, 1), Trust(1), None, NOW).unwrap();
    let dead = NOW.after(limits::PRICE_SHEET_LIFETIME);
    assert_eq!(index.find(&need(), 1, Time(dead.0 - 1)).unwrap().len(), 1);
    assert_eq!(index.find(&need(), 1, dead).unwrap_err().to_string(), "no offer: no provider is known yet");
    index.expire(dead);
    assert!(index.is_empty());
}

#[test]
fn a_full_index_keeps_the_most_trusted_and_then_the_nearest() {
    let mut index = OfferIndex::new(2);
    let full = Err(OfferError::Full { limit: 2 });
    index.insert(sheet(1, 1), Trust(5), Some(Millis(10)), NOW).unwrap();
    index.insert(sheet(2, 1), Trust(5), Some(Millis(20)), NOW).unwrap();
    assert_eq!(index.insert(sheet(3, 1), Trust(4), Some(Millis(1)), NOW), full);
    assert_eq!(index.insert(sheet(3, 1), Trust(5), Some(Millis(20)), NOW), full);
    assert_eq!(index.insert(sheet(3, 1), Trust(5), None, NOW), full);
    index.insert(sheet(3, 1), Trust(5), Some(Millis(15)), NOW).unwrap();
    assert!(index.get(&peer(2)).is_none() && index.len() == 2);
    // A provider that is known renews without losing its place to anybody.
    index.insert(sheet(3, 2), Trust(0), None, NOW).unwrap();
    index.insert(sheet(4, 1), Trust(1), None, NOW).unwrap();
    assert_eq!(index.offers().map(|offer| offer.sheet.provider).collect::<Vec<_>>(), [peer(1), peer(4)]);
}

#[test]
fn own_capacity_is_free_and_the_market_takes_it_only_when_alone() {
    let mut index = OfferIndex::new(10);
    index.insert(sheet(1, 1), Trust(1), None, NOW).unwrap();
    let mut need = need();
    need.owner = peer(1).account();
    let own = &index.find(&need, 3, NOW).unwrap()[0];
    assert_eq!(
        (own.own, own.per_hour, own.max_rate, own.prices),
        (true, Amount::ZERO, Amount::ZERO, Prices::default())
    );
    index.insert(sheet(2, 1), Trust(1), None, NOW).unwrap();
    let mut expect = |on: On, expected: &[(u16, bool)]| {
        need.on = on;
        let found = index.find(&need, 3, NOW).unwrap();
        let expected: Vec<_> = expected.iter().map(|(number, own)| (peer(*number), *own)).collect();
        assert_eq!(found.iter().map(|found| (found.provider, found.own)).collect::<Vec<_>>(), expected);
    };
    expect(On::Market, &[(2, false)]);
    expect(On::Own, &[(1, true)]);
    expect(On::OwnFirst, &[(1, true), (2, false)]);
    need.on = On::Market;
    need.exclude = vec![peer(2)];
    let refused = index.find(&need, 1, NOW).unwrap_err();
    assert_eq!(refused.to_string(), "no offer: of 2 providers 1 is your own, 1 is dead or refused");
}

#[test]
fn what_a_lease_may_cost_has_an_allowance_but_never_passes_the_ceiling() {
    let mut index = OfferIndex::new(10);
    let mut dear = sheet(1, 1);
    dear.prices.request_million = "0.5".parse().unwrap();
    dear.prices.egress_gib = "0.25".parse().unwrap();
    index.insert(dear, Trust(1), None, NOW).unwrap();
    let mut need = need();
    let found = &index.find(&need, 1, NOW).unwrap()[0];
    assert_eq!((found.per_hour.to_string(), found.max_rate.to_string()), ("0.01".into(), "0.31".into()));
    need.price_max = Some("0.02".parse().unwrap());
    let found = &index.find(&need, 1, NOW).unwrap()[0];
    assert_eq!((found.per_hour.to_string(), found.max_rate.to_string()), ("0.01".into(), "0.02".into()));
}
