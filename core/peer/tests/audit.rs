//! The audit of a chain that real peers decided: what holds, and everything that does not.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;

use grange_api::{Call, Reply, TransferRequest};
use grange_consensus::{Certificate, CertificateError, Seal, SignedVote, Vote, VoteKind};
use grange_ledger::{Block, Genesis, GenesisAccount, Parameters, Validator};
use grange_peer::{Action, Audit, AuditError, CallId, Checkpoint, Config, Event, Halt, Peer, Recovery, Roles};
use grange_types::{
    AccountId, Amount, BlobId, Height, Isolation, Millis, NetworkId, PeerId, PublicKey, Region, Resources, SecretKey,
    StateRoot, Time, Wire,
};

/// Four decide, so that a certificate has several seals.
const VALIDATORS: u8 = 4;
/// A snapshot is taken every so many blocks.
const SNAPSHOT_EVERY: u64 = 4;
const BEGUN: Time = Time(1_795_219_300_000);

fn key(index: u8) -> SecretKey {
    SecretKey::from_bytes(&[index + 1; 32])
}

fn genesis() -> Genesis {
    let account = |index| key(index).public().peer().account();
    let balance = Amount::credits(1_000);
    let validator = |index| Validator::new(account(index), PublicKey::from(key(index).public().peer()), 1);
    Genesis {
        name: "audited".into(),
        created: Time(BEGUN.0 - 1_000),
        parameters: Parameters::dev(),
        accounts: (0..VALIDATORS)
            .map(|index| GenesisAccount { id: account(index), keys: Vec::new(), balance })
            .collect(),
        validators: (0..VALIDATORS).map(validator).collect(),
        nodes: Vec::new(),
        bootstrap: Vec::new(),
    }
}

/// What a node keeps of the chain.
#[derive(Default)]
struct Kept {
    blocks: Vec<(Vec<u8>, Vec<u8>)>,
    snapshots: BTreeMap<u64, Vec<Vec<u8>>>,
    replies: Vec<Reply>,
}

/// Validators on a network without faults, and what the first of them keeps.
struct Net {
    now: Time,
    peers: Vec<Peer>,
    queue: VecDeque<(usize, Event)>,
    kept: Kept,
}

impl Net {
    fn start() -> Self {
        let config = |index| Config {
            key: key(index),
            genesis: genesis(),
            display: format!("validator-{index}"),
            region: Region::try_from("local".to_owned()).unwrap(),
            roles: Roles { validator: true, provider: false, gateway: false, relay: false, steward: false },
            capacity: Resources::default(),
            kinds: Vec::new(),
            isolation: Isolation::Wasm,
            prices: grange_types::Prices::default(),
            paused: false,
            gateway_port: 8_000,
            snapshot_every: SNAPSHOT_EVERY,
            prune: false,
            inline: Config::INLINE,
            rules: grange_ledger::VERSION,
            canaries: Amount::ZERO,
            lost_after: Config::LOST_AFTER,
            sequence: 1,
            seed: u64::from(index),
        };
        let nothing = || Recovery { first: Height(1), ..Recovery::default() };
        let peers = (0..VALIDATORS).map(|index| Peer::new(config(index), &nothing()).unwrap()).collect();
        let mut net = Self { now: BEGUN, peers, queue: VecDeque::new(), kept: Kept::default() };
        for index in 0..net.peers.len() {
            net.peers[index].start(BEGUN, nothing());
            let others = (0..net.peers.len()).filter(|other| *other != index);
            net.queue.extend(others.map(|other| (index, Event::Connected(peer_id(other)))));
            net.carry_out(index);
        }
        net
    }

    fn carry_out(&mut self, index: usize) {
        while let Some(action) = self.peers[index].poll_action() {
            match action {
                Action::Send { to, channel, bytes } => {
                    let target = (0..self.peers.len()).find(|other| peer_id(*other) == to).unwrap();
                    self.queue.push_back((target, Event::Message { from: peer_id(index), channel, bytes }));
                }
                Action::Commit { block, certificate, .. } if index == 0 => self.kept.blocks.push((block, certificate)),
                Action::Snapshot { height, state } if index == 0 => drop(self.kept.snapshots.insert(height.0, state)),
                Action::Reply { reply, .. } => self.kept.replies.push(reply.unwrap()),
                Action::Halt(why) => halted(&why),
                _ => {}
            }
        }
    }

    fn step(&mut self) {
        let (index, event) = self.queue.pop_front().unwrap_or_else(|| {
            let due = self.peers.iter().enumerate().filter_map(|(index, peer)| Some((peer.poll_timeout()?, index)));
            let (time, index) = due.min().unwrap();
            self.now = time.max(Time(self.now.0 + 1));
            (index, Event::Tick)
        });
        self.peers[index].handle(self.now, event);
        self.carry_out(index);
    }

