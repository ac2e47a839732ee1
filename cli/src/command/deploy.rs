//! `validate`, `plan` and `deploy`: from a compose file to a URL that answers.

use std::time::{Duration, Instant};

use grange_api::{Call, DeployDone, DeployPhase, Line, Plan, Problem, ProblemCode, Status};
use grange_types::{Amount, ByteCount};
use serde::Serialize;

use super::answer;
use super::context::Context;
use super::market::reached;
use super::step::{Step, Steps};
use crate::client::{Client, Wait};
use crate::failure::{Failure, Outcome};
use crate::output::{Output, called, counted};
use crate::project::{self, Project, Sent, Wanted, upload};
use crate::stop_signal::leave_with;
use crate::table::Table;

/// After this, and each time as long, who waits is told for what.
const TELL: Duration = Duration::from_secs(3);

/// What `validate` prints of a file without mistakes.
#[derive(Debug, Serialize)]
struct Valid<'a> {
    valid: bool,
    name: &'a str,
    services: Vec<&'a str>,
    /// Services that are left out, since none of their profiles is active.
    inactive: &'a [String],
    warnings: Vec<grange_api::Finding>,
}

/// An answer of the node, and what the author of the file should know.
#[derive(Debug, Serialize)]
struct Warned<'a, T> {
    #[serde(flatten)]
    answer: &'a T,
    warnings: Vec<grange_api::Finding>,
}

/// Reads a project and asks no node.
pub(crate) fn validate(context: Context<'_>, wanted: &Wanted<'_>) -> Outcome {
    let project = project::open(wanted, "validate").map_err(|problem| match problem.code {
        // Whatever is wrong with the file or what it names, it is not valid; only other failures have other codes.
        ProblemCode::ComponentInvalid | ProblemCode::TooLarge => {
            let code = ProblemCode::ManifestInvalid;
            Problem { code, exit: code.exit(), remedy: code.remedy().to_owned(), ..problem }
        }
        _ => problem,
    })?;
    let output = context.output;
    warn(&project, output);
    let valid = Valid {
        valid: true,
        name: &project.app.name,
        services: project.app.services.keys().map(String::as_str).collect(),
        inactive: &project.inactive,
        warnings: warnings(&project),
    };
    output.show(&valid, |valid| {
        let services = valid.services.join(", ");
        let left_out = match valid.inactive {
            [] => String::new(),
            names => format!("; without {}, whose profiles are not active", names.join(", ")),
        };
        let file = project.file.display();
        format!("{file} is right: {} with {services}, budget {}{left_out}", valid.name, project.app.budget)
    })
}

/// Asks where a project would run.
pub(crate) fn plan(context: Context<'_>, wanted: &Wanted<'_>) -> Outcome {
    let project = project::open(wanted, "plan")?;
    warn(&project, context.output);
    // It is of one's own account, capacity and names, and no other node may stand in for those.
    let plan: Plan = ask_plan(&context.actor("plan")?, &project)?;
    if context.output.is_json() {
        return context.output.data(&Warned { answer: &plan, warnings: warnings(&project) });
    }
    tell_notes(&plan.notes, context.output);
    context.output.table(&plan_table(&plan))?;
    context.output.line(&plan_sentence(&plan))
}

/// The plan of a project.
pub(crate) fn ask_plan(client: &Client, project: &Project) -> Result<Plan, Problem> {
    client.ask(&Call::Plan { manifest: Box::new(project.manifest.clone()) })
}

/// The replicas of a plan under each other.
pub(crate) fn plan_table(plan: &Plan) -> Table {
    let mut table = Table::new(&["service", ">replica", "provider", ">credits/hour", ">at most/hour", "state"]);
    for service in &plan.services {
        table.row([
            service.name.clone(),
            service.replica.to_string(),
            called(&service.display, Some(service.provider)),
            service.price_per_hour.to_string(),
            service.max_cost.to_string(),
            reached(service.connected, service.heard),
        ]);
    }
    table
}

/// What a plan comes to.
pub(crate) fn plan_sentence(plan: &Plan) -> String {
    let most: Amount = plan.services.iter().map(|service| service.max_cost).sum();
    let until = plan.runs_until.map_or_else(String::new, |until| format!(", which lasts until {until} at the least"));
    format!(
        "together {} an hour while nobody asks for it, and never more than {most} an hour; the budget is {}{until}",
        plan.total_per_hour.in_words(),
        plan.budget
    )
}

/// Deploys a project.
pub(crate) fn run(context: Context<'_>, wanted: &Wanted<'_>) -> Outcome {
    let output = context.output;
    let began = Instant::now();
    let project = project::open(wanted, "deploy")?;
    let read = phase("read", began);
    warn(&project, output);
    let client = context.actor("deploy")?;
    let mut tell = |phase: &DeployPhase| tell(output, phase);
    tell(&read)?;
    let steps = Steps::new();
    let (name, at) = (project.app.name.clone(), steps.clone());
    // Without a listener Ctrl-C still works; it only says nothing.
    let _ = leave_with(output, move || at.broken_off(&name));
    let done = deploy(&client, &project, output, &steps, &mut tell)?;
    if output.is_json() {
        return output.data(&Warned { answer: &done, warnings: warnings(&project) });
    }
    tell_notes(&done.notes, output);
    output.line(&summary(&done))
}

