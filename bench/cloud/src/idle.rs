//! Idle nodes: what each of four holds and burns while nobody asks for anything.
//!
//! Memory is the mean of a look each second; processor time is the kernel's count over the whole window. The limits are
//! held against the worst node of the empty cloud; the same cloud with one deployed and unvisited service follows.

use std::thread;
use std::time::{Duration, Instant};

use crate::Fault;
use crate::cloud::{Cloud, Setting};
use crate::guestbook::{self, Size};
use crate::process::{self, Memory};
use crate::report::{Limit, Report};
use crate::stats::per;

const RESIDENT_MB: f64 = 100.0;
const CPU_PER_CENT: f64 = 1.0;
/// Between two looks at the memory.
const LOOK: Duration = Duration::from_secs(1);
const SIZE: Size = Size { cpu_millis: 250, memory_mib: 64 };
const NAME: &str = "resting";

/// Means of one node over the window.
struct Rest {
    resident_mb: f64,
    anonymous_mb: f64,
    cpu_per_cent: f64,
}

pub(crate) fn run(setting: &Setting, seconds: u64, settle: u64) -> Result<Report, Fault> {
    let mut report = Report::new("idle", &setting.grange);
    let cloud = Cloud::start(setting)?;
    let (span, settle) = (Duration::from_secs(seconds), Duration::from_secs(settle));
    thread::sleep(settle);
    write(&mut report, "idle", &watch(&cloud, span)?, true);
    let done = guestbook::deploy(&cloud, &guestbook::write(cloud.root(), NAME, SIZE)?)?;
    let provider = guestbook::provider(&cloud, &done)?;
    thread::sleep(settle);
    write(&mut report, "with_service", &watch(&cloud, span)?, false);
    report.note(format!("means of {seconds} s after {} s; the service is on node {provider}", settle.as_secs()));
    Ok(report)
}

/// Looks at all nodes for a while.
fn watch(cloud: &Cloud, span: Duration) -> Result<Vec<Rest>, Fault> {
    let cpu = || cloud.nodes.iter().map(|node| process::cpu(node.pid)).collect::<Result<Vec<_>, _>>();
    let (began, before) = (Instant::now(), cpu()?);
    let mut sums = vec![Memory::default(); cloud.nodes.len()];
    let mut looks = 0.0;
    while began.elapsed() < span {
        for (sum, node) in sums.iter_mut().zip(&cloud.nodes) {
            let memory = process::memory(node.pid)?;
            sum.resident += memory.resident;
            sum.anonymous += memory.anonymous;
        }
        looks += 1.0;
        thread::sleep(LOOK.min(span.saturating_sub(began.elapsed())));
    }
    let (seconds, after) = (began.elapsed().as_secs_f64(), cpu()?);
    let rest = |((sum, after), before): ((&Memory, Duration), Duration)| Rest {
        resident_mb: per(sum.resident as f64 / 1e6, looks),
        anonymous_mb: per(sum.anonymous as f64 / 1e6, looks),
        cpu_per_cent: per(after.saturating_sub(before).as_secs_f64() * 100.0, seconds),
    };
    Ok(sums.iter().zip(after).zip(before).map(rest).collect())
}

fn write(report: &mut Report, name: &str, nodes: &[Rest], held: bool) {
    for (index, rest) in nodes.iter().enumerate() {
        report.tell(format!("{name}_node_{index}_resident_mb"), rest.resident_mb);
        report.tell(format!("{name}_node_{index}_anonymous_mb"), rest.anonymous_mb);
        report.tell(format!("{name}_node_{index}_cpu_per_cent"), rest.cpu_per_cent);
    }
    let worst = |of: fn(&Rest) -> f64| nodes.iter().map(of).fold(0.0, f64::max);
    let worst = [
        ("resident_mb", worst(|rest| rest.resident_mb), RESIDENT_MB),
        ("cpu_per_cent", worst(|rest| rest.cpu_per_cent), CPU_PER_CENT),
    ];
    for (what, value, most) in worst {
        let name = format!("{name}_worst_{what}");
        if held { report.hold(name, value, Limit::AtMost(most)) } else { report.tell(name, value) }
    }
}
