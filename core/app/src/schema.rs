//! Prints the table of keys for editors: a JSON Schema (draft 7, which YAML language servers complete from).
//!
//! It takes every file that the reader takes, and refuses keys that the reader does not know or refuses. What only
//! the reader can judge (paths, hosts, names that must agree) passes. A file that is laid over another, included or
//! extended is no whole app, so no key is required.

use serde_json::{Map, Value, json};

use crate::table::{Inner, Key, Level, TOP, Takes, Verdict};

/// A variable in a text; with one, a text may become anything.
const VARIABLE: &str = "[$]";

/// The JSON Schema of a compose file with `x-grange`, indented, with a line feed at its end.
#[must_use]
pub fn schema() -> String {
    let mut definitions = Map::new();
    let root = level(&TOP, &mut definitions);
    let mut schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "A compose file for Grange",
        "type": "object",
        "definitions": definitions,
    });
    if let (Some(schema), Value::Object(root)) = (schema.as_object_mut(), root) {
        schema.extend(root);
    }
    // A tree of texts and numbers alone always has its JSON.
    format!("{schema:#}\n")
}

/// What holds of a mapping of this level; of what is no mapping it says nothing.
fn level(current: &'static Level, definitions: &mut Map<String, Value>) -> Value {
    let mut properties: Map<String, Value> =
        current.keys.iter().map(|one| (one.name.to_owned(), key(one, definitions))).collect();
    // Our own key has no effect where the table does not have it.
    properties.entry("x-grange").or_insert(Value::Bool(false));
    let mut rules = json!({
        "properties": properties,
        "patternProperties": { "^x-": true },
        "additionalProperties": false,
    });
    if current.path == "services.*.x-grange" {
        rules["not"] = json!({ "required": ["wasm", "site"] });
    }
    rules
}

/// A reference to the rules of a level, which are written once.
fn reference(inner: &'static Level, definitions: &mut Map<String, Value>) -> Value {
    if !definitions.contains_key(inner.path) {
        // The name is taken first, so that a level inside itself ends.
        definitions.insert(inner.path.to_owned(), Value::Null);
        let rules = level(inner, definitions);
        definitions.insert(inner.path.to_owned(), rules);
    }
    json!({ "$ref": format!("#/definitions/{}", inner.path.replace(' ', "%20")) })
}

fn key(key: &Key, definitions: &mut Map<String, Value>) -> Value {
    let inner = match key.inner {
        Inner::Leaf => None,
        Inner::Keys(inner) | Inner::Named(inner) => Some(reference(inner, definitions)),
    };
    let (text, mut rules) = match key.verdict {
        Verdict::Honoured(text) => (text.to_owned(), takes(key.takes, inner)),
        Verdict::Accepted(why) => {
            let mut rules = anything(key.inner, inner);
            rules["deprecationMessage"] = json!(format!("no effect: {why}"));
            (format!("no effect: {why}"), rules)
        }
        Verdict::Shared => return anything(key.inner, inner),
        Verdict::Refused(why) => {
            let mut rules = agreeing(key.agrees);
            rules["errorMessage"] = json!(why);
            rules["doNotSuggest"] = json!(key.agrees.is_empty());
            (format!("refused: {why}"), rules)
        }
    };
    rules["description"] = json!(text);
    rules
}

/// Only the words with which a refused key passes, and nothing at all.
fn agreeing(agrees: &[&str]) -> Value {
    let mut allowed = vec![json!({ "type": "null" })];
    for word in agrees {
        // In either case, as the reader takes them.
        let letters = |letter: char| format!("[{}{}]", letter.to_ascii_lowercase(), letter.to_ascii_uppercase());
        let pattern: String = word
            .chars()
            .map(|letter| if letter.is_ascii_alphabetic() { letters(letter) } else { letter.to_string() })
            .collect();
        allowed.push(json!({ "type": "string", "pattern": format!("^{pattern}$|{VARIABLE}") }));
        if let Ok(switch) = word.parse::<bool>() {
            allowed.push(json!({ "const": switch }));
        }
    }
    json!({ "anyOf": allowed })
}

