//! The reader's one door: files and variables in, an app or findings out.

use std::collections::BTreeMap;

use grange_types::limits as shared;

use crate::app::{App, AppService};
use crate::declared::{self, Declared};
use crate::depends::dependencies;
use crate::env_file;
use crate::files::{Files, Unread};
use crate::finding::{Finding, Findings, Position, Severity, quote};
use crate::grange::budget;
use crate::interpolate::interpolate_node;
use crate::load::{Asked, Loader, Parsed, Variables};
use crate::named::{self, Named};
use crate::profiles::{self, Inactive};
use crate::route::routes;
use crate::service::{Draft, service};
use crate::shape;
use crate::walk::{GRANGE, walk};
use crate::yaml::{Entry, Map, Value};

/// The variable that holds the app's name, for the file's own use.
const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";

/// A compose file that stands alone.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file's name as diagnostics print it.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// An app of any number of files.
#[derive(Debug, Clone, Copy)]
pub struct Project<'a> {
    /// The compose files by their paths in the project's folder; each is laid over those before it.
    pub files: &'a [String],
    /// The variables that `${NAME}` and environment entries without a value may use.
    pub variables: &'a BTreeMap<String, String>,
    /// The profiles that are active; where there is none, those that the variable `COMPOSE_PROFILES` names. `*` is all.
    pub profiles: &'a [String],
}

/// An app that can be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it says.
    pub app: App,
    /// What its author should know nevertheless, by file and position.
    pub warnings: Vec<Finding>,
    /// Services that are left out, since none of their profiles is active, sorted.
    pub inactive: Vec<String>,
    /// The files as diagnostics print them, in the order in which they were opened.
    files: Vec<String>,
}

impl Reading {
    /// The file that a position is in, as diagnostics print it.
    #[must_use]
    pub fn file(&self, at: Position) -> &str {
        self.files.get(usize::from(at.file)).map(String::as_str).unwrap_or_default()
    }
}

/// Why an app cannot be deployed, and what its files name all the same, so that one run tells of every mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Every mistake that could be found, at least one of [`Severity::Error`], and the warnings with them, by file and
    /// position.
    pub findings: Vec<Finding>,
    /// What each service is made of, as far as it could be read; nothing where the reader gave up.
    pub named: Vec<Named>,
    /// The files as diagnostics print them, in the order in which they were opened.
    files: Vec<String>,
}

impl Refusal {
    /// The findings and these mistakes in what the files name, all by file and position.
    #[must_use]
    pub fn with(self, mistakes: Vec<(Position, String)>) -> Vec<Finding> {
        let Self { mut findings, files, .. } = self;
        for (at, message) in mistakes {
            let file = files.get(usize::from(at.file)).cloned().unwrap_or_default();
            let finding = Finding { severity: Severity::Error, file, line: at.line, column: at.column, message };
            // Two services may use one file.
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        }
        let place = |file: &str| files.iter().position(|name| name == file);
        findings.sort_by_key(|finding| (place(&finding.file), finding.line, finding.column));
        findings
    }
}

/// The one file of a [`Source`].
struct Alone<'a>(&'a Source<'a>);

impl Alone<'_> {
    const PATH: &'static str = "compose.yaml";
}

impl Files for Alone<'_> {
    fn text(&self, path: &str) -> Result<String, Unread> {
        if path == Self::PATH { Ok(self.0.text.to_owned()) } else { Err(Unread::Missing) }
    }

    fn name(&self, _path: &str) -> String {
        self.0.file.to_owned()
    }
}

/// Reads a compose file that stands alone with these variables, which `${NAME}` and environment entries without a
/// value may use. A file that it names is not there.
///
/// # Errors
/// The findings of [`read_project`].
pub fn read(source: &Source<'_>, env: &BTreeMap<String, String>) -> Result<Reading, Vec<Finding>> {
    let files = [Alone::PATH.to_owned()];
    let project = Project { files: &files, variables: env, profiles: &[] };
    read_project(&project, &Alone(source)).map_err(|refusal| refusal.findings)
}

/// Reads an app and every file that it names.
///
/// # Errors
/// Every mistake that could be found, and what the files name.
pub fn read_project(project: &Project<'_>, files: &dyn Files) -> Result<Reading, Refusal> {
    let mut loader = Loader::new(files);
    let mut named = Vec::new();
    let app = loaded(project, &mut loader, &mut named);
    let Loader { findings, names, .. } = loader;
    let failed = findings.has_error();
    if findings.is_full() {
        named.clear();
    }
    let findings = findings.finish(&names);
    match app {
        Some((app, inactive)) if !failed => {
            Ok(Reading { app, warnings: findings, inactive: inactive.into_keys().collect(), files: names })
        }
        _ => Err(Refusal { findings, named, files: names }),
    }
}

/// Reads everything; what the services name goes to `named` also where no app comes of it.
fn loaded(project: &Project<'_>, loader: &mut Loader<'_>, named: &mut Vec<Named>) -> Option<(App, Inactive)> {
    let asked: Vec<Asked> = project.files.iter().map(|path| Asked { path: path.clone(), at: None }).collect();
    if asked.is_empty() {
        loader.findings.error(Position::START, "there is no compose file");
    }
    let parsed = loader.parse_all(&asked)?;
    let variables = with_project_name(&parsed, project.variables);
    let scope = loader.scope(String::new(), variables.clone());
    let mut file = loader.application(parsed, &scope, &mut Vec::new());
    let inactive = profiles::select(&mut file, project.profiles, &variables, &mut loader.findings);
    env_files(&mut file, &variables, loader);
    let declared = declared::declared(&file, &variables, &mut loader.findings);
    let app = app(&file, (&variables, &declared), &inactive, &mut loader.findings);
    if loader.findings.has_error() {
        *named = named::named(&file, &declared);
    }
    Some((app?, inactive))
}

