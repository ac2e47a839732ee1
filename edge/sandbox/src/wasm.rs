//! The wasm sandbox: components that serve `wasi:http/proxy`, each request in an instance of its own.
//!
//! | upon | it |
//! |---|---|
//! | prepare | checks the file, compiles it in a child process unless that was done before, loads and links the code, and starts one instance |
//! | start | does the same, continues the previous generation's key-values if the host says so, and is ready |
//! | a request | takes a place, or waits, or is refused; runs the handler in a new instance; streams its answer |
//! | a tick | lets other work run, and charges the replica for the time |
//! | an end without an answer | says why: too slow, out of memory, crashed, silent |

mod address;
mod answer;
mod code;
mod component;
pub(crate) mod engine;
mod files;
mod guest;
mod keyvalue;
mod memory;
mod outgoing;
mod patience;
mod processor;
mod replica;
mod run;
mod stdio;
mod ticker;

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use grange_objects::log::{Mark, View};
use grange_types::{BlobId, ByteCount, Isolation, Kind, Work, Workload};
use http::HeaderValue;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;
use wasmtime::Engine;
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use crate::blobs::BlobSource;
use crate::config::Config;
use crate::error::SandboxError;
use crate::keep::{Copies, KeepMetrics};
use crate::keyvalue::{Progress, Replication, Sealer, StoreName, Stores, Successor};
use crate::logs::Logs;
use crate::work::{Capability, LimitsEnforced, Replica, Sandbox};
use code::CodeCache;
use component::Offer;
use files::Files;
use guest::{Guest, Surroundings};
use keyvalue::KeyValues;
use memory::Memory;
use outgoing::Calls;
pub(crate) use outgoing::admitted;
use processor::Processor;
use replica::{Admission, WasmReplica};
use run::{Bounds, TryError, try_instance};
use ticker::Ticker;

/// Loaded components that are kept, running or not.
const LOADED: usize = 64;
/// How long a component may take to start.
const START: Duration = Duration::from_secs(5);

/// Runs components.
pub struct WasmSandbox {
    engine: Engine,
    ticker: Arc<Ticker>,
    offer: Arc<Offer>,
    code: CodeCache,
    tls: TlsConnector,
    config: Config,
    blobs: Arc<dyn BlobSource>,
    logs: Arc<Logs>,
    stores: Arc<Stores>,
    copies: Arc<Copies>,
    metrics: Arc<KeepMetrics>,
    loaded: Mutex<VecDeque<Loaded>>,
}

/// A component whose code is in memory.
#[derive(Clone)]
struct Loaded {
    component: BlobId,
    pre: ProxyPre<Guest>,
    initial_memory: ByteCount,
}

impl WasmSandbox {
    pub(crate) fn open(
        config: Config,
        blobs: Arc<dyn BlobSource>,
        logs: Arc<Logs>,
        (stores, copies): (Arc<Stores>, Arc<Copies>),
        metrics: Arc<KeepMetrics>,
    ) -> Result<Self, SandboxError> {
        let engine = engine::engine(config.limits.instances)?;
        let ticker = Ticker::start(&engine).map_err(|source| SandboxError::Thread { source })?;
        Ok(Self {
            offer: Arc::new(Offer::new(&engine)?),
            code: CodeCache::open(&config)?,
            tls: outgoing::tls().map_err(|source| SandboxError::Tls { source })?,
            ticker: Arc::new(ticker),
            engine,
            config,
            blobs,
            logs,
            stores,
            copies,
            metrics,
            loaded: Mutex::default(),
        })
    }

    /// A component's code, compiled and loaded if need be.
    async fn load(&self, component: BlobId) -> Result<Loaded, SandboxError> {
        if let Some(loaded) = self.take_loaded(component) {
            return Ok(loaded);
        }
        let file = self.blobs.path(&component).ok_or(SandboxError::MissingBlob { blob: component })?;
        component::check_file(component, &file)?;
        let name = engine::code_name(&self.engine, &component);
        let path = self.code.code(&name, component, &file).await?;
        let (pre, initial_memory) = self.link(component, path).await?;
        let loaded = Loaded { component, pre, initial_memory };
        let mut all = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        all.push_back(loaded.clone());
        if all.len() > LOADED {
            all.pop_front();
        }
        Ok(loaded)
    }

