//! What peers say to each other about themselves.

use grange_types::{NetworkId, PeerId, Wire};
use iroh_gossip::proto::Message;
use serde::{Deserialize, Serialize};

use crate::address::PeerAddress;

/// Peers told in one [`Notice`]: at 1.4 KB each, below 64 KiB.
pub(crate) const PEERS_PER_NOTICE: usize = 32;

/// The first frame of every connection, both ways on a link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The network the speaker is in.
    pub(crate) network: NetworkId,
    /// A number drawn at the speaker's start: another one means that it was restarted.
    pub(crate) incarnation: u64,
    /// Where the speaker can be reached; left empty on connections that are no link.
    pub(crate) address: PeerAddress,
}

impl Wire for Hello {
    const NAME: &'static str = "hello";
    const LIMIT: usize = 32 + 10 + PeerAddress::LIMIT;
}

/// What a peer tells another now and then over their link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Where the speaker can be reached now.
    pub(crate) own: PeerAddress,
    /// Some of the peers it is linked with now, at most [`PEERS_PER_NOTICE`].
    pub(crate) linked: Vec<PeerAddress>,
}

impl Wire for Notice {
    const NAME: &'static str = "notice";
    const LIMIT: usize = (1 + PEERS_PER_NOTICE) * PeerAddress::LIMIT + 1;
}

/// A message of the gossip machine.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct GossipFrame(pub(crate) Message<PeerId>);

impl Wire for GossipFrame {
    const NAME: &'static str = "gossip-frame";
    const LIMIT: usize = crate::Protocol::Gossip.message_limit();
}

#[cfg(test)]
mod tests {
    use iroh_gossip::proto::{Command, Config, InEvent, OutEvent, PeerData, Scope, State, TopicId};
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use tokio::time::Instant;

    use super::*;

    fn address(byte: u8) -> PeerAddress {
        let port = 4_000 + u16::from(byte);
        PeerAddress {
            peer: PeerId([byte; 32]),
            addresses: vec![([192, 0, 2, byte], port).into()],
            relays: vec![format!("http://192.0.2.{byte}:3340/")],
        }
    }

    #[test]
    fn golden_hello() {
        let hello = Hello { network: NetworkId([9; 32]), incarnation: 0x0123_4567_89ab_cdef, address: address(7) };
        grange_types::codec::check_golden(&hello, include_str!("../golden/hello.hex"));
    }

    #[test]
    fn golden_notice() {
        let notice = Notice { own: address(1), linked: vec![address(2), address(3)] };
        grange_types::codec::check_golden(&notice, include_str!("../golden/notice.hex"));
    }

    /// What the gossip machine sends when it broadcasts to one neighbour.
    fn broadcast(content: &[u8]) -> GossipFrame {
        let topic = TopicId::from_bytes([5; 32]);
        let state = |byte| {
            let config = Config { max_message_size: GossipFrame::LIMIT, ..Config::default() };
            State::new(PeerId([byte; 32]), PeerData::default(), config, StdRng::seed_from_u64(u64::from(byte)))
        };
        let (mut ours, mut theirs): (State<PeerId, StdRng>, State<PeerId, StdRng>) = (state(1), state(2));
        let now = Instant::now();
        let join = InEvent::Command(topic, Command::Join(vec![PeerId([1; 32])]));
        let _ = ours.handle(InEvent::Command(topic, Command::Join(Vec::new())), now, None).count();
        let sent: Vec<_> = theirs.handle(join, now, None).collect();
        for event in sent {
            if let OutEvent::SendMessage(_, message) = event {
                let _ = ours.handle(InEvent::RecvMessage(PeerId([2; 32]), message), now, None).count();
            }
        }
        let command = Command::Broadcast(content.to_vec().into(), Scope::Swarm);
        let sent = ours.handle(InEvent::Command(topic, command), now, None);
        let message = sent.into_iter().find_map(|event| match event {
            OutEvent::SendMessage(_, message) => Some(message),
            _ => None,
        });
        GossipFrame(message.unwrap())
    }

    #[test]
    fn golden_gossip_frame() {
        grange_types::codec::check_golden(&broadcast(b"a price sheet"), include_str!("../golden/gossip-frame.hex"));
    }

    #[test]
    fn the_largest_gossip_is_within_the_limit() {
        let frame = broadcast(&vec![7; grange_types::limits::GOSSIP_BYTES]);
        assert!(frame.encode().len() <= GossipFrame::LIMIT);
    }
}
