//! Run work behind one trait: wasm components (wasmtime) and static sites.
//!
//! A host makes one [`Sandboxes`], asks it to [`prepare`](Sandboxes::prepare) work that has to be known to run, to
//! [`start`](Sandboxes::start) it when the lease is final, and hands each HTTP request to the [`Replica`] it got.
//!
//! ```no_run
//! # use std::{path::PathBuf, sync::Arc};
//! # use grange_sandbox::{BlobSource, Config, Sandboxes, body};
//! # use grange_types::Work;
//! # async fn example(blobs: Arc<dyn BlobSource>, work: Work) -> Result<(), Box<dyn std::error::Error>> {
//! let sandboxes = Sandboxes::open(Config::new("data/sandbox", std::env::current_exe()?), blobs)?;
//! sandboxes.prepare(&work).await?;
//! let replica = sandboxes.start(work).await?;
//! let answer = replica.serve(http::Request::get("/entries").body(body::empty())?).await?;
//! assert!(answer.status().is_success());
//! # Ok(())
//! # }
//! ```
//!
//! # Rules
//! - **Nothing native comes from a peer.** A component is compiled here, in a child process with limits on
//!   processor time, memory and file size; what it wrote is loaded only if its hash is the recorded one.
//! - **An instance lives for one request.** Nothing that one visitor leaves in memory reaches the next.
//! - **A component cannot hold a thread.** It is interrupted every 10 ms of a clock that ticks only while one
//!   runs, and then pays for its time from its replica's share of a processor.
//! - **Limits are the replica's**, summed over its requests: memory, disk, processor, calls, requests under way.
//! - **A component reaches nothing by itself**: no files, no sockets; HTTP only to the hosts its manifest names,
//!   and never to an address that is not public. The address that was checked is the one that is connected to.
//! - **A key-value write is acknowledged when it is on disk here and at a keeper**, a node of another operator. Each
//!   slot's generation has a store of its own, which begins with the newest copy; an older one is kept, sealed and
//!   exported, never merged.
//! - **A site's paths are keys of a map**, never paths of this machine.
//!
//! # What is left out
//! Containers and micro-VMs, `wasi:http` 0.3, and `wasi:keyvalue/watch`.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod blobs;
pub mod body;
mod compile;
mod config;
mod error;
#[doc(hidden)]
pub mod fuzz;
mod keep;
mod keyvalue;
mod logs;
mod sandboxes;
mod site;
mod wasm;
mod work;

pub use blobs::BlobSource;
pub use body::{Body, BodyError};
pub use compile::{CompileError, compile_component, run_compile_component};
pub use config::{Config, Limits};
pub use error::{CompileBound, EngineError, SandboxError, ServeError};
pub use keep::{KeepMetrics, KeeperLink, Kept};
pub use keyvalue::{Export, KeyValueError};
pub use logs::{LogLine, LogReader, LogStream};
pub use sandboxes::Sandboxes;
pub use site::SiteSandbox;
pub use wasm::WasmSandbox;
pub use work::{Capability, LimitsEnforced, Replica, Sandbox, Usage};
