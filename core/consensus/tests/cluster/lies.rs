//! Validators and strangers who say what they should not.

use grange_consensus::{
    BLOCK_LIMIT, Event, Message, PolkaCertificate, Proposal, RoundCertificate, RoundSeal, Seal, SignedProposal,
    SignedVote, Vote, VoteKind,
};
use grange_types::{BlockId, Height, Millis, NetworkId, PeerId, SecretKey, Signature, Time, Wire};

use crate::world::{NETWORK, Random, Weather, World, all_equal, block, id_of};

fn quiet(seed: u64) -> World {
    let mut world = World::new(seed, 4, all_equal);
    world.busy = false;
    world.start_all();
    world.run(100);
    world
}

fn genesis() -> BlockId {
    BlockId([0; 32])
}

/// Node 1's turn is height 1; it is replaced by a liar who holds its key.
fn proposal(world: &World, block: &[u8], round: u32) -> Message {
    let proposal =
        Proposal { height: Height(1), round, block: id_of(block), polka_round: None, proposer: world.nodes[1].peer };
    let proposal = SignedProposal::seal(NETWORK, &world.nodes[1].key, proposal);
    Message::Proposal { proposal, block: block.to_vec() }
}

fn tell(world: &mut World, from: usize, to: usize, message: &Message) {
    let from = world.nodes[from].peer;
    world.deliver(to, 1, Event::Message { from, bytes: message.encode() });
}

#[test]
fn two_proposals_for_one_round_divide_nobody_and_are_proven() {
    let mut world = quiet(1);
    world.kill(1);
    let (one, other) = (block(Height(1), genesis(), false, 1), block(Height(1), genesis(), false, 2));
    let (one, other) = (proposal(&world, &one, 0), proposal(&world, &other, 0));
    for to in [0, 2, 3] {
        let (first, second) = if to == 0 { (&one, &other) } else { (&other, &one) };
        tell(&mut world, 1, to, first);
        tell(&mut world, 1, to, second);
    }
    world.run_to(1, 5_000);
    let liar = world.nodes[1].peer;
    assert!([0, 2, 3].iter().any(|&index| world.nodes[index].evidence.contains(&liar)));
    assert!([0, 2, 3].iter().all(|&index| world.nodes[index].evidence.iter().all(|peer| *peer == liar)));
}

#[test]
fn a_flood_of_offers_stops_nobody_and_is_proven() {
    let mut world = World::new(10, 4, all_equal);
    (world.inline, world.busy) = (0, false);
    for index in [0, 2, 3] {
        world.start(index);
    }
    world.run(100);
    // All its turns of the next ten rounds, of blocks that nobody has.
    for (round, salt) in [0, 4, 8].into_iter().flat_map(|round| (0..40).map(move |salt| (round, salt))) {
        let block = block(Height(1), genesis(), false, 1_000 * u64::from(round) + salt);
        let Message::Proposal { proposal, .. } = proposal(&world, &block, round) else { unreachable!() };
        for to in [0, 2, 3] {
            tell(&mut world, 1, to, &Message::Offer(proposal));
        }
    }
    world.run_to(1, 5_000);
    assert!(world.bodies > 0);
    let liar = world.nodes[1].peer;
    assert!([0, 2, 3].iter().all(|&index| world.nodes[index].evidence.iter().eq([&liar])));
}

#[test]
fn votes_in_the_names_of_others_send_nobody_looking_there() {
    let mut world = quiet(11);
    // Two of four decide nothing: the block stays wanted.
    world.kill(1);
    world.kill(2);
    let wanted = block(Height(1), genesis(), false, 1);
    let Message::Proposal { proposal, .. } = proposal(&world, &wanted, 0) else { unreachable!() };
    tell(&mut world, 1, 0, &Message::Offer(proposal));
    for fill in 0..200 {
        let vote = Vote {
            kind: VoteKind::Prevote,
            height: Height(1),
            round: 0,
            block: Some(id_of(&wanted)),
            validator: PeerId([fill; 32]),
        };
        tell(&mut world, 3, 0, &Message::Vote(SignedVote { vote, signature: Signature([0; 64]) }));
    }
    // The world holds every message against who is there at all.
    world.run(3_000);
    world.start(2);
    world.run_to(1, 10_000);
}

#[test]
fn two_votes_of_one_validator_are_proven() {
    let mut world = quiet(2);
    world.kill(3);
    let liar = world.nodes[3].peer;
    for fill in [1, 2] {
        let vote = Vote {
            kind: VoteKind::Prevote,
            height: Height(1),
            round: 0,
            block: Some(BlockId([fill; 32])),
            validator: liar,
        };
        let message = Message::Vote(SignedVote::seal(NETWORK, &world.nodes[3].key, vote));
        for to in 0..3 {
            tell(&mut world, 3, to, &message);
        }
    }
    world.run_to(1, 5_000);
    assert!((0..3).all(|index| world.nodes[index].evidence.contains(&liar)));
}

