//! The protocols peers speak, one ALPN each.

use core::fmt;

use grange_types::limits;

/// A protocol between two peers. Each has its own ALPN, connection, and maximum of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Votes, proposals and certificates.
    Consensus,
    /// Transactions on their way to a proposer.
    Transactions,
    /// Blocks for who lags behind.
    Sync,
    /// Quotes, offers and leases.
    Market,
    /// Desired state among the stewards of a deployment, and receipts.
    Steward,
    /// Blobs by their hash.
    Blob,
    /// Requests of a gateway to the node that runs a service.
    Http,
    /// Copies of key-values for those who keep them.
    Keep,
    /// Carried by [`Net::publish`](crate::Net::publish); not for the layers above to send on.
    Gossip,
    /// The link itself: greeting and peer exchange; not for the layers above to send on.
    Exchange,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Consensus,
        Self::Transactions,
        Self::Sync,
        Self::Market,
        Self::Steward,
        Self::Blob,
        Self::Http,
        Self::Keep,
        Self::Gossip,
        Self::Exchange,
    ];

    /// The name that TLS negotiates.
    #[must_use]
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Consensus => b"grange/consensus/1",
            Self::Transactions => b"grange/transactions/1",
            Self::Sync => b"grange/sync/1",
            Self::Market => b"grange/market/1",
            Self::Steward => b"grange/steward/1",
            Self::Blob => b"grange/blob/1",
            Self::Http => b"grange/http/1",
            Self::Keep => b"grange/keep/1",
            Self::Gossip => b"grange/gossip/1",
            Self::Exchange => b"grange/exchange/1",
        }
    }

    /// The protocol of an ALPN.
    #[must_use]
    pub fn from_alpn(alpn: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.alpn() == alpn)
    }

    /// The most bytes of one message, request or answer. Larger things travel on streams.
    #[must_use]
    pub const fn message_limit(self) -> usize {
        match self {
            Self::Consensus | Self::Sync => limits::MESSAGE_BYTES,
            Self::Keep => limits::KEEP_BYTES,
            // Four of the largest transactions, or about a thousand transfers.
            Self::Transactions => 4 * limits::TRANSACTION_BYTES + (4 << 10),
            // A gossiped message in its envelope of topic, hash and round.
            Self::Gossip => limits::GOSSIP_BYTES + 512,
            Self::Market | Self::Steward | Self::Blob | Self::Http | Self::Exchange => 64 << 10,
        }
    }

    /// Whether the layers above may send on it.
    pub(crate) const fn is_open(self) -> bool {
        !matches!(self, Self::Gossip | Self::Exchange)
    }

    /// Its place in [`Protocol::ALL`].
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Consensus => "consensus",
            Self::Transactions => "transactions",
            Self::Sync => "sync",
            Self::Market => "market",
            Self::Steward => "steward",
            Self::Blob => "blob",
            Self::Http => "http",
            Self::Keep => "keep",
            Self::Gossip => "gossip",
            Self::Exchange => "exchange",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alpn_names_its_protocol_and_version() {
        for (index, protocol) in Protocol::ALL.into_iter().enumerate() {
            assert_eq!(protocol.index(), index);
            assert_eq!(protocol.alpn(), format!("grange/{protocol}/1").as_bytes());
            assert_eq!(Protocol::from_alpn(protocol.alpn()), Some(protocol));
        }
        assert_eq!(Protocol::from_alpn(b"grange/consensus/2"), None);
    }
}
