//! Finality: from a transfer's submission at a node's API until that node holds the certificate.
//!
//! # Rules
//! - Transfers go one at a time, each to a node drawn by lot: whoever took turns would meet the proposers, who take turns
//!   as well, always at the same distance.
//! - The API answers when the block is durable and applied, so the time of the call is the time to finality.
//! - With one of four dead: the clock runs from the kill on, so that noticing it is part of the result.
//!
//! # The limit
//! [`FLUSHES`] follow each other between submission and answer, whoever proposes; `strace -f -e fdatasync` shows them:
//! the proposer's before its proposal; that of the others before their prevotes; everybody's before the precommits; and
//! at the node that was asked one of the chain. Loopback's round trips take tens of microseconds and are left out.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cloud::{Cloud, Node, Setting};
use crate::http::{self, Connection};
use crate::lot::Lot;
use crate::report::Report;
use crate::stats::{Sample, micros, millis, per};
use crate::{Fault, disk};

/// Flushes in a row between a submission and its answer.
const FLUSHES: u32 = 4;
/// Transfers before the clock starts.
const WARM: usize = 20;
/// The most that median and 99th percentile may be, in milliseconds, with all four nodes and with three.
const ALIVE: (f64, f64) = (50.0, 200.0);
const DEAD: (f64, f64) = (150.0, 1_500.0);
/// Who is killed; not the first, whom commands ask.
const VICTIM: usize = 3;

/// Which clouds are measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Which {
    pub(crate) alive: bool,
    pub(crate) dead: bool,
}

pub(crate) fn run(setting: &Setting, count: usize, which: Which) -> Result<Report, Fault> {
    let mut report = Report::new("finality", &setting.grange);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let cloud = Cloud::start(setting)?;
    runtime.block_on(transfers(&cloud.nodes, WARM))?;
    let mut median = None;
    if which.alive {
        let sample = runtime.block_on(transfers(&cloud.nodes, count))?;
        report.spread("finality", &sample, Some(ALIVE.0), Some(ALIVE.1));
        median = Some(sample.median());
    }
    if which.dead {
        cloud.kill(VICTIM)?;
        let living: Vec<Node> = cloud
            .nodes
            .iter()
            .enumerate()
            .filter(|(index, _)| *index != VICTIM)
            .map(|(_, node)| node.clone())
            .collect();
        let sample = runtime.block_on(transfers(&living, count))?;
        report.spread("one_dead", &sample, Some(DEAD.0), Some(DEAD.1));
    }
    limit(&mut report, &cloud, median)?;
    report
        .note(format!("{count} transfers each, one at a time, each at a node drawn by lot; one_dead from the kill on"));
    Ok(report)
}

/// What the disk allows, measured while the cloud has nothing to do.
fn limit(report: &mut Report, cloud: &Cloud, median: Option<Duration>) -> Result<(), Fault> {
    let sample = disk::flushes(cloud.root(), "flush")?;
    let alone = sample.median();
    let together = disk::flush_together(cloud.root(), cloud.nodes.len())?;
    report.tell("flush_p10_us", micros(sample.permille(100)));
    report.tell("flush_us", micros(alone));
    report.tell("flush_four_at_once_us", micros(together));
    report.tell("limit_ms", millis(alone * FLUSHES));
    report.tell("limit_four_at_once_ms", millis(together * FLUSHES));
    if let Some(median) = median {
        report.tell("p50_over_limit", per(millis(median), millis(alone * FLUSHES)));
        report.tell("p50_over_limit_four_at_once", per(millis(median), millis(together * FLUSHES)));
    }
    report.note(format!("limit = {FLUSHES} flushes in a row: 3 for votes, 1 of the chain"));
    Ok(())
}

/// One node's API, ready to be asked.
struct Teller {
    connection: Connection,
    request: Vec<u8>,
}

impl Teller {
    /// Whose every transfer goes to `to`.
    async fn open(node: &Node, to: &str) -> Result<Self, Fault> {
        let api: SocketAddr = node.api;
        let head = http::post_head(api, "/v1/wallet/transfers", &node.token()?, "application/json");
        let body = json!({ "to": to, "amount": "0.000001" }).to_string();
        let mut request = Vec::new();
        http::post(&mut request, &head, body.as_bytes());
        Ok(Self { connection: Connection::open(api).await?, request })
    }

    async fn transfer(&mut self) -> Result<Duration, Fault> {
        let began = Instant::now();
        let answer = self.connection.exchange(&self.request).await?;
        let took = began.elapsed();
        if answer.is_success() { Ok(took) } else { Err(format!("a transfer was refused: {}", answer.text()).into()) }
    }
}

async fn transfers(nodes: &[Node], count: usize) -> Result<Sample, Fault> {
    let mut tellers = Vec::new();
    for (node, to) in nodes.iter().zip(nodes.iter().cycle().skip(1)) {
        tellers.push(Teller::open(node, &to.peer).await?);
    }
    let mut lot = Lot::new(1);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let drawn = lot.below(tellers.len());
        times.push(tellers[drawn].transfer().await?);
    }
    Ok(Sample::new(times))
}
