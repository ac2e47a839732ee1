//! One request in one instance: from the call of its handler to the verdict on how it ended.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use grange_types::ByteCount;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;
use wasmtime::Store;
use wasmtime::component::Resource;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::types::{HostIncomingRequest, HostResponseOutparam};

use super::guest::Guest;
use super::processor::{Metered, Processor};
use super::ticker::Ticker;
use crate::error::{EngineError, ServeError};
use crate::logs::{Log, LogStream};

/// How a request ended, if not well. Set before the instance goes, so that whoever sees its end also sees why.
pub(super) type Verdict = Arc<OnceLock<ServeError>>;

/// Says that somebody still waits for the answer or reads it. Dropping it says that nobody does.
pub(super) struct Listener {
    // Held only to be dropped, or to carry a verdict.
    hang_up: Option<oneshot::Sender<ServeError>>,
}

impl Listener {
    pub(super) fn new() -> (Self, oneshot::Receiver<ServeError>) {
        let (hang_up, receiver) = oneshot::channel();
        (Self { hang_up: Some(hang_up) }, receiver)
    }

    /// Ends the request at once, for a reason.
    pub(super) fn end(mut self, reason: ServeError) {
        if let Some(hang_up) = self.hang_up.take() {
            // It may have ended by itself.
            let _ = hang_up.send(reason);
        }
    }
}

/// One request on its way through an instance.
pub(super) struct Run {
    pub(super) pre: ProxyPre<Guest>,
    pub(super) store: Store<Guest>,
    pub(super) request: Resource<HostIncomingRequest>,
    pub(super) answer: Resource<HostResponseOutparam>,
    pub(super) bounds: Bounds,
    pub(super) listener: oneshot::Receiver<ServeError>,
    pub(super) verdict: Verdict,
    pub(super) log: Arc<Log>,
    /// The request's place among those its replica works on.
    pub(super) place: OwnedSemaphorePermit,
}

/// What bounds a run.
#[derive(Clone)]
pub(super) struct Bounds {
    pub(super) processor: Arc<Processor>,
    pub(super) ticker: Arc<Ticker>,
    pub(super) stopped: CancellationToken,
    pub(super) cpu: Duration,
    pub(super) stream: Duration,
    pub(super) linger: Duration,
}

/// Why a run was cut off.
enum Cut {
    /// Somebody said so.
    Ended(ServeError),
    /// Nobody listened any more, and it did not end by itself.
    Lingered,
}

impl Run {
    /// Runs to the end, whatever it is.
    pub(super) async fn drive(self) {
        let Self { pre, mut store, request, answer, bounds, listener, verdict, log, place } = self;
        let ended = {
            let call = pin!(async {
                let proxy = pre.instantiate_async(&mut store).await?;
                proxy.wasi_http_incoming_handler().call_handle(&mut store, request, answer).await
            });
            let metered = Metered::new(call, Arc::clone(&bounds.processor), Arc::clone(&bounds.ticker), bounds.cpu);
            tokio::select! {
                biased;
                () = bounds.stopped.cancelled() => Err(Cut::Ended(ServeError::Stopped)),
                ended = metered => match ended {
                    Ok(ended) => Ok(ended),
                    Err(_used_up) => Err(Cut::Ended(ServeError::TooSlow { limit: bounds.cpu })),
                },
                cut = hang_up(listener, bounds.linger) => Err(cut),
                () = tokio::time::sleep(bounds.stream) => {
                    Err(Cut::Ended(ServeError::TooSlow { limit: bounds.stream }))
                }
            }
        };
        let failure = match ended {
            Ok(Ok(())) => None,
            Ok(Err(error)) => failure(error, &store),
            Err(Cut::Ended(reason)) => Some(reason),
            Err(Cut::Lingered) => {
                log.write(LogStream::System, "a request was still running after nobody listened, and was ended");
                None
            }
        };
        if let Some(failure) = failure {
            report(&log, &failure);
            // The first verdict stays.
            let _ = verdict.set(failure);
        }
        drop(store);
        drop(place);
    }
}

async fn hang_up(listener: oneshot::Receiver<ServeError>, linger: Duration) -> Cut {
    match listener.await {
        Ok(reason) => Cut::Ended(reason),
        Err(_) => {
            tokio::time::sleep(linger).await;
            Cut::Lingered
        }
    }
}

/// What an error of the engine says about the replica.
fn failure(error: wasmtime::Error, store: &Store<Guest>) -> Option<ServeError> {
    // A program that exits with 0 has ended, not crashed.
    if error.downcast_ref::<wasmtime_wasi::I32Exit>().is_some_and(|exit| exit.0 == 0) {
        return None;
    }
    if error.is::<wasmtime::PoolConcurrencyLimitError>() {
        return Some(ServeError::Overloaded { running: 0, waiting: 0 });
    }
    let memory = &store.data().memory;
    if memory.refused() {
        return Some(ServeError::OutOfMemory { limit: memory.limit() });
    }
    Some(ServeError::Trapped { trap: EngineError::from(error) })
}

/// Tells the owner of a service what went wrong in it.
fn report(log: &Log, failure: &ServeError) {
    /// Lines of a stack that are worth keeping.
    const LINES: usize = 24;
    log.write(LogStream::System, &format!("a request failed: {failure}"));
    if let ServeError::Trapped { trap } = failure {
        for line in trap.report().lines().take(LINES) {
            log.write(LogStream::System, line);
        }
    }
}

/// Starts an instance and ends it, under the bounds of a request.
pub(super) async fn try_instance(
    pre: &ProxyPre<Guest>,
    mut store: Store<Guest>,
    bounds: &Bounds,
    time: Duration,
) -> Result<(), TryError> {
    let tried = {
        let instance = pin!(async { pre.instantiate_async(&mut store).await.map(drop) });
        let metered = Metered::new(instance, Arc::clone(&bounds.processor), Arc::clone(&bounds.ticker), bounds.cpu);
        tokio::time::timeout(time, metered).await
    };
    match tried {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(_))) if store.data().memory.refused() => Err(TryError::Memory { limit: store.data().memory.limit() }),
        Ok(Ok(Err(error))) => Err(TryError::Failed(error)),
        Ok(Err(_)) | Err(_) => Err(TryError::TooSlow),
    }
}

/// Why an instance did not start.
pub(super) enum TryError {
    Memory { limit: ByteCount },
    TooSlow,
    Failed(wasmtime::Error),
}
