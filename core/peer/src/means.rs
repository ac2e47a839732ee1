//! Which deployment a text means: by a name that leads to it, by its id or the beginning of that, or by the name that one of
//! ours had before it was removed.
//!
//! A removed deployment has no name on the ledger. Two things still tell which it was: its manifest while this node holds it,
//! and the history of our own account, in which its first budget stands under its name; the transaction of that is its id.
//!
//! # Rules
//! - A name comes before an id: eight hexadecimal digits may be both.
//! - Upon a key that is for names that begin so: what has and had no such name is not there, whatever it is called by. So an
//!   id leads to nothing that its name does not lead to, and neither its being there nor its being one of several is told.

use grange_api::{Problem, ProblemCode, Timestamp};
use grange_ledger::{Deployment, DeploymentState, Ledger};
use grange_types::{AmbiguousId, IdStart};

use crate::calls::Parts;
use crate::context::Context;
use crate::describe::wall;
use crate::problem::{removed as was_removed, unknown_deployment};

/// The deployment that a name leads to, or that has this id, for somebody who may see all. No name is as long as an id.
pub(crate) fn exactly<'a>(ledger: &'a Ledger, text: &str) -> Option<&'a Deployment> {
    let view = ledger.view();
    view.deployment_named(text).or_else(|| view.deployment(text.parse().ok()?))
}

/// The one that is there and that the asker means.
pub(crate) fn present<'a>(ctx: &Context, parts: &Parts<'a>, text: &str) -> Result<Option<&'a Deployment>, AmbiguousId> {
    let named = named(parts, text);
    if named.is_some() {
        return Ok(named);
    }
    by_id(ctx, parts, text, Deployment::is_open)
}

/// The one that the asker means, also where it was removed.
pub(crate) fn kept<'a>(ctx: &Context, parts: &Parts<'a>, text: &str) -> Result<Option<&'a Deployment>, AmbiguousId> {
    let named = named(parts, text).or_else(|| removed(ctx, parts, text));
    if named.is_some() {
        return Ok(named);
    }
    by_id(ctx, parts, text, |_| true)
}

fn named<'a>(parts: &Parts<'a>, text: &str) -> Option<&'a Deployment> {
    parts.ledger.view().deployment_named(text).filter(|_| parts.asker.is_for(text))
}

fn by_id<'a>(
    ctx: &Context,
    parts: &Parts<'a>,
    text: &str,
    wanted: impl Fn(&Deployment) -> bool,
) -> Result<Option<&'a Deployment>, AmbiguousId> {
    let Ok(start) = text.parse::<IdStart>() else { return Ok(None) };
    let shown = |found: &&Deployment| start.begins(&found.id.0) && wanted(found) && is_shown(ctx, parts, found);
    start.only(parts.ledger.view().deployments().filter(shown).map(|found| (found.id.as_bytes(), found)))
}

/// Whether a deployment is there for the asker.
pub(crate) fn is_shown(ctx: &Context, parts: &Parts<'_>, found: &Deployment) -> bool {
    let asker = parts.asker;
    asker.prefix.is_empty()
        || found.names.iter().any(|name| asker.is_for(name))
        || former(ctx, parts).any(|(gone, name)| gone.id == found.id && asker.is_for(name))
}

/// The newest of our deployments that had this name and was removed.
fn removed<'a>(ctx: &Context, parts: &Parts<'a>, name: &str) -> Option<&'a Deployment> {
    let had = former(ctx, parts).filter(|(_, had)| *had == name && parts.asker.is_for(had));
    had.map(|(found, _)| found).max_by_key(|found| found.opened)
}

/// Ours that were removed, each with a name that it had.
fn former<'a, 'b>(ctx: &Context, parts: &'b Parts<'a>) -> impl Iterator<Item = (&'a Deployment, &'b str)> {
    let (view, ours) = (parts.ledger.view(), ctx.account);
    let by_manifest = view
        .deployments_of(ours)
        .filter_map(move |found| Some((found, parts.library.get(found.manifest)?.name.as_str())));
    let by_history = parts.history.opened().filter_map(move |(id, name)| Some((view.deployment(id)?, name)));
    by_manifest.chain(by_history).filter(move |(found, _)| found.owner == ours && !found.is_open())
}

/// Why there are no logs or data of a deployment that nothing is served of.
pub(crate) fn without_papers(ctx: &Context, parts: &Parts<'_>, operation: &str, text: &str) -> Problem {
    match kept(ctx, parts, text) {
        Ok(Some(found)) => match found.state {
            DeploymentState::Open => {
                let message = format!("the node has only just heard of {text}");
                Problem::new(ProblemCode::NotReady, operation, text, message).with_remedy("try again in a moment")
            }
            DeploymentState::Closed { at } => was_removed(operation, text, Timestamp(wall(parts.ledger, at))),
        },
        Ok(None) => unknown_deployment(operation, text),
        Err(error) => Problem::ambiguous(operation, text, error),
    }
}