    /// Sends money and waits until it is final.
    fn pay(&mut self, call: u64) {
        let to = AccountId([9; 32]);
        let request = TransferRequest { to, amount: Amount::credits(1), memo: format!("payment {call}") };
        let account = peer_id(0).account();
        let event = Event::Call { id: CallId(call), asker: account.into(), call: Box::new(Call::Transfer(request)) };
        self.queue.push_back((0, event));
        let answered = self.kept.replies.len() + 1;
        while self.kept.replies.len() < answered {
            self.step();
        }
    }
}

fn halted(why: &Halt) -> ! {
    panic!("halted: {why}")
}

fn peer_id(index: usize) -> PeerId {
    key(index as u8).public().peer()
}

/// A chain of a dozen blocks with payments in them, and the ledger's own word on where it stands.
fn chain() -> (Kept, Height, StateRoot) {
    let mut net = Net::start();
    let mut call = 0;
    while net.kept.blocks.len() < 3 * SNAPSHOT_EVERY as usize {
        call += 1;
        net.pay(call);
    }
    let ledger = net.peers[0].ledger();
    let paid = Amount(Amount::CREDIT.0 * u128::from(call));
    assert_eq!(ledger.view().account(AccountId([9; 32])).unwrap().balance, paid);
    (net.kept, ledger.height(), ledger.state_root())
}

/// An audit from the genesis that has taken the blocks below a height.
fn audit_below(kept: &Kept, height: u64) -> Audit {
    let mut audit = Audit::from_genesis(&genesis()).unwrap();
    for (block, certificate) in &kept.blocks[..height as usize - 1] {
        audit.take(block, certificate).unwrap();
    }
    audit
}

/// The ledger's pieces of a snapshot: the last one is the node's own history.
fn pieces(kept: &Kept, height: u64) -> &[Vec<u8>] {
    kept.snapshots[&height].split_last().unwrap().1
}

#[test]
fn the_whole_chain_holds_and_leads_to_the_live_state() {
    let (kept, height, root) = chain();
    let audit = audit_below(&kept, height.0 + 1);
    let summary = audit.summary();
    assert_eq!((summary.height, summary.certificates, summary.state_root), (height, height.0, root));
    let paid = kept.blocks.iter().map(|(block, _)| Block::decode(block).unwrap().transactions.len()).sum::<usize>();
    assert!(paid > 0, "the chain has payments in it");
}

#[test]
fn every_changed_byte_of_a_block_or_its_certificate_is_refused_at_its_height() {
    let (kept, ..) = chain();
    let is_payment = |(block, _): &(Vec<u8>, Vec<u8>)| !Block::decode(block).unwrap().transactions.is_empty();
    let index = kept.blocks.iter().rposition(is_payment).unwrap();
    let (height, (block, certificate)) = (index as u64 + 1, &kept.blocks[index]);
    let mut audit = audit_below(&kept, height);
    let before = audit.summary();
    let named = format!("height {height}:");
    for place in 0..block.len() + certificate.len() {
        let (mut block, mut certificate) = (block.clone(), certificate.clone());
        match place.checked_sub(block.len()) {
            None => block[place] ^= 1,
            Some(place) => certificate[place] ^= 1,
        }
        let refused = audit.take(&block, &certificate).expect_err("a changed byte");
        assert!(refused.to_string().starts_with(&named), "byte {place}: {refused}");
        assert_eq!(audit.summary(), before, "byte {place}: the audit stays where it was");
    }
    audit.take(block, certificate).unwrap();
}

#[test]
fn a_missing_or_foreign_certificate_and_a_missing_block_are_named() {
    let (kept, ..) = chain();
    let mut audit = audit_below(&kept, 3);
    let (block, certificate) = &kept.blocks[2];
    assert!(matches!(audit.take(block, b"").unwrap_err(), AuditError::Certificate { height: Height(3), .. }));
    let (next_block, next_certificate) = &kept.blocks[3];
    let skipped = audit.take(next_block, next_certificate).unwrap_err();
    assert!(matches!(skipped, AuditError::Elsewhere { height: Height(3), theirs: Height(4) }), "{skipped}");
    let other = audit.take(next_block, certificate).unwrap_err();
    assert!(matches!(other, AuditError::Altered { height: Height(3), .. }), "{other}");
    let mut few = Certificate::decode(certificate).unwrap();
    few.signatures.truncate(2);
    let refused = audit.take(block, &few.encode()).unwrap_err();
    let source = CertificateError::TooLittlePower { signed: 2, total: 4 };
    assert_eq!(refused.source().unwrap().to_string(), source.to_string());
}

#[test]
fn a_block_of_liars_is_refused_though_all_validators_signed_it() {
    // A majority that breaks the rules can sign, and whoever carries the block out sees it: the header's state root is
    // another, and everything is certified anew.
    let (kept, ..) = chain();
    let mut block = Block::decode(&kept.blocks[2].0).unwrap();
    block.header.state_root = StateRoot([7; 32]);
    let network = genesis().network_id();
    let signatures = (0..VALIDATORS).map(|index| seal(network, &key(index), &block)).collect();
    let certificate = Certificate { height: Height(3), round: 0, block: block.id(), signatures };
    let refused = audit_below(&kept, 3).take(&block.encode(), &certificate.encode()).unwrap_err();
    assert!(matches!(refused, AuditError::Invalid { height: Height(3), .. }), "{refused}");
}

