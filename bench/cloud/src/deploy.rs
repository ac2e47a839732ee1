//! Deploys: from the start of the command to the first correct byte of a service that nobody has deployed before.
//!
//! # Rules
//! - Every run has a new name and the same component, which the provider has compiled for the deploy before the first.
//! - The clock runs from the spawn of `grange deploy` until it has ended, which is when its URL has answered, and a request
//!   of our own through the gateway was answered with the right bytes.
//! - Each deployment is taken down afterwards, off the clock, so that the market looks the same to the next.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Fault;
use crate::cloud::{Cloud, Setting};
use crate::guestbook::{self, Size};
use crate::report::Report;
use crate::stats::{Sample, median, millis};

const P50_MS: f64 = 400.0;
const P99_MS: f64 = 1_000.0;
/// A small service.
const SIZE: Size = Size { cpu_millis: 250, memory_mib: 64 };
/// Through whose gateway it is asked for: the owner's own.
const GATEWAY: usize = 0;

/// One deploy.
struct Run {
    /// Until the command had ended.
    command: Duration,
    /// Until the first correct byte.
    whole: Duration,
    /// What the command said of its phases, in order.
    phases: Vec<(String, f64)>,
    /// Who serves.
    provider: usize,
}

pub(crate) fn run(setting: &Setting, count: usize) -> Result<Report, Fault> {
    let mut report = Report::new("deploy", &setting.grange);
    let cloud = Cloud::start(setting)?;
    let warm = once(&cloud, "warm-up")?;
    report.tell("cold_ms", millis(warm.whole));
    let mut runs = Vec::with_capacity(count);
    for number in 0..count {
        runs.push(once(&cloud, &format!("run-{number}"))?);
    }
    let whole = Sample::new(runs.iter().map(|run| run.whole).collect());
    report.spread("deploy", &whole, Some(P50_MS), Some(P99_MS));
    report.spread("command", &Sample::new(runs.iter().map(|run| run.command).collect()), None, None);
    for (phase, times) in phases(&runs) {
        report.tell(format!("phase_{phase}_p50_ms"), median(times));
    }
    let mut providers: Vec<usize> = runs.iter().chain([&warm]).map(|run| run.provider).collect();
    providers.sort_unstable();
    providers.dedup();
    report.note(format!("{count} deploys of new names after a cold one, served by the nodes {providers:?}"));
    report.note("phases are what the command prints; the rest of its time is its own start and end");
    Ok(report)
}

fn once(cloud: &Cloud, name: &str) -> Result<Run, Fault> {
    let folder = guestbook::write(cloud.root(), name, SIZE)?;
    let mut command = cloud.command(&["deploy", &folder.to_string_lossy(), "--json"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let began = Instant::now();
    let output = command.spawn()?.wait_with_output()?;
    let ended = began.elapsed();
    if !output.status.success() {
        return Err(format!("deploy {name}: {}", String::from_utf8_lossy(&output.stderr).trim()).into());
    }
    guestbook::visit(cloud, GATEWAY, name)?;
    let whole = began.elapsed();
    let lines = String::from_utf8(output.stdout)?;
    let lines = lines.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let phase = |line: &Value| Some((line["phase"].as_str()?.to_owned(), line["ms"].as_f64()?));
    let done = lines.last().ok_or("deploy printed nothing")?;
    let provider = guestbook::provider(cloud, done)?;
    guestbook::down(cloud, name)?;
    Ok(Run { command: ended, whole, phases: lines.iter().filter_map(phase).collect(), provider })
}

/// The times of each phase over all runs, in the order of the first run. A phase that a run goes through twice counts
/// with the sum.
fn phases(runs: &[Run]) -> Vec<(String, Vec<f64>)> {
    let mut order: Vec<String> = Vec::new();
    let mut times: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for run in runs {
        let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
        for (phase, ms) in &run.phases {
            *sums.entry(phase).or_default() += ms;
            if !order.contains(phase) {
                order.push(phase.clone());
            }
        }
        for (phase, sum) in sums {
            times.entry(phase.to_owned()).or_default().push(sum);
        }
    }
    let with_times = |phase: String| {
        let times = times.remove(&phase).unwrap_or_default();
        (phase, times)
    };
    order.into_iter().map(with_times).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_keep_their_order_and_a_repeated_one_is_summed() {
        let run = |phases: &[(&str, f64)]| Run {
            command: Duration::ZERO,
            whole: Duration::ZERO,
            phases: phases.iter().map(|(phase, ms)| ((*phase).to_owned(), *ms)).collect(),
            provider: 1,
        };
        let found =
            phases(&[run(&[("read", 1.0), ("lease", 2.0)]), run(&[("read", 3.0), ("lease", 1.0), ("read", 4.0)])]);
        let expected = [("read".to_owned(), vec![1.0, 7.0]), ("lease".to_owned(), vec![2.0, 1.0])];
        assert_eq!(found, expected);
    }
}
