//! Says what operators are trusted, and what each number rests on.

use std::collections::BTreeMap;

use grange_api::trust::TrustWeight;
use grange_api::{Offer, Timestamp, TrustEvidence, TrustReport};
use grange_ledger::Ledger;
use grange_market::Trust;
use grange_market::trust::{Grounds, HALF_LIFE, Kind, Shown, Standing};
use grange_types::{AccountId, AmbiguousId, IdStart, Millis, PeerId};

use crate::context::Context;
use crate::describe::display;
use crate::shelf::Shelf;
use crate::witness::Witness;

/// What is for sale, cheapest first, of equal price the most trusted.
pub(crate) fn offers(ctx: &Context, ledger: &Ledger, shelf: &Shelf, witness: &Witness) -> Vec<Offer> {
    let mut grounds: BTreeMap<AccountId, Grounds> = BTreeMap::new();
    for operator in witness.book.subjects() {
        grounds.insert(operator, witness.grounds(ctx, ledger, &operator));
    }
    let describe = |offer: &grange_market::Offer| {
        let sheet = &offer.sheet;
        let found = grounds.get(&sheet.operator);
        let own = sheet.operator == ctx.account;
        Offer {
            provider: sheet.provider,
            display: sheet.display.clone(),
            operator: sheet.operator,
            region: sheet.region.to_string(),
            kinds: sheet.kinds.clone(),
            isolation: sheet.isolation,
            price: sheet.prices.per_hour(&grange_api::market::STANDARD_NEED),
            prices: sheet.prices.into(),
            free: offer.free.into(),
            trust: found.filter(|_| !own).and_then(|found| found.trust).map(percent),
            evidence: match found {
                _ if own => "it is this node's own operator".into(),
                Some(found) if found.trust.is_some() => summary(found),
                _ => "nothing was seen yet".into(),
            },
            connected: ctx.reaches(sheet.provider),
            heard: Timestamp(offer.heard),
        }
    };
    let mut offers: Vec<Offer> = shelf.index.offers().filter(|offer| !offer.paused).map(describe).collect();
    offers.sort_by_key(|offer| (offer.price, core::cmp::Reverse(offer.trust), offer.provider));
    offers
}

/// What is known of all other operators that sell or of whom anything was seen, the most trusted first; or of one
/// operator, also the node's own: of that what others say, and no number.
pub(crate) fn reports(
    ctx: &Context,
    ledger: &Ledger,
    shelf: &Shelf,
    witness: &Witness,
    of: Option<&str>,
) -> Result<Option<Vec<TrustReport>>, AmbiguousId> {
    let mut nodes: BTreeMap<AccountId, Vec<(PeerId, String)>> = BTreeMap::new();
    for operator in witness.book.subjects() {
        nodes.entry(operator).or_default();
    }
    for sheet in shelf.index.offers().map(|offer| &offer.sheet) {
        nodes.entry(sheet.operator).or_default().push((sheet.provider, sheet.display.clone()));
    }
    // Who sells nothing is asked for by name all the same.
    let mut ours = nodes.remove(&ctx.account).unwrap_or_default();
    if !ours.iter().any(|(node, _)| *node == ctx.me) {
        ours.push((ctx.me, display(ledger, ctx.me)));
    }
    if let Some(of) = of {
        nodes.insert(ctx.account, ours);
        let Some(operator) = called(ctx.account, &nodes, of)? else { return Ok(None) };
        nodes.retain(|known, _| *known == operator);
    }
    let report = |(operator, nodes)| report(ctx, ledger, witness, operator, nodes);
    let mut reports: Vec<TrustReport> = nodes.into_iter().map(report).collect();
    reports.sort_by_key(|report| (core::cmp::Reverse(report.thousandths), report.operator));
    Ok(Some(reports))
}

/// The operator that a text means: by a node's name, our own before another's, else by its account, a node of its, or the
/// beginning of either.
fn called(
    ours: AccountId,
    nodes: &BTreeMap<AccountId, Vec<(PeerId, String)>>,
    of: &str,
) -> Result<Option<AccountId>, AmbiguousId> {
    let named =
        nodes.iter().filter(|(_, nodes)| nodes.iter().any(|(_, name)| name == of)).map(|(operator, _)| *operator);
    if let Some(operator) = named.min_by_key(|operator| *operator != ours) {
        return Ok(Some(operator));
    }
    let Ok(start) = of.parse::<IdStart>() else { return Ok(None) };
    start.only(nodes.iter().flat_map(|(operator, nodes)| {
        let of_nodes = nodes.iter().map(|(node, _)| node.as_bytes());
        core::iter::once(operator.as_bytes()).chain(of_nodes).map(move |id| (id, *operator))
    }))
}

fn report(
    ctx: &Context,
    ledger: &Ledger,
    witness: &Witness,
    operator: AccountId,
    nodes: Vec<(PeerId, String)>,
) -> TrustReport {
    let grounds = witness.grounds(ctx, ledger, &operator);
    // What others say of us is no measure that we could order by.
    let trust = grounds.trust.filter(|_| operator != ctx.account);
    let weight = |(good, bad)| TrustWeight { good, bad };
    let line = |line: &Shown| TrustEvidence {
        kind: line.kind.word().into(),
        observer: line.observer,
        observer_name: if line.observer == ctx.account {
            display(ledger, ctx.me)
        } else {
            ledger.view().nodes_of(line.observer).first().map(|node| display(ledger, *node)).unwrap_or_default()
        },
        standing: word(line.standing).into(),
        good: line.good,
        bad: line.bad,
        weight: weight(line.weight),
        last: Timestamp(line.last),
        until: Timestamp(line.until),
    };
    let (nodes, names) = nodes.into_iter().unzip();
    TrustReport {
        operator,
        nodes,
        names,
        seen_by: ctx.account,
        seen_by_name: display(ledger, ctx.me),
        trust: trust.map(percent),
        thousandths: trust.map(|Trust(trust)| trust),
        own: weight(grounds.own),
        hearsay: weight(grounds.hearsay),
        witnesses: grounds.witnesses as u64,
        half_life_hours: HALF_LIFE.0 / Millis::HOUR.0,
        evidence: grounds.lines.iter().map(line).collect(),
    }
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Own => "own",
        Standing::Heard => "heard",
        Standing::Itself => "itself",
        Standing::Unbonded => "unbonded",
        Standing::Fresh => "fresh",
    }
}

const fn percent(Trust(trust): Trust) -> u8 {
    (trust / 10) as u8
}

/// What a number rests on, in a line.
fn summary(grounds: &Grounds) -> String {
    let counted = |kind: Kind| {
        let lines = grounds.lines.iter().filter(|line| line.kind == kind);
        let counted = lines.filter(|line| matches!(line.standing, Standing::Own | Standing::Heard));
        counted.fold((0_u64, 0_u64), |(good, bad), line| (good + u64::from(line.good), bad + u64::from(line.bad)))
    };
    let mut parts = Vec::new();
    for kind in Kind::ALL {
        let (good, bad) = counted(kind);
        if good + bad > 0 {
            parts.push(format!("{} {good} of {}", kind.word(), good + bad));
        }
    }
    match grounds.witnesses {
        0 => {}
        1 => parts.push("heard of 1 other operator".into()),
        others => parts.push(format!("heard of {others} other operators")),
    }
    parts.join(", ")
}
