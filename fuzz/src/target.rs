//! The list of targets.

use std::collections::BTreeMap;

use grange_api::{Call, IncomingRequest, Operation};
use grange_ledger::{Block, Entry, Genesis, KeyStatement, SnapshotChunk, StateKey, StateProof, Transaction};
use grange_types::{
    AccountId, Amount, Manifest, OfferDelta, PriceSheet, PublicKey, Quote, Receipt, Record, Region, RightsBlock,
    RightsToken, Sightings, Signed, SiteIndex, Wire,
};

use crate::{disks, edges, machines, people, sites};

/// Something that takes bytes from strangers.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// The folder of its crate, whose golden bytes it begins with.
    pub home: &'static str,
    /// Takes any bytes, and says whether it accepted them. Panics where there is a fault.
    pub run: fn(&[u8]) -> bool,
}

macro_rules! targets {
    ($($name:literal in $home:literal: $run:expr,)+) => {
        /// All of them.
        pub const TARGETS: &[Target] = &[$(Target { name: $name, home: $home, run: $run }),+];
    };
}

targets! {
    "manifest" in "core/types": wire::<Manifest>,
    "site-index" in "core/types": wire::<SiteIndex>,
    "price-sheet" in "core/types": signed::<PriceSheet>,
    "offer-delta" in "core/types": signed::<OfferDelta>,
    "quote" in "core/types": signed::<Quote>,
    "receipt" in "core/types": signed::<Receipt>,
    "sightings" in "core/types": signed::<Sightings>,
    "rights-block" in "core/types": signed::<RightsBlock>,
    "rights-token" in "core/types": rights_token,
    "words" in "core/types": words,
    "block" in "core/ledger": wire::<Block>,
    "transaction" in "core/ledger": signed::<Transaction>,
    "genesis" in "core/ledger": wire::<Genesis>,
    "key-statement" in "core/ledger": signed::<KeyStatement>,
    "state-entry" in "core/ledger": wire::<Entry>,
    "state-key" in "core/ledger": wire::<StateKey>,
    "state-proof" in "core/ledger": wire::<StateProof>,
    "block-header" in "core/ledger": wire::<grange_ledger::BlockHeader>,
    "header-proof" in "core/ledger": wire::<grange_ledger::HeaderProof>,
    "snapshot-chunk" in "core/ledger": record::<SnapshotChunk>,
    "ledger" in "core/ledger": machines::ledger,
    "consensus-message" in "core/consensus": wire::<grange_consensus::Message>,
    "consensus-vote" in "core/types": wire::<grange_types::Vote>,
    "consensus-proposal" in "core/types": wire::<grange_types::Proposal>,
    "consensus-entry" in "core/consensus": record::<grange_consensus::Entry>,
    "certificate" in "core/consensus": wire::<grange_consensus::Certificate>,
    "consensus" in "core/consensus": machines::consensus,
    "consensus-log" in "core/consensus": machines::consensus_log,
    "quote-request" in "core/market": wire::<grange_market::QuoteRequest>,
    "trust-book" in "core/market": record::<grange_market::trust::Book>,
    "quote-reply" in "core/market": wire::<grange_market::QuoteReply>,
    "keep-request" in "core/objects": wire::<grange_objects::log::KeepRequest>,
    "keep-reply" in "core/objects": wire::<grange_objects::log::KeepReply>,
    "standing" in "core/objects": record::<grange_objects::log::Standing>,
    "view" in "core/objects": record::<grange_objects::log::View>,
    "keeper" in "core/objects": machines::keeper,
    "share" in "core/objects": wire::<grange_objects::share::Share>,
    "share-request" in "core/objects": wire::<grange_objects::share::ShareRequest>,
    "share-reply" in "core/objects": wire::<grange_objects::share::ShareReply>,
    "batch" in "core/peer": wire::<grange_peer::Batch>,
    "head" in "core/peer": wire::<grange_peer::Head>,
    "sync-request" in "core/peer": wire::<grange_peer::SyncRequest>,
    "sync-reply" in "core/peer": wire::<grange_peer::SyncReply>,
    "sealed-header" in "core/peer": wire::<grange_peer::Sealed>,
    "turn" in "core/peer": wire::<grange_peer::Turn>,
    "turns" in "core/peer": wire::<grange_peer::Turns>,
    "snapshot-offer" in "core/peer": wire::<grange_peer::SnapshotOffer>,
    "snapshot-piece" in "core/peer": wire::<grange_peer::Piece>,
    "proofs" in "core/peer": wire::<grange_peer::Proofs>,
    "market-message" in "core/peer": wire::<grange_peer::MarketMessage>,
    "ask" in "core/peer": wire::<grange_peer::Ask>,
    "ask-reply" in "core/peer": wire::<grange_peer::AskReply>,
    "evidence" in "core/peer": record::<grange_peer::Evidence>,
    "history" in "core/peer": record::<grange_peer::History>,
    "peer" in "core/peer": machines::peer,
    "compose" in "core/app": compose,
    "compose-files" in "core/app": compose_files,
    "request" in "core/api": request,
    "hello" in "edge/net": wire::<grange_net::fuzz::Hello>,
    "notice" in "edge/net": wire::<grange_net::fuzz::Notice>,
    "gossip-frame" in "edge/net": wire::<grange_net::fuzz::GossipFrame>,
    "peer-address" in "edge/net": edges::address,
    "frames" in "edge/net": edges::frames,
    "stream-header" in "edge/gateway": edges::stream_header,
    "stream-answer" in "edge/gateway": edges::stream_answer,
    "host" in "edge/gateway": edges::host,
    "site-request" in "edge/sandbox": sites::request,
    "site-files" in "edge/sandbox": sites::index,
    "wal" in "edge/disk": disks::wal,
    "wal-mark" in "edge/disk": disks::mark,
    "chain" in "edge/disk": disks::chain,
    "snapshot" in "edge/disk": disks::snapshot,
    "keystore" in "edge/keystore": record::<grange_keystore::Keystore>,
    "phrase" in "edge/keystore": edges::phrase,
    "invitation" in "node": edges::invitation,
    "paper-request" in "node": wire::<grange_node::fuzz::PaperRequest>,
    "answer-line" in "node": edges::line,
    "settings" in "node": edges::settings,
    "dotenv" in "core/app": people::dotenv,
    "nodes" in "cli": people::nodes,
    "host-list" in "edge/sandbox": people::host_list,
    "log-line" in "edge/sandbox": disks::log_line,
    "log" in "edge/sandbox": disks::log,
}

