//! Time the ledger on one core: receipts, the check of one account, the join from a snapshot.
//!
//! ```text
//! target/release/grange-bench-ledger receipts [COUNT]     # receipts of 4,096 leases, 32,768 by default
//! target/release/grange-bench-ledger light [COUNT]        # one account of so many, a million by default
//! target/release/grange-bench-ledger join [COUNT]         # a state of so many accounts, a million by default
//! ```
//!
//! # Rules
//! - One thread does everything that is timed.
//! - Beside each number stands what no program could save, measured in the same run: signatures, hashes, flushes.
//! - What comes out is checked: every receipt is paid, every proof holds and a false one does not, the newcomer has the
//!   root and the money of whoever it joined. Else the bench fails.

mod chain;
mod join;
mod light;
mod limit;
mod receipts;
mod sample;
mod store;

use std::process::ExitCode;

/// Whatever keeps a benchmark from being carried out; it is only ever told to whoever started it.
type Fault = Box<dyn std::error::Error + Send + Sync>;

const USAGE: &str = "usage: grange-bench-ledger receipts | light | join [COUNT]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (bench, count) = match &arguments[..] {
        [bench] => (bench, None),
        [bench, count] => match count.parse::<usize>() {
            Ok(count) if count > 0 => (bench, Some(count)),
            _ => return misused(&format!("{count} is no count")),
        },
        _ => return misused("which bench?"),
    };
    let done = match bench.as_str() {
        "receipts" => receipts::run(count.unwrap_or(32_768)),
        "light" => light::run(count.unwrap_or(1_000_000)),
        "join" => join::run(count.unwrap_or(1_000_000)),
        other => return misused(&format!("there is no bench {other}")),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {bench}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn misused(why: &str) -> ExitCode {
    eprintln!("{why}\n{USAGE}");
    ExitCode::from(2)
}
