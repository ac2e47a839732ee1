//! Rights: a token that is a chain of signed blocks, each of which can only narrow the one before.
//!
//! # Rules
//! - The first block is signed by a key of the account whose things it opens; every further one by the key that the
//!   block before names as `next`. Whoever holds the token holds the secret of the last `next`, and so can hand on
//!   less than he has, offline, and never more.
//! - A block names all that it allows: verbs that the one before has too, a prefix that begins with its prefix, a time
//!   and a sum that are no greater, the same generation. A chain in which one block widens another is no token.
//! - Names and prefixes of blocks are words ([`is_name`], [`is_prefix`]), and none is named [`OWNER`].
//!   What is written down of a token's calls is the name of its first block, which its holder did not choose.
//! - What a token allows is what its last block says. A question outside of it is answered "no", not "nobody knows".
//! - A token's id is that of its first block. Who revokes it revokes all that was narrowed from it.
//!
//! # Limits
//! [`limits::RIGHTS_BLOCKS`] blocks, [`limits::NAME_BYTES`] for a name and for a prefix.
//!
//! # What is left out
//! No clock, no list of what was revoked, no count of what was spent: whoever serves brings and keeps them.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use crate::amount::Amount;
use crate::codec::{DecodeError, Wire};
use crate::envelope::{EnvelopeError, Signed};
use crate::id::{KeyId, NetworkId};
use crate::key::{PublicKey, SecretKey};
use crate::limits;
use crate::unit::Time;

/// Every token's text begins so, for whoever looks for secrets where none should be.
const PREFIX: &str = "grk_";

/// How the audit log calls who has a node's own token: no key is named so.
pub const OWNER: &str = "owner";

/// What can be allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Right {
    /// Look: at the node, the market, the ledger, at deployments, their bills and their logs.
    Read,
    /// Read the data that services keep.
    Data,
    /// Start, change and end deployments.
    Deploy,
    /// Take names and give them back.
    Name,
    /// Send money, and hand in transactions that somebody signed.
    Pay,
    /// Set prices, pause, resume.
    Sell,
    /// Let other machines join.
    Invite,
}

impl Right {
    /// All of them.
    pub const ALL: [Self; 7] = [Self::Read, Self::Data, Self::Deploy, Self::Name, Self::Pay, Self::Sell, Self::Invite];

    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Data => "data",
            Self::Deploy => "deploy",
            Self::Name => "name",
            Self::Pay => "pay",
            Self::Sell => "sell",
            Self::Invite => "invite",
        }
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Right {
    type Err = UnknownRight;

    fn from_str(text: &str) -> Result<Self, UnknownRight> {
        Self::ALL.into_iter().find(|right| right.word() == text).ok_or(UnknownRight)
    }
}

/// A word is none of those for rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a scope is one of read, data, deploy, name, pay, sell, invite")]
pub struct UnknownRight;

/// How much is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// What may be done.
    pub rights: BTreeSet<Right>,
    /// With things whose name begins so; empty for all.
    pub prefix: String,
    /// For how much money in all; no limit where there is none.
    pub max_spend: Option<Amount>,
}

impl Scope {
    /// Whether everything that this allows is allowed by the other.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        let spend = match (self.max_spend, other.max_spend) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(mine), Some(most)) => mine <= most,
        };
        spend && self.rights.is_subset(&other.rights) && self.prefix.starts_with(&other.prefix)
    }
}

/// One block: what is allowed from here on, and who may narrow it further. Its envelope says until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightsBlock {
    /// A name for people.
    pub name: String,
    /// How much is allowed.
    pub scope: Scope,
    /// The generation of keys that it is of; whoever serves takes none of an earlier one.
    pub generation: u64,
    /// The key that signs the next block.
    pub next: PublicKey,
}

impl Wire for RightsBlock {
    const NAME: &'static str = "rights-block";
    /// Name and prefix with their lengths, seven rights, an amount of 19 bytes and its mark, a generation, a key.
    const LIMIT: usize = 2 * (limits::NAME_BYTES + 1) + 8 + 20 + 10 + 32;
}

/// A chain of blocks, and the secret that lets its holder add one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RightsToken {
    blocks: Vec<Signed<RightsBlock>>,
    /// The secret of the last block's `next`.
    proof: [u8; 32],
}

impl Wire for RightsToken {
    const NAME: &'static str = "rights-token";
    const LIMIT: usize = 1 + limits::RIGHTS_BLOCKS * <Signed<RightsBlock> as Wire>::LIMIT + 32;
}

