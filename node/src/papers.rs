//! Logs and key-value data of a deployment, wherever its replicas are: asked for by its owner or a steward over a
//! stream, answered as NDJSON lines.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};
use grange_api::{DataLine, Line, LogLine, Problem, ProblemCode, Timestamp};
use grange_net::{Net, PeerStream, Protocol};
use grange_peer::Replica;
use grange_sandbox::Sandboxes;
use grange_types::{LeaseId, PeerId, Wire, limits};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::sync::mpsc;

use crate::ingress::Ingress;

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
        /// Of which lease; between nodes always one.
        lease: Option<LeaseId>,
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
    // Two names, a number and a lease.
    const LIMIT: usize = 4 * limits::NAME_BYTES;
}

/// A line is at most this long: a value of a megabyte in base 64, and its frame.
const LINE_BYTES: u64 = 2 * limits::KEY_VALUE_VALUE_BYTES as u64;
/// Lines read from a log in one go.
const LOG_PAGE: usize = 256;
/// Lines that wait for a slow reader.
pub(crate) const LINES: usize = 256;

/// Between two looks at which leases there are, for whoever follows a log.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A peer that says nothing for so long, where it is not its turn to wait, is given up.
const SILENCE: Duration = Duration::from_secs(10);

/// What lines are collected and produced from.
#[derive(Clone)]
pub(crate) struct Papers {
    pub(crate) net: Arc<Net>,
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) sandboxes: Arc<Sandboxes>,
}

impl Papers {
    /// Collects lines from every node that has some. What could not be reached is said at the end.
    pub(crate) fn collect(self, request: PaperRequest) -> mpsc::Receiver<Line> {
        let (lines, collected) = mpsc::channel(LINES);
        tokio::spawn(async move {
            let missed = match &request {
                PaperRequest::Logs { follow, .. } => self.logs(&request, *follow, &lines).await,
                PaperRequest::Data { name, .. } => self.data(name, &request, &lines).await,
            };
            if !missed.is_empty() {
                let _ = lines.send(Line::Problem(unreachable_of(&request, &missed))).await;
            }
        });
        collected
    }

    async fn data(&self, name: &str, request: &PaperRequest, lines: &mpsc::Sender<Line>) -> Vec<PeerId> {
        let table = self.ingress.table();
        let holders = table.names.get(name).map(|named| named.holders.clone()).unwrap_or_default();
        let fetches = holders.into_iter().map(|peer| self.ask_peer(peer, request.clone(), lines.clone()));
        futures_util::future::join_all(fetches).await.into_iter().flatten().collect()
    }

    /// One stream a lease; whoever follows gets those of later generations as they come.
    async fn logs(&self, request: &PaperRequest, follow: bool, lines: &mpsc::Sender<Line>) -> Vec<PeerId> {
        let mut begun = BTreeSet::new();
        let mut streams = FuturesUnordered::new();
        let mut missed = Vec::new();
        loop {
            for (lease, peer) in self.leases(request) {
                if begun.insert(lease) {
                    streams.push(self.ask_peer(peer, of_lease(request, lease), lines.clone()));
                }
            }
            if streams.is_empty() && !follow {
                return missed;
            }
            tokio::select! {
                () = lines.closed() => return Vec::new(),
                ended = streams.next(), if !streams.is_empty() => missed.extend(ended.flatten()),
                () = tokio::time::sleep(LOOK_EVERY), if follow => {}
            }
        }
    }

    /// The present leases that a request for logs is about.
    fn leases(&self, request: &PaperRequest) -> Vec<(LeaseId, PeerId)> {
        let PaperRequest::Logs { name, service, .. } = request else { return Vec::new() };
        let table = self.ingress.table();
        let replicas = table.names.get(name).map(|named| named.replicas.as_slice()).unwrap_or_default();
        let wanted = |replica: &&Replica| service.as_ref().is_none_or(|service| *service == replica.service);
        replicas.iter().filter(wanted).map(|replica| (replica.at.lease, replica.at.provider)).collect()
    }

    /// Lines of one node, from this one without a packet; the node if it could not be asked.
    async fn ask_peer(&self, peer: PeerId, request: PaperRequest, lines: mpsc::Sender<Line>) -> Option<PeerId> {
        if peer == self.net.peer_id() {
            self.produce(&request, &lines).await;
            return None;
        }
        let fetched = fetch(&self.net, peer, &request, &lines).await;
        fetched.err().map(|error| {
            tracing::info!(peer = %peer, %error, "papers.unreachable");
            peer
        })
    }

