//! Prints the book's page about compose files, `docs/src/reference/compose.md`, or with `schema` the JSON Schema beside it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

fn main() {
    let schema = std::env::args().nth(1).is_some_and(|word| word == "schema");
    print!("{}", if schema { grange_app::schema() } else { grange_app::reference() });
}
