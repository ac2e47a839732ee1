//! A gateway over real TCP, providers behind in-memory streams, and a client: the world of the ingress tests.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use grange_gateway::{
    Body, BodyError, BoxedStream, Connector, Deadlines, Ingress, ReplicaLookup, Resolved, Resolver, RouteEntry, Serve,
    ServeFailure, Target, UsageSink, serve_peer_stream,
};
use grange_types::{LeaseId, PeerId};
use http::{Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// A function that answers requests, as a replica.
type Answer = Arc<dyn Fn(Request<Body>) -> BoxFuture<'static, Result<Response<Body>, ServeFailure>> + Send + Sync>;

pub(crate) struct Replica(Answer);

impl Serve for Replica {
    fn serve(&self, request: Request<Body>) -> BoxFuture<'_, Result<Response<Body>, ServeFailure>> {
        (self.0)(request)
    }
}

/// Makes a replica of an async function.
pub(crate) fn replica<F, Fut>(answer: F) -> Arc<Replica>
where
    F: Fn(Request<Body>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<Body>, ServeFailure>> + Send + 'static,
{
    Arc::new(Replica(Arc::new(move |request| Box::pin(answer(request)))))
}

/// A replica that says its name.
pub(crate) fn named(name: &'static str) -> Arc<Replica> {
    replica(move |_| async move { Ok(Response::new(full(name))) })
}

pub(crate) fn full(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed()
}

/// A body whose pieces come from a channel.
pub(crate) fn piped(capacity: usize) -> (mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = mpsc::channel(capacity);
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
        let piece: Bytes = receiver.recv().await?;
        Some((Ok::<_, BodyError>(Frame::data(piece)), receiver))
    });
    (sender, BodyExt::boxed(StreamBody::new(pieces)))
}

pub(crate) fn target(number: u8, generation: u64) -> Target {
    Target { provider: PeerId([number; 32]), lease: LeaseId([number; 32]), generation }
}

/// How a provider's node behaves when a stream to it is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Node {
    /// As it should.
    Alive,
    /// It cannot be reached.
    Dead,
    /// It is never done with connecting.
    Stuck,
    /// It accepts a stream and closes it once it got a request.
    Breaking,
}

