//! Shows its proposals to one validator only, and gives decided blocks to nobody.

use grange_consensus::Message;
use grange_peer::{Action, Channel};
use grange_types::Wire;

use super::{Me, Villain};

pub(crate) struct Withholder;

impl Villain for Withholder {
    fn name(&self) -> &'static str {
        "withholder"
    }

    fn votes_falsely(&self) -> bool {
        true
    }

    fn act(&mut self, me: &Me<'_>, action: Action) -> Vec<Action> {
        match action {
            Action::Send { to, channel: Channel::Consensus, ref bytes } => {
                let favourite = me.others.first() == Some(&to);
                let withheld =
                    !favourite && matches!(Message::decode(bytes), Ok(Message::Proposal { .. } | Message::Offer(_)));
                if withheld { Vec::new() } else { vec![action] }
            }
            Action::Serve { .. } => Vec::new(),
            other => vec![other],
        }
    }
}
