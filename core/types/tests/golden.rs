//! The frozen bytes of every shared type, and what a signed envelope refuses.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use grange_types::codec::check_golden;
use grange_types::manifest::On;
use grange_types::*;

fn region(text: &str) -> Region {
    Region::try_from(text.to_string()).unwrap()
}

fn resources() -> Resources {
    Resources { cpu_millis: 250, memory: ByteCount::mib(64), disk: ByteCount(0) }
}

fn prices() -> Prices {
    Prices {
        cpu_hour: "0.01".parse().unwrap(),
        memory_gib_hour: "0.005".parse().unwrap(),
        disk_gib_hour: "0.0001".parse().unwrap(),
        request_million: "0.2".parse().unwrap(),
        egress_gib: "0.01".parse().unwrap(),
    }
}

fn receipt() -> Receipt {
    Receipt {
        lease: LeaseId([1; 32]),
        generation: 2,
        sequence: 3,
        counters: Counters { served: Millis(4_000), requests: 5, egress: ByteCount(600) },
        amount: Amount(7_000_000),
        disputed: Amount(300),
    }
}

#[test]
fn price_sheet() {
    let sheet = PriceSheet {
        provider: PeerId([1; 32]),
        operator: AccountId([2; 32]),
        display: "ada".into(),
        region: region("eu-be-ghent"),
        kinds: vec![Kind::Site, Kind::Wasm],
        isolation: Isolation::Wasm,
        prices: prices(),
        capacity: resources(),
        sequence: 9,
        issued: Time(1_795_219_200_000),
    };
    check_golden(&sheet, include_str!("../golden/price-sheet.hex"));
}

#[test]
fn offer_delta() {
    let delta = OfferDelta { provider: PeerId([1; 32]), free: resources(), paused: true, sequence: 10 };
    check_golden(&delta, include_str!("../golden/offer-delta.hex"));
}

#[test]
fn quote() {
    let quote = Quote {
        deployment: DeploymentId([1; 32]),
        slot: 2,
        generation: 3,
        terms: LeaseTerms {
            provider: PeerId([4; 32]),
            operator: AccountId([5; 32]),
            kind: Kind::Wasm,
            workload: BlobId([6; 32]),
            resources: resources(),
            isolation: Isolation::Wasm,
            prices: prices(),
            max_rate: "0.05".parse().unwrap(),
        },
        valid_until: Time(1_795_219_230_000),
        nonce: 7,
    };
    check_golden(&quote, include_str!("../golden/quote.hex"));
}

#[test]
fn receipt_and_its_envelope() {
    check_golden(&receipt(), include_str!("../golden/receipt.hex"));
    let key = SecretKey::from_bytes(&[7; 32]);
    let sealed = Signed::seal(NetworkId([8; 32]), &key, Time(9), receipt());
    check_golden(&sealed, include_str!("../golden/signed-receipt.hex"));
}

#[test]
fn manifest() {
    let service = Service {
        workload: Workload::Wasm { component: BlobId([1; 32]), size: ByteCount(99) },
        replicas: 2,
        resources: resources(),
        environment: BTreeMap::from([("KEY".into(), "value".into())]),
        route: Some("/api".into()),
        health: Some(HealthCheck {
            path: "/health".into(),
            interval: Millis(5_000),
            timeout: Millis(1_000),
            retries: 3,
        }),
        depends_on: vec!["web".into()],
        placement: Placement {
            on: On::OwnFirst,
            price_max: Some(Amount::CREDIT),
            region: Some(region("eu")),
            isolation: Some(Isolation::Vm),
            trust_min: None,
        },
        allow_http: vec!["example.org".into()],
    };
    let site = Service {
        workload: Workload::Site { index: BlobId([2; 32]), size: ByteCount(100) },
        replicas: 1,
        resources: resources(),
        environment: BTreeMap::new(),
        route: None,
        health: None,
        depends_on: vec![],
        placement: Placement::default(),
        allow_http: vec![],
    };
    let services = BTreeMap::from([("api".into(), service), ("web".into(), site)]);
    let manifest = Manifest { name: "guestbook".into(), budget: Amount::credits(10), services };
    check_golden(&manifest, include_str!("../golden/manifest.hex"));
    let mut demanding = manifest;
    for service in demanding.services.values_mut() {
        service.placement.trust_min = Some(60);
    }
    check_golden(&demanding, include_str!("../golden/manifest-trust.hex"));
}

