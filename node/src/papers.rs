//! Logs and key-value data of a deployment, wherever its replicas are: asked for over a stream, answered as NDJSON lines.
//!
//! Logs are for the owner's nodes and the stewards, who look after the deployment while its owner is away. Data is in clear at its
//! provider and sealed everywhere else, so it is for the owner's nodes alone: a steward has one share of two.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use grange_api::{BegunLine, DataLine, Line, LogLine, NoteLine, Problem, ProblemCode, Timestamp};
use grange_net::{Net, PeerStream};
use grange_peer::{Replica, Routed};
use grange_sandbox::{LogStream, Sandboxes};
use grange_types::{DeploymentId, LeaseId, PeerId};
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

mod data;
mod generations;
mod request;
mod wire;

use self::generations::{notes_of, replaced};
pub use self::request::PaperRequest;
use self::wire::{SILENCE, fetch, read_request, timed};
use crate::ingress::Ingress;

/// Lines read from a log in one go.
const LOG_PAGE: usize = 256;
/// Lines that wait for a slow reader.
pub(crate) const LINES: usize = 256;

/// Between two looks at which leases there are, for whoever follows a log.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Whoever is followed and has nothing to tell says so this often, by an empty line.
const ALIVE_EVERY: Duration = Duration::from_secs(3);

/// What lines are collected and produced from.
#[derive(Clone)]
pub(crate) struct Papers {
    pub(crate) net: Arc<Net>,
    pub(crate) ingress: Arc<Ingress>,
    pub(crate) sandboxes: Arc<Sandboxes>,
}

impl Papers {
    /// Collects lines from every node that has some: of the present generation of each replica, and upon `earlier` also
    /// of those before. What could not be reached is said at the end, and why there are no more to whoever follows.
    pub(crate) fn collect(self, request: PaperRequest, earlier: bool) -> mpsc::Receiver<Line> {
        let (lines, collected) = mpsc::channel(LINES);
        tokio::spawn(async move {
            let (PaperRequest::Logs { name, .. } | PaperRequest::Data { name, .. }) = &request;
            let deployment = self.leads_to(name);
            let missed = match &request {
                PaperRequest::Logs { .. } => {
                    self.before(name, &request, earlier, &lines).await;
                    self.logs(name, deployment, &request, &lines).await
                }
                PaperRequest::Data { .. } => self.data(name, &request, earlier, &lines).await,
            };
            let problem = match request.is_followed() {
                true => Some(self.over(name, deployment, &missed)),
                false => (!missed.is_empty()).then(|| request.unreachable(&missed)),
            };
            if let Some(problem) = problem {
                let _ = lines.send(Line::Problem(problem)).await;
            }
        });
        collected
    }

    /// Lines of replicas that were replaced, the oldest first; or a note that there may be some.
    async fn before(&self, name: &str, request: &PaperRequest, earlier: bool, lines: &mpsc::Sender<Line>) {
        let table = self.ingress.table();
        let Some(named) = table.names.get(name) else { return };
        let before = replaced(named, request);
        if !earlier {
            for text in notes_of(named, request, &before) {
                note(text, lines).await;
            }
            return;
        }
        let mut missed = BTreeSet::new();
        for replica in before {
            let Routed { provider, lease, .. } = replica.at;
            if !missed.contains(&provider) {
                // What was is at its end, also for whoever follows what is.
                missed.extend(self.ask_peer(provider, request.at_once(lease), lines.clone()).await);
            }
        }
        if !missed.is_empty() {
            let text = format!("{} cannot be asked now", shorts(&missed));
            note(text + ": what earlier generations wrote there is missing", lines).await;
        }
    }

