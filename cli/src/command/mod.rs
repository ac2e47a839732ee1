//! What the commands do that ask a node: one file a family, each a call of the API and how its answer is shown.

pub(crate) mod answer;
mod audit;
mod bill;
mod context;
pub(crate) mod deploy;
pub(crate) mod doctor;
mod focus;
mod identity;
pub(crate) mod init;
mod keys;
mod ledger;
mod logs;
mod market;
mod money;
mod names;
mod place;
mod replicas;
pub(crate) mod step;
mod trust;

use clap::CommandFactory;
use grange_api::{Call, InviteRequest};
use grange_node::Invitation;

use crate::arguments::{Arguments, Command, ComposeAction, DataAction, NetworkAction};
use crate::dev;
use crate::failure::Outcome;
use crate::output::Output;
use crate::{tour, up};

pub(crate) use context::Context;

/// Carries out a command.
pub(crate) fn run(context: Context<'_>, command: &Command) -> Outcome {
    let output = context.output;
    match command {
        Command::Up(arguments) => up::run(arguments, output),
        Command::Dev(arguments) => dev::run(arguments, output),
        Command::Init { template, folder } => init::run(*template, folder, output),
        Command::Validate(app) => deploy::validate(context, &app.wanted()),
        // It is JSON already, for people as for scripts.
        Command::Compose { action: ComposeAction::Schema } => output.line(grange_app::schema().trim_end()),
        Command::Plan(app) => deploy::plan(context, &app.wanted()),
        Command::Deploy(app) => deploy::run(context, &app.wanted()),
        Command::Ps { name } => replicas::ps(context, name.as_deref()),
        Command::Logs { name, follow, service, after, earlier } => {
            let service = service.as_deref();
            let wanted = logs::Wanted { name, service, follow: *follow, after: *after, earlier: *earlier };
            logs::run(context, &wanted)
        }
        Command::Status => replicas::status(context),
        Command::Down { name, yes } => replicas::down(context, name, *yes),
        Command::Data { action: DataAction::Export { name, service, earlier } } => {
            logs::export(context, name, service.as_deref(), *earlier)
        }
        Command::Providers => market::providers(context),
        Command::Offers => market::offers(context),
        Command::Trust { of } => trust::run(context, of.as_deref()),
        Command::Peers => replicas::peers(context),
        Command::Wallet { action } => money::wallet(context, action),
        Command::Usage(bill) => bill::run(context, bill),
        Command::Name { action } => names::run(context, action),
        Command::Provider { action } => market::provider(context, action),
        Command::Ledger { action } => ledger::run(context, action),
        Command::Key { action } => keys::run(context, action),
        Command::Identity(identity) => identity::run(context, identity),
        Command::Audit { follow, principal, after } => audit::run(context, *follow, principal.as_deref(), *after),
        Command::Network { action: NetworkAction::Create(arguments) } => up::create(arguments, output),
        Command::Network { action: NetworkAction::Show } => ledger::network(context),
        Command::Invite { valid_for } => invite(context, *valid_for),
        Command::Doctor { data } => doctor::run(context, data.as_deref()),
        Command::Completions { shell } => completions(*shell, output),
        Command::Tour(arguments) => tour::run(arguments, output),
        // Has an exit code of its own and never comes here.
        Command::CompileComponent { .. } => Ok(()),
    }
}

fn invite(context: Context<'_>, valid_for: u64) -> Outcome {
    let call = Call::Invite(InviteRequest { valid_for });
    let invite: grange_api::Invite = context.actor("invite")?.ask(&call)?;
    context
        .output
        .progress(&format!("holds until {}; on the other machine: grange up --join INVITATION", invite.expires));
    if invite.invite.parse::<Invitation>().is_ok_and(|invitation| !invitation.leaves_this_machine()) {
        let advice = "start the node with `grange up --listen 0.0.0.0:PORT`, or with `--relay ADDRESS:PORT`";
        context.output.notice(&format!("only this machine reaches the addresses in it; {advice}"));
    }
    context.output.show(&invite, |invite| invite.invite.clone())
}

fn completions(shell: clap_complete::Shell, output: Output) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "grange", &mut script);
    let script = String::from_utf8_lossy(&script);
    if output.is_json() {
        return output.data(&serde_json::json!({ "shell": shell.to_string(), "script": script }));
    }
    output.line(script.trim_end())
}