/// What a token whose chain holds allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rights {
    /// The token's id.
    pub id: KeyId,
    /// The key that signed the first block. Whether it may speak for an account is for others to say.
    pub issuer: PublicKey,
    /// The name of the first block: that of the key, whatever was narrowed from it.
    pub name: String,
    /// The generation.
    pub generation: u64,
    /// How much is allowed.
    pub scope: Scope,
    /// Until when; the end of time where there is no end.
    pub until: Time,
}

/// Why a token allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RightsError {
    /// The text is none.
    #[error("a key is one word that begins with {PREFIX}")]
    Syntax,
    /// The bytes are none.
    #[error("the key is damaged")]
    Undecodable(#[from] DecodeError),
    /// It has no block, or too many.
    #[error("a key has 1 to {} blocks, not {count}", limits::RIGHTS_BLOCKS)]
    Length {
        /// How many it has.
        count: usize,
    },
    /// A block does not hold.
    #[error("block {place} of the key does not hold")]
    Block {
        /// Which, from 0.
        place: usize,
        /// Why.
        source: EnvelopeError,
    },
    /// A block is signed by a key that the one before does not name.
    #[error("block {place} of the key is not signed by whom the one before names")]
    Stranger {
        /// Which, from 0.
        place: usize,
    },
    /// A block has a name or a prefix that no key may have.
    #[error(
        "block {place} of the key has a name that is not 1 to {} bytes without spaces, or is `{OWNER}`, or a prefix with \
         spaces",
        limits::NAME_BYTES
    )]
    Name {
        /// Which, from 0.
        place: usize,
    },
    /// A block allows more than the one before.
    #[error("block {place} of the key allows more than the one before")]
    Wider {
        /// Which, from 0.
        place: usize,
    },
    /// The holder does not know the secret of the last block.
    #[error("the key lacks the secret of its last block")]
    NotHolder,
}

impl RightsToken {
    /// A new token. `next` is a fresh secret key, which nobody else knows.
    #[must_use]
    pub fn issue(
        network: NetworkId,
        issuer: &SecretKey,
        until: Time,
        (name, scope, generation): (String, Scope, u64),
        next: &SecretKey,
    ) -> Self {
        let block = RightsBlock { name, scope, generation, next: next.public() };
        Self { blocks: vec![Signed::seal(network, issuer, until, block)], proof: next.to_bytes() }
    }

    /// A token that allows less, made without asking anybody.
    pub fn narrow(&self, name: String, scope: Scope, until: Time, next: &SecretKey) -> Result<Self, RightsError> {
        let place = self.blocks.len();
        let last = self.blocks.last().ok_or(RightsError::Length { count: 0 })?;
        if place >= limits::RIGHTS_BLOCKS {
            return Err(RightsError::Length { count: place + 1 });
        }
        let block = RightsBlock { name, scope, generation: last.body.generation, next: next.public() };
        if !is_legal(&block) {
            return Err(RightsError::Name { place });
        }
        let signer = SecretKey::from_bytes(&self.proof);
        let block = Signed::seal(last.network, &signer, until, block);
        if !narrows(last, &block) {
            return Err(RightsError::Wider { place });
        }
        Ok(Self { blocks: [self.blocks.as_slice(), &[block]].concat(), proof: next.to_bytes() })
    }

    /// What its last block says, unchecked: for the holder, who wants to narrow it.
    #[must_use]
    pub fn claims(&self) -> Option<(&RightsBlock, Time)> {
        self.blocks.last().map(|block| (&block.body, block.expires))
    }

    /// What it allows, if the chain holds at this time. Costs a signature a block: keep the answer by the token's hash.
    pub fn check(&self, network: NetworkId, now: Time) -> Result<Rights, RightsError> {
        let count = self.blocks.len();
        let (Some(first), Some(last)) = (self.blocks.first(), self.blocks.last()) else {
            return Err(RightsError::Length { count });
        };
        if count > limits::RIGHTS_BLOCKS {
            return Err(RightsError::Length { count });
        }
        let mut before: Option<&Signed<RightsBlock>> = None;
        for (place, block) in self.blocks.iter().enumerate() {
            if before.is_some_and(|before| before.body.next != block.signer) {
                return Err(RightsError::Stranger { place });
            }
            if !is_legal(&block.body) {
                return Err(RightsError::Name { place });
            }
            if before.is_some_and(|before| !narrows(before, block)) {
                return Err(RightsError::Wider { place });
            }
            block.open(network, now).map_err(|source| RightsError::Block { place, source })?;
            before = Some(block);
        }
        if SecretKey::from_bytes(&self.proof).public() != last.body.next {
            return Err(RightsError::NotHolder);
        }
        Ok(Rights {
            id: KeyId(first.id().0),
            issuer: first.signer,
            name: first.body.name.clone(),
            generation: last.body.generation,
            scope: last.body.scope.clone(),
            until: last.expires,
        })
    }
}

