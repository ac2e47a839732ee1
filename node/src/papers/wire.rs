//! Requests and lines on their way between two nodes: how long a peer is waited for, how much of it is read and what it is believed.

use std::io;
use std::time::Duration;

use grange_api::{BegunLine, DataLine, Line, LogLine};
use grange_net::{Net, PeerStream, Protocol};
use grange_peer::Replica;
use grange_types::{PeerId, Wire, limits};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use super::request::PaperRequest;

/// A line is at most this long: a value of a megabyte in base 64, and its frame.
const LINE_BYTES: usize = 2 * limits::KEY_VALUE_VALUE_BYTES;
/// A peer that says nothing for so long, where it is not its turn to wait, is given up.
pub(super) const SILENCE: Duration = Duration::from_secs(10);
/// How long the longest line may take: 70 KB/s.
const LINE_WITHIN: Duration = Duration::from_secs(30);

/// What a peer says, as far as it may: the lines of the replica whose log it was asked for, or what it holds itself, under its own
/// name.
fn own_line(peer: PeerId, of: Option<&Replica>, line: Line) -> Option<Line> {
    match (line, of) {
        (Line::Log(line), Some(Replica { service, replica, at, .. })) => Some(Line::Log(LogLine {
            provider: peer,
            service: service.clone(),
            replica: *replica,
            generation: at.generation,
            ..line
        })),
        (Line::Data(line), None) => Some(Line::Data(DataLine { provider: peer, current: false, ..line })),
        (Line::Begun(line), None) => Some(Line::Begun(BegunLine { provider: peer, ..line })),
        _ => None,
    }
}

/// Lines of another node, of the replica whose log is wanted or of all that it holds.
pub(super) async fn fetch(
    net: &Net,
    (peer, of): (PeerId, Option<&Replica>),
    request: &PaperRequest,
    lines: &mpsc::Sender<Line>,
) -> io::Result<()> {
    let mut stream = net.open_stream(peer, Protocol::Steward).await.map_err(io::Error::other)?;
    let bytes = request.encode();
    timed(SILENCE, stream.write_u16_le(bytes.len() as u16)).await?;
    timed(SILENCE, stream.write_all(&bytes)).await?;
    let keep = |line| own_line(peer, of, line);
    take_lines(BufReader::new(stream), request.is_followed(), keep, lines, SILENCE).await
}

/// Hands on what a peer answers, until it has no more or nobody wants it. An empty line tells only that it is there, and
/// only whoever is followed may say no more than that: anybody else could be waited for for ever.
async fn take_lines(
    mut reader: impl AsyncBufRead + Unpin,
    followed: bool,
    keep: impl Fn(Line) -> Option<Line>,
    lines: &mpsc::Sender<Line>,
    silence: Duration,
) -> io::Result<()> {
    loop {
        let taken = tokio::select! {
            taken = timed(LINE_WITHIN, take_line(&mut reader, silence)) => taken?,
            () = lines.closed() => return Ok(()),
        };
        let Some(text) = taken else { return Ok(()) };
        if text.is_empty() && followed {
            continue;
        }
        let line: Line = serde_json::from_slice(&text).map_err(io::Error::other)?;
        if let Line::Problem(problem) = line {
            return Err(io::Error::other(problem.message));
        }
        if let Some(line) = keep(line)
            && lines.send(line).await.is_err()
        {
            return Ok(());
        }
    }
}

/// One line without its end, or nothing at the end of all. The peer is never silent for longer than this.
async fn take_line(reader: &mut (impl AsyncBufRead + Unpin), silence: Duration) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    loop {
        let read = timed(silence, reader.fill_buf()).await?;
        if read.is_empty() {
            return if line.is_empty() { Ok(None) } else { Err(io::ErrorKind::UnexpectedEof.into()) };
        }
        let end = read.iter().position(|byte| *byte == b'\n');
        line.extend_from_slice(&read[..end.unwrap_or(read.len())]);
        let used = end.map_or(read.len(), |end| end + 1);
        reader.consume(used);
        if line.len() > LINE_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        if end.is_some() {
            return Ok(Some(line));
        }
    }
}

