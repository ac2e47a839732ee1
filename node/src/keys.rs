//! API keys: rights tokens that this node signed, and what it remembers of them: never their secrets.
//!
//! # Rules
//! - A key is taken when its chain holds ([`RightsToken::check`]), this node's key signed its first block, it is listed,
//!   of the present generation, not revoked, and not expired. All but the first are looked at for every request.
//! - A chain is checked once and its rights are kept by the hash of its text; what is kept opens nothing by itself.
//! - What a key spends is written down before it is spent, so that a crash makes the limit smaller and never greater.
//!   All keys narrowed from one spend from the same count.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use grange_api::{ApiKey, KeyRequest, NewApiKey, Problem, ProblemCode, RevokedKey, Timestamp};
use grange_gateway::TokenRefusal;
use grange_types::{
    AmbiguousId, Amount, IdStart, KeyId, Millis, NetworkId, Right, Rights, RightsToken, Scope, SecretKey, Time, limits,
    rights,
};
use serde::{Deserialize, Serialize};

use crate::settings::{SettingsError, write_secret};

/// Keys of one node, revoked ones included; the oldest revoked or expired one makes room for another.
const MOST: usize = 256;
/// Chains whose rights are kept.
const CHECKED: usize = 1_024;
/// A file of that many keys.
const FILE_BYTES: u64 = 1 << 20;
/// The end of time, for keys without one.
const FOR_EVER: Time = Time(u64::MAX);

/// The content of `keys.json`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    /// Raised to revoke all keys at once.
    generation: u64,
    keys: Vec<KeptKey>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeptKey {
    /// BLAKE3 over what was signed.
    id: KeyId,
    name: String,
    generation: u64,
    scope: Scope,
    created: Time,
    until: Time,
    spent: Amount,
    revoked: bool,
}

/// The keys of one node.
pub(crate) struct ApiKeys {
    path: PathBuf,
    network: NetworkId,
    key: SecretKey,
    kept: Mutex<Kept>,
    checked: Mutex<BTreeMap<[u8; 32], Arc<Rights>>>,
}

impl ApiKeys {
    /// Reads what there is.
    pub(crate) fn open(path: PathBuf, network: NetworkId, key: SecretKey) -> Result<Self, SettingsError> {
        let read = |source| SettingsError::Read { path: path.clone(), source };
        let kept = match std::fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::default(),
            Err(error) => return Err(read(error)),
            Ok(found) if found.len() > FILE_BYTES => return Err(read(io::ErrorKind::FileTooLarge.into())),
            Ok(_) => serde_json::from_slice(&std::fs::read(&path).map_err(read)?)
                .map_err(|source| SettingsError::Configuration { path: path.clone(), source })?,
        };
        Ok(Self { path, network, key, kept: Mutex::new(kept), checked: Mutex::default() })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces what is kept, on the disk first.
    fn put(&self, kept: &mut Kept, new: Kept, operation: &str) -> Result<(), Problem> {
        let failed = |error: &dyn std::error::Error| {
            Problem::new(ProblemCode::Internal, operation, "keys.json", crate::workloads::chain(error))
        };
        let text = serde_json::to_string_pretty(&new).map_err(|error| failed(&error))?;
        write_secret(&self.path, &text).map_err(|error| failed(&error))?;
        *kept = new;
        Ok(())
    }

    /// What a token allows now.
    pub(crate) fn rights(&self, text: &str, now: Time) -> Result<Arc<Rights>, TokenRefusal> {
        let hash = *grange_types::BlobId::of(text.as_bytes()).as_bytes();
        let known = self.checked.lock().unwrap_or_else(PoisonError::into_inner).get(&hash).cloned();
        let rights = match known {
            Some(rights) => rights,
            None => self.check(text, hash, now)?,
        };
        let kept = self.kept();
        let listed = kept.keys.iter().find(|key| key.id == rights.id).ok_or(TokenRefusal::Revoked)?;
        if listed.revoked || rights.generation != kept.generation {
            return Err(TokenRefusal::Revoked);
        }
        if now > rights.until {
            return Err(TokenRefusal::Expired);
        }
        Ok(rights)
    }

