//! What the API asks of the node behind it.

use core::fmt;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use grange_api::{Call, Line, Operation, Problem, ProblemCode, Reply};
use grange_types::rights::OWNER;
use grange_types::{AccountId, PeerId, Rights};

/// The node behind the API.
pub trait Backend: Send + Sync + 'static {
    /// Does what is asked, for the principal of the token, whose rights were looked at. What a key may spend was not; and
    /// what is looked up by a name or an id ([`grange_api::About::Found`]) or listed ([`grange_api::About::List`]) has to
    /// be looked up among what has a name that the key is for, as though there were nothing else.
    fn call(&self, principal: Principal, call: Call) -> BoxFuture<'_, Result<Answer, Problem>>;

    /// Whose token this is. Compare with [`SecretToken::matches`].
    fn principal(&self, token: &SecretToken) -> Result<Principal, TokenRefusal>;

    /// Writes down a call that is over. Its answer leaves when that is as durable as it has to be: the returned future
    /// waits for no more than that, and nothing is lost where nobody waits.
    fn record(&self, record: CallRecord) -> BoxFuture<'static, ()>;

    /// The node.
    fn peer(&self) -> PeerId;

    /// Whether the node can do all that its roles promise; otherwise what it waits for.
    fn ready(&self) -> Result<(), String>;

    /// Its counters in the Prometheus text format.
    fn metrics(&self) -> String;
}

/// For whom a call acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The account.
    pub account: AccountId,
    /// How the audit log calls it: `owner`, or the name of the key as the owner made it.
    pub name: String,
    /// What its key allows; nothing for the owner, who may do everything.
    pub rights: Option<Arc<Rights>>,
}

impl Principal {
    /// The node's owner.
    #[must_use]
    pub fn owner(account: AccountId) -> Self {
        Self { account, name: OWNER.to_owned(), rights: None }
    }

    /// How the names begin that its key is for; empty where it is for all.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.rights.as_ref().map_or("", |rights| rights.scope.prefix.as_str())
    }
}

/// Why a token opens nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenRefusal {
    /// Nobody has it, or it was rotated.
    #[error("the token is wrong, or was rotated")]
    Unknown,
    /// It is a key that is damaged, altered, or another node's.
    #[error("the key is damaged, or was not made by this node")]
    Invalid,
    /// It is a key whose time is over.
    #[error("the key is expired")]
    Expired,
    /// It is a key that was revoked, itself or with all others.
    #[error("the key is revoked")]
    Revoked,
}

/// A call that is over, for the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// Who asked; nobody where no token was recognised.
    pub principal: Option<Principal>,
    /// What.
    pub operation: Operation,
    /// About what.
    pub object: String,
    /// The status of the answer.
    pub status: u16,
    /// What came of it.
    pub result: CallResult,
    /// The request's id.
    pub request: String,
}

/// What came of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallResult {
    /// It was done.
    Done,
    /// It was refused, or failed.
    Failed(ProblemCode),
    /// Whoever asked left before the end, or the node stopped.
    Cut,
}

/// How a call is answered.
#[expect(clippy::large_enum_variant, reason = "an answer is moved twice and never kept")]
pub enum Answer {
    /// With one value.
    Json(Reply),
    /// With lines, as they come. A problem is the last.
    Lines(Lines),
    /// To [`Call::PutBlob`] alone: by taking the bytes that follow.
    Upload(Box<dyn BlobWriter>),
}

/// Lines as they come; a problem ends them.
pub type Lines = BoxStream<'static, Result<Line, Problem>>;

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(reply) => f.debug_tuple("Json").field(reply).finish(),
            Self::Lines(_) => f.write_str("Lines(..)"),
            Self::Upload(_) => f.write_str("Upload(..)"),
        }
    }
}

/// Where a blob's bytes go. Dropped without [`BlobWriter::commit`], it leaves nothing behind.
pub trait BlobWriter: Send {
    /// Takes more bytes.
    fn write(&mut self, bytes: Bytes) -> BoxFuture<'_, Result<(), Problem>>;

    /// Keeps what was written. Called once the bytes have the hash they are named by.
    fn commit(self: Box<Self>) -> BoxFuture<'static, Result<(), Problem>>;
}

/// An API token. Neither printed nor compared but in constant time.
#[derive(Clone)]
pub struct SecretToken(String);

impl SecretToken {
    /// The token with this text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the file that only the owner reads.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether both are the same, in a time that tells nothing of where they differ.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        // The comparison of two hashes takes constant time, and the hashes tell nothing of the texts.
        blake3::hash(self.0.as_bytes()) == blake3::hash(other.0.as_bytes())
    }
}

impl fmt::Debug for SecretToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretToken(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_matches_only_itself_and_is_never_printed() {
        let token = SecretToken::new("abc");
        assert!(token.matches(&SecretToken::new("abc")));
        for other in ["", "ab", "abd", "abcd", "ABC"] {
            assert!(!token.matches(&SecretToken::new(other)), "{other}");
        }
        assert!(!format!("{token:?}").contains("abc"));
    }
}
