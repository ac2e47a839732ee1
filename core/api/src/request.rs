//! From a request's parts to a [`Call`], and from a call to the parts a client sends.
//!
//! # Rules
//! - Upon parts whose path, query or body holds something the operation does not know: a problem that names it.
//! - `from_request(call.operation(), to_request(call))` is `call`, for every call.
//! - The path's and the query's values arrive percent-decoded, and leave percent-encoded.

use core::str::FromStr;

use grange_types::Height;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::call::Call;
use crate::files::SecretsBody;
use crate::manifest::{DeployRequest, ManifestBody, ManifestRequest};
use crate::operation::{Method, Operation, Sending};
use crate::problem::{Finding, Problem, ProblemCode};

/// What a server has of a request, once its operation is known from method and path.
#[derive(Debug, Clone, Copy, Default)]
pub struct IncomingRequest<'a> {
    /// The parameters in the path, decoded.
    pub path: &'a [(String, String)],
    /// The parameters in the query, decoded.
    pub query: &'a [(String, String)],
    /// The body; empty when the operation's body is streamed.
    pub body: &'a [u8],
}

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRequest {
    /// The method.
    pub method: Method,
    /// The path and the query, encoded.
    pub target: String,
    /// The type of the body.
    pub content_type: Option<&'static str>,
    /// The body; empty when the operation's body is streamed.
    pub body: Vec<u8>,
}

/// Everything but letters, digits and `-._~` is encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The most entries of a history in one answer.
const HISTORY_MOST: u32 = 1_000;

impl Call {
    /// Reads a call from a request.
    pub fn from_request(operation: Operation, request: IncomingRequest<'_>) -> Result<Self, Problem> {
        let endpoint = operation.endpoint();
        let reader = Reader { operation, request };
        reader.only_known_query()?;
        if endpoint.sending == Sending::Nothing && !request.body.is_empty() {
            return Err(reader.problem(ProblemCode::Malformed, "body", "this operation takes no body"));
        }
        Ok(match operation {
            Operation::Status => Self::Status,
            Operation::Peers => Self::Peers,
            Operation::Offers => Self::Offers,
            Operation::Providers => Self::Providers,
            Operation::Trust => Self::Trust { of: reader.query("of")? },
            Operation::Plan => Self::Plan { manifest: Box::new(reader.body::<ManifestRequest>()?.manifest.into()) },
            Operation::PutBlob => Self::PutBlob { blob: reader.path("id")? },
            Operation::HasBlob => Self::HasBlob { blob: reader.path("id")? },
            Operation::Deploy => {
                let DeployRequest { manifest, secrets } = reader.body()?;
                Self::Deploy { manifest: Box::new(manifest.into()), secrets: secrets.0, most: None }
            }
            Operation::Deployments => Self::Deployments,
            Operation::Deployment => Self::Deployment { name: reader.path("name")? },
            Operation::Down => Self::Down { name: reader.path("name")? },
            Operation::Usage => Self::Usage { name: reader.path("name")? },
            Operation::Logs => Self::Logs {
                name: reader.path("name")?,
                service: reader.query("service")?,
                follow: reader.query("follow")?.unwrap_or(false),
                after: reader.query("after")?,
                earlier: reader.query("earlier")?.unwrap_or(false),
            },
            Operation::ExportData => Self::ExportData {
                name: reader.path("name")?,
                service: reader.query("service")?,
                earlier: reader.query("earlier")?.unwrap_or(false),
            },
            Operation::Wallet => Self::Wallet,
            Operation::Caps => Self::Caps,
            Operation::SetCap => Self::SetCap(reader.body()?),
            Operation::Transfer => Self::Transfer(reader.body()?),
            Operation::WalletHistory => Self::WalletHistory { limit: reader.history_limit()? },
            Operation::SubmitTransaction => Self::SubmitTransaction { bytes: request.body.to_vec() },
            Operation::LedgerHeight => Self::LedgerHeight,
            Operation::LedgerAccount => Self::LedgerAccount { account: reader.path("id")? },
            Operation::LedgerLease => Self::LedgerLease { lease: reader.path("id")? },
            Operation::LedgerName => Self::LedgerName { name: reader.path("name")? },
            Operation::LedgerKey => Self::LedgerKey { key: reader.path("id")? },
            Operation::LedgerGenesis => Self::LedgerGenesis,
            Operation::LedgerBlocks => Self::LedgerBlocks { from: reader.first_block()? },
            Operation::LedgerSnapshot => Self::LedgerSnapshot { at: reader.query("at")?.map(Height) },
            Operation::Names => Self::Names,
            Operation::ClaimName => Self::ClaimName(reader.body()?),
            Operation::ReleaseName => Self::ReleaseName { name: reader.path("name")? },
            Operation::SetPrices => Self::SetPrices(reader.body()?),
            Operation::Pause => Self::Pause(reader.body()?),
            Operation::Keys => Self::Keys,
            Operation::RotateToken => Self::RotateToken,
            Operation::ApiKeys => Self::ApiKeys,
            Operation::CreateKey => Self::CreateKey(reader.body()?),
            Operation::RevokeKey => Self::RevokeKey { name: reader.path("name")? },
            Operation::RevokeKeys => Self::RevokeKeys,
            Operation::Audit => Self::Audit {
                follow: reader.query("follow")?.unwrap_or(false),
                after: reader.query("after")?,
                principal: reader.query("principal")?,
            },
            Operation::Network => Self::Network,
            Operation::Invite => Self::Invite(reader.body()?),
        })
    }

