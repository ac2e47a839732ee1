//! A folder on disk as the files of a project, and what the reader says of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use grange_app::{Files, Finding, Project, Severity, Unread, read_project};

/// The files below a folder of the test corpus.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Files for Folder {
    fn text(&self, path: &str) -> Result<String, Unread> {
        assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")), "the reader asks for {path}");
        let path = self.0.join(path);
        if path.is_dir() {
            return Err(Unread::NoFile);
        }
        fs::read_to_string(path).map_err(|_| Unread::Missing)
    }
}

fn line(finding: &Finding) -> String {
    let severity = if finding.severity == Severity::Error { "error" } else { "warning" };
    format!("{severity} {finding}\n")
}

/// The app and its warnings, or what is wrong.
pub(crate) fn outcome(
    files: &[String],
    profiles: &[String],
    variables: &BTreeMap<String, String>,
    from: &dyn Files,
) -> String {
    match read_project(&Project { files, variables, profiles }, from) {
        Ok(reading) => {
            let left_out = match reading.inactive.as_slice() {
                [] => String::new(),
                names => format!("left out: {}\n", names.join(", ")),
            };
            format!("{}{left_out}{}", reading.app, reading.warnings.iter().map(line).collect::<String>())
        }
        Err(refusal) => refusal.findings.iter().map(line).collect(),
    }
}

/// Compares what the reader says with the file that holds what is expected, or writes that file where it is wished.
/// What differs is given back.
pub(crate) fn compare(expected: &Path, actual: &str) -> String {
    if std::env::var_os("CORPUS").is_some_and(|wish| wish == "write") {
        fs::write(expected, actual).expect("the corpus can be written");
    }
    let wanted = fs::read_to_string(expected).unwrap_or_default();
    if wanted == actual { String::new() } else { format!("==> {} should be\n{actual}", expected.display()) }
}
