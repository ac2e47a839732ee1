//! Lays one tree over another: several files of one app, and a service over the one that it extends.
//!
//! | what | becomes |
//! |---|---|
//! | two mappings | one with the keys of both; a key of both is merged again |
//! | two lists | the lower one and behind it the upper one, each text once |
//! | `command`, `entrypoint`, a health check's `test` | the upper one |
//! | `ports`, `volumes`, `configs`, `secrets` of a service | both; of two entries of one key the upper one |
//! | `environment`, and `depends_on`, `networks` of a service | mappings, also where they are written as lists |
//! | `env_file` | a list, also where it is one path |
//! | anything else | the upper one, unless it is nothing |
//!
//! A key of a port is its address, both numbers and its protocol; of a volume, config or secret where it is put.
//! `!reset` takes a value away, `!override` puts it in the other's place unmerged. Source: compose specification,
//! chapter 13, and `extends` in chapter 5.

use crate::finding::Position;
use crate::ports;
use crate::yaml::{Entry, Map, Mark, Node, Value};

/// Where a mapping stands, as far as its keys have rules of their own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    File,
    Services,
    Service,
    Health,
    /// Variables: a name without a value says something.
    Names,
    Elsewhere,
}

impl Place {
    /// The place of what a key holds.
    fn below(self, key: &str) -> Self {
        match (self, key) {
            (Self::File, "services") => Self::Services,
            (Self::Services, _) => Self::Service,
            (Self::Service, "healthcheck") => Self::Health,
            (Self::Service, "environment" | "depends_on" | "networks") => Self::Names,
            _ => Self::Elsewhere,
        }
    }
}

/// A file over another.
pub(crate) fn files(base: Map, over: Map) -> Map {
    maps(base, over, Place::File)
}

/// A service over the one that it extends. It keeps its own name and place.
pub(crate) fn service(base: Entry, over: Entry) -> Entry {
    let (key, at) = (over.key.clone(), over.at);
    match values("", base.node, over.node, Place::Services) {
        Some(node) => Entry { key, at, node },
        None => Entry { key, at, node: Node::new(at, Value::Nothing) },
    }
}

/// Lays variables under a service's mapping or list of that key; where there is neither, they become one.
pub(crate) fn lay_under(service: &mut Map, key: &str, under: Map, at: Position) {
    let node = Node::new(at, Value::Map(under));
    let Some(over) = service.entries.iter_mut().find(|entry| entry.key == key && !entry.node.is_nothing()) else {
        service.remove(key);
        service.entries.push(Entry { key: key.to_owned(), at, node });
        return;
    };
    let above = core::mem::replace(&mut over.node, Node::new(at, Value::Nothing));
    let place = above.at;
    if let Some(node) = values(key, node, above, Place::Service) {
        over.node = Node { at: place, ..node };
    }
}

/// Takes away what is marked to go and was laid over nothing.
pub(crate) fn strip(map: &mut Map) {
    map.entries.retain(|entry| entry.node.mark != Mark::Reset);
    map.entries.iter_mut().for_each(|entry| strip_node(&mut entry.node));
}

fn strip_node(node: &mut Node) {
    match &mut node.value {
        Value::Map(map) => strip(map),
        Value::List(list) => {
            list.retain(|node| node.mark != Mark::Reset);
            list.iter_mut().for_each(strip_node);
        }
        Value::Nothing | Value::Text(_) | Value::Broken => {}
    }
}

fn maps(mut base: Map, over: Map, place: Place) -> Map {
    for entry in over.entries {
        let Some(known) = base.entries.iter_mut().find(|known| known.key == entry.key) else {
            base.entries.push(entry);
            continue;
        };
        if place == Place::Names && entry.node.is_nothing() && entry.node.mark == Mark::Merge {
            *known = entry;
            continue;
        }
        let at = known.node.at;
        let below = core::mem::replace(&mut known.node, Node::new(at, Value::Nothing));
        // A single value that is replaced stands where the upper file says; what is merged, where it began.
        let single = !matches!(entry.node.value, Value::Map(_) | Value::List(_) | Value::Nothing);
        match values(&entry.key, below, entry.node, place) {
            Some(node) => {
                known.node = node;
                known.at = if single { entry.at } else { known.at };
            }
            None => {
                base.remove(&entry.key);
            }
        }
    }
    base
}