/// What the test decides and what it sees.
#[derive(Default)]
pub(crate) struct Shared {
    names: Mutex<BTreeMap<String, Resolved>>,
    running: Mutex<BTreeMap<(LeaseId, u64), Arc<Replica>>>,
    nodes: Mutex<BTreeMap<PeerId, Node>>,
    failed: Mutex<BTreeSet<Target>>,
    usage: Mutex<BTreeMap<Target, (u64, u64)>>,
    opened: AtomicUsize,
    streams: Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Shared {
    pub(crate) fn name(&self, name: &str, resolved: Resolved) {
        self.names.lock().unwrap().insert(name.into(), resolved);
    }

    /// Lets a name lead to routes of healthy replicas.
    pub(crate) fn routes(&self, name: &str, routes: &[(&str, &[Target])]) {
        let routes = routes.iter().map(|(prefix, targets)| RouteEntry {
            prefix: (*prefix).into(),
            targets: targets.to_vec(),
            healthy: targets.len(),
        });
        self.name(name, Resolved::Targets { routes: routes.collect() });
    }

    pub(crate) fn run(&self, target: Target, replica: Arc<Replica>) {
        self.running.lock().unwrap().insert((target.lease, target.generation), replica);
    }

    pub(crate) fn stop(&self, target: Target) {
        self.running.lock().unwrap().remove(&(target.lease, target.generation));
    }

    pub(crate) fn node(&self, target: Target, node: Node) {
        self.nodes.lock().unwrap().insert(target.provider, node);
    }

    pub(crate) fn has_failed(&self, target: Target) -> bool {
        self.failed.lock().unwrap().contains(&target)
    }

    /// Requests and bytes counted for a replica.
    pub(crate) fn usage(&self, target: Target) -> (u64, u64) {
        self.usage.lock().unwrap().get(&target).copied().unwrap_or_default()
    }

    /// Breaks every stream that is open, as a provider does that is started anew.
    pub(crate) async fn cut(&self) {
        let streams = std::mem::take(&mut *self.streams.lock().unwrap());
        for stream in streams {
            stream.abort();
            let _ = stream.await;
        }
    }

    /// How many streams were opened.
    pub(crate) fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

impl Resolver for Shared {
    fn resolve(&self, name: &str) -> Resolved {
        self.names.lock().unwrap().get(name).cloned().unwrap_or(Resolved::Unknown)
    }

    fn failed(&self, target: &Target) {
        self.failed.lock().unwrap().insert(*target);
    }
}

impl UsageSink for Shared {
    fn count(&self, target: &Target, requests: u64, egress: u64) {
        let mut usage = self.usage.lock().unwrap();
        let counted = usage.entry(*target).or_default();
        counted.0 += requests;
        counted.1 += egress;
    }
}

impl ReplicaLookup for Shared {
    fn find(&self, lease: LeaseId, generation: u64) -> Option<Arc<dyn Serve>> {
        let running = self.running.lock().unwrap();
        running.get(&(lease, generation)).map(|replica| Arc::clone(replica) as Arc<dyn Serve>)
    }
}

/// Connects to providers by in-memory streams.
pub(crate) struct Wires(pub(crate) Arc<Shared>);

impl Connector for Wires {
    fn connect(&self, target: &Target) -> BoxFuture<'_, io::Result<BoxedStream>> {
        let node = self.0.nodes.lock().unwrap().get(&target.provider).copied().unwrap_or(Node::Alive);
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let (near, mut far) = tokio::io::duplex(64 << 10);
            let lookup = Arc::clone(&self.0);
            match node {
                Node::Alive => {
                    let serving = tokio::spawn(serve_peer_stream(far, lookup));
                    self.0.streams.lock().unwrap().push(serving);
                }
                Node::Dead => return Err(io::ErrorKind::ConnectionRefused.into()),
                Node::Stuck => std::future::pending::<()>().await,
                Node::Breaking => drop(tokio::spawn(async move {
                    use tokio::io::{AsyncReadExt, AsyncWriteExt};
                    let length = usize::from(far.read_u8().await.unwrap());
                    far.read_exact(&mut vec![0; length]).await.unwrap();
                    far.write_all(&[1, 0]).await.unwrap();
                    // The first bytes of a request; then the stream is dropped.
                    far.read_u8().await.unwrap();
                })),
            }
            Ok(Box::new(near) as BoxedStream)
        })
    }
}

/// A gateway that runs, and what stands around it.
pub(crate) struct World {
    pub(crate) shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_deadlines(Deadlines::default()).await
    }

    pub(crate) async fn with_deadlines(deadlines: Deadlines) -> Self {
        let shared = Arc::new(Shared::default());
        let connector = Arc::new(Wires(Arc::clone(&shared)));
        let ingress = Ingress::new(Arc::clone(&shared) as _, connector, Arc::clone(&shared) as _);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(ingress.with_deadlines(deadlines).serve(listener, shutdown.clone()));
        Self { shared, address, shutdown, serving }
    }

    /// A gateway with one name, `app`, that leads to one replica.
    pub(crate) async fn with_app(app: Arc<Replica>) -> Self {
        let world = Self::new().await;
        world.shared.routes("app", &[("/", &[target(1, 1)])]);
        world.shared.run(target(1, 1), app);
        world
    }

    pub(crate) async fn connect(&self) -> Client {
        Client::connect(self.address).await
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Incoming> {
        self.connect().await.send(request).await
    }

    pub(crate) async fn get(&self, host: &str, path: &str) -> Response<Incoming> {
        self.send(get(host, path)).await
    }

    /// Tells the gateway to stop and waits until it has.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap();
    }
}

pub(crate) fn get(host: &str, path: &str) -> Request<Body> {
    Request::get(path).header("host", host).body(full("")).unwrap()
}

/// One connection of a client.
pub(crate) struct Client(hyper::client::conn::http1::SendRequest<Body>);

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        Self(sender)
    }

    pub(crate) async fn send(&mut self, request: Request<Body>) -> Response<Incoming> {
        within(async {
            self.0.ready().await.unwrap();
            self.0.send_request(request).await.unwrap()
        })
        .await
    }
}

/// Fails a test that hangs.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("the test hangs")
}

pub(crate) async fn text(response: Response<Incoming>) -> String {
    let bytes = within(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}
