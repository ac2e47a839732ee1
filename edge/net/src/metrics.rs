//! What a node counts about its traffic.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Counters since the start, and gauges where said.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct NetMetrics {
            $($(#[$doc])* pub $name: u64,)+
        }

        /// The living counters behind [`NetMetrics`].
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter,)+
        }

        impl Counters {
            /// All of them now.
            pub(crate) fn read(&self) -> NetMetrics {
                NetMetrics { $($name: self.$name.0.load(Ordering::Relaxed),)+ }
            }
        }

        impl NetMetrics {
            /// Name and value of each, for a metrics page.
            #[must_use]
            pub fn named(&self) -> Vec<(&'static str, u64)> {
                vec![$((stringify!($name), self.$name)),+]
            }
        }
    };
}

/// A number that only grows, unless it is a gauge.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(crate) fn count(&self) {
        self.add(1);
    }

    /// So many more.
    pub(crate) fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The value of a gauge.
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

counters! {
    /// Links that stand now; a gauge.
    links,
    /// Peers whose addresses are known now; a gauge.
    known_peers,
    /// Links that came up.
    connected,
    /// Links that broke.
    disconnected,
    /// Attempts to link with a peer.
    dials,
    /// Attempts that failed.
    dials_failed,
    /// Peers of other networks that were refused, or refused us.
    foreign_refused,
    /// Connections refused because a limit was reached.
    connections_refused,
    /// Messages handed to a connection.
    messages_sent,
    /// Messages handed to the layers above.
    messages_received,
    /// Messages not sent: no link, a full queue, too long, or a link that broke.
    messages_dropped,
    /// Bytes of messages, requests and answers sent; streams not counted.
    bytes_sent,
    /// Bytes of messages, requests and answers received; streams not counted.
    bytes_received,
    /// Requests sent.
    requests_sent,
    /// Requests sent that got no answer, for whatever reason.
    requests_failed,
    /// Requests received.
    requests_received,
    /// Requests turned away because too many of the same peer were waiting.
    requests_refused,
    /// Streams opened to peers.
    streams_opened,
    /// Streams opened by peers.
    streams_accepted,
    /// Gossip messages published here.
    gossip_published,
    /// Gossip messages handed to the layers above.
    gossip_received,
    /// Gossip that was too long, or came faster than it could be handled.
    gossip_dropped,
    /// Messages of peers that were dropped because they exceeded a limit.
    violations,
    /// Links closed because the peer kept exceeding limits or sent what makes no sense.
    links_closed_for_violation,
}
