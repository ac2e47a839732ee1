//! A project on disk: its compose file, and what its services run, packed into blobs.

mod dotenv;
mod pack;
mod site;
mod upload;

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use grange_api::{Finding, Problem, ProblemCode};
use grange_app::{App, Severity, Source, limits};
use grange_types::Manifest;

pub(crate) use pack::Packed;
pub(crate) use upload::upload;

/// The names under which a folder's compose file is looked for, in this order.
pub(crate) const NAMES: [&str; 3] = ["compose.yaml", "compose.yml", "docker-compose.yml"];

/// A project that can be deployed.
#[derive(Debug)]
pub(crate) struct Project {
    /// The compose file, as the user would name it.
    pub(crate) file: PathBuf,
    /// What it says.
    pub(crate) app: App,
    /// What its author should know nevertheless.
    pub(crate) warnings: Vec<grange_app::Finding>,
    /// What each service runs.
    pub(crate) packed: BTreeMap<String, Packed>,
    /// What a node is asked to run.
    pub(crate) manifest: Manifest,
}

/// Reads and packs the project at a path.
pub(crate) fn open(path: &Path, operation: &str) -> Result<Project, Problem> {
    let file = compose_file(path, operation)?;
    let name = file.display().to_string();
    let root = file.parent().filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let text = text(&file, operation)?;
    let source = Source { file: &name, text: &text };
    let reading = grange_app::read(&source, &variables(root, operation)?).map_err(|findings| {
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        invalid(operation, &name, errors.map(finding).collect())
    })?;
    let packed = pack_all(&reading.app, root, operation, &name)?;
    let workloads = packed.iter().map(|(name, packed)| (name.clone(), packed.workload.clone())).collect();
    let manifest = reading
        .app
        .manifest(&workloads)
        .map_err(|error| Problem::new(ProblemCode::ManifestInvalid, operation, name.clone(), error.to_string()))?;
    Ok(Project { file, app: reading.app, warnings: reading.warnings, packed, manifest })
}

/// The file itself, or the one in the folder.
fn compose_file(path: &Path, operation: &str) -> Result<PathBuf, Problem> {
    let thing = || path.display().to_string();
    let missing = |message: &str, remedy: &str| {
        Err(Problem::new(ProblemCode::NotFound, operation, thing(), message).with_remedy(remedy))
    };
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            // `.` would only make the diagnostics' file name longer.
            let beside = |name: &str| if path == Path::new(".") { PathBuf::from(name) } else { path.join(name) };
            match NAMES.map(beside).into_iter().find(|file| file.is_file()) {
                Some(file) => Ok(file),
                None => missing("the folder has no compose.yaml", "write one, or let `grange init` do it"),
            }
        }
        Ok(_) => Ok(path.to_path_buf()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            missing("there is no such file or folder", "name a compose file, or a folder that holds one")
        }
        Err(error) => Err(Problem::new(ProblemCode::Denied, operation, thing(), error.to_string().to_lowercase())
            .with_remedy("make the file readable")),
    }
}

/// The file's text; one byte more than the limit is enough for the reader to refuse it.
fn text(file: &Path, operation: &str) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    let limit = limits::FILE_BYTES as u64 + 1;
    File::open(file).and_then(|opened| opened.take(limit).read_to_end(&mut bytes)).map_err(|error| {
        let message = format!("cannot read the file: {error}");
        Problem::new(ProblemCode::Denied, operation, file.display().to_string(), message)
            .with_remedy("make the file readable")
    })?;
    if bytes.len() > limits::FILE_BYTES {
        let message = format!("such a file has at most {} bytes", limits::FILE_BYTES);
        return Err(at_start(operation, file, &message));
    }
    String::from_utf8(bytes).map_err(|_| at_start(operation, file, "such a file is UTF-8 text, this is not"))
}

fn at_start(operation: &str, file: &Path, message: &str) -> Problem {
    let name = file.display().to_string();
    let finding = Finding { file: name.clone(), line: 1, column: 1, message: message.to_owned() };
    invalid(operation, &name, vec![finding])
}

/// What a variable in the file may be replaced by: those of `.env` beside it, and before them the environment's.
fn variables(root: &Path, operation: &str) -> Result<BTreeMap<String, String>, Problem> {
    let file = root.join(".env");
    let mut variables = match fs::metadata(&file) {
        Ok(metadata) if metadata.is_file() => {
            let text = text(&file, operation)?;
            dotenv::read(&text).map_err(|line| {
                let name = file.display().to_string();
                let message = "a line is NAME=value; a quoted value ends with its quote on the same line".to_owned();
                invalid(operation, &name, vec![Finding { file: name.clone(), line, column: 1, message }])
            })?
        }
        _ => BTreeMap::new(),
    };
    let set = env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    variables.extend(set);
    Ok(variables)
}

