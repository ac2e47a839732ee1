//! A node with a backend that records calls and keeps blobs in memory, and a client for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use grange_api::{
    Base64, Blob, Call, Caps, Down, GenesisFile, Invite, KeySet, LedgerHeight, Line, Network, Plan, Problem,
    ProblemCode, ProviderSettings, Reply, Status, Submitted, Timestamp, Token, Usage, Wallet,
};
use grange_gateway::{
    Answer, Backend, BlobWriter, BodyError, CallRecord, Principal, SecretToken, TokenRefusal, serve_api,
};
use grange_types::{
    AccountId, Amount, BlobId, ByteCount, DeploymentId, Height, KeyId, NetworkId, PeerId, Prices, Right, Rights, Scope,
    StateRoot, Time, TxId,
};
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub(crate) type Body = BoxBody<Bytes, BodyError>;
pub(crate) const TOKEN: &str = "a-token-of-the-test";
/// A key whose rights a test decides.
pub(crate) const KEY: &str = "a-key-of-the-test";

type LineSender = mpsc::Sender<Result<Line, Problem>>;

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

/// A body whose pieces come from a channel.
pub(crate) fn piped() -> (mpsc::Sender<Result<Bytes, BodyError>>, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let pieces = stream::unfold(receiver, |mut receiver: mpsc::Receiver<Result<Bytes, BodyError>>| async {
        let piece = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    (sender, BodyExt::boxed(StreamBody::new(pieces)))
}

/// What the test decides and what it sees.
pub(crate) struct Recorder {
    token: Mutex<SecretToken>,
    calls: Mutex<Vec<Call>>,
    blobs: Arc<Mutex<BTreeMap<BlobId, ByteCount>>>,
    lines: Mutex<Option<mpsc::Receiver<Result<Line, Problem>>>>,
    unready: Mutex<Option<String>>,
    rights: Mutex<Option<Rights>>,
    records: Mutex<Vec<CallRecord>>,
    prefix: Mutex<String>,
}

impl Recorder {
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    pub(crate) fn blobs(&self) -> Vec<(BlobId, ByteCount)> {
        self.blobs.lock().unwrap().iter().map(|(id, size)| (*id, *size)).collect()
    }

    pub(crate) fn rotate(&self, token: &str) {
        *self.token.lock().unwrap() = SecretToken::new(token);
    }

    /// What the key opens from now on.
    pub(crate) fn allow(&self, rights: &[Right], prefix: &str) {
        let scope = Scope { rights: rights.iter().copied().collect(), prefix: prefix.into(), max_spend: None };
        let (id, issuer) = (KeyId([8; 32]), grange_types::PublicKey([9; 32]));
        let until = Time(u64::MAX);
        *self.rights.lock().unwrap() = Some(Rights { id, issuer, name: "ci".into(), generation: 0, scope, until });
    }

    pub(crate) fn take_records(&self) -> Vec<CallRecord> {
        std::mem::take(&mut *self.records.lock().unwrap())
    }

    /// For which names the key of the last call is.
    pub(crate) fn prefix(&self) -> String {
        self.prefix.lock().unwrap().clone()
    }

    pub(crate) fn unready(&self, reason: &str) {
        *self.unready.lock().unwrap() = Some(reason.into());
    }

    /// Where the lines of the next streamed answer come from.
    pub(crate) fn next_lines(&self) -> LineSender {
        let (sender, receiver) = mpsc::channel(1);
        *self.lines.lock().unwrap() = Some(receiver);
        sender
    }

    fn answer(&self, call: Call) -> Result<Answer, Problem> {
        self.calls.lock().unwrap().push(call.clone());
        let submitted = Submitted { transaction: TxId([1; 32]), height: Height(1) };
        let settings = ProviderSettings { prices: Prices::default().into(), paused: false };
        Ok(Answer::Json(match call {
            Call::Deployment { name } if name == "missing" => {
                return Err(Problem::new(ProblemCode::NotFound, "deployment", name, "no such deployment"));
            }
            Call::Deploy { .. }
            | Call::Logs { .. }
            | Call::ExportData { .. }
            | Call::Audit { .. }
            | Call::LedgerBlocks { .. }
            | Call::LedgerSnapshot { .. } => {
                let receiver = self.lines.lock().unwrap().take();
                let lines = stream::unfold(receiver, |receiver| async {
                    let mut receiver = receiver?;
                    Some((receiver.recv().await?, Some(receiver)))
                });
                return Ok(Answer::Lines(lines.boxed()));
            }
            Call::PutBlob { blob } => {
                let blobs = Arc::clone(&self.blobs);
                return Ok(Answer::Upload(Box::new(Writer { blob, size: 0, blobs })));
            }
            Call::HasBlob { blob } => {
                let size = self.blobs.lock().unwrap().get(&blob).copied();
                let missing = || Problem::new(ProblemCode::NotFound, "has-blob", blob.to_string(), "no such blob");
                // The walk over all paths asks for a blob that it has just sent, or is about to send.
                let known = (blob == BlobId::of(b"abc")).then_some(ByteCount(3));
                Reply::Blob(Blob { id: blob, size: size.or(known).ok_or_else(missing)? })
            }
            Call::Status => Reply::Status(status()),
            Call::Peers => Reply::Peers(Vec::new()),
            Call::Offers => Reply::Offers(Vec::new()),
            Call::Providers => Reply::Providers(Vec::new()),
            Call::Trust { .. } => Reply::Trust(Vec::new()),
            Call::Plan { .. } => Reply::Plan(Plan {
                services: Vec::new(),
                total_per_hour: Amount::ZERO,
                takes: Amount::ZERO,
                budget: Amount::ZERO,
                runs_until: None,
                notes: Vec::new(),
            }),
            Call::Deployments | Call::Deployment { .. } => Reply::Replicas(Vec::new()),
            Call::Down { name } => {
                let (returned, transaction, height) = (Amount::ZERO, submitted.transaction, submitted.height);
                Reply::Down(Down { deployment: name, returned, transaction, height })
            }
            Call::Usage { .. } => Reply::Usage(Usage {
                deployment: DeploymentId([4; 32]),
                account: AccountId([2; 32]),
                lines: Vec::new(),
                total: Amount::ZERO,
                settled: Amount::ZERO,
                disputed: Amount::ZERO,
                budget: None,
                removed: None,
                claims_until: None,
                is_final: false,
            }),
            Call::Wallet => {
                let (available, pending) = (Amount::CREDIT, Amount::ZERO);
                let (account, deposit) = (AccountId([2; 32]), Amount::ZERO);
                Reply::Wallet(Wallet { account, available, pending: Some(pending), deposit })
            }
            Call::Caps => {
                let account = AccountId([2; 32]);
                Reply::Caps(Caps { account, per_day: None, set: false, keys: Vec::new(), deployments: Vec::new() })
            }
            Call::SetCap(_)
            | Call::Transfer(_)
            | Call::SubmitTransaction { .. }
            | Call::ClaimName(_)
            | Call::ReleaseName { .. } => Reply::Submitted(submitted),
            Call::WalletHistory { .. } => Reply::History(Vec::new()),
            Call::LedgerHeight => {
                let (height, state_root) = (Height(7), StateRoot([3; 32]));
                Reply::LedgerHeight(LedgerHeight { height, finalized_at: None, state_root })
            }
            Call::LedgerAccount { account } => {
                Reply::Keys(KeySet { account: account.whole().unwrap(), keys: Vec::new() })
            }
            Call::LedgerKey { .. } => Reply::Accounts(Vec::new()),
            Call::LedgerLease { lease } => Reply::Lease(grange_api::Lease {
                lease: lease.whole().unwrap_or(grange_types::LeaseId([1; 32])),
                deployment: grange_types::DeploymentId([3; 32]),
                slot: 0,
                generation: 1,
                provider: PeerId([4; 32]),
                operator: AccountId([4; 32]),
                state: grange_api::LeaseStanding::Open,
                settled: Amount(1),
                escrow: Amount(2),
                held: Amount::ZERO,
                max_rate: Amount(3),
                height: Height(7),
            }),
            Call::LedgerName { name } => {
                let owner = AccountId([2; 32]);
                Reply::Name(grange_api::Name { name, deployment: None, owner, url: None })
            }
            Call::LedgerGenesis => {
                Reply::Genesis(GenesisFile { network: NetworkId([4; 32]), genesis: Base64(Vec::new()) })
            }
            Call::Names => Reply::Names(Vec::new()),
            Call::SetPrices(_) | Call::Pause(_) => Reply::Provider(settings),
            Call::Keys => Reply::Keys(KeySet { account: AccountId([2; 32]), keys: Vec::new() }),
            Call::RotateToken => Reply::Token(Token { token: "next".into() }),
            Call::ApiKeys => Reply::ApiKeys(Vec::new()),
            Call::CreateKey(_) | Call::RevokeKey { .. } | Call::RevokeKeys => Reply::RevokedKeys(Vec::new()),
            Call::Network => Reply::Network(Network {
                network: NetworkId([4; 32]),
                name: "test".into(),
                protocol: 1,
                follows: 1,
                upgrade: None,
                height: Height(7),
                validators: Vec::new(),
            }),
            Call::Invite(_) => Reply::Invite(Invite { invite: "grange".into(), expires: Timestamp(Time(0)) }),
        }))
    }
}

fn status() -> Status {
    Status {
        peer: PeerId([1; 32]),
        display: "node".into(),
        operator: AccountId([2; 32]),
        network: NetworkId([4; 32]),
        version: "0".into(),
        roles: Vec::new(),
        light: false,
        height: Height(7),
        finalized_at: None,
        peers: 0,
        ready: true,
        reason: None,
    }
}

impl Backend for Recorder {
    fn call(&self, principal: Principal, call: Call) -> BoxFuture<'_, Result<Answer, Problem>> {
        assert_eq!(principal.account, AccountId([2; 32]));
        principal.prefix().clone_into(&mut self.prefix.lock().unwrap());
        async move { self.answer(call) }.boxed()
    }

    fn principal(&self, token: &SecretToken) -> Result<Principal, TokenRefusal> {
        let account = AccountId([2; 32]);
        if self.token.lock().unwrap().matches(token) {
            return Ok(Principal::owner(account));
        }
        if token.expose() == "expired" {
            return Err(TokenRefusal::Expired);
        }
        let rights = self.rights.lock().unwrap().clone().filter(|_| token.expose() == KEY);
        let rights = rights.ok_or(TokenRefusal::Unknown)?;
        Ok(Principal { account, name: "ci".into(), rights: Some(Arc::new(rights)) })
    }

    fn record(&self, record: CallRecord) -> BoxFuture<'static, ()> {
        self.records.lock().unwrap().push(record);
        Box::pin(core::future::ready(()))
    }

    fn peer(&self) -> PeerId {
        PeerId([1; 32])
    }

    fn ready(&self) -> Result<(), String> {
        self.unready.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    fn metrics(&self) -> String {
        "grange_height 7\n".into()
    }
}

/// Keeps a blob's size once it is whole.
struct Writer {
    blob: BlobId,
    size: u64,
    blobs: Arc<Mutex<BTreeMap<BlobId, ByteCount>>>,
}

impl BlobWriter for Writer {
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), Problem>> {
        self.size += bytes.len() as u64;
        async { Ok(()) }.boxed()
    }

    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Problem>> {
        self.blobs.lock().unwrap().insert(self.blob, ByteCount(self.size));
        async { Ok(()) }.boxed()
    }
}

