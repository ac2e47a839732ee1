//! Lives worlds from the command line: one seed with its trace, many seeds with a line each, or as long as one likes.

#![allow(clippy::print_stdout)]

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use grange_sim::{Coverage, Outcome, Replacements, Sabotage, Violation, replacements, simulate};
use grange_types::Millis;

const USAGE: &str = "usage: cargo xtask sim SEED | FROM..TO | --for SECONDS [FROM]
                     [--plant NAME]  break a rule on purpose; ends well when it is found
                     [--within SECONDS]  and not longer, or it does not end well
       cargo xtask sim --replacement NODES [SEED | --seeds COUNT]
                     how long until what a lost provider served is served again";

/// What a crowd has to keep: ninety-nine of a hundred lost replicas are served again within this.
const SERVED_AGAIN: Millis = Millis::seconds(10);

/// What is asked for.
struct Task {
    from: u64,
    to: u64,
    last: Option<Duration>,
    /// How long all worlds together may take.
    within: Option<Duration>,
    plant: Option<Sabotage>,
    single: bool,
    /// The nodes of a crowd, if that is asked for.
    crowd: Option<usize>,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)) {
        Ok(task) if task.crowd.is_some() => crowd(&task),
        Ok(task) if task.single => single(&task),
        Ok(task) => many(&task),
        Err(error) => {
            eprintln!("{error}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn parse(args: impl Iterator<Item = String>) -> Result<Task, String> {
    let mut task = Task { from: 0, to: 0, last: None, within: None, plant: None, single: false, crowd: None };
    let mut args = args.peekable();
    let mut seeds = None;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--plant" => {
                let name = args.next().ok_or("--plant needs a name")?;
                task.plant = Some(name.parse().map_err(|error| format!("{error}"))?);
            }
            word @ ("--for" | "--within") => {
                let seconds = args.next().and_then(|text| text.parse().ok());
                let span = Some(Duration::from_secs(seconds.ok_or_else(|| format!("{word} needs seconds"))?));
                *(if word == "--for" { &mut task.last } else { &mut task.within }) = span;
            }
            "--replacement" => {
                let nodes = args.next().and_then(|text| text.parse().ok()).filter(|nodes| *nodes >= 30);
                task.crowd = Some(nodes.ok_or("--replacement needs a number of nodes, thirty at least")?);
            }
            "--seeds" => {
                task.to = args.next().and_then(|text| text.parse().ok()).ok_or("--seeds needs a count")?;
            }
            text => seeds = Some(range(text)?),
        }
    }
    if task.crowd.is_some() {
        (task.from, task.to) = seeds.unwrap_or((1, task.to.max(1) + 1));
        task.single = seeds.is_some();
        return Ok(task);
    }
    match (seeds, task.last) {
        (Some((from, to)), _) => (task.from, task.to) = (from, to),
        (None, Some(_)) => {}
        (None, None) => return Err("which seed?".into()),
    }
    if task.last.is_some() {
        task.to = u64::MAX;
    }
    task.single = task.last.is_none() && task.to == task.from + 1;
    Ok(task)
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| text.parse::<u64>().map_err(|_| format!("{text} is no seed"));
    match text.split_once("..") {
        Some((from, to)) => Ok((number(from)?, number(to)?)),
        None => number(text).map(|seed| (seed, seed.saturating_add(1))),
    }
}

/// The line that a world ends with.
fn verdict(outcome: &Outcome) -> String {
    let Outcome { seed, lived, events, faults, violation, .. } = outcome;
    let head = format!("seed {seed}: {} s virtual, {events} events, {faults} faults", lived.0 / 1_000);
    match violation {
        None => match outcome.check_size() {
            Ok(()) => format!("{head}, ok"),
            Err(what) => format!("{head}, SHORT OF ITS PROMISE: {what}"),
        },
        Some(violation) => format!("{head}, VIOLATION of {}: {}", violation.check, violation.what),
    }
}

/// Whether a world went as it should: without a violation, or with one if a rule was broken on purpose.
fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Crowds of so many nodes, one for each seed; one that is named is told with its trace.
fn crowd(task: &Task) -> ExitCode {
    let nodes = task.crowd.unwrap_or_default();
    let (mut spans, mut kept) = (Vec::new(), true);
    for seed in task.from..task.to {
        let begun = Instant::now();
        let mut trace: Box<dyn Write> = if task.single { Box::new(io::stdout().lock()) } else { Box::new(io::sink()) };
        let shown = replacements(nodes, seed, &mut io::BufWriter::new(&mut trace));
        drop(trace);
        let Replacements { apps, deaths, lost, introduction, talk: [rest, dying], events, kinds, .. } = shown;
        println!(
            "seed {seed}: {nodes} nodes, {apps} apps, {deaths} providers lost with {} replicas, {lost} not served again; \
             messages a node: {introduction:.0} to be introduced, {rest:.1} a second at rest, {dying:.1} while providers \
             die; {events} events in {:.0} s",
            shown.spans.len() + lost,
            begun.elapsed().as_secs_f64(),
        );
        let said: Vec<String> = kinds.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        println!("  said before the first death, what is gossiped once: {}", said.join(", "));
        if let Some(violation) = shown.violation {
            println!("  VIOLATION of {}: {}", violation.check, violation.what);
            kept = false;
        }
        kept &= lost == 0;
        spans.extend(shown.spans);
    }
    spans.sort_unstable();
    let at =
        |hundredth: usize| spans.get((spans.len() * hundredth).div_ceil(100).max(1) - 1).copied().unwrap_or_default();
    let seconds = |span: Millis| span.0 as f64 / 1_000.0;
    println!(
        "{} replicas served again: p50 {:.2} s, p99 {:.2} s, the last {:.2} s",
        spans.len(),
        seconds(at(50)),
        seconds(at(99)),
        seconds(at(100))
    );
    code(kept && !spans.is_empty() && at(99) <= SERVED_AGAIN)
}

