//! The one engine of a node, and the settings that code must have been compiled with to run in it.

use std::hash::{Hash as _, Hasher};

use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::error::SandboxError;

/// Address space for each linear memory: what a 32-bit memory can address, so that no access needs a check.
const MEMORY_BYTES: usize = 4 << 30;
/// Core instances, memories and tables that one component instance takes on average, adapters included; Rust
/// guests take three to five instances, one memory and two tables, JavaScript and Python guests a few more.
const CORE_INSTANCES: u32 = 6;
const MEMORIES: u32 = 2;
const TABLES: u32 = 4;
/// The most of each that one component may have.
const CORE_INSTANCES_MAX: u32 = 64;
const MEMORIES_MAX: u32 = 8;
const TABLES_MAX: u32 = 32;
/// Elements of one table: Python's interpreter has about 20,000 functions in its table.
const TABLE_ELEMENTS: usize = 100_000;
/// Bytes of a table that stay in memory between two instances.
const TABLE_RESIDENT: usize = 8 << 10;
/// The engine's own records of one instance. The defaults are too small for Python guests.
const INSTANCE_BYTES: usize = 8 << 20;
/// Fewer pooled instances than this are no use; then each instance maps its own memory.
const POOL_MINIMUM: u32 = 8;

/// The settings that decide what code is compiled and how it is run. Parent and child share them.
pub(crate) fn configuration() -> Config {
    let mut config = Config::new();
    config.epoch_interruption(true);
    config.wasm_component_model(true);
    // Traps are reported by function name; line tables of a stranger's debug information are not worth reading.
    config.wasm_backtrace_details(wasmtime::WasmBacktraceDetails::Disable);
    config
}

/// Makes the engine. Reserves address space for `instances` components, or for as many as the machine grants.
pub(super) fn engine(instances: u32) -> Result<Engine, SandboxError> {
    let mut wanted = instances;
    while wanted >= POOL_MINIMUM {
        let mut config = configuration();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(wanted)));
        match Engine::new(&config) {
            Ok(engine) => {
                tracing::debug!(instances = wanted, "wasm_pool_reserved");
                return Ok(engine);
            }
            Err(error) => tracing::debug!(instances = wanted, %error, "wasm_pool_refused"),
        }
        wanted /= 2;
    }
    tracing::warn!("wasm_pool_absent");
    Engine::new(&configuration()).map_err(|error| SandboxError::Engine { source: error.into() })
}

fn pool(instances: u32) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(instances * CORE_INSTANCES)
        .total_memories(instances * MEMORIES)
        .total_tables(instances * TABLES)
        .total_stacks(instances)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_component_instance_size(INSTANCE_BYTES)
        .max_core_instance_size(INSTANCE_BYTES)
        .table_elements(TABLE_ELEMENTS)
        .max_memory_size(MEMORY_BYTES)
        // Clearing the first pages of a table is cheaper than giving them back and faulting them in again, and
        // most tables have no more; asking the kernel which pages were touched costs more than either.
        .table_keep_resident(TABLE_RESIDENT)
        .pagemap_scan(Enabled::No);
    pool
}

/// What names compiled code: the component, and everything about engine, version and machine that code depends on.
pub(super) fn code_name(engine: &Engine, component: &grange_types::BlobId) -> String {
    let mut hasher = Blake3Hasher(blake3::Hasher::new());
    hasher.write(component.as_bytes());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.0.finalize().to_hex().to_string()
}

/// Lets what can be hashed be hashed by BLAKE3, whose result is the same in every process.
struct Blake3Hasher(blake3::Hasher);

impl Hasher for Blake3Hasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let mut first = [0; 8];
        first.copy_from_slice(&self.0.finalize().as_bytes()[..8]);
        u64::from_le_bytes(first)
    }
}
