//! The ingress: names and routes, retries, refusals, deadlines, pages.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::world::{Node, Wires, World, full, get, named, piped, replica, target, text, within};
use grange_gateway::{Body, Deadlines, Resolved, ServeFailure, VisitError};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::sync::Semaphore;

const SHORT: Deadlines = Deadlines {
    connect: Duration::from_millis(200),
    first_byte: Duration::from_millis(300),
    watch: Duration::from_millis(20),
};

fn post(host: &str, path: &str, body: Body) -> Request<Body> {
    Request::post(path).header("host", host).body(body).unwrap()
}

#[tokio::test]
async fn a_name_and_a_path_lead_to_a_service() {
    let world = World::new().await;
    world.shared.routes("app", &[("/", &[target(1, 1)]), ("/entries", &[target(2, 1)])]);
    world.shared.routes("other", &[("/only", &[target(2, 1)])]);
    world.shared.run(target(1, 1), named("front"));
    world.shared.run(target(2, 1), named("entries"));
    let check = async |host: &str, path: &str, expected: &str| {
        let response = world.get(host, path).await;
        assert_eq!(response.status(), StatusCode::OK, "{host} {path}");
        assert_eq!(text(response).await, expected, "{host} {path}");
    };
    check("app.localhost", "/", "front").await;
    check(&format!("app.localhost:{}", world.address.port()), "/index.html?x=/entries", "front").await;
    check("APP.localhost.", "/entries", "entries").await;
    check("app.localhost:80", "/entries/1?a=b", "entries").await;
    check("other.localhost", "/only/this", "entries").await;
    check("ignored.example", "http://app.localhost/entries", "entries").await;
    assert_eq!(world.get("other.localhost", "/").await.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn pages_say_what_is_wrong_in_the_form_that_is_asked_for() {
    let world = World::new().await;
    world.shared.name("broke", Resolved::NoReplica { reason: "the budget <is> used".into() });
    let ask = async |host: &str, accept: &str| {
        let mut request = get(host, "/");
        request.headers_mut().insert("accept", accept.parse().unwrap());
        let response = world.send(request).await;
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        (response.status().as_u16(), kind, response.headers().contains_key("retry-after"), text(response).await)
    };
    let (status, kind, retry, page) = ask("nobody.localhost", "text/html,*/*").await;
    assert_eq!((status, kind.as_str(), retry), (404, "text/html; charset=utf-8", false));
    assert!(page.contains("<code>nobody</code>") && page.contains("grange ps"), "{page}");
    let (status, kind, retry, page) = ask("broke.localhost", "text/html").await;
    assert_eq!((status, kind.as_str(), retry), (503, "text/html; charset=utf-8", true));
    assert!(page.contains("the budget &lt;is&gt; used"), "{page}");
    let (status, kind, _, page) = ask("broke.localhost", "application/json").await;
    assert_eq!((status, kind.as_str()), (503, "application/problem+json"));
    let problem: grange_api::Problem = serde_json::from_str(&page).unwrap();
    assert_eq!((problem.code.word(), problem.thing.as_str()), ("no-replica", "broke"));
    let (status, kind, _, page) = ask("broke.localhost", "*/*").await;
    assert_eq!((status, kind.as_str()), (503, "text/plain; charset=utf-8"));
    assert!(page.contains("the budget <is> used"), "{page}");
    assert_eq!(ask("127.0.0.1:80", "*/*").await.0, 404);
    assert_eq!(ask("broke.localhost.example.org", "*/*").await.0, 404);
}

#[tokio::test]
async fn what_the_replica_gets_is_the_request_without_the_hop() {
    let app = replica(|request: Request<Body>| async move {
        let mut fields: Vec<_> =
            request.headers().iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        fields.sort();
        let line = format!("{} {} {}", request.method(), request.uri(), fields.join(" "));
        let answer = Response::builder().status(203).header("grange-failure", "crashed").header("x-app", "1");
        let answer = answer.header("connection", "x-secret").header("x-secret", "1");
        Ok(answer.body(full(line)).unwrap())
    });
    let world = World::with_app(app).await;
    let request = Request::get("http://app.localhost:80/a%20b?c=d")
        .header("host", "app.localhost:80")
        .header("connection", "x-hop")
        .header("x-hop", "1")
        .header("grange-lease", "1")
        .header("x-forwarded-for", "6.6.6.6")
        .header("x-kept", "1")
        .body(full(""))
        .unwrap();
    let response = world.send(request).await;
    assert_eq!(response.status(), 203);
    assert_eq!(response.headers()["x-app"], "1");
    assert!(!response.headers().contains_key("grange-failure") && !response.headers().contains_key("x-secret"));
    let expected = "GET /a%20b?c=d host=app.localhost:80 x-forwarded-for=127.0.0.1 x-forwarded-host=app.localhost:80 \
                    x-forwarded-proto=http x-kept=1";
    assert_eq!(text(response).await, expected);
}

#[tokio::test]
async fn a_replica_that_cannot_be_reached_is_passed_over_for_every_method() {
    let world = World::with_deadlines(SHORT).await;
    for (number, node) in [(1, Node::Dead), (3, Node::Stuck)] {
        let (bad, good) = (target(number, 1), target(2, 1));
        world.shared.routes("app", &[("/", &[bad, good])]);
        world.shared.node(bad, node);
        world.shared.run(good, replica(|request: Request<Body>| async move { Ok(Response::new(request.into_body())) }));
        // Whoever's turn it is, every request is answered.
        for _ in 0..4 {
            let response = world.send(post("app.localhost", "/", full("kept"))).await;
            assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "kept"));
        }
        assert!(world.shared.has_failed(bad) && !world.shared.has_failed(good));
        assert_eq!(world.shared.usage(bad), (0, 0));
    }
}

