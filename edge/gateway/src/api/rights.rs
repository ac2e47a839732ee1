//! What a principal may ask, and what it gets to see of a list.

use grange_api::{About, Call, Operation, Problem, ProblemCode, Reply};
use grange_types::DeploymentId;

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
    let Some(rights) = &principal.rights else { return Ok(()) };
    let prefix = &rights.scope.prefix;
    let outside = match call.about() {
        About::Nothing | About::List => None,
        About::Account if prefix.is_empty() => None,
        About::Account => Some("the whole account"),
        // An id is no name, and may begin as one does.
        About::Thing(name) if !name.starts_with(prefix) || (!prefix.is_empty() && is_id(name)) => Some(name),
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

fn is_id(name: &str) -> bool {
    name.parse::<DeploymentId>().is_ok()
}

/// Leaves in a list what the principal's key is for.
pub(super) fn shown(principal: &Principal, reply: Reply) -> Reply {
    let Some(rights) = principal.rights.as_ref().filter(|rights| !rights.scope.prefix.is_empty()) else {
        return reply;
    };
    let prefix = &rights.scope.prefix;
    match reply {
        Reply::Replicas(mut replicas) => {
            replicas.retain(|replica| replica.deployment.starts_with(prefix));
            Reply::Replicas(replicas)
        }
        Reply::Names(mut names) => {
            names.retain(|name| name.name.starts_with(prefix));
            Reply::Names(names)
        }
        other => other,
    }
}