    /// What a client sends to ask for it.
    #[must_use]
    pub fn to_request(&self) -> OutgoingRequest {
        let writer = Writer::new(self.operation());
        match self {
            Self::Status
            | Self::Peers
            | Self::Offers
            | Self::Providers
            | Self::Deployments
            | Self::Wallet
            | Self::Caps
            | Self::LedgerHeight
            | Self::LedgerGenesis
            | Self::Names
            | Self::Keys
            | Self::RotateToken
            | Self::ApiKeys
            | Self::RevokeKeys
            | Self::Network => writer,
            Self::Plan { manifest } => {
                writer.json(&ManifestRequest { manifest: ManifestBody::from((**manifest).clone()) })
            }
            Self::Deploy { manifest, secrets, .. } => writer.json(&DeployRequest {
                manifest: ManifestBody::from((**manifest).clone()),
                secrets: SecretsBody(secrets.clone()),
            }),
            Self::Trust { of } => writer.query("of", of.as_deref()),
            Self::PutBlob { blob } | Self::HasBlob { blob } => writer.path("id", &blob.to_string()),
            Self::Deployment { name } | Self::Down { name } | Self::Usage { name } | Self::ReleaseName { name } => {
                writer.path("name", name)
            }
            Self::RevokeKey { name } => writer.path("name", name),
            Self::CreateKey(request) => writer.json(request),
            Self::Audit { follow, after, principal } => writer
                .query("follow", follow.then_some("true"))
                .query("after", after.map(|after| after.to_string()).as_deref())
                .query("principal", principal.as_deref()),
            Self::Logs { name, service, follow, after, earlier } => writer
                .path("name", name)
                .query("service", service.as_deref())
                .query("follow", follow.then_some("true"))
                .query("after", after.map(|after| after.to_string()).as_deref())
                .query("earlier", earlier.then_some("true")),
            Self::ExportData { name, service, earlier } => writer
                .path("name", name)
                .query("service", service.as_deref())
                .query("earlier", earlier.then_some("true")),
            Self::Transfer(request) => writer.json(request),
            Self::SetCap(request) => writer.json(request),
            Self::WalletHistory { limit } => writer.query("limit", Some(&limit.to_string())),
            Self::SubmitTransaction { bytes } => writer.bytes(bytes),
            Self::LedgerAccount { account } => writer.path("id", &account.to_string()),
            Self::LedgerLease { lease } => writer.path("id", &lease.to_string()),
            Self::LedgerName { name } => writer.path("name", name),
            Self::LedgerKey { key } => writer.path("id", &key.to_string()),
            Self::LedgerBlocks { from } => writer.query("from", Some(&from.to_string())),
            Self::LedgerSnapshot { at } => writer.query("at", at.map(|at| at.to_string()).as_deref()),
            Self::ClaimName(request) => writer.json(request),
            Self::SetPrices(request) => writer.json(request),
            Self::Pause(request) => writer.json(request),
            Self::Invite(request) => writer.json(request),
        }
        .request
    }
}

/// Takes the parts of a request apart, and says what is wrong with them.
struct Reader<'a> {
    operation: Operation,
    request: IncomingRequest<'a>,
}

