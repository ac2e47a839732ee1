use std::collections::BTreeSet;
use std::time::Duration;

use grange_objects::log::{Change, Entry, Mark, Promise};

use super::*;

const LIMIT: ByteCount = ByteCount::mib(1);

fn log() -> LogId {
    LogId { deployment: DeploymentId([3; 32]), service: "api".into(), replica: 0 }
}

fn seal(generation: u64) -> KeepRequest {
    let keepers = BTreeSet::from([PeerId([1; 32])]);
    KeepRequest::Seal { log: log(), promise: Promise { generation, keepers } }
}

/// What one entry changes: contents by their numbers, none where one goes.
type Changes<'a> = Vec<(u64, Option<&'a [u8]>)>;

fn write(generation: u64, after: Mark, entries: Vec<Changes<'_>>) -> KeepRequest {
    let change =
        |(number, content): &(u64, Option<&[u8]>)| Change { number: *number, content: content.map(<[u8]>::to_vec) };
    let entry = |changes: &Vec<_>| Entry { changes: changes.iter().map(change).collect(), view: None };
    KeepRequest::Write { log: log(), generation, after, entries: entries.iter().map(entry).collect() }
}

const fn mark(generation: u64, sequence: u64) -> Mark {
    Mark { generation, sequence }
}

fn read(copies: &Copies, generation: u64, at: Mark) -> KeepReply {
    copies.answer(&KeepRequest::Read { log: log(), generation, mark: at, after: 0 }, LIMIT).reply
}

#[test]
fn what_was_stored_and_promised_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let open = || Copies::open(folder.path().join("keep")).unwrap();
    {
        let copies = open();
        assert!(matches!(copies.answer(&seal(1), LIMIT).reply, KeepReply::Sealed(_)));
        let entries = vec![vec![(1, Some(&b"one"[..])), (2, Some(b"two"))], vec![(1, None)]];
        let stored = copies.answer(&write(1, Mark::default(), entries), LIMIT).reply;
        assert_eq!(stored, KeepReply::Stored(mark(1, 2)));
        assert!(matches!(copies.answer(&seal(3), LIMIT).reply, KeepReply::Sealed(_)));
    }
    let copies = open();
    let fenced = KeepReply::Refused(Refusal::Fenced { generation: 3 });
    assert_eq!(copies.answer(&write(1, mark(1, 2), vec![vec![(5, Some(b"late"))]]), LIMIT).reply, fenced);
    assert_eq!(copies.answer(&seal(2), LIMIT).reply, fenced);
    let KeepReply::Page { contents, whole: Some(_) } = read(&copies, 3, mark(1, 2)) else { panic!("a page") };
    assert_eq!(contents, [(2, b"two".to_vec())]);
    assert_eq!(read(&copies, 3, mark(1, 1)), KeepReply::Refused(Refusal::Elsewhere(mark(1, 2))));
}

#[test]
fn a_whole_copy_takes_the_place_of_the_other_only_when_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let copies = Copies::open(folder.path().join("keep")).unwrap();
    copies.answer(&write(1, Mark::default(), vec![vec![(1, Some(b"old"))]]), LIMIT);
    let page = |page: u32, contents: Vec<Content>, whole: Option<[u8; 32]>| {
        let view = View { at: mark(2, 8), keepers: BTreeSet::new(), before: BTreeSet::new(), without: BTreeSet::new() };
        let request = KeepRequest::Copy { log: log(), generation: 2, to: mark(2, 9), view, page, contents, whole };
        copies.answer(&request, LIMIT).reply
    };
    let contents = |number: u64| vec![(number, vec![7; 100])];
    assert_eq!(page(0, contents(4), None), KeepReply::Aside);
    let mut digest = Digest::default();
    digest.add(&contents(4));
    let KeepReply::Page { contents: held, .. } = read(&copies, 2, mark(1, 1)) else { panic!("a page") };
    assert_eq!(held, [(1, b"old".to_vec())], "half a copy is none");
    assert_eq!(page(1, contents(5), Some([0; 32])), KeepReply::Refused(Refusal::Full), "nor is one with another hash");
    assert_eq!(page(0, contents(4), None), KeepReply::Aside);
    digest.add(&contents(5));
    assert_eq!(page(1, contents(5), Some(digest.finish())), KeepReply::Stored(mark(2, 9)));
    let KeepReply::Page { contents: held, whole } = read(&copies, 2, mark(2, 9)) else { panic!("a page") };
    assert_eq!(held, [contents(4), contents(5)].concat());
    assert_eq!(whole, Some(digest.finish()));
}

#[test]
fn there_is_room_for_what_the_slot_may_hold_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let copies = Copies::open(folder.path().join("keep")).unwrap();
    let large = vec![1; 1 << 20];
    let mut at = Mark::default();
    let mut refused = None;
    for number in 1..=20 {
        match copies.answer(&write(1, at, vec![vec![(number, Some(&large))]]), LIMIT).reply {
            KeepReply::Stored(mark) => at = mark,
            reply => {
                refused = Some(reply);
                break;
            }
        }
    }
    assert_eq!(refused, Some(KeepReply::Refused(Refusal::Full)));
    // What takes nothing more is still taken, at the same place.
    let less = copies.answer(&write(1, at, vec![vec![(1, None)]]), LIMIT).reply;
    assert_eq!(less, KeepReply::Stored(mark(1, at.sequence + 1)));
}

#[test]
fn copies_go_when_nobody_knows_their_deployment_and_nobody_wrote_them_lately() {
    let folder = tempfile::tempdir().unwrap();
    let copies = Copies::open(folder.path().join("keep")).unwrap();
    copies.answer(&write(1, Mark::default(), vec![vec![(1, Some(b"x"))]]), LIMIT);
    let (ago, ahead) = (SystemTime::now() - Duration::from_secs(60), SystemTime::now() + Duration::from_secs(60));
    assert_eq!(copies.retain(|_| true, ahead).unwrap(), 0);
    assert_eq!(copies.retain(|_| false, ago).unwrap(), 0);
    assert_eq!(copies.retain(|_| false, ahead).unwrap(), 1);
    assert_eq!(copies.logs(), []);
}
