//! `wasi:http/outgoing-handler`: calls to the hosts that the manifest names, at public addresses only.
//!
//! A name is resolved once, every address it has is checked, and the connection goes to one that was: a name
//! server that changes its mind gains nothing. Redirects are answers like any other; whoever follows one makes a
//! new call, which is checked again.

use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::uri::{Authority, Scheme};
use http_body_util::BodyExt as _;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::{Error, RequestOptions, Result, WasiBody, WasiHttpHooks};

use super::address::is_public;
use super::patience::Patient;

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(10);
/// How long an answer may take to begin.
const FIRST_BYTE: Duration = Duration::from_secs(30);
/// How long an answer may pause.
const BETWEEN_BYTES: Duration = Duration::from_secs(60);
/// Addresses of one name that are tried.
const ADDRESSES: usize = 4;
/// A chunk that a component may write in one go.
const CHUNK: usize = 64 << 10;
/// What an answer's head may take.
const HEAD_BYTES: usize = 64 << 10;

/// Where a replica may call, and how many calls it has under way.
pub(super) struct Calls {
    hosts: Vec<Host>,
    allow_private: bool,
    slots: Arc<Semaphore>,
    tls: TlsConnector,
}

/// A host that may be called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Host {
    name: String,
    port: Option<u16>,
}

impl Host {
    /// Reads `name` or `name:port`; an entry that is neither allows nothing.
    fn parse(text: &str) -> Option<Self> {
        let authority: Authority = text.parse().ok()?;
        // What stands behind the name is a port or a mistake; a mistake must not stand for the usual port.
        let port = match text.strip_prefix(authority.host())? {
            "" => None,
            rest => Some(rest.strip_prefix(':')?.parse().ok()?),
        };
        (!authority.host().is_empty()).then(|| Self { name: normal(authority.host()), port })
    }

    fn admits(&self, name: &str, port: u16, usual: u16) -> bool {
        self.name == name && self.port.unwrap_or(usual) == port
    }
}

