//! A request as it comes in, and an answer as it goes out; both whole, in memory.

use crate::bindings::wasi::http::types::{
    Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam, Scheme,
};
use crate::bindings::wasi::io::streams::{OutputStream, StreamError};
use crate::native;

/// The longest body that is read. A replica has 64 MiB for all its requests where its compose file says nothing.
const BODY_BYTES: usize = 8 << 20;
/// How much is asked for at once.
const CHUNK_BYTES: u64 = 64 << 10;

/// A request.
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

/// An answer.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn plain(status: u16, text: &str) -> Self {
        let headers = vec![("content-type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        Self { status, headers, body: text.into() }
    }

    /// What a visitor sees when the script failed: that it did. Why is its owner's business, and in the log.
    pub(crate) fn failed() -> Self {
        Self::plain(500, "This service failed. Its owner can read why in its log.\n")
    }
}

/// Why a body could not be read.
pub(crate) enum Unread {
    TooLong,
    Broken,
}

/// Reads the whole request, or says what to answer instead.
pub(crate) fn read(request: IncomingRequest) -> Result<Request, Answer> {
    let headers = pairs(&request.headers());
    let host = || headers.iter().find(|(name, _)| name == "host").map(|(_, value)| value.clone());
    let authority = request.authority().or_else(host).unwrap_or_else(|| "localhost".to_owned());
    let scheme = match request.scheme() {
        Some(Scheme::Https) => "https",
        _ => "http",
    };
    let target = request.path_with_query().filter(|target| target.starts_with('/')).unwrap_or_else(|| "/".to_owned());
    let body = request.consume().map_err(|()| Unread::Broken).and_then(|body| all(&body));
    Ok(Request {
        method: name(request.method()),
        url: format!("{scheme}://{authority}{target}"),
        headers,
        body: body.map_err(|unread| match unread {
            Unread::TooLong => Answer::plain(413, &format!("A body has at most {BODY_BYTES} bytes here.\n")),
            Unread::Broken => Answer::plain(400, "The body cannot be read.\n"),
        })?,
    })
}

/// Everything that a body holds.
pub(crate) fn all(body: &IncomingBody) -> Result<Vec<u8>, Unread> {
    let stream = body.stream().map_err(|()| Unread::Broken)?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(CHUNK_BYTES) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(Unread::Broken),
        }
        if bytes.len() > BODY_BYTES {
            return Err(Unread::TooLong);
        }
    }
}

/// Header fields as text. Bytes that are no UTF-8 are replaced: scripts have nothing else for them.
pub(crate) fn pairs(fields: &Fields) -> Vec<(String, String)> {
    let text = |value: Vec<u8>| String::from_utf8_lossy(&value).into_owned();
    fields.entries().into_iter().map(|(name, value)| (name.to_ascii_lowercase(), text(value))).collect()
}

fn name(method: Method) -> String {
    let name = match method {
        Method::Get => "GET",
        Method::Head => "HEAD",
        Method::Post => "POST",
        Method::Put => "PUT",
        Method::Delete => "DELETE",
        Method::Connect => "CONNECT",
        Method::Options => "OPTIONS",
        Method::Trace => "TRACE",
        Method::Patch => "PATCH",
        Method::Other(name) => return name,
    };
    name.to_owned()
}

/// Sends the answer; to HEAD, without its body.
pub(crate) fn send(out: ResponseOutparam, answer: Answer, head: bool) {
    let fields = Fields::new();
    for (name, value) in &answer.headers {
        // The length is counted, and the host frames the body.
        if name != "content-length" && fields.append(name, value.as_bytes()).is_err() {
            native::log("error", format!("the header {name} is left out: it may not be set, or not to this value"));
        }
    }
    let bodiless = matches!(answer.status, 204 | 304);
    if !bodiless {
        let _ = fields.append("content-length", answer.body.len().to_string().as_bytes());
    }
    let response = OutgoingResponse::new(fields);
    let _ = response.set_status_code(answer.status);
    let body = if head || bodiless { None } else { response.body().ok() };
    ResponseOutparam::set(out, Ok(response));
    let Some(body) = body else { return };
    // An error here means the client has gone: the body is left unfinished and the host sees it.
    let written = body.write().map_err(|()| StreamError::Closed).and_then(|stream| write(&stream, &answer.body));
    if written.is_ok() {
        let _ = OutgoingBody::finish(body, None);
    }
}

/// Writes all bytes, as fast as the host takes them.
pub(crate) fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = match stream.check_write()? {
            0 => {
                stream.subscribe().block();
                continue;
            }
            room => usize::try_from(room).unwrap_or(usize::MAX),
        };
        let (now, later) = bytes.split_at(bytes.len().min(room));
        stream.write(now)?;
        bytes = later;
    }
    Ok(())
}
