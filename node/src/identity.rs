//! What an owner's key signs, made on the owner's machine: no node gets to see the key.

use grange_ledger::{Action, KeyStatement, NodeEntry, Purpose, Transaction};
use grange_types::{AccountId, Amount, KeyGrant, Millis, NetworkId, PeerId, Region, SecretKey, Signed, Time, Wire};

pub use grange_keystore::{Cost, Keystore, KeystoreError, Passphrase, Phrase, PhraseError};

/// How long a transaction may wait to be included.
const WITHIN: Millis = Millis::minutes(10);

/// An owner who signs for his account in a network.
#[derive(Debug)]
pub struct Owner {
    /// The network.
    pub network: NetworkId,
    /// The account.
    pub account: AccountId,
    /// A key that is an owner in its key set.
    pub key: SecretKey,
}

impl Owner {
    /// The signed bytes that replace the key set. `nonce` is a number never used before.
    #[must_use]
    pub fn set_keys(&self, keys: Vec<KeyGrant>, now: Time, nonce: u64) -> Vec<u8> {
        self.seal(Action::SetKeys { keys }, now, nonce)
    }

    /// The signed bytes that put a node, which consents with its own key, under the account.
    #[must_use]
    pub fn register_node(
        &self,
        node: &SecretKey,
        (display, region): (String, Region),
        now: Time,
        nonce: u64,
    ) -> Vec<u8> {
        let statement = KeyStatement { account: self.account, purpose: Purpose::Node };
        let consent = Box::new(Signed::seal(self.network, node, now.after(WITHIN), statement));
        let peer = node.public().peer();
        let node = NodeEntry { peer, operator: self.account, display, region, relays: Vec::new() };
        self.seal(Action::RegisterNode { node, consent }, now, nonce)
    }

    /// The signed bytes that take a node from the account.
    #[must_use]
    pub fn remove_node(&self, node: PeerId, now: Time, nonce: u64) -> Vec<u8> {
        self.seal(Action::RemoveNode { node }, now, nonce)
    }

    /// The signed bytes that say what each key may put into deployments a day; none lifts the cap.
    #[must_use]
    pub fn set_cap(&self, per_day: Option<Amount>, now: Time, nonce: u64) -> Vec<u8> {
        self.seal(Action::SetCap { per_day }, now, nonce)
    }

    fn seal(&self, action: Action, now: Time, nonce: u64) -> Vec<u8> {
        let body = Transaction { account: self.account, nonce, action };
        Signed::seal(self.network, &self.key, now.after(WITHIN), body).encode()
    }
}
