//! API keys and the audit log at the door: what a key opens, and what is written down.

use grange_api::{Call, Operation, ProblemCode, REQUEST_HEADER, Sending};
use grange_gateway::CallResult;
use grange_types::Right;
use http::{Method, Request, StatusCode};

use crate::node::{self, Body, KEY, Node, bytes, full, problem};

fn with(token: &str, method: Method, path: &str, body: &str) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    request.header("authorization", format!("Bearer {token}")).body(full(body.to_owned())).unwrap()
}

#[tokio::test]
async fn a_key_opens_what_its_scopes_say_and_nothing_else() {
    let node = Node::start().await;
    node.backend.allow(&[Right::Read, Right::Deploy], "");
    let ask = async |method: Method, path: &str| node.send(with(KEY, method, path, "")).await;
    assert_eq!(ask(Method::GET, "/v1/wallet").await.status(), StatusCode::OK);
    assert_eq!(ask(Method::DELETE, "/v1/deployments/shop").await.status(), StatusCode::OK);
    assert_eq!(node.backend.take_calls().len(), 2);
    for operation in Operation::ALL {
        let allowed = matches!(operation.right(), Some(Right::Read | Right::Deploy));
        if allowed {
            continue;
        }
        let endpoint = operation.endpoint();
        let path = endpoint.path.replace("{name}", "a").replace("{id}", &"1".repeat(64));
        let refused = problem(ask(endpoint.method.as_str().parse().unwrap(), &path).await, 403).await;
        assert_eq!((refused.code, refused.exit), (ProblemCode::Denied, 4), "{}", operation.id());
        assert!(refused.remedy.contains("grange key create") || refused.remedy.contains("GRANGE_TOKEN"));
    }
    assert!(node.backend.take_calls().is_empty());
    assert_eq!(problem(node.send(with("expired", Method::GET, "/v1/status", "")).await, 401).await.exit, 4);
}

#[tokio::test]
async fn a_key_with_a_prefix_is_for_those_names_only() {
    let node = Node::start().await;
    node.backend.allow(&[Right::Read, Right::Deploy, Right::Pay, Right::Name], "shop");
    let ask = async |method: Method, path: &str, body: &str| node.send(with(KEY, method, path, body)).await;
    for path in ["/v1/deployments/shop", "/v1/deployments/shop-2", "/v1/ledger/names/shop"] {
        assert_eq!(ask(Method::GET, path, "").await.status(), StatusCode::OK, "{path}");
    }
    // Whose an id is, the backend knows, which is told for which names the key is.
    let id = "5409".repeat(16);
    for id in [&id[..], &id[..8]] {
        for path in [format!("/v1/deployments/{id}"), format!("/v1/ledger/leases/{id}")] {
            node.backend.take_calls();
            assert_eq!(ask(Method::GET, &path, "").await.status(), StatusCode::OK, "{path}");
            assert_eq!((node.backend.take_calls().len(), node.backend.prefix()), (1, "shop".to_owned()));
        }
    }
    node.backend.take_calls();
    let claim = |name: &str, deployment: &str| format!("{{\"name\":\"{name}\",\"deployment\":\"{deployment}\"}}");
    let transfer = format!("{{\"to\":\"{}\",\"amount\":\"1\"}}", "a".repeat(64));
    let outside = [
        (Method::GET, "/v1/deployments/other", String::new()),
        (Method::GET, "/v1/deployments/5409540", String::new()),
        (Method::GET, "/v1/ledger/names/other", String::new()),
        (Method::DELETE, "/v1/deployments/sho", String::new()),
        (Method::GET, "/v1/wallet", String::new()),
        (Method::POST, "/v1/wallet/transfers", transfer),
        (Method::POST, "/v1/names", claim("other", "shop")),
        (Method::POST, "/v1/names", claim("shop", "other")),
    ];
    for (method, path, body) in outside {
        let refused = problem(ask(method, path, &body).await, 403).await;
        assert_eq!(refused.code, ProblemCode::Denied, "{path} {body}");
        assert!(refused.message.contains("shop"), "{}", refused.message);
    }
    assert!(node.backend.take_calls().is_empty());
}