#[test]
fn sightings() {
    let seen = vec![Sighting { operator: AccountId([4; 32]), looks: 5, answered: 4 }];
    check_golden(&Sightings { period: 300, seen }, include_str!("../golden/sightings.hex"));
}

#[test]
fn a_manifest_with_files() {
    let config = File { target: "/etc/app.toml".into(), content: Content::Config(b"colour".to_vec()) };
    let sealed = Content::Secret { name: "token".into(), sealed: vec![1, 2, 3] };
    let secret = File { target: "/run/secrets/token".into(), content: sealed };
    let workload = Workload::Furnished { component: BlobId([1; 32]), size: ByteCount(99), files: vec![config, secret] };
    let service = Service {
        workload,
        replicas: 1,
        resources: resources(),
        environment: BTreeMap::new(),
        route: None,
        health: None,
        depends_on: vec![],
        placement: Placement::default(),
        allow_http: vec![],
    };
    let services = BTreeMap::from([("api".into(), service)]);
    let manifest = Manifest { name: "shop".into(), budget: Amount::credits(1), services };
    check_golden(&manifest, include_str!("../golden/manifest-furnished.hex"));
}

#[test]
fn what_is_secret_is_not_printed() {
    let mut secrets = Secrets::default();
    secrets.insert("token".into(), b"horse".to_vec());
    let content = Content::Config(b"horse".to_vec());
    assert_eq!(format!("{secrets:?} {content:?}"), "{\"token\"} Config(5 bytes)");
}

#[test]
fn site_index() {
    let file = SiteFile { path: "index.html".into(), blob: BlobId([3; 32]), size: ByteCount(12) };
    check_golden(&SiteIndex { files: vec![file] }, include_str!("../golden/site-index.hex"));
}

#[test]
fn an_envelope_counts_only_as_it_was_signed() {
    let network = NetworkId([8; 32]);
    let key = SecretKey::from_bytes(&[7; 32]);
    let sealed = Signed::seal(network, &key, Time(100), receipt());
    assert_eq!(sealed.open(network, Time(100)), Ok(sealed.id()));
    assert_eq!(Signed::<Receipt>::decode(&sealed.encode()), Ok(sealed.clone()));

    let foreign = NetworkId([9; 32]);
    let refused = sealed.open(foreign, Time(0)).unwrap_err();
    assert_eq!(refused, EnvelopeError::ForeignNetwork { theirs: network, ours: foreign });
    assert_eq!(sealed.open(network, Time(101)), Err(EnvelopeError::Expired { expired: Time(100) }));

    let bad = Err(EnvelopeError::BadSignature { signer: key.public() });
    let altered = Signed { body: Receipt { sequence: 4, ..receipt() }, ..sealed.clone() };
    assert_eq!(altered.open(network, Time(0)), bad);
    let longer = Signed { expires: Time(200), ..sealed.clone() };
    assert_eq!(longer.open(network, Time(0)), bad);
    let moved = Signed { network: foreign, ..sealed };
    assert_eq!(moved.open(foreign, Time(0)), bad);
}

#[test]
fn every_altered_byte_of_an_envelope_is_refused() {
    let network = NetworkId([8; 32]);
    let key = SecretKey::from_bytes(&[7; 32]);
    let bytes = Signed::seal(network, &key, Time(100), receipt()).encode();
    for index in 0..bytes.len() {
        let mut altered = bytes.clone();
        altered[index] ^= 1;
        let opened = Signed::<Receipt>::decode(&altered).map_err(EnvelopeError::from);
        assert!(opened.and_then(|envelope| envelope.open(network, Time(0))).is_err(), "byte {index}");
    }
}

