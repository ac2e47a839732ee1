//! The frozen bytes of what peers say to each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use grange_consensus::{Certificate, Seal};
use grange_ledger::{Action, BlockHeader, HeaderProof, StateKey, StateProof, Transaction, Validator};
use grange_market::QuoteRequest;
use grange_peer::{
    Ask, AskReply, Batch, Counted, Head, MarketMessage, Piece, Probe, ProbeReply, Proofs, Sealed, Shown, SnapshotOffer,
    SyncReply, SyncRequest, Turn, Turns,
};
use grange_types::codec::check_golden;
use grange_types::{
    AccountId, Amount, BlobId, BlockId, ByteCount, Counters, DeploymentId, Height, Isolation, Kind, LeaseId, Millis,
    NetworkId, PeerId, Receipt, Resources, SecretKey, Sighting, Sightings, Signature, Signed, StateRoot, Time,
};

fn key() -> SecretKey {
    SecretKey::from_bytes(&[7; 32])
}

fn receipt() -> Signed<Receipt> {
    let counters = Counters { served: Millis(4_000), requests: 5, egress: ByteCount(600) };
    let body = Receipt {
        lease: LeaseId([1; 32]),
        generation: 2,
        sequence: 3,
        counters,
        amount: Amount(4),
        disputed: Amount(5),
    };
    Signed::seal(NetworkId([8; 32]), &key(), Time(9), body)
}

#[test]
fn transactions() {
    let action = Action::Transfer { to: AccountId([2; 32]), amount: Amount(3), memo: "rent".into() };
    let body = Transaction { account: key().public().account(), nonce: 4, action };
    let batch = Batch { transactions: vec![Signed::seal(NetworkId([8; 32]), &key(), Time(9), body)] };
    check_golden(&batch, include_str!("../golden/batch.hex"));
}

#[test]
fn sync() {
    check_golden(&Head { height: Height(300), first: Height(1) }, include_str!("../golden/head.hex"));
    let keys = vec![StateKey::Chain, StateKey::Name("app".into())];
    check_golden(&SyncRequest::Proofs { keys }, include_str!("../golden/sync-request.hex"));
    let reply = SyncReply { blocks: vec![(vec![1, 2], vec![3])] };
    check_golden(&reply, include_str!("../golden/sync-reply.hex"));
}

fn sealed() -> Sealed {
    let header = BlockHeader {
        version: 1,
        height: Height(300),
        time: Time(1_700_000_000_000),
        proposer: PeerId([5; 32]),
        parent: BlockId([14; 32]),
        state_root: StateRoot([15; 32]),
        next_validators: BlobId([16; 32]),
    };
    let header = HeaderProof { header, rest: vec![0], beside: Vec::new() };
    let signatures = vec![Seal { validator: PeerId([5; 32]), signature: Signature([6; 64]) }];
    let certificate = Certificate { height: Height(300), round: 0, block: BlockId([7; 32]), signatures };
    Sealed { header, certificate }
}

#[test]
fn what_shows_the_ledger() {
    check_golden(&sealed(), include_str!("../golden/sealed-header.hex"));
    let validators = vec![Validator::new(AccountId([1; 32]), key().public(), 1)];
    let turn = Turn { sealed: sealed(), validators };
    check_golden(&turn, include_str!("../golden/turn.hex"));
    check_golden(&Turns { turns: vec![turn] }, include_str!("../golden/turns.hex"));
    let offer = Some(Box::new((sealed().header, sealed(), 3)));
    check_golden(&SnapshotOffer { offer }, include_str!("../golden/snapshot-offer.hex"));
    check_golden(&Piece { bytes: vec![1, 2] }, include_str!("../golden/snapshot-piece.hex"));
    let proof = StateProof { steps: Vec::new(), other: None };
    let proofs = Proofs { sealed: sealed(), shown: vec![Shown { entry: None, proof }] };
    check_golden(&proofs, include_str!("../golden/proofs.hex"));
}

#[test]
fn market_messages() {
    let counted = Counted { lease: LeaseId([1; 32]), requests: 2, egress: 300 };
    check_golden(&MarketMessage::Counted(counted), include_str!("../golden/market-message.hex"));
    let seen = vec![Sighting { operator: AccountId([4; 32]), looks: 5, answered: 4 }];
    let seen = Signed::seal(NetworkId([8; 32]), &key(), Time(9), Sightings { period: 300, seen });
    check_golden(&MarketMessage::Seen(seen), include_str!("../golden/market-message-seen.hex"));
    check_golden(&Ask::Look, include_str!("../golden/ask-look.hex"));
    check_golden(&AskReply::Here, include_str!("../golden/ask-reply-here.hex"));
    check_golden(&MarketMessage::Receipt(receipt()), include_str!("../golden/market-message-receipt.hex"));
}

#[test]
fn questions() {
    let request = QuoteRequest {
        deployment: DeploymentId([1; 32]),
        slot: 2,
        generation: 3,
        kind: Kind::Wasm,
        workload: BlobId([4; 32]),
        resources: Resources { cpu_millis: 250, memory: ByteCount::mib(64), disk: ByteCount(0) },
        isolation: Isolation::Wasm,
        max_rate: Amount(5),
        own: false,
    };
    let quote = Ask::Quote { request };
    check_golden(&quote, include_str!("../golden/ask.hex"));
    let probe = Ask::Probe(Probe { lease: LeaseId([1; 32]), generation: 2 });
    check_golden(&probe, include_str!("../golden/ask-probe.hex"));
    let cancel = Ask::Cancel { deployment: DeploymentId([1; 32]), slot: 2, nonce: 300 };
    check_golden(&cancel, include_str!("../golden/ask-cancel.hex"));
}

#[test]
fn answers() {
    let refused = AskReply::Refused { reason: "the provider is full".into() };
    check_golden(&refused, include_str!("../golden/ask-reply.hex"));
    let counters = Counters { served: Millis(4_000), requests: 5, egress: ByteCount(600) };
    let probe = ProbeReply { serving: true, counters, receipt: Some(receipt()), reason: None };
    check_golden(&AskReply::Probe(probe), include_str!("../golden/ask-reply-probe.hex"));
    let reason = Some("its key-values are waited for".into());
    let waiting = ProbeReply { serving: false, counters, receipt: None, reason };
    check_golden(&AskReply::Waiting(waiting), include_str!("../golden/ask-reply-waiting.hex"));
}
