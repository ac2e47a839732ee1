//! `key`: what lets one use the API, and what signs for the account.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use grange_api::{ApiKey, Call, KeyRequest, KeySet, NewApiKey, Problem, ProblemCode, RevokedKey, Token};
use grange_types::{Millis, Right, RightsToken, Scope};

use super::context::Context;
use super::ledger;
use crate::arguments::{KeyAction, Limits};
use crate::choice;
use crate::failure::{Outcome, chain, internal};
use crate::machine;
use crate::table::Table;

/// Looks after keys.
pub(super) fn run(context: Context<'_>, action: &KeyAction) -> Outcome {
    match action {
        KeyAction::Show => {
            let keys: KeySet = context.actor("key show")?.ask(&Call::Keys)?;
            context.output.show(&keys, |keys| {
                [vec![format!("account  {}", keys.account)], ledger::keys(&keys.keys).lines()].concat().join("\n")
            })
        }
        KeyAction::Create { name, scope, limits } => create(context, name, scope, limits),
        KeyAction::List => {
            let keys: Vec<ApiKey> = context.actor("key list")?.ask(&Call::ApiKeys)?;
            context.output.tabulate(&keys, |keys| table(keys), "there are no API keys")
        }
        KeyAction::Revoke { name, .. } => revoke(context, name.as_deref()),
        KeyAction::Narrow { name, scope, limits } => narrow(context, name, scope, limits),
        KeyAction::RotateToken => rotate(context),
    }
}

fn create(context: Context<'_>, name: &str, scope: &[Right], limits: &Limits) -> Outcome {
    let request = KeyRequest {
        name: name.to_owned(),
        scopes: scope.iter().map(ToString::to_string).collect(),
        prefix: limits.prefix.clone().unwrap_or_default(),
        valid_for: limits.until,
        max_spend: limits.max_spend,
    };
    let made: NewApiKey = context.actor("key create")?.ask(&Call::CreateKey(request))?;
    context.output.progress("this is the only time that the key is shown; put it where only its user reads it");
    context.output.show(&made, |made| made.token.clone())
}

fn revoke(context: Context<'_>, name: Option<&str>) -> Outcome {
    let call = name.map_or(Call::RevokeKeys, |name| Call::RevokeKey { name: name.to_owned() });
    let revoked: Vec<RevokedKey> = context.actor("key revoke")?.ask(&call)?;
    context.output.show(&revoked, |revoked| {
        let names: Vec<&str> = revoked.iter().map(|key| key.name.as_str()).collect();
        match names.as_slice() {
            [] => "there was no key to revoke".to_owned(),
            names => format!("refused from now on: {}", names.join(", ")),
        }
    })
}

/// A narrower key, made here and now: no node is asked.
fn narrow(context: Context<'_>, name: &str, scope: &[Right], limits: &Limits) -> Outcome {
    const OPERATION: &str = "key narrow";
    let (text, from) = choice::own_token(context.global, OPERATION)?;
    let wrong = |error: &dyn std::error::Error| {
        Problem::new(ProblemCode::Usage, OPERATION, from.clone(), chain(error))
            .with_remedy("name a file that holds an API key with --token-file, and ask for less than that key allows")
    };
    let token: RightsToken = text.parse().map_err(|error| wrong(&error))?;
    let Some((block, until)) = token.claims() else {
        return Err(wrong(&grange_types::RightsError::Syntax).into());
    };
    let narrower = Scope {
        rights: if scope.is_empty() { block.scope.rights.clone() } else { scope.iter().copied().collect() },
        prefix: limits.prefix.clone().unwrap_or_else(|| block.scope.prefix.clone()),
        max_spend: limits.max_spend.or(block.scope.max_spend),
    };
    let asked = limits.until.map(|seconds| machine::now().after(Millis::seconds(seconds)));
    let until = asked.map_or(until, |asked| asked.min(until));
    let next = crate::up::secret_key(OPERATION)?;
    let made = token.narrow(name.to_owned(), narrower, until, &next).map_err(|error| wrong(&error))?;
    let shown = serde_json::json!({ "name": name, "token": made.to_string() });
    context.output.show(&shown, |_| made.to_string())
}

fn table(keys: &[ApiKey]) -> Table {
    let mut table = Table::new(&["name", "scopes", "prefix", "until", ">spent", ">at most", "state", "id"]);
    for key in keys {
        table.row([
            key.name.clone(),
            key.scopes.join(","),
            if key.prefix.is_empty() { "-".to_owned() } else { key.prefix.clone() },
            key.until.map_or_else(|| "-".to_owned(), |until| until.to_string()),
            key.spent.to_string(),
            key.max_spend.map_or_else(|| "-".to_owned(), |most| most.to_string()),
            key.state.clone(),
            key.id.short(),
        ]);
    }
    table
}

/// Replaces the token. It is never printed: the file is where it belongs.
fn rotate(context: Context<'_>) -> Outcome {
    let client = context.actor("key rotate-token")?;
    if client.token_file().as_os_str().is_empty() {
        let text = "the token is from GRANGE_TOKEN, where the new one cannot be put";
        return Err(Problem::new(ProblemCode::Usage, "key rotate-token", "GRANGE_TOKEN", text)
            .with_remedy("unset it, or name the token's file with --token-file")
            .into());
    }
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
