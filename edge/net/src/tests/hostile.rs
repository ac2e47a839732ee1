//! Peers that speak the transport but not the rules.

use grange_types::{NetworkId, PeerId, Wire};
use iroh::endpoint::{Connection, ConnectionError, QuicTransportConfig, VarInt, presets};
use iroh::{Endpoint, SecretKey};
use tokio::io::AsyncWriteExt;

use super::cloud::{NETWORK, Node, PATIENCE, Seen, config, until};
use crate::frame::{frame, read_frame};
use crate::session::CloseCode;
use crate::wire::Hello;
use crate::{PeerAddress, Protocol, RequestError, Topic};

/// A bare endpoint that greets like a peer and then does as it likes.
struct Rogue {
    endpoint: Endpoint,
    victim: PeerAddress,
}

impl Rogue {
    async fn new(victim: &Node) -> Self {
        Self::with(victim, QuicTransportConfig::default()).await
    }

    async fn with(victim: &Node, transport: QuicTransportConfig) -> Self {
        let builder = Endpoint::builder(presets::Minimal).secret_key(SecretKey::from_bytes(&[66; 32]));
        let builder = builder.transport_config(transport);
        let builder = builder.clear_ip_transports().bind_addr("127.0.0.1:0").unwrap();
        Self { endpoint: builder.bind().await.unwrap(), victim: victim.net.addresses() }
    }

    fn id(&self) -> PeerId {
        PeerId(*self.endpoint.id().as_bytes())
    }

    fn hello(&self, network: NetworkId) -> Vec<u8> {
        let address = PeerAddress { peer: self.id(), addresses: Vec::new(), relays: Vec::new() };
        frame(&Hello { network, incarnation: 7, address }.encode())
    }

    /// Connects and sends these bytes on the first stream, whatever they are.
    async fn connect(&self, protocol: Protocol, first: &[u8]) -> Connection {
        let target = self.victim.to_endpoint().unwrap();
        let connection = self.endpoint.connect(target, protocol.alpn()).await.unwrap();
        // The victim may have closed the connection by now, which is for the test to see.
        if let Ok((mut send, mut recv)) = connection.open_bi().await {
            let _ = send.write_all(first).await;
            let _ = send.shutdown().await;
            if protocol == Protocol::Exchange {
                let _ = read_frame(&mut recv, Hello::LIMIT).await;
            }
        }
        connection
    }

    /// Links like a peer.
    async fn link(&self, victim: &mut Node) -> Connection {
        let link = self.connect(Protocol::Exchange, &self.hello(NETWORK)).await;
        victim.wait_connected(self.id()).await;
        link
    }
}

