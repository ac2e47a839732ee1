//! Calls as requests: every call finds its way there and back, and every mistake is named.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use grange_api::{
    Call, CapRequest, IncomingRequest, InviteRequest, KeyRequest, NameRequest, Operation, PauseRequest, PriceSettings,
    Problem, ProblemCode, TransferRequest,
};
use grange_types::{
    AccountId, Amount, BlobId, ByteCount, HealthCheck, Height, Isolation, LeaseId, Manifest, Millis, On, Placement,
    PublicKey, Resources, Secrets, Service, Workload,
};

fn secrets() -> Secrets {
    let mut secrets = Secrets::default();
    secrets.insert("token".into(), vec![0, 255, 7]);
    secrets
}

fn manifest() -> Box<Manifest> {
    let api = Service {
        workload: Workload::Wasm { component: BlobId([1; 32]), size: ByteCount(300_000) },
        replicas: 2,
        resources: Resources { cpu_millis: 100, memory: ByteCount::mib(64), disk: ByteCount::mib(16) },
        environment: BTreeMap::from([("MODE".into(), "öpen \"quoted\"".into())]),
        route: Some("/entries".into()),
        health: Some(HealthCheck {
            path: "/entries".into(),
            interval: Millis::seconds(2),
            timeout: Millis(500),
            retries: 3,
        }),
        depends_on: vec!["front".into()],
        placement: Placement {
            on: On::OwnFirst,
            price_max: Some("0.5".parse().unwrap()),
            region: Some("eu-be".to_owned().try_into().unwrap()),
            isolation: Some(Isolation::Container),
            trust_min: Some(60),
        },
        allow_http: vec!["api.example.org:8443".into()],
    };
    let front = Service {
        workload: Workload::Site { index: BlobId([2; 32]), size: ByteCount(4_096) },
        replicas: 1,
        resources: Resources::default(),
        environment: BTreeMap::new(),
        route: Some("/".into()),
        health: None,
        depends_on: Vec::new(),
        placement: Placement::default(),
        allow_http: Vec::new(),
    };
    let services = BTreeMap::from([("api".into(), api), ("front".into(), front)]);
    Box::new(Manifest { name: "guestbook".into(), budget: Amount::credits(10), services })
}

fn samples() -> Vec<Call> {
    let name = || "a name/with?odd&parts=ü%".to_owned();
    let prices = PriceSettings {
        cpu_hour: Amount(1),
        memory_gib_hour: Amount(2),
        disk_gib_hour: Amount(3),
        request_million: Amount(4),
        egress_gib: Amount(5),
    };
    vec![
        Call::Status,
        Call::Peers,
        Call::Offers,
        Call::Providers,
        Call::Trust { of: None },
        Call::Trust { of: Some("operator-2".into()) },
        Call::Plan { manifest: manifest() },
        Call::PutBlob { blob: BlobId([3; 32]) },
        Call::HasBlob { blob: BlobId([4; 32]) },
        Call::Deploy { manifest: manifest(), secrets: secrets(), most: None },
        Call::Deployments,
        Call::Deployment { name: name() },
        Call::Down { name: name() },
        Call::Usage { name: name() },
        Call::Logs {
            name: name(),
            service: Some("a&b=c+d e".into()),
            follow: true,
            after: Some(u64::MAX),
            earlier: false,
        },
        Call::Logs { name: name(), service: None, follow: false, after: None, earlier: true },
        Call::ExportData { name: name(), service: Some("api".into()), earlier: false },
        Call::ExportData { name: name(), service: None, earlier: true },
        Call::Wallet,
        Call::Caps,
        Call::SetCap(CapRequest { per_day: Some(Amount(1)) }),
        Call::SetCap(CapRequest { per_day: None }),
        Call::Transfer(TransferRequest { to: AccountId([5; 32]), amount: Amount(1), memo: "für dich".into() }),
        Call::WalletHistory { limit: 7 },
        Call::SubmitTransaction { bytes: vec![0, 255, 1] },
        Call::LedgerHeight,
        Call::LedgerAccount { account: AccountId([6; 32]).into() },
        Call::LedgerAccount { account: "06060606".parse().unwrap() },
        Call::LedgerKey { key: PublicKey([7; 32]) },
        Call::LedgerLease { lease: LeaseId([8; 32]).into() },
        Call::LedgerName { name: name() },
        Call::LedgerGenesis,
        Call::LedgerBlocks { from: Height(7) },
        Call::LedgerSnapshot { at: Some(Height(0)) },
        Call::LedgerSnapshot { at: None },
        Call::Names,
        Call::ClaimName(NameRequest { name: "guestbook".into(), deployment: "guestbook".into() }),
        Call::ReleaseName { name: name() },
        Call::SetPrices(prices),
        Call::Pause(PauseRequest { paused: true }),
        Call::Keys,
        Call::RotateToken,
        Call::ApiKeys,
        Call::CreateKey(KeyRequest {
            name: "ci".into(),
            scopes: vec!["deploy".into(), "read".into()],
            prefix: "shop-".into(),
            valid_for: Some(60),
            max_spend: Some(Amount::CREDIT),
        }),
        Call::RevokeKey { name: name() },
        Call::RevokeKeys,
        Call::Audit { follow: true, after: Some(7), principal: Some("ci & co".into()) },
        Call::Audit { follow: false, after: None, principal: None },
        Call::Network,
        Call::Invite(InviteRequest { valid_for: 3_600 }),
    ]
}

