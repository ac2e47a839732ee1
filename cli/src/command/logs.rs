//! `logs` and `data export`: streams, which a follower takes up again where they broke.

use std::thread;
use std::time::Duration;

use grange_api::{Call, Line, LogLine, NoteLine, Problem, ProblemCode, Replica};

use super::context::Context;
use crate::choice;
use crate::client::{Client, Wait};
use crate::failure::{Failure, Outcome};
use crate::folders;
use crate::output::{Output, counted, harmless};

/// How long to wait before a broken stream is taken up again.
const PAUSE: Duration = Duration::from_secs(1);
/// A stream that was taken up and stays open this long is whole, though nothing is written to it.
const WHOLE: Duration = Duration::from_secs(3);

/// Which lines are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) service: Option<&'a str>,
    pub(super) follow: bool,
    pub(super) after: Option<u64>,
    /// Whether also those of replicas that were replaced.
    pub(super) earlier: bool,
}

impl Wanted<'_> {
    fn call(&self, after: Option<u64>) -> Call {
        let (name, service) = (self.name.to_owned(), self.service.map(str::to_owned));
        Call::Logs { name, service, follow: self.follow, after, earlier: self.earlier }
    }
}

/// Where a follower is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The last line that was printed.
    after: Option<u64>,
    /// Whether a node has begun to show lines.
    begun: bool,
    /// Whether the stream broke, and has not shown since that it is whole.
    blocked: bool,
}

/// Prints a log.
pub(super) fn run(context: Context<'_>, wanted: &Wanted<'_>) -> Outcome {
    from_who_may(context, "logs", |client| follow(context, client, wanted))
}

/// Asks node after node of this machine until one may see what is wanted: where the owner's node is dead, a steward may.
fn from_who_may(context: Context<'_>, operation: &str, ask: impl Fn(&Client) -> Outcome) -> Outcome {
    let mut client = context.reader(operation)?;
    let mut refused = Vec::new();
    loop {
        match ask(&client) {
            // A token that the user names is for that one node.
            Err(Failure::Problem(problem)) if problem.code == ProblemCode::Denied && others_may_be_asked(context) => {
                refused.push(client.api().to_owned());
                let Ok(next) = context.next_reader(operation, &refused) else {
                    return Err(refused_by_others(context, operation, *problem).into());
                };
                client = next;
            }
            outcome => return outcome,
        }
    }
}

/// The refusal of other operators' nodes; where the dev cloud's first one was not asked since it does not run, it says so.
fn refused_by_others(context: Context<'_>, operation: &str, refusal: Problem) -> Problem {
    let Err(Failure::Problem(own)) = context.actor(operation) else { return refusal };
    if own.code != ProblemCode::NoNode {
        return refusal;
    }
    let Ok(folder) = choice::folder_of(&own.thing, operation) else { return refusal };
    let option = folder.parent().map(folders::dev_option).unwrap_or_default();
    Problem {
        message: format!("{}; the dev cloud's first node was not asked: it is not running", refusal.message),
        remedy: format!("start that one with `grange dev start 0{option}` and try again; else {}", refusal.remedy),
        ..refusal
    }
}

fn others_may_be_asked(context: Context<'_>) -> bool {
    context.global.node.is_none() && !choice::names_token(context.global)
}

/// Prints the lines that a node shows, and goes on where the stream broke.
fn follow(context: Context<'_>, client: &Client, wanted: &Wanted<'_>) -> Outcome {
    let mut place = Place { after: wanted.after, begun: false, blocked: false };
    loop {
        let problem = match stream(client, wanted, &mut place, context.output) {
            Ok(()) if !wanted.follow => return Ok(()),
            Ok(()) => Problem::new(ProblemCode::NotReady, "logs", wanted.name, "the node ended the stream"),
            Err(Failure::Problem(problem)) if wanted.follow && passes(problem.code) => *problem,
            // What was followed to its end was followed as was asked.
            Err(Failure::Problem(problem)) if place.begun && is_over(&problem, wanted) => {
                context.output.notice(&problem.message);
                return Ok(());
            }
            Err(failure) => return Err(failure),
        };
        if !place.blocked {
            let text = format!("stream blocked: {}; it goes on where it broke once that is over", problem.message);
            context.output.progress(&text);
        }
        place.blocked = true;
        thread::sleep(PAUSE);
    }
}

