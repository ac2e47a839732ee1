//! When heights begin, and how fast they go.

use grange_consensus::{Event, Validator, ValidatorSet};
use grange_types::{Height, Millis, PeerId};

use crate::world::{Weather, World, all_equal};

#[test]
fn a_lone_validator_decides_alone() {
    let mut world = World::started(1, 1);
    let took = world.run_to(50, 1_000);
    assert!(took < 300, "50 heights took {took} ms");
    assert_eq!(world.messages, 0);
    assert!(world.machine(0).quorum_connected());
}

#[test]
fn a_busy_cluster_of_four_does_not_wait_for_timers() {
    let mut world = World::started(2, 4);
    world.run_to(1, 1_000);
    let took = world.run_to(41, 10_000);
    // Build, proposal, validation, two votes and a commit: at most 3 × 3 + 3 ms each.
    assert!(took < 40 * 15, "40 heights took {took} ms");
}

#[test]
fn an_idle_cluster_makes_an_empty_block_per_interval_and_no_more() {
    let mut world = World::new(3, 4, all_equal);
    world.busy = false;
    world.start_all();
    world.run(500);
    assert_eq!(world.nodes[0].disk.height(), Height(0));
    world.run(10_000);
    let height = world.nodes[0].disk.height().0;
    assert!((9..=10).contains(&height), "{height} heights in ten seconds");
    for index in 0..4 {
        world.deliver(index, 0, Event::Pace { interval: Millis(60_000) });
    }
    let messages = world.messages;
    world.run(59_000);
    assert!(world.nodes[0].disk.height().0 <= height + 1);
    assert!(world.messages - messages < 100, "an idle cluster sent {} messages", world.messages - messages);
    world.run(70_000);
    assert!(world.nodes[0].disk.height().0 > height);
}

#[test]
fn work_at_one_validator_wakes_all_at_once() {
    for sleeper in 0..4 {
        let mut world = World::new(4, 4, all_equal);
        world.busy = false;
        world.start_all();
        world.run(100);
        world.deliver(sleeper, 0, Event::Work);
        let took = world.run_to(1, 1_000);
        assert!(took < 40, "the block took {took} ms");
        // The work is done: the next block waits again.
        world.run(800);
        assert_eq!(world.nodes[0].disk.height(), Height(1));
    }
}

#[test]
fn work_is_done_with_the_next_decision_unless_somebody_says_that_some_is_left() {
    let mut world = World::new(5, 4, all_equal);
    world.busy = false;
    world.start_all();
    world.run(100);
    world.work();
    world.run(3);
    world.work();
    world.run_to(1, 1_000);
    world.run(300);
    assert_eq!(world.nodes[0].disk.height(), Height(1), "no block for work that is done");
    world.work();
    let took = world.run_to(2, 1_000);
    assert!(took < 40, "the block took {took} ms");
}

#[test]
fn a_dead_validator_costs_little_once_it_is_missed() {
    let mut world = World::started(6, 4);
    world.weather.noticed = 1_000_000;
    world.run_to(1, 1_000);
    world.kill(3);
    let mut times = Vec::new();
    for height in 2..42 {
        times.push(world.run_to(height, 5_000));
    }
    times.sort_unstable();
    // Its first missed turn costs the whole patience, every later one a moment.
    assert!(times[39] < 1_000, "the slowest height took {} ms", times[39]);
    assert!(times[38] < 80, "the second slowest height took {} ms", times[38]);
    assert!(times[20] < 20, "the median height took {} ms", times[20]);
}

#[test]
fn a_slow_network_is_waited_for() {
    let mut world = World::new(7, 4, all_equal);
    // A round trip above the first patience.
    world.weather = Weather { delay: (700, 900), ..Weather::CALM };
    world.start_all();
    world.run_to(6, 120_000);
    let rounds: Vec<u32> = world.nodes[0].disk.blocks.iter().map(|(_, _, certificate)| certificate.round).collect();
    assert_eq!(rounds[4..], [0, 0], "patience did not grow: {rounds:?}");
}

