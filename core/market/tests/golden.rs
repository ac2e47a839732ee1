//! The bytes that buyers and desks exchange, frozen.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use grange_market::{QuoteReply, QuoteRequest, Refusal};
use grange_types::codec::check_golden;
use grange_types::{
    AccountId, Amount, BlobId, ByteCount, DecodeError, DeploymentId, Isolation, Kind, LeaseTerms, NetworkId, PeerId,
    Prices, Quote, Resources, SecretKey, Signed, Time, Wire,
};

fn request() -> QuoteRequest {
    QuoteRequest {
        deployment: DeploymentId([1; 32]),
        slot: 2,
        generation: 3,
        kind: Kind::Wasm,
        workload: BlobId([4; 32]),
        resources: Resources { cpu_millis: 250, memory: ByteCount::mib(128), disk: ByteCount::mib(64) },
        isolation: Isolation::Container,
        max_rate: Amount::credits(5),
        own: true,
    }
}

fn quote(extreme: u64) -> QuoteReply {
    let amount = Amount(u128::from(extreme).min(Amount::MAX.0));
    let quote = Quote {
        deployment: DeploymentId([1; 32]),
        slot: extreme as u32,
        generation: extreme,
        terms: LeaseTerms {
            provider: PeerId([5; 32]),
            operator: AccountId([6; 32]),
            kind: Kind::Wasm,
            workload: BlobId([4; 32]),
            resources: request().resources,
            isolation: Isolation::Wasm,
            prices: Prices { cpu_hour: amount, egress_gib: amount, ..Prices::default() },
            max_rate: amount,
        },
        valid_until: Time(extreme),
        nonce: extreme,
    };
    let key = SecretKey::from_bytes(&[7; 32]);
    QuoteReply::Quoted(Box::new(Signed::seal(NetworkId([8; 32]), &key, Time(extreme), quote)))
}

#[test]
fn quote_request() {
    check_golden(&request(), include_str!("../golden/quote-request.hex"));
}

#[test]
fn quote_reply() {
    check_golden(&quote(9), include_str!("../golden/quote-reply.hex"));
}

#[test]
fn quote_reply_refused() {
    let full = Refusal::Full { free: request().resources };
    check_golden(&QuoteReply::Refused(full), include_str!("../golden/quote-reply-refused.hex"));
}

#[test]
fn the_largest_values_fit_their_limits() {
    let mut request = request();
    (request.slot, request.generation, request.max_rate) = (u32::MAX, u64::MAX, Amount::MAX);
    let most = ByteCount(u64::MAX);
    request.resources = Resources { cpu_millis: u32::MAX, memory: most, disk: most };
    assert_eq!(QuoteRequest::decode(&request.encode()), Ok(request));
    assert_eq!(QuoteReply::decode(&quote(u64::MAX).encode()), Ok(quote(u64::MAX)));
    let long = vec![0; QuoteReply::LIMIT + 1];
    assert!(matches!(QuoteReply::decode(&long), Err(DecodeError::TooLong { .. })));
}
