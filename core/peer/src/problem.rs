//! What the machines' refusals look like to a user.

use core::error::Error;
use core::fmt::Write;

use grange_api::{Problem, ProblemCode, Timestamp};
use grange_ledger::{Authority, Rejection, RejectionKind};
use grange_market::{Constraint, NoOffer};
use grange_types::{AccountId, EnvelopeError, IdStart, limits};

/// An error and its causes as one sentence.
pub(crate) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// A transaction that does not apply.
pub(crate) fn rejected(operation: &str, thing: &str, rejection: &Rejection) -> Problem {
    let problem = Problem::new(code(rejection), operation, thing, sentence(rejection));
    if matches!(rejection, Rejection::KeyCap { .. }) {
        return problem
            .with_remedy("wait for the next day in UTC, or raise the cap with `grange wallet caps --per-day`");
    }
    if matches!(rejection, Rejection::KeyCeiling { .. }) {
        return problem.with_remedy(
            "wait for the next day in UTC, or let the owner's key raise what this one may spend: `grange identity device add`",
        );
    }
    if matches!(rejection, Rejection::KeyNotAllowed { needed: Authority::Owner, .. }) {
        return problem.with_remedy(
            "the owner's key has to sign it: type it on the machine where `grange identity show` says that it is sealed",
        );
    }
    match problem.code {
        // The form was right; the value is not.
        ProblemCode::Malformed => {
            problem.with_remedy("give another value; the message says what is wrong with this one")
        }
        _ => problem,
    }
}

/// What is asked for needs another slot, and the key that signs may not spend what it would answer for with that.
pub(crate) fn unanswered(operation: &str, name: &str, rejection: &Rejection) -> Problem {
    let text = format!(
        "{name} would get another slot, and who adds one answers for all the money in it that he did not put in himself: {}",
        sentence(rejection)
    );
    Problem::new(code(rejection), operation, name, text).with_remedy(
        "let the owner's key raise what this one may spend: `grange identity device add`; or ask for no more than the slots \
         that there are",
    )
}

fn code(rejection: &Rejection) -> ProblemCode {
    match rejection {
        Rejection::Envelope(envelope) | Rejection::Inner { source: envelope, .. } => envelope_code(envelope),
        Rejection::Replayed { .. } => ProblemCode::Replayed,
        Rejection::NameTaken { .. } => ProblemCode::NameTaken,
        Rejection::BudgetTooLow { .. } | Rejection::BudgetExhausted { .. } => ProblemCode::BudgetTooLow,
        Rejection::InsufficientBalance { .. } | Rejection::BondTooLow { .. } => ProblemCode::InsufficientFunds,
        Rejection::TooLarge { .. } => ProblemCode::TooLarge,
        other => match other.kind() {
            RejectionKind::Denied => ProblemCode::Denied,
            RejectionKind::NotFound => ProblemCode::NotFound,
            RejectionKind::Conflict => ProblemCode::Conflict,
            RejectionKind::Limit => ProblemCode::LimitReached,
            RejectionKind::Invalid => ProblemCode::Malformed,
            RejectionKind::Expired => ProblemCode::Expired,
        },
    }
}

fn envelope_code(error: &EnvelopeError) -> ProblemCode {
    match error {
        EnvelopeError::ForeignNetwork { .. } => ProblemCode::ForeignNetwork,
        EnvelopeError::Expired { .. } => ProblemCode::Expired,
        EnvelopeError::BadSignature { .. } => ProblemCode::BadSignature,
        EnvelopeError::Undecodable(_) => ProblemCode::Malformed,
    }
}

/// No offer fits; what helps is said of the constraint that excluded most.
pub(crate) fn no_offer(operation: &str, thing: &str, refusal: &NoOffer) -> Problem {
    let problem = Problem::new(ProblemCode::NoOffer, operation, thing, refusal.to_string());
    let Some((most, _)) = refusal.excluded.iter().max_by_key(|(_, count)| **count) else {
        return problem.with_remedy("wait a moment, then look at `grange offers`");
    };
    problem.with_remedy(match most {
        Constraint::Price => "raise x-grange.price_max, or ask for fewer resources",
        Constraint::Resources => {
            "ask for fewer resources, or look at `grange providers` and try again when one has room"
        }
        Constraint::Own => "let it run elsewhere: x-grange.on decides whose capacity is used",
        Constraint::Region => "name a wider x-grange.region",
        Constraint::Isolation => "accept a weaker x-grange.isolation",
        Constraint::Kind => "no provider that is known runs this kind; look at `grange offers`",
        Constraint::Trust => {
            "lower x-grange.trust_min; or let them show what they are: `grange trust` names what each number rests on"
        }
        Constraint::Excluded | Constraint::Operator | Constraint::Latency | Constraint::Paused => {
            "look at `grange providers`, and try again when another one is there"
        }
    })
}

