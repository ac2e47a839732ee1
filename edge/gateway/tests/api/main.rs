//! The HTTP API over real TCP, before a backend that records what it was asked.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod node;
mod rights;

use std::time::Duration;

use bytes::Bytes;
use grange_api::{Call, LogLine, Operation, Problem, ProblemCode, Reply, Timestamp};
use grange_gateway::limits;
use grange_types::limits::BLOB_BYTES;
use grange_types::{BlobId, ByteCount, PeerId, Time};
use http::{Method, Request, StatusCode};
use node::{Body, Node, TOKEN, bytes, full, json, problem, within};

fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    request.header("authorization", format!("Bearer {TOKEN}")).body(body).unwrap()
}

fn get(path: &str) -> Request<Body> {
    request(Method::GET, path, full(""))
}

fn manifest() -> String {
    let workload = format!("{{\"wasm\":{{\"component\":\"{}\",\"size\":3}}}}", BlobId::of(b"abc"));
    format!(
        "{{\"manifest\":{{\"name\":\"app\",\"budget\":\"1\",\"services\":{{\"api\":{{\"workload\":{workload},\
         \"replicas\":1,\"resources\":{{\"cpu_millis\":1,\"memory\":1,\"disk\":1}}}}}}}}}}"
    )
}

#[tokio::test]
async fn every_documented_path_leads_to_its_own_call() {
    let node = Node::start().await;
    let document = serde_json::to_value(grange_api::openapi()).unwrap();
    let mut reached = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        if !path.starts_with("/v1/") {
            continue;
        }
        for (method, described) in item.as_object().unwrap() {
            let id = described["operationId"].as_str().unwrap();
            let price = "\"1\"";
            let body = match id {
                "plan" | "deploy" => manifest(),
                "transfer" => format!("{{\"to\":\"{}\",\"amount\":\"1\"}}", "a".repeat(64)),
                "claim-name" => "{\"name\":\"a\",\"deployment\":\"a\"}".to_owned(),
                "set-prices" => format!(
                    "{{\"cpu_hour\":{price},\"memory_gib_hour\":{price},\"disk_gib_hour\":{price},\
                     \"request_million\":{price},\"egress_gib\":{price}}}"
                ),
                "pause" => "{\"paused\":true}".to_owned(),
                "set-cap" => "{\"per_day\":\"5\"}".to_owned(),
                "invite" => "{\"valid_for\":60}".to_owned(),
                "put-blob" => "abc".to_owned(),
                "create-key" => "{\"name\":\"ci\",\"scopes\":[\"read\"]}".to_owned(),
                _ => String::new(),
            };
            let path = path.replace("{id}", &BlobId::of(b"abc").to_string()).replace("{name}", "a");
            let method = method.to_uppercase().parse().unwrap();
            let response = node.send(request(method, &path, full(body))).await;
            assert_eq!(response.status(), StatusCode::OK, "{id}");
            bytes(response).await;
            let calls = node.backend.take_calls();
            assert_eq!(calls.len(), 1, "{id}");
            assert_eq!(calls[0].operation().id(), id);
            reached.push(calls[0].operation());
        }
    }
    reached.sort_unstable();
    let mut all = Operation::ALL.to_vec();
    all.sort_unstable();
    assert_eq!(reached, all);
}

#[tokio::test]
async fn arguments_arrive_decoded() {
    let node = Node::start().await;
    let calls = [
        Call::Deployment { name: "a/b ü?".into() },
        Call::Logs { name: "a".into(), service: Some("x&y=z+".into()), follow: false, after: Some(7), earlier: false },
        Call::SubmitTransaction { bytes: vec![0, 1, 255] },
        Call::WalletHistory { limit: 3 },
    ];
    for call in calls {
        let outgoing = call.to_request();
        let method = outgoing.method.as_str().parse().unwrap();
        let response = node.send(request(method, &outgoing.target, full(outgoing.body))).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(node.backend.take_calls(), [call]);
    }
}

