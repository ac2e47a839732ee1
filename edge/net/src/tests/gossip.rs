//! Gossip among four nodes.

use super::cloud::{Node, PATIENCE, Seen, peer, until};
use crate::Topic;

/// Says something new now and then, until it is heard as it shall be: a swarm that is still forming loses words.
async fn speak_until(node: &Node, topic: Topic, heard: impl Fn(&[u8]) -> bool) {
    let mut pause = tokio::time::interval(std::time::Duration::from_millis(100));
    let speaking = async {
        for number in 0u32.. {
            let words = number.to_le_bytes();
            node.net.publish(topic, words.to_vec());
            for _ in 0..5 {
                pause.tick().await;
                if heard(&words) {
                    return;
                }
            }
        }
    };
    assert!(tokio::time::timeout(PATIENCE, speaking).await.is_ok(), "nothing was heard");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_of_four_publishes_reaches_the_others_once() {
    let topic = Topic::named("offers/eu");
    let a = Node::new(1, &[]).await;
    let hub = [a.net.addresses()];
    let mut nodes = vec![a];
    for key in 2..5 {
        nodes.push(Node::new(key, &hub).await);
    }
    for node in &mut nodes {
        let me = node.id();
        node.net.subscribe(topic);
        for other in (1..5).map(peer).filter(|other| *other != me) {
            node.wait_connected(other).await;
        }
    }
    for (speaker, node) in nodes.iter().enumerate() {
        let me = Seen::Gossip(topic, format!("{speaker} speaks").into_bytes());
        // Swarms form on their own time; the gauge of the machine is that there is somebody to speak to.
        let heard = |words: &Seen| {
            let mut others = nodes.iter().enumerate().filter(|(index, _)| *index != speaker);
            others.all(|(_, other)| other.log().contains(words))
        };
        if speaker == 0 {
            speak_until(node, topic, |words| heard(&Seen::Gossip(topic, words.to_vec()))).await;
        }
        node.net.publish(topic, format!("{speaker} speaks").into_bytes());
        until("everybody hearing", || heard(&me)).await;
    }
    for node in &nodes {
        let mut gossip: Vec<Seen> = node.log().into_iter().filter(|seen| matches!(seen, Seen::Gossip(..))).collect();
        let all = gossip.len();
        gossip.sort_by_key(|seen| format!("{seen:?}"));
        gossip.dedup();
        assert_eq!(gossip.len(), all, "something came twice");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_subscribers_hear_and_too_long_is_dropped() {
    let (wanted, unwanted) = (Topic::named("wanted"), Topic::named("unwanted"));
    let (a, mut b) = super::cloud::pair(1, 2).await;
    b.net.subscribe(wanted);
    a.net.subscribe(wanted);
    a.net.subscribe(unwanted);
    a.net.publish(wanted, vec![1; grange_types::limits::GOSSIP_BYTES + 1]);
    assert_eq!(a.net.metrics().gossip_dropped, 1);
    speak_until(&a, wanted, |_| b.log().iter().any(|seen| matches!(seen, Seen::Gossip(..)))).await;
    a.net.publish(unwanted, b"not for b".to_vec());
    let largest = vec![9; grange_types::limits::GOSSIP_BYTES];
    a.net.publish(wanted, largest.clone());
    b.wait_for(Seen::Gossip(wanted, largest), 1).await;
    assert!(!b.log().iter().any(|seen| matches!(seen, Seen::Gossip(topic, _) if *topic == unwanted)));
    until("the count", || b.net.metrics().gossip_received >= 2).await;
}
