//! Header fields that end at each hop, and those the gateway adds.

use std::net::SocketAddr;

use http::HeaderMap;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};

/// Fields that concern one connection only (RFC 9110, 7.6.1), whether or not `Connection` names them.
const HOP_BY_HOP: [HeaderName; 9] = [
    CONNECTION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// Fields that begin so are said between gateway and provider, and by nobody else.
const INTERNAL: &str = "grange-";

/// Takes away what concerns one connection only.
pub(crate) fn strip_hop_by_hop(fields: &mut HeaderMap) {
    if fields.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = fields
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            fields.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        fields.remove(name);
    }
}

/// Takes away what only the gateway and the provider may say.
pub(crate) fn strip_internal(fields: &mut HeaderMap) {
    let names: Vec<HeaderName> = fields.keys().filter(|name| name.as_str().starts_with(INTERNAL)).cloned().collect();
    for name in names {
        fields.remove(name);
    }
}

/// Makes a client's fields into those that the replica gets.
///
/// The gateway is the edge: what a client says of those before it is not believed. The length is said again from
/// the body itself.
pub(super) fn forwarded(fields: &mut HeaderMap, client: SocketAddr, host: &str) {
    strip_hop_by_hop(fields);
    strip_internal(fields);
    fields.remove(CONTENT_LENGTH);
    fields.remove(EXPECT);
    fields.remove("forwarded");
    let mut set = |name: &'static str, text: &str| {
        if let Ok(value) = HeaderValue::from_str(text) {
            fields.insert(name, value);
        }
    };
    set("x-forwarded-for", &client.ip().to_canonical().to_string());
    set("x-forwarded-host", host);
    set("x-forwarded-proto", "http");
    if let Ok(value) = HeaderValue::from_str(host) {
        fields.insert(HOST, value);
    }
}

/// Whether the client wants to leave HTTP: a websocket, say. An offer of HTTP/2 may be ignored and is.
pub(super) fn wants_upgrade(fields: &HeaderMap) -> bool {
    let upgrade = fields.get(UPGRADE).and_then(|value| value.to_str().ok());
    upgrade.is_some_and(|upgrade| !upgrade.trim().eq_ignore_ascii_case("h2c"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn what_concerns_one_connection_goes_no_further() {
        let mut before = fields(&[
            ("connection", "keep-alive, X-Private"),
            ("keep-alive", "timeout=5"),
            ("x-private", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("expect", "100-continue"),
            ("grange-failure", "crashed"),
            ("x-forwarded-for", "6.6.6.6"),
            ("forwarded", "for=6.6.6.6"),
            ("accept", "text/html"),
        ]);
        forwarded(&mut before, "127.0.0.1:5000".parse().unwrap(), "a.localhost:80");
        let after = fields(&[
            ("accept", "text/html"),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-forwarded-host", "a.localhost:80"),
            ("x-forwarded-proto", "http"),
            ("host", "a.localhost:80"),
        ]);
        assert_eq!(before, after);
    }

    #[test]
    fn only_a_change_of_protocol_is_an_upgrade() {
        assert!(wants_upgrade(&fields(&[("upgrade", "websocket")])));
        assert!(!wants_upgrade(&fields(&[("upgrade", "h2c")])));
        assert!(!wants_upgrade(&fields(&[])));
    }
}
