//! A file of variables: `.env` beside a compose file, and what `env_file` names.
//!
//! # Rules
//! - One `NAME=value` a line; blank lines and lines that begin with `#` are left out, and `export ` before a name.
//! - In single quotes a value is taken as it is; in double quotes `\n`, `\t`, `\"` and `\\` are replaced. Without
//!   quotes it ends before ` #`.
//! - `$NAME` and its relatives are replaced as in a compose file, except in single quotes: by a variable that is
//!   known already, else by one of a line above.
//! - In a raw file (`format: raw`) a value is what stands behind the `=`, letter for letter.
//! - The later of two lines of one name counts.

use std::collections::BTreeMap;

use crate::finding::Position;
use crate::interpolate;

/// A variable and where its line starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) at: Position,
}

/// A line that is no variable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {kind}")]
pub struct DotenvError {
    /// The line, from 1.
    pub line: u32,
    /// What is wrong with it.
    pub kind: DotenvErrorKind,
}

/// What can be wrong with a line of a file of variables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DotenvErrorKind {
    /// It is no assignment.
    #[error("a line is NAME=value; a quoted value ends with its quote on the same line")]
    Shape,
    /// A variable in its value cannot be replaced.
    #[error("the value of {name}: {reason}")]
    Variable {
        /// The variable whose value it is.
        name: String,
        /// Why, as a compose file would say it.
        reason: String,
    },
}

/// Reads the text of a file of variables. Those that are `known` may stand in values, and are not read again.
///
/// # Errors
/// The first line that is no variable.
pub fn dotenv(text: &str, known: &BTreeMap<String, String>) -> Result<BTreeMap<String, String>, DotenvError> {
    let variables = read(text, false, known)?;
    Ok(variables.into_iter().map(|Variable { name, value, .. }| (name, value)).collect())
}

/// The variables in the order of their lines.
pub(crate) fn read(text: &str, raw: bool, known: &BTreeMap<String, String>) -> Result<Vec<Variable>, DotenvError> {
    let mut variables = Vec::new();
    let mut lookup: Option<BTreeMap<String, String>> = None;
    for (whole, number) in text.lines().zip(1_u32..) {
        let line = whole.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let fault = |kind| DotenvError { line: number, kind };
        let (name, value) = variable(line, raw).ok_or(fault(DotenvErrorKind::Shape))?;
        let value = match value {
            Written::AsIs(value) => value,
            Written::Template(value) if !value.contains('$') => value,
            Written::Template(value) => {
                let lookup = lookup.get_or_insert_with(|| with(known, &variables));
                let replaced = interpolate::replaced(&value, lookup);
                replaced.map_err(|reason| fault(DotenvErrorKind::Variable { name: name.clone(), reason }))?
            }
        };
        if let Some(lookup) = lookup.as_mut()
            && !known.contains_key(&name)
        {
            lookup.insert(name.clone(), value.clone());
        }
        variables.push(Variable { name, value, at: Position { line: number, ..Position::START } });
    }
    Ok(variables)
}

fn with(known: &BTreeMap<String, String>, variables: &[Variable]) -> BTreeMap<String, String> {
    let mut lookup: BTreeMap<String, String> =
        variables.iter().map(|variable| (variable.name.clone(), variable.value.clone())).collect();
    lookup.extend(known.iter().map(|(name, value)| (name.clone(), value.clone())));
    lookup
}

/// A value before variables are replaced.
enum Written {
    AsIs(String),
    Template(String),
}

fn variable(line: &str, raw: bool) -> Option<(String, Written)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let legal = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.is_empty() || !name.chars().all(legal) || name.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    if raw {
        return Some((name.to_owned(), Written::AsIs(value.to_owned())));
    }
    let value = value.trim();
    let value = if let Some(inner) = value.strip_prefix('\'') {
        Written::AsIs(inner.split_once('\'')?.0.to_owned())
    } else if let Some(inner) = value.strip_prefix('"') {
        Written::Template(quoted(inner)?)
    } else {
        Written::Template(value.split_once(" #").map_or(value, |(value, _)| value.trim_end()).to_owned())
    };
    Some((name.to_owned(), value))
}

/// The text up to the closing quote, which has to be there.
fn quoted(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '"' => return Some(value),
            '\\' => match letters.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                letter @ ('"' | '\\') => value.push(letter),
                letter => value.extend(['\\', letter]),
            },
            letter => value.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[(&str, &str)], u32>) {
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        let known = BTreeMap::from([("OUT".to_owned(), "side".to_owned())]);
        assert_eq!(dotenv(text, &known).map_err(|error| error.line), expected.map(pairs), "{text}");
    }

    #[test]
    fn variables_are_read_as_compose_reads_them() {
        check("", Ok(&[]));
        check("# note\n\nA=1\r\nexport B = two words # note\nC=\n", Ok(&[("A", "1"), ("B", "two words"), ("C", "")]));
        check("A='$x # y' # note", Ok(&[("A", "$x # y")]));
        check(r#"A="a\nb\"c\\ \d""#, Ok(&[("A", "a\nb\"c\\ \\d")]));
        check("A=1\nA=2", Ok(&[("A", "2")]));
        check("A=x#y", Ok(&[("A", "x#y")]));
    }

    #[test]
    fn values_may_use_what_is_known_and_what_stands_above() {
        check(
            "A=$OUT\nB=\"${A}s\"\nC=$D\nD=1\nE=5$",
            Ok(&[("A", "side"), ("B", "sides"), ("C", ""), ("D", "1"), ("E", "5$")]),
        );
        // What is set outside wins wherever it is used.
        check("OUT=in\nB=$OUT", Ok(&[("B", "side"), ("OUT", "in")]));
        check("A=${B:?say}", Err(1));
    }

    #[test]
    fn a_raw_value_is_taken_letter_for_letter() {
        let variables = read("A='x' # y $B \nB=\n", true, &BTreeMap::new()).unwrap();
        let values: Vec<&str> = variables.iter().map(|variable| variable.value.as_str()).collect();
        assert_eq!(values, ["'x' # y $B", ""]);
        assert_eq!(variables[1].at.line, 2);
    }

    #[test]
    fn what_is_no_variable_is_told_by_its_line() {
        for wrong in ["A", "=1", "A B=1", "1A=1", "A='x", "A=\"x", "A=\"x\\", "é=1"] {
            check(&format!("X=1\n{wrong}"), Err(2));
        }
    }
}
