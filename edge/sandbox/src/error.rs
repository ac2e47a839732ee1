//! Why work cannot run, and why a request got no answer.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use grange_types::{BlobId, ByteCount, DecodeError, Kind};

use crate::keyvalue::KeyValueError;

/// An error of the wasm engine: a trap, or a refusal of its own.
#[derive(Clone)]
pub struct EngineError(Arc<wasmtime::Error>);

impl EngineError {
    /// Its whole account, with the guest's stack where there is one.
    #[must_use]
    pub fn report(&self) -> String {
        format!("{:?}", self.0)
    }
}

impl From<wasmtime::Error> for EngineError {
    fn from(error: wasmtime::Error) -> Self {
        Self(Arc::new(error))
    }
}

impl fmt::Debug for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for EngineError {
    /// The innermost cause: the trap itself rather than the stack around it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.0.root_cause(), f)
    }
}

impl std::error::Error for EngineError {}

/// Why work cannot be prepared or started.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This node lacks a blob.
    #[error("blob {blob} is not on this node")]
    MissingBlob {
        /// The blob.
        blob: BlobId,
    },
    /// A blob cannot be read.
    #[error("cannot read blob {blob}")]
    ReadBlob {
        /// The blob.
        blob: BlobId,
        /// Why.
        source: io::Error,
    },
    /// The component is larger than allowed.
    #[error("component {component} of {size} is larger than the limit of {limit}")]
    TooLarge {
        /// The component.
        component: BlobId,
        /// Its size.
        size: ByteCount,
        /// The limit.
        limit: ByteCount,
    },
    /// The file is no WebAssembly at all.
    #[error("{component} is no WebAssembly component")]
    NotAComponent {
        /// The blob.
        component: BlobId,
    },
    /// The file is a core module.
    #[error("{component} is a core WebAssembly module, not a component")]
    CoreModule {
        /// The blob.
        component: BlobId,
    },
    /// The component does not validate.
    #[error("component {component} is not valid: {reason}")]
    InvalidComponent {
        /// The component.
        component: BlobId,
        /// The validator's words.
        reason: String,
    },
    /// The component serves no HTTP.
    #[error("component {component} does not export wasi:http/incoming-handler@0.2")]
    NoHandler {
        /// The component.
        component: BlobId,
    },
    /// The component needs something that is not offered.
    #[error("component {component} imports {import}, which is not offered here")]
    UnknownImport {
        /// The component.
        component: BlobId,
        /// What it imports.
        import: String,
        /// What the linker says, when the interface is known but a function in it is not.
        source: Option<EngineError>,
    },
    /// Compiling took more than its limits.
    #[error("component {component} took more than {}", match .exceeded { CompileBound::Time { limit } => format!("{} s to compile", limit.as_secs()), CompileBound::Resources { signal } => format!("the compiler's limits allow (signal {signal})") })]
    CompileBound {
        /// The component.
        component: BlobId,
        /// Which limit.
        exceeded: CompileBound,
    },
    /// The compiler could not be run.
    #[error("cannot run the compiler {}", .compiler.display())]
    RunCompiler {
        /// The executable.
        compiler: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The compiler ended with a code that says nothing about the component.
    #[error("the compiler {} failed with code {code:?}: {output}", .compiler.display())]
    CompilerFailed {
        /// The executable.
        compiler: PathBuf,
        /// Its exit code.
        code: Option<i32>,
        /// The end of what it wrote to standard error.
        output: String,
    },
    /// The compiled code cannot be kept or read.
    #[error("cannot use the code cache at {}", .path.display())]
    CodeCache {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The engine refuses the code that was compiled for it.
    #[error("cannot load the compiled code of {component}")]
    LoadCode {
        /// The component.
        component: BlobId,
        /// Why.
        source: EngineError,
    },
    /// The component starts with more memory than its lease has.
    #[error("component {component} starts with {needs} of memory, but has {has}")]
    NeedsMemory {
        /// The component.
        component: BlobId,
        /// What it needs before it does anything.
        needs: ByteCount,
        /// What its resources allow.
        has: ByteCount,
    },
    /// The component fails while it is instantiated.
    #[error("component {component} fails as it starts")]
    Instantiate {
        /// The component.
        component: BlobId,
        /// The trap.
        source: EngineError,
    },
    /// The component did not finish starting in time.
    #[error("component {component} does not finish starting")]
    StartTooSlow {
        /// The component.
        component: BlobId,
    },
    /// The wasm engine cannot be made on this machine.
    #[error("cannot make the wasm engine")]
    Engine {
        /// Why.
        source: EngineError,
    },
    /// The encryption of components' calls cannot be set up.
    #[error("cannot set up TLS for outgoing calls")]
    Tls {
        /// Why.
        source: rustls::Error,
    },
    /// A thread of the engine cannot be started.
    #[error("cannot start the thread that interrupts components")]
    Thread {
        /// Why.
        source: io::Error,
    },
    /// The service's name would not make a safe folder name.
    #[error("service name {name:?} cannot name a folder")]
    ServiceName {
        /// The name.
        name: String,
    },
    /// A secret cannot be opened.
    #[error("cannot open the secret {name} of {service}: it is sealed under another key")]
    Secret {
        /// The service.
        service: String,
        /// The secret's name.
        name: String,
    },
    /// A replica with secrets was started without the key that they are sealed under.
    #[error("cannot open the secrets of {service} without the deployment's key")]
    NoKey {
        /// The service.
        service: String,
    },
    /// A config or secret has no place of its own.
    #[error("{target} is no place for a config or secret of {service}, or holds another one")]
    FilePlace {
        /// The service.
        service: String,
        /// The place.
        target: String,
    },
    /// The replica's key-value store cannot be used.
    #[error("cannot open the key-value store of {service}")]
    KeyValue {
        /// The service.
        service: String,
        /// Why.
        source: KeyValueError,
    },
    /// The folder of all key-value stores cannot be made.
    #[error("cannot keep key-value stores at {}", .path.display())]
    KeyValueFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The logs cannot be kept.
    #[error("cannot keep logs at {}", .path.display())]
    Logs {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The index of a site does not decode.
    #[error("{index} is no index of a site")]
    SiteIndex {
        /// The blob.
        index: BlobId,
        /// Why.
        source: DecodeError,
    },
    /// A path in the index of a site is not of the form it must have, or is there twice.
    #[error("site {index} has the path {path:?}, which is not relative, sorted and without dots")]
    SitePath {
        /// The blob.
        index: BlobId,
        /// The path.
        path: String,
    },
    /// A site is larger than allowed.
    #[error(
        "site {index} has {files} files, one of {largest}; the limits are {} files of {} each",
        grange_types::limits::SITE_FILES,
        grange_types::limits::SITE_FILE_BYTES
    )]
    SiteTooLarge {
        /// The blob.
        index: BlobId,
        /// How many files.
        files: usize,
        /// The largest.
        largest: ByteCount,
    },
    /// The work is of another kind than this sandbox runs.
    #[error("this sandbox runs work of kind {runs}, not {asked}")]
    WrongKind {
        /// What it runs.
        runs: Kind,
        /// What it was asked to run.
        asked: Kind,
    },
}