/// Whether a key may have this name: a word that is not the owner's.
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.is_empty() && is_prefix(name) && name != OWNER
}

/// Whether a key may be for the things whose names begin so: a word, or nothing.
#[must_use]
pub fn is_prefix(prefix: &str) -> bool {
    prefix.len() <= limits::NAME_BYTES && !prefix.chars().any(|letter| letter.is_control() || letter.is_whitespace())
}

fn is_legal(block: &RightsBlock) -> bool {
    is_name(&block.name) && is_prefix(&block.scope.prefix)
}

/// Whether a block allows no more than the one before.
fn narrows(before: &Signed<RightsBlock>, block: &Signed<RightsBlock>) -> bool {
    block.expires <= before.expires
        && block.body.generation == before.body.generation
        && block.body.scope.is_within(&before.body.scope)
}

impl Rights {
    /// Whether a verb may be used on a thing of this name.
    #[must_use]
    pub fn allows(&self, right: Right, name: &str) -> bool {
        self.scope.rights.contains(&right) && name.starts_with(&self.scope.prefix)
    }
}

impl fmt::Display for RightsToken {
    /// The secret text itself: for the one who is given it, and for nobody else.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", BASE64URL_NOPAD.encode(&self.encode()))
    }
}

impl fmt::Debug for RightsToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RightsToken").field("blocks", &self.blocks).finish_non_exhaustive()
    }
}

impl FromStr for RightsToken {
    type Err = RightsError;

