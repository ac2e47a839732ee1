//! Hunts from the command line.

#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use grange_fuzz::{Catch, TARGETS, Target, hunt, seeds};

const USAGE: &str = "usage: cargo xtask fuzz [TARGET ...] [--for SECONDS] [--seed N] [--replay FILE] [--seeds FOLDER]";

/// How a process is told which part of the targets is its own.
const PART: &str = "--part";

/// What is asked for.
struct Task {
    targets: Vec<&'static Target>,
    last: Duration,
    seed: u64,
    replay: Option<PathBuf>,
    seeds: Option<PathBuf>,
    /// Which of so many processes this is, when they share the targets.
    part: Option<(usize, usize)>,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(task) => run(&task),
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(mut args: impl Iterator<Item = String>) -> Result<Task, String> {
    let mut task =
        Task { targets: Vec::new(), last: Duration::from_secs(2), seed: 1, replay: None, seeds: None, part: None };
    while let Some(arg) = args.next() {
        let mut number = |what| args.next().and_then(|text| text.parse().ok()).ok_or(format!("{arg} needs {what}"));
        match arg.as_str() {
            "--for" => task.last = Duration::from_secs(number("seconds")?),
            "--seed" => task.seed = number("a number")?,
            "--replay" => task.replay = Some(args.next().ok_or("--replay needs a file")?.into()),
            "--seeds" => task.seeds = Some(args.next().ok_or("--seeds needs a folder")?.into()),
            PART => {
                let (index, of): (u64, u64) = (number("an index")?, number("a count")?);
                task.part = Some((index as usize, of.max(1) as usize));
            }
            name => task.targets.push(TARGETS.iter().find(|target| target.name == name).ok_or_else(|| unknown(name))?),
        }
    }
    if task.targets.is_empty() {
        task.targets = TARGETS.iter().collect();
    }
    Ok(task)
}

fn unknown(name: &str) -> String {
    let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    format!("there is no target {name}; there are {}", names.join(", "))
}

fn run(task: &Task) -> ExitCode {
    if let Some(file) = &task.replay {
        return replay(task, file);
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    if let Some(folder) = &task.seeds {
        return write_seeds(root, task, folder);
    }
    let parts = std::thread::available_parallelism().map_or(1, usize::from).min(task.targets.len());
    if task.part.is_none() && parts > 1 {
        return share(parts);
    }
    // What a target says when it falls is told with the input, once.
    std::panic::set_hook(Box::new(|_| {}));
    let mut fell = false;
    let (index, of) = task.part.unwrap_or((0, 1));
    for target in task.targets.iter().skip(index).step_by(of) {
        let found = hunt(root, target, task.last, task.seed);
        let per_second = found.made as f64 / task.last.as_secs_f64().max(0.001);
        println!(
            "{:<20} {:>4} replayed, {:>8} made ({per_second:.0}/s), {:>7} accepted",
            target.name, found.replayed, found.made, found.accepted
        );
        if let Some(catch) = found.catch {
            fell = true;
            keep(root, target, &catch);
        }
    }
    if fell { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Shares the targets among so many processes: one counts the memory of an input, so each has a process to itself.
fn share(parts: usize) -> ExitCode {
    let start = |index: usize| {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(std::env::args_os().skip(1)).args([PART, &index.to_string(), &parts.to_string()]).spawn()
    };
    let mut good = true;
    // All are started before the first is waited for.
    let started: Vec<_> = (0..parts).map(start).collect();
    for part in started {
        match part.and_then(|mut part| part.wait()) {
            Ok(status) => good &= status.success(),
            Err(error) => {
                eprintln!("a part of the targets is not hunted through: {error}");
                good = false;
            }
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Keeps an input under which a target fell where every gate replays it.
fn keep(root: &Path, target: &Target, catch: &Catch) {
    let folder = root.join("fuzz/corpus").join(target.name);
    let file = folder.join(format!("fell-{}.bin", catch.input.len()));
    println!("{} FELL: {}", target.name, catch.what);
    match std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&file, &catch.input)) {
        Ok(()) => println!("  replay: cargo xtask fuzz {} --replay {}", target.name, file.display()),
        Err(error) => println!("  its input cannot be kept: {error}: {:?}", catch.input),
    }
}

/// Writes what a target begins with, one file an input, for a fuzzer that reads a folder.
fn write_seeds(root: &Path, task: &Task, folder: &Path) -> ExitCode {
    let [target] = &task.targets[..] else {
        eprintln!("--seeds needs one target\n{USAGE}");
        return ExitCode::from(2);
    };
    let inputs = seeds(root, target);
    let write =
        |(index, (_, input)): (usize, &(String, Vec<u8>))| std::fs::write(folder.join(index.to_string()), input);
    match std::fs::create_dir_all(folder).and_then(|()| inputs.iter().enumerate().try_for_each(write)) {
        Ok(()) => {
            println!("{:<20} {:>4} seeds in {}", target.name, inputs.len(), folder.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("cannot write the seeds of {} to {}: {error}", target.name, folder.display());
            ExitCode::FAILURE
        }
    }
}

fn replay(task: &Task, file: &Path) -> ExitCode {
    let ([target], Ok(input)) = (&task.targets[..], std::fs::read(file)) else {
        eprintln!("--replay needs one target and a file that can be read\n{USAGE}");
        return ExitCode::from(2);
    };
    let accepted = (target.run)(&input);
    println!("{} {} it", target.name, if accepted { "accepts" } else { "refuses" });
    ExitCode::SUCCESS
}
