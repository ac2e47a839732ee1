//! The watch, as scripts of probes and what is said; and that two watchers do not race.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use grange_market::Health;
use grange_market::watch::{Action, Event, Watch};
use grange_types::{LeaseId, Time};

const LEASE: LeaseId = LeaseId([1; 32]);

/// Probes of a lease that is watched from 0 on, as (milliseconds, answered), and what the watch said at what time.
#[track_caller]
fn check(rank: u32, script: &[(u64, Option<bool>)], expected: &[(u64, &str)]) {
    let mut watch = Watch::new();
    watch.handle(Time(0), Event::Begin { lease: LEASE });
    watch.handle(Time(0), Event::Rank { lease: LEASE, rank });
    let mut said = Vec::new();
    for (time, probe) in script {
        let event = probe.map_or(Event::Tick, |ok| Event::Probe { lease: LEASE, ok });
        watch.handle(Time(*time), event);
        while let Some(action) = watch.poll_action() {
            said.push((
                *time,
                match action {
                    Action::Changed { health: Health::Starting, .. } => "starting",
                    Action::Changed { health: Health::Alive, .. } => "alive",
                    Action::Changed { health: Health::Suspect, .. } => "suspect",
                    Action::Changed { health: Health::Dead, .. } => "dead",
                    Action::Replace { .. } => "replace",
                },
            ));
        }
    }
    assert_eq!(said, expected);
}

const YES: Option<bool> = Some(true);
const NO: Option<bool> = Some(false);

#[test]
fn three_failures_over_three_seconds_are_a_death() {
    check(
        0,
        &[(1_000, YES), (2_000, NO), (3_000, NO), (4_000, NO)],
        &[(1_000, "alive"), (2_000, "suspect"), (4_000, "dead"), (4_000, "replace")],
    );
    // Fast failures do not make it sooner, and one success starts anew.
    check(
        0,
        &[(1_000, YES), (1_100, NO), (1_200, NO), (1_300, NO), (1_400, NO), (2_000, YES), (4_900, NO), (5_100, NO)],
        &[(1_000, "alive"), (1_100, "suspect"), (2_000, "alive"), (4_900, "suspect")],
    );
}

#[test]
fn a_watcher_that_slept_kills_nobody() {
    check(
        0,
        &[(1_000, YES), (9_000_000, None), (9_000_000, NO), (9_000_001, YES)],
        &[(1_000, "alive"), (9_000_000, "suspect"), (9_000_001, "alive")],
    );
}

#[test]
fn a_start_is_given_its_time() {
    let mut script: Vec<_> = (1..=9).map(|second| (second * 1_000, NO)).collect();
    check(0, &script, &[]);
    script.push((10_000, NO));
    check(0, &script, &[(10_000, "dead"), (10_000, "replace")]);
}

#[test]
fn a_node_that_says_nothing_is_given_half_of_it() {
    let mut watch = Watch::new();
    watch.handle(Time(0), Event::Begin { lease: LEASE });
    for second in 1..=4 {
        watch.handle(Time(second * 1_000), Event::Unanswered { lease: LEASE });
        assert_eq!(watch.health(&LEASE), Some(Health::Starting));
    }
    watch.handle(Time(5_000), Event::Unanswered { lease: LEASE });
    assert_eq!(watch.health(&LEASE), Some(Health::Dead));
}

#[test]
fn each_rank_waits_for_the_one_before_it_and_a_return_calls_it_off() {
    let death = [(1_000, YES), (2_000, NO), (3_000, NO), (4_000, NO)];
    let seen = [(1_000, "alive"), (2_000, "suspect"), (4_000, "dead")];
    let with = |more: &[(u64, Option<bool>)], said: &[(u64, &'static str)]| {
        check(2, &[&death[..], more].concat(), &[&seen[..], said].concat());
    };
    with(&[(7_999, None), (8_000, None)], &[(8_000, "replace")]);
    with(&[(7_999, YES), (8_000, None)], &[(7_999, "alive")]);
    with(&[(8_000, NO), (12_999, None), (13_000, None)], &[(8_000, "replace"), (13_000, "replace")]);
}

#[test]
fn what_is_no_longer_watched_is_not_replaced() {
    let mut watch = Watch::new();
    watch.handle(Time(0), Event::Begin { lease: LEASE });
    watch.handle(Time(0), Event::Rank { lease: LEASE, rank: 1 });
    for second in 8..=10 {
        watch.handle(Time(second * 1_000), Event::Probe { lease: LEASE, ok: false });
    }
    assert_eq!((watch.health(&LEASE), watch.poll_timeout()), (Some(Health::Dead), Some(Time(12_000))));
    assert_eq!(watch.poll_action(), Some(Action::Changed { lease: LEASE, health: Health::Dead }));
    watch.handle(Time(11_000), Event::End { lease: LEASE });
    watch.handle(Time(12_000), Event::Tick);
    assert_eq!((watch.poll_action(), watch.poll_timeout(), watch.health(&LEASE)), (None, None, None));
}

#[test]
fn a_replacement_that_came_to_nothing_is_called_for_again_at_once() {
    let mut watch = Watch::new();
    let mut tell = |second: u64, event| {
        watch.handle(Time(second * 1_000), event);
        core::iter::from_fn(|| watch.poll_action()).any(|said| said == Action::Replace { lease: LEASE })
    };
    assert!(!tell(0, Event::Begin { lease: LEASE }));
    // Nothing has been tried yet.
    assert!(!tell(1, Event::Again { lease: LEASE }));
    assert!(!tell(8, Event::Probe { lease: LEASE, ok: false }));
    assert!(!tell(9, Event::Probe { lease: LEASE, ok: false }));
    assert!(tell(10, Event::Probe { lease: LEASE, ok: false }));
    assert!(!tell(11, Event::Tick));
    assert!(tell(11, Event::Again { lease: LEASE }));
    assert!(!tell(15, Event::Tick));
    assert!(tell(16, Event::Tick));
}
