//! `usage --format focus`: a bill in the columns of the FinOps Open Cost and Usage Specification 1.2, as comma-separated
//! values: its 21 mandatory columns, and those of others that a bill of ours can fill.
//!
//! # Rules
//! - A row for each line of the bill. Where the rows do not sum to the bill's total (a lease's highest rate caps what its lines
//!   cost, the ledger no longer shows an old lease line by line), one row of the category Adjustment makes them.
//! - The billing period is the time from the first row's beginning to the last one's end.
//! - A credit is no national currency: both currency columns say `credits`.
//! - What others named (a node, a service) is quoted, and does not begin a formula in a table that is opened from it.

use grange_api::{Call, Problem, ProblemCode, Timestamp, Usage, UsageRow};
use grange_types::{Amount, Sku};

use super::context::Context;
use crate::failure::Outcome;
use crate::output::called;

/// The columns, in the order of the rows.
const COLUMNS: [&str; 33] = [
    "BilledCost",
    "BillingAccountId",
    "BillingAccountName",
    "BillingCurrency",
    "BillingPeriodEnd",
    "BillingPeriodStart",
    "ChargeCategory",
    "ChargeClass",
    "ChargeDescription",
    "ChargePeriodEnd",
    "ChargePeriodStart",
    "ContractedCost",
    "EffectiveCost",
    "InvoiceIssuerName",
    "ListCost",
    "PricingQuantity",
    "PricingUnit",
    "ProviderName",
    "PublisherName",
    "ServiceCategory",
    "ServiceName",
    "ConsumedQuantity",
    "ConsumedUnit",
    "ContractedUnitPrice",
    "ListUnitPrice",
    "ChargeFrequency",
    "PricingCategory",
    "PricingCurrency",
    "ResourceId",
    "ResourceName",
    "SkuId",
    "SkuMeter",
    "SubAccountId",
];

/// Prints the bill of a deployment.
pub(super) fn print(context: Context<'_>, name: &str) -> Outcome {
    if context.output.is_json() {
        let text = "comma-separated values are no JSON";
        let problem = Problem::new(ProblemCode::Usage, "usage", name, text);
        return Err(problem.with_remedy("leave out --json, or leave out --format").into());
    }
    let usage: Usage = context.reader("usage")?.ask(&Call::Usage { name: name.to_owned() })?;
    context.output.line(table(name, &usage).trim_end())
}

/// The table with its header, a line each.
fn table(name: &str, usage: &Usage) -> String {
    let mut lines = vec![COLUMNS.join(",")];
    lines.extend(usage.lines.iter().map(|row| line(&charge(name, usage, row))));
    lines.extend(adjustment(name, usage).map(|row| line(&row)));
    lines.join("\r\n")
}

fn line(fields: &[String; COLUMNS.len()]) -> String {
    fields.iter().map(|field| quoted(field)).collect::<Vec<_>>().join(",")
}

