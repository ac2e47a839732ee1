//! Links: who gets connected to whom, and again.

use grange_types::NetworkId;
use tokio::time::Instant;

use super::cloud::{Node, Seen, config, pair, peer, until};
use crate::{PathKind, PeerAddress};

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_connect_from_one_bootstrap_address() {
    let (mut a, b) = pair(1, 2).await;
    let status = a.net.peers();
    assert_eq!(status.len(), 1);
    assert!(status[0].connected && status[0].rtt.is_some());
    assert_eq!((status[0].peer, status[0].path), (b.id(), Some(PathKind::Direct)));
    // The one that was dialled has learned where the other can be reached.
    a.wait_for(Seen::Learned(b.net.addresses()), 1).await;
    assert_eq!(a.net.metrics().links, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_that_know_one_become_a_full_mesh() {
    let a = Node::new(1, &[]).await;
    let hub = [a.net.addresses()];
    let mut nodes = vec![a];
    for key in 2..5 {
        nodes.push(Node::new(key, &hub).await);
    }
    for node in &mut nodes {
        let me = node.id();
        for other in (1..5).map(peer).filter(|other| *other != me) {
            node.wait_connected(other).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn peers_tell_each_other_about_peers() {
    let mut c = Node::new(3, &[]).await;
    let mut b = Node::new(2, &[c.net.addresses()]).await;
    b.wait_connected(c.id()).await;
    // A knows only B; that there is a C it can only have from B.
    let mut a = Node::new(1, &[b.net.addresses()]).await;
    a.wait_connected(c.id()).await;
    c.wait_connected(a.id()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn both_may_dial_at_once_and_keep_one_link() {
    for round in 0..5 {
        let (left, right) = (10 + 2 * round, 11 + 2 * round);
        let (mut a, mut b) = (Node::new(left, &[]).await, Node::new(right, &[]).await);
        let (to_a, to_b) = (a.net.addresses(), b.net.addresses());
        a.net.add_address(to_b);
        b.net.add_address(to_a);
        a.wait_connected(b.id()).await;
        b.wait_connected(a.id()).await;
        // Content gets through in both directions, so whatever link stayed is the same one for both.
        for message in 0..20u8 {
            a.net.send(b.id(), crate::Protocol::Market, vec![message]);
            b.net.send(a.id(), crate::Protocol::Market, vec![message]);
        }
        a.wait("a message from b", |log| log.iter().any(|seen| matches!(seen, Seen::Message(..)))).await;
        b.wait("a message from a", |log| log.iter().any(|seen| matches!(seen, Seen::Message(..)))).await;
        assert_eq!((a.net.metrics().links, b.net.metrics().links), (1, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_leaves_says_so_and_is_linked_again_when_it_returns_on_its_port() {
    let (mut a, mut b) = pair(1, 2).await;
    let address = b.net.addresses();
    b.net.clone().shutdown().await;
    let left = Instant::now();
    let port = address.addresses[0];
    // Also while clones of the stopped node are still held.
    assert!(std::net::UdpSocket::bind(port).is_ok(), "{port} is still taken");
    a.wait_for(Seen::Disconnected(b.id()), 1).await;
    assert!(left.elapsed().as_millis() < 1_000, "a farewell took {:?}", left.elapsed());
    b.wait_for(Seen::Disconnected(a.id()), 1).await;
    drop(b);
    // It comes back knowing nobody: A must find it.
    let mut returned = config(2);
    returned.bind = Some(port);
    let back = Instant::now();
    let b = Node::start(returned).await;
    a.wait_for(Seen::Connected(b.id()), 2).await;
    println!("linked again after {:?}", back.elapsed());
    assert_eq!(b.net.addresses(), address);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_that_nobody_noticed_ends_the_old_session_first() {
    let (mut a, b) = pair(1, 2).await;
    // The same key elsewhere, while the old node still runs: to A it is the same peer, restarted.
    let mut again = Node::new(2, &[a.net.addresses()]).await;
    again.wait_connected(a.id()).await;
    a.wait_for(Seen::Connected(b.id()), 2).await;
    let of_b: Vec<Seen> =
        a.log().into_iter().filter(|seen| matches!(seen, Seen::Connected(_) | Seen::Disconnected(_))).take(3).collect();
    assert_eq!(of_b, [Seen::Connected(b.id()), Seen::Disconnected(b.id()), Seen::Connected(b.id())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_of_another_network_is_refused_by_both() {
    let a = Node::new(1, &[]).await;
    let mut foreign = config(2);
    foreign.network = NetworkId([43; 32]);
    foreign.bootstrap = vec![a.net.addresses()];
    let b = Node::start(foreign).await;
    until("the refusal", || a.net.metrics().foreign_refused >= 1 && b.net.metrics().foreign_refused >= 1).await;
    assert!(!a.net.is_connected(b.id()) && !b.net.is_connected(a.id()));
    assert_eq!((a.log(), b.log()), (Vec::new(), Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_node_refuses_and_stays_with_whom_it_has() {
    let mut narrow = config(1);
    narrow.limits.links = 1;
    let mut a = Node::start(narrow).await;
    let b = Node::new(2, &[a.net.addresses()]).await;
    a.wait_connected(b.id()).await;
    let c = Node::new(3, &[a.net.addresses()]).await;
    until("the refusal", || a.net.metrics().connections_refused >= 1).await;
    assert!(!a.net.is_connected(c.id()));
    assert!(a.net.is_connected(b.id()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_leads_to_another_key_leads_nowhere() {
    let a = Node::new(1, &[]).await;
    let wrong = PeerAddress { peer: peer(9), ..a.net.addresses() };
    let b = Node::new(2, &[wrong]).await;
    until("a failed attempt", || b.net.metrics().dials_failed >= 1).await;
    assert_eq!(b.net.metrics().connected, 0);
}
