//! Messages, requests and streams.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::Instant;

use super::cloud::{Node, PATIENCE, Seen, config, pair, peer, until};
use crate::{Net, NetEvent, Protocol, RequestError};

#[tokio::test(flavor = "multi_thread")]
async fn messages_arrive_in_order_within_a_protocol() {
    let (a, mut b) = pair(1, 2).await;
    for number in 0..5_000u32 {
        a.net.send(b.id(), Protocol::Consensus, number.to_le_bytes().to_vec());
        if number % 100 == 0 {
            a.net.send(b.id(), Protocol::Sync, vec![7; Protocol::Sync.message_limit()]);
            // The queue is bounded in bytes: a large message waits for the earlier ones.
            let sent = u64::from(number + 1 + number / 100 + 1);
            until("the large message", || a.net.metrics().messages_sent == sent).await;
        }
    }
    b.wait("5000 votes and 50 blocks", |log| {
        log.iter().filter(|seen| matches!(seen, Seen::Message(..))).count() == 5_050
    })
    .await;
    let votes: Vec<u32> = b
        .log()
        .iter()
        .filter_map(|seen| match seen {
            Seen::Message(_, Protocol::Consensus, bytes) => Some(u32::from_le_bytes(bytes[..].try_into().unwrap())),
            _ => None,
        })
        .collect();
    assert!(votes.iter().copied().eq(0..5_000));
    assert_eq!(a.net.metrics().messages_dropped, 0);
    assert_eq!(b.net.metrics().messages_received, 5_050);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_sent_is_dropped_and_counted() {
    let (a, b) = pair(1, 2).await;
    a.net.send(peer(9), Protocol::Consensus, vec![1]);
    a.net.send(b.id(), Protocol::Gossip, vec![1]);
    a.net.send(b.id(), Protocol::Market, vec![1; Protocol::Market.message_limit() + 1]);
    assert_eq!(a.net.metrics().messages_dropped, 3);
    // More bytes than may wait for one peer, faster than they can leave.
    for _ in 0..64 {
        a.net.send(b.id(), Protocol::Sync, vec![1; Protocol::Sync.message_limit()]);
    }
    assert!(a.net.metrics().messages_dropped > 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_answered_refused_or_late() {
    let (a, b) = pair(1, 2).await;
    let ask = |protocol, body: Vec<u8>, deadline| a.net.request(b.id(), protocol, body, deadline);
    let body = vec![5; Protocol::Market.message_limit()];
    assert_eq!(ask(Protocol::Market, body.clone(), PATIENCE).await, Ok(body));
    assert_eq!(ask(Protocol::Market, Vec::new(), PATIENCE).await, Ok(Vec::new()));
    let refused = RequestError::Refused { peer: b.id(), protocol: Protocol::Http };
    assert_eq!(ask(Protocol::Http, vec![1], PATIENCE).await, Err(refused));
    let deadline = Duration::from_millis(300);
    let asked = Instant::now();
    let late = RequestError::Deadline { peer: b.id(), protocol: Protocol::Steward, deadline };
    assert_eq!(ask(Protocol::Steward, vec![1], deadline).await, Err(late));
    assert!(asked.elapsed() >= deadline && asked.elapsed() < deadline * 5);
    let limit = Protocol::Market.message_limit();
    let long = RequestError::TooLong { protocol: Protocol::Market, length: limit + 1, limit };
    assert_eq!(ask(Protocol::Market, vec![1; limit + 1], PATIENCE).await, Err(long));
    let reserved = RequestError::Reserved { protocol: Protocol::Gossip };
    assert_eq!(ask(Protocol::Gossip, vec![1], PATIENCE).await, Err(reserved));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_out_of_reach_is_said_to_be_so_soon() {
    let (mut a, b) = pair(1, 2).await;
    let unknown = a.net.request(peer(9), Protocol::Market, vec![1], PATIENCE).await;
    assert_eq!(unknown, Err(RequestError::Unreachable { peer: peer(9) }));
    let id = b.id();
    b.net.clone().shutdown().await;
    a.wait_for(Seen::Disconnected(id), 1).await;
    let asked = Instant::now();
    let gone = a.net.request(id, Protocol::Market, vec![1], PATIENCE).await;
    assert_eq!(gone, Err(RequestError::Unreachable { peer: id }));
    assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
    assert!(matches!(a.net.open_stream(id, Protocol::Http).await, Err(RequestError::Unreachable { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_to_a_peer_that_leaves_is_lost() {
    let (a, b) = pair(1, 2).await;
    let asking = a.net.clone();
    let id = b.id();
    let asked = tokio::spawn(async move { asking.request(id, Protocol::Steward, vec![1], PATIENCE).await });
    until("the request", || b.net.metrics().requests_received == 1).await;
    b.net.clone().shutdown().await;
    assert_eq!(asked.await.unwrap(), Err(RequestError::Lost { peer: id, protocol: Protocol::Steward }));
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_above_the_limit_are_turned_away_and_places_are_given_back() {
    let mut few = config(1);
    few.limits.requests = 4;
    let mut b = Node::start(few).await;
    let mut a = Node::new(2, &[b.net.addresses()]).await;
    a.wait_connected(b.id()).await;
    b.wait_connected(a.id()).await;
    let deadline = Duration::from_secs(2);
    let ask = |protocol| a.net.request(b.id(), protocol, vec![1], deadline);
    let answers = futures_util::future::join_all((0..6).map(|_| ask(Protocol::Steward))).await;
    let busy = RequestError::Busy { peer: b.id(), protocol: Protocol::Steward };
    assert_eq!(answers.iter().filter(|answer| **answer == Err(busy.clone())).count(), 2);
    assert_eq!(b.net.metrics().requests_refused, 2);
    // The four gave up at their deadline, which gives their places back.
    until_answered(&a.net, &b).await;
}

async fn until_answered(net: &Net, of: &Node) {
    let asking = async { while net.request(of.id(), Protocol::Market, vec![3], PATIENCE).await != Ok(vec![3]) {} };
    assert!(tokio::time::timeout(PATIENCE, asking).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_carries_64_mib_both_ways() {
    let (a, b) = pair(1, 2).await;
    let stream = a.net.open_stream(b.id(), Protocol::Http).await.unwrap();
    assert_eq!((stream.peer(), stream.protocol()), (b.id(), Protocol::Http));
    let (mut read, mut write) = tokio::io::split(stream);
    let total: usize = 64 << 20;
    let pattern = |at: usize| (at / 4_096 * 31 % 251) as u8;
    let writing = tokio::spawn(async move {
        for at in (0..total).step_by(65_536) {
            let chunk: Vec<u8> = (at..at + 65_536).map(pattern).collect();
            write.write_all(&chunk).await.unwrap();
        }
        write.shutdown().await.unwrap();
    });
    let (mut have, mut buffer) = (0, vec![0; 65_536]);
    loop {
        let count = read.read(&mut buffer).await.unwrap();
        if count == 0 {
            break;
        }
        assert!(buffer[..count].iter().enumerate().all(|(index, byte)| *byte == pattern(have + index)), "at {have}");
        have += count;
    }
    assert_eq!(have, total);
    writing.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_nobody_reads_pushes_back() {
    let (b, mut events) = Net::start(config(1)).await.unwrap();
    let mut a = Node::new(2, &[b.addresses()]).await;
    a.wait_connected(b.peer_id()).await;
    let mut stream = a.net.open_stream(b.peer_id(), Protocol::Blob).await.unwrap();
    let chunk = vec![1; 1 << 20];
    let mut written = 0usize;
    // Without a reader the writer stops when the windows are full.
    while let Ok(result) = tokio::time::timeout(Duration::from_millis(500), stream.write(&chunk)).await {
        written += result.unwrap();
        assert!(written < 64 << 20, "nothing pushed back");
    }
    let mut theirs = loop {
        if let Some(NetEvent::Stream { stream, .. }) = events.recv().await {
            break stream;
        }
    };
    // Dropped without an end: the reader gets an error after what was sent, and no silent end.
    drop(stream);
    let read = theirs.read_to_end(&mut Vec::new()).await;
    assert!(read.is_err(), "{read:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_streams_share_one_connection() {
    let (a, b) = pair(1, 2).await;
    let echoes = (0..200u8).map(|number| {
        let (net, to) = (a.net.clone(), b.id());
        async move {
            let mut stream = net.open_stream(to, Protocol::Http).await.unwrap();
            stream.write_all(&[number; 100]).await.unwrap();
            stream.shutdown().await.unwrap();
            let mut back = Vec::new();
            stream.read_to_end(&mut back).await.unwrap();
            back == [number; 100]
        }
    });
    assert!(futures_util::future::join_all(echoes).await.into_iter().all(|same| same));
    assert_eq!((a.net.metrics().streams_opened, b.net.metrics().streams_accepted), (200, 200));
}
