//! How far a deployment has come, and what is true of it when Ctrl-C breaks the command off.

use std::sync::{Arc, Mutex, PoisonError};

use grange_api::{Problem, ProblemCode};

use crate::stop_signal::INTERRUPTED;

/// Where a deployment is, as far as the command knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing was asked of the node but to keep files.
    Preparing,
    /// The node has the order and looks whether it can be carried out; it drops it if nobody waits for the answer.
    Asking,
    /// The node has taken the order.
    Ordered,
    /// It is done, and its URLs are tried.
    Done,
}

/// The present step, shared with whoever speaks at the end.
#[derive(Debug, Clone)]
pub(crate) struct Steps(Arc<Mutex<Step>>);

impl Steps {
    /// Nothing is ordered yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Step::Preparing)))
    }

    /// From now on this holds.
    pub(crate) fn are_at(&self, step: Step) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = step;
    }

    /// What to say if it is broken off now.
    pub(crate) fn broken_off(&self, name: &str) -> Problem {
        let step = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (message, remedy) = match step {
            Step::Preparing => (
                "interrupted before anything was ordered".to_owned(),
                "deploy again; what was sent is not sent twice".to_owned(),
            ),
            Step::Asking => (
                "interrupted while the node was looking at the order, which it drops unless it took it at that moment"
                    .to_owned(),
                format!("`grange ps {name}` shows whether it did; if not, deploy again"),
            ),
            Step::Ordered => (
                format!("interrupted; the node goes on deploying {name} by itself"),
                format!("`grange ps {name}` looks, `grange down {name}` ends it"),
            ),
            Step::Done => (
                format!("interrupted; {name} is deployed, but whether its URLs answer was not waited for"),
                format!("`grange ps {name}` looks, `grange down {name}` ends it"),
            ),
        };
        // The code for what was not done in the time that it was given; the exit is what a shell gives for Ctrl-C.
        let problem = Problem::new(ProblemCode::Timeout, "deploy", name, message).with_remedy(remedy);
        Problem { exit: INTERRUPTED, ..problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_true_at_each_step() {
        let steps = Steps::new();
        let said = || steps.broken_off("shop");
        assert_eq!(said().message, "interrupted before anything was ordered");
        assert_eq!((said().code, said().exit), (ProblemCode::Timeout, 130));
        steps.are_at(Step::Asking);
        assert!(said().remedy.contains("grange ps shop"));
        steps.are_at(Step::Ordered);
        assert_eq!(said().message, "interrupted; the node goes on deploying shop by itself");
        steps.are_at(Step::Done);
        assert!(said().message.contains("shop is deployed"));
    }
}