#[test]
fn an_invalid_block_is_not_decided() {
    let mut world = quiet(3);
    world.kill(1);
    let bad = block(Height(1), genesis(), true, 1);
    let message = proposal(&world, &bad, 0);
    for to in [0, 2, 3] {
        tell(&mut world, 1, to, &message);
    }
    world.run_to(1, 5_000);
    for index in [0, 2, 3] {
        assert_ne!(world.nodes[index].disk.blocks[0].0, id_of(&bad));
        assert_eq!(world.nodes[index].disk.blocks[0].2.round, 1);
    }
}

#[test]
fn proposals_out_of_turn_altered_or_for_another_network_are_ignored() {
    let mut world = quiet(4);
    let good = block(Height(1), genesis(), false, 1);
    let Message::Proposal { proposal: honest, .. } = proposal(&world, &good, 0) else { unreachable!() };
    let key = world.nodes[1].key.clone();
    let out_of_turn = Proposal { proposer: world.nodes[2].peer, ..honest.proposal };
    let out_of_turn = SignedProposal::seal(NETWORK, &world.nodes[2].key, out_of_turn);
    let foreign = SignedProposal::seal(NetworkId([8; 32]), &key, honest.proposal);
    let forged = SignedProposal { signature: Signature([3; 64]), ..honest };
    let far = SignedProposal::seal(NETWORK, &key, Proposal { round: 400, ..honest.proposal });
    let other_block = Message::Proposal { proposal: honest, block: vec![1] };
    let with_block = |proposal| Message::Proposal { proposal, block: good.clone() };
    let lies = [with_block(out_of_turn), with_block(foreign), with_block(forged), with_block(far), other_block];
    for message in &lies {
        tell(&mut world, 2, 0, message);
    }
    world.run(5);
    assert!(world.nodes[0].disk.logged(Height(1)).is_empty());
    // Nothing of it was accepted, nor asked about; the honest one is.
    assert_eq!(world.machine(0).stumbles(), 0);
    world.run_to(1, 5_000);
}

#[test]
fn certificates_that_prove_nothing_change_nothing() {
    let mut world = quiet(5);
    world.work();
    world.run(1);
    let (height, round) = (Height(1), 7);
    let seal = |index: usize| {
        let vote =
            Vote { kind: VoteKind::Prevote, height, round, block: Some(genesis()), validator: world.nodes[index].peer };
        Seal {
            validator: vote.validator,
            signature: SignedVote::seal(NETWORK, &world.nodes[index].key, vote).signature,
        }
    };
    let (one, two) = (seal(1), seal(2));
    let round_seal = |seal: Seal| RoundSeal {
        kind: VoteKind::Prevote,
        block: Some(genesis()),
        validator: seal.validator,
        signature: seal.signature,
    };
    let polka = |signatures| Message::Polka(PolkaCertificate { height, round, block: genesis(), signatures });
    let rounds = |over, signatures| Message::Round(RoundCertificate { height, round, over, signatures });
    let unsigned = Seal { validator: world.nodes[3].peer, signature: Signature([1; 64]) };
    let lies = [
        polka(vec![]),
        polka(vec![one, two]),
        polka(vec![one, two, one]),
        polka(vec![one, two, unsigned]),
        rounds(false, vec![round_seal(one)]),
        rounds(false, vec![round_seal(one), round_seal(one)]),
        rounds(true, vec![round_seal(one), round_seal(two)]),
        rounds(false, vec![]),
    ];
    for message in &lies {
        tell(&mut world, 3, 0, message);
    }
    world.run(3);
    assert_eq!(world.machine(0).round(), 0);
    // More than a third in a later round is proof that an honest validator is there.
    tell(&mut world, 3, 0, &rounds(false, vec![round_seal(one), round_seal(two)]));
    let before = world.nodes[0].disk.height();
    world.run(2);
    assert!(world.machine(0).round() == 7 || world.nodes[0].disk.height() > before);
}

#[test]
fn strangers_are_not_heard() {
    let mut world = quiet(6);
    let stranger = SecretKey::from_bytes(&[77; 32]).public().peer();
    let before = world.nodes[0].actions;
    for height in 0..5 {
        let message = Message::Begin { height: Height(height) };
        world.handle(0, Event::Message { from: stranger, bytes: message.encode() });
        let message = Message::Status { height: Height(height * 1_000) };
        world.handle(0, Event::Message { from: stranger, bytes: message.encode() });
    }
    // The bytes need not be well formed either.
    world.handle(0, Event::Message { from: stranger, bytes: vec![0xff; 100] });
    world.run(700);
    assert_eq!(world.nodes[0].actions, before);
    assert_eq!(world.nodes[0].behind, 0);
}