/// Sends what is missing, orders the deployment, and waits until its URLs answer.
pub(crate) fn deploy(
    client: &Client,
    project: &Project,
    output: Output,
    steps: &Steps,
    tell: &mut dyn FnMut(&DeployPhase) -> Outcome,
) -> Result<DeployDone, Failure> {
    let began = Instant::now();
    let sent = match upload(client, &project.packed, false) {
        // A node that takes no files deploys nothing either: asked for that, it says why.
        Err(problem) if problem.code == ProblemCode::Unsupported => Sent::default(),
        sent => sent?,
    };
    tell(&phase("upload", began))?;
    if sent.blobs > 0 {
        output.progress(&format!(
            "sent {} of {} together",
            counted(sent.blobs, "file", "files"),
            ByteCount(sent.bytes)
        ));
    }
    let done = match order(client, project, output, steps, tell) {
        // The node had the first blob of a service and lost one behind it.
        Err(Failure::Problem(problem)) if problem.code == ProblemCode::BlobMissing => {
            steps.are_at(Step::Preparing);
            let began = Instant::now();
            upload(client, &project.packed, true)?;
            tell(&phase("upload", began))?;
            order(client, project, output, steps, tell)?
        }
        other => other?,
    };
    steps.are_at(Step::Done);
    let began = Instant::now();
    for url in &done.urls {
        answer::wait(client.agent(), url, &done.deployment, output)?;
    }
    tell(&phase("url", began))?;
    Ok(done)
}

/// Follows a deployment until the node says that it is done.
fn order(
    client: &Client,
    project: &Project,
    output: Output,
    steps: &Steps,
    tell: &mut dyn FnMut(&DeployPhase) -> Outcome,
) -> Result<DeployDone, Failure> {
    steps.are_at(Step::Asking);
    let lines = client.lines(&Call::Deploy {
        manifest: Box::new(project.manifest.clone()),
        secrets: project.secrets.clone(),
        most: None,
    })?;
    steps.are_at(Step::Ordered);
    let began = Instant::now();
    let mut last = String::from("validate");
    loop {
        match lines.next_within(TELL)? {
            Wait::Line(line) => match *line {
                Line::Phase(phase) => {
                    tell(&phase)?;
                    last = phase.phase;
                }
                Line::Done(done) => return Ok(done),
                _ => {}
            },
            Wait::Nothing => {
                let (name, seconds) = (&project.app.name, began.elapsed().as_secs());
                let seen = client.ask::<Status>(&Call::Status).ok().and_then(|status| status.reason);
                let why = seen.unwrap_or_else(|| format!("{last} was the last step done"));
                output.progress(&format!("waiting for {name}: {why} ({seconds} s)"));
            }
            Wait::End => {
                let message = format!("the node broke off after the step {last}");
                return Err(Problem::new(ProblemCode::NotReady, "deploy", project.app.name.clone(), message)
                    .with_remedy("look at `grange ps`, then deploy again; what is done is not done twice")
                    .into());
            }
        }
    }
}

/// What a deployment came to, for people.
pub(crate) fn summary(done: &DeployDone) -> String {
    let mut lines = Vec::new();
    lines.push(match done.changed {
        true => format!("{} is deployed", done.deployment),
        false => format!("nothing changed: {} already runs as the file says", done.deployment),
    });
    lines.extend(done.urls.iter().map(|url| format!("  {url}")));
    let table = leases(done);
    if !table.is_empty() {
        lines.extend(table.lines());
    }
    lines.join("\n")
}

/// The leases of a deployment under each other.
pub(crate) fn leases(done: &DeployDone) -> Table {
    let mut table = Table::new(&["service", ">replica", "provider", ">generation", ">credits/hour", "lease"]);
    for lease in &done.leases {
        table.row([
            lease.service.clone(),
            lease.replica.to_string(),
            called(&lease.display, Some(lease.provider)),
            lease.generation.to_string(),
            lease.price_per_hour.to_string(),
            lease.lease.short(),
        ]);
    }
    table
}

/// A phase that has just ended.
pub(crate) fn phase(name: &str, began: Instant) -> DeployPhase {
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    DeployPhase { phase: name.to_owned(), ms }
}

/// A phase is data for scripts and progress for people.
fn tell(output: Output, phase: &DeployPhase) -> Outcome {
    if output.is_json() {
        return output.data(phase);
    }
    output.progress(&format!("{:<10}{:>6} ms", phase.phase, phase.ms));
    Ok(())
}

/// What the author should know, for scripts.
fn warnings(project: &Project) -> Vec<grange_api::Finding> {
    project.warnings.iter().map(project::finding).collect()
}

/// What the author should know, each on its line.
fn warn(project: &Project, output: Output) {
    for warning in &project.warnings {
        let grange_app::Finding { file, line, column, message, .. } = warning;
        output.notice(&format!("{file}:{line}:{column}: warning: {message}"));
    }
}

/// What the node says of what was there already, each on its line.
fn tell_notes(notes: &[String], output: Output) {
    for note in notes {
        output.notice(&format!("note: {note}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::DeploymentId;

    #[test]
    fn an_unchanged_deployment_says_so() {
        let done = DeployDone {
            deployment: "shop".into(),
            id: DeploymentId([1; 32]),
            urls: vec!["http://shop.localhost:8080/".into()],
            leases: Vec::new(),
            changed: false,
            notes: Vec::new(),
        };
        let expected = "nothing changed: shop already runs as the file says\n  http://shop.localhost:8080/";
        assert_eq!(summary(&done), expected);
        assert!(summary(&DeployDone { changed: true, ..done }).starts_with("shop is deployed\n"));
    }
}