/// The name is somebody else's.
pub(crate) fn name_taken(operation: &str, name: &str, owner: AccountId) -> Problem {
    let text = format!("the name {name} belongs to account {owner}");
    Problem::new(ProblemCode::NameTaken, operation, name, text)
}

/// There is no such deployment of the caller's.
pub(crate) fn unknown_deployment(operation: &str, name: &str) -> Problem {
    Problem::new(ProblemCode::NotFound, operation, name, format!("there is no deployment named {name}"))
        .with_remedy("list what there is with `grange ps`")
}

/// Nothing that has a bill has this name or id.
pub(crate) fn unbilled(name: &str) -> Problem {
    let text =
        format!("no deployment has the name or id {name}, and none of this account's that was removed is known by it");
    Problem::new(ProblemCode::NotFound, "usage", name, text).with_remedy(
        "list what there is with `grange ps`. For what was removed give the id: every node that keeps the ledger shows \
         the bill by it while the ledger keeps it. It is the transaction of the `budget` line in `grange wallet history --json` of whoever opened it",
    )
}

/// One's own deployment was removed, and what its replicas wrote is given to nobody any more.
pub(crate) fn removed(operation: &str, name: &str, at: Timestamp) -> Problem {
    let text = format!("{name} was removed at {at}; what its replicas wrote is given out only while it is there");
    let remedy = match operation {
        "data export" => "export before `grange down`; what is deployed under this name anew begins without data",
        _ => {
            "read logs before `grange down`, or keep them with `grange logs --follow`; `grange usage` still has the bill"
        }
    };
    Problem::new(ProblemCode::NotFound, operation, name, text).with_remedy(remedy)
}

/// There is no such account on the ledger.
pub(crate) fn unknown_account(account: &IdStart) -> Problem {
    let text = "the ledger has no such account: it never received money";
    Problem::new(ProblemCode::NotFound, "ledger account", account.as_str(), text).with_remedy(
        "compare it with what its owner reads off `grange wallet balance`; `grange trust` lists those who sell",
    )
}

/// There is no such lease on the ledger.
pub(crate) fn unknown_lease(lease: &IdStart) -> Problem {
    let text = "the ledger has no such lease, or has forgotten it";
    Problem::new(ProblemCode::NotFound, "ledger lease", lease.as_str(), text)
        .with_remedy("`grange usage` shows the leases of a deployment")
}

/// Nobody of whom anything is known has this id or name.
pub(crate) fn unknown_operator(of: &str) -> Problem {
    let text = format!("no operator or node that sells, or of which anything was seen, is called {of}");
    Problem::new(ProblemCode::NotFound, "trust", of, text).with_remedy(
        "`grange trust` lists them; give an account, a node, eight or more first digits of either, or a node's name",
    )
}

/// Nobody has this name.
pub(crate) fn unknown_name(name: &str) -> Problem {
    Problem::new(ProblemCode::NotFound, "ledger name", name, format!("nobody has the name {name}"))
        .with_remedy("claim it with `grange name claim`")
}

/// The ledger does not move.
pub(crate) fn halted(operation: &str, thing: &str, reason: &str) -> Problem {
    Problem::new(ProblemCode::LedgerHalted, operation, thing, reason)
}

/// Bytes that are no envelope of a transaction.
pub(crate) fn undecodable(operation: &str, error: grange_types::DecodeError) -> Problem {
    let code = match error {
        grange_types::DecodeError::TooLong { .. } => ProblemCode::TooLarge,
        grange_types::DecodeError::Malformed { .. } => ProblemCode::Malformed,
        grange_types::DecodeError::NotCanonical { .. } => ProblemCode::NotCanonical,
    };
    let limit = limits::TRANSACTION_BYTES;
    Problem::new(code, operation, "transaction", format!("{error}; a transaction has at most {limit} bytes"))
        .with_remedy("send the bytes of one signed transaction in their canonical encoding, unchanged and nothing else")
}
