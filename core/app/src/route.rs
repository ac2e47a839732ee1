//! Which service answers which path under the app's name.

use std::collections::BTreeMap;

use grange_types::Kind;

use crate::finding::{Findings, Position, quote};
use crate::service::Draft;

/// What takes every path that no other service takes.
const FRONT: &str = "/";

/// Gives `/` to a service where none asks for it, and checks that no route is taken twice.
///
/// `/` goes to the one service with ports; where there is none, to the only service; where there are more, to the
/// first site in the file.
pub(crate) fn routes(drafts: &mut [Draft], findings: &mut Findings) {
    twice(drafts, findings);
    let taken = drafts.iter().any(|draft| draft.service.route.as_deref() == Some(FRONT));
    let front = if taken { Ok(None) } else { front(drafts, findings) };
    let Ok(front) = front else {
        return;
    };
    if let Some(draft) = front.and_then(|front| drafts.get_mut(front)) {
        draft.service.route = Some(FRONT.to_owned());
    }
    for draft in drafts.iter() {
        if draft.service.route.is_none() && draft.route_at.is_none() {
            let message = format!("nothing reaches the service {}; give it `x-grange.route`", quote(&draft.name));
            findings.warning(draft.service.at, message);
        }
    }
}

fn twice(drafts: &[Draft], findings: &mut Findings) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for draft in drafts {
        let Some(route) = draft.service.route.as_deref() else {
            continue;
        };
        if let Some(other) = taken.insert(route, &draft.name) {
            let at: Position = draft.route_at.unwrap_or(draft.service.at);
            findings.error(at, format!("the route {} is already that of {}", quote(route), quote(other)));
        }
    }
}

/// More than one service could be the front, which has been told.
struct Undecided;

/// The index of the service that should get `/`.
fn front(drafts: &[Draft], findings: &mut Findings) -> Result<Option<usize>, Undecided> {
    let open = |draft: &&Draft| draft.route_at.is_none();
    let public: Vec<&Draft> = drafts.iter().filter(open).filter(|draft| !draft.service.ports.is_empty()).collect();
    if let [first, second, ..] = public.as_slice() {
        let message = format!(
            "{} and {} both have `ports`; give each but one an `x-grange.route`",
            quote(&first.name),
            quote(&second.name)
        );
        findings.error(second.service.at, message);
        return Err(Undecided);
    }
    let only = if let [only] = drafts { Some(only) } else { None };
    let site = drafts.iter().filter(open).find(|draft| draft.service.source.kind() == Kind::Site);
    let chosen = public.first().copied().or(only.filter(|only| open(only))).or(site);
    Ok(chosen.and_then(|chosen| drafts.iter().position(|draft| draft.name == chosen.name)))
}
