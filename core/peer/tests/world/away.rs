//! The owner is away: for days, on the wrong side of a cut, while a steward is lost, or while two stewards act at once.

use grange_api::{Call, Reply};
use grange_ledger::{Deployment, Parameters};
use grange_objects::log::LogId;
use grange_peer::{Giver, RouteTable};
use grange_types::{Amount, DeploymentId, LeaseId, Millis, Prices};

use crate::support::{World, credits, manifest};

fn deployment(world: &World, from: usize, id: DeploymentId) -> Deployment {
    world.peer(from).ledger().view().deployment(id).unwrap().clone()
}

fn stewards(world: &World, from: usize, id: DeploymentId) -> Vec<usize> {
    deployment(world, from, id).stewards().map(|steward| world.index_of(steward.account.peer())).collect()
}

/// The open lease of the only slot, its generation and where it is.
fn open(world: &World, from: usize, id: DeploymentId) -> Option<(LeaseId, u64, usize)> {
    let view = world.peer(from).ledger().view();
    let lease = view.open_lease_of(id, 0)?;
    Some((lease.id, lease.generation, world.index_of(lease.terms.provider)))
}

fn balance(world: &World, from: usize, index: usize) -> Amount {
    world.peer(from).ledger().view().account(world.peer_id(index).account()).unwrap().balance
}

/// What all leases of a deployment were paid.
fn paid(world: &World, from: usize, id: DeploymentId) -> Amount {
    world.peer(from).ledger().view().leases_of(id).map(|lease| lease.settled).sum()
}

/// Seven operators, of whom the last one votes and sells nothing: the others may die and the ledger goes on.
fn seven() -> World {
    let mut world = World::voted(7, 1, Parameters::dev(), |config| {
        if config.display == "operator-6" {
            (config.roles.provider, config.roles.steward) = (false, false);
        }
    });
    world.settle();
    world
}

#[test]
fn a_steward_that_is_lost_is_replaced_without_the_owner() {
    let mut world = seven();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    world.run_for(Millis::seconds(30));
    let before = stewards(&world, 6, done.id);
    assert_eq!((before.len(), deployment(&world, 6, done.id).delegates.len()), (2, 4), "two stewards, two reserves");
    let provider = world.index_of(done.leases[0].provider);
    world.kill(0);
    world.kill(before[0]);
    let ceiling = deployment(&world, 6, done.id).delegates[0].ceiling_per_day;
    world.run_for(Millis::minutes(9));
    assert_eq!(stewards(&world, 6, done.id), before, "a restart takes less than that");
    let changed = |world: &World| stewards(world, 6, done.id) != before;
    world.until("a reserve takes the place", Millis::minutes(3), changed);
    let after = stewards(&world, 6, done.id);
    assert!(after[0] != before[0] && after[0] != provider && after[1] == before[1], "{before:?}, then {after:?}");
    assert_eq!(deployment(&world, 6, done.id).delegates[0].ceiling_per_day, ceiling);

    // It has what it needs to act alone: manifest and component. Then the other steward and the provider are lost too.
    let blobs = [deployment(&world, 6, done.id).manifest, grange_types::BlobId::of(b"component")];
    let holds = |world: &World| blobs.iter().all(|blob| world.holders(*blob).contains(&after[0]));
    world.until("it holds manifest and component", Millis::seconds(60), holds);
    world.kill(before[1]);
    world.run_for(Millis::seconds(5));
    world.kill(provider);
    let moved = |world: &World| open(world, 6, done.id).is_some_and(|(lease, _, at)| world.runs(at, lease));
    world.until("it serves elsewhere", Millis::seconds(20), |world| {
        moved(world) && open(world, 6, done.id).unwrap().1 == 2
    });
    let settled = paid(&world, 6, done.id);
    world.run_for(Millis::minutes(5));
    assert!(paid(&world, 6, done.id) > settled, "and is paid for");

    // Who was lost comes back as a reserve, and the owner to what is there.
    world.start(before[0]);
    world.start(0);
    world.run_for(Millis::minutes(2));
    assert!(deployment(&world, 0, done.id).delegates.len() == 4 && !stewards(&world, 0, done.id).contains(&before[0]));
    assert!(!world.deploy(0, manifest("shop", "10")).unwrap().changed);
}

