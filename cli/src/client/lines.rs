//! A streamed answer, read in a thread of its own so that whoever waits for a line can say so meanwhile.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use grange_api::{Line, Problem, ProblemCode};

use super::events;

/// The longest line: a value of 1 MiB, its base64 and a key.
const LINE_BYTES: u64 = 4 << 20;
/// Lines that are read ahead of whoever takes them.
const AHEAD: usize = 64;

/// Lines as they come.
pub(crate) struct Lines {
    lines: Receiver<Result<Line, Problem>>,
}

/// What came of waiting for a line.
pub(crate) enum Wait {
    /// A line.
    Line(Box<Line>),
    /// None yet.
    Nothing,
    /// There are no more.
    End,
}

impl Lines {
    /// Reads NDJSON, or the events of a followed log.
    pub(super) fn start(
        reader: impl Read + Send + 'static,
        followed: bool,
        broken: impl Fn(io::Error) -> Problem + Send + 'static,
    ) -> Self {
        let (sender, lines) = mpsc::sync_channel(AHEAD);
        // Ends when the stream does, or when nobody takes lines any more.
        thread::spawn(move || read(BufReader::new(reader), followed, &broken, &sender));
        Self { lines }
    }

    /// The next line, if it comes in time. A problem in the stream is an error.
    pub(crate) fn next_within(&self, patience: Duration) -> Result<Wait, Problem> {
        match self.lines.recv_timeout(patience) {
            Ok(Ok(Line::Problem(problem))) | Ok(Err(problem)) => Err(problem),
            Ok(Ok(line)) => Ok(Wait::Line(Box::new(line))),
            Err(RecvTimeoutError::Timeout) => Ok(Wait::Nothing),
            Err(RecvTimeoutError::Disconnected) => Ok(Wait::End),
        }
    }

    /// The next line, or none at the end.
    pub(crate) fn next(&self) -> Result<Option<Line>, Problem> {
        match self.lines.recv() {
            Ok(Ok(Line::Problem(problem))) | Ok(Err(problem)) => Err(problem),
            Ok(Ok(line)) => Ok(Some(line)),
            Err(_) => Ok(None),
        }
    }
}

fn read(
    mut reader: impl BufRead,
    followed: bool,
    broken: &impl Fn(io::Error) -> Problem,
    sender: &SyncSender<Result<Line, Problem>>,
) {
    loop {
        let mut bytes = Vec::new();
        match (&mut reader).take(LINE_BYTES).read_until(b'\n', &mut bytes) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) => {
                let _ = sender.send(Err(broken(error)));
                return;
            }
        }
        let text = if followed { events::data(&bytes) } else { Some(bytes.as_slice()) };
        let Some(text) = text.filter(|text| !text.trim_ascii().is_empty()) else {
            continue;
        };
        let line = serde_json::from_slice(text).map_err(|error| {
            let message = format!("a line of the answer is of another form: {error}");
            Problem::new(ProblemCode::Internal, "read", "stream", message)
        });
        let failed = line.is_err();
        if sender.send(line).is_err() || failed {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &'static str, followed: bool) -> Lines {
        let broken = |error: io::Error| Problem::new(ProblemCode::NoNode, "logs", "", error.to_string());
        Lines::start(text.as_bytes(), followed, broken)
    }

    #[test]
    fn lines_come_one_by_one_and_a_problem_ends_them() {
        let stream = lines("{\"phase\":\"plan\",\"ms\":3}\n\n{\"phase\":\"lease\",\"ms\":4}\n", false);
        let Ok(Some(Line::Phase(first))) = stream.next() else { panic!("no phase") };
        assert_eq!((first.phase.as_str(), first.ms), ("plan", 3));
        assert!(matches!(stream.next_within(Duration::from_secs(5)), Ok(Wait::Line(_))));
        assert!(matches!(stream.next(), Ok(None)));

        let problem = Problem::new(ProblemCode::NoOffer, "deploy", "shop", "no offer");
        let text = serde_json::to_string(&problem).unwrap() + "\n";
        assert_eq!(lines(text.leak(), false).next().unwrap_err(), problem);
        assert_eq!(lines("{\"odd\":1}\n", false).next().unwrap_err().code, ProblemCode::Internal);
    }

    #[test]
    fn events_carry_lines() {
        let stream = lines(
            ": \nid: 4\ndata: {\"phase\":\"plan\",\"ms\":3}\n\n: \n\ndata:{\"phase\":\"lease\",\"ms\":4}\r\n\r\n",
            true,
        );
        let mut phases = Vec::new();
        while let Some(Line::Phase(phase)) = stream.next().unwrap() {
            phases.push(phase.phase);
        }
        assert_eq!(phases, ["plan", "lease"]);
    }
}