#[tokio::test]
async fn only_the_token_opens() {
    let node = Node::start().await;
    let ask = async |field: Option<&str>| {
        let mut asking = get("/v1/status");
        asking.headers_mut().remove("authorization");
        if let Some(field) = field {
            asking.headers_mut().insert("authorization", field.parse().unwrap());
        }
        node.send(asking).await
    };
    for field in [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Bearer wrong"), Some("Basic dG9rZW4=")] {
        let response = ask(field).await;
        assert_eq!(response.headers()["www-authenticate"], "Bearer");
        let problem = problem(response, 401).await;
        assert_eq!((problem.code, problem.exit, problem.operation.as_str()), (ProblemCode::Unauthorized, 4, "status"));
        assert!(problem.remedy.contains("--token-file"), "{}", problem.remedy);
    }
    assert!(node.backend.take_calls().is_empty());
    assert_eq!(ask(Some(&format!("bearer {TOKEN}"))).await.status(), StatusCode::OK);
    // A token that was rotated is refused at once.
    node.backend.rotate("another");
    assert_eq!(problem(ask(Some(&format!("Bearer {TOKEN}"))).await, 401).await.code, ProblemCode::Unauthorized);
    assert_eq!(ask(Some("Bearer another")).await.status(), StatusCode::OK);
}

#[tokio::test]
async fn another_host_is_refused_even_with_the_token() {
    let node = Node::start().await;
    for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:80", "app.localhost"] {
        for path in ["/v1/status", "/healthz", "/nowhere"] {
            let mut asking = get(path);
            asking.headers_mut().insert("host", host.parse().unwrap());
            assert_eq!(problem(node.send(asking).await, 421).await.code, ProblemCode::WrongHost, "{host} {path}");
        }
    }
    for host in ["127.0.0.1", "localhost:1234", "[::1]:80"] {
        let mut asking = get("/v1/status");
        asking.headers_mut().insert("host", host.parse().unwrap());
        let response = node.send(asking).await;
        assert_eq!(response.status(), StatusCode::OK, "{host}");
        assert!(!response.headers().contains_key("access-control-allow-origin"));
    }
}

#[tokio::test]
async fn a_wrong_path_method_or_argument_is_one_problem() {
    let node = Node::start().await;
    let wrong = async |method: Method, path: &str, body: &str, status: u16| {
        problem(node.send(request(method, path, full(body.to_owned()))).await, status).await
    };
    let found = wrong(Method::GET, "/v1/nowhere", "", 404).await;
    assert_eq!((found.code, found.thing.as_str()), (ProblemCode::UnknownPath, "/v1/nowhere"));
    let found = wrong(Method::PATCH, "/v1/wallet", "", 405).await;
    assert_eq!((found.code, found.thing.as_str()), (ProblemCode::MethodNotAllowed, "/v1/wallet"));
    let found = wrong(Method::POST, "/v1/invites", "{\"valid_for\":60,\"forever\":true}", 422).await;
    assert_eq!((found.code, found.exit, found.thing.as_str()), (ProblemCode::UnknownField, 2, "forever"));
    assert_eq!((found.findings[0].line, found.findings[0].file.as_str()), (1, "body"));
    let found = wrong(Method::POST, "/v1/invites", "{\"valid_for\":-1}", 400).await;
    assert_eq!((found.code, found.thing.as_str()), (ProblemCode::Malformed, "body"));
    let found = wrong(Method::GET, "/v1/status?verbose=1", "", 422).await;
    assert_eq!((found.code, found.thing.as_str()), (ProblemCode::UnknownField, "verbose"));
    let found = wrong(Method::GET, "/v1/status", "{}", 400).await;
    assert_eq!((found.code, found.thing.as_str()), (ProblemCode::Malformed, "body"));
    let found = wrong(Method::GET, "/v1/deployments/%ff", "", 400).await;
    assert_eq!((found.code, found.thing.as_str()), (ProblemCode::Malformed, "path"));
    let found = wrong(Method::GET, "/v1/deployments/missing", "", 404).await;
    assert_eq!((found.code, found.exit, found.thing.as_str()), (ProblemCode::NotFound, 3, "missing"));
    let methods = node.send(request(Method::PATCH, "/v1/wallet", full(""))).await.headers()["allow"].clone();
    assert_eq!(methods, "GET,HEAD");
}

