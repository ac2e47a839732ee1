//! `key`: what signs for the account, and what lets one use the API.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use grange_api::{Call, KeySet, Token};

use super::{Context, ledger};
use crate::arguments::KeyAction;
use crate::failure::{Outcome, internal};

/// Looks after keys.
pub(super) fn run(context: Context<'_>, action: &KeyAction) -> Outcome {
    match action {
        KeyAction::Show => {
            let keys: KeySet = context.actor("key show")?.ask(&Call::Keys)?;
            context.output.show(&keys, |keys| {
                [vec![format!("account  {}", keys.account)], ledger::keys(&keys.keys).lines()].concat().join("\n")
            })
        }
        KeyAction::RotateToken => rotate(context),
    }
}

/// Replaces the token. It is never printed: the file is where it belongs.
fn rotate(context: Context<'_>) -> Outcome {
    let client = context.actor("key rotate-token")?;
    let Token { token } = client.ask(&Call::RotateToken)?;
    let file = client.token_file();
    // The node keeps its own file; a copy elsewhere would be out of date from now on.
    let present = fs::read_to_string(file).unwrap_or_default();
    if present.trim() != token {
        write_secret(file, &token).map_err(|error| internal("key rotate-token", file.display().to_string(), &error))?;
    }
    let rotated = serde_json::json!({ "token_file": file });
    context.output.show(&rotated, |_| format!("{} holds a new token; the old one is refused", file.display()))
}

/// Writes a file that only its owner can read, in one step.
fn write_secret(path: &Path, text: &str) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)
}
