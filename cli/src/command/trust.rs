//! `trust`: how far operators are trusted, and what each number rests on.

use grange_api::trust::TrustWeight;
use grange_api::{Call, TrustEvidence, TrustReport};

use super::context::Context;
use crate::failure::Outcome;
use crate::output::called;
use crate::table::Table;

/// Lists operators, or shows the evidence of one.
pub(super) fn run(context: Context<'_>, of: Option<&str>) -> Outcome {
    let call = Call::Trust { of: of.map(str::to_owned) };
    let reports: Vec<TrustReport> = context.reader("trust")?.ask(&call)?;
    match reports.as_slice() {
        [report] if of.is_some() && !context.output.is_json() => explain(context, report),
        _ => {
            context.output.tabulate(&reports, list, "the node has heard of no other operator")?;
            match reports.first() {
                Some(report) if !context.output.is_json() => context.output.line(&view(report)),
                _ => Ok(()),
            }
        }
    }
}

/// Whose numbers a list shows.
fn view(report: &TrustReport) -> String {
    let (name, operator) = (seer(report), report.seen_by.short());
    format!("seen by {name} ({operator}), which is not in the list: nobody measures himself; `grange trust {operator}`")
}

/// The node whose view a report is.
fn seer(report: &TrustReport) -> String {
    called(&report.seen_by_name, Some(report.seen_by.peer()))
}

fn list(reports: &Vec<TrustReport>) -> Table {
    let mut table = Table::new(&["operator", "names", ">nodes", ">trust", ">good", ">bad", ">heard of"]);
    for report in reports {
        let TrustWeight { good, bad } = counted(report);
        table.row([
            report.operator.short(),
            named(report),
            report.nodes.len().to_string(),
            number(report),
            good.to_string(),
            bad.to_string(),
            report.witnesses.to_string(),
        ]);
    }
    table
}

fn explain(context: Context<'_>, report: &TrustReport) -> Outcome {
    let TrustReport { own, hearsay, half_life_hours, .. } = report;
    let output = context.output;
    output.line(&format!("{}  {}", named(report), report.operator))?;
    let others = format!("what {} others say +{} -{}", report.witnesses, hearsay.good, hearsay.bad);
    let days = half_life_hours / 24;
    if report.operator == report.seen_by {
        output.line(&format!(
            "no number: this is the asked node's own operator, and nobody measures himself; {others}; each weighs half \
             after {days} days\nits number is with others: ask a node of theirs with `grange --node URL trust {}`",
            report.operator.short(),
        ))?;
    } else {
        output.line(&format!(
            "trust {}, seen by {}: own evidence +{} -{}, {others}; each weighs half after {days} days",
            number(report),
            seer(report),
            own.good,
            own.bad,
        ))?;
    }
    if report.evidence.is_empty() {
        output.progress("nothing that is kept here was seen of it yet");
        return Ok(());
    }
    let mut table = Table::new(&["kind", "seen by", "counts as", ">good", ">bad", ">weighs now", "last seen", "until"]);
    for line in &report.evidence {
        let TrustEvidence { kind, standing, good, bad, weight, last, until, .. } = line;
        table.row([
            kind.clone(),
            called(&line.observer_name, Some(line.observer.peer())),
            standing.clone(),
            good.to_string(),
            bad.to_string(),
            format!("+{} -{}", weight.good, weight.bad),
            last.to_string(),
            until.to_string(),
        ]);
    }
    output.table(&table)
}

/// What counts, of one's own and of what others say.
const fn counted(report: &TrustReport) -> TrustWeight {
    TrustWeight { good: report.own.good + report.hearsay.good, bad: report.own.bad + report.hearsay.bad }
}

fn number(report: &TrustReport) -> String {
    report.trust.map_or_else(|| "unknown".to_owned(), |trust| trust.to_string())
}

fn named(report: &TrustReport) -> String {
    match report.names.as_slice() {
        [] => "-".to_owned(),
        [one] => one.clone(),
        [first, others @ ..] => format!("{first} and {} more", others.len()),
    }
}