/// Waits until the connection is closed by the other side and says with which code.
async fn closed(connection: &Connection) -> u64 {
    match tokio::time::timeout(PATIENCE, connection.closed()).await.unwrap() {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_frame_ends_the_link_and_its_peer_is_not_answered_for_a_while() {
    let mut victim = Node::new(1, &[]).await;
    let rogue = Rogue::new(&victim).await;
    let link = rogue.link(&mut victim).await;
    let lane = rogue.connect(Protocol::Market, &rogue.hello(NETWORK)).await;
    let mut send = lane.open_uni().await.unwrap();
    send.write_all(&frame(b"in order")).await.unwrap();
    let length = u32::try_from(Protocol::Market.message_limit() + 1).unwrap();
    send.write_all(&length.to_le_bytes()).await.unwrap();
    assert_eq!(closed(&link).await, CloseCode::Violation as u64);
    victim.wait_for(Seen::Disconnected(rogue.id()), 1).await;
    assert!(victim.log().contains(&Seen::Message(rogue.id(), Protocol::Market, b"in order".to_vec())));
    assert_eq!(victim.net.metrics().links_closed_for_violation, 1);
    let again = rogue.connect(Protocol::Exchange, &rogue.hello(NETWORK)).await;
    assert_eq!(closed(&again).await, CloseCode::Violation as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_frame_ends_the_link() {
    let mut victim = Node::new(1, &[]).await;
    let rogue = Rogue::new(&victim).await;
    let link = rogue.link(&mut victim).await;
    let lane = rogue.connect(Protocol::Sync, &rogue.hello(NETWORK)).await;
    let mut send = lane.open_uni().await.unwrap();
    send.write_all(&frame(b"cut off")[..7]).await.unwrap();
    send.shutdown().await.unwrap();
    assert_eq!(closed(&link).await, CloseCode::Violation as u64);
    victim.wait_for(Seen::Disconnected(rogue.id()), 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_on_any_stream_ends_the_link() {
    for (protocol, bytes) in [
        (Protocol::Gossip, frame(b"no gossip")),
        (Protocol::Exchange, frame(b"no notice")),
        (Protocol::Exchange, frame(&[0xff; 40_000])),
    ] {
        let mut victim = Node::new(1, &[]).await;
        let rogue = Rogue::new(&victim).await;
        let link = rogue.link(&mut victim).await;
        let on = match protocol {
            Protocol::Exchange => link.clone(),
            other => rogue.connect(other, &rogue.hello(NETWORK)).await,
        };
        let mut send = on.open_uni().await.unwrap();
        send.write_all(&bytes).await.unwrap();
        assert_eq!(closed(&link).await, CloseCode::Violation as u64, "{protocol}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_greeting_is_refused_and_nobody_is_connected() {
    let victim = Node::new(1, &[]).await;
    let rogue = Rogue::new(&victim).await;
    let foreign = rogue.hello(NetworkId([1; 32]));
    let mut altered = rogue.hello(NETWORK);
    altered.push(0);
    altered[0] += 1;
    for (first, code) in [
        (foreign.clone(), CloseCode::ForeignNetwork),
        (altered, CloseCode::Violation),
        (frame(b""), CloseCode::Violation),
        (vec![0xff; 8], CloseCode::Violation),
    ] {
        for protocol in [Protocol::Exchange, Protocol::Consensus] {
            let connection = rogue.connect(protocol, &first).await;
            assert_eq!(closed(&connection).await, code as u64, "{protocol} {first:?}");
        }
    }
    assert_eq!(victim.net.metrics().foreign_refused, 2);
    assert_eq!(victim.log(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lane_without_a_link_is_refused() {
    let victim = Node::new(1, &[]).await;
    let rogue = Rogue::new(&victim).await;
    let lane = rogue.connect(Protocol::Consensus, &rogue.hello(NETWORK)).await;
    assert_eq!(closed(&lane).await, CloseCode::NotLinked as u64);
    assert_eq!(victim.log(), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_grants_no_streams_holds_nobody_up() {
    let mut victim = Node::new(1, &[]).await;
    let narrow = QuicTransportConfig::builder().max_concurrent_bidi_streams(VarInt::from_u32(0)).build();
    let rogue = Rogue::with(&victim, narrow).await;
    let _link = rogue.link(&mut victim).await;
    let lane = rogue.connect(Protocol::Market, &rogue.hello(NETWORK)).await;
    let mut send = lane.open_uni().await.unwrap();
    send.write_all(&frame(b"here")).await.unwrap();
    // By then the victim has taken the lane for its own requests, too.
    victim.wait_for(Seen::Message(rogue.id(), Protocol::Market, b"here".to_vec()), 1).await;
    let busy = RequestError::Busy { peer: rogue.id(), protocol: Protocol::Market };
    let soon = std::time::Duration::from_secs(10);
    let opened = tokio::time::timeout(soon, victim.net.open_stream(rogue.id(), Protocol::Market)).await.unwrap();
    assert_eq!(opened.err(), Some(busy.clone()));
    let asked = victim.net.request(rogue.id(), Protocol::Market, vec![1], PATIENCE);
    assert_eq!(tokio::time::timeout(soon, asked).await.unwrap(), Err(busy));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_is_dropped_counted_and_ends_the_link() {
    let mut narrow = config(1);
    narrow.limits.messages_per_second = 10;
    let mut victim = Node::start(narrow).await;
    let rogue = Rogue::new(&victim).await;
    let link = rogue.link(&mut victim).await;
    let lane = rogue.connect(Protocol::Transactions, &rogue.hello(NETWORK)).await;
    let mut send = lane.open_uni().await.unwrap();
    let flood: Vec<u8> = (0..1_000u32).flat_map(|number| frame(&number.to_le_bytes())).collect();
    send.write_all(&flood).await.unwrap();
    assert_eq!(closed(&link).await, CloseCode::Violation as u64);
    let taken = victim.net.metrics().messages_received;
    assert!((40..200).contains(&taken), "{taken}");
    until("the count", || victim.net.metrics().violations >= 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gossip_that_breaks_the_machine_does_not_break_the_node() {
    let topic = Topic::named("poisoned");
    let (mut victim, honest) = super::cloud::pair(1, 2).await;
    victim.net.subscribe(topic);
    honest.net.subscribe(topic);
    let rogue = Rogue::new(&victim).await;
    let _link = rogue.link(&mut victim).await;
    let lane = rogue.connect(Protocol::Gossip, &rogue.hello(NETWORK)).await;
    // A broadcast whose hop count is at its maximum: topic, kind, hash, content, scope, and 65535 as a varint.
    let content = b"poison";
    let mut poison = [&topic.0[..], &[1, 0], &grange_types::BlobId::of(content).0, &[6], content, &[0]].concat();
    poison.extend([0xff, 0xff, 0x03]);
    let mut send = lane.open_uni().await.unwrap();
    send.write_all(&frame(&poison)).await.unwrap();
    // The honest peer is still heard, after the topic was joined again if need be.
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(100));
    let speaking = async {
        for number in 0u32.. {
            honest.net.publish(topic, number.to_le_bytes().to_vec());
            pause.tick().await;
            let heard = |seen: &Seen| matches!(seen, Seen::Gossip(of, bytes) if *of == topic && bytes.len() == 4);
            // Words from before the poison do not count.
            if number > 20 && victim.log().iter().rev().take(3).any(heard) {
                break;
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, speaking).await.is_ok());
}
