//! What tests of storms share.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longer than hosts and nodes take to be made on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

/// The program that storms break.
pub(crate) fn grange() -> PathBuf {
    let grange = Path::new(env!("CARGO_BIN_EXE_grange-storm")).with_file_name("grange");
    assert!(grange.exists(), "{} is what a storm breaks; `cargo build --bin grange` makes it", grange.display());
    grange
}

#[track_caller]
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes below one, as the kernel tells them.
pub(crate) fn below(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let children = tasks.into_iter().flatten().flatten().map(|task| fs::read_to_string(task.path().join("children")));
    let children: Vec<String> = children.flatten().collect();
    let direct = children.iter().flat_map(|list| list.split_ascii_whitespace()).filter_map(|pid| pid.parse().ok());
    direct.flat_map(|pid: u32| std::iter::once(pid).chain(below(pid))).collect()
}
