//! Who writes and who pays while things break, and what was acknowledged to them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::Scope;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::cloud::APP;
use crate::host::Host;
use crate::plan::{HOSTS, VALIDATORS};

/// Who is paid: an account that has nothing before.
pub(crate) const RECEIVER: &str = "1212121212121212121212121212121212121212121212121212121212121212";
/// What each transfer moves.
pub(crate) const AMOUNT: &str = "0.000001";
/// How every memo begins, and how long it is: `storm/ada/000017`.
pub(crate) const MEMO: &str = "storm/";
/// The pause of a writer and of a payer between two.
const WRITE_EVERY: Duration = Duration::from_millis(900);
const PAY_EVERY: Duration = Duration::from_millis(400);
/// How long an answer is waited for. Whoever gives up knows nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was tried and acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Load {
    stop: AtomicBool,
    number: AtomicU64,
    /// Messages of the guestbook that were acknowledged.
    entries: Mutex<BTreeSet<String>>,
    /// Memos of transfers that were tried, and the height at which each is final, as it was told.
    transfers: Mutex<BTreeMap<String, Option<u64>>>,
    /// How often each host's gateway took an entry, and each host's node a transfer.
    written: [AtomicU64; HOSTS.len()],
    paid: [AtomicU64; HOSTS.len()],
    /// What came instead of an acknowledgement, and how often.
    refused: Mutex<BTreeMap<String, u64>>,
}

/// Stops a load when it is dropped, so that nobody waits for its threads for ever.
pub(crate) struct Stop<'a>(&'a Load);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }
}

impl Load {
    /// Begins it: a writer at every host, and a payer at every host that was given money.
    pub(crate) fn run<'scope, 'a: 'scope>(&'a self, scope: &'scope Scope<'scope, '_>, hosts: &'a [Host]) -> Stop<'a> {
        for (index, host) in hosts.iter().enumerate() {
            scope.spawn(move || self.every(WRITE_EVERY, || self.write(index, host)));
            if index < VALIDATORS {
                scope.spawn(move || self.every(PAY_EVERY, || self.pay(index, host)));
            }
        }
        Stop(self)
    }

    /// Entries and transfers that each host took until now.
    pub(crate) fn taken(&self) -> Vec<(u64, u64)> {
        let read = |counts: &[AtomicU64]| counts.iter().map(|count| count.load(Ordering::SeqCst)).collect::<Vec<_>>();
        read(&self.written).into_iter().zip(read(&self.paid)).collect()
    }

    pub(crate) fn entries(&self) -> BTreeSet<String> {
        lock(&self.entries).clone()
    }

    pub(crate) fn transfers(&self) -> BTreeMap<String, Option<u64>> {
        lock(&self.transfers).clone()
    }

    pub(crate) fn refused(&self) -> BTreeMap<String, u64> {
        lock(&self.refused).clone()
    }

    fn every(&self, pause: Duration, mut work: impl FnMut()) {
        while !self.stop.load(Ordering::SeqCst) {
            let begun = Instant::now();
            work();
            std::thread::sleep(pause.saturating_sub(begun.elapsed()).max(Duration::from_millis(50)));
        }
    }

    fn write(&self, index: usize, host: &Host) {
        let message = format!("entry {:06}", self.number.fetch_add(1, Ordering::SeqCst));
        match host.page("POST", APP, "/entries", Some(&json!({ "name": host.name, "message": message }))) {
            Ok((status, _)) if status / 100 == 2 => {
                lock(&self.entries).insert(message);
                self.written[index].fetch_add(1, Ordering::SeqCst);
            }
            Ok((0, _)) => self.refuse("write unanswered", ""),
            Ok((status, text)) => self.refuse(&format!("write {status}"), &text),
            Err(error) => self.refuse("write", &error.to_string()),
        }
    }

    fn pay(&self, index: usize, host: &Host) {
        let memo = format!("{MEMO}{}/{:06}", host.name, self.number.fetch_add(1, Ordering::SeqCst));
        lock(&self.transfers).insert(memo.clone(), None);
        let order = json!({ "to": RECEIVER, "amount": AMOUNT, "memo": memo });
        let answer = host.api_text("POST", "/v1/wallet/transfers", Some(&order), PATIENCE);
        let height = |text: String| serde_json::from_str::<serde_json::Value>(&text).ok()?["height"].as_u64();
        match answer.map(height) {
            Ok(Some(height)) => {
                lock(&self.transfers).insert(memo, Some(height));
                self.paid[index].fetch_add(1, Ordering::SeqCst);
            }
            Ok(None) => self.refuse("pay", "an answer without a height"),
            Err(error) => self.refuse("pay", &error.to_string()),
        }
    }

    /// What kind of answer it was: its code where it is a problem.
    fn refuse(&self, what: &str, text: &str) {
        let code = text.split_once("\"code\":").and_then(|(_, rest)| rest.split('"').nth(1));
        *lock(&self.refused).entry(format!("{what} {}", code.unwrap_or("-"))).or_default() += 1;
    }
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
