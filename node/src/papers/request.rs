//! What is asked for, of whom it is, and what is said to whoever is not shown it.

use std::collections::BTreeSet;

use grange_api::{Problem, ProblemCode};
use grange_peer::{Replica, RouteTable};
use grange_types::{DeploymentId, LeaseId, PeerId, Wire, limits};
use serde::{Deserialize, Serialize};

use super::shorts;

/// What is wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PaperRequest {
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

impl PaperRequest {
    /// Whether the answer goes on after what there is.
    pub(super) const fn is_followed(&self) -> bool {
        matches!(self, Self::Logs { follow: true, .. })
    }

    /// The one lease that it is about.
    pub(super) const fn lease(&self) -> Option<LeaseId> {
        match self {
            Self::Logs { lease, .. } => *lease,
            Self::Data { .. } => None,
        }
    }

    /// Whether it is about this replica's service.
    pub(super) fn wants(&self, replica: &Replica) -> bool {
        let (Self::Logs { service, .. } | Self::Data { service, .. }) = self;
        service.as_ref().is_none_or(|service| *service == replica.service)
    }

    /// Whether a peer may see it, by our own ledger.
    pub(crate) fn is_for(&self, peer: PeerId, deployment: DeploymentId, table: &RouteTable) -> bool {
        let steward = matches!(self, Self::Logs { .. }) && table.is_steward(peer, deployment);
        steward || table.is_owner(peer, deployment)
    }

    /// What is said to whoever may not.
    pub(crate) fn denied(&self) -> Problem {
        let (operation, name, text, remedy) = match self {
            Self::Logs { name, .. } => (
                "logs",
                name,
                "this node is neither its owner's nor a steward's, so that no provider shows it logs",
                "ask a node of its owner or of a steward: name it with --node",
            ),
            Self::Data { name, .. } => (
                "data export",
                name,
                "this node is not its owner's, so that no provider shows it data",
                "ask a node of its owner: name it with --node; if it is lost, `grange identity restore` makes another one",
            ),
        };
        Problem::new(ProblemCode::Denied, operation, name, text).with_remedy(remedy)
    }

    /// The same of one lease.
    pub(super) fn of_lease(&self, of: LeaseId) -> Self {
        let mut request = self.clone();
        if let Self::Logs { lease, .. } = &mut request {
            *lease = Some(of);
        }
        request
    }

    /// The same for what a lease that is over has written, without waiting for more.
    pub(super) fn at_once(&self, of: LeaseId) -> Self {
        let mut request = self.of_lease(of);
        if let Self::Logs { follow, .. } = &mut request {
            *follow = false;
        }
        request
    }

    /// What is said where some could not be asked.
    pub(super) fn unreachable(&self, missed: &BTreeSet<PeerId>) -> Problem {
        let (operation, name) = match self {
            Self::Logs { name, .. } => ("logs", name),
            Self::Data { name, .. } => ("data export", name),
        };
        let text = format!("{} cannot be asked now, so what is kept there is missing here", shorts(missed));
        Problem::new(ProblemCode::ReplicaFailed, operation, name, text)
            .with_remedy("start the node again, or wait until it is back, then ask again")
    }
}

impl Wire for PaperRequest {
    const NAME: &'static str = "paper-request";
    // Two names, a number and a lease.
    const LIMIT: usize = 4 * limits::NAME_BYTES;
}

#[cfg(test)]
mod tests {
    use grange_peer::Parties;

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
        grange_types::codec::check_golden(&logs, include_str!("../../golden/paper-request.hex"));
        let data = PaperRequest::Data { name: "shop".into(), service: None };
        grange_types::codec::check_golden(&data, include_str!("../../golden/paper-request-data.hex"));
    }

    #[test]
    fn data_is_for_the_owners_nodes_and_logs_for_the_stewards_too() {
        let [owner, second, steward, stranger] = [1, 2, 3, 4].map(|byte| PeerId([byte; 32]));
        let shop = DeploymentId([7; 32]);
        let parties = Parties { owners: vec![owner, second], stewards: vec![steward] };
        let table = RouteTable { parties: [(shop, parties)].into(), ..RouteTable::default() };
        let name = || "shop".to_owned();
        let logs = PaperRequest::Logs { name: name(), service: None, follow: false, after: 0, lease: None };
        let data = PaperRequest::Data { name: name(), service: None };
        let seen = |request: &PaperRequest, deployment| {
            [owner, second, steward, stranger].map(|peer| request.is_for(peer, deployment, &table))
        };
        assert_eq!(seen(&logs, shop), [true, true, true, false]);
        assert_eq!(seen(&data, shop), [true, true, false, false]);
        assert_eq!((seen(&logs, DeploymentId([8; 32])), seen(&data, DeploymentId([8; 32]))), ([false; 4], [false; 4]));
    }
}
