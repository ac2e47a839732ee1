//! The bytes of every type that is exchanged or kept, frozen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};

use grange_ledger::{
    AccountEntry, Action, Block, BlockHeader, Bootstrap, Cap, Chain, Delegate, Deployment, DeploymentState, Entry,
    FormerKey, Genesis, GenesisAccount, HeaderProof, KeySet, KeyStatement, Lease, LeaseState, Mark, NameEntry,
    NodeEntry, Operator, Parameters, Purpose, SeenDigest, Slot, SnapshotChunk, SnapshotHead, Spent, StateKey,
    StateProof, Step, Transaction, Upgrade, Validator, Verb,
};
use grange_types::codec::check_golden;
use grange_types::{
    AccountId, Amount, BlobId, BlockId, ByteCount, Counters, DeploymentId, Equivocation, Height, Isolation, KeyGrant,
    Kind, LeaseId, LeaseTerms, Millis, NetworkId, PeerId, Prices, PublicKey, Quote, Receipt, Resources, Role,
    Signature, Signed, SignedVote, SlotSpec, StateRoot, Time, TxId, Vote, VoteKind,
};

const fn account(byte: u8) -> AccountId {
    AccountId([byte; 32])
}

fn signed<T>(body: T) -> Signed<T> {
    Signed {
        network: NetworkId([0xaa; 32]),
        signer: PublicKey([0xbb; 32]),
        expires: Time(1_700_000_000_000),
        body,
        signature: Signature([0xcc; 64]),
    }
}

fn spec() -> SlotSpec {
    SlotSpec {
        service: "web".into(),
        route: Some("/".into()),
        replica: 1,
        max_rate: Amount::CREDIT,
        isolation: Isolation::Container,
        revision: BlobId([3; 32]),
    }
}

fn terms() -> LeaseTerms {
    LeaseTerms {
        provider: PeerId([5; 32]),
        operator: account(6),
        kind: Kind::Site,
        workload: BlobId([7; 32]),
        resources: Resources { cpu_millis: 500, memory: ByteCount::mib(64), disk: ByteCount::gib(1) },
        isolation: Isolation::Wasm,
        prices: Prices { cpu_hour: Amount(11), memory_gib_hour: Amount(12), ..Prices::default() },
        max_rate: Amount::CREDIT,
    }
}

fn delegates() -> Vec<Delegate> {
    let verbs = BTreeSet::from([Verb::Place, Verb::Receipt, Verb::Renew]);
    vec![Delegate { account: account(8), verbs, ceiling_per_day: Amount::CREDIT }]
}

fn node() -> NodeEntry {
    NodeEntry {
        peer: PeerId([5; 32]),
        operator: account(6),
        display: "Ghent".into(),
        region: "eu-be-ghent".to_owned().try_into().unwrap(),
        relays: vec![PeerId([4; 32])],
    }
}

fn grants() -> Vec<KeyGrant> {
    let roles = vec![Role::Owner, Role::Node, Role::Validator, Role::Spend { per_day: Amount::CREDIT }];
    vec![KeyGrant { key: PublicKey([1; 32]), roles }]
}

fn statement(purpose: Purpose) -> KeyStatement {
    KeyStatement { account: account(6), purpose }
}

/// Two votes for one place.
fn proof() -> Equivocation {
    let vote = |block| {
        let (validator, signature) = (PeerId([1; 32]), Signature([7; 64]));
        SignedVote { vote: Vote { kind: VoteKind::Prevote, height: Height(5), round: 1, block, validator }, signature }
    };
    Equivocation::Votes(vote(None), vote(Some(BlockId([2; 32]))))
}

