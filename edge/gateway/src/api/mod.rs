//! The HTTP API: from requests to calls, and from a [`Backend`]'s answers to responses.
//!
//! # Rules
//! - Upon a Host that is not this machine's loopback: refused, whatever else it says (a page of the web cannot
//!   reach the node under a name of its own).
//! - Upon a path of the table of operations: the token first, then its rights, then the arguments, then the backend;
//!   and a record of it when it is over.
//! - Upon a failure anywhere: one problem, with its status.

mod ask;
mod audit;
mod respond;
mod rights;
mod upload;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, get, on};
use grange_api::{Method, Operation, Problem, ProblemCode};
use hyper::body::Incoming;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backend::Backend;
use crate::{limits, listen};

/// What every handler needs.
#[derive(Clone)]
struct Api {
    backend: Arc<dyn Backend>,
    shutdown: CancellationToken,
}

/// Who sent a request.
#[derive(Clone, Copy)]
struct Client(SocketAddr);

/// Serves the API until `shutdown`.
pub async fn serve_api(listener: TcpListener, backend: Arc<dyn Backend>, shutdown: CancellationToken) {
    let service = Service { router: TowerToHyperService::new(router(backend, shutdown.clone())) };
    listen::serve(listener, limits::API_CONNECTIONS, Arc::new(service), shutdown).await;
}

struct Service {
    router: TowerToHyperService<Router>,
}

impl listen::Handler for Service {
    type Body = Body;

    async fn handle(self: Arc<Self>, client: SocketAddr, mut request: Request<Incoming>) -> Response {
        request.extensions_mut().insert(Client(client));
        match hyper::service::Service::call(&self.router, request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn router(backend: Arc<dyn Backend>, shutdown: CancellationToken) -> Router {
    let mut router = Router::new()
        .route("/healthz", get(respond::health))
        .route("/readyz", get(respond::readiness))
        .route("/metrics", get(respond::metrics))
        .fallback(unknown_path);
    for operation in Operation::ALL {
        router = router.route(operation.endpoint().path, route(*operation));
    }
    router
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(only_loopback_host))
        .layer(middleware::from_fn(log))
        .with_state(Api { backend, shutdown })
}

fn route(operation: Operation) -> MethodRouter<Api> {
    let filter = match operation.endpoint().method {
        Method::Get => MethodFilter::GET,
        Method::Head => MethodFilter::HEAD,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Delete => MethodFilter::DELETE,
    };
    on(filter, move |State(api): State<Api>, request: Request| async move { ask::ask(&api, operation, request).await })
}

async fn unknown_path(request: Request) -> Response {
    let path = request.uri().path();
    let problem = Problem::new(ProblemCode::UnknownPath, "request", path, "the API has no such path");
    respond::problem(&problem)
}

async fn wrong_method(request: Request) -> Response {
    let message = format!("the path does not take the method {}", request.method());
    respond::problem(&Problem::new(ProblemCode::MethodNotAllowed, "request", request.uri().path(), message))
}

/// Refuses a request that was made for another host: the defence against DNS rebinding.
async fn only_loopback_host(request: Request, next: Next) -> Response {
    let field = request.headers().get(HOST).and_then(|value| value.to_str().ok());
    let host = request.uri().authority().map(Authority::as_str).or(field).unwrap_or_default();
    if is_loopback(host) {
        return next.run(request).await;
    }
    let message = "the Host header does not name this machine's loopback address";
    respond::problem(&Problem::new(ProblemCode::WrongHost, "request", host, message))
}

/// Whether a host, with or without a port, is written as the loopback address.
fn is_loopback(host: &str) -> bool {
    let port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|name| match host.strip_prefix(name) {
        Some(rest) => rest.is_empty() || rest.strip_prefix(':').is_some_and(port),
        None => false,
    })
}

async fn log(request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let response = next.run(request).await.into_response();
    let (status, micros) = (response.status().as_u16(), began.elapsed().as_micros());
    tracing::debug!(%method, path, status, micros, "api.request");
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_loopback_address_is_a_host() {
        for host in ["127.0.0.1", "127.0.0.1:80", "localhost", "localhost:7070", "[::1]", "[::1]:65535"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "127.0.0.1.evil.example",
            "localhost.evil.example:80",
            "localhost:",
            "localhost:x",
            "::1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
