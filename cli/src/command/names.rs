//! `name`: names that lead to deployments.

use grange_api::{Call, Name, NameRequest, Submitted};

use super::context::Context;
use crate::arguments::NameAction;
use crate::failure::Outcome;
use crate::table::Table;

/// Looks after names.
pub(super) fn run(context: Context<'_>, action: &NameAction) -> Outcome {
    match action {
        NameAction::List => {
            let client = context.actor("name list")?;
            let names: Vec<Name> = client.ask(&Call::Names)?;
            let empty = match client.prefix() {
                Some(prefix) => {
                    format!("the account holds no names that begin with {prefix}, which is all that the key shows")
                }
                None => "the account holds no names".to_owned(),
            };
            context.output.tabulate(&names, |names| table(names), &empty)
        }
        NameAction::Claim { name, deployment } => {
            let request = NameRequest { name: name.clone(), deployment: deployment.clone() };
            let claimed: Submitted = context.actor("name claim")?.ask(&Call::ClaimName(request))?;
            context
                .output
                .show(&claimed, |claimed| format!("{name} leads to {deployment} since block {}", claimed.height))
        }
        NameAction::Release { name } => {
            let call = Call::ReleaseName { name: name.clone() };
            let released: Submitted = context.actor("name release")?.ask(&call)?;
            context.output.show(&released, |released| format!("{name} is given back since block {}", released.height))
        }
    }
}

fn table(names: &[Name]) -> Table {
    let mut table = Table::new(&["name", "deployment", "url"]);
    for name in names {
        let or_none = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        table.row([name.name.clone(), or_none(&name.deployment), or_none(&name.url)]);
    }
    table
}
