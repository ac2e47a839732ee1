//! Newcomers that begin from a snapshot, and readers that keep no state.

use grange_api::{Call, Problem, Reply};
use grange_consensus::Certificate;
use grange_ledger::{Block, Entry, HeaderProof, Parameters, StateKey};
use grange_peer::{
    Action, CallId, Channel, Event, Head, Proofs, Reader, Sealed, Shown, SyncRequest, Trust, TrustError, Turns, serve,
};
use grange_types::{AccountId, Amount, Height, Millis, Time, Wire};

use crate::support::{World, manifest};

/// Five operators of which the last only follows, on a network that takes on new rules while it runs; blocks are few on
/// every disk.
fn world() -> World {
    let parameters = Parameters { version: 1, activation: 3, ..Parameters::dev() };
    World::with(5, parameters, |config| {
        config.snapshot_every = 5;
        config.prune = true;
        config.roles.validator = config.display != "operator-4";
    })
}

/// The header of a height under its certificate, as operator 0 has it.
fn sealed(world: &World, height: Height) -> Sealed {
    let (block, certificate) = world.hosts[0].disk.blocks[&height.0].clone();
    let header = HeaderProof::of(&Block::decode(&block).unwrap());
    Sealed { header, certificate: Certificate::decode(&certificate).unwrap() }
}

fn followed(world: &World) -> Trust {
    let mut trust = Trust::from_genesis(&world.genesis());
    loop {
        let request = SyncRequest::Turns { above: trust.height() };
        let page = Turns::decode(&serve(&world.hosts[0].disk, &request).unwrap()).unwrap();
        if page.turns.is_empty() {
            return trust;
        }
        page.turns.iter().for_each(|turn| trust.follow(turn).unwrap());
    }
}

#[test]
fn a_newcomer_begins_from_a_snapshot_when_nobody_keeps_the_first_blocks() {
    let mut world = world();
    world.settle();
    world.kill(4);
    world.hosts[4].disk = crate::disk::Disk::default();
    world.run_for(Millis::minutes(3));
    assert!(world.hosts.iter().take(4).all(|host| !host.disk.blocks.contains_key(&1)), "all have pruned");
    world.start(4);
    world.run_for(Millis::seconds(20));
    assert_eq!(world.hosts[4].disk.installed, 1);
    let (theirs, ours) = (world.peer(0).ledger(), world.peer(4).ledger());
    assert_eq!((ours.height(), ours.state_root()), (theirs.height(), theirs.state_root()));
    assert_eq!((ours.view().version(), ours.view().total()), (grange_ledger::VERSION, Amount::credits(5_000)));
    // What it began from is its own now: it starts again from it, and goes on.
    world.kill(4);
    world.start(4);
    world.run_for(Millis::seconds(20));
    assert_eq!((world.hosts[4].disk.installed, world.peer(4).ledger().height()), (1, world.peer(0).ledger().height()));
    // And it shows the way to others.
    assert!(
        serve(&world.hosts[4].disk, &SyncRequest::Turns { above: Height(0) }).is_some_and(|turns| turns.len() > 100)
    );
}

#[test]
fn a_reader_without_a_state_believes_what_is_shown_and_nothing_else() {
    let mut world = world();
    world.settle();
    world.run_for(Millis::minutes(1));
    let trust = followed(&world);
    assert!(trust.height() > Height(0), "validators changed what they follow");
    let ledger = world.peer(0).ledger().clone();
    let account = StateKey::Account(world.peer_id(2).account());
    let (nobody, name) = (StateKey::Account(AccountId([9; 32])), StateKey::Name("shop".into()));
    let show = |key: &StateKey| {
        let (entry, proof) = ledger.prove(key);
        Shown { entry, proof }
    };
    world.deploy(0, manifest("other", "10")).unwrap();
    world.run_for(Millis::seconds(3));
    let next = sealed(&world, ledger.height().next());
    let header = trust.check(&next).unwrap();
    for key in [&account, &nobody, &name, &StateKey::Validators, &StateKey::Chain] {
        show(key).check(header, key).unwrap();
    }
    let shown = show(&account);
    let Some(Entry::Account(id, mut held)) = shown.entry.clone() else { panic!("{shown:?}") };
    held.balance = held.balance.add(Amount::CREDIT).unwrap();
    let richer = Shown { entry: Some(Entry::Account(id, held)), ..shown.clone() };
    assert!(matches!(richer.check(header, &account), Err(TrustError::Entry { .. })));
    assert!(matches!(Shown { entry: None, ..shown.clone() }.check(header, &account), Err(TrustError::Entry { .. })));
    // What was true under another header is not shown by this one.
    let later = sealed(&world, world.peer(0).ledger().height());
    assert!(matches!(shown.check(trust.check(&later).unwrap(), &account), Err(TrustError::Entry { .. })));
}

