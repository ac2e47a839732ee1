//! Components as their clients see them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod stage;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use grange_sandbox::{Body, BodyError, LogStream, ServeError};
use grange_types::{ByteCount, Isolation, Kind};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use stage::{Stage, ask, get, post, read};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const MIB: u64 = 1 << 20;

/// Waits for a condition without assuming how long it takes.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "{what} never came true");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guestbook_keeps_every_entry_over_restarts_and_generations() {
    let stage = Stage::new();
    let mut spec = stage.example("guestbook/guestbook.wasm");
    let entries = |text: String| -> Vec<serde_json::Value> { serde_json::from_str(&text).unwrap() };
    {
        let sandboxes = stage.open();
        let guestbook = sandboxes.start(spec.clone()).await.unwrap();
        assert!(guestbook.healthy().await);
        assert_eq!(ask(&guestbook, get("/entries")).await.unwrap(), (200, "[]".into()));
        let posts: Vec<_> = (0..50)
            .map(|n| {
                let guestbook = Arc::clone(&guestbook);
                tokio::spawn(async move {
                    ask(&guestbook, post("/entries", format!(r#"{{"name":"n{n}","message":"m{n}"}}"#))).await.unwrap()
                })
            })
            .collect();
        for post in posts {
            assert_eq!(post.await.unwrap().0, 201);
        }
        let (_, text) = ask(&guestbook, get("/entries")).await.unwrap();
        assert_eq!(entries(text).len(), 50);
        assert_eq!(ask(&guestbook, post("/entries", "{}")).await.unwrap().0, 400);
        assert!(guestbook.counters().requests >= 53 && guestbook.counters().egress.0 > 0);
        assert!(guestbook.usage().disk.0 > 0);
        guestbook.stop();
    }
    let sandboxes = stage.open();
    let before = sandboxes.start(spec.clone()).await.unwrap();
    assert_eq!(entries(ask(&before, get("/entries")).await.unwrap().1).len(), 50);

    // The next generation continues on this node; the one before can write no more, and is kept.
    (spec.generation, spec.previous) = (2, Some(1));
    let after = sandboxes.start(spec.clone()).await.unwrap();
    let more = r#"{"name":"late","message":"x"}"#;
    assert_eq!(ask(&before, post("/entries", more)).await.unwrap().0, 500);
    assert_eq!(ask(&after, post("/entries", more)).await.unwrap().0, 201);
    assert_eq!(entries(ask(&after, get("/entries")).await.unwrap().1).len(), 51);

    // A generation that follows one that served elsewhere starts empty.
    (spec.generation, spec.previous) = (4, Some(3));
    let elsewhere = sandboxes.start(spec.clone()).await.unwrap();
    assert_eq!(ask(&elsewhere, get("/entries")).await.unwrap(), (200, "[]".into()));

    let export = sandboxes.export(spec.deployment, Some("web")).unwrap();
    let lines: Vec<serde_json::Value> = export.map(|line| serde_json::from_slice(&line.unwrap()).unwrap()).collect();
    // Beside its entries each store has a line that says that it was begun.
    let of = |generation: u64| lines.iter().filter(|line| line["generation"] == generation).count();
    assert_eq!((of(1), of(2), of(4)), (1 + 50, 1 + 51, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_loop_is_interrupted_and_others_go_on() {
    let mut stage = Stage::new();
    stage.config.limits.request_cpu = Duration::from_millis(700);
    let sandboxes = stage.open();
    let mut endless = stage.example("fixtures/loop.wasm");
    endless.resources.cpu_millis = 4_000;
    let endless = sandboxes.start(endless).await.unwrap();
    let echo = sandboxes.start(stage.example("fixtures/echo.wasm")).await.unwrap();
    let loops: Vec<_> = (0..4)
        .map(|_| {
            let endless = Arc::clone(&endless);
            tokio::spawn(async move { ask(&endless, get("/")).await })
        })
        .collect();
    until("four loops", || endless.usage().running == 4).await;
    for _ in 0..3 {
        // More loops than threads, and still everyone has a turn.
        assert_eq!(ask(&echo, post("/", "hello")).await.unwrap(), (200, "hello".into()));
    }
    assert_eq!(endless.usage().running, 4, "the loops ended before the others had their turn");
    for ended in loops {
        let error = ended.await.unwrap().unwrap_err();
        assert!(matches!(error, ServeError::TooSlow { .. }), "{error}");
        assert_eq!(error.status(), 504);
    }
    until("the end of all loops", || endless.usage().running == 0).await;
    let lines = endless.logs().read_after(0, 100).unwrap();
    assert!(lines.iter().any(|line| line.stream == LogStream::System && line.text.contains("a request failed")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_gets_its_share_of_a_processor_and_no_more() {
    let mut stage = Stage::new();
    stage.config.limits.request_time = Duration::from_millis(1_500);
    let sandboxes = stage.open();
    let mut spec = stage.example("fixtures/loop.wasm");
    spec.resources.cpu_millis = 100;
    let endless = sandboxes.start(spec).await.unwrap();
    let (first, second) = tokio::join!(ask(&endless, get("/")), ask(&endless, get("/")));
    assert!(matches!(first, Err(ServeError::TooSlow { .. })) && matches!(second, Err(ServeError::TooSlow { .. })));
    // A tenth of 1.5 s, 20 ms saved up, and a tick for each of the two; the rest is for a slow machine.
    let used = endless.usage().cpu.0;
    assert!((100..=400).contains(&used), "{used} ms");
}

#[tokio::test]
async fn memory_is_refused_above_the_limit() {
    let stage = Stage::new();
    let sandboxes = stage.open();
    let mut spec = stage.example("fixtures/memhog.wasm");
    spec.resources.memory = ByteCount::mib(24);
    let hog = sandboxes.start(spec).await.unwrap();
    let (status, text) = ask(&hog, get("/")).await.unwrap();
    let got: u64 = text.strip_prefix("refused after ").unwrap().split(' ').next().unwrap().parse().unwrap();
    assert_eq!(status, 200);
    assert!((16..24).contains(&got), "{text}");
    until("the memory to be given back", || hog.usage().memory == ByteCount(0)).await;

    let crash = "(memory 1) (func (export \"handle\") (param i32 i32)
        (if (i32.eq (memory.grow (i32.const 4096)) (i32.const -1)) (then unreachable)))";
    let mut spec = stage.handler(crash);
    spec.resources.memory = ByteCount::mib(24);
    let error = ask(&sandboxes.start(spec).await.unwrap(), get("/")).await.unwrap_err();
    assert!(matches!(error, ServeError::OutOfMemory { limit } if limit == ByteCount::mib(24)), "{error}");
}

#[tokio::test]
async fn a_crash_and_a_silence_are_told_apart() {
    let stage = Stage::new();
    let sandboxes = stage.open();
    let crash = stage.handler("(func $deep unreachable) (func (export \"handle\") (param i32 i32) (call $deep))");
    let crash = sandboxes.start(crash).await.unwrap();
    let error = ask(&crash, get("/")).await.unwrap_err();
    assert!(matches!(error, ServeError::Trapped { .. }), "{error}");
    assert_eq!(error.status(), 502);
    let texts: Vec<String> = crash.logs().read_after(0, 100).unwrap().into_iter().map(|line| line.text).collect();
    assert!(texts.iter().any(|text| text.contains("unreachable")), "{texts:?}");
    assert!(crash.healthy().await, "one crash is no reason to leave");

    let silent = stage.handler("(func (export \"handle\") (param i32 i32))");
    let error = ask(&sandboxes.start(silent).await.unwrap(), get("/")).await.unwrap_err();
    assert!(matches!(error, ServeError::Silent), "{error}");
}

#[tokio::test]
async fn requests_beyond_the_queue_are_refused_at_once() {
    let mut stage = Stage::new();
    (stage.config.limits.concurrency, stage.config.limits.queue) = (1, 1);
    let sandboxes = stage.open();
    let echo = sandboxes.start(stage.example("fixtures/echo.wasm")).await.unwrap();
    let (sender, held) = channel();
    let first = echo.serve(held).await.unwrap();
    let second = tokio::spawn({
        let echo = Arc::clone(&echo);
        async move { ask(&echo, post("/", "second")).await }
    });
    until("one that waits", || echo.usage().waiting == 1).await;
    let error = ask(&echo, post("/", "third")).await.unwrap_err();
    assert!(matches!(error, ServeError::Overloaded { running: 1, waiting: 1 }), "{error}");
    assert!(error.is_local());
    sender.send(Bytes::from_static(b"first")).await.unwrap();
    drop(sender);
    assert_eq!(read(first).await.unwrap(), "first");
    assert_eq!(second.await.unwrap().unwrap(), (200, "second".into()));
}

/// A request whose body is sent piece by piece.
fn channel() -> (tokio::sync::mpsc::Sender<Bytes>, http::Request<Body>) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let pieces = stream::unfold(receiver, |mut receiver: tokio::sync::mpsc::Receiver<Bytes>| async move {
        let piece = receiver.recv().await?;
        Some((Ok::<_, BodyError>(Frame::data(piece)), receiver))
    });
    (sender, http::Request::post("/").body(StreamBody::new(pieces).boxed()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_both_ways_with_back_pressure() {
    const TOTAL: u64 = 64 * MIB;
    const PIECE: usize = 64 << 10;
    let stage = Stage::new();
    let sandboxes = stage.open();
    let echo = sandboxes.start(stage.example("fixtures/echo.wasm")).await.unwrap();
    let (sender, request) = channel();
    let sent = Arc::new(AtomicU64::new(0));
    let sending = tokio::spawn({
        let sent = Arc::clone(&sent);
        async move {
            while sent.load(Ordering::SeqCst) < TOTAL {
                sender.send(Bytes::from(vec![7; PIECE])).await.unwrap();
                sent.fetch_add(PIECE as u64, Ordering::SeqCst);
            }
        }
    });
    let mut body = echo.serve(request).await.unwrap().into_body();
    let (mut received, mut ahead) = (0, 0);
    while let Some(frame) = body.frame().await {
        received += frame.unwrap().into_data().unwrap().len() as u64;
        if received < MIB {
            // A slow reader: the sender has every chance to run ahead.
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
        }
        ahead = ahead.max(sent.load(Ordering::SeqCst).saturating_sub(received));
        assert!(ahead <= MIB, "the sender was {ahead} bytes ahead of the reader");
    }
    sending.await.unwrap();
    assert_eq!(received, TOTAL);
    assert_eq!(echo.counters().egress.0, TOTAL);
    assert!(ahead > 0);
}

#[tokio::test]
async fn events_arrive_one_by_one() {
    let stage = Stage::new();
    let sandboxes = stage.open();
    let echo = sandboxes.start(stage.example("fixtures/echo.wasm")).await.unwrap();
    let mut body = echo.serve(get("/events")).await.unwrap().into_body();
    let mut arrivals = Vec::new();
    while let Some(frame) = body.frame().await {
        let text = String::from_utf8(frame.unwrap().into_data().unwrap().into()).unwrap();
        assert!(text.starts_with(&format!("id: {}\n", arrivals.len() + 1)), "{text}");
        arrivals.push(Instant::now());
    }
    assert_eq!(arrivals.len(), 5);
    let last = arrivals[4] - arrivals[0];
    assert!(last >= Duration::from_millis(700), "all events came within {last:?}");
}

#[tokio::test]
async fn one_that_nobody_listens_to_is_ended() {
    let mut stage = Stage::new();
    stage.config.limits.linger = Duration::from_millis(50);
    let sandboxes = stage.open();
    let echo = sandboxes.start(stage.example("fixtures/echo.wasm")).await.unwrap();
    let (sender, request) = channel();
    let answer = echo.serve(request).await.unwrap();
    assert_eq!(echo.usage().running, 1);
    drop(answer);
    until("the end of the request", || echo.usage().running == 0).await;
    drop(sender);
}

#[tokio::test]
async fn a_stop_ends_what_runs_and_refuses_what_comes() {
    let stage = Stage::new();
    let sandboxes = stage.open();
    let echo = sandboxes.start(stage.example("fixtures/echo.wasm")).await.unwrap();
    let (sender, request) = channel();
    let mut body = echo.serve(request).await.unwrap().into_body();
    sender.send(Bytes::from_static(b"begun")).await.unwrap();
    assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "begun");
    echo.stop();
    let end = body.frame().await.unwrap().unwrap_err();
    assert!(matches!(end, BodyError::Replica { source: ServeError::Stopped }), "{end}");
    assert!(matches!(ask(&echo, get("/")).await, Err(ServeError::Stopped)));
    assert!(!echo.healthy().await);
}

/// A server of one page; the number of requests it got.
async fn server() -> (u16, Arc<AtomicU64>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicU64::new(0));
    tokio::spawn({
        let count = Arc::clone(&count);
        async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 1024];
                let length = stream.read(&mut request).await.unwrap();
                let line = String::from_utf8_lossy(&request[..length]).lines().next().unwrap_or_default().to_owned();
                let text =
                    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{line}", line.len());
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        }
    });
    (port, count)
}

#[tokio::test]
async fn calls_go_only_to_hosts_that_are_named_and_public() {
    let mut stage = Stage::new();
    let (port, count) = server().await;
    let url = format!("/?url=http://127.0.0.1:{port}/page?q=1");
    let mut spec = stage.example("fixtures/fetch.wasm");

    let sandboxes = stage.open();
    let unnamed = sandboxes.start(spec.clone()).await.unwrap();
    assert_eq!(ask(&unnamed, get(&url)).await.unwrap(), (502, "http-request-denied\n".into()));

    spec.allow_http = vec![format!("127.0.0.1:{port}"), format!("localhost:{port}"), "[::1]".into()];
    let named = sandboxes.start(spec.clone()).await.unwrap();
    let local = format!("/?url=http://localhost:{port}/");
    for url in [&url, &local, "/?url=http://[::1]/", "/?url=https://[::1]/"] {
        assert_eq!(ask(&named, get(url)).await.unwrap(), (502, "destination-ip-prohibited\n".into()), "{url}");
    }
    assert_eq!(count.load(Ordering::SeqCst), 0, "a private address was called");

    stage.config.allow_private = true;
    stage.config.data = stage.folder.path().join("other");
    let sandboxes = stage.open();
    let fetch = sandboxes.start(spec).await.unwrap();
    assert_eq!(ask(&fetch, get(&url)).await.unwrap(), (200, "GET /page?q=1 HTTP/1.1".into()));
    assert_eq!(count.load(Ordering::SeqCst), 1);
    // There, nobody speaks TLS.
    let secure = format!("/?url=https://127.0.0.1:{port}/");
    let (status, text) = ask(&fetch, get(&secure)).await.unwrap();
    assert!(status == 502 && text.starts_with("tls-"), "{text}");
}

#[tokio::test]
async fn what_is_promised_is_said() {
    let stage = Stage::new();
    let sandboxes = stage.open();
    let kinds: Vec<Kind> = sandboxes.capabilities().iter().map(|capability| capability.kind).collect();
    assert_eq!(kinds, [Kind::Site, Kind::Wasm]);
    let wasm = sandboxes.sandbox(Kind::Wasm).capability();
    assert_eq!(wasm.isolation, Isolation::Wasm);
    assert!(wasm.limits_enforced.cpu && wasm.limits_enforced.memory && wasm.limits_enforced.disk);
    assert!(!sandboxes.sandbox(Kind::Site).capability().limits_enforced.cpu);
}
