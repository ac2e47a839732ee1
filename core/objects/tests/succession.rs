//! Whom a successor waits for, and whom not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use grange_objects::log::succeed::{Action as Step, Event as News};
use grange_objects::log::write::{Action, Event as Word};
use grange_objects::log::{Answer, Mark, Plan, Promise, Standing, Succession, View, Writer};
use grange_types::{PeerId, Time};

fn peers<const N: usize>(all: [u8; N]) -> BTreeSet<PeerId> {
    all.into_iter().map(peer).collect()
}

fn peer(index: u8) -> PeerId {
    PeerId([index; 32])
}

fn mark(generation: u64, sequence: u64) -> Mark {
    Mark { generation, sequence }
}

fn view<const N: usize>(at: Mark, keepers: [u8; N]) -> View {
    View { at, keepers: peers(keepers), before: peers(keepers), without: BTreeSet::new() }
}

fn promised<const N: usize>(generation: u64, keepers: [u8; N]) -> Standing {
    Standing { promises: BTreeMap::from([(generation, peers(keepers))]), ..Standing::default() }
}

/// The plan of a successor to these keepers and earlier writers that hears, at once, what is told here; the others are silent.
/// Without one, whom it waits for.
fn succeed<const K: usize, const B: usize>(
    generation: u64,
    keepers: [u8; K],
    before: [u8; B],
    own: Standing,
    told: &BTreeMap<u8, Standing>,
) -> Result<Plan, BTreeSet<PeerId>> {
    let promise = Promise { generation, keepers: peers(keepers) };
    let mut succession = Succession::new(Time(0), promise, peers(before), Some(own));
    let mut waits = BTreeSet::new();
    while let Some(step) = succession.poll_action() {
        match step {
            Step::Seal { keeper, .. } => {
                let news = match told.get(&keeper.0[0]) {
                    Some(standing) => News::Heard { keeper, standing: standing.clone() },
                    None => News::Silent { keeper },
                };
                succession.handle(Time(1), news);
            }
            Step::Wait { keepers } => waits = keepers,
            Step::Begin(plan) => return Ok(plan),
            Step::Stop { .. } => panic!("nobody is newer"),
        }
    }
    Err(waits)
}

#[test]
fn with_the_provider_dead_and_its_keepers_alive_it_begins_at_once() {
    let kept = Standing { mark: mark(1, 9), view: Some(view(mark(1, 1), [1, 2])), ..Standing::default() };
    let told = BTreeMap::from([(1, kept.clone()), (2, kept)]);
    let plan = succeed(2, [1, 2], [5], Standing::default(), &told).unwrap();
    assert_eq!((plan.mark, plan.from, plan.without), (mark(1, 9), peers([1, 2]), BTreeSet::new()));
}

#[test]
fn who_died_before_its_first_entry_is_not_waited_for_when_its_keepers_account_for_it() {
    let told = BTreeMap::from([(1, promised(1, [1, 2])), (2, promised(1, [1, 2]))]);
    let plan = succeed(2, [1, 2], [5], Standing::default(), &told).unwrap();
    assert_eq!((plan.mark, plan.without), (Mark::default(), BTreeSet::new()));
    // Nor is it when it was here that this was promised.
    let plan = succeed(2, [2], [5], promised(1, [2]), &BTreeMap::from([(2, Standing::default())])).unwrap();
    assert_eq!(plan.without, BTreeSet::new());
    // Its other keeper may hold what it acknowledged later.
    let told = BTreeMap::from([(1, promised(1, [1, 2]))]);
    assert_eq!(succeed(2, [1], [5], Standing::default(), &told), Err(peers([2])));
}

#[test]
fn who_wrote_before_and_is_accounted_for_by_nobody_is_waited_for() {
    let told = BTreeMap::from([(1, Standing::default())]);
    assert_eq!(succeed(2, [1], [5], Standing::default(), &told), Err(peers([5])));
    // It was asked to write, so its own keeper tells to whom it may; without that it has promised to begin nothing.
    let told = BTreeMap::from([(1, Standing::default()), (5, promised(1, [3]))]);
    assert_eq!(succeed(2, [1], [5], Standing::default(), &told), Err(peers([3])));
    let told = BTreeMap::from([(1, Standing::default()), (5, Standing::default())]);
    assert!(succeed(2, [1], [5], Standing::default(), &told).is_ok());
}

