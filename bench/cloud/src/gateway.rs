//! The gateway: requests a second through a gateway on another peer, beside the same component served directly.
//!
//! # Rules
//! - `wrk` with one thread and 32 connections asks for a path that reads no key-value data, in turn of the direct server
//!   and of the gateway, so that a change of the machine meets both. The medians of the rounds are compared.
//! - Both replicas have the same resources. The gateway's node is not the provider; requests pass the real transport.
//! - Processor time is the kernel's count for each process, over the same runs.

use std::time::Duration;

use crate::cloud::{Cloud, Setting};
use crate::direct::Direct;
use crate::guestbook::{self, Size};
use crate::report::{Limit, Report};
use crate::stats::{median, millis, per};
use crate::wrk::{self, Wrk};
use crate::{Fault, process};

const RATIO: f64 = 0.4;
/// More than a replica can use while the load generator and the gateway want the machine too.
const SIZE: Size = Size { cpu_millis: 2_000, memory_mib: 128 };
const NAME: &str = "measured";
/// How long each side runs before the rounds, so that connections, pools and caches are there.
const WARM_SECONDS: u64 = 2;

/// What one side showed over its rounds.
#[derive(Default)]
struct Side {
    rounds: Vec<Wrk>,
    /// Processor time of each watched process, over all rounds.
    cpu: Vec<Duration>,
}

impl Side {
    /// One round, with the processes it costs.
    fn run(&mut self, watched: &[u32], run: impl FnOnce() -> Result<Wrk, Fault>) -> Result<(), Fault> {
        let before = times(watched)?;
        self.rounds.push(run()?);
        self.cpu.resize(watched.len(), Duration::ZERO);
        for ((sum, after), before) in self.cpu.iter_mut().zip(times(watched)?).zip(before) {
            *sum += after.saturating_sub(before);
        }
        Ok(())
    }

    fn median(&self, of: fn(&Wrk) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// Milliseconds of processor time for a thousand requests.
    fn cost(&self, cpu: Duration) -> f64 {
        let requests: f64 = self.rounds.iter().map(|round| round.requests).sum();
        per(millis(cpu) * 1e3, requests)
    }

    fn write(&self, report: &mut Report, name: &str, processes: &[&str]) {
        report.tell(format!("{name}_per_second"), self.median(|round| round.per_second));
        report.tell(format!("{name}_p50_ms"), self.median(|round| round.p50_ms));
        report.tell(format!("{name}_p99_ms"), self.median(|round| round.p99_ms));
        for (process, cpu) in processes.iter().zip(&self.cpu) {
            report.tell(format!("{name}_{process}_cpu_ms_per_1000"), self.cost(*cpu));
        }
        let wrk = self.rounds.iter().map(|round| round.cpu).sum();
        report.tell(format!("{name}_wrk_cpu_ms_per_1000"), self.cost(wrk));
    }
}

pub(crate) fn run(setting: &Setting, seconds: u64, rounds: usize) -> Result<Report, Fault> {
    wrk::check()?;
    let mut report = Report::new("gateway", &setting.grange);
    let cloud = Cloud::start(setting)?;
    let done = guestbook::deploy(&cloud, &guestbook::write(cloud.root(), NAME, SIZE)?)?;
    let provider = guestbook::provider(&cloud, &done)?;
    let gateway = (0..cloud.nodes.len()).find(|index| *index != provider).ok_or("the cloud has one node")?;
    guestbook::visit(&cloud, gateway, NAME)?;
    let server = Direct::start(SIZE)?;

    let ask = |address, seconds| wrk::run(address, &guestbook::host(NAME), guestbook::PATH, seconds);
    let directly = |seconds| ask(server.address, seconds);
    let through = |seconds| ask(cloud.nodes[gateway].gateway, seconds);
    directly(WARM_SECONDS)?;
    through(WARM_SECONDS)?;
    let mut order = vec![gateway, provider];
    order.extend((0..cloud.nodes.len()).filter(|index| ![gateway, provider].contains(index)));
    let pids: Vec<u32> = order.iter().map(|index| cloud.nodes[*index].pid).collect();
    let (mut direct, mut carried) = (Side::default(), Side::default());
    for _ in 0..rounds {
        direct.run(&[server.pid()], || directly(seconds))?;
        carried.run(&pids, || through(seconds))?;
    }
    direct.write(&mut report, "direct", &["server"]);
    carried.write(&mut report, "through", &["gateway", "provider", "bystander_1", "bystander_2"]);
    let (one, other) = (carried.median(|round| round.per_second), direct.median(|round| round.per_second));
    report.hold("ratio", per(one, other), Limit::AtLeast(RATIO));
    report.note(format!(
        "{rounds} rounds of {seconds} s each way, in turn; medians; GET {}; gateway is node {gateway}, provider node \
         {provider}",
        guestbook::PATH
    ));
    Ok(report)
}

fn times(watched: &[u32]) -> Result<Vec<Duration>, Fault> {
    watched.iter().map(|pid| process::cpu(*pid)).collect()
}
