//! One crate: its sentence, its names, its sources, its golden bytes.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::source::{self, Encoded};
use super::{Finding, TidyError, read};

/// Names that say nothing.
const BANNED: &[&str] = &["util", "utils", "helper", "helpers", "common", "misc", "manager", "core"];

/// The one crate that calls the encoder, and how a call of it begins.
const CODEC: (&str, &str) = ("grange-types", concat!("postcard", "::"));

/// Checks one crate.
pub(crate) fn check(folder: &Path, name: &str, description: &str) -> Result<Vec<Finding>, TidyError> {
    let mut findings = banned(name, name);
    let main = [folder.join("src/lib.rs"), folder.join("src/main.rs")].into_iter().find(|path| path.exists());
    let main = main.map_or(Ok(String::new()), |path| read(&path))?;
    findings.extend(sentence(name, description, &read(&folder.join("README.md"))?, &main));
    let mut encoded = Vec::new();
    let mut texts = String::new();
    for path in sources(folder) {
        let text = read(&path)?;
        let place = format!("{name}/{}", path.strip_prefix(folder).unwrap_or(&path).display());
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        findings.extend(banned(&place, &stem));
        let tests = is_test(&path, folder);
        texts.push_str(&text);
        let file = syn::parse_file(&text).map_err(|source| TidyError::Parse { path, source })?;
        if tests {
            continue;
        }
        findings.extend(source::check(&place, &text, &file));
        if name != CODEC.0 && text.contains(CODEC.1) {
            findings.push(Finding::new(place, "codec", "encodes by itself; implement Wire or Record"));
        }
        encoded.extend(source::encoded(&file));
    }
    findings.extend(golden(name, &encoded, &golden_files(folder), &texts));
    Ok(findings)
}

fn is_test(path: &Path, folder: &Path) -> bool {
    let inside = path.strip_prefix(folder).unwrap_or(path);
    inside.components().any(|part| part.as_os_str() == "tests")
        || inside.file_name().is_some_and(|name| name == "tests.rs")
}

/// A name, or one of its words, that says nothing.
fn banned(place: &str, name: &str) -> Vec<Finding> {
    let words = name.trim_start_matches("grange-").split(['-', '_']);
    let bad = words.filter(|word| BANNED.contains(word));
    bad.map(|word| Finding::new(place, "name", format!("{word:?} says nothing; name what it is"))).collect()
}

/// The same sentence in three places.
fn sentence(name: &str, description: &str, readme: &str, main: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if description.is_empty() {
        findings.push(Finding::new(name, "sentence", "Cargo.toml has no description"));
    }
    if !readme.lines().any(|line| line == description) {
        findings.push(Finding::new(
            name,
            "sentence",
            "README.md does not have the description of Cargo.toml as a line",
        ));
    }
    if main.lines().next() != Some(&format!("//! {description}")) {
        findings.push(Finding::new(
            name,
            "sentence",
            "the first line of the crate is not the description of Cargo.toml",
        ));
    }
    findings
}

/// Every encoded type has its golden bytes and a test that reads them, and every golden file its type.
fn golden(name: &str, encoded: &[Encoded], files: &BTreeSet<String>, texts: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Encoded { name: kind, type_name } in encoded {
        if !files.contains(kind) {
            findings.push(Finding::new(name, "golden", format!("{type_name} has no golden/{kind}.hex")));
        } else if !texts.contains(&format!("golden/{kind}.hex")) {
            findings.push(Finding::new(name, "golden", format!("no test reads golden/{kind}.hex")));
        }
    }
    findings
}

fn golden_files(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder.join("golden")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    names.filter_map(|name| name.strip_suffix(".hex").map(str::to_owned)).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![folder.join("src"), folder.join("tests")];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                todo.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_name_is_caught() {
        assert_eq!(banned("x", "ledger"), []);
        for bad in ["utils", "grange-common", "string_helpers", "core"] {
            assert_eq!(banned("x", bad).len(), 1, "{bad}");
        }
    }

    #[test]
    fn a_planted_difference_between_the_sentences_is_caught() {
        let check = |description, readme, main| sentence("x", description, readme, main).len();
        assert_eq!(check("Do it.", "# x\n\nDo it.\n", "//! Do it.\n"), 0);
        assert_eq!(check("Do it.", "# x\n\nDo that.\n", "//! Do it.\n"), 1);
        assert_eq!(check("Do it.", "# x\n\nDo it.\n", "//! Do that.\n"), 1);
        assert_eq!(check("", "# x\nDo it.\n", "//! Do it.\n"), 3);
    }

    #[test]
    fn a_planted_type_without_golden_bytes_is_caught() {
        let encoded = [Encoded { name: "vote".into(), type_name: "Vote".into() }];
        let files = BTreeSet::from(["vote".to_owned()]);
        assert_eq!(golden("x", &encoded, &files, "include_str!(\"../golden/vote.hex\")"), []);
        assert_eq!(golden("x", &encoded, &files, "").len(), 1);
        assert_eq!(golden("x", &encoded, &BTreeSet::new(), "").len(), 1);
    }
}
