//! The transport endpoint, kept away from everybody else's infrastructure.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use iroh::dns::DnsResolver;
use iroh::endpoint::{BindOpts, PortmapperConfig, QuicTransportConfig, QuicTransportConfigBuilder, VarInt, presets};
use iroh::tls::CaTlsConfig;
use iroh::{Endpoint, NetReportConfig, RelayConfig, RelayMap, RelayMode, RelayUrl, SecretKey};

use crate::config::Config;
use crate::error::NetError;
use crate::protocol::Protocol;

/// How much one stream may be ahead of its reader. With 4 MiB and more the transport closes connections that lose
/// packets, for too many gaps in the stream's buffer.
const STREAM_WINDOW: u32 = 1 << 20;
/// How much all streams of one connection may be ahead of their readers.
const CONNECTION_WINDOW: u32 = 8 << 20;
/// How much may be on its way to one peer in one connection.
const SEND_WINDOW: u64 = 8 << 20;
/// Streams of messages that a peer may have open in one connection: one, and the one before it while it drains.
const MESSAGE_STREAMS: u32 = 4;
/// Assumed round trip before the first is measured: it paces the first packets to a peer that does not answer.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);
/// How long a connection that is no link may be silent. Links notice death sooner and close the others.
const IDLE: Duration = Duration::from_secs(15);

/// What all connections share.
fn transport(streams: usize) -> QuicTransportConfigBuilder {
    let streams = u32::try_from(streams).unwrap_or(u32::MAX);
    QuicTransportConfig::builder()
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(CONNECTION_WINDOW))
        .send_window(SEND_WINDOW)
        .max_concurrent_uni_streams(VarInt::from_u32(MESSAGE_STREAMS))
        .max_concurrent_bidi_streams(VarInt::from_u32(streams))
        .datagram_receive_buffer_size(None)
        .initial_rtt(FIRST_ROUND_TRIP)
}

/// How the dialer of a link sets it up: it is gone after `silence`, and pinged four times as often.
pub(crate) fn link_transport(silence: Duration) -> QuicTransportConfig {
    let silence = silence.clamp(Duration::from_millis(200), Duration::from_secs(60));
    transport(1).max_idle_timeout(silence.try_into().ok()).keep_alive_interval(silence / 4).build()
}

/// Relays by their URLs, without QUIC address discovery, which plain HTTP relays do not offer.
pub(crate) fn relay_map(urls: &[String]) -> Result<RelayMap, NetError> {
    let map = RelayMap::empty();
    for url in urls {
        let parsed: RelayUrl = url.parse().map_err(|source| NetError::RelayUrl { url: url.clone(), source })?;
        map.insert(parsed.clone(), RelayConfig::new(parsed, None).into());
    }
    Ok(map)
}

/// Binds the endpoint: the given address, or any free port of both families.
pub(crate) async fn bind(config: &Config) -> Result<Endpoint, NetError> {
    let map = relay_map(&config.relays)?;
    // With an empty map a node has no relay of its own, yet reaches peers through theirs.
    // The probe finds the nearest of the own relays. Nobody else is ever asked anything.
    let mut probes = NetReportConfig::minimal();
    probes.https_probes = !map.is_empty() || config.relay.is_some();
    let streams = config.limits.streams + config.limits.requests + 1;
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(SecretKey::from_bytes(&config.key.to_bytes()))
        .alpns(Protocol::ALL.iter().map(|protocol| protocol.alpn().to_vec()).collect())
        .relay_mode(RelayMode::Custom(map))
        .net_report_config(probes)
        .portmapper_config(PortmapperConfig::Disabled)
        .ca_tls_config(CaTlsConfig::embedded())
        .dns_resolver(DnsResolver::builder().with_system_defaults().disable_fallback().build())
        .transport_config(transport(streams).max_idle_timeout(IDLE.try_into().ok()).build())
        .clear_ip_transports();
    for (address, required) in sockets(config.bind) {
        let options = BindOpts::default().set_is_required(required);
        builder = builder
            .bind_addr_with_opts(address, options)
            .map_err(|source| NetError::BindAddress { address, source })?;
    }
    builder.bind().await.map_err(|source| NetError::Bind { address: config.bind, source: Box::new(source) })
}

/// Lets the endpoint use the relay that its own node offers, like any other.
pub(crate) async fn use_relay(endpoint: &Endpoint, url: &str) {
    if let Ok(url) = url.parse::<RelayUrl>() {
        endpoint.insert_relay(url.clone(), RelayConfig::new(url, None).into()).await;
    }
}

/// The sockets to bind and whether each must succeed: an unspecified address means both families where there are both.
fn sockets(bind: Option<SocketAddr>) -> Vec<(SocketAddr, bool)> {
    match bind {
        Some(address) if !address.ip().is_unspecified() => vec![(address, true)],
        unspecified => {
            let port = unspecified.map_or(0, |address| address.port());
            vec![((Ipv4Addr::UNSPECIFIED, port).into(), true), ((Ipv6Addr::UNSPECIFIED, port).into(), false)]
        }
    }
}
