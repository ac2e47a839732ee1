//! What a failure looks like to people and scripts, and the one table of its codes.
//!
//! A [`Problem`] is the body of every failed request, the last line of a failed stream, and what the command line
//! prints on stderr under `--json`: the same object everywhere.

use core::fmt;

use grange_types::AmbiguousId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One failure: what was tried, on what, why it failed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema, thiserror::Error)]
#[error("{operation} {thing}: {message}")]
pub struct Problem {
    /// A word from a closed list that scripts may test.
    pub code: ProblemCode,
    /// The exit code of a command that fails with it.
    pub exit: u8,
    /// What was tried, such as `deploy`.
    pub operation: String,
    /// What it was tried on: a name, an id, a file, a field. Empty when there is no such thing.
    pub thing: String,
    /// Why it failed: lower case, no full stop.
    pub message: String,
    /// What to do about it; empty when nothing helps.
    pub remedy: String,
    /// Places in files or in the request's body.
    #[serde(default)]
    #[schema(value_type = Vec<Finding>)]
    pub findings: Box<[Finding]>,
}

/// A place in a file, and what is wrong there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The file, or `body` for the request's body.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

impl Problem {
    /// A failure with its code's general remedy.
    #[must_use]
    pub fn new(
        code: ProblemCode,
        operation: impl Into<String>,
        thing: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            code,
            exit: code.exit(),
            operation: operation.into(),
            thing: thing.into(),
            message: message.into(),
            remedy: code.remedy().to_owned(),
            findings: Box::default(),
        }
    }

    /// The beginning of an id is that of several things.
    #[must_use]
    pub fn ambiguous(operation: &str, thing: &str, error: AmbiguousId) -> Self {
        let text = format!("{thing} may mean any of {}: their ids all begin so", error.count);
        Self::new(ProblemCode::Malformed, operation, thing, text)
            .with_remedy("give more digits of the one that is meant")
    }

    /// The same failure with a remedy that fits it better.
    #[must_use]
    pub fn with_remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = remedy.into();
        self
    }

    /// The same failure with places in files.
    #[must_use]
    pub fn with_findings(mut self, findings: Vec<Finding>) -> Self {
        self.findings = findings.into();
        self
    }

    /// The HTTP status of an answer that carries it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.code.status()
    }
}

/// A row of the table: the word, its exit code, its HTTP status, what it means and what generally helps.
type Row = (&'static str, u8, u16, &'static str, &'static str);

macro_rules! problem_codes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal, $exit:literal, $status:literal, $remedy:literal;)+) => {
        /// Every kind of failure there is. The word, not the message, is what scripts may rely on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
        pub enum ProblemCode {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)+
        }

        impl ProblemCode {
            /// All of them, in the order of the table in the documentation.
            #[must_use]
            pub const fn all() -> &'static [Self] {
                &[$(Self::$variant),+]
            }

            const fn row(self) -> Row {
                match self {
                    $(Self::$variant => ($word, $exit, $status, concat!($($doc),+), $remedy),)+
                }
            }
        }
    };
}

