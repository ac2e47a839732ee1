//! Validators that die at every possible moment and come back from what their disk holds.
//!
//! The world panics if one contradicts itself over its lives, or if two hosts commit different blocks.

use grange_consensus::{Entry, Event, Fault, Message, SignedVote, Vote, VoteKind};
use grange_types::{Height, Record, Wire};

use crate::world::{NETWORK, Weather, World, all_equal};

/// Runs a cluster in which one node dies at its k-th action and comes back, for every k until it lives to the end.
fn die_at_every_action(seed: u64, count: usize, last: u64, weather: Weather) -> u64 {
    for k in 1.. {
        let mut world = World::new(seed + k, count, all_equal);
        world.weather = weather;
        world.nodes[0].dies_at = Some(k);
        world.start_all();
        let deadline = world.now.after(grange_types::Millis(120_000));
        while world.up(0) && world.nodes[0].disk.height().0 < last && world.step(deadline) {}
        if world.up(0) {
            return k;
        }
        world.run(30);
        world.nodes[0].dies_at = None;
        world.start(0);
        world.run_to(last + 2, 120_000);
        assert!(
            world.nodes.iter().all(|node| node.machine.as_ref().unwrap().fault().is_none()),
            "{}",
            world.describe()
        );
    }
    0
}

#[test]
fn one_of_four_dies_at_every_action() {
    let actions = die_at_every_action(100, 4, 5, Weather::CALM);
    assert!(actions > 60, "only {actions} actions were tried");
}

#[test]
fn one_of_four_dies_at_every_action_in_a_storm() {
    let actions = die_at_every_action(10_000, 4, 3, Weather::STORM);
    assert!(actions > 40, "only {actions} actions were tried");
}

/// One has a wrong clock, another dies, for every moment: what was prevoted by the dead one as well may be what the others
/// are locked on, and the one whose clock is mended has refused it. Restarted or not, it must not do so for ever.
#[test]
fn what_two_thirds_found_in_time_is_not_refused_for_ever() {
    let mut locked = 0;
    for k in 1..80 {
        for restarted in [false, true] {
            let mut world = World::new(400 + k, 4, all_equal);
            world.nodes[3].doubts = true;
            world.nodes[2].dies_at = Some(k);
            world.start_all();
            world.run(3_000);
            assert!(!world.up(2), "node 2 has died at action {k}");
            world.nodes[3].doubts = false;
            if restarted {
                world.kill(3);
                world.run(3_000);
                world.start(3);
            }
            locked += u32::from(world.machine(0).round() > 0);
            let height = world.nodes[0].disk.height();
            world.run_to(height.0 + 3, 120_000);
        }
    }
    assert!(locked > 10, "only {locked} times was there more than one round");
}

#[test]
fn a_lone_validator_dies_at_every_action() {
    let actions = die_at_every_action(200, 1, 5, Weather::CALM);
    assert!(actions > 30, "only {actions} actions were tried");
}

/// One of three is needed: the others wait until it is back, so that its own log decides what happens.
#[test]
fn one_without_whom_nothing_goes_dies_at_every_action() {
    let actions = die_at_every_action(300, 3, 4, Weather::CALM);
    assert!(actions > 40, "only {actions} actions were tried");
}

#[test]
fn one_dies_again_while_it_comes_back() {
    for k in (5..60).step_by(5) {
        for again in 1..25 {
            let mut world = World::new(400 + k * 100 + again, 3, all_equal);
            world.nodes[0].dies_at = Some(k);
            world.start_all();
            let deadline = world.now.after(grange_types::Millis(60_000));
            while world.up(0) && world.step(deadline) {}
            world.nodes[0].dies_at = Some(world.nodes[0].actions + again);
            world.start(0);
            let deadline = world.now.after(grange_types::Millis(60_000));
            while world.up(0) && world.nodes[0].disk.height().0 < 8 && world.step(deadline) {}
            if !world.up(0) {
                world.nodes[0].dies_at = None;
                world.start(0);
            }
            world.run_to(8, 60_000);
        }
    }
}