/// Which of the compiler's limits was exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompileBound {
    /// The time.
    Time {
        /// The limit.
        limit: std::time::Duration,
    },
    /// Processor time, memory or file size: the system ended it.
    Resources {
        /// The signal that ended it.
        signal: i32,
    },
}

impl SandboxError {
    /// What to do about it, as a sentence for a person.
    #[must_use]
    pub fn remedy(&self) -> &'static str {
        match self {
            Self::MissingBlob { .. } => "deploy again, so that the workload is sent to this node",
            Self::ReadBlob { .. }
            | Self::CodeCache { .. }
            | Self::Logs { .. }
            | Self::KeyValue { .. }
            | Self::KeyValueFolder { .. } => "check the disk and the permissions of the node's data folder",
            Self::TooLarge { .. } => "strip the component (wasm-tools strip) or leave data out of it",
            Self::NotAComponent { .. } => "give the .wasm file that the build wrote, not its source or an archive",
            Self::CoreModule { .. } => {
                "build for the target wasm32-wasip2, or wrap the module with `wasm-tools component new`"
            }
            Self::InvalidComponent { .. } => {
                "build it again with a current toolchain and check with `wasm-tools validate`"
            }
            Self::NoHandler { .. } => "build the component for the world wasi:http/proxy of WASI 0.2",
            Self::UnknownImport { .. } => "use only WASI 0.2 and wasi:keyvalue 0.2.0-draft",
            Self::CompileBound { .. } => "split the component, or build it with less generated code",
            Self::RunCompiler { .. } | Self::CompilerFailed { .. } | Self::Tls { .. } => {
                "install grange again and restart the node"
            }
            Self::LoadCode { .. } => "delete the folder code/ of the node's data; it is made again",
            Self::NeedsMemory { .. } => "raise deploy.resources.limits.memory of the service",
            Self::Instantiate { .. } | Self::StartTooSlow { .. } => {
                "run the component locally; its start-up code fails"
            }
            Self::Engine { .. } | Self::Thread { .. } => "raise the limits of the node's process (ulimit -v, -u)",
            Self::ServiceName { .. } => {
                "use letters, digits, dashes, dots and underscores, beginning with a letter or digit"
            }
            Self::Secret { .. } => "deploy again with the secret's value",
            Self::NoKey { .. } => "wait until two of the deployment's owner and stewards can be reached",
            Self::FilePlace { .. } => "give each config and secret a `target` of its own, such as /etc/app.toml",
            Self::SiteIndex { .. } | Self::SitePath { .. } => "deploy the site again with this version of grange",
            Self::SiteTooLarge { .. } => "split the site into several services",
            Self::WrongKind { .. } => "ask a node that sells this kind of work",
        }
    }
}