/// Names are compared without regard to case and to the root's dot.
fn normal(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

/// The hosts of a list; an entry that names none allows nothing.
fn hosts(allowed: &[String]) -> Vec<Host> {
    allowed.iter().filter_map(|text| Host::parse(text)).collect()
}

/// Where a call goes, if these hosts allow it.
fn target(hosts: &[Host], uri: &http::Uri) -> Result<Target> {
    let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
    if authority.as_str().contains('@') {
        return Err(Error::HttpRequestUriInvalid);
    }
    let secure = uri.scheme() == Some(&Scheme::HTTPS);
    let usual = if secure { 443 } else { 80 };
    let target = Target { name: normal(authority.host()), port: authority.port_u16().unwrap_or(usual), secure };
    if !hosts.iter().any(|host| host.admits(&target.name, target.port, usual)) {
        return Err(Error::HttpRequestDenied);
    }
    Ok(target)
}

/// The name and the port that a call to `uri` goes to, if a manifest's list allows it: for the door for bad bytes.
pub(crate) fn admitted(allowed: &[String], uri: &http::Uri) -> Option<(String, u16)> {
    target(&hosts(allowed), uri).ok().map(|target| (target.name, target.port))
}

impl Calls {
    pub(super) fn new(allowed: &[String], allow_private: bool, limit: u32, tls: TlsConnector) -> Self {
        Self { hosts: hosts(allowed), allow_private, slots: Arc::new(Semaphore::new(limit as usize)), tls }
    }

    /// The addresses of a host; all of them must be allowed.
    async fn resolve(&self, target: &Target) -> Result<Vec<SocketAddr>> {
        let bare = target.name.trim_start_matches('[').trim_end_matches(']');
        let addresses: Vec<SocketAddr> = match bare.parse::<IpAddr>() {
            Ok(address) => vec![(address, target.port).into()],
            Err(_) => tokio::time::timeout(CONNECT, tokio::net::lookup_host((bare, target.port)))
                .await
                .map_err(|_| Error::DnsTimeout)?
                .map_err(|_| Error::DnsError { rcode: None, info_code: None })?
                .collect(),
        };
        if !self.allow_private && addresses.iter().any(|address| !is_public(address.ip())) {
            return Err(Error::DestinationIpProhibited);
        }
        Ok(addresses)
    }

    async fn call(self: Arc<Self>, mut request: http::Request<WasiBody>, times: Times) -> Result<Answered> {
        let target = target(&self.hosts, request.uri())?;
        let slot = Arc::clone(&self.slots).try_acquire_owned().map_err(|_| Error::ConnectionLimitReached)?;
        let stream = self.connect(&target, times.connect).await?;
        // To a server, as opposed to a proxy, only the path is named.
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        *request.uri_mut() =
            http::Uri::builder().path_and_query(path).build().map_err(|_| Error::HttpRequestUriInvalid)?;

        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES);
        let (mut sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        let driver = wasmtime_wasi::runtime::spawn(async move { connection.await.map_err(Error::from) });
        let answer = tokio::time::timeout(times.first_byte, sender.send_request(request));
        let answer = answer.await.map_err(|_| Error::ConnectionReadTimeout)??;
        let answer = answer.map(|body| {
            let body = body.map_err(Error::from);
            Patient::new(body, times.between_bytes, || Error::ConnectionReadTimeout).boxed_unsync()
        });
        Ok((answer, Box::new(drive(driver, slot))))
    }

    async fn connect(&self, target: &Target, limit: Duration) -> Result<Pin<Box<dyn Stream>>> {
        let addresses = self.resolve(target).await?;
        let mut last = Error::DestinationNotFound;
        for address in addresses.into_iter().take(ADDRESSES) {
            match tokio::time::timeout(limit, TcpStream::connect(address)).await {
                Err(_) => last = Error::ConnectionTimeout,
                Ok(Err(error)) => last = Error::Connect(error),
                Ok(Ok(stream)) if target.secure => return self.secure(target, stream, limit).await,
                Ok(Ok(stream)) => return Ok(Box::pin(stream)),
            }
        }
        Err(last)
    }

    async fn secure(&self, target: &Target, stream: TcpStream, limit: Duration) -> Result<Pin<Box<dyn Stream>>> {
        let bare = target.name.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(bare).map_err(|_| Error::HttpRequestUriInvalid)?;
        let stream = tokio::time::timeout(limit, self.tls.connect(name, stream)).await;
        Ok(Box::pin(stream.map_err(|_| Error::ConnectionTimeout)?.map_err(Error::Tls)?))
    }
}

#[derive(Debug)]
struct Target {
    name: String,
    port: u16,
    secure: bool,
}

trait Stream: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Stream for T {}

type Worker = Box<dyn Future<Output = Result<()>> + Send>;
type Answered = (http::Response<WasiBody>, Worker);

/// Keeps the connection going, and its slot taken, while the answer's body is read.
async fn drive(
    connection: wasmtime_wasi::runtime::AbortOnDropJoinHandle<Result<()>>,
    slot: OwnedSemaphorePermit,
) -> Result<()> {
    let ended = connection.await;
    drop(slot);
    ended
}

/// How long the parts of a call may take: what the component asks for, within the limits.
#[derive(Debug, Clone, Copy)]
struct Times {
    connect: Duration,
    first_byte: Duration,
    between_bytes: Duration,
}

impl Times {
    fn new(options: Option<RequestOptions>) -> Self {
        let options = options.unwrap_or_default();
        let within = |asked: Option<Duration>, limit: Duration| asked.map_or(limit, |asked| asked.min(limit));
        Self {
            connect: within(options.connect_timeout, CONNECT),
            first_byte: within(options.first_byte_timeout, FIRST_BYTE),
            between_bytes: within(options.between_bytes_timeout, BETWEEN_BYTES),
        }
    }
}

/// TLS as a component's calls use it: the public roots, no client certificate.
pub(super) fn tls() -> std::result::Result<TlsConnector, rustls::Error> {
    let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.into() };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// The hooks of one instance.
pub(super) struct Outgoing {
    calls: Arc<Calls>,
}

impl Outgoing {
    pub(super) const fn new(calls: Arc<Calls>) -> Self {
        Self { calls }
    }
}

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Worker,
    ) -> Box<dyn Future<Output = Result<Answered>> + Send> {
        Box::new(Arc::clone(&self.calls).call(request, Times::new(options)))
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(allowed: &[&str], uri: &str) -> Result<(String, u16)> {
        let allowed: Vec<String> = allowed.iter().map(|&text| text.to_owned()).collect();
        super::target(&hosts(&allowed), &uri.parse().unwrap()).map(|target| (target.name, target.port))
    }

    #[test]
    fn only_named_hosts_at_named_ports_are_called() {
        let allowed = [
            "api.example.org",
            "Other.example:8080",
            "[2606:4700::1]",
            "user@evil.example",
            "a/b",
            "typo.example:8080x",
            "far.example:65536",
        ];
        let fine = [
            ("http://api.example.org/x", ("api.example.org", 80)),
            ("https://API.example.org./x", ("api.example.org", 443)),
            ("http://other.example:8080/", ("other.example", 8080)),
            ("https://[2606:4700::1]/", ("[2606:4700::1]", 443)),
        ];
        for (uri, (name, port)) in fine {
            assert_eq!(target(&allowed, uri).unwrap(), (name.to_owned(), port), "{uri}");
        }
        let denied = [
            "http://api.example.org:81/",
            "http://api.example.org:443/",
            "http://other.example/",
            "http://sub.api.example.org/",
            "http://evil.example/",
            "http://typo.example/",
            "http://far.example/",
            "http://example.org/",
        ];
        for uri in denied {
            assert!(matches!(target(&allowed, uri), Err(Error::HttpRequestDenied)), "{uri}");
        }
        assert!(matches!(target(&allowed, "http://user@api.example.org/"), Err(Error::HttpRequestUriInvalid)));
        assert!(matches!(target(&[], "http://api.example.org/"), Err(Error::HttpRequestDenied)));
    }

    #[tokio::test]
    async fn a_name_with_a_private_address_is_refused() {
        let calls = Calls::new(&[], false, 1, tls().unwrap());
        for name in ["localhost", "127.0.0.1", "[::1]", "169.254.169.254", "10.1.2.3"] {
            let target = Target { name: name.into(), port: 80, secure: false };
            assert!(matches!(calls.resolve(&target).await, Err(Error::DestinationIpProhibited)), "{name}");
        }
        let public = Target { name: "1.1.1.1".into(), port: 80, secure: false };
        assert_eq!(calls.resolve(&public).await.unwrap().len(), 1);
    }
}
