//! `usage`: the bill of a deployment, and whether the receipts in the blocks come to the same.

use grange_api::{Budget, Call, Problem, ProblemCode, Usage};
use grange_types::{Amount, DeploymentId, Height};
use serde::Serialize;

use super::context::Context;
use super::{focus, ledger};
use crate::arguments::{Bill, BillAction, BillFormat, Trusted};
use crate::failure::{Failure, Outcome};
use crate::node_process::{Audit, InvoiceError};
use crate::output::counted;
use crate::table::Table;

/// The command that makes a bill again, as problems name it.
const VERIFY: &str = "usage verify";
/// The bill goes on while it is looked at: so often is it compared before it is said that it differs.
const TRIES: usize = 5;

/// What came of making a bill again.
#[derive(Debug, Serialize)]
struct Verified<'a> {
    deployment: &'a str,
    /// Which one that is: the node's word where the ledger has the name no more.
    id: DeploymentId,
    height: Height,
    /// `genesis` or `checkpoint`.
    from: &'static str,
    /// How many leases are paid by a receipt that was read.
    receipts: u64,
    lines: &'a [grange_api::UsageRow],
    settled: Amount,
    ok: bool,
}

/// Shows a bill, or makes it again.
pub(super) fn run(context: Context<'_>, bill: &Bill) -> Outcome {
    match (&bill.action, &bill.name) {
        (Some(BillAction::Verify { name, trusted }), _) => verify(context, name, trusted),
        (None, Some(name)) => match bill.format {
            Some(BillFormat::Focus) => focus::print(context, name),
            None => show(context, name),
        },
        // The arguments demand one of them.
        (None, None) => Ok(()),
    }
}

fn show(context: Context<'_>, name: &str) -> Outcome {
    let usage: Usage = context.reader("usage")?.ask(&Call::Usage { name: name.to_owned() })?;
    if context.output.is_json() {
        return context.output.data(&usage);
    }
    let table = table(&usage);
    if !table.is_empty() {
        context.output.table(&table)?;
    }
    context.output.line(&format!("total {}, of which {} are paid out", usage.total.in_words(), usage.settled))?;
    if !usage.disputed.is_zero() {
        let more = usage.disputed.in_words();
        context.output.line(&format!("beyond that providers ask for {more}; the payer disputes it, and it is held"))?;
    }
    if let Some(standing) = standing(&usage) {
        context.output.line(&standing)?;
    }
    let Some(Budget { budget, left, alert, runs_until }) = usage.budget else { return Ok(()) };
    let until = runs_until.map_or_else(String::new, |until| format!("; it runs until {until}"));
    let used = alert.map_or_else(String::new, |level| format!(" ({level} % are used)"));
    context.output.line(&format!("{left} of the budget of {budget} are left{used}{until}"))
}

/// What became of a deployment that was removed, and whether its bill may still change.
fn standing(usage: &Usage) -> Option<String> {
    let removed = usage.removed?;
    let rest = match usage.claims_until {
        _ if usage.is_final => "; the bill is final".to_owned(),
        Some(until) => format!("; the bill is not final: its providers may claim until {until}"),
        None => "; the bill is not final: its providers may still claim".to_owned(),
    };
    Some(format!("it was removed at {removed}{rest}"))
}

fn table(usage: &Usage) -> Table {
    let mut table = Table::new(&["service", "lease", "provider", "counted", ">quantity", ">price", ">amount"]);
    for row in &usage.lines {
        table.row([
            row.service.clone(),
            row.lease.short(),
            row.provider.short(),
            row.sku.to_string(),
            row.quantity.clone(),
            row.price.to_string(),
            row.amount.to_string(),
        ]);
    }
    table
}

/// Audits the node's chain, makes the bill again from the receipts in it, and holds the node's own against that.
fn verify(context: Context<'_>, name: &str, trusted: &Trusted) -> Outcome {
    let (client, mut audit) = ledger::begin(context, VERIFY, trusted)?;
    let (mut theirs, mut ours) = (Amount::ZERO, Amount::ZERO);
    for _ in 0..TRIES {
        let said: Usage = client.ask(&Call::Usage { name: name.to_owned() })?;
        audit = ledger::take_blocks(&client, audit, context.output)?;
        let invoice = match audit.bill(name) {
            // It was removed, and the ledger has its name no more: the node says which it was, and every line is verified.
            Err(InvoiceError::Unknown) => audit.bill(&said.deployment.to_string()),
            bill => bill,
        };
        let invoice = invoice.map_err(|error| fails(&error, name, &audit))?;
        (theirs, ours) = (said.settled, invoice.usage.settled);
        if theirs != ours {
            // Somebody was paid in between.
            continue;
        }
        let verified = Verified {
            deployment: name,
            id: invoice.usage.deployment,
            height: audit.summary().height,
            from: trusted.beginning(),
            receipts: invoice.receipts,
            lines: &invoice.usage.lines,
            settled: ours,
            ok: true,
        };
        if !context.output.is_json() {
            let table = table(&invoice.usage);
            if !table.is_empty() {
                context.output.table(&table)?;
            }
        }
        return context.output.show(&verified, |verified| {
            let Verified { id, height, from, receipts, settled, .. } = verified;
            let leases = counted(usize::try_from(*receipts).unwrap_or(usize::MAX), "lease", "leases");
            format!(
                "the receipts of {leases} of deployment {id} in the blocks from the {from} to height {height} come to \
                 {}, as the node says",
                settled.in_words()
            )
        });
    }
    let height = audit.summary().height;
    let text = format!("height {height}: the receipts in the blocks come to {ours}, the node says {theirs}");
    Err(Problem::new(ProblemCode::ChainInvalid, VERIFY, name, text).into())
}

fn fails(error: &InvoiceError, name: &str, audit: &Audit) -> Failure {
    let text = format!("height {}: {error}", audit.summary().height);
    let code = match error {
        InvoiceError::Unknown => ProblemCode::NotFound,
        InvoiceError::NoReceipt { .. }
        | InvoiceError::Paid { .. }
        | InvoiceError::Short { .. }
        | InvoiceError::Dear { .. } => ProblemCode::ChainInvalid,
    };
    Problem::new(code, VERIFY, name, text).into()
}
