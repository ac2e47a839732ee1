//! Whole nodes in one process, over real sockets and disks: a ledger that moves, a site that is deployed and served.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use grange_api::{NodeRole, PriceSettings, ResourceSet};
use grange_net::{Net, PeerAddress, Protocol};
use grange_node::{Contact, Folder, Founder, Options, Ready, Settings, dev_genesis, run};
use grange_types::manifest::Placement;
use grange_types::{
    Amount, BlobId, ByteCount, Kind, Manifest, PeerId, Region, Resources, SecretKey, Service, SiteFile, SiteIndex,
    Time, Wire, Workload,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

struct Node {
    folder: Folder,
    ready: Ready,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

/// An address that no other test of this process is given, below the ports from which the system takes those of outgoing
/// connections: a port of that range may be taken between here and the node's start.
fn free(is_free: impl Fn(SocketAddr) -> bool) -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id() % 200 * 64;
    loop {
        let port = 10_240 + (begin as u16 + NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        if is_free(address) {
            return address;
        }
    }
}

fn free_tcp() -> SocketAddr {
    free(|address| TcpListener::bind(address).is_ok())
}

fn free_udp() -> SocketAddr {
    free(|address| UdpSocket::bind(address).is_ok())
}

fn region() -> Region {
    Region::try_from("local".to_owned()).unwrap()
}

fn price(text: &str) -> Amount {
    text.parse().unwrap()
}

/// Makes the folders of a cloud of so many operators.
fn found(root: &Path, count: u8) -> Vec<Folder> {
    let keys: Vec<SecretKey> = (1..=count).map(|byte| SecretKey::from_bytes(&[byte; 32])).collect();
    let founders: Vec<Founder> = keys
        .iter()
        .enumerate()
        .map(|(index, key)| Founder {
            peer: key.public().peer(),
            display: format!("operator-{index}"),
            region: region(),
            balance: Amount::credits(1_000),
        })
        .collect();
    let genesis = dev_genesis("test", Time(1_795_219_200_000), &founders);
    let listens: Vec<SocketAddr> = keys.iter().map(|_| free_udp()).collect();
    let mut folders = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let others = founders.iter().zip(&listens).enumerate().filter(|(other, _)| *other != index);
        let contact = |(_, (founder, listen)): (usize, (&Founder, &SocketAddr))| Contact {
            peer: founder.peer,
            addresses: vec![*listen],
            relays: Vec::new(),
        };
        let settings = Settings {
            display: format!("operator-{index}"),
            region: region(),
            roles: vec![NodeRole::Validator, NodeRole::Provider, NodeRole::Gateway, NodeRole::Steward],
            api: free_tcp(),
            gateway: free_tcp(),
            listen: listens[index],
            relay: None,
            relays: Vec::new(),
            mdns: false,
            bootstrap: others.map(contact).collect(),
            kinds: vec![Kind::Site, Kind::Wasm],
            capacity: ResourceSet { cpu_millis: 4_000, memory: ByteCount::gib(2), disk: ByteCount::gib(8) },
            prices: PriceSettings {
                cpu_hour: price("0.01"),
                memory_gib_hour: price("0.005"),
                disk_gib_hour: price("0.0001"),
                request_million: price("0.2"),
                egress_gib: price("0.01"),
            },
            paused: false,
            light: false,
            prune: false,
            snapshot_every: None,
            rules: None,
            canaries: None,
            lost_after: None,
        };
        let folder = Folder(root.join(format!("node-{index}")));
        folder.create(&settings, &genesis, key).unwrap();
        folders.push(folder);
    }
    folders
}

async fn start(folder: &Folder) -> Node {
    let stop = CancellationToken::new();
    let options = Options { data: folder.0.clone(), compiler: PathBuf::from("/nonexistent"), shutdown: stop.clone() };
    let (sender, ready) = tokio::sync::oneshot::channel();
    let task = tokio::spawn(async move {
        run(options, |ready| drop(sender.send(ready))).await.unwrap();
    });
    Node { folder: folder.clone(), ready: ready.await.unwrap(), stop, task }
}

impl Node {
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap();
    }

    async fn call(&self, method: &'static str, path: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let token = std::fs::read_to_string(self.folder.token()).unwrap();
        http(method, self.ready.api, None, path, Some(token), body).await
    }

    async fn json(&self, method: &'static str, path: &str, body: Vec<u8>) -> Value {
        let (status, body) = self.call(method, path, body).await;
        let text = String::from_utf8(body).unwrap();
        assert!((200..300).contains(&status), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn until_ready(&self) {
        until("the node is ready", async || {
            http("GET", self.ready.api, None, "/readyz", None, Vec::new()).await.0 == 200
        })
        .await;
    }
}

async fn http(
    method: &'static str,
    address: SocketAddr,
    host: Option<String>,
    path: &str,
    token: Option<String>,
    body: Vec<u8>,
) -> (u16, Vec<u8>) {
    let url = format!("http://{address}{path}");
    tokio::task::spawn_blocking(move || {
        let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().http_status_as_error(false).build());
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        if let Some(host) = host {
            request = request.header("host", host);
        }
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let json = !body.is_empty() && body[0] == b'{';
        let kind = if json { "application/json" } else { "application/octet-stream" };
        let request = request.header("content-type", kind).body(body).unwrap();
        match agent.run(request) {
            Ok(mut response) => (response.status().as_u16(), response.body_mut().read_to_vec().unwrap_or_default()),
            Err(error) => (0, error.to_string().into_bytes()),
        }
    })
    .await
    .unwrap()
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !condition().await {
        assert!(Instant::now() < deadline, "timed out waiting until {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A site of one page: its manifest, its index, its page.
fn site(name: &str) -> (Manifest, Vec<u8>, Vec<u8>) {
    let page = format!("<h1>{name}</h1>").into_bytes();
    let file = SiteFile { path: "index.html".into(), blob: BlobId::of(&page), size: ByteCount(page.len() as u64) };
    let index = SiteIndex { files: vec![file] }.encode();
    let service = Service {
        workload: Workload::Site { index: BlobId::of(&index), size: ByteCount(page.len() as u64) },
        replicas: 1,
        resources: Resources { cpu_millis: 100, memory: ByteCount::mib(64), disk: ByteCount(0) },
        environment: BTreeMap::new(),
        route: Some("/".into()),
        health: None,
        depends_on: Vec::new(),
        placement: Placement::default(),
        allow_http: Vec::new(),
    };
    let services = BTreeMap::from([("web".to_owned(), service)]);
    (Manifest { name: name.into(), budget: Amount::credits(10), services }, index, page)
}

/// Uploads a one-page site and deploys it.
async fn deploy(node: &Node, name: &str) -> Value {
    let (manifest, index, page) = site(name);
    for blob in [&page, &index] {
        let (status, body) = node.call("PUT", &format!("/v1/blobs/{}", BlobId::of(blob)), blob.clone()).await;
        assert!(status < 300, "{status} {}", String::from_utf8_lossy(&body));
    }
    let request = grange_api::ManifestRequest { manifest: manifest.into() };
    let body = serde_json::to_vec(&request).unwrap();
    let (status, body) = node.call("POST", "/v1/deployments", body).await;
    let text = String::from_utf8(body).unwrap();
    assert!(status < 300, "{status} {text}");
    println!("{text}");
    let done: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert!(done["urls"].is_array(), "{text}");
    done
}

async fn page(node: &Node, name: &str) -> (u16, String) {
    let host = Some(format!("{name}.localhost:{}", node.ready.gateway.port()));
    let (status, body) = http("GET", node.ready.gateway, host, "/", None, Vec::new()).await;
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn one_node_is_a_whole_cloud_and_goes_on_after_a_restart() {
    let root = tempfile::tempdir().unwrap();
    let folders = found(root.path(), 1);
    let node = start(&folders[0]).await;
    node.until_ready().await;
    until("its own offer is known", async || {
        !node.json("GET", "/v1/offers", vec![]).await.as_array().unwrap().is_empty()
    })
    .await;
    deploy(&node, "solo").await;
    assert_eq!(page(&node, "solo").await, (200, "<h1>solo</h1>".to_owned()));
    let wallet = node.json("GET", "/v1/wallet", vec![]).await;
    let height = node.json("GET", "/v1/ledger/height", vec![]).await["height"].as_u64().unwrap();
    assert!(height > 0);
    node.stop().await;

    let node = start(&folders[0]).await;
    node.until_ready().await;
    until("the site is served again", async || page(&node, "solo").await.0 == 200).await;
    assert_eq!(node.json("GET", "/v1/wallet", vec![]).await, wallet);
    assert!(node.json("GET", "/v1/ledger/height", vec![]).await["height"].as_u64().unwrap() >= height);
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn four_nodes_agree_serve_and_pay() {
    let root = tempfile::tempdir().unwrap();
    let folders = found(root.path(), 4);
    let mut nodes = Vec::new();
    for folder in &folders {
        nodes.push(start(folder).await);
    }
    for node in &nodes {
        node.until_ready().await;
        until("all offers are known", async || {
            node.json("GET", "/v1/offers", vec![]).await.as_array().unwrap().len() == 4
        })
        .await;
    }
    let to = nodes[1].ready.peer.to_string();
    let body = format!("{{\"to\":\"{to}\",\"amount\":\"1.5\"}}").into_bytes();
    let submitted = nodes[0].json("POST", "/v1/wallet/transfers", body).await;
    let height = submitted["height"].as_u64().unwrap();
    for node in &nodes {
        until("the transfer is everywhere", async || {
            node.json("GET", "/v1/ledger/height", vec![]).await["height"].as_u64().unwrap() >= height
        })
        .await;
        let account = node.json("GET", &format!("/v1/ledger/accounts/{to}"), vec![]).await;
        assert_eq!(account["available"], "1001.5");
    }
    let done = deploy(&nodes[0], "shared").await;
    assert_ne!(done["leases"][0]["provider"], nodes[0].ready.peer.to_string(), "other operators come first");
    for node in &nodes {
        until("every gateway serves it", async || page(node, "shared").await == (200, "<h1>shared</h1>".to_owned()))
            .await;
    }
    until("the provider is paid", async || {
        let usage = nodes[0].json("GET", "/v1/deployments/shared/usage", vec![]).await;
        usage["settled"].as_str().unwrap() != "0"
    })
    .await;
    strangers_get_no_manifest(&nodes[0]).await;
    let replicas = nodes[2].json("GET", "/v1/deployments/shared", vec![]).await;
    assert_eq!(replicas[0]["state"], "running", "{replicas}");
    for node in nodes {
        node.stop().await;
    }
}

/// A peer that only knows names of blobs gets what is public of an app, and not its manifest with the environment.
async fn strangers_get_no_manifest(node: &Node) {
    let (manifest, index, _) = site("shared");
    let genesis = node.folder.read_genesis().unwrap();
    let config = grange_net::Config::new(genesis.network_id(), SecretKey::from_bytes(&[99; 32]));
    let address = PeerAddress {
        peer: node.ready.peer,
        addresses: vec![node.folder.read_settings().unwrap().listen],
        relays: vec![],
    };
    let (net, _events) = Net::start(grange_net::Config { bootstrap: vec![address], ..config }).await.unwrap();
    until("the stranger is linked", async || net.is_connected(node.ready.peer)).await;
    assert_eq!(ask_blob(&net, node.ready.peer, BlobId::of(&index)).await, Some(index));
    assert_eq!(ask_blob(&net, node.ready.peer, BlobId::of(&manifest.encode())).await, None);
    assert_eq!(ask_blob(&net, node.ready.peer, BlobId([7; 32])).await, None);
    net.shutdown().await;
}

async fn ask_blob(net: &Net, peer: PeerId, blob: BlobId) -> Option<Vec<u8>> {
    let mut stream = net.open_stream(peer, Protocol::Blob).await.unwrap();
    stream.write_all(blob.as_bytes()).await.unwrap();
    if stream.read_u64_le().await.unwrap() == u64::MAX {
        return None;
    }
    let mut content = Vec::new();
    stream.read_to_end(&mut content).await.unwrap();
    Some(content)
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_switched_off_stay_off() {
    let root = tempfile::tempdir().unwrap();
    let folders = found(root.path(), 2);
    let mut settings = folders[1].read_settings().unwrap();
    settings.roles = vec![NodeRole::Validator];
    folders[1].write_settings(&settings).unwrap();
    let (full, bare) = (start(&folders[0]).await, start(&folders[1]).await);
    for node in [&full, &bare] {
        node.until_ready().await;
    }
    assert_eq!(bare.json("GET", "/v1/status", vec![]).await["roles"], serde_json::json!(["validator"]));
    assert!(std::net::TcpStream::connect(bare.ready.gateway).is_err(), "it serves no names");
    assert!(std::net::TcpStream::connect(full.ready.gateway).is_ok());
    until("the one offer is known", async || {
        bare.json("GET", "/v1/offers", vec![]).await.as_array().unwrap().len() == 1
    })
    .await;
    let (status, body) = bare.call("POST", "/v1/provider/pause", b"{\"paused\":true}".to_vec()).await;
    let body = String::from_utf8_lossy(&body).into_owned();
    assert!(status >= 400 && body.contains("does not sell"), "{status} {body}");
    // It deploys all the same, on whoever sells.
    let done = deploy(&bare, "guest").await;
    assert_eq!(done["leases"][0]["provider"], full.ready.peer.to_string());
    for node in [full, bare] {
        node.stop().await;
    }
}
