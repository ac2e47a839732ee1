//! Two nodes that can reach each other only through a third one's relay.

use super::cloud::{Node, PATIENCE, config, until};
use crate::{PathKind, PeerAddress, Protocol, RelayOffer};

#[tokio::test(flavor = "multi_thread")]
async fn peers_meet_through_an_embedded_relay() {
    let mut offering = config(1);
    offering.relay = Some(RelayOffer::new(([127, 0, 0, 1], 0).into()));
    let third = Node::start(offering).await;
    let url = third.net.relay_url().unwrap().to_owned();

    let mut hidden = config(2);
    hidden.relays = vec![url.clone()];
    let mut b = Node::start(hidden).await;
    until("the relay of b", || !b.net.addresses().relays.is_empty()).await;
    let relayed = b.net.addresses();
    assert_eq!(relayed.relays, [format!("{url}/")]);
    assert_eq!(third.net.addresses().relays, relayed.relays, "who offers a relay says so at once");

    // A knows nothing of B but the relay, and uses no relay of its own.
    let only_relay = PeerAddress { peer: b.id(), addresses: Vec::new(), relays: relayed.relays };
    let mut a = Node::new(3, &[only_relay]).await;
    a.wait_connected(b.id()).await;
    b.wait_connected(a.id()).await;
    let answer = a.net.request(b.id(), Protocol::Market, b"through the relay".to_vec(), PATIENCE).await;
    assert_eq!(answer, Ok(b"through the relay".to_vec()));
    // Both are on this machine, so they may have found the direct path meanwhile.
    let path = a.net.peers().into_iter().find(|status| status.peer == b.id()).and_then(|status| status.path);
    assert!(matches!(path, Some(PathKind::Relayed | PathKind::Direct)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_a_peer_takes_late_is_told_on() {
    let mut offering = config(1);
    offering.relay = Some(RelayOffer::new(([127, 0, 0, 1], 0).into()));
    let third = Node::start(offering).await;
    // A has room for one link, so that it hears of B from the third alone.
    let mut full = config(3);
    full.bootstrap = vec![third.net.addresses()];
    full.limits.links = 1;
    let mut a = Node::start(full).await;
    a.wait_connected(third.id()).await;
    // B is linked long before it is connected to its relay.
    let mut hidden = config(2);
    hidden.bootstrap = vec![third.net.addresses()];
    hidden.relays = vec![third.net.relay_url().unwrap().to_owned()];
    let b = Node::start(hidden).await;
    let hears = || a.net.peers().iter().any(|status| status.peer == b.id() && !status.address.relays.is_empty());
    until("a hears of b's relay", hears).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_lets_in_so_many_and_no_more() {
    let mut offering = config(1);
    let mut offer = RelayOffer::new(([127, 0, 0, 1], 0).into());
    // One place, which the offering node itself takes.
    offer.clients = 1;
    offering.relay = Some(offer);
    let third = Node::start(offering).await;
    let url = third.net.relay_url().unwrap().to_owned();
    until("the own relay", || third.net.shared().endpoint().unwrap().addr().relay_urls().next().is_some()).await;
    let mut late = config(2);
    late.relays = vec![url];
    let b = Node::start(late).await;
    let denied = async {
        use iroh::Watcher;
        let mut status = b.net.shared().endpoint().unwrap().home_relay_status();
        while !status.get().iter().any(|relay| relay.auth_denied_reason().is_some()) {
            status.updated().await.unwrap();
        }
    };
    assert!(tokio::time::timeout(PATIENCE, denied).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_ends_with_its_node_though_another_takes_the_port_at_once() {
    let mut offering = config(1);
    offering.relay = Some(RelayOffer::new(([127, 0, 0, 1], 0).into()));
    let node = Node::start(offering).await;
    let port = node.net.addresses().addresses[0];
    let relay = node.net.relay_url().unwrap().strip_prefix("http://").unwrap().to_owned();
    assert!(std::net::TcpStream::connect(&relay).is_ok(), "the relay takes connections");
    let greedy = std::thread::spawn(move || {
        loop {
            if let Ok(socket) = std::net::UdpSocket::bind(port) {
                return socket;
            }
        }
    });
    node.net.clone().shutdown().await;
    assert!(std::net::TcpStream::connect(&relay).is_err(), "nobody listens there any more");
    drop(greedy.join());
}
