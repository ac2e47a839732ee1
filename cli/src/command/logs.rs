//! `logs` and `data export`: streams, which a follower takes up again where they broke.

use std::thread;
use std::time::Duration;

use grange_api::{Call, Line, LogLine, Problem, ProblemCode};

use super::Context;
use crate::client::{Client, Wait};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

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
}

impl Wanted<'_> {
    fn call(&self, after: Option<u64>) -> Call {
        let (name, service) = (self.name.to_owned(), self.service.map(str::to_owned));
        Call::Logs { name, service, follow: self.follow, after }
    }
}

/// Where a follower is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The last line that was printed.
    after: Option<u64>,
    /// Whether the stream broke, and has not shown since that it is whole.
    blocked: bool,
}

/// Prints a log.
pub(super) fn run(context: Context<'_>, wanted: &Wanted<'_>) -> Outcome {
    let client = context.reader("logs")?;
    let mut place = Place { after: wanted.after, blocked: false };
    loop {
        let problem = match stream(&client, wanted, &mut place, context.output) {
            Ok(()) if !wanted.follow => return Ok(()),
            Ok(()) => Problem::new(ProblemCode::NotReady, "logs", wanted.name, "the node ended the stream"),
            Err(Failure::Problem(problem)) if wanted.follow && passes(problem.code) => *problem,
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

fn stream(client: &Client, wanted: &Wanted<'_>, place: &mut Place, output: Output) -> Outcome {
    let lines = client.lines(&wanted.call(place.after))?;
    loop {
        let next = lines.next_within(WHOLE)?;
        // A line, or silence on an open stream, shows that it is whole.
        if place.blocked && !matches!(next, Wait::End) {
            place.blocked = false;
            output.progress("stream resumed");
        }
        match next {
            Wait::Line(line) => {
                if let Line::Log(line) = *line {
                    print(&line, output)?;
                    place.after = Some(line.id);
                }
            }
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

/// Prints all key-value data, one JSON object a line, whether or not `--json` is given.
pub(super) fn export(context: Context<'_>, name: &str, service: Option<&str>) -> Outcome {
    let call = Call::ExportData { name: name.to_owned(), service: service.map(str::to_owned) };
    let lines = context.reader("data export")?.lines(&call)?;
    let mut count = 0_usize;
    while let Some(line) = lines.next()? {
        if let Line::Data(line) = line {
            context.output.data(&line)?;
            count += 1;
        }
    }
    context.output.progress(&format!("{count} entries"));
    Ok(())
}
