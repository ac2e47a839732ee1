//! Operators' nodes, and the words by which keys join an account.

use grange_types::{AccountId, PeerId, PublicKey, Signed};

use super::{Execution, Trial};
use crate::entry::NODES_PER_OPERATOR;
use crate::genesis::NodeEntry;
use crate::money::Book;
use crate::rejection::{Authority, Rejection};
use crate::transaction::{KeyStatement, Purpose};

impl Execution<'_> {
    pub(super) fn register_node(
        &mut self,
        trial: &Trial<'_>,
        node: &NodeEntry,
        consent: &Signed<KeyStatement>,
    ) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Owner)?;
        if node.operator != account || !node.is_legal() {
            return Err(Rejection::NodeInvalid { node: node.peer });
        }
        self.check_consent(trial, consent, PublicKey::from(node.peer), Purpose::Node)?;
        let known = match self.nodes.get(&node.peer) {
            Some(entry) if entry.operator != account => {
                let before = entry.operator;
                // A node whose key owns the account that it serves has spoken for that account with its consent. Any other
                // operator removes its node itself first.
                if !self.held(before, PublicKey::from(node.peer)).owner {
                    return Err(Rejection::NodeTaken { node: node.peer, operator: before });
                }
                self.forget_node(node.peer, before)?;
                false
            }
            known => known.is_some(),
        };
        let needed = self.state.parameters.min_bond;
        let operator = self.operators.get_or_default(&account);
        if operator.bond < needed {
            return Err(Rejection::BondTooLow { account, needed, available: operator.bond });
        }
        if !known {
            if operator.nodes >= NODES_PER_OPERATOR {
                return Err(Rejection::TooManyNodes);
            }
            operator.nodes += 1;
        }
        let before = self.nodes.get(&node.peer).map_or(0, NodeEntry::size);
        self.nodes.put(node.peer, node.clone());
        self.deposit(account, Book::Balance(account), before, node.size())
    }

    pub(super) fn remove_node(&mut self, trial: &Trial<'_>, node: PeerId) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        self.require(trial, Authority::Owner)?;
        match self.nodes.get(&node) {
            None => return Err(Rejection::UnknownNode { node }),
            Some(entry) if entry.operator != account => {
                return Err(Rejection::NodeTaken { node, operator: entry.operator });
            }
            Some(_) => {}
        }
        self.forget_node(node, account)
    }

    fn forget_node(&mut self, node: PeerId, operator: AccountId) -> Result<(), Rejection> {
        let size = self.nodes.get(&node).map_or(0, NodeEntry::size);
        self.nodes.remove(&node);
        self.deposit(operator, Book::Balance(operator), size, 0)?;
        let entry = self.operators.get_or_default(&operator);
        entry.nodes = entry.nodes.saturating_sub(1);
        self.prune(Book::Bond(operator));
        Ok(())
    }

    /// Refuses unless the key itself has said that it serves the transaction's account.
    pub(super) fn check_consent(
        &self,
        trial: &Trial<'_>,
        consent: &Signed<KeyStatement>,
        key: PublicKey,
        purpose: Purpose,
    ) -> Result<(), Rejection> {
        let account = trial.transaction.body.account;
        if consent.signer != key || consent.body != (KeyStatement { account, purpose }) {
            return Err(Rejection::NoConsent { key, account, purpose });
        }
        self.open_inner(trial, "statement", consent)
    }
}
