//! Networks that lose, double, delay and part, for many seeds.

use grange_consensus::Event;
use grange_types::{Height, Millis};

use crate::world::{Weather, World, all_equal};

#[test]
fn storms_delay_but_do_not_divide() {
    for seed in 0..30 {
        let mut world = World::new(1_000 + seed, 4, all_equal);
        world.inline = by_hash(seed);
        world.weather = Weather::STORM;
        world.start_all();
        world.run(10_000);
        world.weather = Weather::CALM;
        let height = world.nodes.iter().map(|node| node.disk.height().0).max().unwrap();
        world.run_to(height + 3, 20_000);
    }
}

#[test]
fn crashes_in_storms_delay_but_do_not_divide() {
    for seed in 0..40 {
        let mut world = World::new(2_000 + seed, 4, all_equal);
        world.inline = by_hash(seed);
        world.weather = Weather::STORM;
        world.start_all();
        for _ in 0..25 {
            let (index, span) = (world.random.below(4) as usize, world.random.below(800));
            if world.up(index) {
                world.kill(index)
            } else {
                world.start(index)
            }
            world.run(span);
        }
        world.weather = Weather::CALM;
        for index in 0..4 {
            if !world.up(index) {
                world.start(index);
            }
        }
        let height = world.nodes.iter().map(|node| node.disk.height().0).max().unwrap();
        world.run_to(height + 3, 30_000);
    }
}

/// In every second world blocks go by their hash.
fn by_hash(seed: u64) -> usize {
    if seed.is_multiple_of(2) { 0 } else { usize::MAX }
}

#[test]
fn a_block_goes_by_its_hash_to_those_who_lack_it() {
    let mut world = World::new(5_000, 4, all_equal);
    world.inline = 0;
    world.start_all();
    world.run_to(20, 20_000);
    // Each of the three others asks once for each block, and nobody twice.
    let (least, most) = (3 * 20, 3 * (world.nodes[0].disk.height().0 + 2));
    assert!((least..=most).contains(&world.bodies), "{least} <= {} <= {most}", world.bodies);
}

#[test]
fn a_block_whose_proposer_dies_comes_from_who_voted_for_it() {
    for seed in 0..20 {
        let mut world = World::new(6_000 + seed, 4, all_equal);
        world.inline = 0;
        world.weather = Weather { delay: (1, 40), ..Weather::CALM };
        world.start_all();
        world.run_to(3, 20_000);
        // Wherever the proposer is in the middle of giving its block away.
        let height = world.nodes.iter().map(|node| node.disk.height().0).max().unwrap();
        let proposer = world
            .nodes
            .iter()
            .position(|node| node.machine.as_ref().is_some_and(|machine| machine.proposer() == Some(node.peer)));
        world.run(seed * 3);
        world.kill(proposer.unwrap_or(0));
        world.run_to(height + 4, 40_000);
    }
}

#[test]
fn seven_validators_with_two_dead_and_a_storm_go_on() {
    let mut world = World::new(3_000, 7, all_equal);
    world.weather = Weather { delay: (1, 60), lost: 30, doubled: 30, noticed: 200 };
    world.start_all();
    world.run_to(2, 60_000);
    world.kill(1);
    world.kill(5);
    world.run_to(12, 200_000);
}

#[test]
fn a_parted_network_stands_still_and_goes_on_when_mended() {
    let mut world = World::started(4_000, 4);
    world.run_to(3, 5_000);
    for one in [0, 1] {
        for other in [2, 3] {
            world.link(one, other, false);
        }
    }
    world.run(10_000);
    let heights = |world: &World| world.nodes.iter().map(|node| node.disk.height()).collect::<Vec<_>>();
    let parted = heights(&world);
    world.run(20_000);
    assert_eq!(heights(&world), parted);
    assert!(!world.machine(0).quorum_connected());
    for one in [0, 1] {
        for other in [2, 3] {
            world.link(one, other, true);
        }
    }
    let highest = parted.into_iter().max().unwrap();
    let took = world.run_to(highest.0 + 2, 20_000);
    assert!(took < 5_000, "mending took {took} ms");
}

#[test]
fn one_who_hears_only_one_neighbour_follows() {
    let mut world = World::started(5_000, 4);
    world.link(0, 2, false);
    world.link(0, 3, false);
    world.run_to(30, 60_000);
}

#[test]
fn one_who_was_cut_off_catches_up_when_nothing_happens_any_more() {
    let mut world = World::started(6_000, 4);
    for other in 1..4 {
        world.link(0, other, false);
    }
    world.run(3_000);
    world.busy = false;
    world.run(1_500);
    let height = world.nodes[1].disk.height();
    assert!(world.nodes[0].disk.height() < Height(3));
    world.link(0, 1, true);
    world.run(900);
    assert!(world.nodes[0].disk.height() >= height, "{}", world.describe());
}

#[test]
fn one_who_waited_while_it_was_cut_off_is_told_when_it_is_back() {
    let mut world = World::new(7_000, 4, all_equal);
    world.busy = false;
    world.start_all();
    for index in 0..4 {
        world.deliver(index, 0, Event::Pace { interval: Millis(60_000) });
    }
    world.run(100);
    for other in 1..4 {
        world.link(0, other, false);
    }
    world.run(100);
    world.deliver(1, 0, Event::Work);
    world.run(500);
    assert_eq!((world.nodes[0].disk.height(), world.nodes[1].disk.height()), (Height(0), Height(1)));
    world.link(0, 2, true);
    world.run(300);
    assert_eq!(world.nodes[0].disk.height(), Height(1), "{}", world.describe());
}

#[test]
fn one_whose_messages_were_lost_unnoticed_is_told_when_it_repeats_itself() {
    let mut world = World::started(8_000, 4);
    world.run_to(3, 5_000);
    // No link is seen to break: messages are only lost.
    world.cut.extend([(0, 1), (0, 2), (0, 3)]);
    world.run(2_000);
    world.busy = false;
    for index in 0..4 {
        world.deliver(index, 0, Event::Pace { interval: Millis(60_000) });
    }
    world.run(2_000);
    let (ours, theirs) = (world.nodes[0].disk.height(), world.nodes[1].disk.height());
    assert!(ours < theirs);
    world.cut.clear();
    world.run(3_000);
    assert_eq!(world.nodes[0].disk.height(), theirs, "{}", world.describe());
}
