//! The bytes that writers, successors and keepers exchange and keep, frozen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};

use grange_objects::log::{Change, Entry, KeepReply, KeepRequest, LogId, Mark, Promise, Refusal, Standing, View};
use grange_objects::share::{Share, ShareReply, ShareRequest, deployment_key};
use grange_types::codec::check_golden;
use grange_types::{DeploymentId, PeerId, SealKey, SecretKey, Wire};

fn log() -> LogId {
    LogId { deployment: DeploymentId([1; 32]), service: "api".into(), replica: 2 }
}

fn peers(of: &[u8]) -> BTreeSet<PeerId> {
    of.iter().map(|byte| PeerId([*byte; 32])).collect()
}

const fn mark(generation: u64, sequence: u64) -> Mark {
    Mark { generation, sequence }
}

fn view() -> View {
    View { at: mark(3, 300), keepers: peers(&[4, 5]), before: peers(&[4]), without: peers(&[6]) }
}

fn standing() -> Standing {
    Standing { promises: BTreeMap::from([(4, peers(&[4]))]), mark: mark(3, 301), view: Some(view()) }
}

#[test]
fn what_is_kept() {
    check_golden(&view(), include_str!("../golden/view.hex"));
    check_golden(&standing(), include_str!("../golden/standing.hex"));
}

#[test]
fn requests() {
    let promise = Promise { generation: 4, keepers: peers(&[4]) };
    check_golden(&KeepRequest::Seal { log: log(), promise }, include_str!("../golden/keep-request-seal.hex"));
    let changes = vec![Change { number: 7, content: Some(vec![1, 2]) }, Change { number: 8, content: None }];
    let entries = vec![Entry { changes, view: None }, Entry { changes: Vec::new(), view: Some(view()) }];
    let write = KeepRequest::Write { log: log(), generation: 3, after: mark(3, 298), entries };
    check_golden(&write, include_str!("../golden/keep-request.hex"));
    let (page, contents, whole) = (1, vec![(7, vec![1, 2])], Some([9; 32]));
    let copy = KeepRequest::Copy { log: log(), generation: 3, to: mark(3, 301), view: view(), page, contents, whole };
    check_golden(&copy, include_str!("../golden/keep-request-copy.hex"));
    let read = KeepRequest::Read { log: log(), generation: 4, mark: mark(3, 301), after: 7 };
    check_golden(&read, include_str!("../golden/keep-request-read.hex"));
}

#[test]
fn replies() {
    check_golden(&KeepReply::Sealed(standing()), include_str!("../golden/keep-reply.hex"));
    check_golden(&KeepReply::Stored(mark(3, 301)), include_str!("../golden/keep-reply-stored.hex"));
    let page = KeepReply::Page { contents: vec![(7, vec![1, 2])], whole: Some([9; 32]) };
    check_golden(&page, include_str!("../golden/keep-reply-page.hex"));
    let refused = KeepReply::Refused(Refusal::Fenced { generation: 5 });
    check_golden(&refused, include_str!("../golden/keep-reply-refused.hex"));
    assert!(KeepReply::decode(&[9]).is_err());
}

#[test]
fn shares() {
    let share = Share::of(&SealKey::new([7; 32]), PeerId([4; 32]));
    check_golden(&share, include_str!("../golden/share.hex"));
    let hold = ShareRequest::Hold { deployment: DeploymentId([1; 32]), share: share.clone() };
    check_golden(&hold, include_str!("../golden/share-request.hex"));
    let give = ShareRequest::Give { log: log(), generation: 3 };
    check_golden(&give, include_str!("../golden/share-request-give.hex"));
    let restore = ShareRequest::Restore { deployment: DeploymentId([1; 32]) };
    check_golden(&restore, include_str!("../golden/share-request-restore.hex"));
    check_golden(&ShareReply::Given(vec![share]), include_str!("../golden/share-reply.hex"));
    let key = deployment_key(&SecretKey::from_bytes(&[5; 32]), DeploymentId([1; 32]));
    check_golden(key.as_bytes(), include_str!("../golden/deployment-key.hex"));
}
