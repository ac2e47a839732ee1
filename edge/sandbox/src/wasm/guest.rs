//! What one instance can see of its host: the data of its store.

use std::sync::Arc;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use super::files::Files;
use super::keyvalue::KeyValues;
use super::memory::{Memory, Part};
use super::outgoing::{Calls, Outgoing};
use super::stdio::LogOutput;
use crate::logs::{Log, LogStream};

/// Bytes that one call may move from the component to the host: a batch of key-values, or a written chunk.
const CALL_BYTES: usize = 16 << 20;
/// Streams, bodies, headers and polls that one instance may hold at the same time.
const RESOURCES: usize = 4_096;
/// Random bytes of one call.
const RANDOM_BYTES: u64 = 1 << 20;

/// The state of one instance.
pub(super) struct Guest {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
    outgoing: Outgoing,
    pub(super) memory: Part,
    keyvalues: Arc<KeyValues>,
    files: Files,
}

/// What the instances of one replica have in common.
pub(super) struct Surroundings {
    pub(super) environment: Vec<(String, String)>,
    pub(super) log: Arc<Log>,
    pub(super) memory: Arc<Memory>,
    pub(super) calls: Arc<Calls>,
    pub(super) keyvalues: Arc<KeyValues>,
    pub(super) files: Files,
}

impl Surroundings {
    /// A store for one more instance. It yields at every tick of the engine's clock.
    pub(super) fn store(&self, engine: &Engine) -> Store<Guest> {
        let mut store = Store::new(engine, self.guest());
        store.limiter(|guest| &mut guest.memory);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_hostcall_fuel(CALL_BYTES);
        store
    }

    fn guest(&self) -> Guest {
        let mut wasi = WasiCtx::builder();
        wasi.envs(&self.environment)
            .stdout(LogOutput::new(Arc::clone(&self.log), LogStream::Out))
            .stderr(LogOutput::new(Arc::clone(&self.log), LogStream::Error))
            .max_random_size(RANDOM_BYTES)
            .allow_tcp(false)
            .allow_udp(false);
        let mut table = ResourceTable::new();
        table.set_max_capacity(RESOURCES);
        Guest {
            wasi: wasi.build(),
            http: WasiHttpCtx::new(),
            table,
            outgoing: Outgoing::new(Arc::clone(&self.calls)),
            memory: Part::new(Arc::clone(&self.memory)),
            keyvalues: Arc::clone(&self.keyvalues),
            files: self.files.clone(),
        }
    }
}

impl Guest {
    pub(super) fn keyvalue(&mut self) -> super::keyvalue::KeyValueView<'_> {
        super::keyvalue::KeyValueView { values: &self.keyvalues, table: &mut self.table }
    }

    pub(super) fn files(&mut self) -> super::files::FilesView<'_> {
        super::files::FilesView { files: &self.files, table: &mut self.table }
    }
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outgoing, table: &mut self.table, ctx: &mut self.http }
    }
}
