//! Calls that a script makes to the hosts that its compose file allows.

use rquickjs::{Ctx, Exception, Object, Result, TypedArray};

use crate::bindings::wasi::http::outgoing_handler;
use crate::bindings::wasi::http::types::{
    ErrorCode, Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, Scheme,
};
use crate::native;
use crate::wire::{self, Unread};

/// Makes a call and waits for the whole answer: `{ status, headers, body }`. Redirects are not followed.
pub(crate) fn call<'js>(
    ctx: Ctx<'js>,
    method: String,
    url: String,
    headers: Vec<String>,
    body: Option<TypedArray<'js, u8>>,
) -> Result<Object<'js>> {
    let failed = |why: &str| Exception::throw_type(&ctx, &format!("fetch of {url} failed: {why}"));
    let bytes = body.as_ref().map(|body| native::bytes(&ctx, body)).transpose()?.unwrap_or_default();
    let mut headers = native::pairs(headers);
    headers.retain(|(name, _)| name != "content-length");
    if body.is_some() {
        headers.push(("content-length".to_owned(), bytes.len().to_string()));
    }
    let request = request(method, &url, headers).ok_or_else(|| failed("this is no request"))?;
    let response = exchange(request, &bytes).map_err(|code| failed(&explained(&code)))?;
    let answer = Object::new(ctx.clone())?;
    answer.set("status", response.status())?;
    answer.set("headers", native::flat(&wire::pairs(&response.headers())))?;
    let body = response.consume().map_err(|()| Unread::Broken).and_then(|body| wire::all(&body));
    let body = body.map_err(|unread| match unread {
        Unread::TooLong => failed("the answer is too long"),
        Unread::Broken => failed("the answer broke off"),
    })?;
    answer.set("body", TypedArray::new(ctx.clone(), body)?)?;
    Ok(answer)
}

fn request(method: String, url: &str, headers: Vec<(String, String)>) -> Option<OutgoingRequest> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let fields = Fields::new();
    for (name, value) in headers {
        fields.append(&name, value.as_bytes()).ok()?;
    }
    let request = OutgoingRequest::new(fields);
    let method = match &*method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" => Method::Patch,
        _ => Method::Other(method),
    };
    request.set_method(&method).ok()?;
    request.set_scheme(Some(&scheme)).ok()?;
    request.set_authority(Some(authority)).ok()?;
    request.set_path_with_query(Some(path)).ok()?;
    Some(request)
}

fn exchange(request: OutgoingRequest, bytes: &[u8]) -> std::result::Result<IncomingResponse, ErrorCode> {
    let broken = || ErrorCode::InternalError(None);
    let body = request.body().map_err(|()| broken())?;
    let response = outgoing_handler::handle(request, None)?;
    // A server may answer before it has read everything; then its answer counts, not the writing.
    let written = body.write().map_err(|()| broken()).map(|stream| wire::write(&stream, bytes));
    let _ = written.map(|_| OutgoingBody::finish(body, None));
    loop {
        match response.get() {
            Some(Ok(answered)) => return answered,
            Some(Err(())) => return Err(broken()),
            None => response.subscribe().block(),
        }
    }
}

fn explained(code: &ErrorCode) -> String {
    match code {
        ErrorCode::HttpRequestDenied => "this host is not in x-grange.allow_http".to_owned(),
        ErrorCode::ConnectionRefused => "connection refused".to_owned(),
        ErrorCode::DnsError(_) => "the name is not known".to_owned(),
        ErrorCode::ConnectionTimeout | ErrorCode::HttpResponseTimeout => "no answer in time".to_owned(),
        code => code.to_string(),
    }
}