/// What a key of that place holds once one value is laid over another; none when it goes.
fn values(key: &str, base: Node, over: Node, place: Place) -> Option<Node> {
    match over.mark {
        Mark::Reset => return None,
        Mark::Override => return Some(over),
        Mark::Merge => {}
    }
    if over.is_nothing() {
        return Some(base);
    }
    let inner = place.below(key);
    let (base, over) = match (place, key) {
        (Place::Service, "environment") => (named(base, pair), named(over, pair)),
        (Place::Service, "depends_on" | "networks") => (named(base, name), named(over, name)),
        (Place::Service, "env_file") => (listed(base), listed(over)),
        (Place::Service, "command" | "entrypoint") | (Place::Health, "test") => return Some(over),
        _ => (base, over),
    };
    let Node { at, value, mark } = base;
    let value = match (value, over.value) {
        (Value::Map(base), Value::Map(over)) => Value::Map(maps(base, over, inner)),
        (Value::List(base), Value::List(over)) => Value::List(lists(base, over, identity(place, key))),
        (_, value) => return Some(Node { value, ..over }),
    };
    Some(Node { at, value, mark })
}

/// What tells two entries of a list apart.
type Identity = fn(&Node) -> Option<String>;

fn identity(place: Place, key: &str) -> Identity {
    match (place, key) {
        (Place::Service, "ports") => ports::identity,
        (Place::Service, "volumes") => |node| target(node, ':', 1),
        (Place::Service, "configs" | "secrets") => |node| target(node, '\0', 0),
        _ => |node| node.text().map(str::to_owned),
    }
}

fn lists(mut base: Vec<Node>, over: Vec<Node>, identity: Identity) -> Vec<Node> {
    let mut known: std::collections::BTreeMap<String, usize> =
        base.iter().enumerate().filter_map(|(index, node)| Some((identity(node)?, index))).collect();
    for node in over {
        let key = identity(&node);
        match key.as_ref().and_then(|key| known.get(key)).and_then(|index| base.get_mut(*index)) {
            Some(place) => *place = node,
            None => {
                known.extend(key.map(|key| (key, base.len())));
                base.push(node);
            }
        }
    }
    base
}

/// Where a mount is put: its `target`, else its `source`, else a part of its text.
fn target(node: &Node, separator: char, part: usize) -> Option<String> {
    match &node.value {
        Value::Map(map) => map.get("target").or_else(|| map.get("source"))?.node.text().map(str::to_owned),
        Value::Text(text) => {
            let parts: Vec<&str> = text.text.split(separator).collect();
            parts.get(part).or_else(|| parts.first()).map(|part| (*part).to_owned())
        }
        _ => None,
    }
}

/// A list as the mapping that it stands for; anything else as it is.
fn named(node: Node, entry: fn(&Node) -> Option<Entry>) -> Node {
    let Value::List(list) = &node.value else {
        return node;
    };
    let mut map = Map::default();
    for item in list {
        match entry(item) {
            Some(entry) => {
                map.remove(&entry.key);
                map.entries.push(entry);
            }
            // Whoever reads the key says what is wrong with the list.
            None => return node,
        }
    }
    Node { value: Value::Map(map), ..node }
}

/// `NAME=value`, or a name alone.
fn pair(node: &Node) -> Option<Entry> {
    let text = node.text()?;
    let (key, value) = match text.split_once('=') {
        Some((key, value)) => (key, Node::of_text(node.at, value)),
        None => (text, Node::new(node.at, Value::Nothing)),
    };
    Some(Entry { key: key.to_owned(), at: node.at, node: value })
}

fn name(node: &Node) -> Option<Entry> {
    Some(Entry { key: node.text()?.to_owned(), at: node.at, node: Node::new(node.at, Value::Nothing) })
}

/// A single value as a list of one.
fn listed(node: Node) -> Node {
    match node.value {
        Value::Text(_) => {
            let at = node.at;
            Node::new(at, Value::List(vec![node]))
        }
        _ => node,
    }
}