    fn check(&self, text: &str, hash: [u8; 32], now: Time) -> Result<Arc<Rights>, TokenRefusal> {
        let token: RightsToken = text.parse().map_err(|_| TokenRefusal::Invalid)?;
        let rights = token.check(self.network, now).map_err(|error| match error {
            grange_types::RightsError::Block { source: grange_types::EnvelopeError::Expired { .. }, .. } => {
                TokenRefusal::Expired
            }
            _ => TokenRefusal::Invalid,
        })?;
        if rights.issuer != self.key.public() {
            return Err(TokenRefusal::Invalid);
        }
        let rights = Arc::new(rights);
        let mut checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        if checked.len() >= CHECKED {
            // Whoever has a key can make as many of it as he likes; all are checked anew.
            checked.clear();
        }
        checked.insert(hash, Arc::clone(&rights));
        Ok(rights)
    }

    /// Makes a key; its secret is in the answer and nowhere else.
    pub(crate) fn create(&self, request: KeyRequest, secret: [u8; 32], now: Time) -> Result<NewApiKey, Problem> {
        let scope = scope(&request)?;
        let until = request.valid_for.map_or(FOR_EVER, |seconds| now.after(Millis::seconds(seconds)));
        let mut kept = self.kept();
        let mut new = kept.clone();
        let over = |key: &KeptKey| key.state(new.generation, now) != "active";
        if kept.keys.iter().any(|key| key.name == request.name && !over(key)) {
            let text = "there is a key of this name";
            return Err(Problem::new(ProblemCode::Conflict, "create-key", request.name, text)
                .with_remedy("choose another name, or revoke that one with `grange key revoke`"));
        }
        let mut keys = kept.keys.clone();
        // A name stands for one key.
        keys.retain(|key| key.name != request.name);
        if keys.len() >= MOST {
            let Some(oldest) = keys.iter().position(over) else {
                let text = format!("a node has at most {MOST} keys");
                return Err(Problem::new(ProblemCode::LimitReached, "create-key", request.name, text)
                    .with_remedy("revoke one with `grange key revoke`"));
            };
            keys.remove(oldest);
        }
        let next = SecretKey::from_bytes(&secret);
        let block = (request.name.clone(), scope.clone(), kept.generation);
        let token = RightsToken::issue(self.network, &self.key, until, block, &next);
        let rights = token.check(self.network, now).map_err(|error| {
            Problem::new(ProblemCode::Usage, "create-key", request.name.clone(), crate::workloads::chain(&error))
        })?;
        let (name, generation) = (request.name, kept.generation);
        let key = KeptKey {
            id: rights.id,
            name,
            generation,
            scope,
            created: now,
            until,
            spent: Amount::ZERO,
            revoked: false,
        };
        let shown = key.show(generation, now);
        keys.push(key);
        new.keys = keys;
        self.put(&mut kept, new, "create-key")?;
        Ok(NewApiKey { key: shown, token: token.to_string() })
    }

    /// All keys, the newest last.
    pub(crate) fn list(&self, now: Time) -> Vec<ApiKey> {
        let kept = self.kept();
        kept.keys.iter().map(|key| key.show(kept.generation, now)).collect()
    }

    /// A principal as the audit log calls it: where one names a key by the beginning of its id, the whole of that.
    pub(crate) fn principal(&self, text: String) -> Result<String, Problem> {
        let kept = self.kept();
        let found = meant(kept.keys.iter(), &text).map_err(|error| Problem::ambiguous("audit", &text, error))?;
        let by_id = found.filter(|key| key.name != text);
        Ok(by_id.map_or(text, |key| key.id.to_string()))
    }

