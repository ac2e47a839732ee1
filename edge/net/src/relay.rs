//! The relay that a node may offer to its peers.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};

use iroh::{EndpointId, RelayUrl};
use iroh_relay::server::{
    Access, AccessControl, ClientRateLimit, ClientRequest, ConnectionId, RelayConfig, Server, ServerConfig,
};

use crate::address::PeerAddress;
use crate::config::RelayOffer;
use crate::error::NetError;

/// Keys whose check is remembered: a few times the clients. The library's default reserves memory for a million.
const KEY_CACHE: usize = 1_024;

/// A running relay; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    server: Server,
    bound: SocketAddr,
    public_url: Option<String>,
}

impl Relay {
    /// Starts the relay.
    pub(crate) async fn start(offer: &RelayOffer) -> Result<Self, NetError> {
        if let Some(url) = &offer.public_url {
            url.parse::<RelayUrl>().map_err(|source| NetError::RelayUrl { url: url.clone(), source })?;
        }
        let mut relay = RelayConfig::new(offer.bind);
        relay.key_cache_capacity = Some(KEY_CACHE);
        relay.limits.client_rx = NonZeroU32::new(offer.client_bytes_per_second).map(ClientRateLimit::new);
        relay.access = std::sync::Arc::new(Doorkeeper { most: offer.clients, inside: AtomicUsize::new(0) });
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        let server = Server::spawn(config)
            .await
            .map_err(|source| NetError::OfferRelay { address: offer.bind, source: Box::new(source) })?;
        let bound = server.http_addr().unwrap_or(offer.bind);
        Ok(Self { server, bound, public_url: offer.public_url.clone() })
    }

    /// The URL under which others reach it: as offered, or made from the bound address. Bound to all addresses, that
    /// is one of the node's own: a public one before one of a LAN or of containers, and loopback only if it has no other.
    pub(crate) fn url(&self, own: &PeerAddress) -> String {
        let url = || {
            let ips = || own.addresses.iter().map(SocketAddr::ip);
            let outward = ips().filter(|ip| !ip.is_loopback()).min_by_key(|ip| (ip.is_ipv6(), is_private(ip)));
            let ip = match self.bound.ip() {
                ip if !ip.is_unspecified() => ip,
                _ => outward.or_else(|| ips().next()).unwrap_or(Ipv4Addr::LOCALHOST.into()),
            };
            format!("http://{}", SocketAddr::new(ip, self.bound.port()))
        };
        self.public_url.clone().unwrap_or_else(url)
    }

    /// Stops the relay.
    pub(crate) async fn stop(self) {
        if let Err(error) = self.server.shutdown().await {
            tracing::debug!(%error, "relay_stop_failed");
        }
    }
}

/// Whether an address means something only within its own network.
const fn is_private(ip: &IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

/// Lets in so many clients at once.
#[derive(Debug)]
struct Doorkeeper {
    most: usize,
    inside: AtomicUsize,
}

impl AccessControl for Doorkeeper {
    async fn on_connect(&self, _request: &ClientRequest) -> Access {
        let entered = self
            .inside
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |inside| (inside < self.most).then_some(inside + 1));
        match entered {
            Ok(_) => Access::Allow,
            Err(_) => Access::Deny { reason: Some("the relay is full".to_owned()) },
        }
    }

    fn on_disconnect(&self, _endpoint: EndpointId, _connection: ConnectionId) {
        let _ = self.inside.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |inside| inside.checked_sub(1));
    }
}