fn weighted(peers: &[PeerId], _: Height) -> ValidatorSet {
    let powers = [1, 1, 1, 7];
    ValidatorSet::new(peers.iter().zip(powers).map(|(&peer, power)| Validator { peer, power }).collect())
}

#[test]
fn the_weight_decides_not_the_heads() {
    let mut world = World::new(8, 4, weighted);
    world.start_all();
    world.run_to(5, 5_000);
    // Three of four heads are nothing against seven tenths of the power.
    world.kill(3);
    world.run(5_000);
    let stuck = world.nodes[0].disk.height().0;
    assert!(!world.machine(0).quorum_connected());
    world.run(5_000);
    assert_eq!(world.nodes[0].disk.height().0, stuck);
    // And seven tenths of the power are enough alone.
    world.start(3);
    world.run_to(stuck + 3, 5_000);
    for index in 0..3 {
        world.kill(index);
    }
    let height = world.nodes[3].disk.height().0;
    world.run_to(height + 20, 30_000);
}

fn moving(peers: &[PeerId], height: Height) -> ValidatorSet {
    // Every three heights another four of six are in charge.
    let first = (height.0 / 3) as usize;
    let chosen = (0..4).map(|offset| peers[(first + offset) % peers.len()]);
    ValidatorSet::new(chosen.map(|peer| Validator { peer, power: 5 }).collect())
}

#[test]
fn the_set_may_change_from_height_to_height() {
    let mut world = World::new(9, 6, moving);
    world.start_all();
    world.run_to(40, 60_000);
    for index in 0..6 {
        assert!(world.nodes[index].builds > 0, "node {index} never proposed");
    }
}

fn first_four(peers: &[PeerId], height: Height) -> ValidatorSet {
    all_equal(&peers[..4], height)
}

#[test]
fn who_is_told_not_to_vote_follows_though_its_key_is_listed() {
    let mut world = World::new(11, 4, all_equal);
    world.nodes[3].abstains = true;
    world.start_all();
    world.run_to(20, 60_000);
    assert!(!world.machine(3).is_validator() && world.nodes[3].builds == 0);
    // Without it and one more nothing is decided: it counts as away.
    world.kill(2);
    world.run(5_000);
    let stuck = world.nodes[0].disk.height();
    world.run(10_000);
    assert_eq!(world.nodes[0].disk.height(), stuck);
    assert!(!world.machine(3).quorum_connected(), "its own vote is none");
    world.nodes[3].abstains = false;
    world.kill(3);
    world.start(3);
    world.run_to(stuck.0 + 3, 60_000);
}

/// Told not to vote and told to vote again, at whatever moment of a height: it does not forget what it said.
#[test]
fn who_is_told_to_vote_again_knows_what_it_said() {
    for k in 1..60 {
        let mut world = World::new(500 + k, 4, all_equal);
        world.nodes[0].dies_at = Some(k);
        world.start_all();
        world.kill(3);
        world.run(2_000);
        world.nodes[0].dies_at = None;
        for abstains in [true, false] {
            if world.up(0) {
                world.kill(0);
            }
            world.nodes[0].abstains = abstains;
            world.start(0);
            world.run(500);
        }
        world.run_to(world.nodes[0].disk.height().0 + 2, 60_000);
    }
}

#[test]
fn an_observer_follows_and_says_nothing() {
    let mut world = World::new(10, 5, first_four);
    world.start_all();
    world.run_to(20, 20_000);
    let observer = &world.nodes[4];
    assert!(observer.behind > 0 && observer.builds == 0 && observer.began.is_empty());
    assert!(!world.machine(4).is_validator());
    let heard = world.nodes[4].actions;
    world.kill(4);
    world.run_to(30, 20_000);
    assert_eq!(world.nodes[4].actions, heard);
    world.start(4);
    world.run_to(35, 20_000);
}
