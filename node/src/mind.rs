//! Whoever thinks for a node: a peer that keeps the ledger, or a reader that has everything proven to it.

use grange_peer::{Action, Config, Event, Peer, Reader, Recovery, RouteTable, StartError};
use grange_types::{AccountId, PeerId, Time};

/// One of the two.
pub(crate) enum Mind {
    Full(Box<Peer>),
    Light(Box<Reader>),
}

impl Mind {
    /// A peer that continues where its disk left off, or a reader that knows the genesis.
    pub(crate) fn open(light: bool, config: Config, recovery: &Recovery) -> Result<Self, StartError> {
        Ok(if light {
            Self::Light(Box::new(Reader::new(config)))
        } else {
            Self::Full(Box::new(Peer::new(config, recovery)?))
        })
    }

    pub(crate) fn start(&mut self, now: Time, recovery: Recovery) {
        if let Self::Full(peer) = self {
            peer.start(now, recovery);
        }
    }

    pub(crate) fn handle(&mut self, now: Time, event: Event) {
        match self {
            Self::Full(peer) => peer.handle(now, event),
            Self::Light(reader) => reader.handle(now, event),
        }
    }

    pub(crate) fn poll_action(&mut self) -> Option<Action> {
        match self {
            Self::Full(peer) => peer.poll_action(),
            Self::Light(reader) => reader.poll_action(),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Time> {
        match self {
            Self::Full(peer) => peer.poll_timeout(),
            Self::Light(reader) => reader.poll_timeout(),
        }
    }

    /// The account that the node acts for.
    pub(crate) fn account(&self) -> AccountId {
        match self {
            Self::Full(peer) => peer.account(),
            Self::Light(reader) => reader.account(),
        }
    }

    pub(crate) fn routes(&self) -> RouteTable {
        match self {
            Self::Full(peer) => peer.routes(),
            Self::Light(reader) => reader.routes(),
        }
    }

    pub(crate) fn routes_version(&self) -> u64 {
        match self {
            Self::Full(peer) => peer.routes_version(),
            Self::Light(_) => 0,
        }
    }

    pub(crate) fn metrics(&self) -> Vec<(&'static str, u64)> {
        match self {
            Self::Full(peer) => peer.metrics(),
            Self::Light(reader) => reader.metrics(),
        }
    }

    pub(crate) fn linked(&self) -> Vec<(PeerId, String)> {
        match self {
            Self::Full(peer) => peer.linked(),
            Self::Light(reader) => reader.linked(),
        }
    }

    pub(crate) fn reason(&self) -> Option<String> {
        match self {
            Self::Full(peer) => peer.reason(),
            Self::Light(reader) => reader.reason(),
        }
    }
}
