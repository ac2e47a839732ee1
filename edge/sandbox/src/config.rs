//! What a host tells the sandboxes: where to keep things, and how much anything may take.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use grange_types::ByteCount;

use crate::keep::KeeperLink;

/// What the sandboxes of one node are given.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder that is theirs alone: compiled code (`code/`), key-value stores (`kv/`), copies of
    /// others' (`keep/`) and logs (`logs/`).
    pub data: PathBuf,
    /// An executable that carries out `compile-component INPUT OUTPUT` by calling [`crate::compile_component`]:
    /// the host's own binary.
    pub compiler: PathBuf,
    /// How much anything may take.
    pub limits: Limits,
    /// How keepers of key-values are reached. Without it no work that has keepers can be started.
    pub keepers: Option<Arc<dyn KeeperLink>>,
    /// Lets components call private and loopback addresses that their `allow_http` names. **For tests only**: on
    /// a real node it opens the provider's own network to strangers.
    pub allow_private: bool,
}

impl Config {
    /// A configuration with the usual limits.
    #[must_use]
    pub fn new(data: impl Into<PathBuf>, compiler: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            compiler: compiler.into(),
            limits: Limits::default(),
            keepers: None,
            allow_private: false,
        }
    }
}

/// The limits of one node's sandboxes. A lease's own resources lie below them.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Instances that live at the same time in the whole node. Their address space is reserved at the start, and
    /// the number is halved until the reservation succeeds.
    pub instances: u32,
    /// Requests that one replica works on at the same time.
    pub concurrency: u32,
    /// Requests that wait for one replica; the next one is answered [`crate::ServeError::Overloaded`].
    pub queue: u32,
    /// How long a request may take until its answer's head is there, waiting included.
    pub request_time: Duration,
    /// How much processor time a request may take altogether.
    pub request_cpu: Duration,
    /// How long an answer's body may stream.
    pub stream_time: Duration,
    /// How long a component may go on when nobody reads its answer any more.
    pub linger: Duration,
    /// The memory of a replica whose lease names none.
    pub memory: ByteCount,
    /// The disk of a replica whose lease names none: the size of its key-value store.
    pub disk: ByteCount,
    /// The share of a processor, in thousandths, of a replica whose lease names none.
    pub cpu_millis: u32,
    /// Calls that one replica has under way at the same time.
    pub outgoing: u32,
    /// How long a component may take to compile.
    pub compile_time: Duration,
    /// Compiled code that is kept on disk; what was used least recently goes first.
    pub code: ByteCount,
    /// Answers that one site streams at the same time.
    pub site_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            instances: 256,
            concurrency: 64,
            queue: 256,
            request_time: Duration::from_secs(30),
            request_cpu: Duration::from_secs(30),
            stream_time: Duration::from_secs(3600),
            linger: Duration::from_secs(5),
            memory: ByteCount::mib(128),
            disk: ByteCount::mib(64),
            cpu_millis: 1_000,
            outgoing: 64,
            compile_time: Duration::from_secs(180),
            code: ByteCount::gib(2),
            site_streams: 1_024,
        }
    }
}
