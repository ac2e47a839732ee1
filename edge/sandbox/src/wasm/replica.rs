//! A running component: admits requests, gives each an instance, and keeps count.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use grange_types::{ByteCount, Counters, Millis};
use http::HeaderValue;
use http::header::HOST;
use http_body_util::BodyExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use wasmtime::Engine;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Scheme};
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;

use super::answer::AnswerBody;
use super::guest::{Guest, Surroundings};
use super::run::{Bounds, Listener, Run, TryError, Verdict, try_instance};
use crate::body::{Body, BodyError};
use crate::error::{EngineError, ServeError};
use crate::logs::LogReader;
use crate::work::{Replica, Usage};

/// How long a check of health may take.
const CHECK: Duration = Duration::from_secs(5);

/// A running component.
pub(super) struct WasmReplica {
    pub(super) engine: Engine,
    pub(super) pre: ProxyPre<Guest>,
    pub(super) surroundings: Surroundings,
    pub(super) bounds: Bounds,
    pub(super) admission: Admission,
    pub(super) request_time: Duration,
    /// The host of a request that names none.
    pub(super) host: HeaderValue,
    pub(super) started: Instant,
    pub(super) requests: AtomicU64,
    pub(super) egress: Arc<AtomicU64>,
}

/// How many requests a replica works on, and how many wait.
pub(super) struct Admission {
    places: Arc<Semaphore>,
    concurrency: u32,
    waiting: AtomicU32,
    queue: u32,
}

impl Admission {
    pub(super) fn new(concurrency: u32, queue: u32) -> Self {
        let places = Arc::new(Semaphore::new(concurrency as usize));
        Self { places, concurrency, waiting: AtomicU32::new(0), queue }
    }

    fn running(&self) -> u32 {
        self.concurrency - u32::try_from(self.places.available_permits()).unwrap_or(0).min(self.concurrency)
    }

    fn overloaded(&self) -> ServeError {
        ServeError::Overloaded { running: self.running(), waiting: self.waiting.load(Ordering::Relaxed) }
    }

    async fn admit(&self, limit: Duration) -> Result<OwnedSemaphorePermit, ServeError> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.queue {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(self.overloaded());
        }
        let _waiting = Waiting(&self.waiting);
        match tokio::time::timeout(limit, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(self.overloaded()),
        }
    }
}

/// Counts one that waits, also if it stops waiting.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The work on a request. It is done by whoever waits for the answer, so that a short answer needs no task and
/// no other thread; what is left to do when nobody waits any more becomes a task of its own.
struct Work(Option<BoxFuture<'static, ()>>);

impl Work {
    const fn new(work: BoxFuture<'static, ()>) -> Self {
        Self(Some(work))
    }
}

impl Future for Work {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Some(work) = &mut self.0 {
            ready!(work.as_mut().poll(context));
            self.0 = None;
        }
        Poll::Ready(())
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        // Without a runtime, everything ends.
        if let (Some(work), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(work);
        }
    }
}

type Head = Result<http::Response<HyperOutgoingBody>, ErrorCode>;

impl WasmReplica {
    async fn answer(&self, request: http::Request<Body>) -> Result<http::Response<Body>, ServeError> {
        let deadline = Instant::now() + self.request_time;
        if self.bounds.stopped.is_cancelled() {
            return Err(ServeError::Stopped);
        }
        let place = self.admission.admit(self.request_time).await?;
        let (sender, mut head) = oneshot::channel();
        let (listener, hang_up) = Listener::new();
        let verdict = Verdict::default();
        let run = self.run(request, sender, hang_up, Arc::clone(&verdict), place)?;
        let mut work = Work::new(run.drive().boxed());
        let headed = async {
            tokio::select! {
                biased;
                head = &mut head => head,
                () = &mut work => (&mut head).await,
            }
        };
        let answered = match tokio::time::timeout_at(deadline.into(), headed).await {
            Ok(Ok(Ok(response))) => Ok(response),
            Ok(Ok(Err(code))) => Err(ServeError::Refused { code: Arc::new(code) }),
            Ok(Err(_gone)) => Err(self.explain(&verdict)),
            Err(_late) => {
                let error = ServeError::TooSlow { limit: self.request_time };
                listener.end(error.clone());
                return Err(error);
            }
        };
        let response = answered?;
        self.requests.fetch_add(1, Ordering::Relaxed);
        let egress = Arc::clone(&self.egress);
        Ok(response.map(|body| AnswerBody::new(body, verdict, egress, listener).boxed()))
    }

