//! The audit log's side of a request: a record that is written when the call is over, however it ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use grange_api::{Line, Operation, Problem};

use crate::backend::{Backend, CallRecord, CallResult, Lines, Principal};

/// Requests are numbered from the microsecond at which the first came, so that no two have one id, also across starts.
static FIRST: OnceLock<u64> = OnceLock::new();
static COUNT: AtomicU64 = AtomicU64::new(0);

fn request_id() -> String {
    let micros = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
    let number = FIRST.get_or_init(micros).wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
    format!("{number:016x}")
}

/// A call under way. Dropped before its end, it is written down as cut.
pub(super) struct Entry {
    backend: Arc<dyn Backend>,
    record: Option<CallRecord>,
}

impl Entry {
    pub(super) fn begin(backend: &Arc<dyn Backend>, operation: Operation) -> Self {
        let record = CallRecord {
            principal: None,
            operation,
            object: String::new(),
            status: 200,
            result: CallResult::Cut,
            request: request_id(),
        };
        Self { backend: Arc::clone(backend), record: Some(record) }
    }

    pub(super) fn request(&self) -> String {
        self.record.as_ref().map(|record| record.request.clone()).unwrap_or_default()
    }

    pub(super) fn by(&mut self, principal: &Principal) {
        if let Some(record) = &mut self.record {
            record.principal = Some(principal.clone());
        }
    }

    pub(super) fn about(&mut self, object: String) {
        if let Some(record) = &mut self.record {
            record.object = object;
        }
    }

    /// It ended with this answer, which may leave when this is written down.
    pub(super) async fn end(mut self, outcome: Result<(), &Problem>) {
        let Some(mut record) = self.record.take() else { return };
        match outcome {
            Ok(()) => record.result = CallResult::Done,
            Err(problem) => {
                record.status = problem.status();
                record.result = CallResult::Failed(problem.code);
            }
        }
        self.backend.record(record).await;
    }

    /// Its answer is a stream: written down when that ends. The status was said at the beginning, whatever comes.
    pub(super) fn watch(self, lines: Lines) -> Lines {
        let began = (lines, self, CallResult::Done);
        let next = |(mut lines, mut entry, mut result): (Lines, Self, CallResult)| async move {
            match lines.next().await {
                Some(line) => {
                    if let Ok(Line::Problem(problem)) | Err(problem) = &line {
                        result = CallResult::Failed(problem.code);
                    }
                    Some((line, (lines, entry, result)))
                }
                None => {
                    if let Some(mut record) = entry.record.take() {
                        record.result = result;
                        entry.backend.record(record).await;
                    }
                    None
                }
            }
        };
        stream::unfold(began, next).boxed()
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        if let Some(record) = self.record.take() {
            // Nobody is there to be answered.
            drop(self.backend.record(record));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_requests_have_one_id() {
        let ids: std::collections::BTreeSet<String> = (0..100).map(|_| request_id()).collect();
        assert_eq!(ids.len(), 100);
    }
}
