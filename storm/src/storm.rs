//! One storm, from the first host to the verdict.

use std::fs;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::faults::Faults;
use crate::host::{Host, ROOT};
use crate::judge::{self, Verdict};
use crate::load::Load;
use crate::plan::{Timed, VALIDATORS, plan};
use crate::tools::Tools;
use crate::{Trouble, cloud, wires};

/// The promise: so long after the last fault, every gateway serves the app and takes entries, and every wallet pays.
const WELL_WITHIN: Duration = Duration::from_secs(30);
/// How long a node may take to end when it is asked to.
const END_WITHIN: Duration = Duration::from_secs(10);
/// How often things are looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What a storm needs.
#[derive(Debug)]
pub(crate) struct Task {
    pub(crate) seed: u64,
    pub(crate) length: Duration,
    pub(crate) grange: PathBuf,
    /// Where what the nodes say is kept when something is found.
    pub(crate) logs: PathBuf,
}

/// Lives through a storm.
pub(crate) fn run(task: &Task, tools: &Tools) -> Result<Verdict, Trouble> {
    let _ = fs::remove_dir_all(&task.logs);
    fs::create_dir_all(&task.logs).map_err(|error| {
        format!("cannot make {}: {error}; name a folder that you may write with --logs", task.logs.display())
    })?;
    wires::run("mount", "-t tmpfs none /run")?;
    fs::create_dir_all(ROOT)?;
    wires::make()?;
    let hosts = cloud::make(task.seed, &task.grange, &task.logs, tools)?;
    let load = Load::default();
    let mut faults = Faults::new(&hosts, tools, &task.logs);
    let well = std::thread::scope(|scope| {
        let _stop = load.run(scope, &hosts);
        work_goes_on(&load, &load.taken(), || faults.watch())?;
        blow(&mut faults, task)?;
        work_goes_on(&load, &load.taken(), || faults.watch())
    });
    let mut verdict = Verdict::default();
    match well {
        Ok(took) => {
            verdict = judge::judge(&hosts, &load);
            verdict
                .holds
                .insert(0, format!("recovery: served, written and paid everywhere after {:.1} s", took.as_secs_f64()));
        }
        Err(error) => verdict.findings.push(format!("recovery: {error}")),
    }
    faults.watch()?;
    verdict.holds.insert(0, format!("{} faults, {} nodes halted by their disk", faults.done, faults.halted));
    verdict.findings.append(&mut faults.findings);
    verdict.findings.extend(ends(&hosts)?);
    let refused: Vec<String> = load.refused().iter().map(|(word, count)| format!("{word} ({count})")).collect();
    println!("not acknowledged: {}", refused.join(", "));
    Ok(verdict)
}

/// Does what the seed says, when it says it.
fn blow(faults: &mut Faults<'_>, task: &Task) -> Result<(), Trouble> {
    let length = u64::try_from(task.length.as_millis())?;
    let all = plan(task.seed, length);
    let mut marks: Vec<(u64, bool, &Timed)> = Vec::new();
    for timed in &all {
        marks.push((timed.at, true, timed));
        marks.push((timed.ends(), false, timed));
    }
    marks.sort_by_key(|(at, begins, _)| (*at, *begins));
    let begun = Instant::now();
    for (at, begins, timed) in marks {
        let at = begun + Duration::from_millis(at);
        while Instant::now() < at {
            faults.watch()?;
            std::thread::sleep(LOOK.min(at.saturating_duration_since(Instant::now())));
        }
        if begins { faults.begin(timed)? } else { faults.end(timed)? }
    }
    faults.end_all()
}

/// Waits until every gateway has taken another entry and every wallet has paid once more; how long that took.
fn work_goes_on(
    load: &Load,
    before: &[(u64, u64)],
    mut meanwhile: impl FnMut() -> Result<(), Trouble>,
) -> Result<Duration, Trouble> {
    let begun = Instant::now();
    loop {
        meanwhile()?;
        let now = load.taken();
        let goes_on =
            |index: usize| now[index].0 > before[index].0 && (index >= VALIDATORS || now[index].1 > before[index].1);
        if (0..now.len()).all(goes_on) {
            return Ok(begun.elapsed());
        }
        if begun.elapsed() > WELL_WITHIN {
            let stuck: Vec<&str> =
                (0..now.len()).filter(|index| !goes_on(*index)).map(|index| crate::plan::HOSTS[index]).collect();
            return Err(format!(
                "not within {} s: entries and transfers through {}",
                WELL_WITHIN.as_secs(),
                stuck.join(", ")
            )
            .into());
        }
        std::thread::sleep(LOOK);
    }
}

/// Asks every node to end; what went wrong with that.
fn ends(hosts: &[Host]) -> Result<Vec<String>, Trouble> {
    for host in hosts {
        host.signal(Signal::TERM)?;
    }
    let mut findings = Vec::new();
    let begun = Instant::now();
    for host in hosts {
        let mut ended: Option<ExitStatus> = None;
        while ended.is_none() && host.pid().is_some() && begun.elapsed() < END_WITHIN {
            ended = host.ended()?;
            std::thread::sleep(Duration::from_millis(10));
        }
        match ended {
            Some(status) if status.success() => {}
            Some(status) => findings.push(format!("{} was asked to end and did so with {status}", host.name)),
            None => {
                findings.push(format!("{} was asked to end and did not within {} s", host.name, END_WITHIN.as_secs()))
            }
        }
    }
    Ok(findings)
}
