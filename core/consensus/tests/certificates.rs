//! What a certificate proves, and to whom it proves nothing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use grange_consensus::{
    Certificate, CertificateError, Seal, SignedVote, Validator, ValidatorSet, Vote, VoteKind, verify_certificate,
};
use grange_types::{BlockId, DecodeError, Height, NetworkId, PeerId, SecretKey, Signature, Wire, limits};

const NETWORK: NetworkId = NetworkId([1; 32]);
const BLOCK: BlockId = BlockId([2; 32]);
const HEIGHT: Height = Height(7);

fn key(index: u8) -> SecretKey {
    SecretKey::from_bytes(&[index + 1; 32])
}

fn peer(index: u8) -> PeerId {
    key(index).public().peer()
}

fn set(powers: &[u64]) -> ValidatorSet {
    ValidatorSet::new((0u8..).zip(powers).map(|(index, &power)| Validator { peer: peer(index), power }).collect())
}

fn seal_of(index: u8, network: NetworkId, kind: VoteKind, block: Option<BlockId>, round: u32) -> Seal {
    let vote = Vote { kind, height: HEIGHT, round, block, validator: peer(index) };
    Seal { validator: peer(index), signature: SignedVote::seal(network, &key(index), vote).signature }
}

fn seal(index: u8) -> Seal {
    seal_of(index, NETWORK, VoteKind::Precommit, Some(BLOCK), 3)
}

fn certificate(signatures: Vec<Seal>) -> Certificate {
    Certificate { height: HEIGHT, round: 3, block: BLOCK, signatures }
}

#[track_caller]
fn check(certificate: &Certificate, powers: &[u64], expected: Result<(), CertificateError>) {
    assert_eq!(verify_certificate(NETWORK, certificate, &set(powers)), expected);
}

#[test]
fn more_than_two_thirds_of_the_power_are_needed() {
    let too_little = |signed, total| Err(CertificateError::TooLittlePower { signed, total });
    let three = certificate(vec![seal(0), seal(1), seal(2)]);
    check(&three, &[1, 1, 1, 1], Ok(()));
    check(&three, &[1, 1, 1], Ok(()));
    check(&three, &[1, 1, 1, 2], too_little(3, 5));
    // Exactly two thirds are not more than two thirds.
    check(&certificate(vec![seal(0), seal(1)]), &[1, 1, 1], too_little(2, 3));
    check(&certificate(vec![seal(0)]), &[1], Ok(()));
    check(&certificate(vec![seal(0)]), &[7, 1, 1, 1], Ok(()));
    check(&certificate(vec![seal(1), seal(2), seal(3)]), &[7, 1, 1, 1], too_little(3, 10));
    check(&certificate(vec![]), &[1, 1, 1, 1], too_little(0, 4));
    check(&certificate(vec![]), &[], too_little(0, 0));
    check(&three, &[u64::MAX, u64::MAX, u64::MAX, 1], Ok(()));
}

#[test]
fn nobody_counts_twice_and_strangers_not_at_all() {
    let twice = certificate(vec![seal(0), seal(1), seal(0)]);
    check(&twice, &[1, 1, 1, 1], Err(CertificateError::CountedTwice { validator: peer(0) }));
    let strange = certificate(vec![seal(0), seal(1), seal(2), seal(9)]);
    check(&strange, &[1, 1, 1, 1], Err(CertificateError::UnknownValidator { validator: peer(9) }));
    check(&certificate(vec![seal(3)]), &[1, 1, 1, 0], Err(CertificateError::UnknownValidator { validator: peer(3) }));
}

#[test]
fn every_signature_is_under_exactly_this_statement() {
    let with = |last: Seal| certificate(vec![seal(0), seal(1), seal(2), last]);
    let bad = Err(CertificateError::BadSignature { validator: peer(3) });
    let others = [
        seal_of(3, NetworkId([9; 32]), VoteKind::Precommit, Some(BLOCK), 3),
        seal_of(3, NETWORK, VoteKind::Prevote, Some(BLOCK), 3),
        seal_of(3, NETWORK, VoteKind::Precommit, None, 3),
        seal_of(3, NETWORK, VoteKind::Precommit, Some(BlockId([3; 32])), 3),
        seal_of(3, NETWORK, VoteKind::Precommit, Some(BLOCK), 2),
        Seal { validator: peer(3), signature: seal(2).signature },
        Seal { validator: peer(3), signature: Signature([0; 64]) },
    ];
    for other in others {
        check(&with(other), &[1, 1, 1, 1], bad);
    }
    check(&with(seal(3)), &[1, 1, 1, 1], Ok(()));
    // Nor does the statement change under the signatures.
    let good = with(seal(3));
    let first = Err(CertificateError::BadSignature { validator: peer(0) });
    for altered in [
        Certificate { height: Height(8), ..good.clone() },
        Certificate { round: 2, ..good.clone() },
        Certificate { block: BlockId([3; 32]), ..good.clone() },
    ] {
        check(&altered, &[1, 1, 1, 1], first);
    }
    let foreign = verify_certificate(NetworkId([9; 32]), &good, &set(&[1, 1, 1, 1]));
    assert_eq!(foreign, first);
}

#[test]
fn every_altered_bit_is_noticed() {
    let good = certificate(vec![seal(0), seal(1), seal(2)]);
    let bytes = good.encode();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        let verdict = Certificate::decode(&altered).map(|c| verify_certificate(NETWORK, &c, &set(&[1, 1, 1, 1])));
        assert!(!matches!(verdict, Ok(Ok(()))), "bit {bit} was not noticed");
    }
}

#[test]
fn a_certificate_of_all_validators_fits_and_one_more_does_not() {
    let seals = |count: usize| vec![Seal { validator: PeerId([1; 32]), signature: Signature([2; 64]) }; count];
    let largest =
        Certificate { height: Height(u64::MAX), round: u32::MAX, block: BLOCK, signatures: seals(limits::VALIDATORS) };
    let bytes = largest.encode();
    assert_eq!(bytes.len(), Certificate::LIMIT);
    assert!(Certificate::decode(&bytes).is_ok());
    let larger = Certificate { signatures: seals(limits::VALIDATORS + 1), ..largest };
    assert!(matches!(Certificate::decode(&larger.encode()), Err(DecodeError::TooLong { .. })));
}

#[test]
fn the_machine_may_move_between_threads() {
    fn moves<T: Send>() {}
    moves::<grange_consensus::Consensus>();
}
