//! Who signs for an account: the node that is asked, its folder on this machine, and the owner's key that is sealed there.
//!
//! The owner's key signs here, in this process, and what it signed is handed to the node: a node never holds it.

use grange_api::{Account, Call, Key, Problem, ProblemCode, Status, Submitted};
use grange_types::{AccountId, KeyGrant, NetworkId, PeerId, PublicKey, Role, SecretKey};

use super::context::Context;
use crate::arguments::Sealed;
use crate::choice;
use crate::client::Client;
use crate::failure::{chain, internal};
use crate::folders;
use crate::machine;
use crate::node_process::{Cost, Folder, Keystore, KeystoreError, Owner, Passphrase, Phrase};
use crate::secret;
use crate::up::settings_problem;

/// A node of this machine, its folder, and what the ledger says of its account.
pub(super) struct Place {
    pub(super) operation: &'static str,
    pub(super) client: Client,
    pub(super) folder: Folder,
    pub(super) node: PeerId,
    pub(super) network: NetworkId,
    pub(super) account: AccountId,
}

impl Place {
    pub(super) fn find(context: Context<'_>, sealed: &Sealed, operation: &'static str) -> Result<Self, Problem> {
        let client = choice::client(context.global, context.output, operation, choice::Purpose::Act)?;
        let folder = Folder(match &sealed.data {
            Some(data) => folders::absolute(data)?,
            None => choice::folder_of(client.api(), operation)?,
        });
        let status: Status = client.ask(&Call::Status)?;
        let (node, network, account) = (status.peer, status.network, status.operator);
        let place = Self { operation, client, folder, node, network, account };
        if place.node_key()?.public().peer() != node {
            let thing = place.folder.0.display().to_string();
            return Err(Problem::new(ProblemCode::Usage, operation, thing, "the folder is another node's")
                .with_remedy("name the folder of the node that --node names with --data"));
        }
        Ok(place)
    }

    /// The same where the owner's key of the node's account is sealed on this machine. None where it is not: then the node
    /// signs by itself, as far as its own key may.
    pub(super) fn with_owners_key(
        context: Context<'_>,
        sealed: &Sealed,
        operation: &'static str,
    ) -> Result<Option<Self>, Problem> {
        let place = match Self::find(context, sealed, operation) {
            // Nothing says where the node's folder is: it may be another user's.
            Err(problem) if problem.code == ProblemCode::NotFound && sealed.data.is_none() => return Ok(None),
            found => found?,
        };
        let is_here = place.keystore()?.is_some_and(|keystore| keystore.account() == place.account);
        Ok(is_here.then_some(place))
    }

    pub(super) fn node_key(&self) -> Result<SecretKey, Problem> {
        self.folder.read_key().map_err(|error| settings_problem(&error, self.operation, &self.folder))
    }

    pub(super) fn keystore(&self) -> Result<Option<Keystore>, Problem> {
        Keystore::read(&self.folder.keystore()).map_err(|error| self.keystore_problem(&error))
    }

    fn keystore_problem(&self, error: &KeystoreError) -> Problem {
        let thing = self.folder.keystore().display().to_string();
        match error {
            KeystoreError::Refused => Problem::new(ProblemCode::Denied, self.operation, thing, chain(error))
                .with_remedy(
                    "try the passphrase again; with the recovery phrase, `grange identity restore` sets a new one",
                ),
            _ => internal(self.operation, thing, error),
        }
    }

    pub(super) fn open(&self, keystore: &Keystore, sealed: &Sealed) -> Result<Phrase, Problem> {
        let opened = match secret::passphrase(self.operation, sealed.passphrase_file.as_deref())? {
            Some(passphrase) => keystore.open(&passphrase),
            None => Err(KeystoreError::Refused),
        };
        opened.map_err(|error| self.keystore_problem(&error))
    }

