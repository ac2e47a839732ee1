//! Asks a node: calls of the API over one connection that is kept.

mod events;
mod lines;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use grange_api::{Call, Method, OutgoingRequest, Problem, ProblemCode, Sending};
use grange_types::{BlobId, RightsToken};
use serde::de::DeserializeOwned;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

pub(crate) use lines::{Lines, Wait};

/// How long a connection to this machine may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long an answer may take to begin: a node gives up after a minute and says why.
const ANSWER: Duration = Duration::from_secs(65);
/// How long a stream may be silent: compiling the largest component takes three minutes.
const SILENCE: Duration = Duration::from_secs(240);
/// A followed log says something every 15 seconds, if only that it is there.
const FOLLOWED_SILENCE: Duration = Duration::from_secs(40);
/// The longest answer: 100,000 offers of 600 bytes.
const ANSWER_BYTES: u64 = 64 << 20;

/// A node's API and the right to use it.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    agent: Agent,
    /// The command for which it asks, for what goes wrong.
    operation: String,
    api: String,
    token: String,
    token_file: PathBuf,
}

/// An agent that goes through no proxy, follows nothing and takes every status for an answer.
pub(crate) fn agent() -> Agent {
    let config = Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .user_agent(concat!("grange/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(ANSWER));
    config.build().new_agent()
}

impl Client {
    /// Asks nothing yet.
    pub(crate) fn new(operation: &str, api: String, token: String, token_file: PathBuf) -> Self {
        Self { agent: agent(), operation: operation.to_owned(), api, token, token_file }
    }

    /// The command for which the node is asked, as problems name it.
    pub(crate) fn operation(&self) -> &str {
        &self.operation
    }

    /// Where the node is asked.
    pub(crate) fn api(&self) -> &str {
        &self.api
    }

    /// The file that the token is from.
    pub(crate) fn token_file(&self) -> &Path {
        &self.token_file
    }

    /// How the names begin that the token is for, where it is a key that says so; what the node shows are those alone.
    pub(crate) fn prefix(&self) -> Option<String> {
        let token: RightsToken = self.token.parse().ok()?;
        let (block, _) = token.claims()?;
        Some(block.scope.prefix.clone()).filter(|prefix| !prefix.is_empty())
    }

    /// The agent, for requests to the gateway of the same machine.
    pub(crate) const fn agent(&self) -> &Agent {
        &self.agent
    }

    /// The one value that answers a call.
    pub(crate) fn ask<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Problem> {
        let request = call.to_request();
        let mut response = self.send(call, &request, &request.body, None)?;
        let bytes = read(response.body_mut()).map_err(|error| self.broken(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("the node's answer is of another form: {error}");
            Problem::new(ProblemCode::Internal, &self.operation, self.api.clone(), message)
                .with_remedy("the node may be of another version; compare `grange --version` with `grange status`")
        })
    }

    /// The lines that answer a call.
    pub(crate) fn lines(&self, call: &Call) -> Result<Lines, Problem> {
        let followed = matches!(call, Call::Logs { follow: true, .. } | Call::Audit { follow: true, .. });
        let silence = if followed { FOLLOWED_SILENCE } else { SILENCE };
        let request = call.to_request();
        let response = self.send(call, &request, &request.body, Some(silence))?;
        let client = self.clone();
        let broken = move |error: io::Error| client.broken(&ureq::Error::from(error));
        Ok(Lines::start(response.into_body().into_reader(), followed, broken))
    }

    /// Whether the node holds a blob.
    pub(crate) fn has(&self, blob: BlobId) -> Result<bool, Problem> {
        let call = Call::HasBlob { blob };
        match self.send(&call, &call.to_request(), &[], None) {
            Ok(_) => Ok(true),
            Err(problem) if problem.code == ProblemCode::NotFound => Ok(false),
            Err(problem) => Err(problem),
        }
    }

    /// Hands a blob over.
    pub(crate) fn put(&self, blob: BlobId, bytes: &[u8]) -> Result<(), Problem> {
        let call = Call::PutBlob { blob };
        let mut response = self.send(&call, &call.to_request(), bytes, None)?;
        // Read to its end, so that the connection can be used again.
        read(response.body_mut()).map(drop).map_err(|error| self.broken(&error))
    }

    fn send(
        &self,
        call: &Call,
        request: &OutgoingRequest,
        body: &[u8],
        silence: Option<Duration>,
    ) -> Result<Response<Body>, Problem> {
        let mut builder = Request::builder()
            .method(request.method.as_str())
            .uri(format!("{}{}", self.api, request.target))
            .header("authorization", format!("Bearer {}", self.token));
        if let Some(kind) = request.content_type {
            builder = builder.header("content-type", kind);
        }
        let sent = if call.operation().endpoint().sending == Sending::Nothing {
            builder.body(()).map_err(ureq::Error::from).and_then(|request| self.run(request, silence))
        } else {
            builder.body(body).map_err(ureq::Error::from).and_then(|request| self.run(request, silence))
        };
        let mut response = sent.map_err(|error| self.broken(&error))?;
        if response.status().is_success() {
            return Ok(response);
        }
        Err(self.refused(call, request.method, &mut response))
    }

    fn run(
        &self,
        request: Request<impl ureq::AsSendBody>,
        silence: Option<Duration>,
    ) -> Result<Response<Body>, ureq::Error> {
        let config = self.agent.configure_request(request).timeout_per_read(silence);
        self.agent.run(config.build())
    }

    /// What a failed answer says.
    fn refused(&self, call: &Call, method: Method, response: &mut Response<Body>) -> Problem {
        let status = response.status().as_u16();
        let operation = &self.operation;
        if method == Method::Head {
            let code = ProblemCode::all().iter().find(|code| code.status() == status && is_about_requests(**code));
            let code = code.copied().unwrap_or(ProblemCode::Internal);
            return Problem::new(code, operation, self.api.clone(), format!("the node answered {status}"));
        }
        let bytes = read(response.body_mut()).unwrap_or_default();
        match serde_json::from_slice::<Problem>(&bytes) {
            // The node names the call of its API; who typed a command knows that one.
            Ok(problem) if problem.operation == call.operation().id() => {
                Problem { operation: operation.clone(), ..problem }
            }
            Ok(problem) => problem,
            Err(_) => {
                let message = format!("the node answered {status} and not why");
                Problem::new(ProblemCode::Internal, operation, self.api.clone(), message)
            }
        }
    }

    /// Why there is no answer.
    fn broken(&self, error: &ureq::Error) -> Problem {
        let operation = &self.operation;
        let thing = self.api.clone();
        match error {
            ureq::Error::Timeout(ureq::Timeout::Connect)
            | ureq::Error::ConnectionFailed
            | ureq::Error::HostNotFound => Problem::new(ProblemCode::NoNode, operation, thing, "no node answers there"),
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Problem::new(ProblemCode::NoNode, operation, thing, "no node answers there")
            }
            ureq::Error::Timeout(_) => {
                let message = "the node accepted the call and did not answer in time";
                Problem::new(ProblemCode::Timeout, operation, thing, message)
            }
            error => {
                let message = format!("the connection to the node broke: {error}");
                Problem::new(ProblemCode::NoNode, operation, thing, message)
                    .with_remedy("start it again with `grange up` or `grange dev`, then look at `grange status`")
            }
        }
    }
}

/// The codes that a status stands for where the answer has no body.
fn is_about_requests(code: ProblemCode) -> bool {
    use ProblemCode::{Denied, LimitReached, NotFound, NotReady, Timeout, Unauthorized, Unsupported, WrongHost};
    matches!(code, NotFound | Unauthorized | Denied | WrongHost | NotReady | LimitReached | Timeout | Unsupported)
}

fn read(body: &mut Body) -> Result<Vec<u8>, ureq::Error> {
    body.with_config().limit(ANSWER_BYTES).read_to_vec()
}

#[cfg(test)]
mod tests;