#[tokio::test]
async fn a_body_above_its_limit_is_refused_and_its_sender_gets_to_read_why() {
    let node = Node::start().await;
    let large = |bytes: usize| full(vec![b' '; bytes]);
    let check = async |asking: Request<Body>| {
        let problem = problem(node.send(asking).await, 413).await;
        assert_eq!((problem.code, problem.exit), (ProblemCode::TooLarge, 6));
    };
    check(request(Method::POST, "/v1/plan", large(grange_api::BODY_BYTES + 1))).await;
    check(request(Method::POST, "/v1/plan", large(8 * grange_api::BODY_BYTES))).await;
    check(request(Method::POST, "/v1/transactions", large(1 << 20))).await;
    // Its length alone says that it is too large: nothing is read.
    let mut asking = request(Method::PUT, &format!("/v1/blobs/{}", BlobId([1; 32])), full("x"));
    let length = BLOB_BYTES.0 + 1;
    asking.headers_mut().insert("content-length", length.into());
    check(asking).await;
    assert!(node.backend.take_calls().is_empty() && node.backend.blobs().is_empty());
    // At the limit it is only no JSON.
    let body = large(grange_api::BODY_BYTES);
    assert_eq!(
        problem(node.send(request(Method::POST, "/v1/plan", body)).await, 400).await.code,
        ProblemCode::Malformed
    );
}

#[tokio::test]
async fn a_blob_is_kept_only_if_it_is_what_it_is_named() {
    let node = Node::start().await;
    let content = vec![7; 3 << 20];
    let (id, path) = (BlobId::of(&content), |id: BlobId| format!("/v1/blobs/{id}"));
    let found = problem(node.send(request(Method::PUT, &path(id), full("other bytes"))).await, 422).await;
    assert_eq!((found.code, found.thing.as_str()), (ProblemCode::HashMismatch, id.to_string().as_str()));
    assert!(node.backend.blobs().is_empty());
    // The sender breaks off: nothing is kept.
    let (pieces, body) = node::piped();
    let sending = tokio::spawn(async move {
        pieces.send(Ok(Bytes::from("some"))).await.unwrap();
        pieces.send(Err("gone".into())).await.unwrap();
    });
    assert!(node.try_send(request(Method::PUT, &path(id), body)).await.is_err());
    sending.await.unwrap();
    assert!(node.backend.blobs().is_empty());
    // Longer than the limit, and only the bytes tell.
    let (pieces, body) = node::piped();
    let sending = tokio::spawn(async move {
        let piece = Bytes::from(vec![0; 1 << 20]);
        for _ in 0..=BLOB_BYTES.0 >> 20 {
            if pieces.send(Ok(piece.clone())).await.is_err() {
                break;
            }
        }
    });
    let found = problem(node.send(request(Method::PUT, &path(id), body)).await, 413).await;
    assert_eq!(found.code, ProblemCode::TooLarge);
    sending.await.unwrap();
    assert!(node.backend.blobs().is_empty());
    let missing = node.send(request(Method::HEAD, &path(id), full(""))).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);
    let stored = json(node.send(request(Method::PUT, &path(id), full(content.clone()))).await).await;
    assert_eq!(stored, serde_json::json!({"id": id.to_string(), "size": content.len()}));
    assert_eq!(node.backend.blobs(), [(id, ByteCount(content.len() as u64))]);
    let present = node.send(request(Method::HEAD, &path(id), full(""))).await;
    assert_eq!(present.status(), StatusCode::OK);
    assert_eq!(present.headers()["content-length"], content.len().to_string());
    assert!(bytes(present).await.is_empty());
}

fn log(id: u64) -> LogLine {
    let (service, stream, text) = ("api".into(), "stdout".into(), format!("line {id}\u{2028}\n"));
    LogLine { id, at: Timestamp(Time(id)), service, replica: 0, provider: PeerId([1; 32]), generation: 1, stream, text }
}

#[tokio::test]
async fn lines_arrive_one_by_one_and_a_problem_ends_them() {
    let node = Node::start().await;
    let lines = node.backend.next_lines();
    let mut response = node.send(get("/v1/deployments/app/logs")).await;
    assert_eq!(response.headers()["content-type"], "application/x-ndjson");
    for id in 0..3 {
        lines.send(Ok(grange_api::Line::Log(log(id)))).await.unwrap();
        let line = node::next(&mut response).await.unwrap();
        assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?}");
        assert_eq!(serde_json::from_str::<LogLine>(&line).unwrap(), log(id));
    }
    lines.send(Err(Problem::new(ProblemCode::ReplicaFailed, "logs", "app", "it broke off"))).await.unwrap();
    drop(lines);
    let last: Problem = serde_json::from_str(&node::next(&mut response).await.unwrap()).unwrap();
    assert_eq!(last.code, ProblemCode::ReplicaFailed);
    assert_eq!(node::next(&mut response).await, None);
}