    /// Revokes a key by its name, its id or the beginning of that.
    pub(crate) fn revoke(&self, name: &str) -> Result<RevokedKey, Problem> {
        let mut kept = self.kept();
        let mut new = kept.clone();
        let valid = kept.keys.iter().filter(|key| !key.revoked && key.generation == kept.generation);
        let found = meant(valid, name).map_err(|error| Problem::ambiguous("revoke-key", name, error))?;
        let id = found.map(|key| key.id);
        let Some(key) = new.keys.iter_mut().find(|key| Some(key.id) == id) else {
            return Err(Problem::new(
                ProblemCode::NotFound,
                "revoke-key",
                name,
                "there is no such key, or it is revoked",
            )
            .with_remedy("list keys with `grange key list`"));
        };
        key.revoked = true;
        let revoked = RevokedKey { id: key.id, name: key.name.clone() };
        self.put(&mut kept, new, "revoke-key")?;
        Ok(revoked)
    }

    /// Revokes every key by raising the generation.
    pub(crate) fn revoke_all(&self, now: Time) -> Result<Vec<RevokedKey>, Problem> {
        let mut kept = self.kept();
        let active = kept.keys.iter().filter(|key| key.state(kept.generation, now) == "active");
        let revoked = active.map(|key| RevokedKey { id: key.id, name: key.name.clone() }).collect();
        let mut new = kept.clone();
        new.generation = new.generation.saturating_add(1);
        self.put(&mut kept, new, "revoke-keys")?;
        Ok(revoked)
    }

    /// Counts what a key is about to spend against its limit.
    pub(crate) fn spend(&self, rights: &Rights, amount: Amount, operation: &str) -> Result<(), Problem> {
        let mut kept = self.kept();
        let mut new = kept.clone();
        let Some(key) = new.keys.iter_mut().find(|key| key.id == rights.id) else { return Ok(()) };
        within_limit(rights, key.spent, amount, operation)?;
        if amount.is_zero() {
            return Ok(());
        }
        key.spent = key.spent.saturating_add(amount);
        self.put(&mut kept, new, operation)
    }

    /// Whether a key may spend that much more. Nothing is counted.
    pub(crate) fn affords(&self, rights: &Rights, amount: Amount, operation: &str) -> Result<(), Problem> {
        let kept = self.kept();
        let spent = kept.keys.iter().find(|key| key.id == rights.id).map_or(Amount::ZERO, |key| key.spent);
        within_limit(rights, spent, amount, operation)
    }
}

fn within_limit(rights: &Rights, spent: Amount, amount: Amount, operation: &str) -> Result<(), Problem> {
    let Some(most) = rights.scope.max_spend.filter(|most| spent.saturating_add(amount) > *most) else { return Ok(()) };
    let text = format!("the key may spend {most} in all and has spent {spent}; this would spend {amount}");
    Err(Problem::new(ProblemCode::Denied, operation, rights.name.clone(), text)
        .with_remedy("the node's owner makes a key with a greater --max-spend"))
}

fn scope(request: &KeyRequest) -> Result<Scope, Problem> {
    let wrong = |thing: &str, text: String| Problem::new(ProblemCode::Usage, "create-key", thing, text);
    let (name, prefix) = (&request.name, &request.prefix);
    if !rights::is_name(name) {
        let text = format!("a key's name has 1 to {} bytes, no spaces, and is not `owner`", limits::NAME_BYTES);
        return Err(wrong("name", text));
    }
    if !rights::is_prefix(prefix) {
        return Err(wrong("prefix", format!("a prefix has at most {} bytes and no spaces", limits::NAME_BYTES)));
    }
    let rights: Result<_, _> = request.scopes.iter().map(|word| word.parse::<Right>()).collect();
    let rights: std::collections::BTreeSet<Right> = rights.map_err(|error| wrong("scopes", error.to_string()))?;
    if rights.is_empty() {
        return Err(wrong("scopes", "a key has one scope at least".into()));
    }
    if request.valid_for == Some(0) {
        return Err(wrong("valid_for", "a key is valid for a second at least".into()));
    }
    Ok(Scope { rights, prefix: prefix.clone(), max_spend: request.max_spend })
}