    /// Why there is no answer.
    fn explain(&self, verdict: &Verdict) -> ServeError {
        match verdict.get() {
            Some(ServeError::Overloaded { .. }) => self.admission.overloaded(),
            Some(failure) => failure.clone(),
            None if self.bounds.stopped.is_cancelled() => ServeError::Stopped,
            None => ServeError::Silent,
        }
    }

    fn run(
        &self,
        mut request: http::Request<Body>,
        sender: oneshot::Sender<Head>,
        listener: oneshot::Receiver<ServeError>,
        verdict: Verdict,
        place: OwnedSemaphorePermit,
    ) -> Result<Run, ServeError> {
        use wasmtime_wasi_http::WasiHttpView as _;
        let bad = |error: wasmtime::Error| ServeError::BadRequest { reason: EngineError::from(error) };
        if request.uri().authority().is_none() && !request.headers().contains_key(HOST) {
            request.headers_mut().insert(HOST, self.host.clone());
        }
        let scheme = match request.uri().scheme_str() {
            Some("https") => Scheme::Https,
            _ => Scheme::Http,
        };
        let request = request.map(|body| body.map_err(client_error));
        let mut store = self.surroundings.store(&self.engine);
        let mut http = store.data_mut().http();
        let request = http.new_incoming_request(scheme, request).map_err(bad)?;
        let answer = http.new_response_outparam(sender).map_err(bad)?;
        let (pre, bounds, log) = (self.pre.clone(), self.bounds.clone(), Arc::clone(&self.surroundings.log));
        Ok(Run { pre, store, request, answer, bounds, listener, verdict, log, place })
    }

    async fn check(&self) -> bool {
        if self.bounds.stopped.is_cancelled() {
            return false;
        }
        match try_instance(&self.pre, self.surroundings.store(&self.engine), &self.bounds, CHECK).await {
            Ok(()) => true,
            // Other requests hold the memory: it is busy, not broken.
            Err(TryError::Memory { .. }) => self.admission.running() > 0,
            Err(TryError::Failed(error)) => error.is::<wasmtime::PoolConcurrencyLimitError>(),
            Err(TryError::TooSlow) => false,
        }
    }
}

/// A client that stops sending is all that a component needs to know.
fn client_error(error: BodyError) -> wasmtime_wasi_http::Error {
    wasmtime_wasi_http::Error::InternalError(Some(error.to_string()))
}

impl Replica for WasmReplica {
    fn serve(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, ServeError>> {
        self.answer(request).boxed()
    }

    fn healthy(&self) -> BoxFuture<'_, bool> {
        self.check().boxed()
    }

    fn stop(&self) {
        self.bounds.stopped.cancel();
    }

    fn logs(&self) -> LogReader {
        LogReader::new(Arc::clone(&self.surroundings.log))
    }

    fn counters(&self) -> Counters {
        Counters {
            served: Millis(u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)),
            requests: self.requests.load(Ordering::Relaxed),
            egress: ByteCount(self.egress.load(Ordering::Relaxed)),
        }
    }

    fn usage(&self) -> Usage {
        Usage {
            memory: self.surroundings.memory.used(),
            disk: self.surroundings.keyvalues.bytes(),
            cpu: Millis(u64::try_from(self.bounds.processor.used().as_millis()).unwrap_or(u64::MAX)),
            running: self.admission.running(),
            waiting: self.admission.waiting.load(Ordering::Relaxed),
        }
    }
}

impl Drop for WasmReplica {
    fn drop(&mut self) {
        // Nobody is left who could read an answer.
        self.bounds.stopped.cancel();
    }
}
