//! The book's page about compose files and the schema for editors are the reader's own table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[track_caller]
fn check(file: &str, printed: &str, argument: &str) {
    let path = format!("{}/../../docs/src/reference/{file}", env!("CARGO_MANIFEST_DIR"));
    let kept = std::fs::read_to_string(path).expect("the file is there");
    let remedy = format!("cargo run -p grange-app --example compose_reference{argument} > docs/src/reference/{file}");
    assert!(kept == printed, "the file differs from the table; run: {remedy}");
}

#[test]
fn the_page_is_printed_from_the_table() {
    check("compose.md", &grange_app::reference(), "");
}

#[test]
fn the_schema_is_printed_from_the_table() {
    check("x-grange.schema.json", &grange_app::schema(), " -- schema");
}