/// Every action once, so that the order of the variants is frozen too.
fn actions() -> Vec<Action> {
    let (deployment, lease) = (DeploymentId([9; 32]), LeaseId([10; 32]));
    let quote = Quote { deployment, slot: 1, generation: 2, terms: terms(), valid_until: Time(3), nonce: 4 };
    let counters = Counters { served: Millis(1), requests: 2, egress: ByteCount(3) };
    let receipt = Receipt { lease, generation: 2, sequence: 3, counters, amount: Amount(4), disputed: Amount(5) };
    let (manifest, amount) = (BlobId([2; 32]), Amount(300));
    vec![
        Action::Transfer { to: account(2), amount, memo: "thanks".into() },
        Action::SetKeys { keys: grants() },
        Action::RegisterNode { node: node(), consent: Box::new(signed(statement(Purpose::Node))) },
        Action::RemoveNode { node: PeerId([5; 32]) },
        Action::Bond { amount },
        Action::Unbond { amount },
        Action::SetValidator {
            key: PublicKey([1; 32]),
            power: 300,
            consent: Box::new(signed(statement(Purpose::Validator))),
        },
        Action::OpenDeployment {
            name: Some("app".into()),
            manifest,
            budget: amount,
            slots: vec![spec()],
            delegates: delegates(),
        },
        Action::UpdateDeployment { deployment, manifest, slots: vec![spec()], delegates: Vec::new() },
        Action::FundDeployment { deployment, amount },
        Action::CloseDeployment { deployment },
        Action::OpenLease { quote: Box::new(signed(quote)), replaces: Some(lease) },
        Action::CloseLease { lease },
        Action::RenewLease { lease },
        Action::Settle { receipt: Box::new(signed(receipt.clone())) },
        Action::ClaimName { name: "app".into(), deployment },
        Action::ReleaseName { name: "app".into() },
        Action::Accuse { accused: account(6), proof: Box::new(proof()) },
        Action::Signal { version: 2 },
        Action::SetCap { per_day: Some(Amount(300)) },
        Action::SetCap { per_day: None },
        Action::SettleMany { receipts: vec![signed(receipt)] },
        Action::ReplaceDelegate { deployment, lost: account(8), by: account(7) },
    ]
}

fn parameters() -> Parameters {
    let (fee, settlement_fee, byte_deposit) = (Amount(1), 250, Amount(4));
    let (min_bond, power_bond) = (Amount(2), Amount(3));
    Parameters { fee, settlement_fee, byte_deposit, min_bond, power_bond, version: 1, ..Parameters::dev() }
}

fn validator() -> Validator {
    Validator::new(account(6), PublicKey([1; 32]), 300)
}

fn mark(amount: u128, time: u64) -> Mark {
    Mark { amount: Amount(amount), time: Time(time) }
}

fn lease(state: LeaseState) -> Lease {
    Lease {
        id: LeaseId([10; 32]),
        deployment: DeploymentId([9; 32]),
        slot: 1,
        generation: 2,
        revision: BlobId([11; 32]),
        terms: terms(),
        start: Time(1_000),
        end: Some(Time(2_000)),
        ended: Some(Time(1_500)),
        escrow: Amount(7),
        held: Amount(6),
        settled: Amount(8),
        sequence: 9,
        counters: Counters { served: Millis(1), requests: 2, egress: ByteCount(3) },
        floor: mark(1, 2),
        mark: mark(3, 4),
        state,
    }
}

fn deployment(state: DeploymentState) -> Deployment {
    Deployment {
        id: DeploymentId([9; 32]),
        owner: account(1),
        names: vec!["app".into()],
        balance: Amount(5),
        counted: BTreeMap::from([(PublicKey([1; 32]), Amount(3)), (PublicKey([2; 32]), Amount(300))]),
        uncounted: Amount(4),
        manifest: BlobId([2; 32]),
        slots: vec![Slot { number: 1, spec: spec(), generation: 2, lease: Some(LeaseId([10; 32])) }],
        next_slot: 2,
        delegates: delegates(),
        spent: BTreeMap::from([(account(8), Spent { day: 20_000, amount: Amount(1) })]),
        opened: Time(999),
        state,
        leases: 1,
        archived: Amount(6),
    }
}

