//! Transfers and requests from threads of their own while machines die, and what became of each.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::support::{Cloud, UNIT, problem_of, units, until};

/// What each transfer moves: a millionth of a credit.
const AMOUNT: &str = "0.000001";

/// How a node says that it cannot do something now: codes of problems, and statuses of its gateway.
pub(crate) const NOT_NOW: [&str; 6] = ["ledger-halted", "not-ready", "timeout", "502", "503", "504"];
/// What a client makes of a node that is gone, or goes while it answers.
pub(crate) const GONE: [&str; 2] = ["no-node", "0"];

/// Where a load goes.
#[derive(Clone, Copy)]
pub(crate) struct Through<'a> {
    /// The nodes whose operators pay.
    pub(crate) payers: &'a [usize],
    /// The nodes whose gateways are asked.
    pub(crate) gateways: &'a [usize],
    /// The app that they are asked for.
    pub(crate) app: &'a str,
}

/// Transfers to an account that had nothing before, and requests to an app.
pub(crate) struct Load {
    to: String,
    tried: AtomicU64,
    acknowledged: AtomicU64,
    answered: AtomicU64,
    refused: Mutex<BTreeMap<String, u64>>,
    stop: AtomicBool,
}

/// Stops a load also when the test fails, or its threads would be waited for for ever.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Load {
    /// Nothing yet.
    pub(crate) fn new() -> Self {
        Self {
            to: "12".repeat(32),
            tried: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            refused: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Does something under load, which runs by then and ends with it.
    pub(crate) fn run<T>(&self, cloud: &Cloud, through: Through<'_>, during: impl FnOnce() -> T) -> T {
        self.stop.store(false, Ordering::SeqCst);
        std::thread::scope(|scope| {
            let _stop = Stop(&self.stop);
            scope.spawn(|| self.pay(cloud, through.payers));
            scope.spawn(|| self.ask(cloud, through.gateways, through.app));
            self.until_it_goes_on("the load runs");
            during()
        })
    }

    /// Waits until five more transfers are acknowledged and five more requests answered.
    #[track_caller]
    pub(crate) fn until_it_goes_on(&self, what: &str) {
        let (paid, answered) = (self.acknowledged(), self.answered());
        let goes_on = || self.acknowledged() >= paid + 5 && self.answered() >= answered + 5;
        until(what, Duration::from_secs(30), goes_on);
    }

    /// Transfers that were answered with a height.
    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Requests that the app answered.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::SeqCst)
    }

    /// A node knows of every transfer that was acknowledged, or will as soon as it has heard of the last height, and of no
    /// more than were tried: none is lost or done twice. For a load that has ended.
    #[track_caller]
    pub(crate) fn is_kept_by(&self, cloud: &Cloud, node: usize) {
        let has = || {
            let account = cloud.json_of(node, &["ledger", "account", &self.to]);
            units(&account["available"]) / (UNIT / 1_000_000)
        };
        let (least, most) = (u128::from(self.acknowledged()), u128::from(self.tried.load(Ordering::SeqCst)));
        until(&format!("node {node} has the {least} acknowledged"), Duration::from_secs(10), || has() >= least);
        assert!(has() <= most, "{most} were tried, node {node} has {}", has());
    }

    /// What was not acknowledged was refused in these words alone.
    #[track_caller]
    pub(crate) fn was_refused_only_as(&self, clean: &[&str]) {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(refused.keys().all(|word| clean.contains(&word.as_str())), "refused as {refused:?}");
    }

    /// Transfers through one node after the other.
    fn pay(&self, cloud: &Cloud, payers: &[usize]) {
        for payer in payers.iter().cycle() {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            self.tried.fetch_add(1, Ordering::SeqCst);
            let arguments = ["--node", &cloud.nodes[*payer].api, "wallet", "send", &self.to, AMOUNT, "--json"];
            let output = cloud.run(&arguments);
            if is_acknowledged(&output) {
                self.acknowledged.fetch_add(1, Ordering::SeqCst);
            } else {
                let problem = problem_of(&arguments, &output);
                self.refuse(problem["code"].as_str().unwrap());
            }
        }
    }

    /// Asks an app through one gateway after the other.
    fn ask(&self, cloud: &Cloud, gateways: &[usize], app: &str) {
        for gateway in gateways.iter().cycle() {
            if self.stop.load(Ordering::SeqCst) {
                return;
            }
            match cloud.get(*gateway, app, "/entries").0 {
                200 => drop(self.answered.fetch_add(1, Ordering::SeqCst)),
                status => self.refuse(&status.to_string()),
            }
        }
    }

    fn refuse(&self, word: &str) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused.entry(word.to_owned()).or_default() += 1;
    }
}

/// Whether a transfer was answered with a height.
fn is_acknowledged(output: &Output) -> bool {
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    output.status.success() && answer["height"].is_u64()
}
