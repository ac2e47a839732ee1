//! Which deployment a text means: by a name that leads to it, by its id, or by the name that one of ours had before it was
//! removed.
//!
//! A removed deployment has no name on the ledger. Two things still tell which it was: its manifest while this node holds it,
//! and the history of our own account, in which its first budget stands under its name; the transaction of that is its id.

use grange_api::{Problem, ProblemCode, Timestamp};
use grange_ledger::{Deployment, DeploymentState, Ledger};

use crate::calls::Parts;
use crate::context::Context;
use crate::describe::wall;
use crate::problem::{removed as was_removed, unknown_deployment};

/// The deployment that a name leads to, or that has this id. No name is as long as an id.
pub(crate) fn deployment<'a>(ledger: &'a Ledger, text: &str) -> Option<&'a Deployment> {
    let view = ledger.view();
    view.deployment_named(text).or_else(|| view.deployment(text.parse().ok()?))
}

/// The newest of our deployments that had this name and was removed.
pub(crate) fn removed<'a>(ctx: &Context, parts: &Parts<'a>, name: &str) -> Option<&'a Deployment> {
    let view = parts.ledger.view();
    let by_manifest = view
        .deployments()
        .filter(|found| parts.library.get(found.manifest).is_some_and(|manifest| manifest.name == name));
    let by_history = parts.history.opened(name).filter_map(|id| view.deployment(id));
    let found = by_manifest.chain(by_history).filter(|found| found.owner == ctx.account && !found.is_open());
    found.max_by_key(|found| found.opened)
}

/// Why there are no logs or data of a deployment that nothing is served of.
pub(crate) fn without_papers(ctx: &Context, parts: &Parts<'_>, operation: &str, name: &str) -> Problem {
    if parts.ledger.view().deployment_named(name).is_some() {
        let text = format!("the node has only just heard of {name}");
        return Problem::new(ProblemCode::NotReady, operation, name, text).with_remedy("try again in a moment");
    }
    match removed(ctx, parts, name).map(|found| found.state) {
        Some(DeploymentState::Closed { at }) => was_removed(operation, name, Timestamp(wall(parts.ledger, at))),
        _ => unknown_deployment(operation, name),
    }
}
