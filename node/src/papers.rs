//! Logs and key-value data of a deployment, wherever its replicas are: asked for by its owner or a steward over a
//! stream, answered as NDJSON lines.

use std::io;
use std::sync::Arc;

use grange_api::{DataLine, Line, LogLine, Timestamp};
use grange_net::{Net, PeerStream, Protocol};
use grange_peer::{Replica, RouteTable};
use grange_sandbox::Sandboxes;
use grange_types::{PeerId, Wire, limits};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PaperRequest {
    /// Lines of a deployment's log.
    Logs {
        /// The deployment's name.
        name: String,
        /// One service, or all.
        service: Option<String>,
        /// Whether to wait for more.
        follow: bool,
        /// Lines after this one.
        after: u64,
    },
    /// The key-value data this node holds of a deployment.
    Data {
        /// The deployment's name.
        name: String,
        /// One service, or all.
        service: Option<String>,
    },
}

impl Wire for PaperRequest {
    const NAME: &'static str = "paper-request";
    const LIMIT: usize = 4 * limits::NAME_BYTES;
}

/// A line is at most this long: a value of a megabyte in base 64, and its frame.
const LINE_BYTES: u64 = 2 * limits::KEY_VALUE_VALUE_BYTES as u64;
/// Lines read from a log in one go.
const LOG_PAGE: usize = 256;
/// Lines that wait for a slow reader.
pub(crate) const LINES: usize = 256;

/// Collects lines from every node that has some; from this one without a packet.
pub(crate) fn collect(
    net: Arc<Net>,
    sandboxes: Arc<Sandboxes>,
    table: Arc<RouteTable>,
    request: PaperRequest,
) -> mpsc::Receiver<Line> {
    let (lines, collected) = mpsc::channel(LINES);
    let me = net.peer_id();
    for peer in holders(&table, &request) {
        let (net, request, lines) = (Arc::clone(&net), request.clone(), lines.clone());
        if peer == me {
            let (table, sandboxes) = (Arc::clone(&table), Arc::clone(&sandboxes));
            tokio::spawn(async move { produce(&request, me, &table, &sandboxes, &lines).await });
        } else {
            tokio::spawn(async move {
                if let Err(error) = fetch(&net, peer, &request, &lines).await {
                    tracing::info!(peer = %peer, %error, "papers.unreachable");
                }
            });
        }
    }
    collected
}

fn holders(table: &RouteTable, request: &PaperRequest) -> Vec<PeerId> {
    match request {
        PaperRequest::Logs { name, .. } => {
            let replicas = table.names.get(name).map(|named| named.replicas.as_slice()).unwrap_or_default();
            let providers: std::collections::BTreeSet<PeerId> =
                replicas.iter().map(|replica| replica.at.provider).collect();
            providers.into_iter().collect()
        }
        PaperRequest::Data { name, .. } => {
            table.names.get(name).map(|named| named.holders.iter().copied().collect()).unwrap_or_default()
        }
    }
}

async fn fetch(net: &Net, peer: PeerId, request: &PaperRequest, lines: &mpsc::Sender<Line>) -> io::Result<()> {
    let mut stream = net.open_stream(peer, Protocol::Steward).await.map_err(io::Error::other)?;
    let bytes = request.encode();
    stream.write_u16_le(bytes.len() as u16).await?;
    stream.write_all(&bytes).await?;
    let mut reader = BufReader::new(stream);
    loop {
        let mut text = String::new();
        if (&mut reader).take(LINE_BYTES).read_line(&mut text).await? == 0 {
            return Ok(());
        }
        let line: Line = serde_json::from_str(&text).map_err(io::Error::other)?;
        if lines.send(line).await.is_err() {
            return Ok(());
        }
    }
}