/// Puts the variables of files under the environments of the services.
fn env_files(file: &mut Map, variables: &Variables, loader: &mut Loader<'_>) {
    let services = file.entries.iter_mut().filter(|entry| entry.key == "services");
    for entry in services {
        if let Value::Map(services) = &mut entry.node.value {
            for service in &mut services.entries {
                if let Value::Map(service) = &mut service.node.value {
                    env_file::lay_under(loader, service, variables);
                }
            }
        }
    }
}

fn app(file: &Map, known: (&Variables, &Declared), inactive: &Inactive, findings: &mut Findings) -> Option<App> {
    walk(file, findings);
    let name = name(file, findings);
    let budget = budget(file, findings);
    let (at, services) = services(file, inactive, findings)?;
    let dependencies = dependencies(services, inactive, findings);
    let drafts = drafts((at, services), known, findings)?;
    Some(App { name: name?, budget, services: settled(drafts, dependencies, findings) })
}

/// Compose lets a file use its own name as a variable; of several files the last one with a name counts.
fn with_project_name(files: &[Parsed], env: &Variables) -> Variables {
    let mut variables = env.clone();
    if let Some(entry) = files.iter().rev().find_map(|(_, file)| name_entry(file))
        && !env.contains_key(PROJECT_NAME)
    {
        let mut node = entry.node.clone();
        // What is wrong with the name is said when the whole file is replaced.
        interpolate_node(&mut node, env, &mut Findings::default());
        if let Some(name) = node.text() {
            variables.insert(PROJECT_NAME.to_owned(), name.to_owned());
        }
    }
    variables
}

/// Where the app's name is written: under `x-grange`, else at the top.
fn name_entry(file: &Map) -> Option<&Entry> {
    let ours = file.get(GRANGE).and_then(|entry| match &entry.node.value {
        Value::Map(map) => map.get("name"),
        _ => None,
    });
    ours.or_else(|| file.get("name"))
}

fn name(file: &Map, findings: &mut Findings) -> Option<String> {
    let Some(entry) = name_entry(file) else {
        findings.error(Position::START, "the app has no name; add `name:` at the top");
        return None;
    };
    let name = shape::text(findings, "name", &entry.node)?;
    if is_label(name) {
        return Some(name.to_owned());
    }
    let better: String =
        name.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let better = better.trim_matches('-');
    let remedy = if is_label(better) { format!("; {} would do", quote(better)) } else { String::new() };
    let message = format!(
        "a name is 1 to {} lower-case letters, digits and dashes, no dash at an end, not {}{remedy}",
        shared::NAME_BYTES,
        quote(name)
    );
    findings.error(entry.node.at, message);
    None
}

fn is_label(name: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let length = (1..=shared::NAME_BYTES).contains(&name.len());
    length && name.bytes().all(legal) && !name.starts_with('-') && !name.ends_with('-')
}

/// The services and where they begin, if there are not too few or too many of them.
fn services<'a>(file: &'a Map, inactive: &Inactive, findings: &mut Findings) -> Option<(Position, &'a Map)> {
    let Some(entry) = file.get("services") else {
        findings.error(Position::START, "the file has no `services`");
        return None;
    };
    let services = shape::mapping(findings, entry)?;
    let count = services.entries.len();
    if count == 0 {
        // That all of them are left out has been told.
        if !inactive.is_empty() {
            return None;
        }
        findings.error(entry.at, "the file has no `services`");
        return None;
    }
    if count > shared::SERVICES {
        findings.error(
            entry.at,
            format!("{count} services are more than the limit of {}; make several apps", shared::SERVICES),
        );
        return None;
    }
    Some((entry.at, services))
}

fn drafts(
    (at, services): (Position, &Map),
    (variables, declared): (&Variables, &Declared),
    findings: &mut Findings,
) -> Option<Vec<Draft>> {
    let draft = |entry| service(entry, variables, declared, findings);
    let drafts: Vec<Draft> = services.entries.iter().filter_map(draft).collect();
    let slots: u64 = drafts.iter().map(|draft| u64::from(draft.service.replicas)).sum();
    if slots > shared::SLOTS as u64 {
        findings.error(at, format!("{slots} replicas in all are more than the limit of {}", shared::SLOTS));
    }
    // Routes of a service that could not be read are unknown, and so is who clashes with them.
    (drafts.len() == services.entries.len()).then_some(drafts)
}

/// What is decided between services: who waits for whom, and who answers what.
fn settled(
    mut drafts: Vec<Draft>,
    mut dependencies: BTreeMap<String, Vec<String>>,
    findings: &mut Findings,
) -> BTreeMap<String, AppService> {
    routes(&mut drafts, findings);
    let service = |Draft { name, service, .. }| {
        let depends_on = dependencies.remove(&name).unwrap_or_default();
        (name, AppService { depends_on, ..service })
    };
    drafts.into_iter().map(service).collect()
}
