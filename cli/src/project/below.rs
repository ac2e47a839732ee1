//! The file `.env` beside a compose file: variables for it, as Docker Compose reads them.
//!
//! # Rules
//! - One `NAME=value` a line; blank lines and lines that begin with `#` are left out, and `export ` before a name.
//! - In single quotes a value is taken as it is; in double quotes `\n`, `\t`, `\"` and `\\` are replaced. Without
//!   quotes it ends before ` #`.
//! - A variable of the environment comes before one of the file.

use std::collections::BTreeMap;

/// Reads the variables; an error is the number of a line that is none.
pub(super) fn read(text: &str) -> Result<BTreeMap<String, String>, u32> {
    let mut variables = BTreeMap::new();
    for (line, number) in text.lines().zip(1_u32..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = variable(line).ok_or(number)?;
        variables.insert(name, value);
    }
    Ok(variables)
}

fn variable(line: &str) -> Option<(String, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let legal = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    if name.is_empty() || !name.chars().all(legal) || name.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let value = value.trim();
    let value = match value.chars().next() {
        Some('\'') => value[1..].split_once('\'')?.0.to_owned(),
        Some('"') => quoted(&value[1..])?,
        _ => value.split_once(" #").map_or(value, |(value, _)| value.trim_end()).to_owned(),
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
        assert_eq!(read(text), expected.map(pairs), "{text}");
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
    fn what_is_no_variable_is_told_by_its_line() {
        for wrong in ["A", "=1", "A B=1", "1A=1", "A='x", "A=\"x", "A=\"x\\", "é=1"] {
            check(&format!("X=1\n{wrong}"), Err(2));
        }
    }
}
