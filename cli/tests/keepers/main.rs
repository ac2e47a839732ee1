//! Key-values outlive their providers: the guestbook is written to without a pause while its provider is killed again and
//! again. In a binary of its own, for it takes minutes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
#[path = "../cloud/support.rs"]
mod support;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{Cloud, http, until};

/// How often the provider is killed.
const KILLS: usize = 20;
/// How long another one may take to be written to again.
const REPLACED_WITHIN: Duration = Duration::from_secs(20);
/// Who writes at the same time.
const WRITERS: usize = 3;

/// What visitors wrote, and was acknowledged.
#[derive(Default)]
struct Book {
    number: AtomicU64,
    acknowledged: Mutex<BTreeSet<String>>,
    refused: AtomicU64,
    stop: AtomicBool,
}

impl Book {
    fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Writes entries through a gateway until it is told to stop.
    fn write(&self, gateway: &str) {
        while !self.stop.load(Ordering::SeqCst) {
            let message = format!("entry number {}", self.number.fetch_add(1, Ordering::SeqCst));
            let body = format!(r#"{{"name":"visitor","message":"{message}"}}"#);
            if http("POST", gateway, "book", "/entries", &body).0 / 100 == 2 {
                self.acknowledged.lock().unwrap().insert(message);
            } else {
                self.refused.fetch_add(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Stops the writers also when the test fails, or their threads would be waited for for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn replica(cloud: &Cloud) -> Value {
    cloud.json_of(0, &["ps", "book"])[0].clone()
}

/// Kills the provider and waits until writes are acknowledged under a newer generation. Gives the node and how long it took.
fn kill(cloud: &mut Cloud, book: &Book) -> (usize, Duration) {
    let before = replica(cloud);
    let victim = cloud.index_of(before["provider"].as_str().unwrap());
    assert_ne!(victim, 0, "another operator serves it: {before}");
    cloud.kill(victim);
    let started = Instant::now();
    let moved = || replica(cloud)["generation"].as_u64() > before["generation"].as_u64();
    until("it is placed anew", REPLACED_WITHIN, moved);
    let acknowledged = book.count();
    let goes_on = || book.count() > acknowledged + WRITERS;
    until("writes are acknowledged again", REPLACED_WITHIN, goes_on);
    let took = started.elapsed();
    assert!(took < REPLACED_WITHIN, "{took:?} after the kill of node {victim}");
    cloud.revive(victim);
    (victim, took)
}

/// The messages of the book, as one gateway shows it.
fn messages(cloud: &Cloud, node: usize) -> BTreeSet<String> {
    let (status, body) = cloud.get(node, "book", "/entries");
    assert_eq!(status, 200, "{body}");
    let entries: Vec<Value> = serde_json::from_str(&body).unwrap();
    entries.iter().map(|entry| entry["message"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_acknowledged_entry_outlives_twenty_kills_of_its_provider() {
    let mut cloud = Cloud::start(4);
    let folder = cloud.guestbook("book", "");
    cloud.json(&["deploy", folder.to_str().unwrap()]);
    let book = Book::default();
    let gateway = cloud.nodes[0].gateway.clone();
    let mut taken = Vec::new();
    std::thread::scope(|scope| {
        let _stop = Stop(&book.stop);
        for _ in 0..WRITERS {
            scope.spawn(|| book.write(&gateway));
        }
        until("the first entries are acknowledged", Duration::from_secs(20), || book.count() > 10);
        for number in 1..=KILLS {
            let (victim, took) = kill(&mut cloud, &book);
            let counts = (book.count(), book.refused.load(Ordering::SeqCst));
            println!("kill {number}: node {victim}, written to again after {took:?}; {counts:?} written and refused");
            taken.push(took);
        }
    });
    let acknowledged = book.acknowledged.lock().unwrap().clone();
    let kept = messages(&cloud, 0);
    let lost: Vec<&String> = acknowledged.difference(&kept).collect();
    assert!(lost.is_empty(), "{} of {} acknowledged entries are lost: {lost:?}", lost.len(), acknowledged.len());
    assert!(acknowledged.len() > KILLS * 10, "it was written to: {}", acknowledged.len());
    // Who keeps it is told a moment after the last kill.
    let copies = || replica(&cloud)["copies"].as_u64();
    until("it has a second copy", Duration::from_secs(20), || copies().is_some_and(|copies| copies >= 2));
    let replica = replica(&cloud);
    assert!(replica["generation"].as_u64().unwrap() > KILLS as u64, "{replica}");
    assert!(!replica["keepers"].as_array().unwrap().contains(&replica["provider"]), "{replica}");
    println!("{} entries, all there; slowest {:?}", acknowledged.len(), taken.iter().max().unwrap());
}
