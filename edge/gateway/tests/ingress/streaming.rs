//! Bodies on their way: large ones both ways in bounded memory, events one by one, breaks, the end of the node.

use std::sync::Arc;
use std::time::Duration;

use crate::world::{World, full, piped, replica, target, text, within};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use grange_gateway::Body;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, watch};

const PIECE: usize = 64 << 10;
const PIECES: usize = 1_024;
/// What may be on its way at once: buffers of sockets, of the in-memory stream and of the connections.
const IN_FLIGHT: u64 = 16 << 20;

/// A piece that differs from its neighbours.
fn piece(number: usize) -> Bytes {
    Bytes::from(vec![u8::try_from(number % 251).unwrap(); PIECE])
}

fn whole_hash() -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for number in 0..PIECES {
        hasher.update(&piece(number));
    }
    hasher.finalize()
}

/// A body of 64 MiB, and how much of it was taken.
fn large() -> (watch::Receiver<u64>, Body) {
    let (pieces, body) = piped(1);
    let (told, taken) = watch::channel(0);
    tokio::spawn(async move {
        for number in 0..PIECES {
            // The other side may have gone.
            if pieces.send(piece(number)).await.is_err() {
                return;
            }
            told.send_modify(|taken| *taken += PIECE as u64);
        }
    });
    (taken, body)
}

/// Waits until a count has not moved for a while, and gives it.
async fn settled(count: &mut watch::Receiver<u64>) -> u64 {
    while let Ok(Ok(())) = tokio::time::timeout(Duration::from_millis(300), count.changed()).await {}
    *count.borrow()
}

async fn hash(mut body: impl hyper::body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    while let Some(frame) = body.frame().await {
        hasher.update(&frame.unwrap().into_data().unwrap());
    }
    hasher.finalize()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_waits_for_the_replica_that_takes_it() {
    let gate = Arc::new(Semaphore::new(0));
    let opening = Arc::clone(&gate);
    let app = replica(move |request: Request<Body>| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            Ok(Response::new(full(hash(request.into_body()).await.to_string())))
        }
    });
    let world = World::with_app(app).await;
    let (mut taken, body) = large();
    let mut client = world.connect().await;
    let request = Request::post("/").header("host", "app.localhost").body(body).unwrap();
    let asking = tokio::spawn(async move { text(client.send(request).await).await });
    let in_flight = settled(&mut taken).await;
    assert!(in_flight > 0 && in_flight < IN_FLIGHT, "{in_flight} bytes were read ahead");
    opening.add_permits(1);
    assert_eq!(within(asking).await.unwrap(), whole_hash().to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_waits_for_the_client_that_takes_it() {
    let (told, mut counts) = tokio::sync::mpsc::channel(1);
    let app = replica(move |_| {
        let told = told.clone();
        async move {
            let (taken, body) = large();
            told.send(taken).await.unwrap();
            Ok(Response::new(body))
        }
    });
    let world = World::with_app(app).await;
    let response = world.get("app.localhost", "/").await;
    let mut taken = counts.recv().await.unwrap();
    let in_flight = settled(&mut taken).await;
    assert!(in_flight > 0 && in_flight < IN_FLIGHT, "{in_flight} bytes were read ahead");
    assert!(world.shared.usage(target(1, 1)).1 < IN_FLIGHT);
    assert_eq!(within(hash(response.into_body())).await, whole_hash());
    assert_eq!(world.shared.usage(target(1, 1)), (1, (PIECE * PIECES) as u64));
}

async fn next(response: &mut Response<Incoming>) -> String {
    let frame = within(response.frame()).await.unwrap().unwrap();
    String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap()
}

/// A replica whose answers are events that the test sends.
fn events() -> (tokio::sync::mpsc::Receiver<tokio::sync::mpsc::Sender<Bytes>>, Arc<crate::world::Replica>) {
    let (told, senders) = tokio::sync::mpsc::channel(4);
    let app = replica(move |_| {
        let told = told.clone();
        async move {
            let (sender, body) = piped(1);
            told.send(sender).await.unwrap();
            Ok(Response::builder().header("content-type", "text/event-stream").body(body).unwrap())
        }
    });
    (senders, app)
}

#[tokio::test]
async fn events_arrive_and_are_counted_one_by_one() {
    let (mut senders, app) = events();
    let world = World::with_app(app).await;
    let mut response = world.get("app.localhost", "/").await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let sender = senders.recv().await.unwrap();
    for number in 0..5_u64 {
        let event = format!("data: {number}\n\n");
        sender.send(event.clone().into()).await.unwrap();
        assert_eq!(next(&mut response).await, event);
        assert_eq!(world.shared.usage(target(1, 1)), (1, (number + 1) * event.len() as u64));
    }
    drop(sender);
    assert!(within(response.frame()).await.is_none());
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_replicas_work() {
    let (mut senders, app) = events();
    let world = World::with_app(app).await;
    let mut response = world.get("app.localhost", "/").await;
    let sender = senders.recv().await.unwrap();
    sender.send("data: 1\n\n".into()).await.unwrap();
    next(&mut response).await;
    drop(response);
    within(async {
        // Some events fit into buffers; then the replica's body is dropped.
        while sender.send("data: 2\n\n".into()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_taken_for_a_whole_one() {
    let gate = Arc::new(Semaphore::new(0));
    let opening = Arc::clone(&gate);
    let app = replica(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            let first = Ok(hyper::body::Frame::data(Bytes::from("half")));
            let second = async move {
                gate.acquire().await.unwrap().forget();
                Err("the disk is gone".into())
            };
            let pieces = stream::once(async { first }).chain(stream::once(second));
            Ok(Response::new(BodyExt::boxed(StreamBody::new(Box::pin(pieces)))))
        }
    });
    let world = World::with_app(app).await;
    let mut response = world.get("app.localhost", "/").await;
    assert_eq!(next(&mut response).await, "half");
    opening.add_permits(1);
    assert!(within(response.into_body().collect()).await.is_err());
    assert!(world.shared.has_failed(target(1, 1)));
    // The stream on which it broke off is not used again.
    let again = world.get("app.localhost", "/").await;
    assert_eq!(again.status(), StatusCode::OK);
    assert_eq!(world.shared.opened(), 2);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_upload_reaches_the_client() {
    let app = replica(|_| async { Ok(Response::builder().status(403).body(full("no uploads")).unwrap()) });
    let world = World::with_app(app).await;
    let (pieces, body) = piped(1);
    pieces.send("first".into()).await.unwrap();
    let request = Request::post("/").header("host", "app.localhost").body(body).unwrap();
    let response = world.send(request).await;
    assert_eq!((response.status().as_u16(), text(response).await.as_str()), (403, "no uploads"));
    drop(pieces);
    // The half-sent request leaves nothing behind that the next one could stumble over.
    for _ in 0..3 {
        assert_eq!(world.get("app.localhost", "/").await.status(), StatusCode::FORBIDDEN);
    }
}

#[tokio::test]
async fn the_end_of_the_node_does_not_wait_for_clients() {
    let (mut senders, app) = events();
    let world = World::with_app(app).await;
    let mut response = world.get("app.localhost", "/").await;
    let idle = world.connect().await;
    let sender = senders.recv().await.unwrap();
    sender.send("data: 1\n\n".into()).await.unwrap();
    next(&mut response).await;
    tokio::time::timeout(Duration::from_secs(4), world.stop()).await.expect("it stops within its five seconds");
    assert!(within(response.frame()).await.is_none_or(|frame| frame.is_err()));
    drop(idle);
}
