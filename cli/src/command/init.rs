//! `init`: a project that deploys as it is written.

use std::borrow::Cow;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use grange_api::{Problem, ProblemCode};
use grange_types::limits;
use serde::Serialize;

use crate::arguments::Template;
use crate::failure::{Outcome, internal};
use crate::folders;
use crate::output::Output;
use crate::project;

/// What was written.
#[derive(Debug, Serialize)]
struct Written {
    name: String,
    files: Vec<PathBuf>,
}

/// A file of a template: where it goes, and what is in it.
type File = (&'static str, &'static [u8]);

/// The file that makes a folder a project. It is written last: one that stopped half-way can be written again.
const COMPOSE: &str = "compose.yaml";
/// What editors complete the compose file by; its first line names it, and no network is needed to read it.
const SCHEMA: &str = "compose.schema.json";
const SITE: [File; 2] = [
    ("public/index.html", include_bytes!("../../template/site/index.html")),
    (COMPOSE, include_bytes!("../../template/site/compose.yaml")),
];
/// The script stands in the compose file, as the environment that the engine reads.
const JS: [File; 2] = [
    ("js-engine.wasm", include_bytes!("../../../examples/js-engine/js-engine.wasm")),
    (COMPOSE, include_bytes!("../../template/js/compose.yaml")),
];
/// What stands for the project's name in the texts of a template.
const NAME: &str = "@NAME@";

/// Writes a project.
pub(crate) fn run(template: Template, folder: &Path, output: Output) -> Outcome {
    let (what, template) = match template {
        Template::Site => ("site", SITE),
        Template::Js => ("service", JS),
    };
    let there = project::NAMES.iter().map(|name| folder.join(name)).find(|file| file.exists());
    if let Some(file) = there {
        let message = "the folder already has a project";
        return Err(Problem::new(ProblemCode::Conflict, "init", file.display().to_string(), message)
            .with_remedy("name another folder")
            .into());
    }
    let name = name(&folders::absolute(folder)?);
    let mut files = Vec::new();
    let schema = grange_app::schema();
    for (path, content) in [(SCHEMA, schema.as_bytes())].into_iter().chain(template) {
        let path = folder.join(path);
        if write(&path, &named(content, &name))? {
            files.push(path);
        }
    }
    let deploy = if folder == Path::new(".") {
        "grange deploy".to_owned()
    } else {
        format!("grange deploy {}", folder.display())
    };
    output.show(&Written { name, files }, |written| {
        let files: Vec<String> = written.files.iter().map(|file| format!("  {}", file.display())).collect();
        format!("the {what} {} is written:\n{}\ndeploy it with `{deploy}`", written.name, files.join("\n"))
    })
}

/// A template's file for a project of this name; one that is no text has no name in it.
fn named<'a>(content: &'a [u8], name: &str) -> Cow<'a, [u8]> {
    match std::str::from_utf8(content) {
        Ok(text) => Cow::Owned(text.replace(NAME, name).into_bytes()),
        Err(_) => Cow::Borrowed(content),
    }
}

/// Writes a new file; leaves one that is there as it is.
fn write(path: &Path, content: &[u8]) -> Result<bool, Problem> {
    let failed = |error: io::Error| {
        internal("init", path.display().to_string(), &error).with_remedy("name a folder that you may write")
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(content).map(|()| true).map_err(failed),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(failed(error)),
    }
}

/// The folder's name as far as it is one for an app.
fn name(folder: &Path) -> String {
    let text = folder.file_name().map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    let letters = text.chars().map(|letter| if letter.is_ascii_alphanumeric() { letter } else { '-' });
    let cut: String = letters.take(limits::NAME_BYTES).collect();
    let parts: Vec<&str> = cut.split('-').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { "site".to_owned() } else { parts.join("-") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_written_once_and_can_be_packed() {
        for template in [Template::Site, Template::Js] {
            let parent = tempfile::tempdir().unwrap();
            let folder = parent.path().join("My Project!");
            run(template, &folder, Output::new(true)).unwrap();
            let project = project::open(&project::Wanted::at(&folder), "validate").unwrap();
            assert_eq!(project.app.name, "my-project");
            let compose = fs::read_to_string(folder.join(COMPOSE)).unwrap();
            let first = format!("# yaml-language-server: $schema=./{SCHEMA}");
            assert_eq!(compose.lines().next(), Some(first.as_str()));
            assert_eq!(fs::read_to_string(folder.join(SCHEMA)).unwrap(), grange_app::schema());
            assert!(project.warnings.is_empty(), "{:?}", project.warnings);
            let failure = run(template, &folder, Output::new(true)).unwrap_err();
            let crate::failure::Failure::Problem(problem) = failure else { panic!("no problem") };
            assert_eq!((problem.code, problem.exit), (ProblemCode::Conflict, 5));
        }
    }

    #[test]
    fn the_engine_is_written_as_it_is_and_what_is_there_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let engine = folder.path().join("js-engine.wasm");
        run(Template::Js, folder.path(), Output::new(true)).unwrap();
        assert!(fs::read(&engine).unwrap() == JS[0].1);
        fs::remove_file(folder.path().join(COMPOSE)).unwrap();
        fs::write(&engine, "my own").unwrap();
        run(Template::Js, folder.path(), Output::new(true)).unwrap();
        assert_eq!(fs::read_to_string(&engine).unwrap(), "my own");
    }

    #[test]
    fn a_folder_names_its_app() {
        for (folder, expected) in [("/a/Blog", "blog"), ("/a/über uns", "ber-uns"), ("/", "site"), ("/a/--", "site")] {
            assert_eq!(name(Path::new(folder)), expected);
        }
        assert_eq!(name(Path::new(&"x".repeat(200))).len(), limits::NAME_BYTES);
    }
}
