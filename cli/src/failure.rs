//! How a command can end other than well, and what wrong arguments look like as a problem.

use std::error::Error;
use std::io;

use clap::CommandFactory;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use grange_api::{Problem, ProblemCode};

use crate::arguments::Arguments;

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

/// Wrong arguments as a problem, for `--json`.
pub(crate) fn usage(error: &clap::Error, arguments: &[String]) -> Problem {
    let operation = command(arguments);
    let text = error.render().to_string();
    let (message, remedy) = match error.kind() {
        // What clap prints here is the whole help.
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            ("a command is missing".to_owned(), None)
        }
        _ => (first_sentence(&text), usage_line(&text)),
    };
    let problem = Problem::new(ProblemCode::Usage, operation, thing(error), message);
    match remedy {
        Some(usage) => problem.with_remedy(format!("usage: {usage}")),
        None => problem,
    }
}

/// The command that was meant: the first word that is one, else the first that might be.
fn command(arguments: &[String]) -> String {
    let known = Arguments::command();
    let words = || arguments.iter().skip(1).filter(|word| !word.starts_with('-'));
    let is_command = |word: &&String| known.find_subcommand(word).is_some();
    words().find(is_command).or_else(|| words().next()).map_or_else(|| "grange".to_owned(), String::clone)
}

/// The argument that is wrong, where clap names one.
fn thing(error: &clap::Error) -> String {
    let kinds = [ContextKind::InvalidArg, ContextKind::InvalidSubcommand];
    let value = kinds.iter().find_map(|kind| error.get(*kind));
    match value {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    }
}

fn first_sentence(text: &str) -> String {
    let lines = text.lines().take_while(|line| !line.trim().is_empty()).map(str::trim);
    let sentence = lines.collect::<Vec<_>>().join(" ");
    sentence.strip_prefix("error: ").unwrap_or(&sentence).to_owned()
}

fn usage_line(text: &str) -> Option<String> {
    text.lines().find_map(|line| line.trim().strip_prefix("Usage: ")).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[track_caller]
    fn check(line: &str, thing: &str, message: &str) {
        let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
        let error = Arguments::try_parse_from(&words).expect_err("the arguments are wrong");
        let problem = usage(&error, &words);
        assert_eq!((problem.code, problem.exit), (ProblemCode::Usage, 2), "{line}");
        assert_eq!((problem.thing.as_str(), problem.message.as_str()), (thing, message), "{line}");
        assert!(!problem.remedy.is_empty(), "{line}");
    }

    #[test]
    fn wrong_arguments_name_the_argument() {
        check("grange --json ps --colour", "--colour", "unexpected argument '--colour' found");
        check("grange deplot", "deplot", "unrecognized subcommand 'deplot'");
        check(
            "grange invite --valid-for soon",
            "--valid-for <TIME>",
            concat!(
                "invalid value 'soon' for '--valid-for <TIME>': ",
                "a time is a whole number and a unit, such as 45s, 30m, 1h or 2d"
            ),
        );
        check("grange down", "<NAME>", "the following required arguments were not provided: <NAME>");
        check("grange", "", "a command is missing");
        check("grange --json wallet", "", "a command is missing");
    }

    #[test]
    fn the_operation_is_the_command_that_was_meant() {
        for (line, expected) in [
            ("grange --node http://127.0.0.1:1 ps --bad", "ps"),
            ("grange deplot", "deplot"),
            ("grange --bad", "grange"),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            assert_eq!(command(&words), expected, "{line}");
        }
    }

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