    /// One stream a lease; whoever follows gets those of later generations as they come, until the name no longer leads to
    /// the deployment and each stream is at its end.
    async fn logs(
        &self,
        name: &str,
        deployment: Option<DeploymentId>,
        request: &PaperRequest,
        lines: &mpsc::Sender<Line>,
    ) -> BTreeSet<PeerId> {
        let follow = request.is_followed();
        let (mut begun, mut open) = (BTreeSet::new(), BTreeMap::new());
        let mut streams = FuturesUnordered::new();
        let mut missed = BTreeSet::new();
        let mut over: Option<Instant> = None;
        loop {
            if deployment.is_some() && self.leads_to(name) == deployment {
                for (lease, peer) in self.leases(request).into_iter().filter(|(lease, _)| begun.insert(*lease)) {
                    let ended = self.ask_peer(peer, request.of_lease(lease), lines.clone());
                    streams.push(ended.map(move |ended| (lease, ended)));
                    open.insert(lease, peer);
                }
            } else if over.get_or_insert_with(Instant::now).elapsed() >= SILENCE {
                // Who has not heard by now that it is over would be waited for as long as he does not.
                missed.extend(open.into_values());
                return missed;
            }
            if streams.is_empty() && (!follow || over.is_some()) {
                return missed;
            }
            tokio::select! {
                () = lines.closed() => return missed,
                Some((lease, ended)) = streams.next(), if !streams.is_empty() => {
                    open.remove(&lease);
                    missed.extend(ended);
                }
                () = tokio::time::sleep(LOOK_EVERY), if follow => {}
            }
        }
    }

    /// Which deployment a name leads to now.
    fn leads_to(&self, name: &str) -> Option<DeploymentId> {
        self.ingress.table().names.get(name).map(|named| named.deployment)
    }

    /// Why there are no more lines for whoever follows a log.
    fn over(&self, name: &str, deployment: Option<DeploymentId>, missed: &BTreeSet<PeerId>) -> Problem {
        let lives = deployment.is_some_and(|deployment| self.ingress.table().parties.contains_key(&deployment));
        let why = if lives { "no longer leads to what was followed" } else { "was removed" };
        let mut text = format!("{name} {why}: its log ends here");
        if !missed.is_empty() {
            text += &format!(", without the last of what {} kept", shorts(missed));
        }
        Problem::new(ProblemCode::NotFound, "logs", name, text)
            .with_remedy("`grange ps` lists what there is; `grange usage` still has the bill")
    }

    /// The present leases that a request for logs is about.
    fn leases(&self, request: &PaperRequest) -> Vec<(LeaseId, PeerId)> {
        let PaperRequest::Logs { name, .. } = request else { return Vec::new() };
        let table = self.ingress.table();
        let replicas = table.names.get(name).map(|named| named.replicas.as_slice()).unwrap_or_default();
        replicas
            .iter()
            .filter(|replica| request.wants(replica))
            .map(|replica| (replica.at.lease, replica.at.provider))
            .collect()
    }

    /// Lines of one node, from this one without a packet; the node if it could not be asked.
    async fn ask_peer(&self, peer: PeerId, request: PaperRequest, lines: mpsc::Sender<Line>) -> Option<PeerId> {
        let given = if peer == self.net.peer_id() {
            self.produce(&request, &lines).await
        } else {
            let (PaperRequest::Logs { name, .. } | PaperRequest::Data { name, .. }) = &request;
            let table = self.ingress.table();
            let of = request.lease().and_then(|lease| table.names.get(name)?.under(lease));
            fetch(&self.net, (peer, of), &request, &lines).await
        };
        given.err().map(|error| {
            tracing::info!(peer = %peer, %error, "papers.unreachable");
            peer
        })
    }

