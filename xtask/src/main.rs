//! Check and print what the workspace promises: tidy, the OpenAPI and the acceptance page.

mod acceptance;
mod guided;
mod tidy;

use std::path::Path;
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy(root),
        Some("openapi") => openapi(root),
        Some("acceptance") => acceptance(root),
        Some("sim") => tool(root, "grange-sim"),
        Some("fuzz") => fuzz(root),
        Some("storm") => storm(root),
        _ => {
            eprintln!("usage: cargo xtask tidy | openapi | acceptance | sim ... | fuzz ... | storm ...");
            ExitCode::from(2)
        }
    }
}

fn tidy(root: &Path) -> ExitCode {
    match tidy::run(root) {
        Ok(findings) if findings.is_empty() => {
            println!("tidy: nothing to mend");
            ExitCode::SUCCESS
        }
        Ok(findings) => {
            for finding in &findings {
                eprintln!("{finding}");
            }
            eprintln!("tidy: {} to mend", findings.len());
            ExitCode::FAILURE
        }
        Err(error) => failed("tidy", &error),
    }
}

fn acceptance(root: &Path) -> ExitCode {
    match acceptance::run(root) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed("acceptance", &error),
    }
}

/// An error and its causes on one line.
fn failed(what: &str, error: &dyn std::error::Error) -> ExitCode {
    let causes = std::iter::successors(Some(error), |error| error.source());
    eprintln!("{what}: {}", causes.map(ToString::to_string).collect::<Vec<_>>().join(": "));
    ExitCode::FAILURE
}

/// Runs a program of the workspace as the whole workspace's build makes it: one of its own would build most dependencies
/// anew, with other features.
fn tool(root: &Path, name: &str) -> ExitCode {
    let mut command = cargo(root);
    command.args(["run", "--quiet", "--bin", name, "--"]).args(std::env::args().skip(2));
    match command.status() {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => failed(name, &error),
    }
}

/// Goes through the targets, or through one of them with libFuzzer.
fn fuzz(root: &Path) -> ExitCode {
    let args: Vec<String> = std::env::args().skip(2).collect();
    match args.split_first() {
        Some((first, rest)) if first == "--guided" => guided::run(root, || cargo(root), rest),
        _ => tool(root, "grange-fuzz"),
    }
}

/// Runs a storm over the program as it is now.
fn storm(root: &Path) -> ExitCode {
    match cargo(root).args(["build", "--quiet", "--bin", "grange"]).status() {
        Ok(status) if status.success() => tool(root, "grange-storm"),
        Ok(_) => ExitCode::FAILURE,
        Err(error) => failed("grange", &error),
    }
}

/// Cargo, in the root.
fn cargo(root: &Path) -> Command {
    command(root, &std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
}

/// A program in the root, without what the cargo that runs this one says of its package: build scripts that look at that
/// would run again each time, and most of the tree be built after them.
fn command(root: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let of_package = |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(of_package) {
            command.env_remove(name);
        }
    }
    command.current_dir(root);
    command
}

fn openapi(root: &Path) -> ExitCode {
    let path = root.join("openapi/grange.json");
    match std::fs::write(&path, grange_api::openapi_json()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("openapi: cannot write {}: {error}", path.display());
            ExitCode::FAILURE
        }
    }
}
