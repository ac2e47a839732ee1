//! `audit`: who asked what of the node, and what came of it.

use grange_api::{AuditLine, Call, Line};

use super::context::Context;
use crate::failure::Outcome;
use crate::output::Output;

/// Prints the audit log, oldest first.
pub(super) fn run(context: Context<'_>, follow: bool, principal: Option<&str>, after: Option<u64>) -> Outcome {
    let call = Call::Audit { follow, after, principal: principal.map(str::to_owned) };
    let lines = context.actor("audit")?.lines(&call)?;
    while let Some(line) = lines.next()? {
        if let Line::Audit(line) = line {
            print(&line, context.output)?;
        }
    }
    Ok(())
}

fn print(line: &AuditLine, output: Output) -> Outcome {
    if output.is_json() {
        return output.data(line);
    }
    let AuditLine { seq, at, principal, call, object, status, result, request, .. } = line;
    let or_none = |text: &str| if text.is_empty() { "-".to_owned() } else { output.foreign(text) };
    let (principal, object) = (or_none(principal), or_none(object));
    output.line(&format!("{seq} {at} {principal} {call} {object} {status} {result} {request}"))
}