#[test]
fn a_header_that_its_validators_did_not_decide_is_not_believed() {
    let mut world = world();
    world.settle();
    world.run_for(Millis::minutes(1));
    let trust = followed(&world);
    let height = world.peer(0).ledger().height();
    let good = sealed(&world, height);
    trust.check(&good).unwrap();
    let mut forged = good.clone();
    forged.header.header.state_root.0[0] ^= 1;
    assert_eq!(trust.check(&forged), Err(TrustError::OtherBlock { height }));
    let mut few = good.clone();
    few.certificate.signatures.truncate(2);
    assert!(matches!(trust.check(&few), Err(TrustError::Certificate { .. })));
    // Who does not know of the present validators does not believe them either, and learns of them.
    let mut behind = Trust::from_genesis(&world.genesis());
    assert!(behind.turns(&good.header.header));
    let request = SyncRequest::Turns { above: Height(0) };
    let mut page = Turns::decode(&serve(&world.hosts[0].disk, &request).unwrap()).unwrap();
    let first = page.turns[0].clone();
    behind.follow(&first).unwrap();
    assert!(matches!(behind.follow(&first), Err(TrustError::Order { .. })));
    page.turns[1].validators.pop();
    assert!(matches!(behind.follow(&page.turns[1]), Err(TrustError::Validators { .. })));
}

/// Answers what a reader asks until it asks no more; what it tells its user.
pub(crate) fn answered(
    reader: &mut Reader,
    now: Time,
    mut answer: impl FnMut(SyncRequest) -> Option<Vec<u8>>,
) -> Vec<Result<Reply, Problem>> {
    let mut replies = Vec::new();
    while let Some(action) = reader.poll_action() {
        let (id, bytes) = match action {
            Action::Request { id, bytes, .. } => (id, bytes),
            Action::Reply { reply, .. } => {
                replies.push(*reply);
                continue;
            }
            _ => continue,
        };
        let answer = answer(SyncRequest::decode(&bytes).unwrap());
        if answer.is_some() {
            reader.handle(now, Event::Response { id, answer });
        }
    }
    replies
}

/// Shows a reader all that it asks for but blocks; what it tells its user.
fn shown_to(reader: &mut Reader, world: &World, now: Time) -> Vec<Result<Reply, Problem>> {
    let newest = world.peer(0).ledger().height();
    answered(reader, now, |request| match request {
        SyncRequest::Blocks { .. } => None,
        SyncRequest::Proofs { .. } => Some(Proofs { sealed: sealed(world, newest), shown: Vec::new() }.encode()),
        request => serve(&world.hosts[0].disk, &request),
    })
}

#[test]
fn what_a_reader_has_proven_it_says_though_the_time_of_it_comes_too_late() {
    let mut world = World::new(4);
    world.settle();
    world.run_for(Millis::minutes(1));
    let mut reader = Reader::new(world.hosts[3].config.clone());
    let (from, account, height) = (world.peer_id(0), reader.account(), world.peer(0).ledger().height());
    reader.handle(world.now, Event::Connected(from));
    let bytes = Head { height, first: Height(1) }.encode();
    reader.handle(world.now, Event::Message { from, channel: Channel::Sync, bytes });
    reader.handle(world.now, Event::Call { id: CallId(1), asker: account.into(), call: Box::new(Call::LedgerHeight) });
    assert_eq!(shown_to(&mut reader, &world, world.now), [], "it waits for the block before the header");
    let late = world.now.after(Millis::minutes(1));
    reader.handle(late, Event::Tick);
    let replies = shown_to(&mut reader, &world, late);
    let [Ok(Reply::LedgerHeight(told))] = replies.as_slice() else { panic!("{replies:?}") };
    assert_eq!((told.height.next(), told.finalized_at), (height, None));
}
