//! `wallet` and `usage`: what there is, what came and went, what was used.

use grange_api::{Call, Direction, HistoryEntry, Submitted, TransferRequest, Wallet};

use super::Context;
use crate::arguments::WalletAction;
use crate::failure::Outcome;
use crate::table::Table;

/// Looks after the account's money.
pub(super) fn wallet(context: Context<'_>, action: &WalletAction) -> Outcome {
    match action {
        WalletAction::Balance => {
            let wallet: Wallet = context.actor("wallet balance")?.ask(&Call::Wallet)?;
            context.output.show(&wallet, |wallet| {
                let Wallet { account, available, pending } = wallet;
                let pending = super::ledger::aside(*pending);
                format!("account    {account}\navailable  {available}\npending    {pending}")
            })
        }
        WalletAction::Send { to, amount, memo } => {
            let request = TransferRequest { to: *to, amount: *amount, memo: memo.clone() };
            let sent: Submitted = context.actor("wallet send")?.ask(&Call::Transfer(request))?;
            context.output.show(&sent, |sent| {
                format!("{amount} credits are sent; transaction {} is final in block {}", sent.transaction, sent.height)
            })
        }
        WalletAction::History { limit } => {
            let call = Call::WalletHistory { limit: *limit };
            let entries: Vec<HistoryEntry> = context.actor("wallet history")?.ask(&call)?;
            context.output.tabulate(&entries, |entries| history(entries), "nothing came or went")
        }
    }
}

fn history(entries: &[HistoryEntry]) -> Table {
    let mut table = Table::new(&[">block", "at", "kind", ">amount", "other side", "memo"]);
    for entry in entries {
        let sign = match entry.direction {
            Direction::In => "+",
            Direction::Out => "-",
        };
        table.row([
            entry.height.to_string(),
            entry.at.to_string(),
            entry.kind.to_string(),
            format!("{sign}{}", entry.amount),
            entry.counterparty.map_or_else(|| "-".to_owned(), |account| account.short()),
            entry.memo.clone(),
        ]);
    }
    table
}
