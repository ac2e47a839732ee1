//! The door for bad bytes: what a disk's or a buyer's bytes go through here, for `grange-fuzz` and nobody else.

use std::io;
use std::path::Path;

use grange_types::{LeaseId, limits};

use crate::logs::{LogLine, LogReader, LogStream, Logs};

/// A stored line, without its end, and what it is stored as.
#[must_use]
pub fn log_line(text: &str) -> Option<(LogLine, String)> {
    let line = LogLine::parse(text)?;
    let text = line.to_text();
    Some((line, text))
}

/// Opens the logs of a folder, adds a line to that of a lease, and reads it whole. Gives the new line's number.
pub fn continue_log(folder: &Path, lease: LeaseId, text: &str) -> io::Result<(u64, Vec<LogLine>)> {
    let logs = Logs::open(folder.to_path_buf(), limits::LOG_BYTES)?;
    let log = logs.log(lease)?;
    log.write(LogStream::Out, text);
    let reader = LogReader::new(log);
    Ok((reader.last(), reader.read_after(0, usize::MAX)?))
}

/// The name and the port that a call to `uri` goes to, if a manifest's list of hosts allows it.
#[must_use]
pub fn admitted(allowed: &[String], uri: &http::Uri) -> Option<(String, u16)> {
    crate::wasm::admitted(allowed, uri)
}