#[test]
fn what_a_keeper_wrote_itself_does_not_hide_who_has_what_it_keeps() {
    let mut standing = Standing { mark: mark(1, 4), view: Some(view(mark(1, 1), [1, 2])), ..Standing::default() };
    standing.mention(Some(view(mark(3, 10), [4])));
    let told = BTreeMap::from([(1, standing.clone()), (4, Standing::default())]);
    assert_eq!(succeed(4, [1], [5], Standing::default(), &told), Err(peers([2])));
    // Without any copy it is the only view that is known here.
    let mut empty = Standing::default();
    empty.mention(Some(view(mark(3, 10), [4])));
    assert_eq!(empty.view.unwrap().at, mark(3, 10));
    // What is older says nothing new.
    let before = standing.clone();
    standing.mention(Some(view(mark(1, 1), [7])));
    assert_eq!(standing, before);
}

/// A writer whose keepers 1 and 2 count, and the first entries of which they have.
fn writer(through: u64, held: [u64; 2]) -> Writer {
    let first = view(mark(1, 1), [1, 2]);
    let keepers = [1, 2].map(|index| (peer(index), None)).into();
    let mut writer = Writer::new(Time(0), 1, mark(1, through), Some(&first), keepers);
    for (index, sequence) in [1, 2].into_iter().zip(held).filter(|(_, sequence)| *sequence > 0) {
        writer.handle(Time(1), Word::Answered { keeper: peer(index), answer: Answer::At(mark(1, sequence)) });
    }
    writer
}

fn asks_for_a_view(writer: &mut Writer) -> bool {
    core::iter::from_fn(|| writer.poll_action()).any(|action| matches!(action, Action::ChangeView { .. }))
}

#[test]
fn who_is_left_out_counts_no_more_from_when_that_is_asked_for() {
    let mut writer = writer(5, [5, 5]);
    writer.handle(Time(3_500), Word::Answered { keeper: peer(2), answer: Answer::At(mark(1, 5)) });
    assert!(asks_for_a_view(&mut writer));
    assert_eq!(writer.counting(), peers([2]));
}

#[test]
fn after_a_restart_nobody_is_left_out_before_another_one_has_everything() {
    // The one that is silent may be the only one with what was acknowledged before the restart.
    let mut writer = writer(5, [0, 2]);
    writer.handle(Time(3_500), Word::Answered { keeper: peer(2), answer: Answer::At(mark(1, 4)) });
    assert!(!asks_for_a_view(&mut writer));
    writer.handle(Time(3_600), Word::Answered { keeper: peer(2), answer: Answer::At(mark(1, 5)) });
    assert!(asks_for_a_view(&mut writer));
}

/// The provider 5 was started with the keepers 1 and 2, and before it wrote anything its stewards became 3 and 4.
#[test]
fn a_generation_without_an_entry_keeps_the_keepers_of_its_first_start() {
    let first = promised(1, [1, 2]);
    // Its successor hears 1 and 2 and goes on with nothing, for they account for generation 1: what 3 alone had would be missed.
    let told = BTreeMap::from([(1, first.clone()), (2, first.clone())]);
    let plan = succeed(2, [1, 2], [5], Standing::default(), &told).unwrap();
    assert_eq!((plan.mark, plan.without), (Mark::default(), BTreeSet::new()));
    // So the provider, started again, goes by what its own keeper promised then.
    assert_eq!(first.keepers_of(1, peers([3, 4])), peers([1, 2]));
    // Another generation, and one that was never started here, is kept by whoever is a steward now.
    assert_eq!(first.keepers_of(2, peers([3, 4])), peers([3, 4]));
    assert_eq!(Standing::default().keepers_of(1, peers([3, 4])), peers([3, 4]));
}
