//! How a command can end other than well.

use std::error::Error;
use std::io;

use grange_api::{Problem, ProblemCode};

/// Why a command stopped.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It failed.
    Problem(Box<Problem>),
    /// Who reads its output has gone away, as `head` does; that is no failure of the command.
    Closed,
}

/// How a command ends.
pub(crate) type Outcome = Result<(), Failure>;

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self::Problem(Box::new(problem))
    }
}

impl From<Box<Problem>> for Failure {
    fn from(problem: Box<Problem>) -> Self {
        Self::Problem(problem)
    }
}

impl From<io::Error> for Failure {
    /// A failure to write to stdout, the only output that commands write themselves.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::Closed;
        }
        Problem::new(ProblemCode::Internal, "write", "stdout", error.to_string().to_lowercase()).into()
    }
}

/// An error and its sources, in one line.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// A fault of the machine while something was done with a thing.
pub(crate) fn internal(operation: &str, thing: impl Into<String>, error: &dyn Error) -> Problem {
    Problem::new(ProblemCode::Internal, operation, thing, chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_names_every_source() {
        let inner = io::Error::other("the disk is on fire");
        let outer = io::Error::new(io::ErrorKind::NotFound, inner);
        assert_eq!(chain(&outer), "the disk is on fire");
    }

    #[test]
    fn a_reader_who_left_is_no_failure() {
        assert!(matches!(Failure::from(io::Error::from(io::ErrorKind::BrokenPipe)), Failure::Closed));
        assert!(matches!(Failure::from(io::Error::other("full")), Failure::Problem(_)));
    }
}
