//! A target of `grange-fuzz` under libFuzzer: one that is guided by what code an input reaches.
//!
//! `cargo fuzz` is not part of any build; where it is installed, a stable compiler is enough: the instrumentation is
//! LLVM's, and no sanitizer, which would need a nightly one, finds much in code without `unsafe`.

use std::path::Path;
use std::process::{Command, ExitCode};

const USAGE: &str = "usage: cargo xtask fuzz --guided TARGET [--for SECONDS]";
const FOLDER: &str = "fuzz/cargo-fuzz";
/// The longest input that is tried, and the most seconds that one may take.
const LIMITS: [&str; 2] = ["-max_len=65536", "-timeout=2"];

/// What is asked for: a target, and how many seconds it is hunted through; without them until it falls.
fn parse(args: &[String]) -> Option<(&str, Option<u64>)> {
    match args {
        [target] => Some((target, None)),
        [target, word, seconds] if word == "--for" => Some((target, Some(seconds.parse().ok()?))),
        _ => None,
    }
}

/// Hunts through a target: `cargo` makes a command that runs in the root, `args` is what follows `--guided`.
pub(crate) fn run(root: &Path, cargo: impl Fn() -> Command, args: &[String]) -> ExitCode {
    let Some((target, last)) = parse(args) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if !cargo().args(["fuzz", "--version"]).output().is_ok_and(|output| output.status.success()) {
        eprintln!("fuzz --guided: cargo has no `fuzz` here; `cargo install cargo-fuzz`, or leave out --guided");
        return ExitCode::from(2);
    }
    let corpus = format!("{FOLDER}/corpus/{target}");
    let seeds = ["run", "--quiet", "--bin", "grange-fuzz", "--", target, "--seeds", &corpus];
    if !cargo().args(seeds).status().is_ok_and(|status| status.success()) {
        return ExitCode::FAILURE;
    }
    // The same versions of everything as in our own builds.
    if let Err(error) = std::fs::copy(root.join("Cargo.lock"), root.join(FOLDER).join("Cargo.lock")) {
        eprintln!("fuzz --guided: cannot copy Cargo.lock to {FOLDER}: {error}");
        return ExitCode::FAILURE;
    }
    let mut fuzz = cargo();
    fuzz.args(["fuzz", "run", "--fuzz-dir", FOLDER, "--sanitizer", "none", "any", &corpus, "--"]).args(LIMITS);
    fuzz.args(last.map(|seconds| format!("-max_total_time={seconds}"))).env("GRANGE_FUZZ", target);
    match fuzz.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => {
            eprintln!(
                "fuzz --guided: an input is in {FOLDER}/artifacts/any; put into fuzz/corpus/{target}, every gate replays it"
            );
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("fuzz --guided: cannot run cargo fuzz: {error}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_asked_for() {
        assert_eq!(parse(&words("block")), Some(("block", None)));
        assert_eq!(parse(&words("block --for 20")), Some(("block", Some(20))));
        for wrong in ["", "block --for", "block --for soon", "block vote"] {
            assert_eq!(parse(&words(wrong)), None, "{wrong}");
        }
    }
}
