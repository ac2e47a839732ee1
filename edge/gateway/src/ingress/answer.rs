//! From a client's request to the answer it gets: a replica's, or a page that says why there is none.

use core::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use grange_api::{Problem, ProblemCode};
use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::attempt::{Answered, AttemptError, Message};
use super::carry::{AnswerBody, ReplicaBody, RequestBody};
use super::{Ingress, Resolved, Target, headers, host, page, route};
use crate::listen::Handler;
use crate::provider::ServeFailure;

/// What a problem says was tried.
const OPERATION: &str = "request";

impl Handler for Ingress {
    type Body = AnswerBody;

    async fn handle(self: Arc<Self>, client: SocketAddr, request: Request<Incoming>) -> Response<AnswerBody> {
        let began = Instant::now();
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let accept = request.headers().get(http::header::ACCEPT).cloned();
        let response = match self.answer(client, request).await {
            Ok(response) => response,
            Err(problem) => {
                let fields = HeaderMap::from_iter(accept.map(|accept| (http::header::ACCEPT, accept)));
                tracing::debug!(code = %problem.code, thing = %problem.thing, "ingress.page");
                page::page(&fields, &problem).map(AnswerBody::Page)
            }
        };
        let (status, micros) = (response.status().as_u16(), began.elapsed().as_micros());
        tracing::debug!(%client, %method, path, status, micros, "ingress.request");
        response
    }
}

impl Ingress {
    async fn answer(&self, client: SocketAddr, request: Request<Incoming>) -> Result<Response<AnswerBody>, Problem> {
        let (mut head, body) = request.into_parts();
        let authority = authority(&head.uri, &head.headers);
        let name = name_of(authority.as_deref())?;
        if head.method == Method::CONNECT || headers::wants_upgrade(&head.headers) {
            let message = "the gateway does not pass on websockets and other changes of protocol";
            return Err(Problem::new(ProblemCode::Unsupported, OPERATION, name, message)
                .with_remedy("use server-sent events or plain requests"));
        }
        let path = head.uri.path().to_owned();
        let targets = self.targets(&name, &path)?;
        headers::forwarded(&mut head.headers, client, authority.as_deref().unwrap_or_default());
        head.uri = origin_form(&head.uri);
        let mut message = Message { head: &head, body: Some(RequestBody::new(body)) };
        let mut last = None;
        let mut sent_again = false;
        for target in targets {
            match self.attempt(&name, &target, &mut message).await {
                Ok(answered) => return Ok(self.pass_on(target, &head.method, answered)),
                Err(failed) => {
                    tracing::debug!(name, provider = %target.provider.short(), lease = %target.lease.short(),
                        error = %failed.error, source = failed.error.source(), "ingress.attempt-failed");
                    if failed.error.silent_replica() {
                        self.resolver.failed(&target);
                    }
                    // A replica that was never reached costs no second sending.
                    let reached = !matches!(failed.error, AttemptError::Connect(_) | AttemptError::ConnectLate);
                    let again = failed.again && !(reached && sent_again);
                    sent_again |= reached;
                    last = Some(failed.error);
                    if !again {
                        break;
                    }
                }
            }
        }
        Err(match last {
            Some(error) => failure(&name, &error),
            None => no_replica(&name, "no replica has a lease now"),
        })
    }

    /// The replicas to try, in order.
    fn targets(&self, name: &str, path: &str) -> Result<Vec<Target>, Problem> {
        let routes = match self.resolver.resolve(name) {
            Resolved::Targets { routes } => routes,
            Resolved::Unknown => {
                let message = "nobody serves this name";
                return Err(Problem::new(ProblemCode::NotFound, OPERATION, name, message)
                    .with_remedy("`grange ps` lists what runs and where it is served"));
            }
            Resolved::NoReplica { reason } => return Err(no_replica(name, &reason)),
        };
        let Some(route) = route::longest(&routes, path) else {
            let message = format!("no service of it takes the path {path}");
            return Err(Problem::new(ProblemCode::NotFound, OPERATION, name, message)
                .with_remedy("`grange ps` lists its services; one of them could have the route /"));
        };
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        Ok(route::candidates(route, turn).collect())
    }