#[tokio::test]
async fn followed_logs_are_events_that_can_be_resumed() {
    let node = Node::start().await;
    let lines = node.backend.next_lines();
    let mut asking = get("/v1/deployments/app/logs?follow=true&after=3");
    asking.headers_mut().insert("last-event-id", "41".parse().unwrap());
    let mut response = node.send(asking).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let expected = Call::Logs { name: "app".into(), service: None, follow: true, after: Some(41), earlier: false };
    assert_eq!(node.backend.take_calls(), [expected]);
    lines.send(Ok(grange_api::Line::Log(log(42)))).await.unwrap();
    let event = node::next(&mut response).await.unwrap();
    let data = event.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
    assert_eq!(serde_json::from_str::<LogLine>(data).unwrap(), log(42));
    assert!(event.lines().any(|line| line == "id: 42") && event.ends_with("\n\n"), "{event:?}");
    lines.send(Err(Problem::new(ProblemCode::NotFound, "logs", "app", "it was ended"))).await.unwrap();
    let event = node::next(&mut response).await.unwrap();
    assert!(event.contains("event: problem\n") && event.contains("\"code\":\"not-found\""), "{event:?}");
    let mut asking = get("/v1/deployments/app/logs");
    asking.headers_mut().insert("last-event-id", "x".parse().unwrap());
    assert_eq!(problem(node.send(asking).await, 400).await.thing, "Last-Event-ID");
}

#[tokio::test]
async fn the_open_paths_need_no_token() {
    let node = Node::start().await;
    let ask = async |path: &str| {
        let asking = Request::get(path).header("host", "127.0.0.1").body(full("")).unwrap();
        node.send(asking).await
    };
    let health = ask("/healthz").await;
    assert_eq!(health.headers()[grange_api::PEER_HEADER].to_str().unwrap(), "01".repeat(32));
    assert_eq!(bytes(health).await, "ok\n");
    assert_eq!(bytes(ask("/readyz").await).await, "ready\n");
    node.backend.unready("3 blocks behind");
    let found = problem(ask("/readyz").await, 503).await;
    assert_eq!((found.code, found.message.as_str()), (ProblemCode::NotReady, "3 blocks behind"));
    let metrics = ask("/metrics").await;
    assert!(metrics.headers()["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    assert_eq!(bytes(metrics).await, "grange_height 7\n");
    assert!(node.backend.take_calls().is_empty());
}

#[tokio::test]
async fn the_end_of_the_node_ends_open_streams() {
    let node = Node::start().await;
    let lines = node.backend.next_lines();
    let mut response = node.send(get("/v1/deployments/app/logs?follow=true")).await;
    lines.send(Ok(grange_api::Line::Log(log(1)))).await.unwrap();
    node::next(&mut response).await.unwrap();
    tokio::time::timeout(Duration::from_secs(4), node.stop()).await.expect("it stops within its five seconds");
    assert_eq!(node::next(&mut response).await, None);
    assert!(limits::SHUTDOWN_TIMEOUT < Duration::from_secs(4));
}

#[tokio::test]
async fn bytes_that_are_no_http_end_the_connection_and_nothing_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let node = Node::start().await;
    for garbage in [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", &[b'a'; 300_000]] {
        let mut stream = tokio::net::TcpStream::connect(node.address).await.unwrap();
        // The other end may close before all is written.
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = within(stream.read_to_end(&mut answer)).await;
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{}", String::from_utf8_lossy(&answer));
    }
    assert!(matches!(node.send(get("/v1/wallet")).await.status(), StatusCode::OK));
    assert!(matches!(node.backend.take_calls().as_slice(), [Call::Wallet]));
    let reply = serde_json::to_value(Reply::Replicas(Vec::new())).unwrap();
    assert_eq!(reply, serde_json::json!([]));
}
