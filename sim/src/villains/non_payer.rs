//! Has others work for it and signs no receipt.

use grange_peer::{Action, MarketMessage};
use grange_types::Wire;

use super::{Me, Villain};

pub(crate) struct NonPayer;

impl Villain for NonPayer {
    fn name(&self) -> &'static str {
        "non_payer"
    }

    fn act(&mut self, _me: &Me<'_>, action: Action) -> Vec<Action> {
        match action {
            Action::Send { ref bytes, .. } if matches!(MarketMessage::decode(bytes), Ok(MarketMessage::Receipt(_))) => {
                Vec::new()
            }
            other => vec![other],
        }
    }
}
