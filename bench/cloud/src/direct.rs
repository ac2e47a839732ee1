//! The same component, served by the same runtime, with nothing in between: what a gateway is measured against.
//!
//! The server is a process of its own, as a provider is; [`Direct`] starts this program again as that server. It ends when
//! its standard input does, and with it whoever started it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use grange_sandbox::{BlobSource, BodyError, Config, Replica, Sandboxes, body};
use grange_types::{BlobId, ByteCount, DeploymentId, LeaseId, Resources, Work, Workload};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use crate::Fault;
use crate::guestbook::{self, Size};

/// The hidden subcommand by which this program becomes the server.
pub(crate) const SUBCOMMAND: &str = "serve-direct";

/// The server's process; it ends with this.
pub(crate) struct Direct {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Direct {
    pub(crate) fn start(size: Size) -> Result<Self, Fault> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(SUBCOMMAND).arg(guestbook::COMPONENT);
        command.args([size.cpu_millis.to_string(), size.memory_mib.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let address = line.trim().parse().map_err(|_| "the direct server did not start")?;
        Ok(Self { child, address })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        // It has nothing to lose, should it not have noticed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Serves a component until standard input ends; prints the address first.
pub(crate) fn serve(component: &Path, size: Size) -> Result<(), Fault> {
    let data = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (replica, listener) = runtime.block_on(async {
        let replica = start(component, data.path(), size).await?;
        Ok::<_, Fault>((replica, TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?))
    })?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", listener.local_addr()?)?;
    out.flush()?;
    runtime.spawn(accept(listener, replica));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    runtime.shutdown_background();
    Ok(())
}

struct OneBlob(PathBuf);

impl BlobSource for OneBlob {
    fn path(&self, _: &BlobId) -> Option<PathBuf> {
        Some(self.0.clone())
    }
}

/// A replica as a lease of this size would start it.
async fn start(component: &Path, data: &Path, size: Size) -> Result<Arc<dyn Replica>, Fault> {
    let content = std::fs::read(component)?;
    // This program is its own compiler, as the node's is.
    let sandboxes = Sandboxes::open(Config::new(data, std::env::current_exe()?), Arc::new(OneBlob(component.into())))?;
    let spec = Work {
        lease: LeaseId([1; 32]),
        deployment: DeploymentId([2; 32]),
        name: "direct".into(),
        service: "api".into(),
        replica: 0,
        generation: 1,
        previous: None,
        keepers: Vec::new(),
        before: Vec::new(),
        seal: None,
        workload: Workload::Wasm { component: BlobId::of(&content), size: ByteCount(content.len() as u64) },
        resources: Resources {
            cpu_millis: size.cpu_millis,
            memory: ByteCount::mib(size.memory_mib),
            disk: ByteCount(0),
        },
        environment: BTreeMap::new(),
        allow_http: Vec::new(),
    };
    Ok(sandboxes.start(spec).await?)
}

async fn accept(listener: TcpListener, replica: Arc<dyn Replica>) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(connection(stream, Arc::clone(&replica)));
        }
    }
}

async fn connection(stream: TcpStream, replica: Arc<dyn Replica>) {
    let service = service_fn(move |request: http::Request<Incoming>| {
        let replica = Arc::clone(&replica);
        async move { Ok::<_, Infallible>(answer(&*replica, request).await) }
    });
    // A connection that breaks is the client's business.
    let _ = stream.set_nodelay(true);
    let _ = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(replica: &dyn Replica, request: http::Request<Incoming>) -> http::Response<grange_sandbox::Body> {
    let request = request.map(|body| body.map_err(|error| BodyError::Client { source: error.into() }).boxed());
    replica.serve(request).await.unwrap_or_else(|error| {
        let mut refused = http::Response::new(body::full(error.to_string()));
        *refused.status_mut() = http::StatusCode::BAD_GATEWAY;
        refused
    })
}
