//! The files that newcomers meet first are read without a word: the examples, and the one in the book.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;

use grange_app::{App, Source, read};

fn silently(file: &str, text: &str) -> App {
    let reading = read(&Source { file, text }, &BTreeMap::new()).unwrap_or_else(|findings| panic!("{findings:#?}"));
    assert_eq!(reading.warnings, []);
    reading.app
}

#[test]
fn the_guestbook_is_read_without_a_word() {
    let app = silently("compose.yaml", include_str!("../../../examples/guestbook/compose.yaml"));
    assert_eq!(app.name, "guestbook");
    assert_eq!(app.services["web"].route.as_deref(), Some("/"));
    assert_eq!(app.services["api"].route.as_deref(), Some("/entries"));
}

#[test]
fn the_example_in_the_book_is_read_without_a_word() {
    let page = grange_app::reference();
    let example = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    assert_eq!(silently("compose.yaml", example).services["api"].replicas, 2);
}