/// What a key that is for names that begin with `shop` and has every scope gets of what is asked with no more than a path.
/// Whoever adds an operation decides here.
#[tokio::test]
async fn what_is_everybodys_is_open_to_a_key_with_a_prefix_and_what_is_the_accounts_is_not() {
    let node = Node::start().await;
    node.backend.allow(&Right::ALL, "shop");
    let mut open = Vec::new();
    for operation in Operation::ALL {
        let endpoint = operation.endpoint();
        if endpoint.sending != Sending::Nothing || operation.right().is_none() {
            continue;
        }
        let path = endpoint.path.replace("{name}", "other").replace("{id}", &"1".repeat(64));
        let answer = node.send(with(KEY, endpoint.method.as_str().parse().unwrap(), &path, "")).await;
        match answer.status() {
            StatusCode::FORBIDDEN => {}
            _ => open.push(*operation),
        }
    }
    let everybodys = [Operation::Status, Operation::Peers, Operation::Offers, Operation::Providers, Operation::Trust];
    let ledgers = [Operation::LedgerHeight, Operation::LedgerGenesis, Operation::Network];
    // Of the lists it sees its own, a lease is looked up among its own, and a blob is found by its hash alone.
    let narrowed = [Operation::Deployments, Operation::Names, Operation::LedgerLease, Operation::HasBlob];
    let mut expected = [&everybodys[..], &ledgers, &narrowed].concat();
    open.sort();
    expected.sort();
    assert_eq!(open, expected);
}

#[tokio::test]
async fn every_call_is_written_down_once_with_what_came_of_it() {
    let node = Node::start().await;
    node.backend.allow(&[Right::Read], "");
    let answer = node.send(with(KEY, Method::GET, "/v1/deployments/shop", "")).await;
    let id = answer.headers()[REQUEST_HEADER].to_str().unwrap().to_owned();
    bytes(answer).await;
    problem(node.send(with(KEY, Method::DELETE, "/v1/deployments/shop", "")).await, 403).await;
    problem(node.send(with("nobody's", Method::GET, "/v1/wallet", "")).await, 401).await;
    problem(node.send(with(KEY, Method::GET, "/v1/deployments/missing", "")).await, 404).await;
    let records = node.backend.take_records();
    let short: Vec<_> = records
        .iter()
        .map(|record| {
            let principal = record.principal.as_ref().map(|principal| principal.name.as_str());
            (principal, record.operation, record.object.as_str(), record.status, record.result)
        })
        .collect();
    assert_eq!(
        short,
        [
            (Some("ci"), Operation::Deployment, "shop", 200, CallResult::Done),
            (Some("ci"), Operation::Down, "", 403, CallResult::Failed(ProblemCode::Denied)),
            (None, Operation::Wallet, "", 401, CallResult::Failed(ProblemCode::Unauthorized)),
            (Some("ci"), Operation::Deployment, "missing", 404, CallResult::Failed(ProblemCode::NotFound)),
        ]
    );
    assert_eq!(records[0].request, id);
    assert!(records.windows(2).all(|pair| pair[0].request != pair[1].request));
    assert!(matches!(node.backend.take_calls().as_slice(), [Call::Deployment { .. }, Call::Deployment { .. }]));
}

#[tokio::test]
async fn a_stream_is_written_down_when_it_ends_or_is_left() {
    let node = Node::start().await;
    let follow = || with(node::TOKEN, Method::GET, "/v1/deployments/app/logs?follow=true", "");
    let lines = node.backend.next_lines();
    let answer = node.send(follow()).await;
    assert!(node.backend.take_records().is_empty());
    let failed = grange_api::Problem::new(ProblemCode::ReplicaFailed, "logs", "app", "it broke off");
    lines.send(Err(failed)).await.unwrap();
    drop(lines);
    bytes(answer).await;
    let records = node.backend.take_records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].result, CallResult::Failed(ProblemCode::ReplicaFailed));
    let _lines = node.backend.next_lines();
    let answer = node.send(follow()).await;
    let backend = std::sync::Arc::clone(&node.backend);
    node.stop().await;
    drop(answer);
    let records = backend.take_records();
    assert_eq!((records.len(), records[0].result), (1, CallResult::Cut));
}
