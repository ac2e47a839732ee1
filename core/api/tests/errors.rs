//! `docs/errors.md` says what every refusal looks like; here it is held against the one table in the code.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use grange_api::ProblemCode;

const PAGE: &str = include_str!("../../../docs/errors.md");

/// The rows of the table under a heading, as trimmed cells.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, rest) = PAGE.split_once(heading).unwrap();
    let rows = rest.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(|row| row.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn word(cell: &str) -> &str {
    cell.trim_matches('`')
}

#[test]
fn the_page_lists_every_code_with_its_exit_and_status() {
    let listed: BTreeMap<&str, Vec<&str>> = table("## Codes").into_iter().map(|row| (word(row[0]), row)).collect();
    let mut expected = String::new();
    for code in ProblemCode::all() {
        let (exit, status) = (code.exit().to_string(), code.status().to_string());
        let cells = [&exit, &status, code.meaning(), code.remedy()];
        expected += &format!("| `{code}` | {} |\n", cells.join(" | "));
    }
    for code in ProblemCode::all() {
        let row = listed.get(code.word());
        let exact = row.is_some_and(|row| {
            row[1] == code.exit().to_string() && row[2] == code.status().to_string() && row[3] == code.meaning()
        });
        assert!(exact, "docs/errors.md is not what the code says; its table is\n{expected}");
    }
    assert_eq!(listed.len(), ProblemCode::all().len(), "the page lists codes that there are not");
}

#[test]
fn every_bad_input_has_a_code_with_that_exit_and_status() {
    let rows = table("## Bad input");
    assert!(rows.len() >= 18, "{}", rows.len());
    for row in rows {
        let code = ProblemCode::all().iter().find(|code| code.word() == word(row[1]));
        let code = code.unwrap_or_else(|| panic!("{} names no code", row[0]));
        assert_eq!((row[2], row[3]), (&*code.exit().to_string(), &*code.status().to_string()), "{}", row[0]);
    }
}