impl KeptKey {
    fn state(&self, generation: u64, now: Time) -> &'static str {
        if self.revoked || self.generation != generation {
            "revoked"
        } else if now > self.until {
            "expired"
        } else {
            "active"
        }
    }

    fn show(&self, generation: u64, now: Time) -> ApiKey {
        ApiKey {
            id: self.id,
            name: self.name.clone(),
            scopes: self.scope.rights.iter().map(ToString::to_string).collect(),
            prefix: self.scope.prefix.clone(),
            created: Timestamp(self.created),
            until: (self.until != FOR_EVER).then_some(Timestamp(self.until)),
            max_spend: self.scope.max_spend,
            spent: self.spent,
            state: self.state(generation, now).to_owned(),
        }
    }
}

/// The key that a text means: by its name, else by its id or the beginning of that.
fn meant<'a>(
    mut keys: impl Iterator<Item = &'a KeptKey> + Clone,
    text: &str,
) -> Result<Option<&'a KeptKey>, AmbiguousId> {
    if let Some(named) = keys.clone().find(|key| key.name == text) {
        return Ok(Some(named));
    }
    let Ok(start) = text.parse::<IdStart>() else { return Ok(None) };
    let id = start.only(keys.clone().map(|key| (key.id.as_bytes(), key.id)))?;
    Ok(keys.find(|key| Some(key.id) == id))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000);
    const NETWORK: NetworkId = NetworkId([7; 32]);

    fn keys(folder: &std::path::Path) -> ApiKeys {
        ApiKeys::open(folder.join("keys.json"), NETWORK, SecretKey::from_bytes(&[1; 32])).unwrap()
    }

    fn request(name: &str) -> KeyRequest {
        let scopes = vec!["deploy".to_owned(), "read".to_owned()];
        KeyRequest { name: name.into(), scopes, prefix: String::new(), valid_for: None, max_spend: None }
    }

    #[test]
    fn a_key_counts_from_its_making_until_it_is_revoked_also_across_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let made = keys(folder.path()).create(request("ci"), [2; 32], NOW).unwrap();
        let again = keys(folder.path());
        let rights = again.rights(&made.token, NOW).unwrap();
        assert!(rights.allows(Right::Deploy, "shop") && !rights.allows(Right::Pay, ""));
        again.revoke("ci").unwrap();
        // The chain is still known by its hash; that helps nobody.
        assert_eq!(again.rights(&made.token, NOW), Err(TokenRefusal::Revoked));
        assert_eq!(keys(folder.path()).rights(&made.token, NOW), Err(TokenRefusal::Revoked));
        assert_eq!(again.revoke("ci").unwrap_err().code, ProblemCode::NotFound);
        let file = std::fs::read_to_string(folder.path().join("keys.json")).unwrap();
        assert!(!file.contains(&made.token[4..]), "the secret is on the disk");
    }

    #[test]
    fn a_key_ends_with_its_time_and_with_its_generation() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let short = keys.create(KeyRequest { valid_for: Some(1), ..request("short") }, [2; 32], NOW).unwrap();
        let long = keys.create(request("long"), [3; 32], NOW).unwrap();
        assert!(keys.rights(&short.token, Time(NOW.0 + 1_000)).is_ok());
        assert_eq!(keys.rights(&short.token, Time(NOW.0 + 1_001)), Err(TokenRefusal::Expired));
        assert_eq!(keys.revoke_all(NOW).unwrap().len(), 2);
        assert_eq!(keys.rights(&long.token, NOW), Err(TokenRefusal::Revoked));
        assert!(keys.list(NOW).iter().all(|key| key.state == "revoked"));
        // Its name is free again.
        let made = keys.create(request("long"), [4; 32], NOW).unwrap();
        assert!(keys.rights(&made.token, NOW).is_ok());
    }

    #[test]
    fn only_what_this_node_signed_is_a_key_and_what_is_narrowed_from_it() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let made = keys.create(request("ci"), [2; 32], NOW).unwrap();
        let token: RightsToken = made.token.parse().unwrap();
        let fewer = Scope { rights: [Right::Read].into(), prefix: "shop".into(), max_spend: None };
        let narrowed = token.narrow("job".into(), fewer.clone(), NOW, &SecretKey::from_bytes(&[5; 32])).unwrap();
        let rights = keys.rights(&narrowed.to_string(), NOW).unwrap();
        assert_eq!((&rights.scope, rights.name.as_str()), (&fewer, "ci"));
        let stranger = SecretKey::from_bytes(&[6; 32]);
        let foreign = RightsToken::issue(NETWORK, &stranger, NOW, ("ci".into(), fewer, 0), &stranger);
        assert_eq!(keys.rights(&foreign.to_string(), NOW), Err(TokenRefusal::Invalid));
        assert_eq!(keys.rights("grk_AAAA", NOW), Err(TokenRefusal::Invalid));
        keys.revoke("ci").unwrap();
        assert_eq!(keys.rights(&narrowed.to_string(), NOW), Err(TokenRefusal::Revoked));
    }

    #[test]
    fn a_limit_is_for_all_that_a_key_and_its_heirs_spend() {
        let folder = tempfile::tempdir().unwrap();
        let limited = KeyRequest { max_spend: Some(Amount::credits(10)), ..request("ci") };
        let made = keys(folder.path()).create(limited, [2; 32], NOW).unwrap();
        let kept = keys(folder.path());
        let rights = kept.rights(&made.token, NOW).unwrap();
        kept.spend(&rights, Amount::credits(6), "deploy").unwrap();
        let again = keys(folder.path());
        let denied = again.spend(&rights, Amount::credits(5), "deploy").unwrap_err();
        assert_eq!((denied.code, denied.exit), (ProblemCode::Denied, 4));
        again.spend(&rights, Amount::credits(4), "deploy").unwrap();
        assert_eq!(again.list(NOW)[0].spent, Amount::credits(10));
    }

    #[test]
    fn a_key_is_named_by_as_much_of_its_id_as_lists_show() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let one = keys.create(request("one"), [2; 32], NOW).unwrap().key;
        let other = keys.create(request(&one.id.short()), [3; 32], NOW).unwrap().key;
        assert_eq!(keys.principal("owner".into()).unwrap(), "owner");
        assert_eq!(keys.principal(other.id.short()).unwrap(), other.id.to_string());
        assert_eq!(keys.principal(one.id.short()).unwrap(), one.id.short(), "a name comes first");
        assert_eq!(keys.revoke(&one.id.short()).unwrap().id, other.id);
        assert_eq!(keys.revoke(&other.id.short()).unwrap_err().code, ProblemCode::NotFound, "it is revoked");
        assert_eq!(keys.revoke(&one.id.short()).unwrap().id, one.id);
    }

    #[test]
    fn what_is_no_key_is_refused_with_the_field() {
        let folder = tempfile::tempdir().unwrap();
        let keys = keys(folder.path());
        let scopes = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let bad = [
            (request(""), "name"),
            (request("owner"), "name"),
            (request("a b"), "name"),
            (KeyRequest { scopes: Vec::new(), ..request("ci") }, "scopes"),
            (KeyRequest { scopes: scopes(&["root"]), ..request("ci") }, "scopes"),
            (KeyRequest { valid_for: Some(0), ..request("ci") }, "valid_for"),
            (KeyRequest { prefix: "x".repeat(64), ..request("ci") }, "prefix"),
        ];
        for (request, field) in bad {
            let refused = keys.create(request, [2; 32], NOW).unwrap_err();
            assert_eq!((refused.code, refused.thing.as_str()), (ProblemCode::Usage, field));
        }
        keys.create(request("ci"), [2; 32], NOW).unwrap();
        assert_eq!(keys.create(request("ci"), [3; 32], NOW).unwrap_err().code, ProblemCode::Conflict);
    }
}