fn seal(network: NetworkId, key: &SecretKey, block: &Block) -> Seal {
    let (height, validator) = (block.header.height, key.public().peer());
    let vote = Vote { kind: VoteKind::Precommit, height, round: 0, block: Some(block.id()), validator };
    Seal { validator, signature: SignedVote::seal(network, key, vote).signature }
}

#[test]
fn another_genesis_does_not_hold_at_the_first_block() {
    let (kept, ..) = chain();
    let mut richer = genesis();
    richer.accounts[0].balance = Amount::credits(1_001);
    let (block, certificate) = &kept.blocks[0];
    let refused = Audit::from_genesis(&richer).unwrap().take(block, certificate).unwrap_err();
    assert!(matches!(refused, AuditError::Uncertified { height: Height(1), .. }), "{refused}");
    richer.validators.clear();
    assert!(matches!(Audit::from_genesis(&richer), Err(AuditError::Genesis(_))));
}

#[test]
fn a_checkpoint_leads_to_the_same_state_as_the_genesis() {
    let (kept, height, root) = chain();
    let at = 2 * SNAPSHOT_EVERY;
    let checkpoint = Checkpoint::of(pieces(&kept, at)).unwrap();
    assert_eq!(checkpoint.state_root, audit_below(&kept, at + 1).summary().state_root);
    let now = checkpoint.time.0.after(Millis(Millis::HOUR.0 - 1));
    let mut audit = Audit::from_checkpoint(&genesis(), &checkpoint, pieces(&kept, at), now).unwrap();
    for (block, certificate) in &kept.blocks[at as usize..] {
        audit.take(block, certificate).unwrap();
    }
    let summary = audit.summary();
    assert_eq!((summary.height, summary.certificates, summary.state_root), (height, height.0 - at, root));
}

#[test]
fn a_checkpoint_that_is_too_old_too_new_or_of_another_network_is_refused() {
    let (kept, ..) = chain();
    let pieces = pieces(&kept, SNAPSHOT_EVERY);
    let checkpoint = Checkpoint::of(pieces).unwrap();
    let begin = |genesis: &Genesis, now| Audit::from_checkpoint(genesis, &checkpoint, pieces, now).map(drop);
    let unbonded = checkpoint.time.0.after(Parameters::dev().unbonding);
    let old = begin(&genesis(), unbonded).unwrap_err();
    assert!(matches!(old, AuditError::Old { height: Height(SNAPSHOT_EVERY), .. }), "{old}");
    assert!(old.to_string().contains("long-range"), "{old}");
    let early = begin(&genesis(), Time(checkpoint.time.0.0 - 60_000)).unwrap_err();
    assert!(matches!(early, AuditError::Early { height: Height(SNAPSHOT_EVERY), .. }), "{early}");
    let mut other = genesis();
    other.name = "another".into();
    let foreign = begin(&other, checkpoint.time.0).unwrap_err();
    assert!(matches!(foreign, AuditError::Foreign { height: Height(SNAPSHOT_EVERY), .. }), "{foreign}");
}

#[test]
fn a_snapshot_that_is_not_its_checkpoints_is_refused() {
    let (kept, ..) = chain();
    let pieces = pieces(&kept, SNAPSHOT_EVERY);
    let good = Checkpoint::of(pieces).unwrap();
    let begin = |checkpoint: &Checkpoint, pieces: &[Vec<u8>]| {
        Audit::from_checkpoint(&genesis(), checkpoint, pieces, good.time.0).map(drop)
    };
    begin(&good, pieces).unwrap();
    for index in 0..pieces.len() {
        for place in 0..pieces[index].len() {
            let mut changed = pieces.to_vec();
            changed[index][place] ^= 1;
            assert!(matches!(begin(&good, &changed), Err(AuditError::Digest { .. })), "byte {place} of piece {index}");
        }
    }
    assert!(matches!(begin(&good, &pieces[1..]), Err(AuditError::Digest { .. })));
    let wrong = |change: fn(&mut Checkpoint)| {
        let mut checkpoint = good;
        change(&mut checkpoint);
        begin(&checkpoint, pieces).unwrap_err().to_string()
    };
    assert!(wrong(|checkpoint| checkpoint.height = Height(1)).contains("about the height"));
    assert!(wrong(|checkpoint| checkpoint.state_root = StateRoot([1; 32])).contains("about the state root"));
    assert!(wrong(|checkpoint| checkpoint.time = Time(checkpoint.time.0.0 + 1).into()).contains("about the time"));
    assert!(wrong(|checkpoint| checkpoint.digest = BlobId([1; 32])).contains("digest"));
    assert!(matches!(Checkpoint::of(&pieces[1..]), Err(AuditError::Snapshot { .. })));
}
