//! Any target of `grange-fuzz` under libFuzzer; the variable `GRANGE_FUZZ` names it.

#![no_main]

use std::sync::LazyLock;

use grange_fuzz::{TARGETS, Target};
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("GRANGE_FUZZ").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        eprintln!("GRANGE_FUZZ is {name:?}, which is no target; set it to one of {}", names.join(", "));
        std::process::exit(2)
    })
});

fuzz_target!(
    // The name is read once, before the first input.
    init: {
        LazyLock::force(&TARGET);
    },
    |bytes: &[u8]| {
        (TARGET.run)(bytes);
    }
);