#[tokio::test]
async fn a_request_that_was_sent_is_repeated_only_if_it_may_be_done_twice() {
    let world = World::new().await;
    let (bad, good) = (target(1, 1), target(2, 1));
    world.shared.node(bad, Node::Breaking);
    world.shared.run(good, named("good"));
    // The broken one is healthy as far as anyone knows, and the other one is not: so it is always asked first.
    let routes = [grange_gateway::RouteEntry { prefix: "/".into(), targets: vec![bad, good], healthy: 1 }];
    world.shared.name("app", Resolved::Targets { routes: routes.into() });
    let status = async |method: &str, body: &'static str| {
        let request = Request::builder().method(method).uri("/").header("host", "app.localhost");
        world.send(request.body(full(body)).unwrap()).await.status().as_u16()
    };
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"] {
        assert_eq!(status(method, "").await, 200, "{method}");
    }
    assert_eq!(status("POST", "").await, 502);
    assert_eq!(status("POST", "body").await, 502);
    assert_eq!(status("PUT", "body").await, 502);
    assert!(world.shared.has_failed(bad));
    // It is repeated once, not for ever.
    let breaking = [target(3, 1), target(4, 1), target(5, 1)];
    breaking.iter().for_each(|target| world.shared.node(*target, Node::Breaking));
    world.shared.routes("app", &[("/", &breaking)]);
    let before = world.shared.opened();
    assert_eq!(status("GET", "").await, 502);
    assert_eq!(world.shared.opened(), before + 2);
}