/// A field that no reader of tables takes for something else.
fn quoted(field: &str) -> String {
    let number = field.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.' || byte == b'-');
    let formula = !number && field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let field = if formula { format!("'{field}") } else { field.to_owned() };
    if field.contains([',', '"', '\n', '\r']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
}

/// What the rows of one bill share: from when to when, as billing tools see it.
fn period(usage: &Usage) -> (String, String) {
    let text = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let (start, end) = (usage.lines.iter().map(|row| row.start).min(), usage.lines.iter().map(|row| row.end).max());
    (text(start), text(end))
}

fn charge(name: &str, usage: &Usage, row: &UsageRow) -> [String; COLUMNS.len()] {
    let ((start, end), (category, unit)) = (period(usage), words(row.sku));
    let (amount, price, quantity) = (row.amount.to_string(), row.price.to_string(), row.quantity.clone());
    let (account, provider) = (usage.account.to_string(), called(&row.display, Some(row.provider)));
    let credits = "credits".to_owned();
    let description = format!("{} of {name}/{} by {provider}", row.sku, row.service);
    [
        amount.clone(),
        account.clone(),
        account,
        credits.clone(),
        end,
        start,
        "Usage".into(),
        String::new(),
        description,
        row.end.to_string(),
        row.start.to_string(),
        amount.clone(),
        amount.clone(),
        provider.clone(),
        amount,
        quantity.clone(),
        unit.into(),
        provider.clone(),
        provider,
        category.into(),
        format!("Grange {}", row.sku),
        quantity,
        unit.into(),
        price.clone(),
        price,
        "Usage-Based".into(),
        "Standard".into(),
        credits,
        row.lease.to_string(),
        format!("{name}/{}", row.service),
        row.sku.to_string(),
        row.sku.to_string(),
        name.into(),
    ]
}

/// The row that makes the others sum to the bill's total, where they do not.
fn adjustment(name: &str, usage: &Usage) -> Option<[String; COLUMNS.len()]> {
    let sum: Amount = usage.lines.iter().map(|row| row.amount).sum();
    let amount = match (usage.total.saturating_sub(sum), sum.saturating_sub(usage.total)) {
        (Amount::ZERO, Amount::ZERO) => return None,
        (more, Amount::ZERO) => more.to_string(),
        (_, less) => format!("-{less}"),
    };
    let ((start, end), account) = (period(usage), usage.account.to_string());
    let credits = "credits".to_owned();
    let description = "leases that the ledger shows no more, less what the highest rates of leases cap";
    let mut row: [String; COLUMNS.len()] = core::array::from_fn(|_| String::new());
    let known = [
        (0, amount.clone()),
        (1, account.clone()),
        (2, account),
        (3, credits.clone()),
        (4, end.clone()),
        (5, start.clone()),
        (6, "Adjustment".into()),
        (8, description.into()),
        (9, end),
        (10, start),
        (11, amount.clone()),
        (12, amount.clone()),
        (13, "Grange".into()),
        (14, amount),
        (17, "Grange".into()),
        (18, "Grange".into()),
        (19, "Other".into()),
        (20, "Grange".into()),
        (27, credits),
        (32, name.into()),
    ];
    for (place, text) in known {
        row[place] = text;
    }
    Some(row)
}

/// The category of a thing that is counted, and the unit that it is priced by.
const fn words(sku: Sku) -> (&'static str, &'static str) {
    match sku {
        Sku::CpuHour => ("Compute", "CPU-Hours"),
        Sku::MemoryGibHour => ("Compute", "GiB-Hours"),
        Sku::DiskGibHour => ("Storage", "GiB-Hours"),
        Sku::RequestMillion => ("Compute", "1000000 Requests"),
        Sku::EgressGib => ("Networking", "GiB"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::{
        AccountId, ByteCount, Counters, DeploymentId, LeaseId, Millis, PeerId, Prices, Resources, Time,
    };

    fn bill(total: &str) -> Usage {
        let prices = Prices { cpu_hour: Amount::credits(2), egress_gib: Amount::CREDIT, ..Prices::default() };
        let resources = Resources { cpu_millis: 500, ..Resources::default() };
        let counters = Counters { served: Millis::HOUR, egress: ByteCount(1 << 29), ..Counters::default() };
        let lines = prices.lines(&resources, &counters);
        let span = (Timestamp(Time(1_790_000_000_000)), Timestamp(Time(1_790_003_600_000)));
        let row = |line| UsageRow::new("web", LeaseId([2; 32]), (PeerId([3; 32]), "=north, \"old\""), span, line);
        Usage {
            deployment: DeploymentId([4; 32]),
            account: AccountId([1; 32]),
            lines: lines.iter().filter(|line| line.quantity > 0).map(row).collect(),
            total: total.parse().unwrap(),
            settled: Amount::ZERO,
            disputed: Amount::ZERO,
            budget: None,
            removed: None,
            claims_until: None,
            is_final: false,
        }
    }

    #[test]
    fn a_row_for_each_line_under_the_columns_of_the_specification() {
        let table = table("shop", &bill("1.5"));
        let lines: Vec<&str> = table.split("\r\n").collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with("BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,"));
        assert!(lines[1].starts_with("1,0101"), "{}", lines[1]);
        assert!(lines[1].contains(",Usage,,\"cpu.hour of shop/web by =north, \"\"old\"\"\","), "{}", lines[1]);
        assert!(lines[1].contains(",\"'=north, \"\"old\"\"\",Compute,"), "{}", lines[1]);
        assert!(lines[1].contains(",Grange cpu.hour,0.5,CPU-Hours,2,2,Usage-Based,Standard,credits,"));
        assert!(lines[2].starts_with("0.5,") && lines[2].contains(",Networking,"), "{}", lines[2]);
    }

    #[test]
    fn the_rows_sum_to_the_total() {
        let last = |total| table("shop", &bill(total)).split("\r\n").last().unwrap().to_owned();
        assert!(last("1.5").contains("egress.gib"));
        assert!(last("4").starts_with("2.5,") && last("4").contains(",Adjustment,"));
        assert!(last("1.25").starts_with("-0.25,") && last("1.25").contains(",Adjustment,"));
    }

    #[test]
    fn what_others_named_stays_in_its_field() {
        assert_eq!(quoted("plain"), "plain");
        assert_eq!(quoted("a,b"), "\"a,b\"");
        assert_eq!(quoted("say \"hi\""), "\"say \"\"hi\"\"\"");
        assert_eq!(quoted("=1+1"), "'=1+1");
        assert_eq!([quoted("-0.25"), quoted("1.5")], ["-0.25", "1.5"]);
    }
}
