//! A node's life: open the disk, join the network, open the doors, pump until told to stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use grange_disk::{Blobs, DiskError};
use grange_gateway::{SecretToken, serve_api, serve_ingress};
use grange_net::{Net, NetError, PeerAddress, RelayOffer};
use grange_peer::{Config, Event, Roles, StartError};
use grange_sandbox::{SandboxError, Sandboxes};
use grange_types::{BlobId, Isolation, Millis, PeerId};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::audit::AuditLog;
use crate::backend::Api;
use crate::clock::Clock;
use crate::ingress::Ingress;
use crate::keeping::Keeping;
use crate::keys::ApiKeys;
use crate::mind::Mind;
use crate::pump::{Calls, Pump, PumpError, PumpState};
use crate::settings::{Folder, Settings, SettingsError, write_secret};
use crate::shares::Shares;
use crate::storage::{LocalBlobs, Storage};
use crate::workloads::Workloads;

/// Events that wait for the pump.
const EVENTS: usize = 4_096;
/// How long open requests are given when the node stops.
const LINGER: Duration = Duration::from_secs(2);

/// What a node is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// The node's folder.
    pub data: PathBuf,
    /// Our own executable; it is run as `EXE compile-component IN OUT`.
    pub compiler: PathBuf,
    /// Tells the node to stop.
    pub shutdown: CancellationToken,
}

/// A node whose API answers.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The node.
    pub peer: PeerId,
    /// Its API.
    pub api: SocketAddr,
    /// Its gateway.
    pub gateway: SocketAddr,
    /// The file that holds its API token.
    pub token_file: PathBuf,
}