/// A node's API that runs.
pub(crate) struct Node {
    pub(crate) backend: Arc<Recorder>,
    pub(crate) address: SocketAddr,
    shutdown: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Node {
    pub(crate) async fn start() -> Self {
        let backend = Arc::new(Recorder {
            token: Mutex::new(SecretToken::new(TOKEN)),
            calls: Mutex::default(),
            blobs: Arc::default(),
            lines: Mutex::default(),
            unready: Mutex::default(),
            rights: Mutex::default(),
            records: Mutex::default(),
            prefix: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve_api(listener, Arc::clone(&backend) as _, shutdown.clone()));
        Self { backend, address, shutdown, serving }
    }

    pub(crate) async fn try_send(&self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection);
        within(sender.send_request(request)).await
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Incoming> {
        self.try_send(request).await.unwrap()
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.serving.await.unwrap();
    }
}

/// Fails a test that hangs.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("the test hangs")
}

pub(crate) async fn bytes(response: Response<Incoming>) -> Bytes {
    within(response.into_body().collect()).await.unwrap().to_bytes()
}

pub(crate) async fn json(response: Response<Incoming>) -> serde_json::Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_slice(&bytes(response).await).unwrap()
}

/// The problem that a response is, which has that status.
pub(crate) async fn problem(response: Response<Incoming>, status: u16) -> Problem {
    assert_eq!(response.status().as_u16(), status);
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let problem: Problem = serde_json::from_slice(&bytes(response).await).unwrap();
    assert_eq!(problem.status(), status);
    problem
}

/// The next piece of a streamed answer.
pub(crate) async fn next(response: &mut Response<Incoming>) -> Option<String> {
    let frame = within(response.frame()).await?.unwrap();
    Some(String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap())
}