/// Packs every service; all mistakes are told at once.
fn pack_all(app: &App, root: &Path, operation: &str, file: &str) -> Result<BTreeMap<String, Packed>, Problem> {
    let mut packed = BTreeMap::new();
    let mut findings = Vec::new();
    let mut code = ProblemCode::ManifestInvalid;
    for (name, service) in &app.services {
        match pack::pack(&service.source, root) {
            Ok(service) => {
                packed.insert(name.clone(), service);
            }
            Err(error) => {
                // One mistake has its own code; several have the one of the file that holds them.
                code = if findings.is_empty() { error.code() } else { ProblemCode::ManifestInvalid };
                let at = service.source.at();
                let message = error.to_string();
                findings.push(Finding { file: file.to_owned(), line: at.line, column: at.column, message });
            }
        }
    }
    if findings.is_empty() {
        return Ok(packed);
    }
    findings.sort();
    let problem = invalid(operation, file, findings);
    if code == ProblemCode::ManifestInvalid {
        return Err(problem);
    }
    let message = problem.findings.iter().map(|finding| finding.message.clone()).collect();
    Err(Problem { code, exit: code.exit(), remedy: code.remedy().to_owned(), message, ..problem })
}

fn invalid(operation: &str, file: &str, findings: Vec<Finding>) -> Problem {
    let message = match findings.len() {
        1 => "the file has a mistake".to_owned(),
        many => format!("the file has {many} mistakes"),
    };
    Problem::new(ProblemCode::ManifestInvalid, operation, file, message).with_findings(findings)
}

/// A finding in the API's form.
pub(crate) fn finding(finding: &grange_app::Finding) -> Finding {
    let grange_app::Finding { file, line, column, message, .. } = finding.clone();
    Finding { file, line, column, message }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes a compose file with one site and one component into a new folder.
    fn folder(text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("compose.yaml"), text).unwrap();
        folder
    }

    const TWO: &str = "name: shop\nservices:\n  web:\n    x-grange: {site: ./public}\n  api:\n    x-grange: {wasm: ./a.wasm, route: /api}\n";
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[test]
    fn a_project_becomes_a_manifest() {
        let folder = folder(TWO);
        fs::create_dir(folder.path().join("public")).unwrap();
        fs::write(folder.path().join("public/index.html"), "hello").unwrap();
        fs::write(folder.path().join("a.wasm"), COMPONENT).unwrap();
        let project = open(folder.path(), "deploy").unwrap();
        assert_eq!(project.file, folder.path().join("compose.yaml"));
        assert_eq!(project.manifest.services.len(), 2);
        assert_eq!(project.packed["web"].pieces.len(), 2);
        let named = open(&folder.path().join("compose.yaml"), "deploy").unwrap();
        assert_eq!(named.manifest, project.manifest);
    }

    #[test]
    fn every_missing_file_is_told_at_its_place() {
        let folder = folder(TWO);
        let problem = open(folder.path(), "validate").unwrap_err();
        assert_eq!((problem.code, problem.exit), (ProblemCode::ManifestInvalid, 1));
        let file = folder.path().join("compose.yaml");
        let lines: Vec<String> = problem.findings.iter().map(ToString::to_string).collect();
        let expected = [
            format!("{}:4:22: the folder public does not exist", file.display()),
            format!("{}:6:22: the file a.wasm does not exist", file.display()),
        ];
        assert_eq!(lines, expected);
        assert_eq!(problem.message, "the file has 2 mistakes");
    }

    #[test]
    fn one_mistake_has_its_own_code() {
        let folder = folder("name: shop\nservices:\n  api:\n    x-grange: {wasm: a.wasm}\n");
        fs::write(folder.path().join("a.wasm"), b"\0asm\x01\0\0\0").unwrap();
        let problem = open(folder.path(), "deploy").unwrap_err();
        assert_eq!(problem.code, ProblemCode::ComponentInvalid);
        assert_eq!(problem.findings[0].line, 4);
    }

    #[test]
    fn variables_come_from_the_file_beside() {
        let folder = folder("name: ${GRANGE_TEST_NAME}\nservices:\n  web:\n    x-grange: {site: public}\n");
        fs::create_dir(folder.path().join("public")).unwrap();
        fs::write(folder.path().join("public/index.html"), "hello").unwrap();
        fs::write(folder.path().join(".env"), "GRANGE_TEST_NAME=shop\n").unwrap();
        assert_eq!(open(folder.path(), "deploy").unwrap().app.name, "shop");
        fs::write(folder.path().join(".env"), "\nGRANGE_TEST_NAME").unwrap();
        let problem = open(folder.path(), "deploy").unwrap_err();
        assert_eq!((problem.findings[0].line, problem.exit), (2, 1));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_path_buf(), folder.path().join("compose.yaml")] {
            let problem = open(&path, "deploy").unwrap_err();
            assert_eq!((problem.code, problem.exit), (ProblemCode::NotFound, 3));
        }
    }

    #[test]
    fn a_file_that_is_no_text_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("compose.yml");
        fs::write(&file, [0xff, 0xfe]).unwrap();
        assert_eq!(open(folder.path(), "validate").unwrap_err().findings.len(), 1);
        fs::write(&file, vec![b' '; limits::FILE_BYTES + 1]).unwrap();
        assert_eq!(open(folder.path(), "validate").unwrap_err().findings.len(), 1);
    }
}
