//! What the disk allows: how long it takes until a few bytes at the end of a file are safe.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use crate::Fault;
use crate::stats::Sample;

/// What one flush of a node's write-ahead log carries: a block with one transfer and the three or four votes before
/// it, as `strace` shows them.
const BYTES: usize = 800;
/// Flushes that are timed.
const FLUSHES: usize = 300;

/// Appends and flushes one after another, on one file.
pub(crate) fn flushes(folder: &Path, name: &str) -> Result<Sample, Fault> {
    let mut file = File::create(folder.join(name))?;
    let record = [0xa5; BYTES];
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let began = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    Ok(Sample::new(times))
}

/// The median when so many do it at the same time on files of their own, as validators on one disk do.
pub(crate) fn flush_together(folder: &Path, writers: usize) -> Result<Duration, Fault> {
    let medians: Vec<Result<Duration, Fault>> = thread::scope(|scope| {
        let writer = |number: usize| {
            let name = format!("flush-{number}");
            scope.spawn(move || flushes(folder, &name).map(|sample| sample.median()))
        };
        let threads: Vec<_> = (0..writers).map(writer).collect();
        let ended = |thread: thread::ScopedJoinHandle<'_, _>| thread.join().unwrap_or(Err("a writer panicked".into()));
        threads.into_iter().map(ended).collect()
    });
    Ok(Sample::new(medians.into_iter().collect::<Result<_, _>>()?).median())
}
