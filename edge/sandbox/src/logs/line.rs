//! One line of a log: its text form, and how bytes become lines.

use std::sync::Arc;

use grange_types::Time;

use super::Log;

/// The longest line; a longer one becomes several.
const LINE_BYTES: usize = 8 << 10;

/// Where a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
    /// The sandbox itself, such as a crash.
    System,
}

impl LogStream {
    /// The word that stands for it in files.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::Error => "err",
            Self::System => "system",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Out, Self::Error, Self::System].into_iter().find(|stream| stream.as_str() == word)
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Its number within the lease.
    pub sequence: u64,
    /// When it was written, by this node's clock.
    pub time: Time,
    /// Where it came from.
    pub stream: LogStream,
    /// The line without its end.
    pub text: String,
}

impl LogLine {
    /// The line of the file, with its end.
    pub(crate) fn to_text(&self) -> String {
        format!("{} {} {} {}\n", self.sequence, self.time.0, self.stream.as_str(), self.text)
    }

    /// The inverse of [`LogLine::to_text`], without the end.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut parts = line.splitn(4, ' ');
        Some(Self {
            sequence: parts.next()?.parse().ok()?,
            time: Time(parts.next()?.parse().ok()?),
            stream: LogStream::parse(parts.next()?)?,
            text: parts.next()?.to_owned(),
        })
    }
}

/// Collects bytes into lines, so that what two requests write at the same time does not mix within a line.
pub(crate) struct LineWriter {
    log: Arc<Log>,
    stream: LogStream,
    partial: Vec<u8>,
}

impl LineWriter {
    pub(crate) const fn new(log: Arc<Log>, stream: LogStream) -> Self {
        Self { log, stream, partial: Vec::new() }
    }

    pub(crate) fn write(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.extend(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.extend(bytes);
    }

    fn extend(&mut self, mut bytes: &[u8]) {
        while self.partial.len() + bytes.len() > LINE_BYTES {
            let (now, later) = bytes.split_at(LINE_BYTES - self.partial.len());
            self.partial.extend_from_slice(now);
            self.end_line();
            bytes = later;
        }
        self.partial.extend_from_slice(bytes);
    }

    fn end_line(&mut self) {
        let text = String::from_utf8_lossy(&self.partial);
        self.log.write(self.stream, text.trim_end_matches('\r'));
        self.partial.clear();
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
    }
}
