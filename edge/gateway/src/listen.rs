//! The accept loop that the API and the ingress share: a bounded number of HTTP/1.1 connections, ended in order.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use std::net::SocketAddr;
use std::sync::Arc;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{BodyError, limits};

/// After a failed accept (too many open files), this long nothing is accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What answers the requests of all connections.
pub(crate) trait Handler: Send + Sync + 'static {
    /// The body of its answers.
    type Body: http_body::Body<Data = bytes::Bytes, Error: Into<BodyError>> + Send + 'static;

    /// Answers one request.
    fn handle(
        self: Arc<Self>,
        client: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Self::Body>> + Send;
}

/// Accepts connections until `shutdown`, then gives those that are open a moment to end.
pub(crate) async fn serve<H: Handler>(
    listener: TcpListener,
    connections: usize,
    handler: Arc<H>,
    shutdown: CancellationToken,
) {
    let permits = Arc::new(Semaphore::new(connections));
    let tasks = TaskTracker::new();
    loop {
        // A connection beyond the limit waits in the kernel's queue.
        let permit = tokio::select! {
            permit = Arc::clone(&permits).acquire_owned() => permit,
            () = shutdown.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, client)) => {
                let (handler, shutdown) = (Arc::clone(&handler), shutdown.clone());
                tasks.spawn(async move {
                    connection(stream, client, handler, shutdown).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "gateway.accept-failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

async fn connection<H: Handler>(stream: TcpStream, client: SocketAddr, handler: Arc<H>, shutdown: CancellationToken) {
    // An answer must not wait for the acknowledgement of the one before it.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%client, %error, "gateway.no-nodelay");
    }
    let service = hyper::service::service_fn(move |request| {
        let handler = Arc::clone(&handler);
        async move { Ok::<_, core::convert::Infallible>(handler.handle(client, request).await) }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(limits::HEAD_TIMEOUT)
            .max_headers(limits::HEADERS)
            .max_buf_size(limits::BUFFER_BYTES)
            .serve_connection(TokioIo::new(stream), service)
    );
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            // What has not ended by then is cut off when the connection is dropped.
            tokio::time::timeout(limits::SHUTDOWN_TIMEOUT, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = result {
        tracing::debug!(%client, %error, "gateway.connection-ended");
    }
}
