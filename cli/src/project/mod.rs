//! A project on disk: its compose file, and what its services run, packed into blobs.

mod below;
mod error;
mod furnish;
mod pack;
mod site;
mod upload;

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use grange_api::{Finding, Problem, ProblemCode};
use grange_app::{App, Files, Reading, Severity, Unread};
use grange_types::{Content, Manifest, Secrets};

use below::Below;
use error::PackError;

pub(crate) use pack::Packed;
pub(crate) use upload::{Sent, upload};

/// The names under which a folder's compose file is looked for, in this order.
pub(crate) const NAMES: [&str; 3] = ["compose.yaml", "compose.yml", "docker-compose.yml"];

/// The names under which a folder's override is looked for, in this order: a file that is laid over the first one.
const OVERRIDES: [&str; 4] =
    ["compose.override.yaml", "compose.override.yml", "docker-compose.override.yml", "docker-compose.override.yaml"];

/// A project that can be deployed.
#[derive(Debug)]
pub(crate) struct Project {
    /// The first compose file, as the user would name it.
    pub(crate) file: PathBuf,
    /// What it says.
    pub(crate) app: App,
    /// What its author should know nevertheless.
    pub(crate) warnings: Vec<grange_app::Finding>,
    /// Services that are left out, since none of their profiles is active.
    pub(crate) inactive: Vec<String>,
    /// What each service runs.
    pub(crate) packed: BTreeMap<String, Packed>,
    /// What a node is asked to run.
    pub(crate) manifest: Manifest,
    /// The values of its secrets, for the node that seals them.
    pub(crate) secrets: Secrets,
}

/// What the user wants to be read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    /// A compose file, or a folder that holds one.
    pub(crate) path: &'a Path,
    /// Compose files that are laid over each other; where there are some, `path` counts for nothing.
    pub(crate) files: &'a [PathBuf],
    /// The active profiles.
    pub(crate) profiles: &'a [String],
}

impl<'a> Wanted<'a> {
    /// What lies at a path, with no profile.
    pub(crate) const fn at(path: &'a Path) -> Self {
        Self { path, files: &[], profiles: &[] }
    }
}

