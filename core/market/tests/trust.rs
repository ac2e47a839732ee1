//! Trust: who is believed, how far, for how long; and what a thousand keys are worth.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use grange_market::Trust;
use grange_market::trust::{
    Book, Eyes, HALF_LIFE, HEARSAY_ALL, HEARSAY_EACH, KEEP, Kind, LOOK_EVERY, LOOKS, Lookout, MATURE, OBSERVERS,
    PERIOD, SUBJECTS, Seen, Standing, WITNESSES,
};
use grange_types::{AccountId, Millis, PeerId, Record, Sighting, Sightings, Time};
use proptest::prelude::*;

const NOW: Time = Time(20_000 * Millis::DAY.0);
const ME: AccountId = account(0);
const SUBJECT: AccountId = account(1);

const fn account(number: u32) -> AccountId {
    let mut bytes = [7; 32];
    let [a, b, c, d] = number.to_be_bytes();
    (bytes[0], bytes[1], bytes[2], bytes[3]) = (a, b, c, d);
    AccountId(bytes)
}

/// Accounts below ten thousand answer for what they say.
fn bonded(account: &AccountId) -> bool {
    let AccountId([a, b, c, d, ..]) = *account;
    u32::from_be_bytes([a, b, c, d]) < 10_000
}

const EYES: Eyes<'static> = Eyes { me: ME, answers: &bonded };

fn seen(kind: Kind, at: Time, good: u32, bad: u32) -> Seen {
    Seen { subject: SUBJECT, observer: ME, kind, at, good, bad }
}

fn told(now: Time, looks: u8, answered: u8) -> Sightings {
    Sightings { period: now.0 / PERIOD.0, seen: vec![Sighting { operator: SUBJECT, looks, answered }] }
}

fn trust(book: &Book, now: Time) -> Trust {
    book.trust(&SUBJECT, &EYES, now)
}

/// A book in which we saw something of the subject ourselves.
fn known() -> Book {
    let mut book = Book::default();
    book.note(NOW, &EYES, seen(Kind::Uptime, NOW, 20, 0));
    book
}

/// Lets an operator tell the same for so long; the book, and when it ends.
fn hear_for(book: &mut Book, observer: AccountId, span: Millis, looks: u8, answered: u8) -> Time {
    let mut now = NOW;
    while now < NOW.after(span) {
        book.hear(now, &EYES, observer, &told(now, looks, answered));
        now = now.after(PERIOD);
    }
    now
}

#[test]
fn nothing_is_known_and_nothing_is_trusted() {
    let book = Book::default();
    let grounds = book.grounds(&SUBJECT, &EYES, NOW);
    assert_eq!((grounds.trust, grounds.lines.len()), (None, 0));
    assert_eq!(trust(&book, NOW), Trust(0));
    // Of whom only bad was seen something is known.
    let mut book = Book::default();
    book.note(NOW, &EYES, seen(Kind::Uptime, NOW, 0, 1));
    assert_eq!(book.grounds(&SUBJECT, &EYES, NOW).trust, Some(Trust(0)));
}

#[test]
fn it_is_slow_to_gain_and_quick_to_lose_and_every_number_names_its_evidence() {
    let mut book = known();
    assert_eq!(trust(&book, NOW), Trust(500), "twenty looks are as much as the prior");
    book.note(NOW, &EYES, seen(Kind::Served, NOW, 4_000, 0));
    let high = trust(&book, NOW);
    assert_eq!(high, Trust(909), "however much more is seen: {:?}", book.grounds(&SUBJECT, &EYES, NOW));
    book.note(NOW, &EYES, seen(Kind::Lease, NOW, 0, 1));
    assert_eq!(trust(&book, NOW), Trust(540), "one broken lease");
    let lines = book.grounds(&SUBJECT, &EYES, NOW).lines;
    let named: Vec<_> = lines.iter().map(|line| (line.kind, line.observer, line.good, line.bad, line.weight)).collect();
    assert!(named.contains(&(Kind::Lease, ME, 0, 1, (0, 5_000))), "{named:?}");
    assert!(named.contains(&(Kind::Uptime, ME, 20, 0, (2_000, 0))), "{named:?}");
    assert!(lines.iter().all(|line| line.standing == Standing::Own && line.until > NOW.after(KEEP)));
}