#[tokio::test]
async fn the_old_lease_serves_nothing() {
    let world = World::with_app(named("old")).await;
    assert_eq!(text(world.get("app.localhost", "/").await).await, "old");
    // The replica is superseded while an idle stream to it is open and the gateway's view is old.
    world.shared.stop(target(1, 1));
    let response = world.get("app.localhost", "/").await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(text(response).await.contains("does not run this replica any more"));
    assert!(world.shared.has_failed(target(1, 1)));
    // A stream opened anew is refused in its header.
    assert_eq!(world.get("app.localhost", "/").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    // The same lease in another generation is another replica.
    world.shared.run(target(1, 2), named("new"));
    assert_eq!(world.get("app.localhost", "/").await.status(), StatusCode::SERVICE_UNAVAILABLE);
    world.shared.routes("app", &[("/", &[target(1, 1), target(1, 2)])]);
    for _ in 0..4 {
        assert_eq!(text(world.send(post("app.localhost", "/", full(""))).await).await, "new");
    }
    assert_eq!(world.shared.usage(target(1, 1)).0, 1);
    assert_eq!(world.shared.usage(target(1, 2)).0, 4);
}

#[tokio::test]
async fn every_failure_of_a_replica_has_its_status() {
    let app = replica(|request: Request<Body>| async move {
        Err(match request.uri().path() {
            "/overloaded" => ServeFailure::Overloaded,
            "/slow" => ServeFailure::TooSlow,
            "/large" => ServeFailure::TooLarge,
            "/bad" => ServeFailure::BadRequest,
            "/crash" => ServeFailure::Crashed,
            _ => ServeFailure::NotRunning,
        })
    });
    let world = World::with_app(app).await;
    for (path, status) in
        [("/overloaded", 503), ("/slow", 504), ("/large", 413), ("/bad", 400), ("/crash", 502), ("/", 503)]
    {
        let response = world.get("app.localhost", path).await;
        assert_eq!(response.status().as_u16(), status, "{path}");
        assert!(!response.headers().contains_key("grange-failure"), "{path}");
        assert!(text(response).await.contains("grange logs app"), "{path}");
    }
    assert_eq!(world.shared.usage(target(1, 1)), (0, 0), "a failure is not paid");
}

#[tokio::test]
async fn a_silent_replica_and_a_silent_node_end_in_504() {
    let world = World::with_deadlines(SHORT).await;
    world.shared.routes("app", &[("/", &[target(1, 1)]), ("/stuck", &[target(2, 1)])]);
    world.shared.run(target(1, 1), replica(|_| std::future::pending()));
    world.shared.node(target(2, 1), Node::Stuck);
    for path in ["/", "/stuck"] {
        assert_eq!(world.get("app.localhost", path).await.status(), StatusCode::GATEWAY_TIMEOUT, "{path}");
    }
    assert!(world.shared.has_failed(target(1, 1)) && world.shared.has_failed(target(2, 1)));
}

#[tokio::test]
async fn an_upload_that_moves_is_not_silent() {
    let app = replica(|request: Request<Body>| async move {
        let bytes = request.into_body().collect().await.map_err(|_| ServeFailure::BadRequest)?.to_bytes();
        Ok(Response::new(full(bytes.len().to_string())))
    });
    let world = World::with_deadlines(SHORT).await;
    world.shared.routes("app", &[("/", &[target(1, 1)])]);
    world.shared.run(target(1, 1), app);
    let (pieces, body) = piped(1);
    let sending = tokio::spawn(async move {
        // Three times the deadline in all, each pause a third of it.
        for _ in 0..9 {
            pieces.send("x".into()).await.unwrap();
            tokio::time::sleep(SHORT.first_byte / 3).await;
        }
    });
    let response = world.send(post("app.localhost", "/", body)).await;
    assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "9"));
    sending.await.unwrap();
}

#[tokio::test]
async fn a_replica_that_is_superseded_while_silent_is_given_up() {
    let entered = Arc::new(Semaphore::new(0));
    let world = World::new().await;
    let entering = Arc::clone(&entered);
    let silent = replica(move |_| {
        entering.add_permits(1);
        std::future::pending()
    });
    let (old, new) = (target(1, 1), target(2, 2));
    world.shared.run(old, silent);
    world.shared.run(new, named("new"));
    // The next one stands behind it already, for when it is gone.
    world.shared.routes("app", &[("/", &[old])]);
    let routes = [grange_gateway::RouteEntry { prefix: "/".into(), targets: vec![old, new], healthy: 1 }];
    world.shared.name("app", Resolved::Targets { routes: routes.into() });
    let shared = Arc::clone(&world.shared);
    let moving = tokio::spawn(async move {
        entered.acquire().await.unwrap().forget();
        shared.routes("app", &[("/", &[new])]);
    });
    assert_eq!(text(world.get("app.localhost", "/").await).await, "new");
    moving.await.unwrap();
}

#[tokio::test]
async fn changes_of_protocol_are_refused() {
    let world = World::with_app(named("app")).await;
    let ask = async |upgrade: &str| {
        let request = Request::get("/").header("host", "app.localhost").header("connection", "upgrade");
        world.send(request.header("upgrade", upgrade).body(full("")).unwrap()).await.status().as_u16()
    };
    assert_eq!(ask("websocket").await, 501);
    assert_eq!(ask("h2c").await, 200);
}

#[tokio::test]
async fn requests_one_after_the_other_share_one_stream() {
    let world =
        World::with_app(replica(|request: Request<Body>| async move { Ok(Response::new(request.into_body())) }));
    let world = world.await;
    let mut client = world.connect().await;
    for round in 0..50 {
        let body = "x".repeat(round * 997);
        let response = client.send(post("app.localhost", "/", full(body.clone()))).await;
        assert_eq!(text(response).await, body);
        let response = client.send(get("app.localhost", "/")).await;
        assert_eq!(text(response).await, "");
    }
    assert_eq!(world.shared.opened(), 1);
    let bytes: u64 = (0..50).map(|round| round * 997).sum();
    assert_eq!(world.shared.usage(target(1, 1)), (100, bytes));
}

