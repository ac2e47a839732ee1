//! From a file to something that can be instantiated: what a component must and must not be.

use std::io::Read as _;
use std::path::Path;

use grange_types::{BlobId, ByteCount, limits};
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;

use super::guest::Guest;
use crate::error::{EngineError, SandboxError};

/// What every component of this node can be linked with.
pub(super) struct Offer {
    linker: Linker<Guest>,
}

/// The packages whose interfaces of version 0.2 are offered. Interpreters import files and sockets whether their
/// program uses them or not, so these are there; but there is no file beside its configs and secrets, and no socket can be made.
const PACKAGES: [&str; 7] =
    ["wasi:io/", "wasi:clocks/", "wasi:random/", "wasi:cli/", "wasi:http/", "wasi:filesystem/", "wasi:sockets/"];
/// Interfaces that have no stable version yet.
const DRAFTS: [&str; 3] =
    ["wasi:keyvalue/store@0.2.0-draft", "wasi:keyvalue/atomics@0.2.0-draft", "wasi:keyvalue/batch@0.2.0-draft"];
/// The interface that a component must export.
const HANDLER: &str = "wasi:http/incoming-handler";

impl Offer {
    pub(super) fn new(engine: &Engine) -> Result<Self, SandboxError> {
        linker(engine).map(|linker| Self { linker }).map_err(|error| SandboxError::Engine { source: error.into() })
    }

    /// Loads compiled code, and links it with what it imports.
    ///
    /// `path` must be a file that this node's own compiler wrote and nobody changed since.
    pub(super) fn load(
        &self,
        engine: &Engine,
        component: BlobId,
        path: &Path,
    ) -> Result<(ProxyPre<Guest>, ByteCount), SandboxError> {
        // SAFETY: the caller took the path from the code cache: the file is the output of our own compiler process,
        // in a folder that only this user can enter, and its content has the hash that was recorded then.
        let loaded = unsafe { Component::deserialize_file(engine, path) };
        let code = loaded.map_err(|error| SandboxError::LoadCode { component, source: error.into() })?;
        check_imports(engine, component, &code)?;
        if !code.component_type().exports(engine).any(|(name, _)| is_version_2(name, HANDLER)) {
            return Err(SandboxError::NoHandler { component });
        }
        let unlinked = |error: wasmtime::Error| SandboxError::UnknownImport {
            component,
            import: quoted(&error).unwrap_or_else(|| "a function".into()),
            source: Some(EngineError::from(error)),
        };
        let pre = self.linker.instantiate_pre(&code).map_err(unlinked)?;
        let proxy = ProxyPre::new(pre).map_err(|_| SandboxError::NoHandler { component })?;
        Ok((proxy, initial_memory(&code)))
    }
}

/// Refuses imports that are not offered.
fn check_imports(engine: &Engine, component: BlobId, code: &Component) -> Result<(), SandboxError> {
    let offered = |name: &str| DRAFTS.contains(&name) || PACKAGES.iter().any(|package| is_version_2_of(name, package));
    match code.component_type().imports(engine).find(|(name, _)| !offered(name)) {
        Some((name, _)) => Err(SandboxError::UnknownImport { component, import: name.to_owned(), source: None }),
        None => Ok(()),
    }
}

/// Whether `name` is `interface@0.2.N`.
fn is_version_2(name: &str, interface: &str) -> bool {
    name.strip_prefix(interface).is_some_and(|rest| rest.starts_with("@0.2."))
}

/// Whether `name` is an interface of a package in version 0.2.
fn is_version_2_of(name: &str, package: &str) -> bool {
    name.strip_prefix(package)
        .and_then(|rest| rest.split_once('@'))
        .is_some_and(|(_, version)| version.starts_with("0.2."))
}

/// The name that an error of the linker puts between backquotes.
fn quoted(error: &wasmtime::Error) -> Option<String> {
    let text = error.to_string();
    text.split('`').nth(1).map(str::to_owned)
}

/// The unit of linear memories.
const PAGE_BYTES: u64 = 64 << 10;

/// The memory that an instance has before it does anything.
fn initial_memory(code: &Component) -> ByteCount {
    let needs = code.resources_required();
    let most = needs.as_ref().and_then(|needs| needs.max_initial_memory_size).unwrap_or(0);
    let count = needs.map_or(1, |needs| needs.num_memories.max(1));
    ByteCount(most.saturating_mul(PAGE_BYTES).saturating_mul(u64::from(count)))
}

/// Everything of WASI 0.2, with nothing in it: no files but configs and secrets, no arguments, no terminal, no network but HTTP.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    super::files::add_to_linker(&mut linker)?;
    super::keyvalue::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// Looks at the first bytes of a file: a component, a module, or neither; and not too large.
pub(super) fn check_file(component: BlobId, path: &Path) -> Result<(), SandboxError> {
    let read = |source| SandboxError::ReadBlob { blob: component, source };
    let mut file = std::fs::File::open(path).map_err(read)?;
    let size = ByteCount(file.metadata().map_err(read)?.len());
    if size > limits::COMPONENT_BYTES {
        return Err(SandboxError::TooLarge { component, size, limit: limits::COMPONENT_BYTES });
    }
    let mut start = Vec::with_capacity(8);
    file.by_ref().take(8).read_to_end(&mut start).map_err(read)?;
    match start.as_slice() {
        // The version is 13 while the component model is not final, and the layer 1 says component.
        [0, b'a', b's', b'm', _, _, 1, 0] => Ok(()),
        [0, b'a', b's', b'm', 1, 0, 0, 0] => Err(SandboxError::CoreModule { component }),
        _ => Err(SandboxError::NotAComponent { component }),
    }
}
