//! Break real processes on purpose, from one seed, and judge what is left.
//!
//! A seed says what happens when; which packet is lost and which thread is faster it does not say. So a seed that fails is
//! not sure to fail again, but the same things are done to it at the same times.

#![allow(clippy::print_stdout)]

mod cloud;
mod enclosure;
mod faults;
mod host;
mod http;
mod judge;
mod load;
mod plan;
mod storm;
mod tools;
mod wires;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use storm::Task;
use tools::{Impossible, Tools};

/// Whatever keeps a storm from being carried out, or a check from holding; it is told to whoever started it.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: cargo xtask storm SEED [--for SECONDS] [--plan] | --soak SECONDS [SEED]
                     [--grange PATH]  the program to break; else the one beside this one
                     [--logs DIR]     where logs are kept when something is found; else target/storm";
/// How long a storm lasts when nothing is said.
const LENGTH: Duration = Duration::from_secs(180);
/// What a storm takes besides: making the hosts, healing, judging.
const BESIDES: Duration = Duration::from_secs(60);
/// The shortest that is worth the hosts.
const SHORTEST: Duration = Duration::from_secs(30);
/// Beside the other things that builds leave.
const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/storm");

/// What is asked for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wish {
    seed: Option<u64>,
    length: Option<Duration>,
    soak: Option<Duration>,
    plan: bool,
    grange: Option<PathBuf>,
    logs: Option<PathBuf>,
}

