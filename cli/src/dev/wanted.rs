//! What is asked of a cloud, new or there already.

use crate::arguments::Dev;

/// What a cloud should be like.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    /// How many nodes.
    pub(crate) nodes: Option<u32>,
    /// Whether other machines may reach it.
    pub(crate) lan: bool,
    /// The version of the ledger's rules it begins with, and goes not beyond.
    pub(crate) rules: Option<u16>,
    /// After how many seconds without a link a steward is lost to its nodes.
    pub(crate) lost_after: Option<u64>,
    /// How many nodes that keep no ledger there are beside the others.
    pub(crate) light: Option<u32>,
}

impl Wanted {
    /// As it was typed.
    pub(super) fn of(arguments: &Dev) -> Self {
        let Dev { nodes, lan, rules, lost_after, light, .. } = *arguments;
        Self { nodes, lan, rules, lost_after, light }
    }
}