#[tokio::test]
async fn an_idle_stream_that_was_cut_costs_no_request() {
    let app = replica(|request: Request<Body>| async move { Ok(Response::new(request.into_body())) });
    let world = World::with_app(app).await;
    for round in 1..=5 {
        let response = world.send(post("app.localhost", "/", full("kept"))).await;
        assert_eq!((response.status().as_u16(), text(response).await.as_str()), (200, "kept"));
        assert_eq!(world.shared.opened(), round);
        world.shared.cut().await;
    }
    assert!(!world.shared.has_failed(target(1, 1)));
}

#[tokio::test]
async fn more_requests_than_streams_wait_for_one_another() {
    static BUSY: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    let gate = Arc::new(Semaphore::new(0));
    let opening = Arc::clone(&gate);
    let app = replica(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            MOST.fetch_max(BUSY.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            gate.acquire().await.unwrap().forget();
            BUSY.fetch_sub(1, Ordering::SeqCst);
            Ok(Response::new(full("ok")))
        }
    });
    let world = World::with_app(app).await;
    let limit = grange_gateway::limits::STREAMS_PER_TARGET;
    let mut asking = tokio::task::JoinSet::new();
    for _ in 0..limit + 50 {
        let mut client = world.connect().await;
        asking.spawn(async move { text(client.send(get("app.localhost", "/")).await).await });
    }
    within(async {
        while BUSY.load(Ordering::SeqCst) < limit {
            tokio::task::yield_now().await;
        }
    })
    .await;
    opening.add_permits(limit + 50);
    assert!(asking.join_all().await.iter().all(|answer| answer == "ok"));
    assert_eq!(MOST.load(Ordering::SeqCst), limit);
    assert!(world.shared.opened() <= limit);
}

#[tokio::test]
async fn a_visit_tells_answers_from_silence_and_both_from_absence() {
    let world = World::new().await;
    let look = async |number: u8| {
        let wires = Wires(Arc::clone(&world.shared));
        let within = Duration::from_millis(200);
        grange_gateway::visit(&wires, &target(number, 1), "app.localhost", "/health", within, false)
            .await
            .map(|visited| visited.status)
    };
    world.shared.run(
        target(1, 1),
        replica(|request: Request<Body>| async move {
            let asked = (request.uri().path() == "/health") && request.headers()["host"] == "app.localhost";
            Ok(Response::builder().status(if asked { 204 } else { 400 }).body(full("")).unwrap())
        }),
    );
    assert_eq!(look(1).await.unwrap(), StatusCode::NO_CONTENT);
    world.shared.run(target(2, 1), replica(|_| async { Err(ServeFailure::Crashed) }));
    assert_eq!(look(2).await.unwrap(), StatusCode::BAD_GATEWAY, "it runs, and answers badly");
    world.shared.run(target(3, 1), replica(|_| std::future::pending()));
    assert!(matches!(look(3).await, Err(VisitError::Late { .. })));
    assert!(matches!(look(4).await, Err(VisitError::NotRunning)));
    world.shared.node(target(5, 1), Node::Dead);
    assert!(matches!(look(5).await, Err(VisitError::Connect(_))));
    world.shared.node(target(6, 1), Node::Stuck);
    assert!(matches!(look(6).await, Err(VisitError::NotTaken { .. })));
    world.shared.node(target(7, 1), Node::Breaking);
    assert!(matches!(look(7).await, Err(VisitError::Broken(_) | VisitError::Frame(_))));
    assert_eq!(world.shared.usage(target(1, 1)), (0, 0), "a visit is not on the bill");
}

#[tokio::test]
async fn a_visit_reads_the_whole_answer_where_that_is_what_counts() {
    let world = World::new().await;
    let page = vec![b'x'; 20_000];
    let told = page.clone();
    let answer = move |_: Request<Body>| {
        let page = told.clone();
        async move { Ok(Response::new(full(page))) }
    };
    world.shared.run(target(1, 1), replica(answer));
    let wires = Wires(Arc::clone(&world.shared));
    let within = Duration::from_secs(10);
    let visited = grange_gateway::visit(&wires, &target(1, 1), "app.localhost", "/", within, true).await.unwrap();
    assert_eq!((visited.status, visited.content), (StatusCode::OK, Some(grange_types::BlobId::of(&page))));
}