fn main() -> ExitCode {
    let wish = match parse(std::env::args().skip(1)) {
        Ok(wish) => wish,
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match wish {
        Wish { plan: true, .. } => {
            show(&wish);
            ExitCode::SUCCESS
        }
        Wish { soak: Some(soak), .. } => soaked(&wish, soak),
        _ => one(&wish).unwrap_or_else(|error| failed(&error)),
    }
}

fn failed(error: &Trouble) -> ExitCode {
    eprintln!("storm: {error}");
    ExitCode::FAILURE
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Wish, String> {
    let mut wish = Wish::default();
    let number = |text: Option<String>, what: &str| {
        text.and_then(|text| text.parse::<u64>().ok()).ok_or_else(|| format!("{what} needs a number"))
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--for" => wish.length = Some(Duration::from_secs(number(args.next(), "--for")?)),
            "--soak" => wish.soak = Some(Duration::from_secs(number(args.next(), "--soak")?)),
            "--plan" => wish.plan = true,
            "--grange" => wish.grange = Some(args.next().ok_or("--grange needs a path")?.into()),
            "--logs" => wish.logs = Some(args.next().ok_or("--logs needs a folder")?.into()),
            text => wish.seed = Some(text.parse().map_err(|_| format!("{text} is no seed"))?),
        }
    }
    if wish.seed.is_none() && wish.soak.is_none() {
        return Err("which seed?".into());
    }
    Ok(wish)
}

/// What would happen.
fn show(wish: &Wish) {
    let length = wish.length.unwrap_or(LENGTH);
    let mut out = std::io::stdout().lock();
    for timed in plan::plan(wish.seed.unwrap_or(0), u64::try_from(length.as_millis()).unwrap_or(u64::MAX)) {
        // A reader that has seen enough may go.
        let _ = writeln!(out, "{timed}");
    }
}

/// Whether the machine promises what `make setup` installs: then what is missing is a failure, and not only told.
fn is_promised() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

/// What to end with where there can be no storm, once it is said why; nothing where there can be one.
fn impossible() -> Option<ExitCode> {
    match tools::possible() {
        Ok(()) => {}
        Err(Impossible::Missing(reason)) => {
            println!("SKIPPED: real faults are not tested: {reason}");
            return Some(if is_promised() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
        Err(Impossible::Forbidden { reason, remedy }) => {
            println!(
                "SKIPPED: real faults are not tested: this machine lets nobody make namespaces for them: {reason}"
            );
            println!("help: {remedy}");
            return Some(ExitCode::SUCCESS);
        }
    }
    let (_, missing) = Tools::find();
    for line in &missing {
        println!("NOT COVERED: {line}");
    }
    if !missing.is_empty() && is_promised() {
        println!("`make setup` installs them, and CI=true promises them");
        return Some(ExitCode::FAILURE);
    }
    None
}

/// One storm: outside it only makes the room for it.
fn one(wish: &Wish) -> Result<ExitCode, Trouble> {
    if !enclosure::is_inside() {
        return impossible().map_or_else(enclosure::enter, Ok);
    }
    enclosure::follow_outside();
    let (tools, _) = Tools::find();
    let (seed, length) = (wish.seed.unwrap_or(0), wish.length.unwrap_or(LENGTH));
    let grange = match &wish.grange {
        Some(path) => path.clone(),
        None => std::env::current_exe()?.with_file_name("grange"),
    };
    let grange = grange.canonicalize().map_err(|error| format!("{}: {error}; `cargo build`", grange.display()))?;
    let logs = wish.logs.as_deref().unwrap_or(Path::new(LOGS)).join(format!("seed-{seed}"));
    let task = Task { seed, length, grange, logs };
    tell(&task, storm::run(&task, &tools))
}

/// Says what came of a storm.
fn tell(task: &Task, result: Result<judge::Verdict, Trouble>) -> Result<ExitCode, Trouble> {
    let Task { seed, length, logs, .. } = task;
    let findings = match result {
        Ok(verdict) => {
            verdict.holds.iter().for_each(|line| println!("  {line}"));
            verdict.findings
        }
        Err(error) => vec![error.to_string()],
    };
    if findings.is_empty() {
        println!("storm {seed}: ok");
        std::fs::remove_dir_all(logs)?;
        return Ok(ExitCode::SUCCESS);
    }
    findings.iter().for_each(|line| println!("  FOUND {line}"));
    println!("storm {seed}: FAILED, {} found", findings.len());
    println!("  logs: {}", logs.canonicalize().unwrap_or_else(|_| logs.clone()).display());
    println!("  replay: cargo xtask storm {seed} --for {}", length.as_secs());
    Ok(ExitCode::FAILURE)
}

/// One storm after the other, until there is no time for another one. The first that fails ends it.
fn soaked(wish: &Wish, soak: Duration) -> ExitCode {
    if let Some(code) = impossible() {
        return code;
    }
    let (begun, mut seed) = (Instant::now(), wish.seed.unwrap_or(1));
    let mut storms = 0;
    loop {
        let left = soak.saturating_sub(begun.elapsed());
        let length = left.saturating_sub(BESIDES).min(wish.length.unwrap_or(LENGTH));
        if storms > 0 && length < SHORTEST {
            println!("{storms} storms in {} s, nothing found", begun.elapsed().as_secs());
            return ExitCode::SUCCESS;
        }
        let length = Duration::from_secs(length.max(SHORTEST).as_secs());
        println!("storm {seed}, {} s", length.as_secs());
        let status = std::env::current_exe().and_then(|program| {
            let mut command = std::process::Command::new(program);
            command.arg(seed.to_string()).args(["--for", &length.as_secs().to_string()]);
            for (option, path) in [("--grange", &wish.grange), ("--logs", &wish.logs)] {
                command.args(path.iter().flat_map(|path| [Path::new(option), path]));
            }
            command.status()
        });
        match status {
            Ok(status) if status.success() => {}
            Ok(_) => return ExitCode::FAILURE,
            Err(error) => return failed(&error.into()),
        }
        storms += 1;
        seed += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<Wish, &str>) {
        let wish = parse(text.split_whitespace().map(str::to_owned));
        assert_eq!(wish, expected.map_err(str::to_owned), "{text}");
    }

    #[test]
    fn what_is_asked_for_is_understood_or_refused() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        check("7 --for 30", Ok(Wish { seed: Some(7), length: seconds(30), ..Wish::default() }));
        check("--soak 600", Ok(Wish { soak: seconds(600), ..Wish::default() }));
        let logs = Some("/tmp/logs".into());
        check("7 --logs /tmp/logs", Ok(Wish { seed: Some(7), logs, ..Wish::default() }));
        check("7 --plan", Ok(Wish { seed: Some(7), plan: true, ..Wish::default() }));
        check("", Err("which seed?"));
        check("seven", Err("seven is no seed"));
        check("7 --for", Err("--for needs a number"));
    }
}