    /// Finds a loaded component, and makes it the one that was used last.
    fn take_loaded(&self, component: BlobId) -> Option<Loaded> {
        let mut all = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let index = all.iter().position(|loaded| loaded.component == component)?;
        let loaded = all.remove(index)?;
        all.push_back(loaded.clone());
        Some(loaded)
    }

    async fn link(&self, component: BlobId, path: PathBuf) -> Result<(ProxyPre<Guest>, ByteCount), SandboxError> {
        let (offer, engine) = (Arc::clone(&self.offer), self.engine.clone());
        let file = path.clone();
        let linking = tokio::task::spawn_blocking(move || offer.load(&engine, component, &file));
        linking
            .await
            .unwrap_or_else(|error| Err(SandboxError::CodeCache { path, source: std::io::Error::other(error) }))
    }

    /// The component of a spec, and the whole of what a start needs.
    async fn build(&self, spec: &Work) -> Result<WasmReplica, SandboxError> {
        let (Workload::Wasm { component, .. } | Workload::Furnished { component, .. }) = spec.workload else {
            return Err(SandboxError::WrongKind { runs: Kind::Wasm, asked: spec.workload.kind() });
        };
        check_service_name(&spec.service)?;
        let loaded = self.load(component).await?;
        let replica = self.replica(spec, &loaded)?;
        let has = replica.surroundings.memory.limit();
        if loaded.initial_memory > has {
            return Err(SandboxError::NeedsMemory { component, needs: loaded.initial_memory, has });
        }
        let store = replica.surroundings.store(&self.engine);
        match try_instance(&replica.pre, store, &replica.bounds, START).await {
            Ok(()) => Ok(replica),
            Err(TryError::Memory { limit }) => {
                Err(SandboxError::NeedsMemory { component, needs: loaded.initial_memory, has: limit })
            }
            Err(TryError::TooSlow) => Err(SandboxError::StartTooSlow { component }),
            // The node is full of requests now; that says nothing about the component.
            Err(TryError::Failed(error)) if error.is::<wasmtime::PoolConcurrencyLimitError>() => Ok(replica),
            Err(TryError::Failed(error)) => Err(SandboxError::Instantiate { component, source: error.into() }),
        }
    }

    fn replica(&self, spec: &Work, loaded: &Loaded) -> Result<WasmReplica, SandboxError> {
        let limits = &self.config.limits;
        let or = |asked: u64, usual: u64| if asked == 0 { usual } else { asked };
        let memory = or(spec.resources.memory.0, limits.memory.0);
        let disk = ByteCount(or(spec.resources.disk.0, limits.disk.0));
        let share = if spec.resources.cpu_millis == 0 { limits.cpu_millis } else { spec.resources.cpu_millis };
        // More instances than fit into the memory would only fail.
        let fit = memory.checked_div(loaded.initial_memory.0).unwrap_or(u64::MAX).max(1);
        let concurrency = u32::try_from(fit).unwrap_or(u32::MAX).min(limits.concurrency.max(1));
        let started = Instant::now();
        Ok(WasmReplica {
            engine: self.engine.clone(),
            pre: loaded.pre.clone(),
            surroundings: Surroundings {
                environment: spec.environment.clone().into_iter().collect(),
                log: self.logs.log(spec.lease).map_err(|source| self.logs_error(source))?,
                memory: Arc::new(Memory::new(ByteCount(memory))),
                calls: Arc::new(Calls::new(
                    &spec.allow_http,
                    self.config.allow_private,
                    limits.outgoing,
                    self.tls.clone(),
                )),
                keyvalues: Arc::new(KeyValues::new(Arc::clone(&self.stores), store_name(spec), disk)),
                files: Files::of(spec)?,
            },
            bounds: Bounds {
                processor: Arc::new(Processor::new(share, started)),
                ticker: Arc::clone(&self.ticker),
                stopped: CancellationToken::new(),
                cpu: limits.request_cpu,
                stream: limits.stream_time,
                linger: limits.linger,
            },
            admission: Admission::new(concurrency, limits.queue),
            request_time: limits.request_time,
            host: HeaderValue::from_str(&format!("{}.localhost", spec.name))
                .unwrap_or(HeaderValue::from_static("localhost")),
            started,
            requests: AtomicU64::new(0),
            egress: Arc::default(),
        })
    }

