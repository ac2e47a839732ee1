//! The bytes of everything that goes over the wire or into the log, frozen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use grange_consensus::{
    Certificate, Entry, Message, PolkaCertificate, Proposal, RoundCertificate, RoundSeal, Seal, SignedProposal,
    SignedVote, Step, Vote, VoteKind,
};
use grange_types::codec::check_golden;
use grange_types::{BlockId, DecodeError, Height, NetworkId, PeerId, SecretKey, Signature, Wire};

const NETWORK: NetworkId = NetworkId([0x11; 32]);

fn key() -> SecretKey {
    SecretKey::from_bytes(&[0x22; 32])
}

fn vote() -> Vote {
    Vote {
        kind: VoteKind::Precommit,
        height: Height(300),
        round: 2,
        block: Some(BlockId([0x33; 32])),
        validator: key().public().peer(),
    }
}

fn proposal() -> Proposal {
    Proposal {
        height: Height(300),
        round: 2,
        block: BlockId([0x33; 32]),
        polka_round: Some(1),
        proposer: key().public().peer(),
    }
}

fn polka() -> PolkaCertificate {
    let signatures = vec![Seal { validator: PeerId([0x44; 32]), signature: Signature([0x55; 64]) }];
    PolkaCertificate { height: Height(300), round: 1, block: BlockId([0x33; 32]), signatures }
}

#[test]
fn certificates() {
    let signatures = vec![
        Seal { validator: PeerId([0x44; 32]), signature: Signature([0x55; 64]) },
        Seal { validator: PeerId([0x66; 32]), signature: Signature([0x77; 64]) },
    ];
    let certificate = Certificate { height: Height(300), round: 2, block: BlockId([0x33; 32]), signatures };
    check_golden(&certificate, include_str!("../golden/certificate.hex"));
}

/// All variants in one list, so that one file freezes them.
#[derive(serde::Serialize, serde::Deserialize)]
struct All<T>(Vec<T>);

#[test]
fn messages() {
    let round = RoundCertificate {
        height: Height(300),
        round: 2,
        over: true,
        signatures: vec![RoundSeal {
            kind: VoteKind::Prevote,
            block: None,
            validator: PeerId([0x44; 32]),
            signature: Signature([0x55; 64]),
        }],
    };
    let all = All(vec![
        Message::Vote(SignedVote::seal(NETWORK, &key(), vote())),
        Message::Proposal { proposal: SignedProposal::seal(NETWORK, &key(), proposal()), block: b"block".to_vec() },
        Message::Offer(SignedProposal::seal(NETWORK, &key(), proposal())),
        Message::Want { height: Height(301), block: BlockId([9; 32]) },
        Message::Body { height: Height(301), block: b"block".to_vec() },
        Message::Polka(polka()),
        Message::Round(round),
        Message::Status { height: Height(301) },
        Message::Begin { height: Height(301) },
    ]);
    check_golden(&all, include_str!("../golden/consensus-message.hex"));
    for message in all.0 {
        assert_eq!(Message::decode(&message.encode()), Ok(message));
    }
}

#[test]
fn entries() {
    let all = All(vec![
        Entry::Block(b"block".to_vec()),
        Entry::Vote(SignedVote::seal(NETWORK, &key(), vote())),
        Entry::Proposal(SignedProposal::seal(NETWORK, &key(), proposal())),
        Entry::Judged {
            round: 2,
            polka_round: Some(1),
            proposer: PeerId([0x44; 32]),
            block: BlockId([0x33; 32]),
            valid: true,
        },
        Entry::Timeout { step: Step::Propose, round: 2 },
        Entry::Timeout { step: Step::Prevote, round: 2 },
        Entry::Timeout { step: Step::Precommit, round: 2 },
        Entry::Polka(polka()),
    ]);
    check_golden(&all, include_str!("../golden/consensus-entry.hex"));
}

#[test]
fn a_block_is_encoded_as_any_list_of_bytes() {
    // Copied in one piece, yet length and bytes as ever; and a length that promises too much is refused.
    let signed = SignedProposal::seal(NETWORK, &key(), proposal());
    let bytes = Message::Proposal { proposal: signed, block: vec![0xab; 300] }.encode();
    assert_eq!(bytes[bytes.len() - 302..], [&[0xac, 0x02][..], &[0xab; 300]].concat());
    let mut short = bytes.clone();
    short.pop();
    assert_eq!(Message::decode(&short), Err(DecodeError::Malformed { name: "consensus-message" }));
    let mut padded = bytes;
    padded.push(0);
    assert_eq!(Message::decode(&padded), Err(DecodeError::NotCanonical { name: "consensus-message" }));
}

#[test]
fn the_longest_block_fits_a_message_and_an_entry() {
    let signed = SignedProposal::seal(NETWORK, &key(), proposal());
    let block = vec![1; grange_consensus::BLOCK_LIMIT];
    let message = Message::Proposal { proposal: signed, block: block.clone() }.encode();
    assert!(Message::decode(&message).is_ok());
    let entry = grange_types::Record::to_record(&Entry::Block(block));
    assert!(<Entry as grange_types::Record>::from_record(&entry).is_ok());
}
