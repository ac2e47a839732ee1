//! `ledger` and `network show`: what all agree on.

use grange_api::{Account, Call, Key, LedgerHeight, Network};

use super::{Context, called};
use crate::arguments::LedgerAction;
use crate::failure::Outcome;
use crate::table::Table;

/// Looks into the ledger.
pub(super) fn run(context: Context<'_>, action: &LedgerAction) -> Outcome {
    match action {
        LedgerAction::Height => {
            let height: LedgerHeight = context.reader("ledger height")?.ask(&Call::LedgerHeight)?;
            context.output.show(&height, |height| {
                let LedgerHeight { height, finalized_at, state_root } = height;
                let at = finalized_at.map_or_else(|| "no block yet".to_owned(), |at| at.to_string());
                format!("height      {height}\nfinalized   {at}\nstate root  {state_root}")
            })
        }
        LedgerAction::Account { id } => {
            let call = Call::LedgerAccount { account: *id };
            let account: Account = context.reader("ledger account")?.ask(&call)?;
            context.output.show(&account, |account| {
                let Account { account, available, pending, keys, height } = account;
                let head =
                    format!("account    {account}\navailable  {available}\npending    {pending}\nheight     {height}");
                [vec![head], self::keys(keys).lines()].concat().join("\n")
            })
        }
    }
}

/// Keys under each other.
pub(super) fn keys(keys: &[Key]) -> Table {
    let mut table = Table::new(&["key", "roles", ">at most a day"]);
    for key in keys {
        let most = key.per_day.map_or_else(|| "-".to_owned(), |amount| amount.to_string());
        table.row([key.key.to_string(), key.roles.join(","), most]);
    }
    table
}

/// Shows which network this is.
pub(super) fn network(context: Context<'_>) -> Outcome {
    let network: Network = context.reader("network show")?.ask(&Call::Network)?;
    context.output.show(&network, |network| {
        let mut table = Table::new(&["validator", "key", ">power"]);
        for validator in &network.validators {
            let name = called(&validator.display, Some(validator.account.peer()));
            table.row([name, validator.key.to_string(), validator.power.to_string()]);
        }
        let Network { network, name, protocol, height, .. } = network;
        let head = format!("network   {network}\nname      {name}\nprotocol  {protocol}\nheight    {height}");
        [vec![head], table.lines()].concat().join("\n")
    })
}