    fn from_str(text: &str) -> Result<Self, RightsError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(RightsError::Syntax)?;
        // Four digits are three bytes: what is longer is not even decoded.
        if body.len() > Self::LIMIT.div_ceil(3) * 4 {
            return Err(RightsError::Syntax);
        }
        let bytes = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| RightsError::Syntax)?;
        Ok(Self::decode(&bytes)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::check_golden;

    const NETWORK: NetworkId = NetworkId([9; 32]);
    const UNTIL: Time = Time(1_000);

    fn secret(byte: u8) -> SecretKey {
        SecretKey::from_bytes(&[byte; 32])
    }

    fn scope(rights: &[Right], prefix: &str, max_spend: Option<u32>) -> Scope {
        let max_spend = max_spend.map(Amount::credits);
        Scope { rights: rights.iter().copied().collect(), prefix: prefix.into(), max_spend }
    }

    fn token() -> RightsToken {
        let scope = scope(&[Right::Read, Right::Deploy], "shop", Some(5));
        RightsToken::issue(NETWORK, &secret(1), UNTIL, ("ci".into(), scope, 3), &secret(2))
    }

    fn narrowed() -> RightsToken {
        token().narrow("job".into(), scope(&[Right::Read], "shop-a", Some(1)), Time(500), &secret(3)).unwrap()
    }

    #[test]
    fn the_bytes_are_frozen() {
        check_golden(&token().blocks[0].body, include_str!("../golden/rights-block.hex"));
        check_golden(&narrowed(), include_str!("../golden/rights-token.hex"));
        assert!(token().blocks[0].body.encode().len() <= RightsBlock::LIMIT);
    }

    #[test]
    fn a_token_allows_what_its_last_block_says() {
        let rights = token().check(NETWORK, Time(1)).unwrap();
        assert!(rights.allows(Right::Deploy, "shop") && rights.allows(Right::Read, "shopping"));
        assert!(!rights.allows(Right::Pay, "shop") && !rights.allows(Right::Deploy, "sho"));
        let fewer = narrowed().check(NETWORK, Time(1)).unwrap();
        assert_eq!((fewer.id, fewer.issuer), (rights.id, secret(1).public()));
        assert!(fewer.allows(Right::Read, "shop-a") && !fewer.allows(Right::Read, "shop"));
        assert!(!fewer.allows(Right::Deploy, "shop-a"));
        assert_eq!(fewer.scope.max_spend, Some(Amount::credits(1)));
    }

    #[test]
    fn nothing_can_be_widened() {
        let all = [Right::Read, Right::Deploy, Right::Pay];
        let wider = [
            (scope(&all, "shop", Some(5)), UNTIL),
            (scope(&[Right::Read], "sho", Some(5)), UNTIL),
            (scope(&[Right::Read], "", Some(5)), UNTIL),
            (scope(&[Right::Read], "shop", Some(6)), UNTIL),
            (scope(&[Right::Read], "shop", None), UNTIL),
            (scope(&[Right::Read], "shop", Some(5)), Time(1_001)),
        ];
        for (scope, until) in wider {
            let refused = token().narrow("x".into(), scope.clone(), until, &secret(3));
            assert_eq!(refused, Err(RightsError::Wider { place: 1 }), "{scope:?}");
            // Nor by somebody who signs the block all the same.
            let block = RightsBlock { name: "x".into(), scope, generation: 3, next: secret(3).public() };
            let mut forged = token();
            forged.blocks.push(Signed::seal(NETWORK, &secret(2), until, block));
            forged.proof = [3; 32];
            assert_eq!(forged.check(NETWORK, Time(1)), Err(RightsError::Wider { place: 1 }));
        }
    }

    #[test]
    fn who_narrows_a_token_does_not_choose_who_he_is_said_to_be() {
        assert_eq!(narrowed().check(NETWORK, Time(1)).unwrap().name, "ci");
        let long = "x".repeat(limits::NAME_BYTES + 1);
        let (word, dot) = ("job".to_owned(), "shop.".to_owned());
        let names =
            ["owner", "", "a b", "a\nb", "a\u{2028}b", long.as_str()].map(|name| (name.to_owned(), dot.clone()));
        let prefixes = ["shop a", "shop\u{7f}"].map(|prefix| (word.clone(), prefix.to_owned()));
        for (name, prefix) in names.into_iter().chain(prefixes) {
            let scope = scope(&[Right::Read], &prefix, Some(1));
            let refused = token().narrow(name.clone(), scope.clone(), UNTIL, &secret(3));
            assert_eq!(refused, Err(RightsError::Name { place: 1 }), "{name:?} {prefix:?}");
            // Nor by somebody who signs the block all the same.
            let block = RightsBlock { name, scope, generation: 3, next: secret(3).public() };
            let mut forged = token();
            forged.blocks.push(Signed::seal(NETWORK, &secret(2), UNTIL, block));
            forged.proof = [3; 32];
            assert_eq!(forged.check(NETWORK, Time(1)), Err(RightsError::Name { place: 1 }));
        }
    }

    #[test]
    fn a_chain_is_taken_whole_from_its_holder_in_time_or_not_at_all() {
        let good = narrowed();
        // Without its last block: whoever was given less does not know the secret of the block before.
        let cut = RightsToken { blocks: good.blocks[..1].to_vec(), proof: good.proof };
        assert_eq!(cut.check(NETWORK, Time(1)), Err(RightsError::NotHolder));
        let stranger = RightsToken {
            blocks: vec![good.blocks[0].clone(), Signed::seal(NETWORK, &secret(8), UNTIL, good.blocks[1].body.clone())],
            proof: good.proof,
        };
        assert_eq!(stranger.check(NETWORK, Time(1)), Err(RightsError::Stranger { place: 1 }));
        assert!(matches!(good.check(NETWORK, Time(501)), Err(RightsError::Block { place: 1, .. })));
        assert!(matches!(good.check(NetworkId([1; 32]), Time(1)), Err(RightsError::Block { place: 0, .. })));
        let mut altered = good.clone();
        altered.blocks[0].body.generation = 4;
        altered.blocks[1].body.generation = 4;
        assert!(matches!(altered.check(NETWORK, Time(1)), Err(RightsError::Block { place: 0, .. })));
        let empty = RightsToken { blocks: Vec::new(), proof: [0; 32] };
        assert_eq!(empty.check(NETWORK, Time(1)), Err(RightsError::Length { count: 0 }));
    }

    #[test]
    fn a_token_is_handed_on_seven_times() {
        let same = scope(&[Right::Read], "shop", Some(1));
        let mut token = token();
        for _ in 1..limits::RIGHTS_BLOCKS {
            token = token.narrow("again".into(), same.clone(), Time(500), &secret(4)).unwrap();
        }
        assert!(token.check(NETWORK, Time(1)).is_ok());
        let last = token.narrow("again".into(), same, Time(500), &secret(4));
        assert_eq!(last, Err(RightsError::Length { count: 9 }));
    }

    #[test]
    fn the_text_reads_back_and_is_never_printed_by_accident() {
        let token = narrowed();
        let text = token.to_string();
        assert_eq!(text.parse(), Ok(token.clone()));
        assert!(text.starts_with("grk_") && text.bytes().all(|byte| byte.is_ascii_graphic()));
        for bad in ["", "grk_", "grk_!", &text[4..], &text[..text.len() - 2]] {
            assert!(bad.parse::<RightsToken>().is_err(), "{bad}");
        }
        assert!(!format!("{token:?}").contains("3, 3, 3"));
        for right in Right::ALL {
            assert_eq!(right.to_string().parse(), Ok(right));
        }
    }
}