#[test]
fn it_decays_and_is_forgotten() {
    let mut book = known();
    book.note(NOW, &EYES, seen(Kind::Lease, NOW, 0, 1));
    let after = |span: Millis| NOW.after(Millis::DAY).after(span);
    let weight = |book: &Book, now| book.grounds(&SUBJECT, &EYES, now).own;
    assert_eq!(weight(&book, NOW), (2_000, 5_000));
    assert_eq!(weight(&book, after(HALF_LIFE)), (1_000, 2_500));
    assert_eq!(weight(&book, after(Millis(3 * HALF_LIFE.0))), (250, 625));
    assert_eq!(book.grounds(&SUBJECT, &EYES, after(KEEP)).trust, None);
    book.sweep(after(KEEP));
    assert!(book.is_empty());
    // What is older than that is not taken down at all, nor what is said to be of the future.
    book.note(after(KEEP), &EYES, seen(Kind::Lease, NOW, 9, 0));
    assert!(book.is_empty());
}

#[test]
fn the_word_of_one_other_is_bounded_and_grows_with_the_time_it_was_heard() {
    let other = account(2);
    let mut book = known();
    let before = trust(&book, NOW);
    book.hear(NOW, &EYES, other, &told(NOW, 5, 0));
    assert_eq!(trust(&book, NOW), before, "who was never heard before counts for nothing");
    let lines = book.grounds(&SUBJECT, &EYES, NOW).lines;
    assert!(lines.iter().any(|line| line.observer == other && line.standing == Standing::Fresh), "{lines:?}");
    let end = hear_for(&mut book, other, MATURE, 5, 0);
    assert_eq!(book.grounds(&SUBJECT, &EYES, end).hearsay, (0, HEARSAY_EACH));
    let mut young = known();
    let quarter = hear_for(&mut young, other, Millis(MATURE.0 / 4), 5, 0);
    assert_eq!(young.grounds(&SUBJECT, &EYES, quarter).hearsay, (0, HEARSAY_EACH * 71 / 287));
    let silent = Time(quarter.0 + MATURE.0 / 2);
    assert_eq!(young.grounds(&SUBJECT, &EYES, silent).hearsay, (0, HEARSAY_EACH * 71 / 287), "silence adds nothing");
    // Two more of them fill what hearsay may say at all; further ones add nothing.
    for number in 3..9 {
        hear_for(&mut book, account(number), MATURE, 5, 0);
    }
    assert_eq!(book.grounds(&SUBJECT, &EYES, end).hearsay, (0, HEARSAY_ALL));
    assert_eq!(book.grounds(&SUBJECT, &EYES, end).witnesses, 7);
}

#[test]
fn a_period_is_told_once_in_time_and_with_no_more_looks_than_it_has_room_for() {
    let other = account(2);
    let mut book = known();
    for _ in 0..1_000 {
        book.hear(NOW, &EYES, other, &told(NOW, 255, 255));
    }
    book.hear(NOW, &EYES, other, &told(NOW.after(Millis::DAY), 5, 5));
    book.hear(NOW, &EYES, other, &told(Time(NOW.0 - 3 * PERIOD.0), 5, 5));
    let lines = book.grounds(&SUBJECT, &EYES, NOW).lines;
    let line = lines.iter().find(|line| line.observer == other).unwrap();
    assert_eq!((line.good, line.bad), (5, 0));
}