#[test]
fn all_die_at_once_and_come_back() {
    for k in 0..60 {
        let mut world = World::started(500 + k, 4);
        for _ in 0..k * 7 {
            let deadline = world.now.after(grange_types::Millis(10_000));
            world.step(deadline);
        }
        for index in 0..4 {
            world.kill(index);
        }
        world.run(2_000);
        let height = world.nodes.iter().map(|node| node.disk.height().0).max().unwrap();
        world.start_all();
        world.run_to(height + 3, 20_000);
    }
}

#[test]
fn two_of_four_die_and_come_back() {
    for k in 0..40 {
        let mut world = World::started(600 + k, 4);
        world.run_to(2, 5_000);
        for _ in 0..k * 3 {
            let deadline = world.now.after(grange_types::Millis(10_000));
            world.step(deadline);
        }
        world.kill(0);
        world.kill(2);
        world.run(20_000);
        let height = world.nodes[1].disk.height().0;
        assert!(!world.machine(1).quorum_connected());
        world.run(20_000);
        assert!(world.nodes[1].disk.height().0 <= height + 1, "half of the power decided");
        world.start(2);
        let took = world.run_to(world.nodes[1].disk.height().0 + 1, 10_000);
        assert!(took < 3_000, "going on took {took} ms");
        world.start(0);
        let height = world.nodes[1].disk.height().0;
        world.run_to(height + 4, 10_000);
    }
}

#[test]
fn votes_signed_before_a_crash_are_the_ones_said_again() {
    let mut world = World::started(7, 3);
    world.run_to(3, 5_000);
    // Stop node 0 right after it has voted, and look at its log.
    let voted = |world: &World| {
        let height = world.nodes[0].disk.height().next();
        let entries = world.nodes[0].disk.logged(height);
        let me = world.nodes[0].peer;
        entries
            .iter()
            .any(|entry| matches!(Entry::from_record(entry), Ok(Entry::Vote(signed)) if signed.vote.validator == me))
    };
    let deadline = world.now.after(grange_types::Millis(10_000));
    while !voted(&world) {
        assert!(world.step(deadline));
    }
    let height = world.nodes[0].disk.height().next();
    world.kill(0);
    world.start(0);
    assert_eq!(world.machine(0).height(), height);
    assert_eq!(world.machine(0).fault(), None);
    world.run_to(height.0 + 2, 10_000);
}

#[test]
fn a_log_that_cannot_be_read_or_leads_elsewhere_silences_a_validator_for_its_height() {
    let mut world = World::new(8, 4, all_equal);
    world.busy = false;
    let (set, now) = (world.set(Height(1)), world.now);
    let me = world.nodes[0].peer;
    // Height 1 is node 1's turn; a log in which node 0 prevoted some block in round 0 without ever seeing a proposal.
    let vote = Vote { kind: VoteKind::Prevote, height: Height(1), round: 0, block: None, validator: me };
    let timeout = Entry::Timeout { step: grange_consensus::Step::Propose, round: 0 };
    let other = Vote { block: Some(grange_types::BlockId([1; 32])), ..vote };
    let signed = Entry::Vote(SignedVote::seal(NETWORK, &world.nodes[0].key, other));
    for (wal, fault) in
        [(vec![vec![0xff; 9]], "unreadable"), (vec![timeout.to_record(), signed.to_record()], "diverged")]
    {
        let config = grange_consensus::Config {
            network: NETWORK,
            key: world.nodes[0].key.clone(),
            votes: true,
            timeouts: world.timeouts,
            inline: world.inline,
        };
        let mut machine = grange_consensus::Consensus::new(config);
        machine.handle(
            now,
            Event::Start { height: Height(1), parent_time: now, validators: set.clone(), wal_height: Height(1), wal },
        );
        match (fault, machine.fault()) {
            ("unreadable", Some(Fault::Unreadable { index: 0, .. })) => {}
            ("diverged", Some(Fault::Diverged { index: 0 })) => {}
            (expected, other) => panic!("{expected}: {other:?}"),
        }
        assert_eq!(machine.poll_action(), None);
        assert_eq!(machine.poll_timeout(), None);
        machine.handle(now, Event::Work);
        assert_eq!(machine.poll_action(), None);
        // The height after it is another matter.
        machine.handle(now, Event::Caught { height: Height(1), validators: set.clone() });
        assert_eq!((machine.fault(), machine.height()), (None, Height(2)));
        assert!(machine.poll_timeout().is_some());
    }
}

