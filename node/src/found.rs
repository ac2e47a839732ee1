//! Beginnings: the genesis of a cloud on one machine, and invitations into a network.

use core::fmt;
use core::str::FromStr;

use data_encoding::BASE32_NOPAD;
use grange_ledger::{Genesis, GenesisAccount, NodeEntry, Parameters, Validator};
use grange_types::{Amount, BlobId, DecodeError, PeerId, PublicKey, Region, Time, Wire};
use serde::{Deserialize, Serialize};

use crate::settings::Contact;

/// One operator of a new network.
#[derive(Debug, Clone)]
pub struct Founder {
    /// Its node, whose key is also its account's first.
    pub peer: PeerId,
    /// A name for people.
    pub display: String,
    /// Where it stands.
    pub region: Region,
    /// The money it starts with.
    pub balance: Amount,
}

/// The genesis of a new network in which every founder is an operator of its own with one vote.
#[must_use]
pub fn dev_genesis(name: &str, created: Time, founders: &[Founder]) -> Genesis {
    let account =
        |founder: &Founder| GenesisAccount { id: founder.peer.account(), keys: Vec::new(), balance: founder.balance };
    let validator = |founder: &Founder| Validator::new(founder.peer.account(), PublicKey::from(founder.peer), 1);
    let node = |founder: &Founder| NodeEntry {
        peer: founder.peer,
        operator: founder.peer.account(),
        display: founder.display.clone(),
        region: founder.region.clone(),
        relays: Vec::new(),
    };
    Genesis {
        name: name.to_owned(),
        created,
        parameters: Parameters::dev(),
        accounts: founders.iter().map(account).collect(),
        validators: founders.iter().map(validator).collect(),
        nodes: founders.iter().map(node).collect(),
        bootstrap: Vec::new(),
    }
}

/// What another machine needs to join: the network's beginning and whom to dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The network's genesis; its hash is the network's id.
    pub genesis: Genesis,
    /// Peers to dial.
    pub contacts: Vec<Contact>,
    /// The last instant at which it should be used.
    pub expires: Time,
}

/// Why a text is no invitation.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvitationError {
    /// It does not begin like one.
    #[error("an invitation is one string that begins with {PREFIX}; `grange invite` prints one")]
    Syntax,
    /// It is not what was printed: cut, or with a letter that is another.
    #[error("the invitation is damaged; copy it whole")]
    Damaged,
    /// It is what was printed, by a program that this one does not understand.
    #[error("the invitation is from another version of grange")]
    Version(#[source] DecodeError),
}

const PREFIX: &str = "grange1";
/// So many bytes of the content's hash stand behind it. One wrong letter would otherwise make the genesis of a network
/// that nobody is in, and whoever joins would wait for ever.
const CHECK_BYTES: usize = 4;

fn check_of(content: &[u8]) -> [u8; CHECK_BYTES] {
    let BlobId([first, second, third, fourth, ..]) = BlobId::of(content);
    [first, second, third, fourth]
}

impl Invitation {
    /// Whether another machine can reach any of the contacts.
    #[must_use]
    pub fn leaves_this_machine(&self) -> bool {
        let reached = |contact: &Contact| {
            !contact.relays.is_empty() || contact.addresses.iter().any(|address| !address.ip().is_loopback())
        };
        self.contacts.iter().any(reached)
    }
}

impl Wire for Invitation {
    const NAME: &'static str = "invitation";
    /// A genesis that travels in a string has few accounts; larger networks are joined by their genesis file.
    const LIMIT: usize = 64 << 10;
}

impl fmt::Display for Invitation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = self.encode();
        bytes.extend(check_of(&bytes));
        write!(f, "{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl FromStr for Invitation {
    type Err = InvitationError;

    fn from_str(text: &str) -> Result<Self, InvitationError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(InvitationError::Syntax)?;
        let bytes = BASE32_NOPAD.decode(body.to_ascii_uppercase().as_bytes()).map_err(|_| InvitationError::Damaged)?;
        let (content, check) = bytes.split_last_chunk().ok_or(InvitationError::Damaged)?;
        if *check != check_of(content) {
            return Err(InvitationError::Damaged);
        }
        Self::decode(content).map_err(InvitationError::Version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::SecretKey;

    fn invitation() -> Invitation {
        let peer = SecretKey::from_bytes(&[7; 32]).public().peer();
        let region = Region::try_from("local".to_owned()).unwrap();
        let founder = Founder { peer, display: "ada".into(), region, balance: Amount::credits(1_000) };
        let contact = Contact { peer, addresses: vec!["192.0.2.7:3340".parse().unwrap()], relays: Vec::new() };
        let mut genesis = dev_genesis("test", Time(1), &[founder]);
        // New rules are no other bytes.
        genesis.parameters.version = 2;
        Invitation { genesis, contacts: vec![contact], expires: Time(2) }
    }

    #[test]
    fn an_invitation_is_one_word_that_reads_back() {
        let invitation = invitation();
        let text = invitation.to_string();
        assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
        assert_eq!(text.parse(), Ok(invitation.clone()));
        grange_types::codec::check_golden(&invitation, include_str!("../golden/invitation.hex"));
    }

    #[test]
    fn a_damaged_invitation_is_refused() {
        let text = invitation().to_string();
        assert_eq!("hello".parse::<Invitation>(), Err(InvitationError::Syntax));
        for broken in ["grange1", "grange1!", &text[..text.len() - 8], &text[..text.len() - 1]] {
            assert_eq!(broken.parse::<Invitation>(), Err(InvitationError::Damaged), "{broken}");
        }
        for place in PREFIX.len()..text.len() {
            let other = if text[place..].starts_with('a') { "b" } else { "a" };
            let wrong = format!("{}{other}{}", &text[..place], &text[place + 1..]);
            assert_eq!(wrong.parse::<Invitation>(), Err(InvitationError::Damaged), "letter {place}");
        }
    }
}