    fn pass_on(&self, target: Target, method: &Method, answered: Answered) -> Response<AnswerBody> {
        let Answered { response, lent, progress } = answered;
        self.usage.count(&target, 1, 0);
        let (mut head, body) = response.into_parts();
        // The length is said again from the body itself; only an answer without a body speaks of another's length.
        if head.headers.contains_key(TRANSFER_ENCODING) && method != Method::HEAD {
            head.headers.remove(CONTENT_LENGTH);
        }
        headers::strip_hop_by_hop(&mut head.headers);
        headers::strip_internal(&mut head.headers);
        let (usage, resolver) = (Arc::clone(&self.usage), Arc::clone(&self.resolver));
        let body = ReplicaBody::new(body, target, usage, resolver, progress, lent);
        head.version = http::Version::HTTP_11;
        Response::from_parts(head, AnswerBody::Replica(Box::new(body)))
    }
}

/// The host that the client asks for: of the request's target where it has one (RFC 9112, 3.2.2), else its field.
fn authority(uri: &Uri, fields: &HeaderMap) -> Option<String> {
    if let Some(authority) = uri.authority() {
        return Some(authority.as_str().to_owned());
    }
    let mut hosts = fields.get_all(HOST).iter();
    let host = hosts.next()?.to_str().ok()?.to_owned();
    hosts.next().is_none().then_some(host)
}

fn name_of(authority: Option<&str>) -> Result<String, Problem> {
    let error = match authority.map(host::name) {
        Some(Ok(name)) => return Ok(name),
        Some(Err(error)) => error,
        None => host::HostError::Missing,
    };
    let code = match error {
        host::HostError::Missing => ProblemCode::Malformed,
        host::HostError::NotOurs => ProblemCode::NotFound,
    };
    let thing = authority.unwrap_or("Host");
    Err(Problem::new(code, OPERATION, thing, error.to_string())
        .with_remedy("ask for http://NAME.localhost and this port; `grange ps` lists the names"))
}

/// The target without scheme and host, as an origin gets it.
fn origin_form(uri: &Uri) -> Uri {
    if uri.authority().is_none() {
        return uri.clone();
    }
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = uri.path_and_query().cloned();
    Uri::from_parts(parts).unwrap_or_default()
}

fn no_replica(name: &str, reason: &str) -> Problem {
    let message = format!("it has no running replica now: {reason}");
    Problem::new(ProblemCode::NoReplica, OPERATION, name, message)
        .with_remedy(format!("wait a moment; `grange ps {name}` says how it is"))
}

fn failure(name: &str, error: &AttemptError) -> Problem {
    let code = match error {
        AttemptError::Connect(_) | AttemptError::Frame(_) | AttemptError::Broken(_) => ProblemCode::ReplicaFailed,
        AttemptError::ConnectLate | AttemptError::Silent => ProblemCode::Timeout,
        AttemptError::Superseded => ProblemCode::NoReplica,
        AttemptError::Served(failure) => match failure {
            ServeFailure::NotRunning | ServeFailure::Overloaded => ProblemCode::NoReplica,
            ServeFailure::Stranger => ProblemCode::LimitReached,
            ServeFailure::TooSlow => ProblemCode::WorkloadTimeout,
            ServeFailure::TooLarge => ProblemCode::TooLarge,
            ServeFailure::BadRequest => ProblemCode::Malformed,
            ServeFailure::Crashed => ProblemCode::ReplicaFailed,
        },
    };
    let message = match error {
        AttemptError::Served(failure) => failure.to_string(),
        error => format!("the replica gave no answer: {error}"),
    };
    Problem::new(code, OPERATION, name, message)
        .with_remedy(format!("`grange ps {name}` says how it is, `grange logs {name}` what it wrote"))
}
