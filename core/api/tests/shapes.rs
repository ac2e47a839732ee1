//! The JSON shapes that scripts rely on, field by field.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use grange_api::{
    Base64, BlockLine, DeployDone, DeployPhase, GenesisFile, LeaseEntry, LedgerHeight, Line, LogLine, NodeRole,
    NoteLine, Offer, PieceLine, Plan, PlannedService, Problem, ProblemCode, Replica, ReplicaState, Reply, Status,
    Timestamp, Usage, UsageRow, Wallet,
};
use grange_types::{
    AccountId, Amount, ByteCount, Counters, DeploymentId, Height, Isolation, Kind, LeaseId, Millis, NetworkId, PeerId,
    Prices, Resources, StateRoot, Time,
};
use serde::Serialize;
use serde_json::{Value, json};

const AT: Timestamp = Timestamp(Time(1_795_219_199_999));
const AT_TEXT: &str = "2026-11-20T23:59:59.999Z";

fn hex(byte: u8) -> String {
    format!("{byte:02x}").repeat(32)
}

/// Holds the JSON of a value against the fields that scripts rely on; it may have more.
#[track_caller]
fn check(value: &impl Serialize, expected: &Value) {
    let actual = serde_json::to_value(value).unwrap();
    for (field, expected) in expected.as_object().unwrap() {
        assert_eq!(actual.get(field), Some(expected), "{field} in {actual}");
    }
}

#[test]
fn status() {
    let status = Status {
        peer: PeerId([1; 32]),
        display: "node-1".into(),
        operator: AccountId([2; 32]),
        network: NetworkId([3; 32]),
        version: "0.1.0".into(),
        roles: vec![NodeRole::Validator, NodeRole::Gateway],
        light: false,
        height: Height(7),
        finalized_at: Some(AT),
        peers: 3,
        ready: true,
        reason: None,
    };
    let expected = json!({
        "peer": hex(1), "network": hex(3), "roles": ["validator", "gateway"], "height": 7, "finalized_at": AT_TEXT,
        "peers": 3, "ready": true, "reason": null,
    });
    check(&status, &expected);
    check(&Reply::Status(status), &expected);
}

#[test]
fn offers_and_plan() {
    let offer = Offer {
        provider: PeerId([1; 32]),
        display: "node-1".into(),
        operator: AccountId([2; 32]),
        region: "eu-be-ghent".into(),
        kinds: vec![Kind::Site, Kind::Wasm],
        isolation: Isolation::Wasm,
        price: "0.0025".parse().unwrap(),
        prices: Prices::default().into(),
        free: Resources { cpu_millis: 500, memory: ByteCount(1), disk: ByteCount(2) }.into(),
        trust: None,
        evidence: "nothing is known yet".into(),
        connected: false,
        heard: AT,
    };
    check(
        &offer,
        &json!({"provider": hex(1), "region": "eu-be-ghent", "kinds": ["site", "wasm"], "isolation": "wasm",
            "price": "0.0025", "trust": null, "connected": false, "heard": AT_TEXT, "free": {"cpu_millis": 500, "memory": 1, "disk": 2}}),
    );
    let service = PlannedService {
        name: "api".into(),
        replica: 0,
        provider: PeerId([1; 32]),
        display: "node-1".into(),
        price_per_hour: Amount::CREDIT,
        max_cost: Amount::credits(2),
        connected: true,
        heard: None,
    };
    let plan = Plan {
        services: vec![service],
        total_per_hour: Amount::credits(2),
        takes: Amount::CREDIT,
        budget: Amount::CREDIT,
        runs_until: None,
        notes: vec!["known".into()],
    };
    let service = json!({"name": "api", "replica": 0, "provider": hex(1), "display": "node-1", "price_per_hour": "1",
        "max_cost": "2", "connected": true, "heard": null});
    check(&plan, &json!({"services": [service], "total_per_hour": "2", "notes": ["known"]}));
}