    pub(super) fn seal(
        &self,
        phrase: &Phrase,
        account: AccountId,
        passphrase: &Passphrase,
    ) -> Result<Keystore, Problem> {
        let mut random = [0; 40];
        self.fill(&mut random)?;
        Keystore::seal(phrase, account, passphrase, Cost::USUAL, &random).map_err(|error| self.keystore_problem(&error))
    }

    pub(super) fn keep(&self, keystore: &Keystore) -> Result<(), Problem> {
        keystore.write(&self.folder.keystore()).map_err(|error| self.keystore_problem(&error))
    }

    pub(super) fn fill(&self, bytes: &mut [u8]) -> Result<(), Problem> {
        let mut filled = 0;
        while filled < bytes.len() {
            filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())
                .map_err(|error| internal(self.operation, "randomness", &error))?;
        }
        Ok(())
    }

    pub(super) fn no_phrase(&self) -> Problem {
        let text = "this account has no recovery phrase on this machine";
        Problem::new(ProblemCode::NotFound, self.operation, self.account.to_string(), text)
            .with_remedy("make one with `grange identity phrase`")
    }

    /// The key set of an account; that of one which the ledger has nothing of is its own first key.
    pub(super) fn grants(&self, account: AccountId) -> Result<Vec<KeyGrant>, Problem> {
        let keys = match self.client.ask::<Account>(&Call::LedgerAccount { account: account.into() }) {
            Ok(found) => found.keys,
            Err(problem) if problem.code == ProblemCode::NotFound => Vec::new(),
            Err(problem) => return Err(problem),
        };
        if keys.is_empty() {
            return Ok(vec![KeyGrant { key: PublicKey(account.0), roles: vec![Role::Owner] }]);
        }
        Ok(keys.iter().map(grant).collect())
    }

    /// Who signs for the account: the owner's key where it is kept here, else the node's own where that is an owner.
    pub(super) fn owner(&self, sealed: &Sealed, grants: &[KeyGrant]) -> Result<Owner, Problem> {
        let owns = |key: PublicKey| grants.iter().any(|grant| grant.key == key && grant.roles.contains(&Role::Owner));
        let key = match self.keystore()?.filter(|keystore| keystore.account() == self.account) {
            Some(keystore) => self.open(&keystore, sealed)?.owner_key(),
            None => self.node_key()?,
        };
        if !owns(key.public()) {
            let text = "no key on this machine is an owner of the account";
            return Err(Problem::new(ProblemCode::Denied, self.operation, self.account.to_string(), text).with_remedy(
                "type it on the machine where the owner's key is, or restore it with `grange identity restore`",
            ));
        }
        Ok(Owner { network: self.network, account: self.account, key })
    }

    pub(super) fn submit(&self, sign: impl FnOnce(u64) -> Vec<u8>) -> Result<Submitted, Problem> {
        let mut nonce = [0; 8];
        self.fill(&mut nonce)?;
        let sent = self.client.ask(&Call::SubmitTransaction { bytes: sign(u64::from_le_bytes(nonce)) });
        // The node knows a transaction; who typed a command knows that, and the account that it is about.
        sent.map_err(|problem| match problem.operation.as_str() {
            "submit" => Problem { operation: self.operation.to_owned(), thing: self.account.to_string(), ..problem },
            _ => problem,
        })
    }

    pub(super) fn set_keys(&self, owner: &Owner, keys: Vec<KeyGrant>) -> Result<Submitted, Problem> {
        self.submit(|nonce| owner.set_keys(keys, machine::now(), nonce))
    }
}

fn grant(key: &Key) -> KeyGrant {
    let role = |word: &String| match word.as_str() {
        "owner" => Some(Role::Owner),
        "node" => Some(Role::Node),
        "validator" => Some(Role::Validator),
        "spend" => Some(Role::Spend { per_day: key.per_day.unwrap_or_default() }),
        _ => None,
    };
    KeyGrant { key: key.key, roles: key.roles.iter().filter_map(role).collect() }
}
