//! Is a validator and never says a word of consensus.

use grange_peer::{Action, Channel};

use super::{Me, Villain};

pub(crate) struct Silent;

impl Villain for Silent {
    fn name(&self) -> &'static str {
        "silent"
    }

    fn votes_falsely(&self) -> bool {
        true
    }

    fn act(&mut self, _me: &Me<'_>, action: Action) -> Vec<Action> {
        match action {
            Action::Send { channel: Channel::Consensus, .. } => Vec::new(),
            other => vec![other],
        }
    }
}