/// Answers a peer that wants lines, if it pays for the deployment.
pub(crate) async fn serve(
    mut stream: PeerStream,
    (from, me): (PeerId, PeerId),
    table: Arc<RouteTable>,
    sandboxes: Arc<Sandboxes>,
) {
    let Ok(request) = read_request(&mut stream).await else { return };
    let (PaperRequest::Logs { name, .. } | PaperRequest::Data { name, .. }) = &request;
    if !table.names.get(name).is_some_and(|named| named.payers.contains(&from)) {
        tracing::info!(peer = %from, name, "papers.denied");
        return;
    }
    let (lines, mut produced) = mpsc::channel(LINES);
    let produce = async move { produce(&request, me, &table, &sandboxes, &lines).await };
    let send = async {
        while let Some(line) = produced.recv().await {
            let Ok(mut text) = serde_json::to_vec(&line) else { continue };
            text.push(b'\n');
            stream.write_all(&text).await?;
        }
        stream.shutdown().await
    };
    let (sent, ()) = tokio::join!(send, produce);
    if let Err(error) = sent {
        tracing::debug!(peer = %from, %error, "papers.broken");
    }
}

async fn read_request(stream: &mut PeerStream) -> io::Result<PaperRequest> {
    let length = stream.read_u16_le().await?;
    if usize::from(length) > PaperRequest::LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    PaperRequest::decode(&bytes).map_err(io::Error::other)
}

/// Produces the lines of this node.
async fn produce(
    request: &PaperRequest,
    me: PeerId,
    table: &RouteTable,
    sandboxes: &Sandboxes,
    lines: &mpsc::Sender<Line>,
) {
    match request {
        PaperRequest::Logs { name, service, follow, after } => {
            let replicas = table.names.get(name).map(|named| named.replicas.clone()).unwrap_or_default();
            let wanted = |replica: &Replica| service.as_ref().is_none_or(|service| *service == replica.service);
            let tails =
                replicas.into_iter().filter(wanted).map(|replica| tail(replica, *follow, *after, sandboxes, lines));
            futures_util::future::join_all(tails).await;
        }
        PaperRequest::Data { name, service } => {
            let Some(named) = table.names.get(name) else { return };
            if let Err(error) = export(named.deployment, service.as_deref(), me, sandboxes, lines).await {
                tracing::warn!(name, %error, "data.export_failed");
            }
        }
    }
}

async fn tail(replica: Replica, follow: bool, mut after: u64, sandboxes: &Sandboxes, lines: &mpsc::Sender<Line>) {
    let Ok(Some(log)) = sandboxes.logs(replica.at.lease) else { return };
    loop {
        let Ok(page) = log.read_after(after, LOG_PAGE) else { return };
        let last = page.len() < LOG_PAGE;
        for line in page {
            after = line.sequence;
            let line = Line::Log(LogLine {
                id: line.sequence,
                at: Timestamp(line.time),
                service: replica.service.clone(),
                replica: replica.replica,
                provider: replica.at.provider,
                stream: line.stream.as_str().to_owned(),
                text: line.text,
            });
            if lines.send(line).await.is_err() {
                return;
            }
        }
        if last && !follow {
            return;
        }
        if last {
            tokio::select! {
                () = log.wait_after(after) => {}
                () = lines.closed() => return,
            }
        }
    }
}

async fn export(
    deployment: grange_types::DeploymentId,
    service: Option<&str>,
    me: PeerId,
    sandboxes: &Sandboxes,
    lines: &mpsc::Sender<Line>,
) -> io::Result<()> {
    let export = sandboxes.export(deployment, service).map_err(io::Error::other)?;
    for entry in export {
        let bytes = entry.map_err(io::Error::other)?;
        let entry: Exported = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        let line = Line::Data(DataLine {
            service: entry.service,
            provider: me,
            generation: entry.generation,
            bucket: entry.bucket,
            key: entry.key,
            value: entry.value,
        });
        if lines.send(line).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// One entry as the sandbox exports it.
#[derive(Deserialize)]
struct Exported {
    service: String,
    generation: u64,
    #[serde(default)]
    bucket: String,
    key: String,
    value: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_frozen() {
        let logs = PaperRequest::Logs { name: "shop".into(), service: Some("web".into()), follow: true, after: 300 };
        grange_types::codec::check_golden(&logs, include_str!("../golden/paper-request.hex"));
        let data = PaperRequest::Data { name: "shop".into(), service: None };
        grange_types::codec::check_golden(&data, include_str!("../golden/paper-request-data.hex"));
    }
}
