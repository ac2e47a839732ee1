//! Asks the linker for a smaller stack than the usual MiB: an instance's memory is counted against its replica's from
//! the start, stack included, and `STACK_BYTES` in `src/engine.rs` ends scripts that go deeper than half of this.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-link-arg-cdylib=-zstack-size={}", 256 << 10);
}
