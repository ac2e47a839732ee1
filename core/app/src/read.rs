//! The reader's one door: text and variables in, an app or findings out.

use std::collections::BTreeMap;

use grange_types::limits as shared;

use crate::app::{App, AppService};
use crate::depends::{self, Dependency};
use crate::finding::{Finding, Findings, Position, Severity, quote};
use crate::grange::budget;
use crate::interpolate::{interpolate, interpolate_node};
use crate::route::routes;
use crate::service::{Draft, service};
use crate::shape;
use crate::walk::{GRANGE, walk};
use crate::yaml::{self, Entry, Map, Value};

/// The variable that holds the app's name, for the file's own use.
const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";

/// A compose file.
#[derive(Debug, Clone, Copy)]
pub struct Source<'a> {
    /// The file's name as diagnostics print it.
    pub file: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// A file that can be deployed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// What it says.
    pub app: App,
    /// What its author should know nevertheless, by position.
    pub warnings: Vec<Finding>,
}

/// Reads a compose file with these variables, which `${NAME}` and environment entries without a value may use.
///
/// # Errors
/// Every mistake that could be found, at least one of [`Severity::Error`], and the warnings with them, by position.
pub fn read(source: &Source<'_>, env: &BTreeMap<String, String>) -> Result<Reading, Vec<Finding>> {
    let mut findings = Findings::default();
    let app = yaml::parse(source.text, &mut findings).and_then(|file| app(file, env, &mut findings));
    let findings = findings.finish(source.file);
    let failed = findings.iter().any(|finding| finding.severity == Severity::Error);
    match app {
        Some(app) if !failed => Ok(Reading { app, warnings: findings }),
        _ => Err(findings),
    }
}

fn app(mut file: Map, env: &BTreeMap<String, String>, findings: &mut Findings) -> Option<App> {
    let variables = with_project_name(&file, env);
    interpolate(&mut file, &variables, findings);
    walk(&file, findings);
    let name = name(&file, findings);
    let budget = budget(&file, findings);
    let drafts = drafts(&file, &variables, findings)?;
    Some(App { name: name?, budget, services: settled(drafts, findings) })
}

/// Compose lets a file use its own name as a variable.
fn with_project_name(file: &Map, env: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut variables = env.clone();
    if let Some(entry) = name_entry(file)
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

fn drafts(file: &Map, variables: &BTreeMap<String, String>, findings: &mut Findings) -> Option<Vec<Draft>> {
    let Some(entry) = file.get("services") else {
        findings.error(Position::START, "the file has no `services`");
        return None;
    };
    let services = shape::mapping(findings, entry)?;
    let count = services.entries.len();
    if count == 0 {
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
    let drafts: Vec<Draft> = services.entries.iter().filter_map(|entry| service(entry, variables, findings)).collect();
    let slots: u64 = drafts.iter().map(|draft| u64::from(draft.service.replicas)).sum();
    if slots > shared::SLOTS as u64 {
        findings.error(entry.at, format!("{slots} replicas in all are more than the limit of {}", shared::SLOTS));
    }
    // Routes and dependencies of a service that could not be read are unknown, and so is who clashes with them.
    (drafts.len() == count).then_some(drafts)
}

/// What is decided between services: who waits for whom, and who answers what.
fn settled(mut drafts: Vec<Draft>, findings: &mut Findings) -> BTreeMap<String, AppService> {
    routes(&mut drafts, findings);
    let mut graph: BTreeMap<String, Vec<Dependency>> = BTreeMap::new();
    let mut services = BTreeMap::new();
    for Draft { name, service, depends_on, .. } in drafts {
        graph.insert(name.clone(), depends_on);
        services.insert(name, service);
    }
    depends::settle(&mut graph, findings);
    for (name, dependencies) in graph {
        let mut names: Vec<String> = dependencies.into_iter().map(|dependency| dependency.name).collect();
        names.sort();
        names.dedup();
        if let Some(service) = services.get_mut(&name) {
            service.depends_on = names;
        }
    }
    services
}
