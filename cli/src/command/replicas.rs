//! `ps`, `status`, `peers` and `down`: what runs, and ending it.

use grange_api::{Call, Down, Peer, Replica, ReplicaState, Status};

use super::context::Context;
use crate::dev::confirmed;
use crate::failure::Outcome;
use crate::output::{called, counted};
use crate::table::Table;

/// Lists replicas.
pub(super) fn ps(context: Context<'_>, name: Option<&str>) -> Outcome {
    let call = match name {
        Some(name) => Call::Deployment { name: name.to_owned() },
        None => Call::Deployments,
    };
    // One name is the same from every node; a list is of one's own account, and no other may stand in for it.
    let client = if name.is_some() { context.reader("ps")? } else { context.actor("ps")? };
    let replicas: Vec<Replica> = client.ask(&call)?;
    let what = match (client.prefix(), name) {
        (Some(prefix), None) => format!("nothing whose name begins with {prefix}, which is all that the key shows,"),
        _ => "nothing".to_owned(),
    };
    let empty = format!("{what} is deployed; `grange deploy` deploys an app");
    context.output.tabulate(&replicas, |replicas| table(replicas), &empty)
}

fn table(replicas: &[Replica]) -> Table {
    let columns =
        ["deployment", "service", ">replica", "provider", ">generation", "state", "since", "url", ">copies", "note"];
    let mut table = Table::new(&columns);
    for replica in replicas {
        table.row([
            replica.deployment.clone(),
            replica.service.clone(),
            replica.replica.to_string(),
            called(&replica.display, replica.provider),
            replica.generation.to_string(),
            replica.state.to_string(),
            replica.since.to_string(),
            replica.url.clone().unwrap_or_else(|| "-".to_owned()),
            replica.copies.map_or_else(|| "-".to_owned(), |copies| copies.to_string()),
            replica.note.clone(),
        ]);
    }
    table
}

/// Shows how the node fares.
pub(super) fn status(context: Context<'_>) -> Outcome {
    let status: Status = context.reader("status")?.ask(&Call::Status)?;
    context.output.show(&status, |status| {
        let mut roles: Vec<String> = status.roles.iter().map(ToString::to_string).collect();
        if status.light {
            roles.push("light: keeps no ledger".to_owned());
        }
        let finalized = status.finalized_at.map_or_else(|| "no block yet".to_owned(), |at| at.to_string());
        let ready = match (status.ready, &status.reason) {
            (true, None) => "yes".to_owned(),
            (true, Some(reason)) => format!("yes; {reason}"),
            (false, Some(reason)) => format!("no: {reason}"),
            (false, None) => "no, reason unknown".to_owned(),
        };
        [
            format!("node       {} ({})", status.peer, status.display),
            format!("operator   {}", status.operator),
            format!("network    {}", status.network),
            format!("version    {}", status.version),
            format!("roles      {}", roles.join(", ")),
            format!("height     {}", status.height),
            format!("finalized  {finalized}"),
            format!("peers      {}", status.peers),
            format!("ready      {ready}"),
        ]
        .join("\n")
    })
}

/// Lists the peers that the node is connected to.
pub(super) fn peers(context: Context<'_>) -> Outcome {
    let peers: Vec<Peer> = context.reader("peers")?.ask(&Call::Peers)?;
    let table = |peers: &Vec<Peer>| {
        let mut table = Table::new(&["peer", "name", "address", ">round trip", "since"]);
        for peer in peers {
            let way = if peer.relayed { " (relayed)" } else { "" };
            let address = peer.address.as_deref().unwrap_or("unknown");
            table.row([
                peer.peer.short(),
                peer.display.clone(),
                format!("{address}{way}"),
                peer.round_trip_ms.map_or_else(|| "unknown".to_owned(), |millis| format!("{millis} ms")),
                peer.since.to_string(),
            ]);
        }
        table
    };
    context.output.tabulate(&peers, table, "connected to no peer")
}

/// Ends a deployment. A person is asked; a script says `--yes`.
pub(super) fn down(context: Context<'_>, name: &str, yes: bool) -> Outcome {
    let client = context.actor("down")?;
    if !yes {
        let replicas: Vec<Replica> = client.ask(&Call::Deployment { name: name.to_owned() })?;
        let running = replicas.iter().filter(|replica| replica.state == ReplicaState::Running).count();
        let running = counted(running, "running replica", "running replicas");
        // Nothing here tells a static site from what keeps key-values.
        let question = format!("end {name} with {running}? what it has of key-value data stays with its provider only");
        if !confirmed("down", name, &question)? {
            let kept = serde_json::json!({ "ended": false });
            return context.output.show(&kept, |_| "nothing was ended".to_owned());
        }
    }
    let down: Down = client.ask(&Call::Down { name: name.to_owned() })?;
    context.output.show(&down, |down| {
        let (name, most) = (&down.deployment, down.returned.in_words());
        format!("{name} has ended and gives back up to {most}: at once what nobody can claim any more, the rest once its providers have claimed theirs, or can no more")
    })
}
