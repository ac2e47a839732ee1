//! Secrets that a person gives: passphrases and recovery phrases. None is an argument, where everybody could read it.
//!
//! # Rules
//! - A passphrase is the first line of the file that `--passphrase-file` or `GRANGE_PASSPHRASE_FILE` names, else of
//!   systemd's credential `grange-passphrase`, else typed at the terminal without being shown.
//! - Without any of these nothing is asked, and the problem says what there is.

use std::env;
use std::fs;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};

use grange_api::{Problem, ProblemCode};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

use crate::failure::internal;
use crate::node_process::{Passphrase, Phrase};

/// The credential's name below systemd's `CREDENTIALS_DIRECTORY`.
const CREDENTIAL: &str = "grange-passphrase";
/// More than any passphrase or phrase.
const MOST: u64 = 4 << 10;

/// The passphrase of a keystore that there is. None where the text is too short or too long to be one: it opens nothing.
pub(crate) fn passphrase(operation: &str, file: Option<&Path>) -> Result<Option<Passphrase>, Problem> {
    let text = match named(file) {
        Some(file) => first_line(operation, &file)?,
        None => hidden(operation, "passphrase: ")?,
    };
    Ok(Passphrase::new(text).ok())
}

/// A passphrase for a new keystore: typed twice.
pub(crate) fn new_passphrase(operation: &str, file: Option<&Path>) -> Result<Passphrase, Problem> {
    if let Some(file) = named(file) {
        return legal(operation, first_line(operation, &file)?);
    }
    let first = legal(operation, hidden(operation, "a passphrase for the owner's key, of 8 characters at least: ")?)?;
    let second = legal(operation, hidden(operation, "the same again: ")?)?;
    if first.is(&second) {
        return Ok(first);
    }
    let text = "the two passphrases differ";
    Err(Problem::new(ProblemCode::Usage, operation, "passphrase", text).with_remedy("type the command again"))
}

fn named(file: Option<&Path>) -> Option<PathBuf> {
    let credential = || {
        let folder = env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from)?;
        Some(folder.join(CREDENTIAL)).filter(|file| file.is_file())
    };
    file.map(Path::to_path_buf).or_else(credential)
}

fn first_line(operation: &str, file: &Path) -> Result<String, Problem> {
    let failed = |error: io::Error| {
        Problem::new(ProblemCode::Usage, operation, file.display().to_string(), format!("cannot read it: {error}"))
            .with_remedy("name a file that holds the passphrase in its first line with --passphrase-file")
    };
    let mut text = String::new();
    fs::File::open(file).and_then(|file| file.take(MOST).read_to_string(&mut text)).map_err(failed)?;
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

/// A text that a new keystore may be sealed with.
fn legal(operation: &str, text: String) -> Result<Passphrase, Problem> {
    Passphrase::new(text).map_err(|error| {
        Problem::new(ProblemCode::Usage, operation, "passphrase", error.to_string())
            .with_remedy("choose another one; four words that do not belong together are a good one")
    })
}

/// A line from the terminal, which does not show it.
fn hidden(operation: &str, question: &str) -> Result<String, Problem> {
    let stdin = io::stdin();
    if !stdin.is_terminal() || !io::stderr().is_terminal() {
        let text = "there is no terminal to ask for the passphrase at";
        return Err(Problem::new(ProblemCode::Usage, operation, "passphrase", text).with_remedy(
            "put it into a file that only you read and name that with --passphrase-file or GRANGE_PASSPHRASE_FILE",
        ));
    }
    let failed = |error: &dyn std::error::Error| internal(operation, "terminal", error);
    let shown = tcgetattr(&stdin).map_err(|error| failed(&error))?;
    let mut silent = shown.clone();
    silent.local_modes.remove(LocalModes::ECHO);
    write!(io::stderr(), "{question}").map_err(|error| failed(&error))?;
    tcsetattr(&stdin, OptionalActions::Flush, &silent).map_err(|error| failed(&error))?;
    let mut line = String::new();
    let read = stdin.lock().read_line(&mut line);
    // Whatever came of it, the terminal shows again what is typed.
    let restored = tcsetattr(&stdin, OptionalActions::Flush, &shown);
    let _ = writeln!(io::stderr());
    read.map_err(|error| failed(&error))?;
    restored.map_err(|error| failed(&error))?;
    Ok(line.trim_end_matches(['\r', '\n']).to_owned())
}

/// A recovery phrase from stdin: its first line at a terminal, all of it where a file or a pipe brings it.
pub(crate) fn phrase(operation: &str) -> Result<Phrase, Problem> {
    let stdin = io::stdin();
    let mut text = String::new();
    let read = if stdin.is_terminal() {
        let _ = write!(io::stderr(), "the 24 words of the recovery phrase, on one line: ");
        stdin.lock().read_line(&mut text)
    } else {
        stdin.lock().take(MOST).read_to_string(&mut text)
    };
    read.map_err(|error| internal(operation, "stdin", &error))?;
    text.parse().map_err(|error: grange_node::identity::PhraseError| {
        Problem::new(ProblemCode::Usage, operation, "phrase", error.to_string())
            .with_remedy("hand the 24 words to stdin, in their order, as they were written down")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_is_no_passphrase_opens_nothing_and_seals_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("passphrase");
        for (text, is_one) in [("", false), ("short\n", false), ("correct horse\n", true)] {
            fs::write(&file, text).unwrap();
            assert_eq!(passphrase("wallet caps", Some(&file)).unwrap().is_some(), is_one, "{text}");
            let new = new_passphrase("identity phrase", Some(&file));
            assert_eq!(new.is_ok(), is_one, "{text}");
            assert!(new.err().is_none_or(|problem| problem.remedy.contains("choose another one")), "{text}");
        }
    }
}
