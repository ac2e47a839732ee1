//! The one table of operations: what each is called, and by which method and path it is reached.

/// An HTTP method that the API uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Method {
    /// Reads.
    Get,
    /// Reads without a body in the answer.
    Head,
    /// Acts.
    Post,
    /// Puts something under the name in the path.
    Put,
    /// Ends or removes.
    Delete,
}

impl Method {
    /// The method as HTTP writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// What a request's body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// Nothing.
    Nothing,
    /// One JSON object.
    Json,
    /// Bytes, whole in memory.
    Bytes,
    /// Bytes, streamed.
    Stream,
}

/// What an answer's body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answering {
    /// Nothing but headers.
    Headers,
    /// One JSON value.
    Json,
    /// A stream of lines.
    Lines,
}

/// How one operation is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// The method.
    pub method: Method,
    /// The path, with parameters in braces.
    pub path: &'static str,
    /// What the request's body holds.
    pub sending: Sending,
    /// What the answer's body holds.
    pub answering: Answering,
    /// Query parameters: name and meaning.
    pub query: &'static [(&'static str, &'static str)],
    /// What it does, in a sentence.
    pub summary: &'static str,
}

impl Endpoint {
    const fn new(method: Method, path: &'static str, summary: &'static str) -> Self {
        let (sending, answering) = (Sending::Nothing, Answering::Json);
        Self { method, path, sending, answering, query: &[], summary }
    }

    const fn sending(mut self, sending: Sending) -> Self {
        self.sending = sending;
        self
    }

    const fn answering(mut self, answering: Answering) -> Self {
        self.answering = answering;
        self
    }

    const fn query(mut self, query: &'static [(&'static str, &'static str)]) -> Self {
        self.query = query;
        self
    }