#[test]
fn a_liar_about_heights_makes_nobody_busy() {
    let mut world = quiet(7);
    let message = Message::Status { height: Height(u64::MAX) };
    let from = world.nodes[3].peer;
    for _ in 0..1_000 {
        world.handle(0, Event::Message { from, bytes: message.encode() });
        world.run(5);
    }
    assert!(world.nodes[0].behind <= 12, "asked {} times in five seconds", world.nodes[0].behind);
    world.work();
    world.run_to(6, 5_000);
}

#[test]
fn noise_of_any_kind_panics_nobody_and_stops_nothing() {
    let mut world = World::started(8, 4);
    let mut random = Random(8);
    let mut heard: Vec<Vec<u8>> = Vec::new();
    for turn in 0..4_000u64 {
        let deadline = world.now.after(Millis(1_000));
        world.step(deadline);
        let height = world.machine(0).height();
        let vote = Vote {
            kind: if turn % 2 == 0 { VoteKind::Prevote } else { VoteKind::Precommit },
            height: Height(height.0 + random.below(3)),
            round: if turn % 3 == 0 { u32::MAX } else { random.below(12) as u32 },
            block: (turn % 5 == 0).then_some(BlockId([turn as u8; 32])),
            validator: world.nodes[3].peer,
        };
        let mut bytes = Message::Vote(SignedVote::seal(NETWORK, &world.nodes[3].key, vote)).encode();
        match turn % 4 {
            0 => bytes.truncate(random.below(bytes.len() as u64) as usize),
            1 => {
                let at = random.below(bytes.len() as u64) as usize;
                bytes[at] ^= 1 << random.below(8);
            }
            2 if !heard.is_empty() => bytes = heard[random.below(heard.len() as u64) as usize].clone(),
            _ => {}
        }
        heard.push(bytes.clone());
        let from = world.nodes[3].peer;
        world.handle(random.below(3) as usize, Event::Message { from, bytes });
    }
    let height = world.nodes[0].disk.height().0;
    assert!(height > 20, "only {height} heights");
    // The noise was node 3's: its own votes may have been taken for lies, the other three go on with it or without.
    world.run_to(height + 2, 30_000);
}

#[test]
fn oversized_blocks_and_answers_to_nothing_are_ignored() {
    let mut world = quiet(9);
    let now = world.now;
    let huge = vec![0; BLOCK_LIMIT + 1];
    for event in [
        Event::Built { height: Height(1), round: 0, block: huge.clone() },
        Event::Built { height: Height(9), round: 3, block: vec![] },
        Event::Validated { height: Height(1), block: BlockId([1; 32]), valid: true },
        Event::Committed { height: Height(1), validators: world.set(Height(2)) },
        Event::Committed { height: Height(0), validators: world.set(Height(2)) },
        Event::Caught { height: Height(0), validators: world.set(Height(1)) },
        Event::Start {
            height: Height(7),
            parent_time: now,
            validators: world.set(Height(7)),
            wal_height: Height(7),
            wal: vec![],
        },
        Event::Message { from: world.nodes[1].peer, bytes: huge },
        Event::Disconnected(PeerId([99; 32])),
        Event::Tick,
    ] {
        world.handle(0, event);
        assert_eq!(world.machine(0).height(), Height(1));
    }
    // An oversized block for a round that wants one costs that round.
    world.run(2_000);
    world.run_to(1, 5_000);
    assert!(world.now > Time(0));
}

#[test]
fn a_validator_that_exists_twice_divides_nobody() {
    let mut proven = 0;
    for seed in 0..25 {
        let mut world = World::new(10_000 + seed, 5, |peers, height| all_equal(&peers[..4], height));
        world.make_twin(3);
        world.weather = Weather { delay: (1, 40), lost: 20, doubled: 20, noticed: 30 };
        world.start_all();
        for _ in 0..30 {
            let (one, other) = (world.random.below(5) as usize, world.random.below(5) as usize);
            if one != other {
                let up = world.random.below(2) == 0;
                world.link(one, other, up);
            }
            world.run(300);
        }
        world.weather = Weather::CALM;
        for one in 0..5 {
            for other in 0..one {
                world.link(one, other, true);
            }
        }
        let height = world.nodes.iter().map(|node| node.disk.height().0).max().unwrap();
        world.run_to(height + 3, 30_000);
        let twin = world.nodes[3].peer;
        assert!(world.nodes[..3].iter().all(|node| node.evidence.iter().all(|peer| *peer == twin)));
        proven += world.nodes[..3].iter().filter(|node| !node.evidence.is_empty()).count();
    }
    assert!(proven > 25, "only {proven} proofs");
}
