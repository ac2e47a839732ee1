//! Time a cloud of real node processes: finality, throughput, deploys, the gateway, idle nodes.
//!
//! One subcommand for each promise. Each starts processes of the `grange` binary in a folder of its own, measures, prints
//! a table (or with `--json` one object), and ends what it started, also upon failure and upon a signal.

mod cloud;
mod crowd;
mod deploy;
mod direct;
mod disk;
mod finality;
mod founding;
mod gateway;
mod guestbook;
mod http;
mod idle;
mod load;
mod lot;
mod process;
mod report;
mod stats;
mod tally;
mod throughput;
mod wrk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use clap::{Args, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use cloud::Setting;
use guestbook::Size;
use report::Report;

/// Whatever keeps a benchmark from being carried out; it is only ever told to whoever started it.
type Fault = Box<dyn std::error::Error + Send + Sync>;

/// A limit was missed, and `--strict` was given.
const MISSED: u8 = 1;
/// The benchmark could not be carried out.
const FAILED: u8 = 2;
/// A signal ended it.
const INTERRUPTED: u8 = 130;

/// Time a cloud of real node processes
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Args)]
struct Global {
    /// The program to measure
    #[arg(long, global = true, value_name = "PATH", default_value = "target/release/grange")]
    grange: PathBuf,
    /// Where the clouds' folders go, on the disk to measure; else the system's temporary folder
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, global = true)]
    json: bool,
    /// Exit with 1 when a limit is missed
    #[arg(long, global = true)]
    strict: bool,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// The time from a transfer's submission until its node holds the certificate
    Finality {
        /// Transfers, one at a time
        #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
        /// Only with all four nodes
        #[arg(long, conflicts_with = "dead")]
        alive: bool,
        /// Only with one of the four killed
        #[arg(long)]
        dead: bool,
    },
    /// Finalized transfers a second, and the time to finality meanwhile
    Throughput {
        /// The window
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
        seconds: u64,
        /// Accounts that send
        #[arg(long, default_value_t = 2_000)]
        senders: usize,
        /// Accounts in the genesis; a node takes at most 64 MiB of them
        #[arg(long, default_value_t = 1_000_000)]
        accounts: usize,
        /// Connections to each node, which accepts 256; each has one transfer under way
        #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u16).range(1..=250))]
        connections: u16,
    },
    /// From the start of `grange deploy` to the first correct byte of a cached wasm service
    Deploy {
        /// Deploys of new names, after a first one that compiles
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        count: u32,
    },
    /// Requests a second through a gateway on another peer, beside the same component served directly; needs wrk
    Gateway {
        /// Each run of wrk
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// Runs each way, in turn
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
    },
    /// Memory and processor time of the nodes of an idle cloud
    Idle {
        /// The window
        #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..))]
        seconds: u64,
        /// How long the cloud may settle before
        #[arg(long, default_value_t = 10)]
        settle: u64,
    },
    #[command(name = direct::SUBCOMMAND, hide = true)]
    ServeDirect { component: PathBuf, cpu_millis: u32, memory_mib: u64 },
    #[command(hide = true)]
    CompileComponent { input: PathBuf, output: PathBuf },
}

fn main() -> ExitCode {
    let Arguments { global, bench } = Arguments::parse();
    match bench {
        Bench::CompileComponent { input, output } => grange_sandbox::run_compile_component(&input, &output),
        Bench::ServeDirect { component, cpu_millis, memory_mib } => serve_direct(&component, cpu_millis, memory_mib),
        bench => until_done_or_told(move || carry_out(&global, &bench)),
    }
}

/// Runs the work in a thread of its own, so that this one can end it in order. Nodes live as long as that thread.
fn until_done_or_told(work: impl FnOnce() -> ExitCode + Send + 'static) -> ExitCode {
    let (done, ended) = mpsc::channel();
    let told = done.clone();
    thread::spawn(move || {
        if wait_for_signal().is_ok() {
            let _ = told.send(None);
        }
    });
    thread::spawn(move || done.send(Some(work())));
    match ended.recv() {
        Ok(Some(code)) => code,
        Ok(None) | Err(_) => {
            cloud::end_all();
            ExitCode::from(INTERRUPTED)
        }
    }
}

fn wait_for_signal() -> Result<(), Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    })
}

fn carry_out(global: &Global, bench: &Bench) -> ExitCode {
    match Setting::new(&global.grange, global.data.clone()).and_then(|setting| measure(&setting, bench)) {
        Ok(report) => {
            if global.json {
                println!("{}", report.json());
            } else {
                print!("{}", report.table());
            }
            if global.strict && !report.is_kept() { ExitCode::from(MISSED) } else { ExitCode::SUCCESS }
        }
        Err(error) => failed(&error),
    }
}

fn measure(setting: &Setting, bench: &Bench) -> Result<Report, Fault> {
    match *bench {
        Bench::Finality { count, alive, dead } => {
            let which = finality::Which { alive: !dead, dead: !alive };
            finality::run(setting, count as usize, which)
        }
        Bench::Throughput { seconds, senders, accounts, connections } => {
            let connections = usize::from(connections);
            throughput::run(setting, throughput::Wanted { seconds, senders, accounts, connections })
        }
        Bench::Deploy { count } => deploy::run(setting, count as usize),
        Bench::Gateway { seconds, rounds } => gateway::run(setting, seconds, rounds as usize),
        Bench::Idle { seconds, settle } => idle::run(setting, seconds, settle),
        Bench::ServeDirect { .. } | Bench::CompileComponent { .. } => Err("this is no benchmark".into()),
    }
}

fn serve_direct(component: &Path, cpu_millis: u32, memory_mib: u64) -> ExitCode {
    match direct::serve(component, Size { cpu_millis, memory_mib }) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Tells a failure with all its causes.
fn failed(error: &Fault) -> ExitCode {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::from(FAILED)
}
