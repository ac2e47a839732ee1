//! Whatever ends a storm, nothing of it is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Longer than hosts and nodes take to be made on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(90);

#[track_caller]
fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The processes below one, as the kernel tells them.
fn below(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"));
    let children = tasks.into_iter().flatten().flatten().map(|task| fs::read_to_string(task.path().join("children")));
    let children: Vec<String> = children.flatten().collect();
    let direct = children.iter().flat_map(|list| list.split_ascii_whitespace()).filter_map(|pid| pid.parse().ok());
    direct.flat_map(|pid: u32| std::iter::once(pid).chain(below(pid))).collect()
}

/// Whether a process runs; one that has ended and that nobody has asked for does not.
fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

/// What is mounted and which networks have names, as this process sees them.
fn traces() -> (String, Vec<String>) {
    let networks = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let mut networks: Vec<String> = networks.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    networks.retain(|name| ["ada", "bob", "cleo", "dan", "eva", "router"].contains(&name.as_str()));
    let mounts = fs::read_to_string("/proc/mounts").unwrap();
    (mounts.lines().filter(|line| line.contains("/run/storm")).collect(), networks)
}

/// A storm whose first fault has begun, or none where the machine allows none.
fn storm(grange: &Path) -> Option<(Child, BufReader<ChildStdout>)> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grange-storm"));
    command.args(["3", "--for", "60", "--grange"]).arg(grange).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut storm = command.spawn().unwrap();
    let mut out = BufReader::new(storm.stdout.take().unwrap());
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        if line.starts_with("SKIPPED") {
            println!("{line}");
            storm.wait().unwrap();
            return None;
        }
        if line.contains(" s  ") {
            return Some((storm, out));
        }
        line.clear();
    }
    panic!("the storm ended before it began: {:?}", storm.wait());
}

#[test]
fn a_storm_that_is_killed_or_interrupted_leaves_nothing() {
    let grange = Path::new(env!("CARGO_BIN_EXE_grange-storm")).with_file_name("grange");
    assert!(grange.exists(), "{} is what a storm breaks; `cargo build --bin grange` makes it", grange.display());
    for signal in ["-KILL", "-INT"] {
        let Some((mut storm, _out)) = storm(&grange) else { return };
        let all = below(storm.id());
        assert!(all.len() >= 6, "its own first process and five nodes: {all:?}");
        assert_eq!(traces(), (String::new(), Vec::new()), "nobody outside sees them");
        assert!(Command::new("kill").args([signal, &storm.id().to_string()]).status().unwrap().success());
        storm.wait().unwrap();
        until("its processes have ended", || !all.iter().any(|pid| runs(*pid)));
    }
}
