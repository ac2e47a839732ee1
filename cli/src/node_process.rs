//! Everything of `grange-node` that runs: the node itself, a network's genesis, invitations, the compiler's child.
//!
//! Settings and folders of nodes are used where they are needed; they only hold data.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use grange_api::{Problem, ProblemCode};
use grange_node::{Founder, Invitation, NodeError, Options};
use tokio_util::sync::CancellationToken;

use crate::failure::{chain, internal};
use crate::machine;

pub(crate) use grange_node::identity::{Cost, Keystore, KeystoreError, Owner, Passphrase, Phrase};
pub(crate) use grange_node::{
    Audit, AuditError, Checkpoint, Contact, Folder, Genesis, InvoiceError, RULES, Ready, Settings, SettingsError,
    dev_genesis,
};

/// What a founder begins with.
pub(crate) const FIRST_BALANCE: grange_types::Amount = grange_types::Amount::credits(1_000_000);

/// One operator of a network to found.
pub(crate) fn founder(peer: grange_types::PeerId, settings: &Settings) -> Founder {
    Founder { peer, display: settings.display.clone(), region: settings.region.clone(), balance: FIRST_BALANCE }
}

/// What `grange invite` printed, if it still holds.
pub(crate) fn invitation(text: &str, operation: &str) -> Result<Invitation, Problem> {
    let invitation: Invitation = text.trim().parse().map_err(|error| {
        let message = format!("this is no invitation: {}", chain(&error));
        Problem::new(ProblemCode::Usage, operation, "invitation", message)
            .with_remedy("copy the whole string that `grange invite` printed")
    })?;
    if invitation.expires < machine::now() {
        let message = format!("the invitation lapsed at {}", invitation.expires);
        return Err(Problem::new(ProblemCode::Expired, operation, "invitation", message)
            .with_remedy("ask for another one; `grange invite --valid-for 1d` makes one that holds longer"));
    }
    Ok(invitation)
}

/// Runs the node in a folder until `shutdown`; calls `ready` once its API answers.
pub(crate) async fn run(
    data: PathBuf,
    shutdown: CancellationToken,
    ready: impl FnOnce(Ready) + Send,
) -> Result<(), Problem> {
    let compiler = std::env::current_exe().map_err(|error| internal("up", "grange", &error))?;
    let thing = data.display().to_string();
    grange_node::run(Options { data, compiler, shutdown }, ready).await.map_err(|error| match &error {
        NodeError::Busy { .. } => Problem::new(ProblemCode::Conflict, "up", thing, "another process runs this node")
            .with_remedy("stop that process first, or name another folder with --data"),
        NodeError::Listen { address, .. } => {
            Problem::new(ProblemCode::Conflict, "up", address.to_string(), chain(&error))
                .with_remedy("end what has the port, or choose another with --api or --gateway")
        }
        _ => internal("up", thing, &error),
    })
}

/// The compiler's child process; its exit codes are between it and the sandbox that started it.
pub(crate) fn compile_component(input: &Path, output: &Path) -> ExitCode {
    grange_node::run_compile_component(input, output)
}
