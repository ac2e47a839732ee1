//! The judge finds what it looks for: a program that forgets what it acknowledged does not pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use support::grange;

/// A storm that begins with the death of all five, and what it says of a program that does `at_start` before each start.
fn storm(at_start: &str) -> Option<String> {
    let grange = grange();
    let folder = tempfile::tempdir().unwrap();
    let saboteur = folder.path().join("saboteur");
    let script = format!("#!/bin/sh\n[ \"$1\" = up ] && {at_start}\nexec {} \"$@\"\n", grange.display());
    fs::write(&saboteur, script).unwrap();
    fs::set_permissions(&saboteur, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_grange-storm"));
    let output = command.args(["5", "--for", "5", "--grange"]).arg(&saboteur).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if said.starts_with("SKIPPED") {
        // Past the test program, which keeps to itself what a test that passes prints.
        drop(writeln!(std::io::stderr(), "{said}"));
        return None;
    }
    assert!(said.contains("all are killed with -9"), "{said}");
    assert!(!output.status.success(), "{said}");
    Some(said)
}

#[test]
fn a_program_that_forgets_entries_is_found() {
    let Some(said) = storm("rm -rf \"$HOME/node/work\"") else { return };
    assert!(said.contains("FOUND entries: "), "{said}");
    assert!(said.contains("replay: cargo xtask storm 5 --for 5\n"), "{said}");
}