    /// Answers a peer that wants lines, if it may see them.
    pub(crate) async fn serve(self, mut stream: PeerStream, from: PeerId) {
        let Ok(request) = timed(SILENCE, read_request(&mut stream)).await else { return };
        let (PaperRequest::Logs { name, .. } | PaperRequest::Data { name, .. }) = &request;
        let table = self.ingress.table();
        if !table.names.get(name).is_some_and(|named| request.is_for(from, named.deployment, &table)) {
            tracing::info!(peer = %from, name, "papers.denied");
            return;
        }
        let followed = request.is_followed();
        let (lines, mut produced) = mpsc::channel(LINES);
        let produce = async move {
            if let Err(error) = self.produce(&request, &lines).await {
                // Else whoever asked would take what there was so far for everything.
                let problem = Problem::new(ProblemCode::Internal, "papers", "", error.to_string());
                let _ = lines.send(Line::Problem(problem)).await;
            }
        };
        let send = async {
            loop {
                let mut text = match tokio::time::timeout(ALIVE_EVERY, produced.recv()).await {
                    Ok(Some(line)) => serde_json::to_vec(&line).map_err(io::Error::other)?,
                    Ok(None) => return stream.shutdown().await,
                    Err(_) if followed => Vec::new(),
                    Err(_) => continue,
                };
                text.push(b'\n');
                timed(SILENCE, stream.write_all(&text)).await?;
            }
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
    async fn produce(&self, request: &PaperRequest, lines: &mpsc::Sender<Line>) -> io::Result<()> {
        let table = self.ingress.table();
        match request {
            PaperRequest::Logs { name, lease, follow, after, .. } => {
                let named = table.names.get(name);
                if let Some(replica) = named.zip(*lease).and_then(|(named, lease)| named.under(lease)) {
                    self.tail(name, replica, *follow, *after, lines).await;
                }
                Ok(())
            }
            PaperRequest::Data { name, service } => {
                let Some(named) = table.names.get(name) else { return Ok(()) };
                let me = self.net.peer_id();
                let exported = export(named.deployment, service.as_deref(), me, &self.sandboxes, lines).await;
                exported.inspect_err(|error| tracing::warn!(name, %error, "data.export_failed"))
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
        let (mut sequence, mut over) = (0, !follow);
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
            if over {
                return;
            }
            over = !self.is_current(name, lease);
            tokio::select! {
                // What it still writes while it is stopped is there a moment later, and read before the end.
                () = log.wait_after(sequence), if !over => {}
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
        generation: replica.at.generation,
        stream: word(line.stream).to_owned(),
        text: line.text,
    }
}

/// Where a line came from, in the API's words.
const fn word(stream: LogStream) -> &'static str {
    match stream {
        LogStream::Out => "stdout",
        LogStream::Error => "stderr",
        LogStream::System => "node",
    }
}

async fn note(note: String, lines: &mpsc::Sender<Line>) {
    let _ = lines.send(Line::Note(NoteLine { note })).await;
}

fn shorts(peers: &BTreeSet<PeerId>) -> String {
    peers.iter().map(|peer| peer.short()).collect::<Vec<_>>().join(", ")
}

async fn export(
    deployment: DeploymentId,
    service: Option<&str>,
    me: PeerId,
    sandboxes: &Sandboxes,
    lines: &mpsc::Sender<Line>,
) -> io::Result<()> {
    let export = sandboxes.export(deployment, service).map_err(io::Error::other)?;
    for entry in export {
        let bytes = entry.map_err(io::Error::other)?;
        let Exported { service, replica, generation, entry } =
            serde_json::from_slice(&bytes).map_err(io::Error::other)?;
        let line = match entry {
            None => Line::Begun(BegunLine { service, provider: me, replica, generation, begun: true }),
            Some(Entry { bucket, key, value }) => {
                // Whoever gathers the lines of all nodes knows which are.
                let current = false;
                Line::Data(DataLine { service, provider: me, replica, generation, current, bucket, key, value })
            }
        };
        if lines.send(line).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// One line as the sandbox exports it: that a store was begun, or an entry of it.
#[derive(Deserialize)]
struct Exported {
    service: String,
    replica: u32,
    generation: u64,
    #[serde(flatten)]
    entry: Option<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    bucket: String,
    key: String,
    value: String,
}