problem_codes! {
    /// The arguments of a command are wrong.
    Usage = "usage", 2, 400, "see the command's --help";
    /// A request, a frame or an envelope cannot be read: truncated, not JSON, a value out of its range.
    Malformed = "malformed", 2, 400, "compare the request with openapi/grange.json";
    /// A request has a field or a parameter that does not exist.
    UnknownField = "unknown-field", 2, 422, "remove the field, or compare its spelling with openapi/grange.json";
    /// The API has no such path.
    UnknownPath = "unknown-path", 3, 404, "compare the path with openapi/grange.json";
    /// The path exists, but not with this method.
    MethodNotAllowed = "method-not-allowed", 2, 405, "use a method named by the Allow header";
    /// The Host header does not name this machine's loopback address.
    WrongHost = "wrong-host", 4, 421, "call the API as 127.0.0.1, localhost or [::1]";
    /// The bearer token is missing, wrong, or was rotated.
    Unauthorized = "unauthorized", 4, 401, "read the token file that nodes.json names, or pass --token-file";
    /// The token's principal, or the key that signed, may not do this.
    Denied = "denied", 4, 403, "use an account or a key that has this role";
    /// A signature is not its signer's over these bytes: an envelope was altered.
    BadSignature = "bad-signature", 4, 403, "sign the bytes again and send them unchanged";
    /// An envelope was signed for another network.
    ForeignNetwork = "foreign-network", 4, 403, "sign it for the network that `grange network show` names";
    /// An envelope is past its expiry, or its expiry is too far ahead.
    Expired = "expired", 1, 410, "sign it again with an expiry within the hour";
    /// An envelope with this id was already taken.
    Replayed = "replayed", 5, 409, "nothing was done twice; sign a new envelope to repeat the act";
    /// Bytes decode but do not re-encode to themselves.
    NotCanonical = "not-canonical", 2, 400, "encode with the canonical codec";
    /// A body, a blob, a component or a frame is above its limit.
    TooLarge = "too-large", 6, 413, "make it smaller; limits are in the reference";
    /// A blob's bytes do not have the hash they are named by.
    HashMismatch = "hash-mismatch", 1, 422, "send the bytes again; they changed underway or the name is wrong";
    /// No such account, deployment, name, service, blob, lease or peer.
    NotFound = "not-found", 3, 404, "list what there is, for instance with `grange ps` or `grange name list`";
    /// What was asked contradicts what is.
    Conflict = "conflict", 5, 409, "look at the present state, then ask again";
    /// Another account holds the name.
    NameTaken = "name-taken", 5, 409, "choose another name";
    /// The compose file or the manifest made from it has mistakes.
    ManifestInvalid = "manifest-invalid", 1, 422, "correct each place that is named";
    /// A file that should be a wasm component is none, or imports what no provider gives.
    ComponentInvalid = "component-invalid", 1, 422, "build a component that exports wasi:http/incoming-handler";
    /// A blob that the manifest names was not sent to this node.
    BlobMissing = "blob-missing", 3, 409, "send the blob with PUT /v1/blobs/{id}, then deploy again";
    /// The budget does not pay for the leases it should start.
    BudgetTooLow = "budget-too-low", 6, 402, "raise the budget in the compose file, or ask for less";
    /// The account has less than this costs.
    InsufficientFunds = "insufficient-funds", 6, 402, "see `grange wallet balance`";
    /// No provider's offer meets the needs.
    NoOffer = "no-offer", 7, 503, "loosen the constraint that excluded most";
    /// A limit of the account or the node is reached.
    LimitReached = "limit-reached", 6, 429, "wait, then ask again for less";
    /// The time given for it is over.
    Timeout = "timeout", 8, 504, "look at `grange status`, then ask again";
    /// A workload ran longer than it may.
    WorkloadTimeout = "workload-timeout", 8, 504, "look at `grange logs`";
    /// The replica that runs the service did not answer, or broke off.
    ReplicaFailed = "replica-failed", 1, 502, "look at `grange logs` and `grange ps`";
    /// The service has no running replica now.
    NoReplica = "no-replica", 1, 503, "look at `grange ps`";
    /// The node has not caught up, or is shutting down.
    NotReady = "not-ready", 1, 503, "wait until `grange status` says ready";
    /// The ledger cannot finalize: a third or more of the stake does not take part.
    LedgerHalted = "ledger-halted", 1, 503, "start the missing validators; running apps go on meanwhile";
    /// No node answers where one should.
    NoNode = "no-node", 1, 503, "start one with `grange up`, or a whole cloud with `grange dev`";
    /// This version does not do that.
    Unsupported = "unsupported", 1, 501, "see the reference for what this version does";
    /// A block, its certificate, or the genesis or checkpoint that a chain stands on does not hold.
    ChainInvalid = "chain-invalid", 1, 422, "ask another node, and compare the genesis with what `grange ledger genesis` prints there";
    /// A fault of the node itself: its disk, its network, or a bug.
    Internal = "internal", 1, 500, "look at the node's log; `grange doctor` checks the machine";
}

impl ProblemCode {
    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        self.row().0
    }

    /// The exit code of a command: 1 failed, 2 usage, 3 not found, 4 denied, 5 conflict, 6 limit reached, 7 no
    /// offer, 8 timeout.
    #[must_use]
    pub const fn exit(self) -> u8 {
        self.row().1
    }

    /// The HTTP status of an answer. Codes that only clients raise have the one nearest in meaning.
    #[must_use]
    pub const fn status(self) -> u16 {
        self.row().2
    }

    /// What it means, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        self.row().3.trim_ascii()
    }

    /// What generally helps.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        self.row().4
    }
}

impl fmt::Display for ProblemCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_table_is_well_formed() {
        let mut words = BTreeSet::new();
        for code in ProblemCode::all() {
            let word = code.word();
            assert!(words.insert(word), "{word} twice");
            assert!(word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{word}");
            assert!((1..=8).contains(&code.exit()), "{word}");
            assert!((400..600).contains(&code.status()), "{word}");
            assert!(code.meaning().ends_with('.') && !code.meaning().starts_with(' '), "{word}");
            assert!(!code.remedy().is_empty() && !code.remedy().ends_with('.'), "{word}");
            assert_eq!(serde_json::to_string(code).unwrap(), format!("\"{word}\""));
        }
    }

    #[test]
    fn a_problem_has_the_shape_that_scripts_rely_on() {
        let finding = Finding { file: "compose.yaml".into(), line: 3, column: 5, message: "no such key".into() };
        let problem = Problem::new(ProblemCode::ManifestInvalid, "validate", "compose.yaml", "1 mistake")
            .with_remedy("correct it")
            .with_findings(vec![finding]);
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(
            json,
            serde_json::json!({
                "code": "manifest-invalid", "exit": 1, "operation": "validate", "thing": "compose.yaml",
                "message": "1 mistake", "remedy": "correct it",
                "findings": [{"file": "compose.yaml", "line": 3, "column": 5, "message": "no such key"}],
            })
        );
        assert_eq!(serde_json::from_value::<Problem>(json).unwrap(), problem);
        assert_eq!(problem.findings[0].to_string(), "compose.yaml:3:5: no such key");
        assert_eq!(problem.to_string(), "validate compose.yaml: 1 mistake");
    }
}
