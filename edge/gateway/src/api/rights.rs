//! What a principal may ask.

use grange_api::{About, Call, Operation, Problem, ProblemCode};
use grange_types::IdStart;

use crate::backend::Principal;

/// Refuses an operation that the principal's key has no right to, before anything of the request is read.
pub(super) fn may_ask(principal: &Principal, operation: Operation) -> Result<(), Problem> {
    let Some(rights) = &principal.rights else { return Ok(()) };
    let denied = |message: String| Problem::new(ProblemCode::Denied, operation.id(), principal.name.clone(), message);
    match operation.right() {
        None => Err(denied("no API key may do that, only the node's owner".into()).with_remedy(
            "use the token of the node's own token file: leave GRANGE_TOKEN unset, and --token-file away",
        )),
        Some(right) if !rights.scope.rights.contains(&right) => {
            let has: Vec<&str> = rights.scope.rights.iter().map(|right| right.word()).collect();
            let message = format!("the key lacks the scope {right}, it has {}", has.join(", "));
            Err(denied(message).with_remedy(format!(
                "the node's owner makes a key that has it with `grange key create --name NAME --scope {right}`"
            )))
        }
        Some(_) => Ok(()),
    }
}

/// Refuses a call about things that the principal's key is not for.
pub(super) fn may_call(principal: &Principal, call: &Call) -> Result<(), Problem> {
    let prefix = principal.prefix();
    let outside = match call.about() {
        _ if prefix.is_empty() => None,
        About::Nothing | About::List => None,
        About::Account => Some("the whole account"),
        About::Accounts => Some("everybody's accounts"),
        // An id says nothing of the name: the backend looks for it among what the key is for.
        About::Found(text) if text.starts_with(prefix) || text.parse::<IdStart>().is_ok() => None,
        About::Found(text) => Some(text),
        About::Thing(name) if !name.starts_with(prefix) => Some(name),
        About::Thing(_) => match call {
            Call::ClaimName(request) if !request.deployment.starts_with(prefix) => Some(request.deployment.as_str()),
            _ => None,
        },
    };
    let Some(outside) = outside else { return Ok(()) };
    let message = format!("the key {} is for names that begin with {prefix}, not for {outside}", principal.name);
    Err(Problem::new(ProblemCode::Denied, call.operation().id(), outside, message)
        .with_remedy("the node's owner makes a key for it with `grange key create`, with another --prefix or none"))
}