/// Whether a problem is one of the connection, which may come back.
const fn passes(code: ProblemCode) -> bool {
    matches!(code, ProblemCode::NoNode | ProblemCode::NotReady | ProblemCode::Timeout | ProblemCode::LedgerHalted)
}

/// Whether a problem says that the deployment is there no more.
fn is_over(problem: &Problem, wanted: &Wanted<'_>) -> bool {
    wanted.follow && problem.code == ProblemCode::NotFound && problem.thing == wanted.name
}

fn stream(client: &Client, wanted: &Wanted<'_>, place: &mut Place, output: Output) -> Outcome {
    let lines = client.lines(&wanted.call(place.after))?;
    place.begun = true;
    loop {
        let next = lines.next_within(WHOLE)?;
        // A line, or silence on an open stream, shows that it is whole.
        if place.blocked && !matches!(next, Wait::End) {
            place.blocked = false;
            output.progress("stream resumed");
        }
        match next {
            Wait::Line(line) => match *line {
                Line::Log(line) => {
                    print(&line, output)?;
                    place.after = Some(line.id);
                }
                Line::Note(line) => note(&line, output)?,
                _ => {}
            },
            Wait::Nothing => {}
            Wait::End => return Ok(()),
        }
    }
}

fn print(line: &LogLine, output: Output) -> Outcome {
    if output.is_json() {
        return output.data(line);
    }
    let LogLine { at, service, replica, stream, text, .. } = line;
    let mark = match stream.as_str() {
        "stdout" => "",
        "stderr" => "! ",
        _ => "# ",
    };
    output.line(&format!("{at} {service}.{replica} {mark}{}", output.foreign(text)))
}

/// What is worth knowing of the lines: for people on stderr, for scripts among the lines.
fn note(line: &NoteLine, output: Output) -> Outcome {
    if output.is_json() {
        return output.data(line);
    }
    output.progress(&format!("note: {}", harmless(&line.note)));
    Ok(())
}

/// Prints the key-value data, one JSON object a line, whether or not `--json` is given.
pub(super) fn export(context: Context<'_>, name: &str, service: Option<&str>, earlier: bool) -> Outcome {
    from_who_may(context, "data export", |client| data(context, client, (name, service), earlier))
}

fn data(context: Context<'_>, client: &Client, (name, service): (&str, Option<&str>), earlier: bool) -> Outcome {
    let call = Call::ExportData { name: name.to_owned(), service: service.map(str::to_owned), earlier };
    let lines = client.lines(&call)?;
    let mut count = 0_usize;
    while let Some(line) = lines.next()? {
        match line {
            Line::Data(line) => {
                context.output.data(&line)?;
                count += 1;
            }
            Line::Note(line) => note(&line, context.output)?,
            _ => {}
        }
    }
    if let Some(service) = service.filter(|_| count == 0) {
        let replicas: Vec<Replica> = client.ask(&Call::Deployment { name: name.to_owned() })?;
        if !replicas.iter().any(|replica| replica.service == *service) {
            let (text, remedy) = no_service((name, service), earlier);
            return Err(Problem::new(ProblemCode::NotFound, "data export", service, text).with_remedy(remedy).into());
        }
    }
    context.output.progress(&counted(count, "entry", "entries"));
    Ok(())
}

/// That a deployment has no such service; what one that was removed has left is an earlier generation's.
fn no_service((name, service): (&str, &str), earlier: bool) -> (String, String) {
    let (text, remedy) =
        (format!("{name} has no service {service}"), format!("list its services with `grange ps {name}`"));
    if earlier {
        return (text + ", and no node holds data of one", remedy);
    }
    (text, remedy + "; --earlier shows what one that was removed has left")
}
