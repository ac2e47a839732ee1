//! Check and print what the workspace promises: tidy, the OpenAPI and the acceptance page.

mod acceptance;
mod tidy;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    match std::env::args().nth(1).as_deref() {
        Some("tidy") => tidy(root),
        Some("openapi") => openapi(root),
        Some("acceptance") => acceptance(root),
        _ => {
            eprintln!("usage: cargo xtask tidy | openapi | acceptance");
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