/// A value that is exchanged: what is decoded encodes to the very same bytes.
pub(crate) fn wire<T: Wire>(bytes: &[u8]) -> bool {
    let Ok(value) = T::decode(bytes) else { return false };
    assert!(value.encode() == bytes, "{} bytes decode to a {} that encodes otherwise", bytes.len(), T::NAME);
    true
}

/// A value that is exchanged under a signature, with it or without.
fn signed<T: Wire>(bytes: &[u8]) -> bool {
    wire::<T>(bytes) | wire::<Signed<T>>(bytes)
}

/// A value that is kept.
fn record<T: Record>(bytes: &[u8]) -> bool {
    let Ok(value) = T::from_record(bytes) else { return false };
    assert!(value.to_record() == bytes, "{} bytes decode to a {} that encodes otherwise", bytes.len(), T::NAME);
    true
}

/// A key, as bytes or as the word that is sent with a request: what is taken reads back, and what it allows is within it.
fn rights_token(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let token = RightsToken::decode(bytes).ok().or_else(|| text.parse().ok());
    let Some(token) = token else { return false };
    assert!(token.to_string().parse().as_ref() == Ok(&token), "a key prints as another");
    let network = grange_types::NetworkId([9; 32]);
    if let (Ok(rights), Some((block, until))) = (token.check(network, grange_types::Time(1)), token.claims()) {
        assert!(rights.scope == block.scope && rights.until == until, "a key allows what it does not claim");
    }
    true
}

/// Everything that is read from a short text.
fn words(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let amount = text.parse::<Amount>();
    if let Ok(amount) = &amount {
        assert!(amount.to_string().parse() == Ok(*amount), "{text} is an amount that prints as another");
    }
    let account = text.parse::<AccountId>().is_ok();
    let key = text.parse::<PublicKey>().is_ok();
    let region = Region::try_from(text.clone().into_owned()).is_ok();
    let time = text.parse::<grange_api::Timestamp>().is_ok();
    amount.is_ok() || account || key || region || time
}

/// A compose file.
fn compose(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let env = BTreeMap::from([("NAME".to_owned(), "value".to_owned()), ("EMPTY".to_owned(), String::new())]);
    let source = grange_app::Source { file: "compose.yaml", text: &text };
    match grange_app::read(&source, &env) {
        Ok(_) => true,
        Err(findings) => {
            assert!(!findings.is_empty(), "refused without a reason");
            false
        }
    }
}

/// A project of several compose files and files of variables: paths and texts in turn, with a zero byte between.
fn compose_files(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let mut pieces = text.split('\0').map(str::to_owned);
    let mut files = BTreeMap::new();
    while let (Some(path), Some(text)) = (pieces.next(), pieces.next()) {
        files.insert(path, text);
    }
    let named: Vec<String> = ["compose.yaml", "override.yaml"]
        .map(str::to_owned)
        .into_iter()
        .filter(|path| files.contains_key(path))
        .collect();
    let variables = BTreeMap::from([("NAME".to_owned(), "value".to_owned())]);
    let project = grange_app::Project { files: &named, variables: &variables, profiles: &[] };
    match grange_app::read_project(&project, &files) {
        Ok(reading) => {
            assert!(
                reading.app.services.values().all(|service| !reading.file(service.at).is_empty()),
                "a place in no file"
            );
            true
        }
        Err(refusal) => {
            let used = refusal.named.iter().flat_map(|named| &named.files);
            let mistakes = used.map(|file| (file.at, "a mistake".to_owned())).collect();
            let findings = refusal.with(mistakes);
            assert!(!findings.is_empty(), "refused without a reason");
            assert!(
                findings.iter().all(|finding| named.is_empty() || !finding.file.is_empty()),
                "a finding in no file"
            );
            false
        }
    }
}

/// The body of a request to the HTTP API; its first byte says to which operation.
fn request(bytes: &[u8]) -> bool {
    let [first, body @ ..] = bytes else { return false };
    let all = Operation::ALL;
    let operation = all[usize::from(*first) % all.len()];
    let named: Vec<(String, String)> = operation
        .endpoint()
        .path_parameters()
        .map(|name| (name.to_owned(), String::from_utf8_lossy(body).into_owned()))
        .collect();
    let request = IncomingRequest { path: &named, query: &[], body };
    match Call::from_request(operation, request) {
        Ok(call) => {
            let _ = call.to_request();
            true
        }
        Err(problem) => {
            assert!(serde_json::to_string(&problem).is_ok(), "a problem that is no JSON");
            false
        }
    }
}