/// Why a request got no answer from a replica.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServeError {
    /// As many requests wait as may wait.
    #[error("the replica is overloaded: {running} requests under way and {waiting} waiting")]
    Overloaded {
        /// Requests under way.
        running: u32,
        /// Requests waiting.
        waiting: u32,
    },
    /// It took longer than a request may.
    #[error("the replica did not answer within {} s", .limit.as_secs_f32())]
    TooSlow {
        /// The limit that was reached: of time or of processor time.
        limit: std::time::Duration,
    },
    /// It wanted more memory than its lease has.
    #[error("the replica needed more than its {limit} of memory")]
    OutOfMemory {
        /// The limit.
        limit: ByteCount,
    },
    /// It crashed.
    #[error("the replica crashed")]
    Trapped {
        /// How.
        #[source]
        trap: EngineError,
    },
    /// It ended without an answer.
    #[error("the replica ended without an answer")]
    Silent,
    /// It answered with an error of `wasi:http` instead of a response.
    #[error("the replica refused to answer: {code}")]
    Refused {
        /// The error.
        code: Arc<wasmtime_wasi_http::p2::bindings::http::types::ErrorCode>,
    },
    /// The request is none that can be handed to a component.
    #[error("the request cannot be handed over")]
    BadRequest {
        /// Why.
        #[source]
        reason: EngineError,
    },
    /// It was stopped.
    #[error("the replica was stopped")]
    Stopped,
    /// A file of a site cannot be read.
    #[error("cannot read {path:?} of the site")]
    ReadFile {
        /// The path within the site.
        path: String,
        /// Why.
        source: Arc<io::Error>,
    },
}

impl ServeError {
    /// The HTTP status that tells a client the same.
    #[must_use]
    pub const fn status(&self) -> http::StatusCode {
        match self {
            Self::Overloaded { .. } | Self::Stopped => http::StatusCode::SERVICE_UNAVAILABLE,
            Self::TooSlow { .. } => http::StatusCode::GATEWAY_TIMEOUT,
            Self::BadRequest { .. } => http::StatusCode::BAD_REQUEST,
            Self::OutOfMemory { .. } | Self::Trapped { .. } | Self::Silent | Self::Refused { .. } => {
                http::StatusCode::BAD_GATEWAY
            }
            Self::ReadFile { .. } => http::StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Whether the same request may succeed at once on another replica.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        matches!(self, Self::Overloaded { .. } | Self::Stopped | Self::ReadFile { .. } | Self::OutOfMemory { .. })
    }
}
