//! `init`: a project that deploys as it is written.

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

const COMPOSE: &str = include_str!("../../template/site/compose.yaml");
const PAGE: &str = include_str!("../../template/site/index.html");
/// What stands for the project's name in the templates.
const NAME: &str = "@NAME@";

/// Writes a project.
pub(crate) fn run(template: Template, folder: &Path, output: Output) -> Outcome {
    match template {
        Template::Site => site(folder, output),
        Template::Js => Err(Problem::new(
            ProblemCode::Unsupported,
            "init",
            "js",
            "this version has no JavaScript runtime to deploy",
        )
        .with_remedy("use --template site, or a wasm component from any language that makes one")
        .into()),
    }
}

fn site(folder: &Path, output: Output) -> Outcome {
    let there = project::NAMES.iter().map(|name| folder.join(name)).find(|file| file.exists());
    if let Some(file) = there {
        let message = "the folder already has a project";
        return Err(Problem::new(ProblemCode::Conflict, "init", file.display().to_string(), message)
            .with_remedy("name another folder")
            .into());
    }
    let name = name(&folders::absolute(folder)?);
    let page = folder.join("public/index.html");
    let mut files = Vec::new();
    if write(&page, &PAGE.replace(NAME, &name))? {
        files.push(page);
    }
    let compose = folder.join("compose.yaml");
    write(&compose, &COMPOSE.replace(NAME, &name))?;
    files.push(compose);
    let deploy = if folder == Path::new(".") {
        "grange deploy".to_owned()
    } else {
        format!("grange deploy {}", folder.display())
    };
    output.show(&Written { name, files }, |written| {
        let files: Vec<String> = written.files.iter().map(|file| format!("  {}", file.display())).collect();
        format!("the site {} is written:\n{}\ndeploy it with `{deploy}`", written.name, files.join("\n"))
    })
}

/// Writes a new file; leaves one that is there as it is.
fn write(path: &Path, text: &str) -> Result<bool, Problem> {
    let failed = |error: io::Error| {
        internal("init", path.display().to_string(), &error).with_remedy("name a folder that you may write")
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => file.write_all(text.as_bytes()).map(|()| true).map_err(failed),
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
    fn a_site_is_written_once_and_can_be_packed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("My Site!");
        run(Template::Site, &folder, Output::new(true)).unwrap();
        let project = project::open(&folder, "validate").unwrap();
        assert_eq!(project.app.name, "my-site");
        assert!(project.warnings.is_empty(), "{:?}", project.warnings);
        let failure = run(Template::Site, &folder, Output::new(true)).unwrap_err();
        let crate::failure::Failure::Problem(problem) = failure else { panic!("no problem") };
        assert_eq!((problem.code, problem.exit), (ProblemCode::Conflict, 5));
    }

    #[test]
    fn a_folder_names_its_app() {
        for (folder, expected) in [("/a/Blog", "blog"), ("/a/über uns", "ber-uns"), ("/", "site"), ("/a/--", "site")] {
            assert_eq!(name(Path::new(folder)), expected);
        }
        assert_eq!(name(Path::new(&"x".repeat(200))).len(), limits::NAME_BYTES);
    }

    #[test]
    fn what_cannot_be_deployed_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let failure = run(Template::Js, folder.path(), Output::new(true)).unwrap_err();
        let crate::failure::Failure::Problem(problem) = failure else { panic!("no problem") };
        assert_eq!(problem.code, ProblemCode::Unsupported);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