#[test]
fn nobody_speaks_for_himself_and_a_lost_bond_takes_its_word_with_it() {
    let mut book = known();
    let end = hear_for(&mut book, SUBJECT, MATURE, 5, 5);
    assert_eq!(trust(&book, end), trust(&known(), end));
    book.note(NOW, &EYES, Seen { observer: SUBJECT, ..seen(Kind::Lease, NOW, 99, 0) });
    assert!(book.grounds(&SUBJECT, &EYES, end).lines.iter().all(|line| line.observer == ME), "not even kept");
    let end = hear_for(&mut book, account(2), MATURE, 5, 5);
    let broke = Eyes { me: ME, answers: &|_| false };
    assert!(trust(&book, end) > trust(&known(), end));
    assert_eq!(book.trust(&SUBJECT, &broke, end), trust(&known(), end));
    let lines = book.grounds(&SUBJECT, &broke, end).lines;
    assert!(lines.iter().any(|line| line.standing == Standing::Unbonded));
}

#[test]
fn a_flood_of_names_forgets_nobody_who_is_there() {
    let mut book = known();
    book.note(NOW, &EYES, seen(Kind::Served, NOW, 1, 0));
    let before = trust(&book, NOW);
    for number in 100..100 + 2 * SUBJECTS as u32 {
        book.note(NOW, &EYES, Seen { subject: account(number), ..seen(Kind::Uptime, NOW, 1, 0) });
    }
    assert_eq!(book.len(), SUBJECTS);
    assert_eq!(trust(&book, NOW), before);
    // Who was not seen for a day makes room.
    let tomorrow = NOW.after(Millis::DAY);
    book.note(tomorrow, &EYES, Seen { subject: account(99), ..seen(Kind::Uptime, tomorrow, 1, 0) });
    assert_eq!(book.len(), SUBJECTS);
    assert!(book.trust(&account(99), &EYES, tomorrow) > Trust(0));
    for number in 2..2 + 2 * OBSERVERS as u32 {
        book.hear(tomorrow, &EYES, account(number), &told(tomorrow, 5, 5));
    }
    assert_eq!(book.grounds(&SUBJECT, &EYES, tomorrow).lines.len(), WITNESSES + 2);
    assert!(book.to_record().len() <= Book::LIMIT);
    assert_eq!(Book::from_record(&book.to_record()).unwrap(), book);
}

fn nodes(of: impl IntoIterator<Item = (u32, u32)>) -> BTreeMap<AccountId, Vec<PeerId>> {
    let node = |operator: u32, number: u32| PeerId(account(operator * 10_000 + number).0);
    of.into_iter()
        .map(|(operator, count)| (account(operator), (0..count).map(|number| node(operator, number)).collect()))
        .collect()
}

/// What is seen in ten rounds in which everybody answers, and what is told of it.
fn watch(known: &BTreeMap<AccountId, Vec<PeerId>>) -> (Book, Vec<Sighting>) {
    let (mut book, mut lookout, mut now) = (Book::default(), Lookout::default(), NOW);
    let mut told = Vec::new();
    for _ in 0..10 {
        for (operator, _) in lookout.begin(now, known) {
            lookout.answered(operator);
        }
        for (subject, answered) in lookout.end(now.after(Millis::seconds(5)), true) {
            let (good, bad) = (u32::from(answered), u32::from(!answered));
            book.note(now, &EYES, Seen { subject, observer: ME, kind: Kind::Uptime, at: now, good, bad });
        }
        now = now.after(LOOK_EVERY);
        told.extend(lookout.tell(now).into_iter().flat_map(|(_, seen)| seen));
    }
    (book, told)
}

#[test]
fn a_thousand_nodes_of_one_operator_are_looked_at_like_one() {
    let one = watch(&nodes([(1, 1), (2, 1)]));
    let many = watch(&nodes([(1, 1_000), (2, 1)]));
    assert_eq!(one, many);
    assert_eq!(trust(&many.0, NOW), Trust(333), "ten looks");
    assert_eq!(many.1.iter().filter(|sighting| sighting.operator == SUBJECT).count(), 2, "one line for each period");
}

