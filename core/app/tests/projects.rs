//! Apps of several files. Each folder of `tests/projects` is one: `compose.yaml`, over it `override.yaml` where there
//! is one, and what they name. `expected` holds what the reader says; a first line `# profiles: a b` in `compose.yaml`
//! names the active profiles.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod folder;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use folder::{Folder, compare, outcome};
use grange_app::{Project, limits, read_project};

#[test]
fn every_project_is_read_as_expected() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/projects");
    let variables = BTreeMap::from([("OUTSIDE".to_owned(), "from outside".to_owned())]);
    let mut projects: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    projects.sort();
    assert!(projects.len() >= 15, "the corpus is smaller than it was");
    let mut wrong = String::new();
    for project in projects {
        let text = fs::read_to_string(project.join("compose.yaml")).unwrap();
        let profiles = text.lines().next().and_then(|line| line.strip_prefix("# profiles: "));
        let profiles: Vec<String> = profiles.into_iter().flat_map(str::split_whitespace).map(str::to_owned).collect();
        let files = ["compose.yaml", "override.yaml"].into_iter().filter(|name| project.join(name).exists());
        let files: Vec<String> = files.map(str::to_owned).collect();
        let actual = outcome(&files, &profiles, &variables, &Folder(project.clone()));
        wrong += &compare(&project.join("expected"), &actual);
    }
    assert!(wrong.is_empty(), "{wrong}");
}

const HEAD: &str = "name: app\nx-grange: {budget: 1}\n";

fn errors(files: &[(&str, String)]) -> Vec<String> {
    let texts: BTreeMap<String, String> = files.iter().map(|(name, text)| ((*name).to_owned(), text.clone())).collect();
    let main = ["compose.yaml".to_owned()];
    let project = Project { files: &main, variables: &BTreeMap::new(), profiles: &[] };
    read_project(&project, &texts).unwrap_err().findings.iter().map(ToString::to_string).collect()
}

#[test]
fn a_profile_of_the_variable_counts_where_none_is_named() {
    let text =
        format!("{HEAD}services:\n  a: {{x-grange: {{wasm: a}}}}\n  b: {{profiles: [p], x-grange: {{wasm: b}}}}\n");
    let texts = BTreeMap::from([("compose.yaml".to_owned(), text)]);
    let main = ["compose.yaml".to_owned()];
    let services = |profiles: &[String], variable: &str| {
        let variables = BTreeMap::from([("COMPOSE_PROFILES".to_owned(), variable.to_owned())]);
        let reading = read_project(&Project { files: &main, variables: &variables, profiles }, &texts).unwrap();
        reading.app.services.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(services(&[], ""), ["a"]);
    assert_eq!(services(&[], "x, p"), ["a", "b"]);
    assert_eq!(services(&[], "*"), ["a", "b"]);
    assert_eq!(services(&["x".to_owned()], "p"), ["a"]);
    assert_eq!(services(&["p".to_owned()], ""), ["a", "b"]);
}

#[test]
fn a_profile_that_no_service_has_is_warned_of() {
    let text =
        format!("{HEAD}services:\n  a: {{x-grange: {{wasm: a}}}}\n  b: {{profiles: [debug], x-grange: {{wasm: b}}}}\n");
    let texts = BTreeMap::from([("compose.yaml".to_owned(), text)]);
    let main = ["compose.yaml".to_owned()];
    let warned = |profile: &str, variable: &str| {
        let variables = BTreeMap::from([("COMPOSE_PROFILES".to_owned(), variable.to_owned())]);
        let asked: Vec<String> = [profile.to_owned()].into_iter().filter(|name| !name.is_empty()).collect();
        let reading = read_project(&Project { files: &main, variables: &variables, profiles: &asked }, &texts).unwrap();
        let messages = reading.warnings.into_iter().map(|finding| finding.message);
        messages.filter(|message| message.contains("profile")).collect::<Vec<_>>()
    };
    assert_eq!(warned("debgu", ""), ["no service has the profile `debgu`; did you mean `debug`?"]);
    for (profile, variable) in [("debug", ""), ("*", ""), ("", "another-projects")] {
        assert_eq!(warned(profile, variable), Vec::<String>::new(), "{profile} {variable}");
    }
}

#[test]
fn files_and_what_is_written_out_of_them_are_bounded() {
    let include = |names: &[String]| format!("{HEAD}include: [{}]\nservices: {{}}\n", names.join(", "));
    let names: Vec<String> = (0..limits::FILES).map(|number| format!("f{number}.yaml")).collect();
    let mut files: Vec<(&str, String)> =
        names.iter().map(|name| (name.as_str(), format!("services:\n  {name}: {{x-grange: {{wasm: a}}}}\n"))).collect();
    files.push(("compose.yaml", include(&names)));
    assert!(errors(&files).iter().any(|line| line.contains("more than the limit of 64 files")), "{:?}", errors(&files));

    // A chain of includes, each file naming the next.
    let chain: Vec<(String, String)> = (0..20)
        .map(|number| (format!("c{number}.yaml"), format!("include: [c{}.yaml]\nservices: {{}}\n", number + 1)))
        .collect();
    let mut files: Vec<(&str, String)> = chain.iter().map(|(name, text)| (name.as_str(), text.clone())).collect();
    files.push(("compose.yaml", include(&["c0.yaml".to_owned()])));
    assert!(
        errors(&files).iter().any(|line| line.contains("c6.yaml:1:11: files include each other more than 8 deep")),
        "{:?}",
        errors(&files)
    );

    // Services that each copy a large one.
    let large = format!("  base:\n    x-grange: {{wasm: a}}\n    labels: [\"{}\"]\n", "x".repeat(200_000));
    let copies: String = (0..60).map(|number| format!("  s{number}: {{extends: base}}\n")).collect();
    let text = format!("{HEAD}services:\n{large}{copies}");
    assert!(errors(&[("compose.yaml", text)]).iter().any(|line| line.contains("becomes too large here")));

    // A chain of services, each copying the next.
    let chain: String = (0..30).map(|number| format!("  s{number}: {{extends: s{}}}\n", number + 1)).collect();
    let text = format!("{HEAD}services:\n{chain}  s30: {{x-grange: {{wasm: a}}}}\n");
    assert!(errors(&[("compose.yaml", text)]).iter().any(|line| line.contains("more than 16 deep")));

    // Files that are long each.
    let names: Vec<String> = (0..6).map(|number| format!("l{number}.yaml")).collect();
    let mut files: Vec<(&str, String)> = names
        .iter()
        .map(|name| (name.as_str(), format!("services: {{}}\n#{}", "x".repeat(limits::FILE_BYTES - 20))))
        .collect();
    files.push(("compose.yaml", include(&names)));
    assert!(errors(&files).iter().any(|line| line.contains("more than the limit of 2097152 bytes")));
}