#[test]
fn two_stewards_that_act_at_once_open_one_lease_and_pay_once() {
    let mut world = seven();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    world.run_for(Millis::seconds(30));
    let both = stewards(&world, 6, done.id);
    let provider = world.index_of(done.leases[0].provider);
    world.kill(0);
    // Each believes that it is the first.
    world.sever(both[0], both[1]);
    for _ in 0..120 {
        world.run_for(Millis(1_000));
        world.load(6, done.leases[0].lease, 50, 50 << 10);
    }
    world.kill(provider);
    let moved = |world: &World| open(world, 6, done.id).is_some_and(|(_, generation, _)| generation == 2);
    world.until("one of them has replaced it", Millis::seconds(15), moved);
    let (lease, _, at) = open(&world, 6, done.id).unwrap();
    for _ in 0..120 {
        world.run_for(Millis(1_000));
        world.load(6, lease, 50, 50 << 10);
    }
    assert_eq!(open(&world, 6, done.id), Some((lease, 2, at)), "and the other one let it be");
    world.run_for(Millis::minutes(12));
    assert_eq!(open(&world, 6, done.id), Some((lease, 2, at)));
    let view = world.peer(6).ledger().view();
    assert_eq!(view.leases_of(done.id).count(), 2);
    for lease in view.leases_of(done.id) {
        assert!(lease.settled > Amount::ZERO && lease.settled <= lease.terms.cap(view.elapsed(lease)), "{lease:?}");
        let earned = Amount::credits(1_000).saturating_add(lease.settled);
        assert_eq!(balance(&world, 6, world.index_of(lease.terms.provider)), earned, "nothing is paid twice");
    }
    // Each thinks that the other one is lost; the ledger takes one word for that.
    assert_eq!(stewards(&world, 6, done.id).iter().filter(|index| both.contains(index)).count(), 1);
}

#[test]
fn a_partition_with_the_owner_on_one_side_ends_in_one_state() {
    let mut world = World::new(7);
    world.settle();
    let shop = world.deploy(0, manifest("shop", "10")).unwrap();
    let near = (1..7).find(|index| world.peer_id(*index) != shop.leases[0].provider).unwrap();
    let free = Prices { cpu_hour: credits("0.000001"), ..Prices::default() };
    world.ask(near, Call::SetPrices(free.into())).unwrap();
    world.run_for(Millis::seconds(5));
    let stall = world.deploy(0, manifest("stall", "10")).unwrap();
    assert_eq!(world.index_of(stall.leases[0].provider), near);
    world.run_for(Millis::seconds(30));
    let far = (1..7).find(|index| *index != near).unwrap();
    let held = open(&world, far, shop.id).unwrap();

    world.part(&[0, near]);
    let moved = |world: &World| {
        open(world, far, stall.id).is_some_and(|(lease, generation, at)| generation == 2 && world.runs(at, lease))
    };
    world.until("those who have the ledger replace what is out of their sight", Millis::seconds(20), moved);
    let now = open(&world, far, stall.id).unwrap();
    let (on_both, settled) = (world.runs(near, stall.leases[0].lease), paid(&world, far, shop.id));
    assert!(on_both, "nothing stops because the ledger is silent");
    for _ in 0..5 {
        world.run_for(Millis::minutes(1));
        assert_eq!(open(&world, far, shop.id), Some(held), "what they see stays where it is");
        assert!(world.runs(held.2, held.0));
    }
    assert!(paid(&world, far, shop.id) > settled, "and is paid for by the stewards");

    world.heal();
    let same = |world: &World| {
        let heads: Vec<_> = (0..7).map(|index| world.peer(index).ledger().height()).collect();
        heads.iter().all(|head| head.0 + 2 >= heads[far].0) && !world.runs(near, stall.leases[0].lease)
    };
    world.until("the two sides are one", Millis::seconds(60), same);
    world.run_for(Millis::minutes(15));
    for index in 0..7 {
        assert_eq!((open(&world, index, shop.id), open(&world, index, stall.id)), (Some(held), Some(now)), "{index}");
    }
    assert!(world.runs(held.2, held.0) && world.runs(now.2, now.0));
    let first = world.peer(far).ledger().view().lease(stall.leases[0].lease).cloned().unwrap();
    let until = first.ended.unwrap().since(first.start);
    assert!(first.settled <= first.terms.cap(until) && first.counters.served <= until, "not past its end: {first:?}");
    assert_eq!(stewards(&world, 0, shop.id).len(), 2);
}

