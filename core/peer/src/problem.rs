//! What the machines' refusals look like to a user.

use core::error::Error;
use core::fmt::Write;

use grange_api::{Problem, ProblemCode};
use grange_ledger::{Rejection, RejectionKind};
use grange_market::NoOffer;
use grange_types::{EnvelopeError, limits};

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
    match problem.code {
        // The form was right; the value is not.
        ProblemCode::Malformed => {
            problem.with_remedy("give another value; the message says what is wrong with this one")
        }
        _ => problem,
    }
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

/// No offer fits.
pub(crate) fn no_offer(operation: &str, thing: &str, refusal: &NoOffer) -> Problem {
    Problem::new(ProblemCode::NoOffer, operation, thing, refusal.to_string())
}

/// There is no such deployment of the caller's.
pub(crate) fn unknown_deployment(operation: &str, name: &str) -> Problem {
    Problem::new(ProblemCode::NotFound, operation, name, format!("there is no deployment named {name}"))
        .with_remedy("list what there is with `grange ps`")
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
}