#[test]
fn the_lines_of_a_deployment() {
    let phase = DeployPhase { phase: "lease".into(), ms: 41 };
    let lease = LeaseEntry {
        lease: LeaseId([4; 32]),
        service: "api".into(),
        replica: 0,
        provider: PeerId([1; 32]),
        display: "node-1".into(),
        generation: 1,
        price_per_hour: Amount::ZERO,
    };
    let done = DeployDone {
        deployment: "guestbook".into(),
        id: DeploymentId([5; 32]),
        urls: vec!["http://guestbook.localhost:8080/".into()],
        leases: vec![lease],
        changed: true,
        notes: vec!["known".into()],
    };
    let problem = Problem::new(ProblemCode::NoOffer, "deploy", "guestbook", "no offer");
    assert_eq!(serde_json::to_value(Line::Phase(phase.clone())).unwrap(), json!({"phase": "lease", "ms": 41}));
    check(&done, &json!({"deployment": "guestbook", "urls": ["http://guestbook.localhost:8080/"], "notes": ["known"]}));
    let log = LogLine {
        id: 9,
        at: AT,
        service: "api".into(),
        replica: 0,
        provider: PeerId([1; 32]),
        generation: 3,
        stream: "stdout".into(),
        text: "hello".into(),
    };
    let note = NoteLine { note: "there is more".into() };
    assert_eq!(serde_json::to_value(Line::Note(note.clone())).unwrap(), json!({"note": "there is more"}));
    for line in [Line::Phase(phase), Line::Done(done), Line::Problem(problem), Line::Log(log), Line::Note(note)] {
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}

#[test]
fn replicas() {
    let replica = Replica {
        deployment: "guestbook".into(),
        service: "api".into(),
        replica: 0,
        provider: None,
        display: String::new(),
        generation: 2,
        state: ReplicaState::BudgetExhausted,
        since: AT,
        url: None,
        copies: Some(2),
        keepers: vec![PeerId([7; 32])],
        note: "the budget is used; its data stays".into(),
    };
    let expected = json!({"deployment": "guestbook", "service": "api", "replica": 0, "provider": null,
        "generation": 2, "state": "budget_exhausted", "since": AT_TEXT, "url": null,
        "copies": 2, "keepers": ["07".repeat(32)], "note": "the budget is used; its data stays"});
    check(&replica, &expected);
    assert!(serde_json::to_value(Reply::Replicas(vec![replica])).unwrap().is_array());
}

#[test]
fn a_bill_can_be_recomputed_from_its_lines() {
    let prices = Prices { cpu_hour: "0.3".parse().unwrap(), ..Prices::default() };
    let resources = Resources { cpu_millis: 250, memory: ByteCount::mib(64), disk: ByteCount(0) };
    let counters = Counters { served: Millis::minutes(30), requests: 1_500, egress: ByteCount::mib(512) };
    let lines = prices.lines(&resources, &counters);
    let span = (Timestamp(Time(0)), Timestamp(Time(1_000)));
    let row = |line| UsageRow::new("api", LeaseId([4; 32]), (PeerId([1; 32]), "north"), span, line);
    let rows: Vec<_> = lines.iter().map(row).collect();
    let usage = Usage {
        deployment: DeploymentId([5; 32]),
        account: AccountId([2; 32]),
        lines: rows,
        total: prices.charge(&resources, &counters),
        settled: Amount::ZERO,
        disputed: Amount::ZERO,
        budget: None,
        removed: None,
        claims_until: None,
        is_final: false,
    };
    check(
        &usage.lines[0],
        &json!({"provider": hex(1), "sku": "cpu.hour", "quantity": "0.125", "price": "0.3", "amount": "0.0375"}),
    );
    check(&usage.lines[3], &json!({"sku": "request.million", "quantity": "0.0015", "counted": "1500"}));
    check(&usage.lines[4], &json!({"sku": "egress.gib", "quantity": "0.5", "scale": "1073741824"}));
    check(&usage, &json!({"total": "0.0375", "settled": "0", "removed": null, "claims_until": null, "final": false}));
    for row in &usage.lines {
        let (counted, scale) = (row.counted.parse().unwrap(), row.scale.parse().unwrap());
        assert_eq!(row.price.scaled(counted, scale), row.amount);
    }
}

#[test]
fn wallet_and_ledger() {
    let (account, deposit) = (AccountId([2; 32]), Amount::ZERO);
    let wallet = Wallet { account, available: Amount(1), pending: Some(Amount::ZERO), deposit };
    check(&wallet, &json!({"account": hex(2), "available": "0.000000000001", "pending": "0", "deposit": "0"}));
    let height = LedgerHeight { height: Height(7), finalized_at: None, state_root: StateRoot([6; 32]) };
    check(&height, &json!({"height": 7, "finalized_at": null, "state_root": hex(6)}));
    let genesis = GenesisFile { network: NetworkId([3; 32]), genesis: Base64(b"a".to_vec()) };
    assert_eq!(serde_json::to_value(genesis).unwrap(), json!({"network": hex(3), "genesis": "YQ=="}));
    let (block, certificate) = (Base64(b"block".to_vec()), Base64(b"seals".to_vec()));
    let block = Line::Block(BlockLine { height: Height(7), block, certificate });
    assert_eq!(
        serde_json::to_value(&block).unwrap(),
        json!({"height": 7, "block": "YmxvY2s=", "certificate": "c2VhbHM="})
    );
    let piece = Line::Piece(PieceLine { height: Height(7), piece: Base64(b"piece".to_vec()) });
    assert_eq!(serde_json::to_value(&piece).unwrap(), json!({"height": 7, "piece": "cGllY2U="}));
    for line in [block, piece] {
        assert_eq!(serde_json::from_value::<Line>(serde_json::to_value(&line).unwrap()).unwrap(), line);
    }
}
