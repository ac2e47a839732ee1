//! Commands and what they print, held against files.
//!
//! A file in `tests/transcripts` is a list of blocks. `+ NAME` writes the lines that follow, each behind `| `, into that
//! file. `$ grange ARGUMENTS` runs the program in a folder of its own; then `> ` is a line of stdout, `! ` one of stderr,
//! and `= CODE` the exit code. `[DIR]` stands for the folder. A transcript asks no node: there is none.
//!
//! `TRANSCRIPTS=write` writes what is printed now into the files, to be read before it is committed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

#[test]
fn transcripts_are_as_printed() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        let expected = fs::read_to_string(&file).unwrap();
        let actual = play(&expected);
        if std::env::var_os("TRANSCRIPTS").is_some_and(|wish| wish == "write") {
            fs::write(&file, &actual).unwrap();
        }
        assert!(expected == actual, "{} is now:\n{actual}", file.display());
    }
}

/// Plays a transcript and gives it back as it went.
fn play(transcript: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    // The name by which programs know the folder they are in.
    let folder = home.path().canonicalize().unwrap();
    let mut actual = String::new();
    let mut written: Option<PathBuf> = None;
    for line in transcript.lines() {
        if let Some(name) = line.strip_prefix("+ ") {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(&file, "").unwrap();
            written = Some(file);
        } else if let Some(text) = line.strip_prefix('|') {
            let file = written.as_ref().expect("a file was named");
            let text = text.strip_prefix(' ').unwrap_or(text);
            fs::write(file, fs::read_to_string(file).unwrap() + text + "\n").unwrap();
        } else if let Some(command) = line.strip_prefix("$ grange") {
            actual += &format!("{line}\n{}", run(command, &folder));
            continue;
        } else if line.starts_with(['>', '!', '=']) {
            continue;
        }
        actual += &format!("{line}\n");
    }
    actual
}

fn run(arguments: &str, folder: &Path) -> String {
    let home = folder.join("home");
    let output = Command::new(env!("CARGO_BIN_EXE_grange"))
        .args(arguments.split_ascii_whitespace())
        .current_dir(folder)
        .env_clear()
        .env("HOME", &home)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = |mark: &str, bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap().replace(&*folder.to_string_lossy(), "[DIR]");
        text.lines().map(|line| format!("{mark} {line}").trim_end().to_owned() + "\n").collect::<String>()
    };
    let code = output.status.code().expect("it ended by itself");
    format!("{}{}= {code}\n", text(">", &output.stdout), text("!", &output.stderr))
}
