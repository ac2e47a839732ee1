//! Whatever ends a storm, nothing of it is left.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use support::{below, grange, until};

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
    // A shell that runs this test in the background has it ignore Ctrl-C, and so whatever it starts.
    let mut command = Command::new("env");
    command.args(["--default-signal=INT", env!("CARGO_BIN_EXE_grange-storm"), "3", "--for", "60", "--grange"]);
    command.arg(grange).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut storm = command.spawn().unwrap();
    let mut out = BufReader::new(storm.stdout.take().unwrap());
    let mut line = String::new();
    while out.read_line(&mut line).unwrap() > 0 {
        if line.starts_with("SKIPPED") {
            // Past the test program, which keeps to itself what a test that passes prints.
            drop(writeln!(std::io::stderr(), "{line}"));
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
    let grange = grange();
    for signal in ["-KILL", "-INT"] {
        let Some((mut storm, _out)) = storm(&grange) else { return };
        let all = below(storm.id());
        assert!(all.len() >= 6, "its own first process and five nodes: {all:?}");
        assert_eq!(traces(), (String::new(), Vec::new()), "nobody outside sees them");
        assert!(Command::new("kill").args([signal, &storm.id().to_string()]).status().unwrap().success());
        let ended = storm.wait().unwrap();
        assert!(ended.signal().is_some(), "{signal} ended it, and not that it was over: {ended}");
        until("its processes have ended", || !all.iter().any(|pid| runs(*pid)));
    }
}
