//! Throughput: finalized transactions a second, of many senders, with a million accounts present.
//!
//! # Rules
//! - Each transaction is one transfer with its own signature. They are submitted to all four nodes over kept
//!   connections; a node accepts 256, so that at most about a thousand are under way.
//! - They are signed before the window where there are enough; how many were signed during it is told.
//! - The ledger counts: transactions in blocks of node 0 whose time is in the window. What clients were told is printed
//!   beside it, and over the whole run both must be the same number.
//!
//! # The limit
//! Every validator must verify every signature once: processors ÷ (validators × the time of one verification).

use std::time::{Duration, Instant};

use grange_ledger::Transaction;
use grange_types::{Millis, NetworkId, Signed, Time};

use crate::cloud::{Cloud, NODES, Setting};
use crate::crowd::{Crowd, Till};
use crate::load::{Lanes, Load, Window};
use crate::report::{Limit, Report, cores};
use crate::stats::{Sample, micros, per};
use crate::tally::tally;
use crate::{Fault, founding, process};

const PER_SECOND: f64 = 3_000.0;
const P99_MS: f64 = 1_000.0;
/// Runs before the window begins, so that it sees a cloud at work.
const WARM: Duration = Duration::from_secs(5);
/// Transfers that are signed beforehand, for each second: more than the promise.
const PREPARED: u64 = 4_000;
/// How long signed transfers hold. An hour is the most that the ledger takes.
const HOLDS: Millis = Millis::minutes(50);
/// Verifications that are timed.
const VERIFIED: usize = 2_000;

/// How much load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    pub(crate) seconds: u64,
    pub(crate) senders: usize,
    pub(crate) accounts: usize,
    /// To each node.
    pub(crate) connections: usize,
}

pub(crate) fn run(setting: &Setting, wanted: Wanted) -> Result<Report, Fault> {
    let mut report = Report::new("throughput", &setting.grange);
    let crowd = Crowd::gather(wanted.accounts, wanted.senders)?;
    let root = setting.folder()?;
    let (folders, network) = founding::found(root.path(), crowd.accounts())?;
    let expires = founding::now()?.after(HOLDS);
    let mut tills = crowd.tills(wanted.connections * NODES, network, expires);
    let verification = time_signatures(&mut report, &mut tills, network)?;
    let each = (wanted.seconds + WARM.as_secs()) * PREPARED / tills.len() as u64;
    Till::prepare(&mut tills, usize::try_from(each)?);

    let began = Instant::now();
    let mut cloud = Cloud::supervise(setting, root, &folders)?;
    report.tell("start_s", began.elapsed().as_secs_f64());
    let under_load = under_load(&cloud, tills, wanted.seconds)?;
    cloud.stop();
    write(&mut report, &cloud, &under_load, verification)?;
    report.note(format!(
        "{} accounts, {} senders, {} connections to each of {NODES} nodes, {} s after a warm-up of {} s",
        wanted.accounts,
        wanted.senders,
        wanted.connections,
        wanted.seconds,
        WARM.as_secs()
    ));
    Ok(report)
}

/// The time of one verification; tells that of one signature as well.
fn time_signatures(report: &mut Report, tills: &mut [Till], network: NetworkId) -> Result<Duration, Fault> {
    let (mut signing, mut verifying) = (Vec::new(), Vec::new());
    let count = tills.len();
    for number in 0..VERIFIED {
        let began = Instant::now();
        let transfer: Signed<Transaction> = tills[number % count].sign();
        signing.push(began.elapsed());
        let message = transfer.signed_bytes();
        let began = Instant::now();
        transfer.signer.verify(&message, &transfer.signature)?;
        verifying.push(began.elapsed());
        transfer.open(network, Time(0))?;
    }
    let (signing, verifying) = (Sample::new(signing).median(), Sample::new(verifying).median());
    report.tell("signing_us", micros(signing));
    report.tell("verification_us", micros(verifying));
    Ok(verifying)
}

/// What the load and the kernel told.
struct UnderLoad {
    load: Load,
    from: Time,
    until: Time,
    /// Processor time in the window: of each node, then of this program.
    cpu: Vec<Duration>,
    /// What the nodes hold at the window's end.
    resident: Vec<u64>,
}

fn under_load(cloud: &Cloud, tills: Vec<Till>, seconds: u64) -> Result<UnderLoad, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let lanes = Lanes::open(&cloud.nodes, tills).await?;
        let from = Instant::now() + WARM;
        let window = Window { from, until: from + Duration::from_secs(seconds) };
        let sending = tokio::spawn(lanes.run(window));
        tokio::time::sleep_until(window.from.into()).await;
        let (began, before) = (founding::now()?, cpu(cloud)?);
        tokio::time::sleep_until(window.until.into()).await;
        let (ended, after) = (founding::now()?, cpu(cloud)?);
        let memory = cloud.nodes.iter().map(|node| process::memory(node.pid));
        let resident = memory.map(|memory| memory.map(|memory| memory.resident)).collect::<Result<_, _>>()?;
        let cpu = after.iter().zip(before).map(|(after, before)| after.saturating_sub(before)).collect();
        Ok(UnderLoad { load: sending.await??, from: began, until: ended, cpu, resident })
    })
}

fn cpu(cloud: &Cloud) -> Result<Vec<Duration>, Fault> {
    let nodes = cloud.nodes.iter().map(|node| process::cpu(node.pid));
    nodes.chain([process::own_cpu()]).collect()
}

fn write(report: &mut Report, cloud: &Cloud, seen: &UnderLoad, verification: Duration) -> Result<(), Fault> {
    let UnderLoad { load, from, until, cpu, resident } = seen;
    let tally = tally(&cloud.nodes[0].data.join("chain"), *from, *until)?;
    let seconds = until.since(*from).0 as f64 / 1e3;
    let finalized = per(tally.inside as f64, seconds);
    let limit = per(cores() as f64, NODES as f64 * verification.as_secs_f64());
    report.hold("finalized_per_second", finalized, Limit::AtLeast(PER_SECOND));
    let times = Sample::new(load.times.clone());
    report.spread("finality", &times, None, Some(P99_MS));
    report.tell("answered_per_second", per(times.count() as f64, seconds));
    report.tell("limit_per_second", limit);
    report.tell("part_of_limit", per(finalized, limit));
    report.tell("blocks_per_second", per(tally.blocks as f64, seconds));
    report.tell("transactions_per_block", per(tally.inside as f64, tally.blocks as f64));
    report.spread("block_gap", &tally.gaps, None, None);
    for (index, time) in cpu.iter().enumerate() {
        let name = if index < NODES { format!("node_{index}_cpu_s") } else { "generator_cpu_s".to_owned() };
        report.tell(name, time.as_secs_f64());
    }
    let nodes: Duration = cpu.iter().take(NODES).sum();
    report.tell("nodes_cpu_us_per_transaction", per(micros(nodes), tally.inside as f64));
    report.tell("largest_node_mb", resident.iter().max().copied().unwrap_or_default() as f64 / 1e6);
    report.tell("refused", load.refused as f64);
    report.tell("signed_in_the_run", load.late as f64);
    if let Some(reason) = &load.reason {
        report.note(format!("the first refusal: {reason}"));
    }
    if tally.all != load.answered {
        report.note(format!("the ledger holds {} transactions, clients were told of {}", tally.all, load.answered));
    }
    Ok(())
}