    /// Answers a peer that wants lines, if it pays for the deployment.
    pub(crate) async fn serve(self, mut stream: PeerStream, from: PeerId) {
        let Ok(Ok(request)) = tokio::time::timeout(SILENCE, read_request(&mut stream)).await else { return };
        let (PaperRequest::Logs { name, .. } | PaperRequest::Data { name, .. }) = &request;
        if !self.ingress.table().names.get(name).is_some_and(|named| named.payers.contains(&from)) {
            tracing::info!(peer = %from, name, "papers.denied");
            return;
        }
        let (lines, mut produced) = mpsc::channel(LINES);
        let produce = async move { self.produce(&request, &lines).await };
        let send = async {
            while let Some(line) = produced.recv().await {
                let Ok(mut text) = serde_json::to_vec(&line) else { continue };
                text.push(b'\n');
                tokio::time::timeout(SILENCE, stream.write_all(&text)).await.map_err(io::Error::other)??;
            }
            stream.shutdown().await
        };
        // Whoever sends no more needs no more produced.
        let sent = tokio::select! {
            sent = send => sent,
            () = async { produce.await; std::future::pending().await } => Ok(()),
        };
        if let Err(error) = sent {
            tracing::debug!(peer = %from, %error, "papers.broken");
        }
    }

    /// Produces the lines of this node.
    async fn produce(&self, request: &PaperRequest, lines: &mpsc::Sender<Line>) {
        let table = self.ingress.table();
        match request {
            PaperRequest::Logs { name, lease, follow, after, .. } => {
                let replicas = table.names.get(name).map(|named| named.replicas.as_slice()).unwrap_or_default();
                if let Some(replica) = replicas.iter().find(|replica| Some(replica.at.lease) == *lease) {
                    self.tail(name, replica, *follow, *after, lines).await;
                }
            }
            PaperRequest::Data { name, service } => {
                let Some(named) = table.names.get(name) else { return };
                let me = self.net.peer_id();
                if let Err(error) = export(named.deployment, service.as_deref(), me, &self.sandboxes, lines).await {
                    tracing::warn!(name, %error, "data.export_failed");
                }
            }
        }
    }

    /// Whether a lease is one of the present ones of a name.
    fn is_current(&self, name: &str, lease: LeaseId) -> bool {
        let table = self.ingress.table();
        table.names.get(name).is_some_and(|named| named.replicas.iter().any(|replica| replica.at.lease == lease))
    }

    async fn tail(&self, name: &str, replica: &Replica, follow: bool, after: u64, lines: &mpsc::Sender<Line>) {
        let lease = replica.at.lease;
        let log = loop {
            match self.sandboxes.logs(lease) {
                Ok(Some(log)) => break log,
                // What is leased and has not begun will have a log.
                Ok(None) if follow && self.is_current(name, lease) => tokio::time::sleep(LOOK_EVERY).await,
                _ => return,
            }
        };
        let mut sequence = 0;
        loop {
            let Ok(page) = log.read_after(sequence, LOG_PAGE) else { return };
            let last = page.len() < LOG_PAGE;
            for line in page {
                sequence = line.sequence;
                let line = show(replica, line);
                if line.id > after && lines.send(Line::Log(line)).await.is_err() {
                    return;
                }
            }
            if !last {
                continue;
            }
            if !follow || !self.is_current(name, lease) {
                return;
            }
            tokio::select! {
                () = log.wait_after(sequence) => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = lines.closed() => return,
            }
        }
    }
}

/// A line with an id that grows over all leases of a deployment: its millisecond, and its place within the lease.
fn show(replica: &Replica, line: grange_sandbox::LogLine) -> LogLine {
    LogLine {
        id: line.time.0 << 12 | line.sequence & 0xfff,
        at: Timestamp(line.time),
        service: replica.service.clone(),
        replica: replica.replica,
        provider: replica.at.provider,
        stream: line.stream.as_str().to_owned(),
        text: line.text,
    }
}

fn of_lease(request: &PaperRequest, of: LeaseId) -> PaperRequest {
    let mut request = request.clone();
    if let PaperRequest::Logs { lease, .. } = &mut request {
        *lease = Some(of);
    }
    request
}

fn unreachable_of(request: &PaperRequest, missed: &[PeerId]) -> Problem {
    let (operation, name) = match request {
        PaperRequest::Logs { name, .. } => ("logs", name),
        PaperRequest::Data { name, .. } => ("data export", name),
    };
    let peers = missed.iter().map(|peer| peer.short()).collect::<Vec<_>>().join(", ");
    let text = format!("{peers} cannot be asked now, so what is kept there is missing here");
    Problem::new(ProblemCode::ReplicaFailed, operation, name, text)
        .with_remedy("start the node again, or wait until it is back, then ask again")
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

async fn read_request(stream: &mut PeerStream) -> io::Result<PaperRequest> {
    let length = stream.read_u16_le().await?;
    if usize::from(length) > PaperRequest::LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; usize::from(length)];
    stream.read_exact(&mut bytes).await?;
    PaperRequest::decode(&bytes).map_err(io::Error::other)
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
        let logs = PaperRequest::Logs {
            name: "shop".into(),
            service: Some("web".into()),
            follow: true,
            after: 300,
            lease: None,
        };
        grange_types::codec::check_golden(&logs, include_str!("../golden/paper-request.hex"));
        let data = PaperRequest::Data { name: "shop".into(), service: None };
        grange_types::codec::check_golden(&data, include_str!("../golden/paper-request-data.hex"));
    }
}