/// Two days in every gate; `GRANGE_DAYS=5` makes it five.
#[test]
fn the_owner_may_be_away_for_days() {
    let days = std::env::var_os("GRANGE_DAYS").map_or(2, |days| days.to_str().unwrap().parse::<u64>().unwrap());
    // The last one votes and sells nothing, so that days pass quickly.
    let mut world = World::voted(5, 1, Parameters::dev(), |config| {
        let voter = config.display == "operator-4";
        (config.roles.provider, config.roles.steward) = (!voter, !voter);
    });
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    world.run_for(Millis::minutes(10));
    world.kill(0);
    let begun = world.now;
    let provider = world.index_of(done.leases[0].provider);
    for hour in 1..=days * 24 {
        world.run_for(Millis::HOUR);
        if hour == 30 {
            world.kill(provider);
            let moved = |world: &World| open(world, 4, done.id).is_some_and(|(_, generation, _)| generation == 2);
            world.until("another provider serves", Millis::seconds(15), moved);
            world.run_for(Millis::seconds(5));
        }
        let (lease, _, at) = open(&world, 4, done.id).unwrap();
        assert!(world.runs(at, lease), "hour {hour}");
        let found = deployment(&world, 4, done.id);
        for steward in found.stewards() {
            let spent = found.spent.get(&steward.account).map_or(Amount::ZERO, |spent| spent.amount);
            assert!(spent <= steward.ceiling_per_day, "{spent} of {}", steward.ceiling_per_day);
        }
    }
    let away = world.now.since(begun).0;
    let view = world.peer(4).ledger().view();
    let leases: Vec<_> = view.leases_of(done.id).cloned().collect();
    assert_eq!(leases.len(), 2, "renewed, not opened anew");
    let served: u64 = leases.iter().map(|lease| lease.counters.served.0).sum();
    for lease in &leases {
        let charge = lease.terms.prices.charge(&lease.terms.resources, &lease.counters);
        assert_eq!(lease.settled, charge, "a bill is what its counters make");
    }
    // The ten minutes before count, a look a second and the last receipts are not in yet.
    assert!(served <= away + 600_000 && served + 180_000 > away, "{served} ms are paid of {away} ms");
    let bill = paid(&world, 4, done.id);

    world.start(0);
    world.run_for(Millis::minutes(2));
    let Ok(Reply::Usage(usage)) = world.ask(0, Call::Usage { name: "shop".into() }) else { panic!("no bill") };
    assert!(usage.settled >= bill && usage.total <= credits("10"), "{} of {}", usage.settled, usage.total);
    assert!(!world.deploy(0, manifest("shop", "10")).unwrap().changed, "nothing has to be done");
}

/// What a steward goes by when it is asked for its share of the deployment's key, or to keep a copy: its own ledger.
#[test]
fn a_share_is_for_the_holder_of_the_present_lease_alone() {
    let mut world = seven();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let other = world.deploy(0, manifest("stall", "10")).unwrap();
    world.run_for(Millis::seconds(30));
    let steward = stewards(&world, 6, done.id)[0];
    let log = |id| LogId { deployment: id, service: "web".into(), replica: 0 };
    let table = |world: &World| RouteTable::read(world.peer(steward).ledger());
    let nobody: Vec<usize> = Vec::new();
    let gets = |world: &World, log: &LogId, generation| -> Vec<usize> {
        let table = table(world);
        (0..7).filter(|index| table.room_of(world.peer_id(*index), log, generation).is_some()).collect()
    };
    let first = world.index_of(done.leases[0].provider);
    assert_eq!(gets(&world, &log(done.id), 1), [first]);
    for generation in [0, 2, u64::MAX] {
        assert_eq!(gets(&world, &log(done.id), generation), nobody, "generation {generation}");
    }
    assert_eq!(gets(&world, &LogId { replica: 1, ..log(done.id) }, 1), nobody, "another replica");
    assert_eq!(gets(&world, &LogId { service: "api".into(), ..log(done.id) }, 1), nobody, "another service");
    assert_eq!(gets(&world, &log(other.id), 1), [world.index_of(other.leases[0].provider)], "another deployment");
    // The owner's node may hand it a share, and whoever runs the deployment while it has none; nobody else.
    let hands = |world: &World, as_who| -> Vec<usize> {
        let (table, to) = (table(world), world.peer_id(steward));
        (0..7).filter(|index| table.giver(to, world.peer_id(*index), done.id) == Some(as_who)).collect()
    };
    assert_eq!((hands(&world, Giver::Owner), hands(&world, Giver::Provider)), (vec![0], vec![first]));
    let stranger = table(&world).giver(world.peer_id(first), world.peer_id(0), done.id);
    assert_eq!(stranger, None, "who is no steward takes none");

    world.kill(first);
    let moved = |world: &World| open(world, steward, done.id).is_some_and(|(_, generation, _)| generation == 2);
    world.until("it is replaced", Millis::seconds(15), moved);
    let second = open(&world, steward, done.id).unwrap().2;
    assert_eq!((gets(&world, &log(done.id), 1), gets(&world, &log(done.id), 2)), (nobody.clone(), vec![second]));
    // Its old lease is no lease, when it is back.
    world.start(first);
    world.run_for(Millis::seconds(30));
    assert_eq!((gets(&world, &log(done.id), 1), gets(&world, &log(done.id), 2)), (nobody.clone(), vec![second]));
    world.ask(0, Call::Down { name: "shop".into() }).unwrap();
    world.run_for(Millis::seconds(5));
    assert_eq!(
        (gets(&world, &log(done.id), 2), hands(&world, Giver::Owner)),
        (nobody.clone(), nobody),
        "a deployment that has ended"
    );
}
