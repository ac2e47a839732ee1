//! One request of the table of operations: token, arguments, backend, answer.

use axum::RequestExt;
use axum::body::{Body, Bytes};
use axum::extract::{Query, RawPathParams, Request};
use axum::http::header::AUTHORIZATION;
use axum::response::Response;
use futures_util::TryFutureExt;
use grange_api::{Call, IncomingRequest, Operation, Problem, ProblemCode, REQUEST_HEADER, Reply, Sending};
use grange_types::limits::TRANSACTION_BYTES;
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use tokio::time::timeout;

use super::audit::Entry;
use super::{Api, respond, rights, upload};
use crate::backend::{Answer, Lines, Principal, SecretToken, TokenRefusal};
use crate::limits;

/// What an envelope adds to a transaction: network, signer, expiry, signature.
const ENVELOPE_BYTES: usize = 256;

/// Answers one request, and writes down what came of it.
pub(super) async fn ask(api: &Api, operation: Operation, request: Request) -> Response {
    let mut entry = Entry::begin(&api.backend, operation);
    let id = entry.request();
    let mut response = match answer(api, operation, request, &mut entry).await {
        Ok(Answered::Whole(response)) => {
            entry.end(Ok(())).await;
            response
        }
        Ok(Answered::Lines(lines, followed)) => respond::lines(entry.watch(lines), followed, api.shutdown.clone()),
        Err(problem) => {
            let response = respond::problem(&problem);
            entry.end(Err(&problem)).await;
            response
        }
    };
    if let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_HEADER, id);
    }
    response
}

/// What a call is answered with.
enum Answered {
    Whole(Response),
    /// With lines, as events where the last says so.
    Lines(Lines, bool),
}

async fn answer(api: &Api, operation: Operation, mut request: Request, entry: &mut Entry) -> Result<Answered, Problem> {
    let principal = authenticate(api, operation, request.headers())?;
    entry.by(&principal);
    rights::may_ask(&principal, operation)?;
    let path = path_parameters(operation, &mut request).await?;
    let query = query_parameters(operation, &request)?;
    let last_event = last_event(operation, request.headers())?;
    let (head, body) = request.into_parts();
    let (bytes, stream) = match operation.endpoint().sending {
        Sending::Stream => (Bytes::new(), Some(body)),
        sending => (whole(operation, body, limit(sending)).await?, None),
    };
    let incoming = IncomingRequest { path: &path, query: &query, body: &bytes };
    let mut call = Call::from_request(operation, incoming)?;
    if let (Call::Logs { after, .. } | Call::Audit { after, .. }, Some(id)) = (&mut call, last_event) {
        *after = Some(id);
    }
    entry.about(call.object());
    rights::may_call(&principal, &call)?;
    let followed = matches!(call, Call::Logs { follow: true, .. } | Call::Audit { follow: true, .. });
    let blob = if let Call::PutBlob { blob } = &call { Some(*blob) } else { None };
    if let Some(body) = &stream {
        upload::refuse_too_large(operation, &head.headers, body)?;
    }
    let called = timeout(limits::CALL_TIMEOUT, api.backend.call(principal.clone(), call)).await;
    let answer = match called.unwrap_or_else(|_| Err(late(operation, "the node did not finish it in time"))) {
        Ok(answer) => answer,
        Err(problem) => {
            if let Some(body) = stream {
                upload::drain(body).await;
            }
            return Err(problem);
        }
    };
    match (answer, stream, blob) {
        (Answer::Json(reply), body, _) => {
            if let Some(body) = body {
                upload::drain(body).await;
            }
            Ok(Answered::Whole(respond::reply(operation, &reply)))
        }
        (Answer::Lines(lines), _, _) => Ok(Answered::Lines(lines, followed)),
        (Answer::Upload(writer), Some(body), Some(blob)) => {
            let stored = upload::receive(operation, body, writer, blob).await?;
            Ok(Answered::Whole(respond::reply(operation, &Reply::Blob(stored))))
        }
        (Answer::Upload(_), _, _) => {
            Err(Problem::new(ProblemCode::Internal, operation.id(), "", "the node wants bytes that nobody sends"))
        }
    }
}

fn authenticate(api: &Api, operation: Operation, fields: &HeaderMap) -> Result<Principal, Problem> {
    let refuse = |message: &str| Problem::new(ProblemCode::Unauthorized, operation.id(), "token", message);
    let value = fields.get(AUTHORIZATION).ok_or_else(|| refuse("the request carries no token"))?;
    let text = value.to_str().map_err(|_| refuse("the token is no text"))?;
    let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(refuse("the request carries no bearer token"));
    }
    let token = SecretToken::new(token.trim());
    api.backend.principal(&token).map_err(|refusal| match refusal {
        TokenRefusal::Unknown => refuse(&refusal.to_string()),
        _ => refuse(&refusal.to_string())
            .with_remedy("the node's owner lists keys with `grange key list`, and makes one with `grange key create`"),
    })
}

async fn path_parameters(operation: Operation, request: &mut Request) -> Result<Vec<(String, String)>, Problem> {
    let unreadable = |_| Problem::new(ProblemCode::Malformed, operation.id(), "path", "the path is not UTF-8");
    let parameters = request.extract_parts::<RawPathParams>().map_err(unreadable).await?;
    Ok(parameters.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

fn query_parameters(operation: Operation, request: &Request) -> Result<Vec<(String, String)>, Problem> {
    match Query::try_from_uri(request.uri()) {
        Ok(Query(parameters)) => Ok(parameters),
        Err(error) => Err(Problem::new(ProblemCode::Malformed, operation.id(), "query", error.to_string())),
    }
}

/// The id of the last line that a client saw before its event stream broke.
fn last_event(operation: Operation, fields: &HeaderMap) -> Result<Option<u64>, Problem> {
    let Some(value) = fields.get("last-event-id") else {
        return Ok(None);
    };
    match value.to_str().ok().and_then(|text| text.parse().ok()) {
        Some(id) => Ok(Some(id)),
        None => {
            let message = "the field is no id of a line";
            Err(Problem::new(ProblemCode::Malformed, operation.id(), "Last-Event-ID", message))
        }
    }
}

const fn limit(sending: Sending) -> usize {
    match sending {
        // Enough to see that there is something.
        Sending::Nothing => 1 << 10,
        Sending::Json => grange_api::BODY_BYTES,
        Sending::Bytes | Sending::Stream => TRANSACTION_BYTES + ENVELOPE_BYTES,
    }
}

/// Reads a body that is held in memory.
async fn whole(operation: Operation, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let mut body = body;
    let collected = timeout(limits::BODY_TIMEOUT, Limited::new(&mut body, limit).collect()).await;
    match collected.map_err(|_| late(operation, "the request's body did not arrive in time"))? {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            upload::drain(body).await;
            let message = format!("the body is above the limit of {limit} bytes");
            Err(Problem::new(ProblemCode::TooLarge, operation.id(), "body", message))
        }
        Err(_) => Err(Problem::new(ProblemCode::Malformed, operation.id(), "body", "the body broke off")),
    }
}

fn late(operation: Operation, message: &str) -> Problem {
    Problem::new(ProblemCode::Timeout, operation.id(), "", message)
}
