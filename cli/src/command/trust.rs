//! `trust`: how far operators are trusted, and what each number rests on.

use grange_api::trust::TrustWeight;
use grange_api::{Call, TrustEvidence, TrustReport};

use super::Context;
use crate::failure::Outcome;
use crate::table::Table;

/// Lists operators, or shows the evidence of one.
pub(super) fn run(context: Context<'_>, of: Option<&str>) -> Outcome {
    let call = Call::Trust { of: of.map(str::to_owned) };
    let reports: Vec<TrustReport> = context.reader("trust")?.ask(&call)?;
    match reports.as_slice() {
        [report] if of.is_some() && !context.output.is_json() => explain(context, report),
        _ => context.output.tabulate(&reports, list, "the node has heard of no other operator"),
    }
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
    output.line(&format!(
        "trust {}: own evidence +{} -{}, what {} others say +{} -{}; each weighs half after {} days",
        number(report),
        own.good,
        own.bad,
        report.witnesses,
        hearsay.good,
        hearsay.bad,
        half_life_hours / 24,
    ))?;
    if report.evidence.is_empty() {
        output.progress("nothing was seen of it yet");
        return Ok(());
    }
    let mut table = Table::new(&["kind", "seen by", "counts as", ">good", ">bad", ">weighs now", "last seen", "until"]);
    for line in &report.evidence {
        let TrustEvidence { kind, standing, good, bad, weight, last, until, .. } = line;
        table.row([
            kind.clone(),
            super::called(&line.observer_name, Some(line.observer.peer())),
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