#[test]
fn a_validator_that_lost_its_log_does_not_vote_against_what_it_hears_it_said() {
    let mut world = World::new(9, 4, all_equal);
    world.busy = false;
    world.start_all();
    world.run(50);
    world.nodes[0].disk.lose_log();
    let me = world.nodes[0].peer;
    let vote = Vote {
        kind: VoteKind::Prevote,
        height: Height(1),
        round: 0,
        block: Some(grange_types::BlockId([7; 32])),
        validator: me,
    };
    let signed = SignedVote::seal(NETWORK, &world.nodes[0].key, vote);
    let from = world.nodes[1].peer;
    world.handle(0, Event::Message { from, bytes: Message::Vote(signed).encode() });
    world.run(800);
    let refused = Fault::SecondVote { kind: VoteKind::Prevote, height: Height(1), round: 0 };
    assert_eq!(world.machine(0).fault(), Some(&refused));
    world.run(4_000);
    assert_eq!(world.machine(0).fault(), None);
    // It stayed silent at that height, and went on with the next when it had the block.
    assert!(world.nodes[0].disk.height() >= Height(1));
    assert!(world.nodes[0].behind > 0);
}

#[test]
fn a_validator_that_lost_blocks_says_nothing_below_the_height_of_its_log() {
    let world = World::new(11, 4, all_equal);
    let config = grange_consensus::Config {
        network: NETWORK,
        key: world.nodes[0].key.clone(),
        votes: true,
        timeouts: world.timeouts,
        inline: world.inline,
    };
    let mut machine = grange_consensus::Consensus::new(config);
    let (validators, now) = (world.set(Height(1)), world.now);
    let wal_height = Height(3);
    let start =
        Event::Start { height: Height(1), parent_time: now, validators: validators.clone(), wal_height, wal: vec![] };
    machine.handle(now, start);
    for height in [Height(1), Height(2)] {
        assert_eq!(machine.height(), height);
        machine.handle(now, Event::Work);
        // It neither speaks nor writes over what the log may still say.
        assert_eq!((machine.poll_action(), machine.poll_timeout()), (None, None));
        machine.handle(now, Event::Caught { height, validators: validators.clone() });
    }
    assert_eq!(machine.poll_action(), Some(grange_consensus::Action::WalReset { height: Height(3) }));
    assert!(machine.poll_timeout().is_some());
}

#[test]
fn one_who_votes_alone_may_forget_what_it_cannot_read() {
    let mut world = World::new(10, 1, all_equal);
    let config = grange_consensus::Config {
        network: NETWORK,
        key: world.nodes[0].key.clone(),
        votes: true,
        timeouts: world.timeouts,
        inline: world.inline,
    };
    let mut machine = grange_consensus::Consensus::new(config);
    let (validators, now) = (world.set(Height(1)), world.now);
    let wal = vec![vec![0xff; 9]];
    machine.handle(now, Event::Start { height: Height(1), parent_time: now, validators, wal_height: Height(1), wal });
    assert_eq!(machine.fault(), None);
    assert_eq!(machine.poll_action(), Some(grange_consensus::Action::WalReset { height: Height(1) }));
    world.nodes[0].machine = Some(machine);
    world.handle(0, Event::Work);
    world.run_to(3, 1_000);
}
