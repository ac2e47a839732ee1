//! Where a peer can be reached.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use grange_types::{PeerId, Wire};
use iroh::{EndpointAddr, PublicKey, RelayUrl, TransportAddr};
use serde::{Deserialize, Serialize};

/// Socket addresses of one peer: a few interfaces in two families.
pub(crate) const ADDRESSES_PER_PEER: usize = 16;
/// Relays of one peer.
pub(crate) const RELAYS_PER_PEER: usize = 4;
/// The text of one relay's URL.
pub(crate) const RELAY_URL_BYTES: usize = 255;

/// A peer and where it can be reached: what an invitation carries and what peers tell each other.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PeerAddress {
    /// Who it is.
    pub peer: PeerId,
    /// UDP socket addresses, at most 16.
    pub addresses: Vec<SocketAddr>,
    /// URLs of relays the peer can be reached through, such as `http://192.0.2.7:3340`, at most 4.
    pub relays: Vec<String>,
}

impl Wire for PeerAddress {
    const NAME: &'static str = "peer-address";
    // id 32; 16 × 20 for addresses; 4 × 257 for relays; two lengths.
    const LIMIT: usize = 32 + ADDRESSES_PER_PEER * 20 + RELAYS_PER_PEER * (RELAY_URL_BYTES + 2) + 2;
}

impl PeerAddress {
    /// The address without what cannot be dialled (unspecified and multicast addresses, port 0, texts that are no
    /// URL), sorted, without doubles, and cut to the limits. URLs are spelled in the one way that the transport does.
    #[must_use]
    pub(crate) fn cleaned(self) -> Self {
        let dialable = |address: &SocketAddr| {
            let broadcast = matches!(address.ip(), IpAddr::V4(ip) if ip.is_broadcast());
            address.port() != 0 && !address.ip().is_unspecified() && !address.ip().is_multicast() && !broadcast
        };
        let addresses: BTreeSet<SocketAddr> = self.addresses.into_iter().filter(dialable).collect();
        let spelled = |url: String| url.parse::<RelayUrl>().ok().map(|url| url.to_string());
        let relays = self.relays.into_iter().filter_map(spelled).filter(|url| url.len() <= RELAY_URL_BYTES);
        let relays: BTreeSet<String> = relays.collect();
        Self {
            peer: self.peer,
            addresses: addresses.into_iter().take(ADDRESSES_PER_PEER).collect(),
            relays: relays.into_iter().take(RELAYS_PER_PEER).collect(),
        }
    }

    /// Whether there is nowhere to dial.
    pub(crate) const fn is_empty(&self) -> bool {
        self.addresses.is_empty() && self.relays.is_empty()
    }

    /// Both addresses of the same peer together, within the limits; this one's come first when there are too many.
    pub(crate) fn joined(&self, other: &Self) -> Self {
        let mut joined = self.clone();
        for address in &other.addresses {
            if !joined.addresses.contains(address) && joined.addresses.len() < ADDRESSES_PER_PEER {
                joined.addresses.push(*address);
            }
        }
        for relay in &other.relays {
            if !joined.relays.contains(relay) && joined.relays.len() < RELAYS_PER_PEER {
                joined.relays.push(relay.clone());
            }
        }
        joined
    }

    /// In the transport's words, or nothing when the id is no key of the curve.
    pub(crate) fn to_endpoint(&self) -> Option<EndpointAddr> {
        let id = PublicKey::from_bytes(&self.peer.0).ok()?;
        let addresses = self.addresses.iter().map(|address| TransportAddr::Ip(*address));
        let relays = self.relays.iter().filter_map(|url| url.parse().ok()).map(TransportAddr::Relay);
        Some(EndpointAddr::from_parts(id, addresses.chain(relays)))
    }

    /// From the transport's words.
    pub(crate) fn from_endpoint(address: &EndpointAddr) -> Self {
        Self {
            peer: PeerId(*address.id.as_bytes()),
            addresses: address.ip_addrs().copied().collect(),
            relays: address.relay_urls().map(ToString::to_string).collect(),
        }
        .cleaned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_drops_what_cannot_be_dialled_and_keeps_the_limits() {
        let mut addresses: Vec<SocketAddr> =
            ["0.0.0.0:9", "224.0.0.1:9", "10.0.0.1:0", "255.255.255.255:9", "[::]:9", "10.0.0.1:9", "10.0.0.1:9"]
                .iter()
                .map(|text| text.parse().unwrap())
                .collect();
        let relays = ["no url", "http://10.0.0.1:3340", "http://10.0.0.1:3340/"].map(str::to_owned);
        let relays = [relays.to_vec(), vec![format!("http://{}", "a".repeat(300))]].concat();
        let address = PeerAddress { peer: PeerId([1; 32]), addresses: addresses.clone(), relays };
        let cleaned = address.cleaned();
        assert_eq!(cleaned.addresses, ["10.0.0.1:9".parse().unwrap()]);
        assert_eq!(cleaned.relays, ["http://10.0.0.1:3340/"]);
        for port in 1..100 {
            addresses.push(SocketAddr::from(([10, 0, 0, 2], port)));
        }
        let many = PeerAddress { peer: PeerId([1; 32]), addresses, relays: Vec::new() }.cleaned();
        assert_eq!(many.addresses.len(), ADDRESSES_PER_PEER);
    }

    #[test]
    fn the_largest_address_is_within_the_limit() {
        let socket = |port: u16| SocketAddr::from(([0xff; 8].map(|byte: u8| u16::from(byte) << 8), 60_000 + port));
        let relay = |last| format!("http://{}{last}/", "a".repeat(RELAY_URL_BYTES - 9));
        let address = PeerAddress {
            peer: PeerId([0xff; 32]),
            addresses: (0..16).map(socket).collect(),
            relays: (0..4).map(relay).collect(),
        };
        assert!(address.encode().len() <= PeerAddress::LIMIT, "{}", address.encode().len());
    }

    #[test]
    fn golden() {
        let address = PeerAddress {
            peer: PeerId([7; 32]),
            addresses: vec!["192.0.2.7:4433".parse().unwrap(), "[2001:db8::7]:4433".parse().unwrap()],
            relays: vec!["http://192.0.2.7:3340/".to_owned()],
        };
        grange_types::codec::check_golden(&address, include_str!("../golden/peer-address.hex"));
    }
}
