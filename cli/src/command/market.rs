//! `providers`, `offers` and `provider`: who sells what, and what this node sells.

use grange_api::{
    Call, Offer, PauseRequest, PriceSettings, Problem, ProblemCode, Provider, ProviderSettings, ResourceSet, Status,
    Timestamp,
};

use super::context::Context;
use crate::arguments::{Prices, ProviderAction};
use crate::client::Client;
use crate::failure::{Failure, Outcome};
use crate::machine;
use crate::output::called;
use crate::table::Table;

/// Lists providers.
pub(super) fn providers(context: Context<'_>) -> Outcome {
    let providers: Vec<Provider> = context.reader("providers")?.ask(&Call::Providers)?;
    let table = |providers: &Vec<Provider>| {
        let mut table = Table::new(&["provider", "name", "region", "capacity", "free", "state", "prices of"]);
        for provider in providers {
            let state = match (provider.connected, provider.paused) {
                (_, true) => "paused",
                (true, false) => "connected",
                (false, false) => "not connected",
            };
            table.row([
                provider.provider.short(),
                provider.display.clone(),
                provider.region.clone(),
                resources(&provider.capacity),
                resources(&provider.free),
                state.to_owned(),
                provider.seen.to_string(),
            ]);
        }
        table
    };
    context.output.tabulate(&providers, table, "the node has heard of no provider")
}

/// Lists what is for sale.
pub(super) fn offers(context: Context<'_>) -> Outcome {
    let offers: Vec<Offer> = context.reader("offers")?.ask(&Call::Offers)?;
    let table = |offers: &Vec<Offer>| {
        let mut table =
            Table::new(&["provider", "name", "region", "kinds", "isolation", ">price/hour", "free", ">trust", "state"]);
        for offer in offers {
            let kinds: Vec<String> = offer.kinds.iter().map(ToString::to_string).collect();
            table.row([
                offer.provider.short(),
                offer.display.clone(),
                offer.region.clone(),
                kinds.join(","),
                offer.isolation.to_string(),
                offer.price.to_string(),
                resources(&offer.free),
                offer.trust.map_or_else(|| "unknown".to_owned(), |trust| trust.to_string()),
                reached(offer.connected, Some(offer.heard)),
            ]);
        }
        table
    };
    context.output.tabulate(&offers, table, "nothing is for sale")
}

/// Whether a provider is there, or when it was heard last.
pub(super) fn reached(connected: bool, heard: Option<Timestamp>) -> String {
    match heard {
        _ if connected => "connected".to_owned(),
        Some(Timestamp(heard)) => format!("heard {} s ago", machine::now().since(heard).0 / 1_000),
        None => "not connected".to_owned(),
    }
}

fn resources(set: &ResourceSet) -> String {
    let ResourceSet { cpu_millis, memory, disk } = set;
    let (whole, thousandths) = (cpu_millis / 1_000, cpu_millis % 1_000);
    let fraction = if thousandths == 0 { String::new() } else { format!(".{thousandths:03}") };
    format!("{whole}{} cpu, {memory}, {disk} disk", fraction.trim_end_matches('0'))
}

/// Sells, or stops selling.
pub(super) fn provider(context: Context<'_>, action: &ProviderAction) -> Outcome {
    let client = context.actor(match action {
        ProviderAction::Price(_) => "provider price",
        ProviderAction::Pause => "provider pause",
        ProviderAction::Resume => "provider resume",
    })?;
    let settings: ProviderSettings = match action {
        ProviderAction::Price(prices) if prices.is_empty() => {
            // Whoever is paused offers nothing, and so has no present prices to show.
            let settings = ProviderSettings { prices: present(&client)?, paused: false };
            return context.output.show(&settings, |settings| describe(&settings.prices));
        }
        ProviderAction::Price(prices) => client.ask(&Call::SetPrices(wanted(&client, prices)?))?,
        ProviderAction::Pause => client.ask(&Call::Pause(PauseRequest { paused: true }))?,
        ProviderAction::Resume => client.ask(&Call::Pause(PauseRequest { paused: false }))?,
    };
    context.output.show(&settings, |settings| {
        let state = if settings.paused { "takes no new work" } else { "takes new work" };
        format!("{}\nthe node {state}; running leases keep their prices", describe(&settings.prices))
    })
}

/// The prices to set: what is not given stays as it is.
fn wanted(client: &Client, prices: &Prices) -> Result<PriceSettings, Failure> {
    match prices.whole() {
        Some(prices) => Ok(prices),
        None => Ok(prices.over(present(client)?)),
    }
}

/// The node's own prices, as it offers them.
fn present(client: &Client) -> Result<PriceSettings, Failure> {
    let status: Status = client.ask(&Call::Status)?;
    let offers: Vec<Offer> = client.ask(&Call::Offers)?;
    match offers.iter().find(|offer| offer.provider == status.peer) {
        Some(offer) => Ok(offer.prices),
        None => {
            let name = called(&status.display, Some(status.peer));
            let message = "the node offers nothing now, so its present prices are not known";
            let remedy = "give all five prices; the node sells if it has the role provider and is not paused";
            Err(Problem::new(ProblemCode::NotFound, "provider price", name, message).with_remedy(remedy).into())
        }
    }
}

fn describe(prices: &PriceSettings) -> String {
    let PriceSettings { cpu_hour, memory_gib_hour, disk_gib_hour, request_million, egress_gib } = prices;
    [
        format!("cpu hour         {cpu_hour}"),
        format!("memory GiB hour  {memory_gib_hour}"),
        format!("disk GiB hour    {disk_gib_hour}"),
        format!("million requests {request_million}"),
        format!("egress GiB       {egress_gib}"),
    ]
    .join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::ByteCount;

    #[test]
    fn processors_are_decimal() {
        let set = |cpu_millis| ResourceSet { cpu_millis, memory: ByteCount::mib(64), disk: ByteCount::gib(1) };
        assert_eq!(resources(&set(2_000)), "2 cpu, 64 MiB, 1 GiB disk");
        assert_eq!(resources(&set(250)), "0.25 cpu, 64 MiB, 1 GiB disk");
        assert_eq!(resources(&set(1_005)), "1.005 cpu, 64 MiB, 1 GiB disk");
    }
}