/// Why a node did not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// Its folder cannot be used.
    #[error("the node's folder cannot be used")]
    Settings(#[from] SettingsError),
    /// Another node runs on the same folder.
    #[error("another node runs on {}; stop it first", .path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// Its disk cannot be used.
    #[error("the node's disk cannot be used")]
    Disk(#[from] DiskError),
    /// What is on its disk is no state to go on from.
    #[error("the node cannot go on from what is on its disk")]
    Start(#[from] StartError),
    /// It cannot join the network.
    #[error("the node cannot listen for peers")]
    Net(#[from] NetError),
    /// It cannot run workloads.
    #[error("the sandbox cannot be opened")]
    Sandbox(#[from] SandboxError),
    /// A port is taken.
    #[error("cannot listen on {address}; another program has the port")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// The machine gives no random numbers.
    #[error("the machine gives no random numbers")]
    Random(#[source] io::Error),
    /// It stopped by itself.
    #[error("the node stopped")]
    Pump(#[from] PumpError),
}

/// Runs a node until `options.shutdown`; calls `ready` once its API answers.
pub async fn run(options: Options, ready: impl FnOnce(Ready) + Send) -> Result<(), NodeError> {
    let folder = Folder(options.data.clone());
    let _lock = lock(&folder)?;
    let settings = folder.read_settings()?;
    let genesis = folder.read_genesis()?;
    let key = folder.read_key()?;
    let token = token(&folder)?;
    let (storage, recovery) = Storage::open(&folder)?;
    let clock = Clock::start();
    let config = config(&settings, genesis.clone(), key.clone(), &clock)?;
    let peer = Mind::open(settings.light, config, &recovery)?;
    let network = genesis.network_id();

    let (net, net_events) = Net::start(net_config(&settings, network, key)).await?;
    let net = Arc::new(net);
    let (events, inbox) = mpsc::channel(EVENTS);
    let hands = Hands::open(&folder, options.compiler, &net, &storage.blobs, &events)?;
    let Hands { workloads, ingress, keeping, shares } = hands;
    let blobs = Arc::clone(&storage.blobs);
    let (calls, state) = (Arc::new(Calls::default()), Arc::new(Mutex::new(PumpState::starting())));

    let keys = ApiKeys::open(folder.at("keys.json"), network, folder.read_key()?)?;
    let audit = open_audit(&folder)?;

    let api = Arc::new(Api {
        folder: folder.clone(),
        genesis,
        clock,
        net: Arc::clone(&net),
        blobs,
        archive: (!settings.light).then(|| storage.archive()),
        workloads: Arc::clone(&workloads),
        ingress: Arc::clone(&ingress),
        calls: Arc::clone(&calls),
        events: events.clone(),
        state: Arc::clone(&state),
        token: RwLock::new(SecretToken::new(token)),
        keys,
        audit: Arc::new(audit),
        random,
        shares: Arc::clone(&shares),
    });
    let doors = open_doors(&settings, api, &ingress, &options.shutdown).await?;
    let mut pump = Pump {
        peer,
        storage,
        net: Arc::clone(&net),
        workloads: Arc::clone(&workloads),
        ingress: Arc::clone(&ingress),
        keeping: Arc::clone(&keeping),
        shares: Arc::clone(&shares),
        calls,
        events,
        clock,
        state,
        requests: std::collections::BTreeMap::new(),
        next_request: 0,
        routes: 0,
        next_state: grange_types::Time(0),
    };
    pump.peer.start(clock.now(), recovery);
    ready(Ready { peer: net.peer_id(), api: settings.api, gateway: settings.gateway, token_file: folder.token() });
    tokio::spawn(async move { keeping.tell_all().await });
    let handing = tokio::spawn(shares.hand_out(ingress));
    let ended = pump.run(net_events, inbox, options.shutdown.clone()).await;
    options.shutdown.cancel();
    handing.abort();
    close(workloads, doors, &net).await;
    Ok(ended?)
}

/// Ends what runs, and gives the ports back.
async fn close(workloads: Arc<Workloads>, doors: impl Future<Output = ()>, net: &Arc<Net>) {
    workloads.stop_all();
    // Requests under way may end; whoever is slower than that is cut off.
    let _ = tokio::time::timeout(LINGER, doors).await;
    drop(workloads);
    // Tasks that still hold the transport see it closed; its port is free when this returns.
    Net::clone(net).shutdown().await;
}

fn open_audit(folder: &Folder) -> Result<AuditLog, NodeError> {
    let failed = |source| SettingsError::Read { path: folder.at("audit.ndjson"), source };
    Ok(AuditLog::open(folder.0.clone()).map_err(failed)?)
}

/// What does the work: runs replicas, finds them, keeps copies and shares.
struct Hands {
    workloads: Arc<Workloads>,
    ingress: Arc<Ingress>,
    keeping: Arc<Keeping>,
    shares: Arc<Shares>,
}

impl Hands {
    fn open(
        folder: &Folder,
        compiler: PathBuf,
        net: &Arc<Net>,
        blobs: &Arc<Blobs>,
        events: &mpsc::Sender<Event>,
    ) -> Result<Self, NodeError> {
        let shares = Shares::new(Arc::clone(net), folder);
        let shares = Arc::new(shares.map_err(|source| SettingsError::Write { path: folder.at("shares"), source })?);
        let keeping = Arc::new(Keeping::new(Arc::clone(net), events.clone()));
        let mut config = grange_sandbox::Config::new(folder.at("work"), compiler);
        config.keepers = Some(Arc::<Keeping>::clone(&keeping));
        let sandboxes = Arc::new(Sandboxes::open(config, Arc::new(LocalBlobs(Arc::clone(blobs))))?);
        let (blobs, events, held) = (Arc::clone(blobs), events.clone(), Arc::clone(&shares));
        let workloads = Arc::new(Workloads::new(sandboxes, blobs, Arc::clone(net), events, held));
        let ingress = Arc::new(Ingress::new(Arc::clone(net), workloads.for_peer(net.peer_id())));
        workloads.attach(&ingress);
        keeping.attach(workloads.sandboxes(), &ingress);
        Ok(Self { workloads, ingress, keeping, shares })
    }
}

/// Opens the API and the gateway; the future ends when both are closed.
async fn open_doors(
    settings: &Settings,
    api: Arc<Api>,
    ingress: &Arc<Ingress>,
    shutdown: &CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, NodeError> {
    let api_door = tokio::spawn(serve_api(listen(settings.api).await?, api, shutdown.clone()));
    let gateway_door = if Roles::of(&settings.roles).gateway {
        let listener = listen(settings.gateway).await?;
        let (resolver, connector, usage) = (Arc::clone(ingress), Arc::clone(ingress), Arc::clone(ingress));
        Some(tokio::spawn(serve_ingress(listener, resolver, connector, usage, shutdown.clone())))
    } else {
        None
    };
    Ok(async move {
        // A door that panicked is as closed as one that was shut.
        let _ = api_door.await;
        if let Some(door) = gateway_door {
            let _ = door.await;
        }
    })
}

async fn listen(address: SocketAddr) -> Result<TcpListener, NodeError> {
    TcpListener::bind(address).await.map_err(|source| NodeError::Listen { address, source })
}

fn config(
    settings: &Settings,
    genesis: grange_ledger::Genesis,
    key: grange_types::SecretKey,
    clock: &Clock,
) -> Result<Config, NodeError> {
    let seed = try_random().map_err(NodeError::Random)?;
    Ok(Config {
        key,
        genesis,
        display: settings.display.clone(),
        region: settings.region.clone(),
        roles: Roles::of(&settings.roles),
        capacity: settings.capacity.into(),
        kinds: settings.kinds.clone(),
        isolation: Isolation::Wasm,
        prices: settings.prices.into(),
        paused: settings.paused,
        gateway_port: settings.gateway.port(),
        snapshot_every: settings.snapshot_every.unwrap_or(Config::SNAPSHOT_EVERY),
        prune: settings.prune,
        inline: Config::INLINE,
        rules: settings.rules.unwrap_or(grange_ledger::VERSION),
        canaries: settings.canaries.unwrap_or_default(),
        lost_after: settings.lost_after.map_or(Config::LOST_AFTER, Millis::seconds),
        // Sheets are numbered by time, so that a restart needs no memory of the last one.
        sequence: clock.now().0,
        seed: u64::from_le_bytes([seed[0], seed[1], seed[2], seed[3], seed[4], seed[5], seed[6], seed[7]]),
    })
}

fn net_config(
    settings: &Settings,
    network: grange_types::NetworkId,
    key: grange_types::SecretKey,
) -> grange_net::Config {
    let bootstrap = settings.bootstrap.iter().map(|contact| PeerAddress {
        peer: contact.peer,
        addresses: contact.addresses.clone(),
        relays: contact.relays.clone(),
    });
    grange_net::Config {
        bind: Some(settings.listen),
        relay: settings.relay.map(RelayOffer::new),
        relays: settings.relays.clone(),
        mdns: settings.mdns,
        bootstrap: bootstrap.collect(),
        ..grange_net::Config::new(network, key)
    }
}

/// Holds the folder for this process.
fn lock(folder: &Folder) -> Result<std::fs::File, NodeError> {
    let path = folder.at("lock");
    let file = std::fs::File::create(&path).map_err(|source| SettingsError::Write { path, source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(NodeError::Busy { path: folder.0.clone() }),
    }
}

/// The API token; made at the first start.
fn token(folder: &Folder) -> Result<String, NodeError> {
    let path = folder.token();
    if let Ok(text) = std::fs::read_to_string(&path)
        && !text.trim().is_empty()
    {
        return Ok(text.trim().to_owned());
    }
    let token = BlobId(try_random().map_err(NodeError::Random)?).to_string();
    write_secret(&path, &token)?;
    Ok(token)
}

fn try_random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes)
}

/// Random bytes, after the start has shown that there are some.
fn random() -> [u8; 32] {
    let mut attempt = try_random();
    while attempt.is_err() {
        std::thread::sleep(Duration::from_millis(10));
        attempt = try_random();
    }
    attempt.unwrap_or_default()
}
