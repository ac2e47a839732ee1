//! The tree as a whole: what is nothing, what merges, what is refused, and where text stands.

use super::*;
use crate::finding::Findings;

/// The tree on one line, and the findings.
fn tree(text: &str) -> (String, Vec<String>) {
    let mut findings = Findings::default();
    let map = parse(text, 0, &mut Room::default(), &mut findings);
    let shown = map.map(|map| show(&Value::Map(map))).unwrap_or_default();
    let findings = findings.finish(&["f".to_owned()]).iter().map(|finding| finding.to_string()).collect();
    (shown, findings)
}

fn show(value: &Value) -> String {
    match value {
        Value::Nothing => "-".to_owned(),
        Value::Broken => "!".to_owned(),
        Value::Text(text) => format!("{:?}", text.text),
        Value::List(list) => {
            format!("[{}]", list.iter().map(|node| show(&node.value)).collect::<Vec<_>>().join(" "))
        }
        Value::Map(map) => {
            let entries = map.entries.iter().map(|entry| format!("{}={}", entry.key, show(&entry.node.value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(" "))
        }
    }
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(tree(text), (expected.to_owned(), Vec::new()), "{text}");
}

#[track_caller]
fn refuse(text: &str, expected: &str) {
    assert_eq!(tree(text).1, [expected], "{text}");
}

#[test]
fn values_keep_their_text() {
    check("a: 0x10\nb: 1.0\nc: yes\nd: '1'\ne: \"t\\te\"", r#"{a="0x10" b="1.0" c="yes" d="1" e="t\te"}"#);
    check("a: |\n  x\n  y\nb: >-\n  x\n  y\n", r#"{a="x\ny\n" b="x y"}"#);
    check("22:22: 22:22\n", r#"{22:22="22:22"}"#);
}

#[test]
fn only_plain_empty_values_are_nothing() {
    check("a:\nb: ~\nc: null\nd: NULL\n", "{a=- b=- c=- d=-}");
    check(
        "a: ''\nb: '~'\nc: \"null\"\nd: !!str\ne: !!str null\nf: ! null\n",
        r#"{a="" b="~" c="null" d="" e="null" f="null"}"#,
    );
    check("{a, b: }", "{a=- b=-}");
}

#[test]
fn written_keys_win_over_merged_ones_and_earlier_mappings_over_later_ones() {
    check("x: &x {a: 1, b: 1}\ny: {<<: *x, b: 2}\n", r#"{x={a="1" b="1"} y={b="2" a="1"}}"#);
    check("y: {<<: [{a: 1}, {a: 2, b: 2}]}\n", r#"{y={a="1" b="2"}}"#);
    check("x: &x {a: 1}\ny: &y {<<: *x, b: 1}\nz: {<<: *y}\n", r#"{x={a="1"} y={b="1" a="1"} z={b="1" a="1"}}"#);
    check("y: {'<<': {a: 1}}\n", r#"{y={<<={a="1"}}}"#);
}

#[test]
fn aliases_repeat_any_value_also_as_a_key() {
    check("a: &a [1, &b two]\nc: *a\nd: *b\n", r#"{a=["1" "two"] c=["1" "two"] d="two"}"#);
    check("&k key: &v value\nx: {*k : *v}\n", r#"{key="value" x={key="value"}}"#);
    // The later of two anchors of one name counts.
    check("a: &a 1\nb: &a 2\nc: *a\n", r#"{a="1" b="2" c="2"}"#);
}

#[test]
fn what_is_no_tree_of_named_values_is_refused() {
    refuse("{a: 1, a: 2}", "f:1:8: the key `a` is already on line 1");
    refuse("x: &k a\na: 1\n*k : 2\n", "f:3:1: the key `a` is already on line 2");
    refuse("? {a: b}\n: c\n", "f:1:3: a key is text, not a mapping");
    refuse("x: &x [a]\n*x : b\n", "f:2:1: a key is text, not a list");
    refuse("&x a: *x\n? *x\n", "f:2:3: the key `a` is already on line 1");
    refuse("a: &a {b: *a}\n", "f:1:11: the alias stands inside the value that it names");
    refuse("a: {<<: ~}\n", "f:1:9: a merge takes a mapping or a list of mappings, not nothing");
    refuse("a: !include b\n", "f:1:4: the tag `!include` is not understood; remove it");
    refuse("~", "f:1:1: the file is empty");
}

#[test]
fn the_place_inside_a_text_is_known_where_it_stands_as_written() {
    let inside = |text: &str| {
        let map = parse(text, 0, &mut Room::default(), &mut Findings::default()).unwrap_or_default();
        match map.entries.first().map(|entry| entry.node.value.clone()) {
            Some(Value::Text(text)) => text.inside,
            _ => None,
        }
    };
    assert_eq!(inside("a: plain"), Some(0));
    assert_eq!(inside("é: 'ü'"), Some(1));
    assert_eq!(inside("é: \"ü\"\r\n"), Some(1));
    assert_eq!(inside("a: 'it''s'"), None);
    assert_eq!(inside("a: \"\\u0041\""), None);
    assert_eq!(inside("a: |\n  b\n"), Some(0));
    assert_eq!(inside("a: |\n  b\n  c\n"), None);
    assert_eq!(inside("a: two\n  lines\n"), None);
}
