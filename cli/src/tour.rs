//! `grange tour`: the main job, from nothing to a served app that is metered and paid for, with the time each step takes.
//!
//! Its own thread asks and prints; the cloud is started, watched and stopped as by `grange dev` in the foreground. A cloud
//! that runs already is used, and goes on when the tour ends.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use grange_api::{Call, DeployDone, DeployPhase, Plan, Problem, ProblemCode, Replica, Usage};
use serde::Serialize;

use crate::arguments::Tour;
use crate::client::Client;
use crate::command::deploy::{ask_plan, deploy, leases, phase, plan_sentence, plan_table};
use crate::command::step::Steps;
use crate::dev::{self, Cloud, Ending, Ends, Stopping, TOUR_FOLDER, Wanted, supervise};
use crate::failure::{Failure, Outcome, internal};
use crate::folders;
use crate::output::{Output, counted};
use crate::project;

/// How often is said what was used and paid.
const TELL: Duration = Duration::from_secs(3);

/// The guestbook of `examples/guestbook`, for whoever has the program alone.
const GUESTBOOK: [(&str, &[u8]); 3] = [
    ("public/index.html", include_bytes!("../../examples/guestbook/public/index.html")),
    ("guestbook.wasm", include_bytes!("../../examples/guestbook/guestbook.wasm")),
    ("compose.yaml", include_bytes!("../../examples/guestbook/compose.yaml")),
];

/// What scripts see of a step.
#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Step<'a> {
    Plan(&'a Plan),
    Deployed(&'a DeployDone),
    Usage { used: String, paid: String },
}

/// Runs the tour until somebody wishes that it ends.
pub(crate) fn run(arguments: &Tour, output: Output) -> Outcome {
    supervised(arguments, output).map_err(|failure| match failure {
        // The cloud is brought up as by `grange dev`; what was typed is the tour.
        Failure::Problem(problem) if problem.operation == "dev" => {
            let problem = *problem;
            Failure::from(Problem { operation: "tour".to_owned(), ..problem })
        }
        failure => failure,
    })
}

fn supervised(arguments: &Tour, output: Output) -> Outcome {
    let folder = dev::folder(arguments.data.as_deref())?;
    let wanted = Wanted { nodes: arguments.nodes, ..Wanted::default() };
    // A cloud that is otherwise, or a project that cannot be deployed, is told before anything is made or started.
    if let Some(cloud) = Cloud::open(&folder, "tour")? {
        cloud.fits(wanted)?;
    }
    let app = match &arguments.app {
        Some(app) => app.clone(),
        None => write_guestbook(&folder.join(TOUR_FOLDER))?,
    };
    project::open(&project::Wanted::at(&app), "tour")?;
    let began = Instant::now();
    supervise(&folder, wanted, Ends::Own, output, move |cloud, output, stopping| {
        show(cloud, &app, began, output, stopping).map_err(|failure| match failure {
            Failure::Problem(problem) if !stopping.leaves_cloud() => {
                Failure::from(without_cloud(*problem, &folders::dev_option(&cloud.folder)))
            }
            failure => failure,
        })
    })
}

/// The same problem where the cloud stops with the tour: a remedy that asks a node needs it started first.
fn without_cloud(problem: Problem, option: &str) -> Problem {
    if problem.code == ProblemCode::NoNode || !problem.remedy.contains("`grange ") {
        return problem;
    }
    let remedy = format!(
        "the cloud stops with the tour: start it with `grange dev --detach{option}`, then {}, then `grange tour` again",
        problem.remedy
    );
    problem.with_remedy(remedy)
}

/// Writes the guestbook, over one of an earlier version.
fn write_guestbook(folder: &Path) -> Result<PathBuf, Problem> {
    let failed = |error: io::Error| {
        internal("tour", folder.display().to_string(), &error)
            .with_remedy("name a folder that you may write with --data, or an app to deploy")
    };
    for (name, content) in GUESTBOOK {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap_or(folder)).map_err(failed)?;
        fs::write(&file, content).map_err(failed)?;
    }
    Ok(folder.to_path_buf())
}

fn show(cloud: &Cloud, app: &Path, began: Instant, output: Output, stopping: &Stopping) -> Result<Ending, Failure> {
    let told = |phase: &DeployPhase| tell(output, phase);
    told(&phase("cloud", began))?;
    if !output.is_json() {
        let need = "a tenth of a processor, 64 MiB of memory and 256 MiB of disk";
        let operators = counted(cloud.nodes.len(), "operator", "operators");
        output.line(&format!("{operators}; each sells an hour of {need} for:"))?;
    }
    dev::show_nodes(cloud, output)?;
    let project = project::open(&project::Wanted::at(app), "tour")?;
    let client = client(cloud)?;

    let began = Instant::now();
    let plan = ask_plan(&client, &project)?;
    told(&phase("plan", began))?;
    show_plan(&plan, output)?;

    let done = deploy(&client, &project, output, &Steps::new(), &mut { told })?;
    show_deployed(&client, &done, output, stopping)?;
    meter(&client, &done, output, stopping)
}