/// Reads and packs a project.
pub(crate) fn open(wanted: &Wanted<'_>, operation: &str) -> Result<Project, Problem> {
    let files = compose_files(wanted, operation)?;
    let file = files.first().cloned().unwrap_or_default();
    let name = file.display().to_string();
    let root = file.parent().filter(|root| !root.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut below = Below::new(root);
    let mut paths = Vec::new();
    for file in &files {
        let path = below.add(file).ok_or_else(|| {
            let message = "the file lies outside the folder of the first one";
            Problem::new(ProblemCode::ManifestInvalid, operation, file.display().to_string(), message)
                .with_remedy("name first a file that the others lie beside or below")
        })?;
        paths.push(path);
    }
    let variables = variables(&below, operation)?;
    let project = grange_app::Project { files: &paths, variables: &variables, profiles: wanted.profiles };
    let reading = grange_app::read_project(&project, &below).map_err(|refusal| {
        let findings = mistakes(refusal, root, &variables);
        let errors = findings.iter().filter(|finding| finding.severity == Severity::Error);
        invalid(operation, &name, errors.map(finding).collect())
    })?;
    let (packed, secrets) = pack_all(&reading, root, &variables, (operation, &name))?;
    let empty = empty_files(&reading, &packed, &secrets);
    let workloads = packed.iter().map(|(name, packed)| (name.clone(), packed.workload.clone())).collect();
    let manifest = reading
        .app
        .manifest(&workloads)
        .map_err(|error| Problem::new(ProblemCode::ManifestInvalid, operation, name.clone(), error.to_string()))?;
    let grange_app::Reading { app, mut warnings, inactive, .. } = reading;
    warnings.extend(empty);
    Ok(Project { file, app, warnings, inactive, packed, manifest, secrets })
}

/// The files that are laid over each other, the lowest first: those that are named, else the one at the path, and
/// in a folder also the override beside it.
fn compose_files(wanted: &Wanted<'_>, operation: &str) -> Result<Vec<PathBuf>, Problem> {
    if let [_, ..] = wanted.files {
        return wanted.files.iter().map(|file| compose_file(file, operation)).collect();
    }
    let first = compose_file(wanted.path, operation)?;
    let over = if first == wanted.path {
        None
    } else {
        OVERRIDES.map(|name| first.with_file_name(name)).into_iter().find(|file| file.is_file())
    };
    Ok([first].into_iter().chain(over).collect())
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

/// What a variable in the file may be replaced by: those of `.env` beside it, and before them the environment's.
fn variables(below: &Below, operation: &str) -> Result<BTreeMap<String, String>, Problem> {
    const FILE: &str = ".env";
    let set: BTreeMap<String, String> = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let told = |line: u32, message: String| {
        let name = Files::name(below, FILE);
        invalid(operation, &name, vec![Finding { file: name.clone(), line, column: 1, message }])
    };
    let mut variables = match below.text(FILE) {
        Ok(text) => grange_app::dotenv(&text, &set).map_err(|error| told(error.line, error.kind.to_string()))?,
        Err(Unread::Missing | Unread::NoFile) => BTreeMap::new(),
        Err(why) => return Err(told(1, format!("the file {why}"))),
    };
    variables.extend(set);
    Ok(variables)
}

/// What is wrong with the compose files, and with what they name as far as they could be read.
fn mistakes(
    refusal: grange_app::Refusal,
    root: &Path,
    variables: &BTreeMap<String, String>,
) -> Vec<grange_app::Finding> {
    let mut wrong = Vec::new();
    for named in &refusal.named {
        if let Some(source) = &named.source
            && let Err(error) = pack::pack(source, root, None)
        {
            wrong.push((source.at(), error.to_string()));
        }
        let found = furnish::contents(&named.files, root, variables, &mut Secrets::default());
        wrong.extend(found.err().into_iter().flatten().map(|(at, error)| (at, error.to_string())));
    }
    refusal.with(wrong)
}

/// The configs and secrets without a single byte, which are more often a mistake than meant.
fn empty_files(reading: &Reading, packed: &BTreeMap<String, Packed>, secrets: &Secrets) -> Vec<grange_app::Finding> {
    let mut findings = Vec::new();
    let services = reading.app.services.iter().filter_map(|(name, service)| Some((service, packed.get(name)?)));
    for (file, found) in services.flat_map(|(service, packed)| service.files.iter().zip(packed.workload.files())) {
        let is_empty = match &found.content {
            Content::Config(bytes) => bytes.is_empty(),
            Content::Secret { name, .. } => secrets.get(name).is_some_and(<[u8]>::is_empty),
        };
        let noun = if file.is_secret { "secret" } else { "config" };
        let finding = grange_app::Finding {
            severity: Severity::Warning,
            file: reading.file(file.at).to_owned(),
            line: file.at.line,
            column: file.at.column,
            message: format!("the {noun} `{}` is empty: the service finds a file without content", file.name),
        };
        // Two services may use one of them.
        if is_empty && !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    findings
}

/// Packs every service; all mistakes are told at once.
fn pack_all(
    reading: &Reading,
    root: &Path,
    variables: &BTreeMap<String, String>,
    (operation, file): (&str, &str),
) -> Result<(BTreeMap<String, Packed>, Secrets), Problem> {
    let (mut packed, mut secrets, mut wrong) = (BTreeMap::new(), Secrets::default(), Vec::new());
    for (name, service) in &reading.app.services {
        let work = pack::pack(&service.source, root, service.route.as_deref());
        match (work, furnish::contents(&service.files, root, variables, &mut secrets)) {
            (Ok(Packed { workload, pieces }), Ok(files)) => {
                let workload = furnish::furnish(workload, files);
                packed.insert(name.clone(), Packed { workload, pieces });
            }
            (work, files) => {
                wrong.extend(work.err().map(|error| (service.source.at(), error)));
                wrong.extend(files.err().into_iter().flatten());
            }
        }
    }
    // One mistake has its own code; several have the one of the file that holds them.
    let code = match wrong.as_slice() {
        [] => return Ok((packed, secrets)),
        [(_, error)] => error.code(),
        _ => ProblemCode::ManifestInvalid,
    };
    let finding = |(at, error): &(grange_app::Position, PackError)| {
        let (file, message) = (reading.file(*at).to_owned(), error.to_string());
        Finding { file, line: at.line, column: at.column, message }
    };
    let mut findings: Vec<Finding> = wrong.iter().map(finding).collect();
    findings.sort();
    // Two services that use one secret find the same mistake.
    findings.dedup();
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
    use grange_types::{SiteIndex, Wire};

    use super::pack::Piece;
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
        let project = open(&Wanted::at(folder.path()), "deploy").unwrap();
        assert_eq!(project.file, folder.path().join("compose.yaml"));
        assert_eq!(project.manifest.services.len(), 2);
        assert_eq!(project.packed["web"].pieces.len(), 2);
        assert_eq!(site_paths(&project, "web"), ["index.html"]);
        let named = open(&Wanted::at(&folder.path().join("compose.yaml")), "deploy").unwrap();
        assert_eq!(named.manifest, project.manifest);
    }

    fn site_paths(project: &Project, service: &str) -> Vec<String> {
        let Some(Piece::Bytes { bytes, .. }) = project.packed[service].pieces.last() else { panic!("it is no site") };
        SiteIndex::decode(bytes).unwrap().files.into_iter().map(|file| file.path).collect()
    }

    #[test]
    fn a_site_with_a_route_is_served_below_it() {
        let text = "name: shop\nservices:\n  docs:\n    x-grange: {site: ./public, route: /a/docs}\n  web:\n    x-grange: {site: ./public}\n";
        let folder = folder(text);
        fs::create_dir_all(folder.path().join("public/.well-known")).unwrap();
        for path in ["index.html", "404.html", ".well-known/x"] {
            fs::write(folder.path().join("public").join(path), path).unwrap();
        }
        let project = open(&Wanted::at(folder.path()), "deploy").unwrap();
        assert_eq!(site_paths(&project, "web"), [".well-known/x", "404.html", "index.html"]);
        // What a request for `/a/docs/` looks up; the page for what is not there is looked up by its own name.
        let below = ["404.html", "a/docs/.well-known/x", "a/docs/index.html"];
        assert_eq!(site_paths(&project, "docs"), below);
    }

    #[test]
    fn every_missing_file_is_told_at_its_place() {
        let folder = folder(TWO);
        let problem = open(&Wanted::at(folder.path()), "validate").unwrap_err();
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
    fn what_the_file_names_is_looked_at_beside_what_it_says() {
        let text = "name: shop\nx-grange: {budget: 0}\nservices:\n  api:\n    x-grange: {wasm: a.wasm}\n    restrat: no\n    \
                    secrets: [token]\n  web:\n    x-grange: {site: public, route: /web}\nsecrets:\n  token: {file: token.txt}\n";
        let folder = folder(text);
        let told = || {
            let problem = open(&Wanted::at(folder.path()), "validate").unwrap_err();
            assert_eq!(problem.code, ProblemCode::ManifestInvalid);
            problem.findings.iter().map(|finding| (finding.line, finding.message.clone())).collect::<Vec<_>>()
        };
        let all = [
            (2, "a budget of 0 credits pays for no capacity"),
            (5, "the file a.wasm does not exist"),
            (6, "unknown key `restrat`"),
            (9, "the folder public does not exist"),
            (11, "the file token.txt does not exist"),
        ];
        let begins = |found: Vec<(u32, String)>, expected: &[(u32, &str)]| {
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for ((line, message), (at, begin)) in found.iter().zip(expected) {
                assert!(line == at && message.starts_with(begin), "{line}: {message}, not {at}: {begin}");
            }
        };
        begins(told(), &all);
        // Also where the compose file itself is right, a missing component hides no missing secret.
        let right = text.replace("budget: 0", "budget: 1").replace("    restrat: no\n", "");
        fs::write(folder.path().join("compose.yaml"), right).unwrap();
        let all = [
            (5, "the file a.wasm does not exist"),
            (8, "the folder public does not exist"),
            (10, "the file token.txt does not exist"),
        ];
        begins(told(), &all);
    }

    #[test]
    fn an_empty_config_or_secret_is_warned_of_at_its_place() {
        let folder = folder(
            "name: shop\nx-grange: {budget: 1}\nservices:\n  api:\n    x-grange: {wasm: a.wasm}\n    secrets: [token]\n    \
             configs: [app]\nsecrets:\n  token: {file: token.txt}\nconfigs:\n  app: {file: token.txt}\n",
        );
        fs::write(folder.path().join("a.wasm"), COMPONENT).unwrap();
        let warned = |content: &str| {
            fs::write(folder.path().join("token.txt"), content).unwrap();
            let project = open(&Wanted::at(folder.path()), "deploy").unwrap();
            project.warnings.iter().map(|finding| (finding.line, finding.message.clone())).collect::<Vec<_>>()
        };
        let message = |what: &str| format!("the {what} is empty: the service finds a file without content");
        assert_eq!(warned(""), [(11, message("config `app`")), (9, message("secret `token`"))]);
        assert_eq!(warned("\n"), []);
    }

    #[test]
    fn one_mistake_has_its_own_code() {
        let folder = folder("name: shop\nservices:\n  api:\n    x-grange: {wasm: a.wasm}\n");
        fs::write(folder.path().join("a.wasm"), b"\0asm\x01\0\0\0").unwrap();
        let problem = open(&Wanted::at(folder.path()), "deploy").unwrap_err();
        assert_eq!(problem.code, ProblemCode::ComponentInvalid);
        assert_eq!(problem.findings[0].line, 4);
    }

    #[test]
    fn variables_come_from_the_file_beside() {
        let folder = folder("name: ${GRANGE_TEST_NAME}\nservices:\n  web:\n    x-grange: {site: public}\n");
        fs::create_dir(folder.path().join("public")).unwrap();
        fs::write(folder.path().join("public/index.html"), "hello").unwrap();
        fs::write(folder.path().join(".env"), "GRANGE_TEST_NAME=shop\n").unwrap();
        assert_eq!(open(&Wanted::at(folder.path()), "deploy").unwrap().app.name, "shop");
        fs::write(folder.path().join(".env"), "\nGRANGE_TEST_NAME").unwrap();
        let problem = open(&Wanted::at(folder.path()), "deploy").unwrap_err();
        assert_eq!((problem.findings[0].line, problem.exit), (2, 1));
    }

    #[test]
    fn an_override_beside_the_file_is_laid_over_it() {
        let text = "name: shop\nservices:\n  web:\n    x-grange: {site: public}\n";
        let folder = folder(text);
        fs::create_dir(folder.path().join("public")).unwrap();
        fs::write(folder.path().join("public/index.html"), "hello").unwrap();
        let over = folder.path().join("compose.override.yaml");
        fs::write(&over, "name: stall\nx-grange: {budget: 3}\n").unwrap();
        let open = |wanted: Wanted<'_>| open(&wanted, "deploy").unwrap().app.name;
        assert_eq!(open(Wanted::at(folder.path())), "stall");
        // A file that is named stands alone, and several are laid over each other in the order that they are named in.
        let file = folder.path().join("compose.yaml");
        assert_eq!(open(Wanted::at(&file)), "shop");
        let files = [over, file];
        assert_eq!(open(Wanted { files: &files, ..Wanted::at(folder.path()) }), "shop");
    }

    #[test]
    fn a_mistake_in_an_included_file_is_told_there() {
        let folder = folder("name: shop\ninclude: [parts/api.yaml]\nservices: {}\n");
        fs::create_dir(folder.path().join("parts")).unwrap();
        let part = folder.path().join("parts/api.yaml");
        fs::write(&part, "services:\n  api:\n    x-grange: {wasm: a.wasm}\n").unwrap();
        let problem = open(&Wanted::at(folder.path()), "validate").unwrap_err();
        let expected = format!("{}:3:22: the file parts/a.wasm does not exist", part.display());
        assert_eq!(problem.findings.iter().map(ToString::to_string).collect::<Vec<_>>(), [expected]);
    }

    #[test]
    fn files_that_lie_apart_are_refused() {
        let (one, other) = (folder(TWO), folder(TWO));
        let files = [one.path().join("compose.yaml"), other.path().join("compose.yaml")];
        let problem = open(&Wanted { files: &files, ..Wanted::at(one.path()) }, "deploy").unwrap_err();
        assert_eq!(problem.code, ProblemCode::ManifestInvalid);
        assert_eq!(problem.thing, files[1].display().to_string());
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_path_buf(), folder.path().join("compose.yaml")] {
            let problem = open(&Wanted::at(&path), "deploy").unwrap_err();
            assert_eq!((problem.code, problem.exit), (ProblemCode::NotFound, 3));
        }
    }

    #[test]
    fn a_file_that_is_no_text_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("compose.yml");
        fs::write(&file, [0xff, 0xfe]).unwrap();
        assert_eq!(open(&Wanted::at(folder.path()), "validate").unwrap_err().findings.len(), 1);
        fs::write(&file, vec![b' '; grange_app::limits::FILE_BYTES + 1]).unwrap();
        assert_eq!(open(&Wanted::at(folder.path()), "validate").unwrap_err().findings.len(), 1);
    }
}