/// Decodes a path's part or a query's value as a server does.
fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

/// Takes a target apart as a server does: the path's parameters by the operation's template, then the query's.
type Pairs = Vec<(String, String)>;
fn parts(operation: Operation, target: &str) -> (Pairs, Pairs) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let template: Vec<_> = operation.endpoint().path.split('/').collect();
    let given: Vec<_> = path.split('/').collect();
    assert_eq!(template.len(), given.len(), "{target}");
    let mut parameters = Vec::new();
    for (template, given) in template.iter().zip(given) {
        match template.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) => parameters.push((name.to_owned(), decoded(given))),
            None => assert_eq!(*template, given),
        }
    }
    let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| pair.split_once('=').unwrap());
    (parameters, pairs.map(|(name, value)| (name.to_owned(), decoded(value))).collect())
}

#[test]
fn every_call_arrives_as_it_was_sent() {
    for call in samples() {
        let operation = call.operation();
        let request = call.to_request();
        assert_eq!(request.method, operation.endpoint().method);
        let (path, query) = parts(operation, &request.target);
        let incoming = IncomingRequest { path: &path, query: &query, body: &request.body };
        assert_eq!(Call::from_request(operation, incoming), Ok(call));
    }
}

#[test]
fn the_samples_hold_every_operation() {
    let sampled: Vec<_> = samples().iter().map(Call::operation).collect();
    for operation in Operation::ALL {
        assert!(sampled.contains(operation), "{operation:?}");
    }
}

#[track_caller]
fn refused(operation: Operation, path: &[(&str, &str)], query: &[(&str, &str)], body: &str) -> Problem {
    let owned = |pairs: &[(&str, &str)]| -> Pairs {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    };
    let (path, query) = (owned(path), owned(query));
    Call::from_request(operation, IncomingRequest { path: &path, query: &query, body: body.as_bytes() }).unwrap_err()
}

#[test]
fn an_unknown_field_is_named_with_its_place() {
    let problem = refused(Operation::Invite, &[], &[], "{\n  \"valid_for\": 60,\n  \"valid_form\": 1}");
    assert_eq!((problem.code, problem.exit, problem.thing.as_str()), (ProblemCode::UnknownField, 2, "valid_form"));
    assert_eq!(problem.message, "unknown field `valid_form`, expected `valid_for`");
    assert_eq!((problem.findings[0].line, problem.findings[0].file.as_str()), (3, "body"));
}

#[test]
fn every_request_type_refuses_unknown_fields_at_every_depth() {
    let mut tried = 0;
    for call in samples() {
        let body = call.to_request().body;
        let Ok(value) = serde_json::from_slice::<serde_json::Value>(&body) else { continue };
        for pointer in objects(&value, String::new()) {
            // The names of services, of variables and of secrets are the user's.
            if ["/services", "/environment", "/secrets"].iter().any(|names| pointer.ends_with(names)) {
                continue;
            }
            let mut changed = value.clone();
            let object = changed.pointer_mut(&pointer).and_then(serde_json::Value::as_object_mut).unwrap();
            object.insert("surprise".into(), 1.into());
            let problem = refused(call.operation(), &[], &[], &changed.to_string());
            if !pointer.ends_with("/workload") {
                assert_eq!(
                    (problem.code, problem.thing.as_str()),
                    (ProblemCode::UnknownField, "surprise"),
                    "{pointer}"
                );
            }
            tried += 1;
        }
    }
    assert!(tried > 20, "{tried}");
}

