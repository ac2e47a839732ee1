//! The guestbook: `GET /entries` lists what visitors wrote, `POST /entries` adds to it.
//!
//! Every request gets a fresh instance of this component, and many run at once. So nothing is kept
//! in memory and no stored value is ever read, changed and written back: each entry has a key of
//! its own, which no other request writes. The key begins with the time, so keys sort by age.

use serde::{Deserialize, Serialize};

wit_bindgen::generate!({ path: "wit", world: "guestbook", generate_all });

use exports::wasi::http::incoming_handler::Guest;
use wasi::clocks::wall_clock;
use wasi::http::types::{Fields, IncomingRequest, Method, OutgoingBody, OutgoingResponse, ResponseOutparam};
use wasi::io::streams::{OutputStream, StreamError};
use wasi::keyvalue::store::{self, Bucket};
use wasi::random::random;

const MAX_NAME: usize = 80;
const MAX_MESSAGE: usize = 2000;
/// Enough for the longest entry with every character escaped, and then some.
const MAX_BODY: usize = 64 * 1024;
/// A list is written in pieces of about this size.
const BUFFER: usize = 16 * 1024;
const KEY_PREFIX: &str = "entry-";

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

struct Guestbook;

export!(Guestbook);

impl Guest for Guestbook {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = request.path_with_query().unwrap_or_default();
        let path = target.split('?').next().unwrap_or_default();
        let method = request.method();
        let done = match (path, &method) {
            ("/entries", Method::Get | Method::Head) => list(&out_for(&method), out),
            ("/entries", Method::Post) => add(request, out),
            ("/entries", _) => not_allowed("GET, HEAD, POST", out),
            ("/hello", Method::Get | Method::Head) => {
                answer(out, 200, TEXT, &[], &out_for(&method), b"Hello from Grange\n")
            }
            ("/hello", _) => not_allowed("GET, HEAD", out),
            _ => problem(out, 404, &[], "there is nothing here"),
        };
        // An error here means the client has gone: the body is left unfinished and the host sees it.
        let _ = done;
    }
}

/// Whether a response carries its body.
#[derive(PartialEq)]
enum Out {
    Body,
    HeadOnly,
}

fn out_for(method: &Method) -> Out {
    match method {
        Method::Head => Out::HeadOnly,
        _ => Out::Body,
    }
}

// ---- The entries ----

#[derive(Deserialize)]
#[serde(expecting = "an object with name and message")]
struct Draft {
    name: Option<String>,
    message: Option<String>,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    name: &'a str,
    message: &'a str,
}

fn list(body: &Out, out: ResponseOutparam) -> Result<(), StreamError> {
    let (bucket, keys) = match bucket().and_then(|b| keys(&b).map(|k| (b, k))) {
        Ok(found) => found,
        Err(error) => return store_failed(out, &error),
    };
    let response = OutgoingResponse::new(fields(JSON, &[("cache-control", "no-store")]));
    if *body == Out::HeadOnly {
        ResponseOutparam::set(out, Ok(response));
        return Ok(());
    }
    // A few entries in memory at a time, however long the book is.
    send(out, response, |stream| {
        let mut buffer = Vec::with_capacity(2 * BUFFER);
        let mut separator = b'[';
        for key in keys {
            match bucket.get(&key) {
                // What is stored is the entry's JSON.
                Ok(Some(entry)) => {
                    buffer.push(separator);
                    buffer.extend(entry);
                    separator = b',';
                }
                Ok(None) => {}
                Err(_) => return Err(StreamError::Closed),
            }
            if buffer.len() >= BUFFER {
                write(stream, &buffer)?;
                buffer.clear();
            }
        }
        buffer.extend(if separator == b'[' { "[]" } else { "]" }.bytes());
        write(stream, &buffer)
    })
}

fn add(request: IncomingRequest, out: ResponseOutparam) -> Result<(), StreamError> {
    let draft = match read_body(request).and_then(|body| parse(&body)) {
        Ok(draft) => draft,
        Err(message) => return problem(out, 400, &[], &message),
    };
    let (name, message) =
        match (field("name", draft.name.as_deref(), MAX_NAME), field("message", draft.message.as_deref(), MAX_MESSAGE))
        {
            (Ok(name), Ok(message)) => (name, message),
            (Err(error), _) | (_, Err(error)) => return problem(out, 400, &[], &error),
        };

    let id = new_id();
    let entry = match serde_json::to_vec(&Entry { id: &id, name, message }) {
        Ok(entry) => entry,
        Err(error) => return problem(out, 500, &[], &error.to_string()),
    };
    match bucket().and_then(|b| b.set(&format!("{KEY_PREFIX}{id}"), &entry)) {
        Ok(()) => answer(out, 201, JSON, &[], &Out::Body, &entry),
        Err(error) => store_failed(out, &error),
    }
}

