//! What goes out: data on stdout, progress and errors on stderr, colour only where a person reads.

use std::env;
use std::io::{self, IsTerminal, Write};

use grange_api::Problem;
use grange_types::PeerId;
use serde::Serialize;

use crate::failure::Outcome;
use crate::table::Table;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    /// For scripts: JSON on stdout, and on stderr nothing but a problem.
    json: bool,
    colour_out: bool,
    colour_err: bool,
}

/// A terminal's escape sequences for bold, dim and red, and the end of each.
const BOLD: (&str, &str) = ("\x1b[1m", "\x1b[0m");
const DIM: (&str, &str) = ("\x1b[2m", "\x1b[0m");
const RED: (&str, &str) = ("\x1b[1;31m", "\x1b[0m");

impl Output {
    /// Looks at the streams and at `NO_COLOR`.
    pub(crate) fn new(json: bool) -> Self {
        let wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && env::var_os("TERM").is_none_or(|value| value != "dumb");
        let colour_out = wanted && io::stdout().is_terminal();
        Self { json, colour_out, colour_err: wanted && io::stderr().is_terminal() }
    }

    /// Whether scripts read.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// One value as a line of JSON.
    pub(crate) fn data<T: Serialize>(self, value: &T) -> Outcome {
        let mut line = serde_json::to_string(value).map_err(io::Error::from)?;
        line.push('\n');
        self.write(&line)
    }

    /// A line for people.
    pub(crate) fn line(self, text: &str) -> Outcome {
        self.write(&format!("{text}\n"))
    }

    /// A value as JSON, or as the text that it is for people.
    pub(crate) fn show<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Outcome {
        if self.json { self.data(value) } else { self.line(&text(value)) }
    }

    /// A value as JSON, or as a table. An empty table is a sentence on stderr.
    pub(crate) fn tabulate<T: Serialize>(self, value: &T, table: impl FnOnce(&T) -> Table, empty: &str) -> Outcome {
        if self.json {
            return self.data(value);
        }
        let table = table(value);
        if table.is_empty() {
            self.progress(empty);
            return Ok(());
        }
        self.table(&table)
    }

    /// A table for people.
    pub(crate) fn table(self, table: &Table) -> Outcome {
        let mut lines = table.lines();
        if let (true, Some(head)) = (self.colour_out, lines.first_mut()) {
            *head = painted(BOLD, head);
        }
        self.write(&(lines.join("\n") + "\n"))
    }

    /// What is being done, for people alone. That nobody reads it stops nothing.
    pub(crate) fn progress(self, text: &str) {
        if !self.json {
            let text = if self.colour_err { painted(DIM, text) } else { text.to_owned() };
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// A line on stderr for people, in full light.
    pub(crate) fn notice(self, text: &str) {
        if !self.json {
            let _ = writeln!(io::stderr(), "{text}");
        }
    }

    /// A failure.
    pub(crate) fn problem(self, problem: &Problem) {
        let text = if self.json {
            serde_json::to_string(problem).unwrap_or_default()
        } else {
            let error = if self.colour_err { painted(RED, "error") } else { "error".to_owned() };
            let help = if self.colour_err { painted(BOLD, "help") } else { "help".to_owned() };
            human(problem, &error, &help)
        };
        let _ = writeln!(io::stderr(), "{text}");
    }

    /// Text that others wrote, fit for a terminal: there its control characters could do anything.
    pub(crate) fn foreign(self, text: &str) -> String {
        if io::stdout().is_terminal() { harmless(text) } else { text.to_owned() }
    }

    fn write(self, text: &str) -> Outcome {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes())?;
        Ok(stdout.flush()?)
    }
}

fn painted((start, end): (&str, &str), text: &str) -> String {
    format!("{start}{text}{end}")
}

/// Findings first, each on its line; then what failed, and what helps.
fn human(problem: &Problem, error: &str, help: &str) -> String {
    let mut lines: Vec<String> = problem.findings.iter().map(|finding| harmless(&finding.to_string())).collect();
    let thing = if problem.thing.is_empty() { String::new() } else { format!(" {}", problem.thing) };
    lines.push(format!("{error}: {}", harmless(&format!("{}{thing}: {}", problem.operation, problem.message))));
    if !problem.remedy.is_empty() {
        lines.push(format!("{help}: {}", harmless(&problem.remedy)));
    }
    lines.join("\n")
}

/// Control characters written out, but for tabs.
pub(crate) fn harmless(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// How many there are of something, for people.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A peer for people: its name, else the first digits of its id.
pub(crate) fn called(display: &str, peer: Option<PeerId>) -> String {
    match (display, peer) {
        ("", Some(peer)) => peer.short(),
        ("", None) => "-".to_owned(),
        (display, _) => display.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_api::{Finding, ProblemCode};

    #[test]
    fn a_problem_is_findings_then_error_then_help() {
        let finding = Finding { file: "compose.yaml".into(), line: 3, column: 5, message: "no such key".into() };
        let problem =
            Problem::new(ProblemCode::ManifestInvalid, "deploy", "shop", "one mistake").with_findings(vec![finding]);
        let expected = "compose.yaml:3:5: no such key\nerror: deploy shop: one mistake\n\
                        help: correct each place that is named";
        assert_eq!(human(&problem, "error", "help"), expected);
        let bare = Problem::new(ProblemCode::NoNode, "status", "", "no node answers").with_remedy("");
        assert_eq!(human(&bare, "error", "help"), "error: status: no node answers");
    }

    #[test]
    fn control_characters_cannot_reach_a_terminal() {
        assert_eq!(harmless("a\tb\x1b[2Jc\u{9b}d\n"), "a\tb\\u{1b}[2Jc\\u{9b}d\\u{a}");
    }
}