/// Every kind of entry, in every state.
fn entries() -> Vec<Entry> {
    let spent = BTreeMap::from([(PublicKey([1; 32]), Spent { day: 20_000, amount: Amount(1) })]);
    let keys = Some(Box::new(KeySet { keys: grants(), spent: spent.clone() }));
    let cap = Some(Box::new(Cap { per_day: Some(Amount(300)), spent }));
    let former = Some(FormerKey { key: PublicKey([1; 32]), until: Time(5) });
    let operator =
        Operator { bond: Amount(1), unbonding: Amount(2), release: Time(3), nodes: 4, former, frozen: false };
    let upgrade = Some(Upgrade { version: 2, height: Height(301) });
    vec![
        Entry::Parameters(parameters()),
        Entry::Chain(Chain { offset: Millis(5), treasury: Amount(6), version: 1, upgrade }),
        Entry::Validators(vec![validator()]),
        Entry::Account(account(1), AccountEntry { balance: Amount(7), ..AccountEntry::default() }),
        Entry::Account(account(1), AccountEntry { balance: Amount(7), keys, deposit: Amount(8), cap }),
        Entry::Operator(account(6), operator),
        Entry::Node(node()),
        Entry::Deployment(deployment(DeploymentState::Open)),
        Entry::Deployment(deployment(DeploymentState::Closed { at: Time(1_000) })),
        Entry::Lease(lease(LeaseState::Open)),
        Entry::Lease(lease(LeaseState::Closing { until: Time(1_530) })),
        Entry::Lease(lease(LeaseState::Closed { at: Time(1_530) })),
        Entry::Name("app".into(), NameEntry { deployment: DeploymentId([9; 32]) }),
        Entry::Seen(1_700_000_000, SeenDigest { count: 1, digest: [1; 32] }),
    ]
}

#[test]
fn genesis_bytes() {
    let genesis = Genesis {
        name: "home".into(),
        created: Time(1_700_000_000_000),
        parameters: parameters(),
        accounts: vec![GenesisAccount { id: account(1), keys: grants(), balance: Amount::credits(5) }],
        validators: vec![validator()],
        nodes: vec![node()],
        bootstrap: vec![Bootstrap { peer: PeerId([5; 32]), addresses: vec!["192.0.2.1:4433".into()] }],
    };
    check_golden(&genesis, include_str!("../golden/genesis.hex"));
}

#[test]
fn transaction_bytes() {
    let transaction = Transaction { account: account(1), nonce: 7, action: actions().remove(0) };
    check_golden(&transaction, include_str!("../golden/transaction.hex"));
}

#[test]
fn key_statement_bytes() {
    check_golden(&statement(Purpose::Validator), include_str!("../golden/key-statement.hex"));
}

#[test]
fn block_bytes() {
    let transaction = |action| signed(Transaction { account: account(1), nonce: 7, action });
    let block = Block { header: header(), transactions: actions().into_iter().map(transaction).collect() };
    check_golden(&block, include_str!("../golden/block.hex"));
    let proof = HeaderProof { beside: vec![[1; 32]], rest: vec![2, 3], header: header() };
    check_golden(&proof, include_str!("../golden/header-proof.hex"));
}

#[test]
fn block_header_bytes() {
    check_golden(&header(), include_str!("../golden/block-header.hex"));
}

fn header() -> BlockHeader {
    BlockHeader {
        version: 1,
        height: Height(300),
        time: Time(1_700_000_000_000),
        proposer: PeerId([5; 32]),
        parent: BlockId([14; 32]),
        state_root: StateRoot([15; 32]),
        next_validators: BlobId([16; 32]),
    }
}

#[test]
fn state_key_bytes() {
    check_golden(&StateKey::Name("app".into()), include_str!("../golden/state-key.hex"));
}

#[test]
fn state_entry_bytes() {
    check_golden(&entries().remove(4), include_str!("../golden/state-entry.hex"));
}

#[test]
fn state_proof_bytes() {
    let steps = vec![Step { bit: 0, sibling: [1; 32] }, Step { bit: 255, sibling: [2; 32] }];
    let proof = StateProof { steps, other: Some(([3; 32], [4; 32])) };
    check_golden(&proof, include_str!("../golden/state-proof.hex"));
}

#[test]
fn snapshot_chunk_bytes() {
    let head = SnapshotHead {
        network: NetworkId([0xaa; 32]),
        height: Height(300),
        time: Time(1_700_000_000_000),
        head: BlockId([14; 32]),
        root: StateRoot([15; 32]),
        parameters: parameters(),
        entries: 14,
        seen: 1,
    };
    check_golden(&SnapshotChunk::Head(head), include_str!("../golden/snapshot-chunk-head.hex"));
    check_golden(&SnapshotChunk::Entries(entries()), include_str!("../golden/snapshot-chunk.hex"));
    let seen = vec![(1_700_000_000, TxId([1; 32]))];
    check_golden(&SnapshotChunk::Seen(seen), include_str!("../golden/snapshot-chunk-seen.hex"));
}

#[test]
fn state_keys_are_distinct_and_in_order() {
    let keys: BTreeSet<_> = entries().iter().map(Entry::key).collect();
    assert_eq!(keys.len(), 10);
}