    /// The names of the parameters in the path.
    pub fn path_parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

macro_rules! operations {
    ($($(#[$doc:meta])+ $variant:ident = $id:literal,)+) => {
        /// Everything that can be asked of a node, by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Operation {
            $($(#[$doc])+ $variant,)+
        }

        impl Operation {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// The name, as problems, logs and the OpenAPI say it.
            #[must_use]
            pub const fn id(self) -> &'static str {
                match self { $(Self::$variant => $id,)+ }
            }
        }
    };
}

operations! {
    /// How the node fares.
    Status = "status",
    /// Whom it knows.
    Peers = "peers",
    /// What is for sale.
    Offers = "offers",
    /// Who sells.
    Providers = "providers",
    /// How far operators are trusted.
    Trust = "trust",
    /// What a deployment would cost and where it would run.
    Plan = "plan",
    /// Hand over a blob.
    PutBlob = "put-blob",
    /// Ask for a blob's presence.
    HasBlob = "has-blob",
    /// Start or change a deployment.
    Deploy = "deploy",
    /// The replicas of all of one's deployments.
    Deployments = "deployments",
    /// The replicas of one deployment.
    Deployment = "deployment",
    /// End a deployment.
    Down = "down",
    /// The bill of a deployment.
    Usage = "usage",
    /// What its services wrote.
    Logs = "logs",
    /// Its key-value data.
    ExportData = "export-data",
    /// The balance.
    Wallet = "wallet",
    /// What keys may put into deployments.
    Caps = "caps",
    /// Change that.
    SetCap = "set-cap",
    /// Send money.
    Transfer = "transfer",
    /// What came and went.
    WalletHistory = "wallet-history",
    /// Hand in a signed transaction.
    SubmitTransaction = "submit-transaction",
    /// Where the ledger is.
    LedgerHeight = "ledger-height",
    /// What the ledger says of an account.
    LedgerAccount = "ledger-account",
    /// What the ledger says of a lease.
    LedgerLease = "ledger-lease",
    /// Where a name leads.
    LedgerName = "ledger-name",
    /// The accounts that a key owns.
    LedgerKey = "ledger-key",
    /// What the network starts from.
    LedgerGenesis = "ledger-genesis",
    /// The blocks and what decided them.
    LedgerBlocks = "ledger-blocks",
    /// The state at some height.
    LedgerSnapshot = "ledger-snapshot",
    /// Names one holds.
    Names = "names",
    /// Take a name.
    ClaimName = "claim-name",
    /// Give a name back.
    ReleaseName = "release-name",
    /// Set one's prices.
    SetPrices = "set-prices",
    /// Take no new work, or take it again.
    Pause = "pause",
    /// The account's keys.
    Keys = "keys",
    /// Replace the API token.
    RotateToken = "rotate-token",
    /// The API keys there are.
    ApiKeys = "api-keys",
    /// Make an API key.
    CreateKey = "create-key",
    /// Revoke an API key.
    RevokeKey = "revoke-key",
    /// Revoke every API key.
    RevokeKeys = "revoke-keys",
    /// Who asked what.
    Audit = "audit",
    /// Which network this is.
    Network = "network",
    /// Make an invitation.
    Invite = "invite",
}

impl Operation {
    /// How it is reached.
    #[must_use]
    pub const fn endpoint(self) -> Endpoint {
        use Method::{Delete, Get, Head, Post, Put};
        let route = Endpoint::new;
        match self {
            Self::Status => route(Get, "/v1/status", "What the node is and how it fares."),
            Self::Peers => route(Get, "/v1/peers", "The peers it is connected to."),
            Self::Offers => route(Get, "/v1/offers", "What providers sell now, cheapest first."),
            Self::Providers => route(Get, "/v1/providers", "The providers the node has heard of."),
            Self::Trust => asking("/v1/trust", "How far operators are trusted, and what that rests on.", TRUST_QUERY),
            Self::Plan => json(Post, "/v1/plan", "Where a manifest would run and the most it would cost."),
            Self::PutBlob => {
                route(Put, "/v1/blobs/{id}", "Hand over the bytes that a BLAKE3 hash names.").sending(Sending::Stream)
            }
            Self::HasBlob => {
                route(Head, "/v1/blobs/{id}", "Whether the node holds a blob.").answering(Answering::Headers)
            }
            Self::Deploy => json(Post, "/v1/deployments", "Start a deployment, or change the one of its name.")
                .answering(Answering::Lines),
            Self::Deployments => route(Get, "/v1/deployments", "Every replica of one's deployments."),
            Self::Deployment => route(Get, "/v1/deployments/{name}", "Every replica of a deployment."),
            Self::Down => route(Delete, "/v1/deployments/{name}", "End a deployment; the rest of its budget returns."),
            Self::Usage => route(
                Get,
                "/v1/deployments/{name}/usage",
                "The bill of a deployment, by its name or its id, line by line.",
            ),
            Self::Logs => lines("/v1/deployments/{name}/logs", "What the services of a deployment wrote.", LOG_QUERY),
            Self::ExportData => lines("/v1/deployments/{name}/data", "The key-value data of a deployment.", DATA_QUERY),
            Self::Wallet => route(Get, "/v1/wallet", "The balance of the account."),
            Self::Caps => route(Get, "/v1/wallet/caps", "What keys may put into deployments, and how budgets stand."),
            Self::SetCap => json(Put, "/v1/wallet/caps", "Say what each key may put into deployments a day."),
            Self::Transfer => json(Post, "/v1/wallet/transfers", "Send money; answered once it is final."),
            Self::WalletHistory => asking("/v1/wallet/history", "What came and went, newest first.", HISTORY_QUERY),
            Self::SubmitTransaction => {
                route(Post, "/v1/transactions", "Hand in a transaction one signed oneself.").sending(Sending::Bytes)
            }
            Self::LedgerHeight => route(Get, "/v1/ledger/height", "The last final block."),
            Self::LedgerAccount => route(Get, "/v1/ledger/accounts/{id}", "What the ledger says of an account."),
            Self::LedgerLease => route(Get, "/v1/ledger/leases/{id}", "What the ledger says of a lease."),
            Self::LedgerName => route(Get, "/v1/ledger/names/{name}", "Where a name leads, whoever holds it."),
            Self::LedgerKey => route(Get, "/v1/ledger/keys/{id}", "The accounts in whose key set a key is an owner."),
            Self::LedgerGenesis => route(Get, "/v1/ledger/genesis", "What every node of the network starts from."),
            Self::LedgerBlocks => lines("/v1/ledger/blocks", "Final blocks with their certificates.", BLOCKS_QUERY),
            Self::LedgerSnapshot => lines("/v1/ledger/snapshot", "The state at a height, in pieces.", SNAPSHOT_QUERY),
            Self::Names => route(Get, "/v1/names", "The names that the account holds."),
            Self::ClaimName => json(Post, "/v1/names", "Take a name for a deployment."),
            Self::ReleaseName => route(Delete, "/v1/names/{name}", "Give a name back."),
            Self::SetPrices => json(Post, "/v1/provider/prices", "Set the prices of the node's capacity."),
            Self::Pause => json(Post, "/v1/provider/pause", "Take no new work, or take it again."),
            Self::Keys => route(Get, "/v1/keys", "The key set of the account."),
            Self::RotateToken => {
                route(Post, "/v1/keys/token", "Replace the API token; the old one is refused at once.")
            }
            Self::ApiKeys => route(Get, "/v1/api-keys", "The API keys there are, without their secrets."),
            Self::CreateKey => json(Post, "/v1/api-keys", "Make an API key; its secret is answered this once."),
            Self::RevokeKey => route(Delete, "/v1/api-keys/{name}", "Revoke an API key; it is refused at once."),
            Self::RevokeKeys => route(Delete, "/v1/api-keys", "Revoke every API key; all are refused at once."),
            Self::Audit => lines("/v1/audit", "Who asked what of this node, and what came of it.", AUDIT_QUERY),
            Self::Network => route(Get, "/v1/network", "Which network this is, and who orders its ledger."),
            Self::Invite => json(Post, "/v1/invites", "A string by which another machine joins."),
        }
    }
}

/// What is asked with one JSON object.
const fn json(method: Method, path: &'static str, summary: &'static str) -> Endpoint {
    Endpoint::new(method, path, summary).sending(Sending::Json)
}

/// What is read as one value, and may be narrowed.
const fn asking(path: &'static str, summary: &'static str, query: &'static [(&'static str, &'static str)]) -> Endpoint {
    Endpoint::new(Method::Get, path, summary).query(query)
}

/// What is answered line by line.
const fn lines(path: &'static str, summary: &'static str, query: &'static [(&'static str, &'static str)]) -> Endpoint {
    Endpoint::new(Method::Get, path, summary).answering(Answering::Lines).query(query)
}

const LOG_QUERY: &[(&str, &str)] = &[
    ("service", "Only this service."),
    ("follow", "`true` keeps the stream open and makes it server-sent events."),
    ("after", "Only lines whose id is greater; a Last-Event-ID header takes precedence."),
    ("earlier", "`true` also gives lines of replicas that were replaced, as far as their nodes still have them."),
];
const AUDIT_QUERY: &[(&str, &str)] = &[
    ("follow", "`true` keeps the stream open and makes it server-sent events."),
    ("after", "Only lines whose number is greater."),
    ("principal", "Only calls of this key's name, its id or eight or more first digits of that, or of `owner`."),
];
const DATA_QUERY: &[(&str, &str)] = &[
    ("service", "Only this service."),
    ("earlier", "`true` also gives what earlier generations left, as far as their nodes can be asked."),
];
const TRUST_QUERY: &[(&str, &str)] = &[(
    "of",
    "Only this operator: its account, a node of its, eight or more first digits of either, or a node's name.",
)];
const HISTORY_QUERY: &[(&str, &str)] = &[("limit", "At most so many entries, from 1 to 1000; 100 if not given.")];

const BLOCKS_QUERY: &[(&str, &str)] = &[("from", "The height of the first block; 1 if not given.")];
const SNAPSHOT_QUERY: &[(&str, &str)] =
    &[("at", "The newest snapshot at this height or below; the newest of all if not given.")];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_operation_has_its_own_name_and_its_own_method_and_path() {
        let ids: BTreeSet<_> = Operation::ALL.iter().map(|operation| operation.id()).collect();
        let endpoints: Vec<_> = Operation::ALL.iter().map(|operation| operation.endpoint()).collect();
        let routes: BTreeSet<_> = endpoints.iter().map(|endpoint| (endpoint.method, endpoint.path)).collect();
        assert_eq!(ids.len(), Operation::ALL.len());
        assert_eq!(routes.len(), Operation::ALL.len());
        for endpoint in endpoints {
            assert!(endpoint.path.starts_with("/v1/") && endpoint.summary.ends_with('.'), "{}", endpoint.path);
        }
    }
}
