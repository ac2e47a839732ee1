//! Every file of the corpus is read as its `.expected` neighbour says: the app and the warnings, or the findings.
//!
//! `CORPUS=write` writes what is read now into the neighbours, to be looked at before it is committed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use grange_app::{Finding, Severity, Source, read};

/// The variables that the files of the corpus may use.
const VARIABLES: [(&str, &str); 7] = [
    ("BUDGET", "2.5"),
    ("EMPTY", ""),
    ("FROM_OUTSIDE", "outside"),
    ("HOME", "/home/user"),
    ("REPLICAS", "4"),
    ("SET", "set"),
    ("YAML", "a: [b, {c: ${SET}"),
];

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// The names of the files with that extension, without it.
fn names(extension: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(corpus()).expect("the corpus is there") {
        let path = entry.expect("the corpus can be listed").path();
        if path.extension().is_some_and(|found| found == extension) {
            names.push(path.file_stem().expect("a file has a name").to_string_lossy().into_owned());
        }
    }
    names.sort();
    names
}

fn line(finding: &Finding) -> String {
    let severity = if finding.severity == Severity::Error { "error" } else { "warning" };
    format!("{severity} {finding}\n")
}

fn outcome(text: &str) -> String {
    let variables: BTreeMap<String, String> =
        VARIABLES.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    match read(&Source { file: "compose.yaml", text }, &variables) {
        Ok(reading) => format!("{}{}", reading.app, reading.warnings.iter().map(line).collect::<String>()),
        Err(findings) => findings.iter().map(line).collect(),
    }
}

#[test]
fn every_file_is_read_as_expected() {
    let mut wrong = String::new();
    for name in names("yaml") {
        let text = std::fs::read_to_string(corpus().join(format!("{name}.yaml"))).expect("a file of the corpus");
        let expected = std::fs::read_to_string(corpus().join(format!("{name}.expected"))).unwrap_or_default();
        let actual = outcome(&text);
        if std::env::var_os("CORPUS").is_some_and(|wish| wish == "write") {
            std::fs::write(corpus().join(format!("{name}.expected")), &actual).expect("the corpus can be written");
        }
        if actual != expected {
            wrong.push_str(&format!("==> {name}.expected should be\n{actual}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn every_expectation_has_its_file() {
    assert_eq!(names("expected"), names("yaml"));
    assert!(names("yaml").len() > 60, "the corpus is smaller than it was");
}
