//! A peer that dies without a word.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::cloud::{Node, Seen, config, peer};
use crate::PeerAddress;

/// Under this variable a process of this test plays the victim: its value is the UDP port of the node it knows.
const VICTIM: &str = "GRANGE_NET_TEST_VICTIM";
const WITNESS_KEY: u8 = 1;
const VICTIM_KEY: u8 = 2;

/// A process that is killed when the test ends, however it ends.
struct Victim(Child);

impl Victim {
    fn start(witness: &Node) -> Self {
        let port = witness.net.addresses().addresses[0].port();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::death::victim", "--test-threads=1"])
            .env(VICTIM, port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        Self(child.unwrap())
    }

    /// `kill -9`.
    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The victim's life. On its own, as one of the tests, it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn victim() {
    let Ok(port) = std::env::var(VICTIM) else { return };
    let address = ([127, 0, 0, 1], port.parse().unwrap()).into();
    let witness = PeerAddress { peer: peer(WITNESS_KEY), addresses: vec![address], relays: Vec::new() };
    let mut life = config(VICTIM_KEY);
    life.bootstrap = vec![witness];
    let _node = Node::start(life).await;
    std::future::pending::<()>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_is_missed_within_three_seconds_and_linked_again_when_it_returns() {
    let mut witness = Node::new(WITNESS_KEY, &[]).await;
    let mut victim = Victim::start(&witness);
    for round in 1..=3 {
        witness.wait_for(Seen::Connected(peer(VICTIM_KEY)), round).await;
        victim.kill();
        let killed = Instant::now();
        witness.wait_for(Seen::Disconnected(peer(VICTIM_KEY)), round).await;
        println!("missed after {:?}", killed.elapsed());
        assert!(killed.elapsed() < Duration::from_secs(3), "{:?}", killed.elapsed());
        victim = Victim::start(&witness);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_returns_before_it_was_missed_is_linked_at_once() {
    let mut witness = Node::new(WITNESS_KEY, &[]).await;
    let mut victim = Victim::start(&witness);
    witness.wait_for(Seen::Connected(peer(VICTIM_KEY)), 1).await;
    victim.kill();
    let killed = Instant::now();
    let _again = Victim::start(&witness);
    witness.wait_for(Seen::Connected(peer(VICTIM_KEY)), 2).await;
    println!("linked again after {:?}", killed.elapsed());
    let log: Vec<Seen> = witness.log().into_iter().filter(|seen| !matches!(seen, Seen::Learned(_))).collect();
    let id = peer(VICTIM_KEY);
    assert_eq!(log, [Seen::Connected(id), Seen::Disconnected(id), Seen::Connected(id)]);
}