    fn logs_error(&self, source: std::io::Error) -> SandboxError {
        SandboxError::Logs { path: self.logs.folder().to_owned(), source }
    }

    /// Begins this generation's key-values where the one before ended, by the word of its keepers if it has some.
    async fn begin(&self, spec: &Work, replica: &WasmReplica, progress: &Progress<'_>) -> Result<(), SandboxError> {
        let failed = |source| SandboxError::KeyValue { service: spec.service.clone(), source };
        let Some(link) = self.config.keepers.clone().filter(|_| !spec.keepers.is_empty()) else {
            if let Some(link) = &self.config.keepers {
                let at = Mark { generation: spec.generation, sequence: 0 };
                let none = View { at, keepers: BTreeSet::new(), before: BTreeSet::new(), without: BTreeSet::new() };
                link.counts(&store_name(spec).log(), spec.generation, &none);
            }
            return self.adopt(spec).await;
        };
        let name = store_name(spec);
        let replication = Replication {
            log: name.log(),
            generation: spec.generation,
            keepers: spec.keepers.iter().copied().collect(),
            link,
            sealer: Sealer::new(name.log(), spec.seal.clone()),
            metrics: Arc::clone(&self.metrics),
        };
        let keyvalues = &replica.surroundings.keyvalues;
        let (stores, limit, before) =
            (Arc::clone(&self.stores), keyvalues.limit(), spec.before.iter().copied().collect());
        let copies = Arc::clone(&self.copies);
        let successor = Successor { stores, copies, name, limit, before, replication };
        keyvalues.keep(successor.run(progress).await.map_err(failed)?);
        Ok(())
    }

    pub(crate) async fn start_telling(
        &self,
        spec: Work,
        progress: &Progress<'_>,
    ) -> Result<Arc<dyn Replica>, SandboxError> {
        if spec.workload.has_secrets() && spec.seal.is_none() {
            return Err(SandboxError::NoKey { service: spec.service });
        }
        let replica = self.build(&spec).await?;
        self.begin(&spec, &replica, progress).await?;
        Ok(Arc::new(replica))
    }

    /// Continues the data of the generation before, if the host says so and it is here.
    async fn adopt(&self, spec: &Work) -> Result<(), SandboxError> {
        let Some(previous) = spec.previous else { return Ok(()) };
        let (stores, name) = (Arc::clone(&self.stores), store_name(spec));
        let adopted = tokio::task::spawn_blocking(move || stores.adopt(&name, previous)).await;
        adopted
            .unwrap_or(Err(crate::keyvalue::KeyValueError::Interrupted))
            .map_err(|source| SandboxError::KeyValue { service: spec.service.clone(), source })
    }
}

fn store_name(spec: &Work) -> StoreName {
    StoreName {
        deployment: spec.deployment,
        service: spec.service.clone(),
        replica: spec.replica,
        generation: spec.generation,
    }
}

/// A service's name becomes a folder: it must be one part of a path, and not hidden.
pub(crate) fn check_service_name(name: &str) -> Result<(), SandboxError> {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fine = name.len() <= grange_types::limits::NAME_BYTES
        && name.bytes().all(legal)
        && name.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric());
    if fine { Ok(()) } else { Err(SandboxError::ServiceName { name: name.to_owned() }) }
}

impl Sandbox for WasmSandbox {
    fn capability(&self) -> Capability {
        Capability {
            kind: Kind::Wasm,
            isolation: Isolation::Wasm,
            limits_enforced: LimitsEnforced { cpu: true, memory: true, disk: true },
        }
    }

    fn prepare<'a>(&'a self, spec: &'a Work) -> BoxFuture<'a, Result<(), SandboxError>> {
        async move { self.build(spec).await.map(drop) }.boxed()
    }

    fn start<'a>(&'a self, spec: Work) -> BoxFuture<'a, Result<Arc<dyn Replica>, SandboxError>> {
        async move { self.start_telling(spec, &|_| {}).await }.boxed()
    }
}