fn parse(body: &[u8]) -> Result<Draft, String> {
    // Serde would take a list of the two values for a draft as well.
    if body.trim_ascii_start().starts_with(b"[") {
        return Err("the body is not an entry in JSON: it is a list".into());
    }
    serde_json::from_slice(body).map_err(|error| format!("the body is not an entry in JSON: {error}"))
}

/// A field as it is to be stored, or what is wrong with it.
fn field<'a>(field: &str, value: Option<&'a str>, max: usize) -> Result<&'a str, String> {
    let value = value.unwrap_or_default().trim();
    if value.is_empty() {
        return Err(format!("{field} is missing"));
    }
    if value.chars().count() > max {
        return Err(format!("{field} is longer than {max} characters"));
    }
    Ok(value)
}

/// Unique, and sorted by time: nanoseconds since 1970 and 64 random bits, both in hexadecimal.
fn new_id() -> String {
    let now = wall_clock::now();
    let nanoseconds = now.seconds * 1_000_000_000 + u64::from(now.nanoseconds);
    format!("{nanoseconds:016x}-{:016x}", random::get_random_u64())
}

// ---- The store ----

/// The deployment's bucket. Hosts name the one they give either "default" or nothing at all.
fn bucket() -> Result<Bucket, store::Error> {
    match store::open("default") {
        Err(store::Error::NoSuchStore) => store::open(""),
        opened => opened,
    }
}

/// The keys of all entries, oldest first.
fn keys(bucket: &Bucket) -> Result<Vec<String>, store::Error> {
    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor)?;
        keys.extend(page.keys.into_iter().filter(|key| key.starts_with(KEY_PREFIX)));
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    // The store lists keys in any order, and pages may overlap while others write.
    keys.sort_unstable();
    keys.dedup();
    Ok(keys)
}

// ---- HTTP ----

#[derive(Serialize)]
struct Problem<'a> {
    message: &'a str,
}

fn problem(out: ResponseOutparam, status: u16, headers: &[(&str, &str)], message: &str) -> Result<(), StreamError> {
    let body = serde_json::to_vec(&Problem { message }).unwrap_or_default();
    answer(out, status, JSON, headers, &Out::Body, &body)
}

fn not_allowed(allow: &str, out: ResponseOutparam) -> Result<(), StreamError> {
    problem(out, 405, &[("allow", allow)], &format!("only {allow} work here"))
}

fn store_failed(out: ResponseOutparam, error: &store::Error) -> Result<(), StreamError> {
    let why = match error {
        store::Error::NoSuchStore => "no such store",
        store::Error::AccessDenied => "access denied",
        store::Error::Other(why) => why,
    };
    problem(out, 500, &[], &format!("the store failed: {why}"))
}

fn read_body(request: IncomingRequest) -> Result<Vec<u8>, String> {
    let unreadable = "the body cannot be read";
    let body = request.consume().map_err(|()| unreadable)?;
    let stream = body.stream().map_err(|()| unreadable)?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(16 * 1024) {
            Ok(chunk) => bytes.extend(chunk),
            Err(StreamError::Closed) => return Ok(bytes),
            Err(StreamError::LastOperationFailed(_)) => return Err(unreadable.into()),
        }
        if bytes.len() > MAX_BODY {
            return Err(format!("the body is longer than {MAX_BODY} bytes"));
        }
    }
}

fn fields(content_type: &str, headers: &[(&str, &str)]) -> Fields {
    let fields = Fields::new();
    for (name, value) in [("content-type", content_type)].iter().chain(headers) {
        let _ = fields.append(name, value.as_bytes());
    }
    fields
}

/// Answers with a body that is there in full.
fn answer(
    out: ResponseOutparam,
    status: u16,
    content_type: &str,
    headers: &[(&str, &str)],
    body: &Out,
    bytes: &[u8],
) -> Result<(), StreamError> {
    let fields = fields(content_type, headers);
    let _ = fields.append("content-length", bytes.len().to_string().as_bytes());
    let response = OutgoingResponse::new(fields);
    let _ = response.set_status_code(status);
    if *body == Out::HeadOnly {
        ResponseOutparam::set(out, Ok(response));
        return Ok(());
    }
    send(out, response, |stream| write(stream, bytes))
}

/// Sends a response whose body `fill` writes. If it fails, the body is left unfinished.
fn send(
    out: ResponseOutparam,
    response: OutgoingResponse,
    fill: impl FnOnce(&OutputStream) -> Result<(), StreamError>,
) -> Result<(), StreamError> {
    let body = response.body().map_err(|()| StreamError::Closed)?;
    ResponseOutparam::set(out, Ok(response));
    {
        let stream = body.write().map_err(|()| StreamError::Closed)?;
        fill(&stream)?;
    }
    OutgoingBody::finish(body, None).map_err(|_| StreamError::Closed)
}

/// Writes all bytes, as fast as the host takes them.
fn write(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
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