#[test]
fn a_bill_is_rounded_once_over_cumulative_counters() {
    // Settling every second must cost what settling once costs: the charge depends on totals alone.
    let counters =
        |seconds: u64| Counters { served: Millis::seconds(seconds), requests: seconds, egress: ByteCount(seconds) };
    let hour = prices().charge(&resources(), &counters(3_600));
    let mut paid = Amount::ZERO;
    for second in 1..=3_600 {
        let due = prices().charge(&resources(), &counters(second));
        paid = paid.add(due.sub(paid).unwrap()).unwrap();
    }
    assert_eq!(paid, hour);
    // 0.25 processors at 0.01, 1/16 GiB at 0.005, 3,600 requests at 0.2 a million, 3,600 bytes at 0.01 a GiB.
    assert_eq!(hour.to_string(), "0.003532533527");
}

#[test]
fn a_region_lies_in_its_prefixes() {
    assert!(region("eu-be-ghent").lies_in(&region("eu")));
    assert!(region("eu").lies_in(&region("eu")));
    assert!(!region("europe").lies_in(&region("eu")));
    assert!(!region("eu").lies_in(&region("eu-be")));
    assert!(Region::try_from("EU".to_string()).is_err());
}

fn vote() -> Vote {
    Vote {
        kind: VoteKind::Precommit,
        height: Height(300),
        round: 2,
        block: Some(BlockId([0x33; 32])),
        validator: SecretKey::from_bytes(&[0x22; 32]).public().peer(),
    }
}

fn proposal() -> Proposal {
    Proposal {
        height: Height(300),
        round: 2,
        block: BlockId([0x33; 32]),
        polka_round: Some(1),
        proposer: SecretKey::from_bytes(&[0x22; 32]).public().peer(),
    }
}

#[test]
fn votes_and_proposals() {
    check_golden(&vote(), include_str!("../golden/consensus-vote.hex"));
    check_golden(&proposal(), include_str!("../golden/consensus-proposal.hex"));
}

#[test]
fn two_votes_for_one_place_are_a_lie_and_all_else_is_none() {
    let (network, key) = (NetworkId([0x11; 32]), SecretKey::from_bytes(&[0x22; 32]));
    let votes = |other: Vote| {
        let proof =
            Equivocation::Votes(SignedVote::seal(network, &key, vote()), SignedVote::seal(network, &key, other));
        proof.check().and_then(|()| proof.verify(network))
    };
    assert_eq!(votes(Vote { block: None, ..vote() }), Ok(()));
    assert_eq!(votes(Vote { block: Some(BlockId([1; 32])), ..vote() }), Ok(()));
    assert_eq!(votes(vote()), Err(EquivocationError::Same));
    for apart in [
        Vote { height: Height(301), block: None, ..vote() },
        Vote { round: 3, block: None, ..vote() },
        Vote { kind: VoteKind::Prevote, block: None, ..vote() },
        Vote { validator: PeerId([1; 32]), block: None, ..vote() },
    ] {
        assert_eq!(votes(apart), Err(EquivocationError::Apart));
    }
    let signed = |block| SignedProposal::seal(network, &key, Proposal { block: BlockId([block; 32]), ..proposal() });
    let proof = Equivocation::Proposals(signed(1), signed(2));
    assert_eq!(proof.check().and_then(|()| proof.verify(network)), Ok(()));
    assert_eq!((proof.validator(), proof.height()), (key.public().peer(), Height(300)));
    assert!(matches!(proof.verify(NetworkId([9; 32])), Err(EquivocationError::Signature(_))), "another network's");
    let forged = SignedProposal { signature: Signature([1; 64]), ..signed(2) };
    let proof = Equivocation::Proposals(signed(1), forged);
    assert!(matches!(proof.verify(network), Err(EquivocationError::Signature(_))));
}
