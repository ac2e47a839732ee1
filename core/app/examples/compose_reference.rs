//! Prints the book's page about compose files: `docs/src/reference/compose.md`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

fn main() {
    print!("{}", grange_app::reference());
}