/// What does not come within its time is an error.
pub(super) async fn timed<T>(within: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(within, future).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// What a peer asks for.
pub(super) async fn read_request(stream: &mut PeerStream) -> io::Result<PaperRequest> {
    let length = stream.read_u16_le().await?;
    if usize::from(length) > PaperRequest::LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    PaperRequest::decode(&bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use grange_api::{NoteLine, Timestamp};
    use grange_peer::Routed;
    use grange_types::{Kind, LeaseId, Time};

    use super::super::LINES;
    use super::*;

    const SILENCE: Duration = Duration::from_millis(200);
    const LINE: &[u8] = b"{\"phase\":\"plan\",\"ms\":3}\n";

    /// What comes of an answer of these pieces, between which half of the silence goes by, and how many lines come.
    async fn taken(followed: bool, answer: &[&[u8]], ends: bool) -> (io::Result<()>, usize) {
        let (ours, mut theirs) = tokio::io::duplex(1 << 10);
        let (lines, mut handed) = mpsc::channel(LINES);
        let give = async move {
            for piece in answer {
                tokio::time::sleep(SILENCE / 2).await;
                if theirs.write_all(piece).await.is_err() {
                    break;
                }
            }
            let held = (!ends).then_some(theirs);
            std::future::pending::<()>().await;
            drop(held);
        };
        let taken = tokio::select! {
            taken = take_lines(BufReader::new(ours), followed, Some, &lines, SILENCE) => taken,
            () = give => unreachable!("it never ends"),
        };
        drop(lines);
        let mut count = 0;
        while handed.recv().await.is_some() {
            count += 1;
        }
        (taken, count)
    }

    #[track_caller]
    fn check((taken, count): (io::Result<()>, usize), expected: Result<usize, io::ErrorKind>) {
        assert_eq!(taken.map(|()| count).map_err(|error| error.kind()), expected);
    }

    #[tokio::test]
    async fn a_peer_that_says_nothing_is_given_up() {
        check(taken(false, &[LINE, LINE], true).await, Ok(2));
        check(taken(false, &[LINE], false).await, Err(io::ErrorKind::TimedOut));
        check(taken(true, &[LINE], false).await, Err(io::ErrorKind::TimedOut));
        check(taken(false, &[LINE, &LINE[..5]], true).await, Err(io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn a_peer_is_believed_about_what_it_was_asked_for_and_nothing_else() {
        let [asked, other] = [1, 2].map(|byte| PeerId([byte; 32]));
        let at = Routed { provider: asked, lease: LeaseId([3; 32]), generation: 4 };
        let of = Replica { service: "web".into(), replica: 1, kind: Kind::Wasm, at, since: Time(0) };
        let (service, stream, text) = ("db".to_owned(), "stdout".to_owned(), "hello".to_owned());
        let line = LogLine {
            id: 9,
            at: Timestamp(Time(0)),
            service,
            replica: 7,
            provider: other,
            generation: 8,
            stream,
            text,
        };
        let Some(Line::Log(told)) = own_line(asked, Some(&of), Line::Log(line.clone())) else {
            panic!("it was asked for")
        };
        assert_eq!((told.service.as_str(), told.replica, told.generation, told.provider), ("web", 1, 4, asked));
        assert_eq!(own_line(asked, None, Line::Log(line)), None);
        let note = Line::Note(NoteLine { note: "\u{1b}[2J".into() });
        assert_eq!((own_line(asked, Some(&of), note.clone()), own_line(asked, None, note)), (None, None));
    }

    #[tokio::test]
    async fn who_breaks_off_with_a_problem_has_not_said_everything() {
        let problem = br#"{"code":"internal","operation":"papers","thing":"","message":"disk","remedy":"","exit":1}"#;
        let answer = [LINE, problem.as_slice(), b"\n"];
        check(taken(false, &answer, true).await, Err(io::ErrorKind::Other));
    }

    #[tokio::test]
    async fn only_who_is_followed_may_say_that_it_is_there_and_no_more() {
        let answer = [LINE, b"\n", b"\n", b"\n", LINE];
        check(taken(true, &answer, true).await, Ok(2));
        check(taken(false, &answer, true).await, Err(io::ErrorKind::Other));
    }
}