/// A client of the first operator, whose app it is.
fn client(cloud: &Cloud) -> Result<Client, Failure> {
    let Some(node) = cloud.nodes.first() else {
        let folder = cloud.folder.display().to_string();
        return Err(Problem::new(ProblemCode::Internal, "tour", folder, "the cloud has no nodes").into());
    };
    let file: PathBuf = node.folder.token();
    let token = std::fs::read_to_string(&file).map_err(|error| {
        let message = format!("cannot read the token file: {error}");
        Problem::new(ProblemCode::Unauthorized, "tour", file.display().to_string(), message)
    })?;
    Ok(Client::new("tour", node.api(), token.trim().to_owned(), file))
}

fn show_plan(plan: &Plan, output: Output) -> Outcome {
    if output.is_json() {
        return output.data(&Step::Plan(plan));
    }
    output.table(&plan_table(plan))?;
    output.line(&plan_sentence(plan))
}

fn show_deployed(client: &Client, done: &DeployDone, output: Output, stopping: &Stopping) -> Outcome {
    if output.is_json() {
        return output.data(&Step::Deployed(done));
    }
    if !done.changed {
        output.line(&format!("{} was already deployed; it runs as the file says", done.deployment))?;
    }
    output.line("the leases:")?;
    output.table(&leases(done))?;
    for url in &done.urls {
        output.line(url)?;
        output.line(&format!("  {}", curl(url)))?;
    }
    output.line(
        "what a service keeps in its key-value store is on a second operator's disk before a write is answered",
    )?;
    let replicas: Vec<Replica> = client.ask(&Call::Deployment { name: done.deployment.clone() })?;
    for replica in replicas.iter().filter(|replica| !replica.note.is_empty()) {
        output.line(&format!("{}.{}: {}", replica.service, replica.replica, replica.note))?;
    }
    output.line(match stopping.leaves_cloud() {
        true => "Ctrl-C ends the tour; the cloud ran before, and goes on with the deployment",
        false => "Ctrl-C stops the cloud; the same command resumes it with its ledger, deployment and data",
    })
}

/// A command that fetches a URL on any machine, whatever its resolver thinks of names below `localhost`.
fn curl(url: &str) -> String {
    let host = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let port = host.rsplit_once(':').map_or("80", |(_, port)| port);
    let path = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
    format!("curl -H 'Host: {host}' http://127.0.0.1:{port}/{path}")
}

/// Says what was used and paid, for as long as the process lives.
fn meter(client: &Client, done: &DeployDone, output: Output, stopping: &Stopping) -> Result<Ending, Failure> {
    let call = Call::Usage { name: done.deployment.clone() };
    let began = Instant::now();
    loop {
        match client.ask::<Usage>(&call) {
            Ok(usage) if output.is_json() => {
                output.data(&Step::Usage { used: usage.total.to_string(), paid: usage.settled.to_string() })?;
            }
            Ok(usage) => {
                let seconds = began.elapsed().as_secs();
                output.line(&format!("{seconds:>5} s  used {}, paid {}", usage.total.in_words(), usage.settled))?;
            }
            Err(_) if stopping.is_true() => return Ok(Ending::WhenStopped),
            // The node may be down for a while; the cloud says so itself.
            Err(problem) => output.progress(&format!("the bill is not known now: {}", problem.message)),
        }
        thread::sleep(TELL);
    }
}

fn tell(output: Output, phase: &DeployPhase) -> Outcome {
    if output.is_json() { output.data(phase) } else { output.line(&format!("{:<10}{:>7} ms", phase.phase, phase.ms)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_that_asks_a_node_starts_the_cloud_first() {
        let refused = |remedy: &str| {
            let problem = Problem::new(ProblemCode::LimitReached, "deploy", "shop", "the cap is reached");
            without_cloud(problem.with_remedy(remedy), " --data /c").remedy
        };
        let told = refused("raise the cap with `grange wallet caps --per-day`");
        let order = ["`grange dev --detach --data /c`", "`grange wallet caps --per-day`", "`grange tour` again"];
        let places: Vec<_> = order.iter().map(|command| told.find(command)).collect();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{told}");
        assert_eq!(refused("correct the file"), "correct the file");
    }

    #[test]
    fn the_curl_needs_no_resolver() {
        let expected = "curl -H 'Host: shop.localhost:8080' http://127.0.0.1:8080/";
        assert_eq!(curl("http://shop.localhost:8080/"), expected);
        assert_eq!(curl("http://shop.localhost/api"), "curl -H 'Host: shop.localhost' http://127.0.0.1:80/api");
    }
}
