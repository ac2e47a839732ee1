//! The book's page about compose files is the reader's own table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[test]
fn the_page_is_printed_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/src/reference/compose.md");
    let page = std::fs::read_to_string(path).expect("the page is there");
    let remedy = "cargo run -p grange-app --example compose_reference > docs/src/reference/compose.md";
    assert!(page == grange_app::reference(), "the page differs from the table; run: {remedy}");
}