fn single(task: &Task) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let outcome = simulate(task.from, task.plant, &mut out);
    // A reader that has gone away needs no verdict.
    let _ = writeln!(out, "digest {}\n{}", outcome.digest, verdict(&outcome)).and_then(|()| out.flush());
    let found = outcome.violation.as_ref().map(|violation| violation.check);
    code(found == task.plant.map(Sabotage::check) && (found.is_some() || outcome.check_size().is_ok()))
}

/// What many worlds came to.
#[derive(Default)]
struct Sum {
    coverage: Coverage,
    worlds: u64,
    lived: u64,
    events: u64,
    faults: u64,
    found: Vec<String>,
}

fn many(task: &Task) -> ExitCode {
    let begun = Instant::now();
    let (next, done) = (AtomicU64::new(task.from), AtomicBool::new(false));
    let sum = Mutex::new(Sum::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let late = task.last.is_some_and(|last| begun.elapsed() >= last);
                    if seed >= task.to || late || done.load(Ordering::Relaxed) {
                        return;
                    }
                    let outcome = simulate(seed, task.plant, &mut io::sink());
                    take(&sum, task, &outcome, &done);
                }
            });
        }
    });
    report(&sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner), task, begun.elapsed())
}

fn take(sum: &Mutex<Sum>, task: &Task, outcome: &Outcome, done: &AtomicBool) {
    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    sum.coverage.add(&outcome.coverage);
    sum.worlds += 1;
    sum.lived += outcome.lived.0 / 1_000;
    sum.events += outcome.events;
    sum.faults += outcome.faults;
    let line = verdict(outcome);
    // Of a broken rule only what the check finds that looks after it.
    let looks = |violation: &&Violation| task.plant.is_none_or(|plant| plant.check() == violation.check);
    let short = task.plant.is_none() && outcome.violation.is_none() && outcome.check_size().is_err();
    if short || outcome.violation.as_ref().filter(looks).is_some() {
        let plant = task.plant.map_or(String::new(), |plant| format!(" --plant {plant}"));
        sum.found.push(format!("{line}\n  replay: cargo xtask sim{plant} {}", outcome.seed));
        // A plant is found once; anything else is looked for to the end.
        if task.plant.is_some() {
            done.store(true, Ordering::Relaxed);
        }
    }
    if task.plant.is_none() {
        println!("{line}");
    }
}

fn report(sum: &Sum, task: &Task, took: Duration) -> ExitCode {
    for found in &sum.found {
        println!("{found}");
    }
    if let Some(plant) = task.plant {
        let found = !sum.found.is_empty();
        let word = if found { "found" } else { "NOT FOUND" };
        println!("plant {plant}: {word} after {} seeds in {:.1} s", sum.worlds, took.as_secs_f64());
        return code(found);
    }
    let mut group = "";
    for (of, kind, count) in sum.coverage.all() {
        if of != group {
            print!("{}{of}:", if group.is_empty() { "" } else { "\n" });
            group = of;
        }
        print!(" {kind} {count}");
    }
    println!();
    let Sum { worlds, lived, events, faults, .. } = sum;
    let speed = *lived as f64 / took.as_secs_f64().max(0.001);
    println!(
        "{worlds} worlds, {lived} s virtual in {:.1} s ({speed:.0} × real time), {events} events, {faults} faults, {} \
         violations",
        took.as_secs_f64(),
        sum.found.len()
    );
    let missing = sum.coverage.missing();
    // A hundred worlds meet everything; a few need not.
    let thin = *worlds >= 100 && !missing.is_empty();
    if thin {
        println!(
            "never met: {}",
            missing.iter().map(|(group, kind)| format!("{group} {kind}")).collect::<Vec<_>>().join(", ")
        );
    }
    let late = task.within.is_some_and(|within| took > within);
    if late {
        println!("that took longer than {} s", task.within.unwrap_or_default().as_secs());
    }
    code(sum.found.is_empty() && !thin && !late)
}