/// The places of all objects in a value.
fn objects(value: &serde_json::Value, place: String) -> Vec<String> {
    let Some(object) = value.as_object() else { return Vec::new() };
    let inner = object.iter().flat_map(|(key, value)| objects(value, format!("{place}/{key}")));
    [place.clone()].into_iter().chain(inner).collect()
}

#[test]
fn an_unknown_query_parameter_is_named() {
    let problem = refused(Operation::Logs, &[("name", "a")], &[("folow", "true")], "");
    assert_eq!((problem.code, problem.thing.as_str()), (ProblemCode::UnknownField, "folow"));
    assert_eq!(problem.message, "unknown query parameter `folow`, expected one of service, follow, after, earlier");
    let problem = refused(Operation::Status, &[], &[("x", "1")], "");
    assert_eq!(problem.message, "unknown query parameter `x`, there are none");
    let problem = refused(Operation::Logs, &[("name", "a")], &[("after", "1"), ("after", "2")], "");
    assert_eq!((problem.code, problem.thing.as_str()), (ProblemCode::Malformed, "after"));
}

#[test]
fn a_wrong_value_is_named() {
    let check = |operation, path: &[(&str, &str)], query: &[(&str, &str)], body: &str, thing: &str, message: &str| {
        let problem = refused(operation, path, query, body);
        assert_eq!(
            (problem.code, problem.thing.as_str(), problem.message.as_str()),
            (ProblemCode::Malformed, thing, message)
        );
    };
    check(Operation::HasBlob, &[("id", "AB")], &[], "", "id", "`AB`: an id is 64 lower-case hexadecimal digits");
    let start = "`abcdefg`: an id is 64 lower-case hexadecimal digits; its first 8 or more will do";
    check(Operation::LedgerLease, &[("id", "abcdefg")], &[], "", "id", start);
    check(Operation::Logs, &[("name", "a")], &[("after", "-1")], "", "after", "`-1`: invalid digit found in string");
    check(Operation::WalletHistory, &[], &[("limit", "0")], "", "limit", "the limit is from 1 to 1000");
    check(Operation::LedgerBlocks, &[], &[("from", "0")], "", "from", "the first block has the height 1");
    check(Operation::LedgerSnapshot, &[], &[("at", "-1")], "", "at", "`-1`: invalid digit found in string");
    check(Operation::Invite, &[], &[], "", "body", "EOF while parsing a value");
    check(Operation::Invite, &[], &[], "{\"valid_for\":1} x", "body", "trailing characters");
    check(Operation::Invite, &[], &[], "{\"valid_for\":1,\"valid_for\":1}", "body", "duplicate field `valid_for`");
    check(Operation::Pause, &[], &[], "{}", "body", "missing field `paused`");
    check(Operation::Status, &[], &[], "{}", "body", "this operation takes no body");
    let transfer = format!("{{\"to\":\"{}\",\"amount\":\"1.0000000000001\"}}", AccountId([1; 32]));
    check(Operation::Transfer, &[], &[], &transfer, "body", "an amount has at most 12 decimal places");
    check(Operation::SetCap, &[], &[], "{}", "body", "missing field `per_day`");
    check(
        Operation::Transfer,
        &[],
        &[],
        "{\"amount\":1.5}",
        "body",
        "invalid type: floating point `1.5`, expected a string",
    );
}

#[test]
fn no_body_makes_it_panic() {
    let deep = "[".repeat(100_000);
    for body in ["null", "[]", "\"\"", "{\"manifest\":null}", "{\"manifest\":{\"services\":[]}}", "\u{0}", &deep] {
        for operation in Operation::ALL {
            let request = IncomingRequest { path: &[], query: &[], body: body.as_bytes() };
            assert!(Call::from_request(*operation, request).is_err() || *operation == Operation::SubmitTransaction);
        }
    }
}
