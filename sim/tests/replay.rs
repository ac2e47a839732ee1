//! The same seed is the same world, to the byte, in any process.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::process::Command;

use grange_sim::{Coverage, Outcome};
use grange_types::Millis;

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
    let mut validators = BTreeSet::new();
    // Until worlds of every size were seen: the validators are drawn from the seed.
    for seed in 3..60 {
        let outcome = grange_sim::simulate(seed, None, &mut std::io::sink());
        assert_eq!(outcome.violation, None);
        assert_eq!(outcome.check_size(), Ok(()), "seed {seed}");
        validators.insert(outcome.validators);
        if validators.len() == 4 {
            return;
        }
    }
    panic!("worlds with {validators:?} validators in 57 seeds");
}

#[test]
fn a_world_that_falls_short_is_no_good_one() {
    let whole = grange_sim::simulate(3, None, &mut std::io::sink());
    let short = |change: fn(&mut Outcome)| {
        let mut outcome = whole.clone();
        change(&mut outcome);
        outcome.check_size().unwrap_err()
    };
    assert_eq!(short(|outcome| outcome.lived = Millis::seconds(599)), "it lived 599 s");
    assert_eq!(short(|outcome| outcome.faults = 19), "it has 19 faults");
    assert_eq!(short(|outcome| outcome.validators = 3), "it has 3 validators");
    assert_eq!(short(|outcome| outcome.coverage = Coverage::default()), "it has 0 kinds of faults");
}

#[test]
fn every_twentieth_world_signs_as_nodes_do() {
    let (ok, real) = live("20", &[]);
    assert!(ok && real.lines().any(|line| line.ends_with("signatures: ed25519")));
    assert!(live("19", &[]).1.lines().any(|line| line.ends_with("signatures: keyed-hash")));
}

#[test]
fn what_cannot_be_done_is_said() {
    let output = Command::new(env!("CARGO_BIN_EXE_grange-sim")).args(["--plant", "weeds", "1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("flush-skipped") && text.contains("usage"), "{text}");
}
