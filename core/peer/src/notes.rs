//! What whoever deploys should know of what is there already, or comes of it, though nothing is wrong with what he asks for.

use grange_ledger::{Cap, Deployment, Ledger};
use grange_market::watch::Health;
use grange_types::{AccountId, Amount, LeaseId};

use crate::describe::display;
use crate::funds::surplus;
use crate::payer::Payer;

/// What to know of a deployment that gets this budget, and in which these leases stay.
pub(crate) fn notes(
    ledger: &Ledger,
    payer: &Payer,
    (name, budget): (&str, Amount),
    existing: Option<&Deployment>,
    stay: impl IntoIterator<Item = LeaseId>,
) -> Vec<String> {
    let Some(found) = existing else { return Vec::new() };
    let lost = stay.into_iter().filter_map(|lease| lost(ledger, payer, found, lease));
    lowered(ledger, name, budget, found).into_iter().chain(lost).collect()
}

/// The ledger takes nothing back from a deployment that is open, whatever its file says by now.
fn lowered(ledger: &Ledger, name: &str, budget: Amount, found: &Deployment) -> Option<String> {
    let surplus = surplus(ledger, budget, found);
    (!surplus.is_zero()).then(|| {
        format!(
            "{name} has been given {surplus} more than the budget of {budget}: the ledger gives nothing back while it runs, \
             and its leases may use all of it; `grange down {name}` returns what is left, and x-grange.price_max caps what an \
             hour may cost"
        )
    })
}

/// The first money that an account puts into a deployment caps what its keys may put in from then on. Nobody asked for that.
pub(crate) fn first_cap(ledger: &Ledger, account: AccountId, added: Amount) -> Option<String> {
    let sets = !added.is_zero() && ledger.view().cap(account).is_none();
    sets.then(|| {
        let (times, cap) = (Cap::FIRST_BUDGETS, added.scaled(Cap::FIRST_BUDGETS, 1).in_words());
        format!(
            "this is the account's first budget, and sets its cap of the day: each of its keys may put {cap} into deployments \
             a day from then on, {times} times this budget; `grange wallet caps --per-day` changes it"
        )
    })
}

/// A replica that stays where its provider was just lost, as far as we see.
fn lost(ledger: &Ledger, payer: &Payer, found: &Deployment, lease: LeaseId) -> Option<String> {
    let sight = payer.seen(lease)?;
    let becomes = match sight.health? {
        Health::Dead => "another provider is sought",
        Health::Suspect => "it is replaced if that goes on",
        Health::Starting | Health::Alive => return None,
    };
    let lease = ledger.view().lease(lease)?;
    let spec = &found.slot(lease.slot)?.spec;
    let shown = display(ledger, lease.terms.provider);
    let reason = sight.reason.unwrap_or_else(|| "it does not serve".into());
    Some(format!("{}.{} on {shown} does not serve now ({reason}): {becomes}", spec.service, spec.replica))
}
