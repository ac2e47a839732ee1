//! A bill made again from the blocks, by somebody who was not there.

use grange_api::{Call, Reply, Usage};
use grange_ledger::Ledger;
use grange_peer::{Audit, Checkpoint, InvoiceError};
use grange_types::{Amount, Height, Millis};

use crate::support::{World, manifest};

fn usage(world: &mut World) -> Usage {
    match world.ask(0, Call::Usage { name: "shop".into() }) {
        Ok(Reply::Usage(usage)) => usage,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_receipts_in_the_blocks_come_to_the_bill() {
    let mut world = World::new(4);
    world.settle();
    let done = world.deploy(0, manifest("shop", "10")).unwrap();
    let gateway = (1..4).find(|index| world.peer_id(*index) != done.leases[0].provider).unwrap();
    for _ in 0..60 {
        world.run_for(Millis::seconds(1));
        world.load(gateway, done.leases[0].lease, 20, 1 << 16);
    }
    let said = usage(&mut world);
    assert!(said.settled > Amount::ZERO);
    let mut audit = Audit::from_genesis(&world.genesis()).unwrap();
    assert_eq!(audit.bill("shop"), Err(InvoiceError::Unknown), "it is not there yet");
    let blocks = world.blocks(0);
    for (block, certificate) in &blocks {
        audit.take(block, certificate).unwrap();
    }
    let invoice = audit.bill("shop").unwrap();
    assert_eq!((invoice.usage.settled, invoice.receipts), (said.settled, 1));
    assert_eq!(invoice.usage.total, invoice.usage.settled, "everything on it is paid");
    let sum: Amount = invoice.usage.lines.iter().map(|line| line.amount).sum();
    assert!(sum >= invoice.usage.total && sum.0 - invoice.usage.total.0 < 10, "its lines come to it, but for rounding");
    let requests = |usage: &Usage| usage.lines.iter().any(|line| line.sku.to_string().starts_with("request"));
    assert!(requests(&invoice.usage));

    // From a checkpoint half way: what was paid before is the checkpoint's word, what came after is read.
    let half = blocks.len() / 2;
    let mut ledger = Ledger::new(&world.genesis()).unwrap();
    for (block, _) in &blocks[..half] {
        let block = grange_types::Wire::decode(block).unwrap();
        let prepared = ledger.prepare(block, &|_, _| true).unwrap();
        ledger.commit(prepared).unwrap();
    }
    let pieces: Vec<Vec<u8>> = ledger.snapshot().collect();
    let checkpoint = Checkpoint::of(&pieces).unwrap();
    assert_eq!(checkpoint.height, Height(half as u64));
    let mut later = Audit::from_checkpoint(&world.genesis(), &checkpoint, &pieces, checkpoint.time.0).unwrap();
    for (block, certificate) in &blocks[half..] {
        later.take(block, certificate).unwrap();
    }
    assert_eq!(later.bill("shop").unwrap().usage, invoice.usage);
}
