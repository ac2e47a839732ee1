//! The same seed is the same world, to the byte, in any process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;

/// Lives a world in a process of its own; gives its whole trace, which ends with the digest of every event.
fn live(seed: &str, more: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_grange-sim")).arg(seed).args(more).output().unwrap();
    (output.status.success(), String::from_utf8(output.stdout).unwrap())
}

#[test]
fn two_processes_live_the_same_world() {
    let (ok, trace) = live("3", &[]);
    let last = trace.lines().last().unwrap();
    assert!(ok && last.starts_with("seed 3: ") && last.ends_with(" faults, ok"), "{last}");
    assert!(trace.lines().count() > 500);
    assert_eq!(live("3", &[]).1, trace);
}

#[test]
fn a_rule_broken_on_purpose_is_found_and_its_world_replays() {
    let (found, trace) = live("2", &["--plant", "receipt-paid-twice"]);
    let last = trace.lines().last().unwrap();
    assert!(found && last.contains("VIOLATION of money"), "{last}");
    assert_eq!(live("2", &["--plant", "receipt-paid-twice"]).1, trace);
}

#[test]
fn a_world_is_as_long_and_as_bad_as_is_promised() {
    let outcome = grange_sim::simulate(3, None, &mut std::io::sink());
    assert_eq!(outcome.violation, None);
    assert!(outcome.lived >= grange_types::Millis::minutes(10), "{:?}", outcome.lived);
    assert!(outcome.faults >= 20, "{}", outcome.faults);
    let kinds = |group: &str| outcome.coverage.all().filter(|(of, _, count)| *of == group && *count > 0).count();
    assert!(kinds("fault") >= 5 && kinds("villain") >= 1, "{} faults, {} villains", kinds("fault"), kinds("villain"));
    assert!(kinds("deed") >= 8, "money and leases moved in {} ways", kinds("deed"));
}

#[test]
fn what_cannot_be_done_is_said() {
    let output = Command::new(env!("CARGO_BIN_EXE_grange-sim")).args(["--plant", "weeds", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("flush-skipped") && text.contains("usage"), "{text}");
}