#[test]
fn everybody_has_its_turn() {
    let known = nodes((1..100).map(|operator| (operator, 1)));
    let (mut lookout, mut now, mut asked) = (Lookout::default(), NOW, BTreeMap::new());
    for _ in 0..99 {
        let round = lookout.begin(now, &known);
        assert_eq!(round.len(), LOOKS);
        assert_eq!(lookout.begin(now.after(Millis(1)), &known), [], "a round at a time");
        for (operator, _) in round {
            *asked.entry(operator).or_insert(0) += 1;
        }
        lookout.end(now.after(Millis::seconds(5)), true);
        now = now.after(LOOK_EVERY);
    }
    assert_eq!(asked.len(), 99);
    assert!(asked.values().all(|times| *times == 32), "{asked:?}");
}

#[test]
fn who_is_cut_off_blames_nobody() {
    let known = nodes([(1, 1), (2, 1)]);
    let mut lookout = Lookout::default();
    lookout.begin(NOW, &known);
    assert_eq!(lookout.end(NOW.after(Millis::seconds(5)), false), []);
    lookout.begin(NOW.after(LOOK_EVERY), &known);
    lookout.answered(account(2));
    let seen = lookout.end(NOW.after(LOOK_EVERY).after(Millis::seconds(5)), false);
    assert_eq!(seen, [(account(1), false), (account(2), true)]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// A thousand fresh accounts without a bond, and the subject's own, change no number by anything, whatever they say.
    #[test]
    fn a_thousand_strangers_change_nothing(
        good in 0_u32..50,
        bad in 0_u32..50,
        others in 0_u32..5,
        answered in 0_u8..6,
        age in 0_u64..2 * MATURE.0,
    ) {
        let mut book = Book::default();
        book.note(NOW, &EYES, seen(Kind::Uptime, NOW, good, bad));
        for number in 2..2 + others {
            hear_for(&mut book, account(number), Millis(2 * PERIOD.0), 5, 3);
        }
        let now = NOW.after(Millis(age));
        let before = book.grounds(&SUBJECT, &EYES, now).trust;
        for stranger in (10_000..11_000).map(account).chain([SUBJECT]) {
            book.hear(now, &EYES, stranger, &told(now, 5, answered));
            book.note(now, &EYES, Seen { observer: stranger, ..seen(Kind::Lease, now, answered.into(), 7) });
        }
        prop_assert_eq!(book.grounds(&SUBJECT, &EYES, now).trust, before);
    }

    /// Of a new operator that bonds, all its keys together are one voice: it cannot move a number by more than its bound.
    #[test]
    fn one_operator_is_one_voice(good in 20_u32..200, keys in 1_usize..1_000, answered in 0_u8..6) {
        let mut one = Book::default();
        one.note(NOW, &EYES, seen(Kind::Uptime, NOW, good, 0));
        let mut many = one.clone();
        let mut now = NOW;
        for _ in 0..4 {
            now = now.after(PERIOD);
            one.hear(now, &EYES, account(2), &told(now, 5, answered));
            for _ in 0..keys {
                many.hear(now, &EYES, account(2), &told(now, 5, answered));
            }
        }
        prop_assert_eq!(&one, &many);
        let weight = many.grounds(&SUBJECT, &EYES, now).hearsay;
        prop_assert!(weight.0 <= HEARSAY_EACH * 3 / 287 && weight.1 <= HEARSAY_EACH * 3 / 287, "{weight:?}");
    }

    /// The order in which evidence arrives makes no difference.
    #[test]
    fn order_makes_no_difference(mut pieces in prop::collection::vec((0_usize..5, 0_u64..10, 0_u32..9, 0_u32..9), 1..20)) {
        let note = |pieces: &[(usize, u64, u32, u32)]| {
            let mut book = Book::default();
            for (kind, days, good, bad) in pieces.iter().copied() {
                let at = Time(NOW.0 - days * Millis::DAY.0);
                book.note(NOW, &EYES, seen(Kind::ALL[kind], at, good, bad));
            }
            book
        };
        let forth = note(&pieces);
        pieces.reverse();
        prop_assert_eq!(forth, note(&pieces));
    }
}