impl Reader<'_> {
    fn problem(&self, code: ProblemCode, thing: &str, message: impl Into<String>) -> Problem {
        Problem::new(code, self.operation.id(), thing, message)
    }

    fn only_known_query(&self) -> Result<(), Problem> {
        let known = self.operation.endpoint().query;
        for (index, (name, _)) in self.request.query.iter().enumerate() {
            if !known.iter().any(|(known, _)| known == name) {
                let names: Vec<_> = known.iter().map(|(known, _)| *known).collect();
                let message = match names.as_slice() {
                    [] => format!("unknown query parameter `{name}`, there are none"),
                    names => format!("unknown query parameter `{name}`, expected one of {}", names.join(", ")),
                };
                return Err(self.problem(ProblemCode::UnknownField, name, message));
            }
            if self.request.query[..index].iter().any(|(earlier, _)| earlier == name) {
                let message = format!("the query parameter `{name}` is given twice");
                return Err(self.problem(ProblemCode::Malformed, name, message));
            }
        }
        Ok(())
    }

    fn parse<T: FromStr<Err: core::fmt::Display>>(&self, name: &str, text: &str) -> Result<T, Problem> {
        text.parse().map_err(|error| self.problem(ProblemCode::Malformed, name, format!("`{text}`: {error}")))
    }

    fn path<T: FromStr<Err: core::fmt::Display>>(&self, name: &str) -> Result<T, Problem> {
        match self.request.path.iter().find(|(given, _)| given == name) {
            Some((_, text)) => self.parse(name, text),
            None => Err(self.problem(ProblemCode::Malformed, name, "the path lacks this part")),
        }
    }

    fn query<T: FromStr<Err: core::fmt::Display>>(&self, name: &str) -> Result<Option<T>, Problem> {
        let given = self.request.query.iter().find(|(given, _)| given == name);
        given.map(|(_, text)| self.parse(name, text)).transpose()
    }

    fn history_limit(&self) -> Result<u32, Problem> {
        let limit = self.query("limit")?.unwrap_or(Call::HISTORY);
        if (1..=HISTORY_MOST).contains(&limit) {
            return Ok(limit);
        }
        Err(self.problem(ProblemCode::Malformed, "limit", format!("the limit is from 1 to {HISTORY_MOST}")))
    }

    fn first_block(&self) -> Result<Height, Problem> {
        match self.query("from")?.unwrap_or(1) {
            0 => Err(self.problem(ProblemCode::Malformed, "from", "the first block has the height 1")),
            height => Ok(Height(height)),
        }
    }

    fn body<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        serde_json::from_slice(self.request.body).map_err(|error| self.body_problem(&error))
    }

    fn body_problem(&self, error: &serde_json::Error) -> Problem {
        let text = error.to_string();
        // The position is in the finding; the message need not repeat it.
        let message = text.rsplit_once(" at line ").map_or(text.as_str(), |(message, _)| message);
        let unknown = message.strip_prefix("unknown field `").and_then(|rest| rest.split_once('`'));
        let unknown =
            unknown.or_else(|| message.strip_prefix("unknown variant `").and_then(|rest| rest.split_once('`')));
        let (code, thing) = match unknown {
            Some((field, _)) => (ProblemCode::UnknownField, field),
            None => (ProblemCode::Malformed, "body"),
        };
        let place = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        let finding = Finding {
            file: "body".into(),
            line: place(error.line()),
            column: place(error.column()),
            message: message.to_owned(),
        };
        self.problem(code, thing, message).with_findings(vec![finding])
    }
}

/// Puts the parts of a request together.
struct Writer {
    request: OutgoingRequest,
}

impl Writer {
    fn new(operation: Operation) -> Self {
        let endpoint = operation.endpoint();
        let content_type = match endpoint.sending {
            Sending::Nothing => None,
            Sending::Json => Some("application/json"),
            Sending::Bytes | Sending::Stream => Some("application/octet-stream"),
        };
        let (method, target) = (endpoint.method, endpoint.path.to_owned());
        Self { request: OutgoingRequest { method, target, content_type, body: Vec::new() } }
    }

    fn path(mut self, name: &str, value: &str) -> Self {
        let encoded = utf8_percent_encode(value, ENCODED).to_string();
        self.request.target = self.request.target.replace(&format!("{{{name}}}"), &encoded);
        self
    }

    fn query(mut self, name: &str, value: Option<&str>) -> Self {
        if let Some(value) = value {
            let mark = if self.request.target.contains('?') { '&' } else { '?' };
            let encoded = utf8_percent_encode(value, ENCODED);
            self.request.target = format!("{}{mark}{name}={encoded}", self.request.target);
        }
        self
    }

    fn json<T: Serialize>(mut self, value: &T) -> Self {
        // The request types are plain data with text keys, which serde_json always can write.
        self.request.body = serde_json::to_vec(value).unwrap_or_default();
        self
    }

    fn bytes(mut self, bytes: &[u8]) -> Self {
        self.request.body = bytes.to_vec();
        self
    }
}
