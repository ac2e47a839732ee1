//! What the reader has to say about a file, and where.

use core::fmt;

use serde::Serialize;

use crate::limits;

/// A place in one of the files that were read. Line and column start at 1; the column counts characters, not bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Which of the files, in the order in which they were opened; [`crate::Reading::file`] names it.
    pub(crate) file: u16,
    /// The line.
    pub line: u32,
    /// The column.
    pub column: u32,
}

impl Position {
    /// The first character of the first file.
    pub const START: Self = Self::start_of(0);

    /// The first character of a file.
    pub(crate) const fn start_of(file: u16) -> Self {
        Self { file, line: 1, column: 1 }
    }

    /// So many characters further on the same line.
    pub(crate) const fn right(self, characters: u32) -> Self {
        Self { column: self.column.saturating_add(characters), ..self }
    }
}

/// Whether a finding stops the file from being deployed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// It does.
    Error,
    /// It does not, but the author should know.
    Warning,
}

/// One thing to say about one of the files. Prints as `FILE:LINE:COLUMN: message`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Whether it is in the way.
    pub severity: Severity,
    /// The file, as it was named to the reader.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
    /// The column in characters, from 1.
    pub column: u32,
    /// One line, lower case, with the remedy where there is one.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)
    }
}

/// Collects findings while the files of a project are read, at most [`limits::FINDINGS`].
#[derive(Debug, Default)]
pub(crate) struct Findings {
    list: Vec<(Position, Severity, String)>,
    /// The gravest finding that found no room.
    left_out: Option<Severity>,
}

impl Findings {
    pub(crate) fn error(&mut self, at: Position, message: impl Into<String>) {
        self.push(at, Severity::Error, &message.into());
    }

    pub(crate) fn warning(&mut self, at: Position, message: impl Into<String>) {
        self.push(at, Severity::Warning, &message.into());
    }

    /// Whether there is no point in looking further.
    pub(crate) const fn is_full(&self) -> bool {
        matches!(self.left_out, Some(Severity::Error))
    }

    fn push(&mut self, at: Position, severity: Severity, message: &str) {
        // Whatever of the file a message holds, it stays on its line.
        let finding = (at, severity, one_line(message, usize::MAX));
        // A value behind an alias is met once for each use; it is wrong only once.
        if self.list.contains(&finding) {
            return;
        }
        // Warnings never crowd out an error: they take half of the room at most.
        let room = if severity == Severity::Error { limits::FINDINGS } else { limits::FINDINGS / 2 };
        if self.list.len() < room {
            self.list.push(finding);
        } else {
            // `Error` is the smaller of the two.
            self.left_out = Some(self.left_out.map_or(severity, |gravest| gravest.min(severity)));
        }
    }

    /// Whether something is in the way by now.
    pub(crate) fn has_error(&self) -> bool {
        self.left_out == Some(Severity::Error) || self.list.iter().any(|(_, severity, _)| *severity == Severity::Error)
    }

    /// All findings by file and position, errors first where two share one. `files` names the files as they were opened.
    pub(crate) fn finish(mut self, files: &[String]) -> Vec<Finding> {
        self.list.sort();
        if let Some(severity) = self.left_out {
            let last = self.list.last().map_or(Position::START, |(at, ..)| *at);
            let message = format!("there is more; only {} findings are shown", self.list.len());
            self.list.push((last, severity, message));
        }
        let finding = |(at, severity, message): (Position, Severity, String)| Finding {
            severity,
            file: files.get(usize::from(at.file)).cloned().unwrap_or_default(),
            line: at.line,
            column: at.column,
            message,
        };
        self.list.into_iter().map(finding).collect()
    }
}

/// A piece of the file inside a message: in backticks, on one line, cut where it is long.
pub(crate) fn quote(text: &str) -> String {
    format!("`{}`", one_line(text, limits::QUOTED_CHARACTERS))
}

/// At most so many characters of a text, with those spelt out that could break or turn a line.
pub(crate) fn one_line(text: &str, most: usize) -> String {
    let turns =
        |letter: char| matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut line = String::new();
    for (count, letter) in text.chars().enumerate() {
        if count == most {
            line.push('…');
            break;
        }
        if letter.is_control() || turns(letter) {
            line.extend(letter.escape_unicode());
        } else {
            line.push(letter);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_piece_stays_on_one_line_and_short() {
        assert_eq!(quote("plain"), "`plain`");
        assert_eq!(quote("a\nb\u{202e}"), "`a\\u{a}b\\u{202e}`");
        assert_eq!(quote(&"x".repeat(100)).chars().count(), limits::QUOTED_CHARACTERS + 3);
    }

    #[test]
    fn findings_are_sorted_told_once_and_bounded() {
        let mut findings = Findings::default();
        let at = |line| Position { line, ..Position::START };
        findings.warning(at(2), "w");
        findings.error(at(2), "e");
        findings.error(at(1), "first");
        findings.error(at(1), "first");
        findings.error(at(3), "a\tkey");
        let f = ["f".to_owned()];
        let texts: Vec<String> = findings.finish(&f).iter().map(Finding::to_string).collect();
        assert_eq!(texts, ["f:1:1: first", "f:2:1: e", "f:2:1: w", "f:3:1: a\\u{9}key"]);

        let mut many = Findings::default();
        for line in 1..=1_000 {
            many.error(at(line), "e");
        }
        assert!(many.is_full());
        assert_eq!(many.finish(&f).len(), limits::FINDINGS + 1);

        let mut warned = Findings::default();
        for line in 1..=1_000 {
            warned.warning(at(line), "w");
        }
        warned.error(at(1), "e");
        let texts: Vec<String> = warned.finish(&f).iter().map(Finding::to_string).collect();
        assert_eq!(texts.first().map(String::as_str), Some("f:1:1: e"));
        assert_eq!(texts.last().map(String::as_str), Some("f:64:1: there is more; only 65 findings are shown"));
    }
}
