//! Finding peers of the same network on the local network, by multicast DNS.
//!
//! The service name is made from the network id, so nodes of other networks neither answer nor are heard. Whoever is
//! found is only a hint: the greeting decides.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use grange_types::{NetworkId, PeerId};
use iroh::TransportAddr;
use iroh_mdns_address_lookup::{DiscoveryEvent, MdnsAddressLookup};
use tokio::time::Instant;

use crate::address::PeerAddress;
use crate::book::Source;
use crate::net::Shared;
use crate::session::lock;

/// The pause between two queries, which all peers share: a joining node is found within seconds, and an idle
/// network is nearly silent.
const CADENCE: Duration = Duration::from_secs(2);

/// The service's name: the first ten digits of the network id.
fn service_name(network: NetworkId) -> String {
    format!("grange-{}", network.short())
}

/// Looks for peers until the node stops. A machine without multicast goes without.
pub(crate) async fn look(shared: Arc<Shared>) {
    let builder = MdnsAddressLookup::builder().service_name(service_name(shared.network)).discovery_cadence(CADENCE);
    let Some(endpoint) = shared.endpoint() else { return };
    let lookup = match builder.build(endpoint.id()) {
        Ok(lookup) => lookup,
        Err(error) => {
            tracing::warn!(%error, "lan_discovery_unavailable");
            return;
        }
    };
    if let Ok(services) = endpoint.address_lookup() {
        // From here on the endpoint publishes its addresses through it.
        services.add(lookup.clone());
    }
    let mut found = lookup.subscribe().await;
    loop {
        let event = tokio::select! {
            () = shared.stop.cancelled() => return,
            event = found.next() => event,
        };
        match event {
            Some(DiscoveryEvent::Discovered { endpoint_info, .. }) => {
                let address = endpoint_info.to_endpoint_addr();
                let mut hint = PeerAddress::from_endpoint(&address);
                hint.peer = PeerId(*endpoint_info.endpoint_id.as_bytes());
                let direct = address.addrs.iter().filter(|address| matches!(address, TransportAddr::Ip(_))).count();
                tracing::debug!(peer = %hint.peer.short(), direct, "lan_peer_found");
                if lock(&shared.book).add(Instant::now(), Source::Hint, hint) {
                    shared.wake_dialer.notify_one();
                }
            }
            Some(_) => {}
            None => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_name_fits_a_dns_label_and_differs_between_networks() {
        let name = service_name(NetworkId([0xab; 32]));
        assert_eq!(name, "grange-ababababab");
        assert_ne!(name, service_name(NetworkId([0xac; 32])));
    }
}
