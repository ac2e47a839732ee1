//! What was met in a world: every kind of fault, message and action, so that a kind that never comes is noticed.

use std::collections::BTreeMap;

/// Counts by group and kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    counts: BTreeMap<(&'static str, &'static str), u64>,
}

/// What a hundred seeds have to meet.
const EXPECTED: &[(&str, &[&str])] = &[
    ("fault", crate::faults::KINDS),
    ("villain", crate::villains::NAMES),
    (
        "message",
        &[
            "vote",
            "proposal",
            "offer",
            "want",
            "body",
            "round",
            "status",
            "transactions",
            "sheet",
            "delta",
            "counted",
            "receipt",
            "steward",
            "seen",
            "look",
            "begin",
            "polka",
            "head",
            "cancel",
            "sync",
            "keep",
            "ask-blocks",
            "ask-turns",
            "ask-snapshot",
            "ask-piece",
            "quote",
            "probe",
        ],
    ),
    (
        "action",
        &[
            "wal-append",
            "wal-flush",
            "wal-reset",
            "commit",
            "snapshot",
            "send",
            "request",
            "respond",
            "serve",
            "turn",
            "install",
            "prune",
            "evidence",
            "gossip",
            "retain",
            "keep",
            "keep-key",
            "fetch",
            "start",
            "visit",
            "stop",
            "strangers",
            "reply",
            "line",
        ],
    ),
    (
        "deed",
        &[
            "transfer",
            "open-deployment",
            "close-deployment",
            "open-lease",
            "close-lease",
            "renew-lease",
            "settle",
            "settle-many",
            "accuse",
            "bond",
            "unbond",
            "set-validator",
            "signal",
            "set-keys",
            "set-cap",
            "register-node",
            "remove-node",
            "update-deployment",
            "fund-deployment",
            "replace-delegate",
            "claim-name",
            "release-name",
        ],
    ),
    (
        "load",
        &[
            "stranger",
            "stranger-refused",
            "written",
            "store-begun",
            "store-taken-over",
            "store-begun-without",
            "card-pays",
            "card-funds",
            "card-funds-too-much",
            "card-loosens",
            "card-keeps",
            "card-signs",
        ],
    ),
    ("signatures", &["ed25519", "keyed-hash"]),
    ("recovery", &["genesis", "snapshot", "damaged-log"]),
    ("check", crate::checks::NAMES),
];

impl Coverage {
    pub(crate) fn count(&mut self, group: &'static str, kind: &'static str) {
        *self.counts.entry((group, kind)).or_default() += 1;
    }

    /// How often a kind was met.
    #[must_use]
    pub fn of(&self, group: &'static str, kind: &'static str) -> u64 {
        self.counts.get(&(group, kind)).copied().unwrap_or(0)
    }

    /// Adds what another world met.
    pub fn add(&mut self, other: &Self) {
        for (kind, count) in &other.counts {
            *self.counts.entry(*kind).or_default() += count;
        }
    }

    /// Every kind with its count, by group.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
        self.counts.iter().map(|((group, kind), count)| (*group, *kind, *count))
    }

    /// What should have been met and was not.
    #[must_use]
    pub fn missing(&self) -> Vec<(&'static str, &'static str)> {
        let expected = EXPECTED.iter().flat_map(|(group, kinds)| kinds.iter().map(move |kind| (*group, *kind)));
        expected.filter(|(group, kind)| self.of(group, kind) == 0).collect()
    }
}
