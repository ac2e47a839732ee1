//! Targets at the edges: what peers, browsers and people hand to `edge/` and `node/`, and what their disks give back.

use std::fmt::Debug;

use data_encoding::BASE32_NOPAD;
use grange_gateway::{StreamAnswer, StreamHeader};
use grange_net::{PeerAddress, Protocol};
use grange_node::{Invitation, InvitationError};
use grange_types::{BlobId, Wire};

use crate::target::wire;

/// Frames as they follow one another on a connection, in the limits of two protocols.
pub(crate) fn frames(bytes: &[u8]) -> bool {
    let mut read = 0;
    for protocol in [Protocol::Gossip, Protocol::Consensus] {
        let again = grange_net::fuzz::frames(bytes, protocol.message_limit());
        assert!(bytes.starts_with(&again), "{} bytes are read as frames of other bytes", bytes.len());
        read += again.len();
    }
    read > 0
}

/// An address out of an invitation or of a peer's mouth, and what is kept of it.
pub(crate) fn address(bytes: &[u8]) -> bool {
    let Ok(address) = PeerAddress::decode(bytes) else { return false };
    let (taken, dialled) = grange_net::fuzz::taken(address);
    let length = taken.encode().len();
    assert!(length <= PeerAddress::LIMIT, "an address is taken that nobody could be told: {length} bytes");
    assert!(grange_net::fuzz::taken(taken.clone()) == (taken, dialled), "an address taken twice is another");
    wire::<PeerAddress>(bytes)
}

/// The frame that a gateway begins a stream with.
pub(crate) fn stream_header(bytes: &[u8]) -> bool {
    wire::<StreamHeader>(bytes) | stream::<StreamHeader>(bytes)
}

/// The frame that the provider answers with.
pub(crate) fn stream_answer(bytes: &[u8]) -> bool {
    wire::<StreamAnswer>(bytes) | stream::<StreamAnswer>(bytes)
}

/// A value behind the byte that says its length, and whatever follows.
fn stream<T: Wire>(bytes: &[u8]) -> bool {
    let Some((value, rest)) = grange_gateway::fuzz::frame::<T>(bytes) else { return false };
    let (read, encoded) = (bytes.len() - rest.len(), value.encode());
    assert!(
        usize::from(bytes[0]) == encoded.len() && bytes[1..read] == encoded,
        "a frame of {read} bytes is read as a {} of {}",
        T::NAME,
        encoded.len()
    );
    true
}

/// A Host header.
pub(crate) fn host(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some(name) = grange_gateway::fuzz::name(&text) else { return false };
    let again = grange_gateway::fuzz::name(&format!("{name}.localhost"));
    assert!(again.as_ref() == Some(&name), "{text} asks for {name}, which asks for {again:?}");
    assert!(!name.contains(['.', '/', ':', '%']), "{text} asks for {name}, which is no name");
    true
}

/// An invitation as a person pastes it, as its bytes, and as those bytes would be pasted if somebody sealed them.
pub(crate) fn invitation(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let pasted = text.parse::<Invitation>();
    if let Ok(invitation) = &pasted {
        let again = invitation.to_string();
        assert!(again == text.trim().to_ascii_lowercase(), "an invitation prints as another");
    }
    let sealed = [bytes, &BlobId::of(bytes).0[..4]].concat();
    let sealed = format!("grange1{}", BASE32_NOPAD.encode(&sealed).to_ascii_lowercase()).parse::<Invitation>();
    let decoded = Invitation::decode(bytes).map_err(InvitationError::Version);
    assert!(sealed == decoded, "a sealed invitation reads as {sealed:?}, its bytes as {decoded:?}");
    wire::<Invitation>(bytes) | pasted.is_ok()
}

/// A node's `node.json`.
pub(crate) fn settings(bytes: &[u8]) -> bool {
    json::<grange_node::Settings>(bytes)
}

/// A line of what another node answers, of a log or of key-value data.
pub(crate) fn line(bytes: &[u8]) -> bool {
    json::<grange_api::Line>(bytes)
}

/// A value out of a text that many texts stand for: it is written so that it reads as the same again.
fn json<T>(bytes: &[u8]) -> bool
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let Ok(value) = serde_json::from_slice::<T>(bytes) else { return false };
    let text = serde_json::to_string(&value);
    let again = text.as_ref().ok().and_then(|text| serde_json::from_str::<T>(text).ok());
    assert!(again.as_ref() == Some(&value), "{value:?} is written as {text:?}, which reads as {again:?}");
    true
}

/// A recovery phrase as somebody types it: what is taken is the words that it prints.
pub(crate) fn phrase(bytes: &[u8]) -> bool {
    let Ok(phrase) = String::from_utf8_lossy(bytes).parse::<grange_keystore::Phrase>() else { return false };
    assert!(phrase.words().join(" ").parse().as_ref() == Ok(&phrase), "a phrase reads back as another");
    true
}
