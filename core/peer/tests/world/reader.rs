//! A reader that keeps no state, among peers that answer as they please.

use grange_api::Call;
use grange_consensus::Certificate;
use grange_ledger::{Block, HeaderProof, Parameters};
use grange_peer::{CallId, Channel, Event, Head, Proofs, Reader, Sealed, SyncRequest, Turns, serve};
use grange_types::{Height, Millis, Wire};

use crate::light::answered;
use crate::support::World;

/// A minute of a network that takes on new rules, so that validators change what they follow and there is something to be told;
/// and its newest header.
fn turned() -> (World, Sealed) {
    let mut world = World::with(4, Parameters { version: 1, activation: 3, ..Parameters::dev() }, |_| {});
    world.settle();
    world.run_for(Millis::minutes(1));
    let (block, certificate) = world.hosts[0].disk.blocks[&world.peer(0).ledger().height().0].clone();
    let header = HeaderProof::of(&Block::decode(&block).unwrap());
    let certificate = Certificate::decode(&certificate).unwrap();
    (world, Sealed { header, certificate })
}

/// A reader that is linked to the first operator alone, and is asked for the height.
fn asking(world: &World) -> Reader {
    let mut reader = Reader::new(world.hosts[3].config.clone());
    let (from, account, height) = (world.peer_id(0), reader.account(), world.peer(0).ledger().height());
    reader.handle(world.now, Event::Connected(from));
    let bytes = Head { height, first: Height(1) }.encode();
    reader.handle(world.now, Event::Message { from, channel: Channel::Sync, bytes });
    reader.handle(world.now, Event::Call { id: CallId(1), asker: account.into(), call: Box::new(Call::LedgerHeight) });
    reader
}

#[test]
fn a_peer_that_tells_one_old_change_for_ever_is_not_asked_for_ever() {
    let (world, sealed) = turned();
    let page = serve(&world.hosts[0].disk, &SyncRequest::Turns { above: Height(0) }).unwrap();
    let old = Turns { turns: Turns::decode(&page).unwrap().turns[..1].to_vec() };
    let mut reader = asking(&world);
    // The first header that it is shown is of validators that it does not know yet; of nothing else it is shown more.
    let (mut shown, mut asked) = (Some(Proofs { sealed, shown: Vec::new() }), 0);
    answered(&mut reader, world.now, |request| match request {
        SyncRequest::Turns { .. } => {
            asked += 1;
            assert!(asked < 10, "asked again and again");
            Some(old.encode())
        }
        _ => shown.take().map(|proofs| proofs.encode()),
    });
    assert_eq!(asked, 2, "once for what it did not know, and once for what may follow");
}

#[test]
fn a_peer_that_shows_what_nobody_known_decided_is_soon_not_asked() {
    let (world, mut sealed) = turned();
    sealed.certificate.signatures.truncate(1);
    let mut reader = asking(&world);
    let mut proofs = 0;
    let replies = answered(&mut reader, world.now, |request| match request {
        // It has nothing to tell of who decides.
        SyncRequest::Turns { .. } => Some(Turns { turns: Vec::new() }.encode()),
        _ => {
            proofs += 1;
            assert!(proofs < 30, "asked again and again");
            Some(Proofs { sealed: sealed.clone(), shown: Vec::new() }.encode())
        }
    });
    assert!(proofs > 1, "it may only be ahead");
    assert!(matches!(replies.as_slice(), [Err(_)]), "{replies:?}");
}
