//! The guide's commands, as a newcomer types them: read from the page, run in its order, in a shell.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::{Command, Stdio};

/// The commands of a page: the lines of its fenced blocks that are of no other language.
fn commands(page: &str) -> Vec<&str> {
    let mut inside = false;
    let mut commands = Vec::new();
    for line in page.lines() {
        if line.starts_with("```") {
            inside = line == "```" && !inside || line == "```sh";
        } else if inside && !line.trim().is_empty() {
            commands.push(line);
        }
    }
    commands
}

#[test]
fn every_command_of_the_guide_works() {
    let home = tempfile::tempdir().unwrap();
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/guide/first-app.md");
    let page = std::fs::read_to_string(page).unwrap();
    let binary = Path::new(env!("CARGO_BIN_EXE_grange")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let run = |line: &str| {
        let output = Command::new("sh")
            .args(["-ec", line])
            .current_dir(home.path())
            .env("PATH", &path)
            .env("XDG_DATA_HOME", home.path().join("data"))
            .env("XDG_STATE_HOME", home.path().join("state"))
            .env_remove("GRANGE_NODE")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&text).into_owned())
    };
    let commands = commands(&page);
    assert!(commands.len() >= 12, "{commands:?}");
    let mut said = String::new();
    for line in commands {
        // The binary that is tested is already built. The page is asked for with what the machine has.
        if line == "make install" || (line.starts_with("curl ") && run("command -v curl").0 != Some(0)) {
            println!("left out on this machine: {line}");
            continue;
        }
        let (code, text) = run(line);
        if code != Some(0) {
            let _ = run("grange dev stop");
            panic!("{line}: {code:?}\n{text}");
        }
        said += &format!("$ {line}\n{text}");
    }
    // What one sees, and what the page says that one sees.
    for words in ["mysite is deployed", "Hello from a cloud of my own", "nothing changed", "total", "budget"] {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
}
