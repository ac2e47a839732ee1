//! The compiler's child process by itself, for tests and benchmarks: `grange-compile compile-component INPUT OUTPUT`.
//!
//! The `grange` binary has the same hidden subcommand; a node runs that one.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    match arguments.as_slice() {
        [command, input, output] if command == "compile-component" => {
            grange_sandbox::run_compile_component(Path::new(input), Path::new(output))
        }
        _ => {
            eprintln!("usage: grange-compile compile-component INPUT OUTPUT");
            ExitCode::from(2)
        }
    }
}
