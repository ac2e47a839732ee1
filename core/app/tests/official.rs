//! The specification's own files and examples are read as the committed `.expected` beside each says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod folder;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use folder::{Folder, compare, outcome};

fn official(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official").join(folder)
}

/// Every file below a folder whose name ends so, sorted.
fn below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).expect("the corpus is there") {
            let path = entry.expect("the corpus can be listed").path();
            if path.is_dir() {
                open.push(path);
            } else if path.to_string_lossy().ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn the_files_of_the_reference_implementation_are_read_as_expected() {
    let variables = BTreeMap::from([("PORT".to_owned(), "8000".to_owned())]);
    let files = below(&official("compose-go"), ".yaml");
    assert!(files.len() >= 30, "the corpus is smaller than it was");
    let mut wrong = String::new();
    for file in files {
        let folder = Folder(file.parent().unwrap().to_path_buf());
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let actual = outcome(&[name], &[], &variables, &folder);
        wrong += &compare(&file.with_extension("expected"), &actual);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The examples of a chapter with the line at which each begins.
fn examples(chapter: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut open: Option<(usize, usize, String)> = None;
    for (number, line) in chapter.lines().enumerate() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        match &mut open {
            None if bare.starts_with("```y") => open = Some((number + 2, indent, String::new())),
            None => {}
            Some(_) if bare.starts_with("```") => {
                found.extend(open.take().map(|(number, _, text)| (number, text)));
            }
            Some((_, indent, text)) => {
                *text += line.get(*indent..).unwrap_or_default();
                text.push('\n');
            }
        }
    }
    found
}

#[test]
fn the_examples_of_the_specification_are_read_as_expected() {
    let mut count = 0;
    let mut wrong = String::new();
    for file in below(&official("compose-spec"), ".md") {
        let chapter = fs::read_to_string(&file).unwrap();
        let mut actual = String::new();
        for (line, text) in examples(&chapter) {
            count += 1;
            let files = BTreeMap::from([("compose.yaml".to_owned(), text)]);
            let said = outcome(&["compose.yaml".to_owned()], &[], &BTreeMap::new(), &files);
            actual += &format!("== the example on line {line}\n{said}");
        }
        wrong += &compare(&file.with_extension("expected"), &actual);
    }
    assert!(count > 100, "{count} examples were found");
    assert!(wrong.is_empty(), "{wrong}");
}
