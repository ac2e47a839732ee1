//! Every key of the compose specification and what becomes of it: data, one file for each part of a compose file.
//!
//! Source: the specification's JSON Schema as its reference implementation has it in July 2026. [`crate::reference()`] prints the table for people, and
//! [`crate::walk`] holds a file against it.

mod build;
mod deploy;
mod grange;
mod mounts;
mod service;
mod top;

pub(crate) use grange::{GRANGE_SERVICE, GRANGE_TOP};
pub(crate) use service::SERVICE;
pub(crate) use top::TOP;

/// The keys that one kind of mapping may have.
#[derive(Debug)]
pub(crate) struct Level {
    /// Where such a mapping stands, as the reference heads it: `services.*.deploy`.
    pub(crate) path: &'static str,
    /// Its keys, in the order in which the reference prints them.
    pub(crate) keys: &'static [Key],
}

/// One key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    /// Values that say what happens anyway; with them, an accepted or refused key passes without a word.
    pub(crate) agrees: &'static [&'static str],
    pub(crate) inner: Inner,
    /// What its value looks like, for editors; the reader itself says it better.
    pub(crate) takes: Takes,
}

/// What the value of a key looks like. Nothing at all passes everywhere, and so does a text with a `$`, since it is
/// read when its variables are replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Takes {
    /// Whatever stands there, since it has no effect.
    Anything,
    /// A single value.
    Text,
    /// A single value of that form, as a regular expression.
    Form(&'static str),
    /// One of these words.
    Word(&'static [&'static str]),
    Switch,
    Whole {
        least: u32,
        most: u32,
    },
    /// An amount of credits.
    Amount,
    Processors,
    Size,
    Time,
    /// A list of single values.
    Texts,
    /// A single value, or a list of them.
    TextOrTexts,
    /// Single values by name, or a list of `NAME=value`.
    Variables,
    /// A mapping with the keys of the inner level.
    Mapping,
    /// Mappings by name, the names those that a service may have.
    Services,
    /// Mappings by name.
    Named,
    /// A single value, or a mapping with the keys of the inner level.
    TextOrMapping,
    /// A list of single values and mappings with the keys of the inner level.
    Items,
    /// A single value, or such a list.
    TextOrItems,
    /// A list of names, or mappings by name.
    NamesOrMappings,
}

/// What becomes of a key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    /// It does what it says; the text is for the reference.
    Honoured(&'static str),
    /// It has no effect, and this is why.
    Accepted(&'static str),
    /// The file cannot be deployed with it, and this is why.
    Refused(&'static str),
    /// It shares the fate of the key it stands under, which has already been told.
    Shared,
}

/// What a key's value is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Inner {
    /// No keys of its own, or keys that the author makes up.
    Leaf,
    /// A mapping of this level, or a list of them.
    Keys(&'static Level),
    /// A mapping from names that the author makes up to mappings of this level.
    Named(&'static Level),
}

impl Level {
    pub(crate) fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.keys.iter().map(|key| key.name)
    }
}

impl Key {
    const fn new(name: &'static str, verdict: Verdict) -> Self {
        Self { name, verdict, agrees: &[], inner: Inner::Leaf, takes: Takes::Anything }
    }

    /// Values with which the key passes without a word.
    const fn agrees(self, agrees: &'static [&'static str]) -> Self {
        Self { agrees, ..self }
    }

    const fn takes(self, takes: Takes) -> Self {
        Self { takes, ..self }
    }

    const fn keys(self, level: &'static Level) -> Self {
        Self { inner: Inner::Keys(level), ..self }
    }

    const fn named(self, level: &'static Level) -> Self {
        Self { inner: Inner::Named(level), ..self }
    }
}

const fn honoured(name: &'static str, what: &'static str) -> Key {
    Key::new(name, Verdict::Honoured(what))
}

const fn accepted(name: &'static str, why: &'static str) -> Key {
    Key::new(name, Verdict::Accepted(why))
}

const fn refused(name: &'static str, why: &'static str) -> Key {
    Key::new(name, Verdict::Refused(why))
}

const fn shared(name: &'static str) -> Key {
    Key::new(name, Verdict::Shared)
}

#[cfg(test)]
mod official;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn levels() -> Vec<&'static Level> {
        let (mut found, mut open) = (Vec::<&Level>::new(), vec![&TOP]);
        while let Some(level) = open.pop() {
            if found.iter().any(|known| known.path == level.path) {
                continue;
            }
            found.push(level);
            for key in level.keys {
                if let Inner::Keys(inner) | Inner::Named(inner) = key.inner {
                    open.push(inner);
                }
            }
        }
        found
    }

    #[test]
    fn no_level_has_a_key_twice_and_no_two_levels_share_a_path() {
        for level in levels() {
            let names: BTreeSet<&str> = level.names().collect();
            assert_eq!(names.len(), level.keys.len(), "{}", level.path);
        }
    }

    #[test]
    fn reasons_are_one_line_without_a_full_stop() {
        for level in levels() {
            for key in level.keys {
                let (Verdict::Honoured(text) | Verdict::Accepted(text) | Verdict::Refused(text)) = key.verdict else {
                    continue;
                };
                assert!(
                    !text.is_empty() && !text.ends_with('.') && !text.contains('\n'),
                    "{}.{}",
                    level.path,
                    key.name
                );
                assert!(
                    !text.starts_with(char::is_uppercase) || text.starts_with("HTTP"),
                    "{}.{}",
                    level.path,
                    key.name
                );
            }
        }
    }

    #[test]
    fn what_a_key_takes_is_said_where_it_has_an_effect_and_nowhere_else() {
        for level in levels() {
            for key in level.keys {
                let honoured = matches!(key.verdict, Verdict::Honoured(_));
                assert_eq!(honoured, key.takes != Takes::Anything, "{}.{}", level.path, key.name);
            }
        }
    }
}
