//! Answers in the forms that HTTP has: JSON, NDJSON, server-sent events, problems.

use core::convert::Infallible;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use grange_api::{Answering, Line, Operation, PEER_HEADER, Problem, ProblemCode, Reply};
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::{Api, Client};
use crate::backend::Lines;
use crate::limits;

/// A failure as a response.
pub(super) fn problem(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = text("application/problem+json", json(problem));
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// One value as a response.
pub(super) fn reply(operation: Operation, reply: &Reply) -> Response {
    if operation.endpoint().answering == Answering::Json {
        return text("application/json", json(reply));
    }
    let mut response = Response::new(Body::empty());
    if let Reply::Blob(blob) = reply {
        response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(blob.size.0));
    }
    response
}

/// Lines as a response that lasts as long as they come, or until the node shuts down.
pub(super) fn lines(lines: Lines, followed: bool, shutdown: CancellationToken) -> Response {
    let lines = lines.take_until(shutdown.cancelled_owned());
    if followed {
        let events = lines.map(|line| Ok::<_, Infallible>(event(&Line::from(line))));
        return Sse::new(events).keep_alive(KeepAlive::new().interval(limits::KEEP_ALIVE)).into_response();
    }
    let pieces = lines.map(|line| Ok::<_, Infallible>(Bytes::from(json(&Line::from(line)))));
    let mut response = Response::new(Body::from_stream(pieces));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn event(line: &Line) -> Event {
    let event = Event::default().data(json(line).trim_end());
    match line {
        Line::Log(log) => event.id(log.id.to_string()),
        Line::Audit(line) => event.id(line.seq.to_string()),
        Line::Problem(_) => event.event("problem"),
        _ => event,
    }
}

/// JSON with a line end.
fn json(value: &impl Serialize) -> String {
    // The API's types are plain data with text keys, which serde_json always can write.
    let mut text = serde_json::to_string(value).unwrap_or_default();
    text.push('\n');
    text
}

fn text(kind: &'static str, text: String) -> Response {
    let mut response = Response::new(Body::from(text));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// What needs no token is told to this machine alone.
fn only_local(Client(address): Client, operation: &str) -> Result<(), Problem> {
    if address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    let message = "only programs on the same machine may ask without a token";
    Err(Problem::new(ProblemCode::Denied, operation, address.ip().to_string(), message))
}

/// `/healthz`: the process answers, and says which node it is.
pub(super) async fn health(State(api): State<Api>, Extension(client): Extension<Client>) -> Response {
    if let Err(found) = only_local(client, "healthz") {
        return problem(&found);
    }
    let mut response = text("text/plain; charset=utf-8", "ok\n".to_owned());
    if let Ok(peer) = HeaderValue::try_from(api.backend.peer().to_string()) {
        response.headers_mut().insert(PEER_HEADER, peer);
    }
    response
}

/// `/readyz`: the node can do all that its roles promise.
pub(super) async fn readiness(State(api): State<Api>, Extension(client): Extension<Client>) -> Response {
    let not_ready = |reason| Problem::new(ProblemCode::NotReady, "readyz", "", reason);
    match only_local(client, "readyz").and_then(|()| api.backend.ready().map_err(not_ready)) {
        Ok(()) => text("text/plain; charset=utf-8", "ready\n".to_owned()),
        Err(found) => problem(&found),
    }
}

/// `/metrics`: counters for Prometheus.
pub(super) async fn metrics(State(api): State<Api>, Extension(client): Extension<Client>) -> Response {
    match only_local(client, "metrics") {
        Ok(()) => text("text/plain; version=0.0.4; charset=utf-8", api.backend.metrics()),
        Err(found) => problem(&found),
    }
}
