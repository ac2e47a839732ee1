//! `wallet` and `usage`: what there is, what came and went, what was used.

use grange_api::{Budget, Call, CapRequest, Caps, Direction, HistoryEntry, Submitted, TransferRequest, Wallet};
use grange_types::Amount;

use super::context::Context;
use super::place::Place;
use crate::arguments::{Sealed, WalletAction};
use crate::failure::{Failure, Outcome};
use crate::machine;
use crate::table::Table;

/// Looks after the account's money.
pub(super) fn wallet(context: Context<'_>, action: &WalletAction) -> Outcome {
    match action {
        WalletAction::Balance => {
            let wallet: Wallet = context.actor("wallet balance")?.ask(&Call::Wallet)?;
            context.output.show(&wallet, |wallet| {
                let Wallet { account, available, pending, deposit } = wallet;
                let pending = super::ledger::aside(*pending);
                let text = format!("account    {account}\navailable  {available}\npending    {pending}");
                if deposit.is_zero() { text } else { format!("{text}\ndeposit    {deposit}") }
            })
        }
        WalletAction::Send { to, amount, memo } => {
            let request = TransferRequest { to: *to, amount: *amount, memo: memo.clone() };
            let sent: Submitted = context.actor("wallet send")?.ask(&Call::Transfer(request))?;
            context.output.show(&sent, |sent| {
                let (amount, height) = (amount.in_words(), sent.height);
                format!("sent {amount}; transaction {} is final in block {height}", sent.transaction)
            })
        }
        WalletAction::Caps { per_day: None, .. } => {
            let caps: Caps = context.actor("wallet caps")?.ask(&Call::Caps)?;
            show_caps(context, &caps)
        }
        WalletAction::Caps { per_day: Some(cap), sealed } => {
            let set = set_cap(context, sealed, cap.0)?;
            context.output.show(&set, |set| {
                let (transaction, height) = (set.transaction, set.height);
                let now = daily(cap.0);
                format!("{now}; transaction {transaction} is final in block {height}")
            })
        }
        WalletAction::History { limit } => {
            let call = Call::WalletHistory { limit: *limit };
            let entries: Vec<HistoryEntry> = context.actor("wallet history")?.ask(&call)?;
            context.output.tabulate(&entries, |entries| history(entries), "nothing came or went")
        }
    }
}

/// Only an owner's key may say it: the one that is sealed on this machine, else the node's own.
fn set_cap(context: Context<'_>, sealed: &Sealed, per_day: Option<Amount>) -> Result<Submitted, Failure> {
    const OPERATION: &str = "wallet caps";
    let Some(place) = Place::with_owners_key(context, sealed, OPERATION)? else {
        return Ok(context.actor(OPERATION)?.ask(&Call::SetCap(CapRequest { per_day }))?);
    };
    let owner = place.owner(sealed, &place.grants(place.account)?)?;
    Ok(place.submit(|nonce| owner.set_cap(per_day, machine::now(), nonce))?)
}

/// What a cap means, in a sentence.
fn daily(per_day: Option<Amount>) -> String {
    match per_day {
        Some(per_day) => format!("each key may put {} into deployments a day", per_day.in_words()),
        None => "nothing caps what a key may put into deployments a day, and nothing of it is counted".to_owned(),
    }
}

fn show_caps(context: Context<'_>, caps: &Caps) -> Outcome {
    if context.output.is_json() {
        return context.output.data(caps);
    }
    let first = "; the first deployment sets ten times its budget";
    context.output.line(&format!("{}{}", daily(caps.per_day), if caps.set { "" } else { first }))?;
    let mut keys = Table::new(&["key", ">counted today", ">of the cap"]);
    for used in &caps.keys {
        let part = used.used.map_or_else(|| "-".to_owned(), |used| format!("{used} %"));
        keys.row([used.key.to_string(), used.put.to_string(), part]);
    }
    if !keys.is_empty() {
        context.output.table(&keys)?;
    }
    let mut budgets = Table::new(&["deployment", ">budget", ">left", "runs until", "alert"]);
    for found in &caps.deployments {
        let Budget { budget, left, alert, runs_until } = &found.budget;
        budgets.row([
            found.deployment.clone(),
            budget.to_string(),
            left.to_string(),
            runs_until.map_or_else(|| "-".to_owned(), |until| until.to_string()),
            alert.map_or_else(|| "-".to_owned(), |level| format!("{level} % used")),
        ]);
    }
    if budgets.is_empty() { Ok(()) } else { context.output.table(&budgets) }
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
