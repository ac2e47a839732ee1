//! The load: many connections, each with one transfer under way, against the APIs of all nodes.
//!
//! # Rules
//! - A connection sends its till's next transfer as soon as the one before it is answered, which is when it is final.
//! - Upon a refusal: it is counted, its first reason is kept, and after a moment the next transfer follows.
//! - Upon the end of the window: what is under way is waited for and not counted.

use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::Fault;
use crate::cloud::Node;
use crate::crowd::Till;
use crate::http::{self, Connection};

/// A node that refuses is not asked again at once.
const PAUSE: Duration = Duration::from_millis(10);

/// When what is answered counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) from: Instant,
    pub(crate) until: Instant,
}

/// What became of the transfers.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// From submission to answer, of those that were answered in the window.
    pub(crate) times: Vec<Duration>,
    /// Answered at all, before and after the window as well.
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    /// Why the first was refused.
    pub(crate) reason: Option<String>,
    /// Signed only when they were wanted.
    pub(crate) late: u64,
}

impl Load {
    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.answered += other.answered;
        self.refused += other.refused;
        self.late += other.late;
        self.reason = self.reason.take().or(other.reason);
    }
}

/// Connections that are open, each with its till.
pub(crate) struct Lanes(Vec<Lane>);

struct Lane {
    connection: Connection,
    head: Vec<u8>,
    till: Till,
}

impl Lanes {
    /// Opens one connection for each till, dealt out to the nodes in turn.
    pub(crate) async fn open(nodes: &[Node], tills: Vec<Till>) -> Result<Self, Fault> {
        let tokens = nodes.iter().map(Node::token).collect::<Result<Vec<_>, _>>()?;
        let mut lanes = Vec::with_capacity(tills.len());
        for (till, (node, token)) in tills.into_iter().zip(nodes.iter().zip(&tokens).cycle()) {
            let head = http::post_head(node.api, "/v1/transactions", token, "application/octet-stream");
            lanes.push(Lane { connection: Connection::open(node.api).await?, head, till });
        }
        Ok(Self(lanes))
    }

    /// Sends until the window ends.
    pub(crate) async fn run(self, window: Window) -> Result<Load, Fault> {
        let mut tasks = JoinSet::new();
        for lane in self.0 {
            tasks.spawn(lane.run(window));
        }
        let mut load = Load::default();
        while let Some(ended) = tasks.join_next().await {
            load.add(ended??);
        }
        Ok(load)
    }
}

impl Lane {
    async fn run(mut self, window: Window) -> Result<Load, Fault> {
        let mut load = Load::default();
        let mut request = Vec::new();
        loop {
            let began = Instant::now();
            if began >= window.until {
                load.late = self.till.late();
                return Ok(load);
            }
            http::post(&mut request, &self.head, &self.till.next());
            let answer = self.connection.exchange(&request).await?;
            let ended = Instant::now();
            if answer.is_success() {
                load.answered += 1;
                if window.from <= ended && ended < window.until {
                    load.times.push(ended - began);
                }
            } else {
                load.refused += 1;
                load.reason.get_or_insert_with(|| answer.text());
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}