/// Any value, in which the keys of a level are still known ones.
fn anything(shape: Inner, inner: Option<Value>) -> Value {
    match (shape, inner) {
        (Inner::Keys(_), Some(inner)) => json!({ "allOf": [inner.clone(), { "items": inner }] }),
        (Inner::Named(_), Some(inner)) => json!({ "additionalProperties": inner }),
        _ => json!({}),
    }
}

/// What lists and mappings look like; the rest is [`single`].
fn takes(takes: Takes, inner: Option<Value>) -> Value {
    let inner = inner.unwrap_or_else(|| json!({}));
    let text = json!({ "type": ["string", "number", "boolean"] });
    let mapping = json!({ "type": ["object", "null"], "allOf": [inner.clone()] });
    let item = json!({ "type": ["string", "number", "boolean", "object"], "allOf": [inner.clone()] });
    match takes {
        Takes::Texts => json!({ "type": ["array", "null"], "items": text }),
        Takes::TextOrTexts => json!({ "type": ["string", "number", "boolean", "array", "null"], "items": text }),
        Takes::Variables => json!({
            "type": ["object", "array", "null"],
            "additionalProperties": { "type": ["string", "number", "boolean", "null"] },
            "items": text,
        }),
        Takes::Mapping => mapping,
        Takes::Services => json!({
            "type": ["object", "null"],
            "propertyNames": { "pattern": "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$" },
            "additionalProperties": mapping,
        }),
        Takes::Named => json!({ "type": ["object", "null"], "additionalProperties": mapping }),
        Takes::TextOrMapping => {
            json!({ "type": ["string", "number", "boolean", "object", "null"], "allOf": [inner] })
        }
        Takes::Items => json!({ "type": ["array", "null"], "items": item }),
        Takes::TextOrItems => json!({ "type": ["string", "number", "boolean", "array", "null"], "items": item }),
        Takes::NamesOrMappings => json!({
            "type": ["object", "array", "null"],
            "additionalProperties": mapping,
            "items": text,
        }),
        single_value => single(single_value),
    }
}

/// What a single value looks like. A pattern says nothing of numbers, which some texts look like.
fn single(takes: Takes) -> Value {
    const SWITCH: &str = "[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]|[yY]([eE][sS])?|[nN][oO]?|[oO][nN]|[oO][fF][fF]|[01]";
    let form = |pattern: &str, kinds: &[&str]| {
        let kinds: Vec<&str> = kinds.iter().copied().chain(["string", "null"]).collect();
        json!({ "type": kinds, "pattern": format!("^({pattern})$|{VARIABLE}") })
    };
    let within = |mut rules: Value, bounds: &[(&str, u32)]| {
        for (name, bound) in bounds {
            rules[*name] = json!(bound);
        }
        rules
    };
    match takes {
        Takes::Text => json!({ "type": ["string", "number", "boolean", "null"] }),
        Takes::Form(pattern) => form(pattern, &["number", "boolean"]),
        Takes::Word(words) => json!({
            "anyOf": [{ "enum": words }, { "type": "null" }, { "type": "string", "pattern": VARIABLE }],
        }),
        Takes::Switch => form(SWITCH, &["boolean", "integer"]),
        Takes::Whole { least, most } => within(form("[0-9]+", &["integer"]), &[("minimum", least), ("maximum", most)]),
        Takes::Amount => within(form("[0-9]{1,20}([.][0-9]{1,12})?", &["number"]), &[("minimum", 0)]),
        Takes::Processors => {
            let bounds = [("exclusiveMinimum", 0), ("maximum", crate::limits::PROCESSORS)];
            within(form("[0-9]+([.][0-9]+)?", &["number"]), &bounds)
        }
        Takes::Size => form("[0-9]+([.][0-9]+)? *([kKmMgGtT]([iI]?[bB])?|[bB])?", &["number"]),
        Takes::Time => form("([0-9]+([.][0-9]+)?(ms|us|µs|h|m|s))+", &[]),
        // What has no effect may be anything; lists and mappings never come here.
        _ => json!({}),
    }
}

#[cfg(test)]
mod tests;
