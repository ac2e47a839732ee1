//! Runs every command of `docs/acceptance.md`, each once, and says what the page says of it.
//!
//! A command `cargo test -p CRATE [--lib | --test FILE] [FILTER ...]` is run by the test programs that one build of the
//! whole workspace made: one cargo for each crate would build most dependencies anew, with other features. Doc tests are
//! the gate's.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use cargo_metadata::{Message, TargetKind};

/// What a command says of something that this machine cannot show, though nothing failed.
const NOT_SHOWN: [&str; 2] = ["SKIPPED", "NOT COVERED"];

/// Why the page could not be gone through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AcceptanceError {
    /// The page cannot be read.
    #[error("cannot read {}", .path.display())]
    Read {
        /// Where it should be.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// Cargo cannot be run.
    #[error("cannot run cargo")]
    Cargo(#[source] std::io::Error),
    /// The tests cannot be built.
    #[error("the tests do not build; `make test` says why")]
    Build,
}

/// One line of the page.
#[derive(Debug, PartialEq, Eq)]
struct Row<'a> {
    promise: &'a str,
    commands: Vec<&'a str>,
    state: &'a str,
}

/// Test programs, each with the folder it runs in, by package and name of the test file; without a name those of the
/// package's library and of its own programs.
type Programs = BTreeMap<(String, String), Vec<(PathBuf, PathBuf)>>;

/// Runs everything; whether every command passed and every line is done.
pub(crate) fn run(root: &Path) -> Result<bool, AcceptanceError> {
    let path = root.join("docs/acceptance.md");
    let page = std::fs::read_to_string(&path).map_err(|source| AcceptanceError::Read { path, source })?;
    let programs = build(root)?;
    let mut ran: BTreeMap<&str, bool> = BTreeMap::new();
    let (mut failed, mut open) = (0, 0);
    for row in rows(&page) {
        let mut passed = true;
        for command in &row.commands {
            if !ran.contains_key(command) {
                let began = Instant::now();
                let ok = execute(root, command, &programs);
                println!("{} {command} ({} s)", if ok { "ok    " } else { "FAILED" }, began.elapsed().as_secs());
                ran.insert(command, ok);
            }
            passed &= ran[command];
        }
        failed += usize::from(!passed);
        if row.state != "done" {
            open += 1;
            println!("open   {}: {}", row.promise, row.state);
        }
    }
    println!("acceptance: {} commands, {failed} lines failed, {open} lines are not done", ran.len());
    Ok(failed == 0 && open == 0)
}

/// The rows of all tables: promise, commands in backticks, state.
fn rows(page: &str) -> Vec<Row<'_>> {
    page.lines().filter_map(row).collect()
}

fn row(line: &str) -> Option<Row<'_>> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let [promise, commands, state] = cells[..] else { return None };
    let heading = promise == "promise" || promise.starts_with("---");
    let commands = commands.split('`').skip(1).step_by(2).collect();
    (!heading).then_some(Row { promise, commands, state })
}

/// Builds every test of the workspace.
fn build(root: &Path) -> Result<Programs, AcceptanceError> {
    println!("building the tests");
    let output = crate::cargo(root)
        .args(["test", "--workspace", "--locked", "--no-run", "--quiet", "--message-format=json"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(AcceptanceError::Cargo)?;
    if !output.status.success() {
        return Err(AcceptanceError::Build);
    }
    let mut programs = Programs::new();
    for message in Message::parse_stream(output.stdout.as_slice()) {
        let Ok(Message::CompilerArtifact(artifact)) = message else { continue };
        let Some(program) = artifact.executable.filter(|_| artifact.profile.test) else { continue };
        let folder = artifact.manifest_path.parent().map(|folder| folder.to_path_buf()).unwrap_or_default();
        let is_file = artifact.target.kind.contains(&TargetKind::Test);
        let name = if is_file { artifact.target.name } else { String::new() };
        let package = package(root, folder.as_std_path());
        let found = programs.entry((package, name)).or_default();
        found.push((program.into_std_path_buf(), folder.into_std_path_buf()));
    }
    Ok(programs)
}

/// The name of the package in a folder, by its manifest.
fn package(root: &Path, folder: &Path) -> String {
    let manifest = std::fs::read_to_string(root.join(folder).join("Cargo.toml")).unwrap_or_default();
    let name = manifest.lines().find_map(|line| line.strip_prefix("name = \""));
    name.and_then(|rest| rest.strip_suffix('"')).unwrap_or_default().to_owned()
}

/// Runs one command; what it prints is shown when it fails.
fn execute(root: &Path, command: &str, programs: &Programs) -> bool {
    let mut processes = test_programs(command, programs);
    if processes.is_empty() {
        let mut shell = crate::command(root, "bash");
        shell.args(["-euo", "pipefail", "-c", command]);
        processes.push(shell);
    }
    let (mut ended_well, mut said, mut complained) = (true, String::new(), String::new());
    for process in &mut processes {
        match process.stdin(Stdio::null()).output() {
            Ok(output) => {
                ended_well &= output.status.success();
                said += &String::from_utf8_lossy(&output.stdout);
                complained += &String::from_utf8_lossy(&output.stderr);
            }
            Err(error) => {
                ended_well = false;
                complained += &format!("{error}\n");
            }
        }
    }
    // A filter that matches no test shows nothing, also beside one that does.
    let idle = idle(command, &said);
    // The gate runs all tests, quietly, and some crates have none.
    let some = !said.contains("running 0 tests") || said.contains(" ... ok");
    let shown = idle.is_empty() && (some || !command.starts_with("cargo test"));
    if !idle.is_empty() {
        complained += &format!("no test that ran has a name with {}\n", idle.join(", "));
    }
    // What a machine cannot show is not shown, though nothing failed.
    let left_out = NOT_SHOWN.iter().any(|word| said.contains(word) || complained.contains(word));
    let ok = ended_well && shown && !left_out;
    if !ok {
        eprintln!("{said}\n{complained}");
    }
    ok
}

/// What a command `cargo test -p CRATE ...` asks for.
#[derive(Debug, Default)]
struct Asked<'a> {
    package: &'a str,
    /// The test file; empty for the library and the programs, `None` for all.
    file: Option<&'a str>,
    /// Parts of the names of the tests.
    filters: Vec<&'a str>,
}

fn asked(command: &str) -> Option<Asked<'_>> {
    let mut words = command.strip_prefix("cargo test -p ")?.split_whitespace();
    let mut asked = Asked { package: words.next().unwrap_or_default(), ..Asked::default() };
    while let Some(word) = words.next() {
        match word {
            "--test" => asked.file = words.next(),
            "--lib" | "--bins" => asked.file = Some(""),
            // What cargo hands on; it takes only one filter itself.
            "--" => {}
            filter => asked.filters.push(filter),
        }
    }
    Some(asked)
}

/// The filters of a command that match none of the tests that ran.
fn idle<'a>(command: &'a str, said: &str) -> Vec<&'a str> {
    let filters = asked(command).unwrap_or_default().filters;
    filters.into_iter().filter(|filter| !ran(said).any(|name| name.contains(filter))).collect()
}

/// The names of the tests that ran, by what their programs printed.
fn ran(said: &str) -> impl Iterator<Item = &str> {
    said.lines().filter_map(|line| {
        let (name, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
        (!result.starts_with("ignored")).then_some(name)
    })
}

/// The programs behind `cargo test -p CRATE ...`: that of a file, or all of the crate; none for any other command.
fn test_programs(command: &str, programs: &Programs) -> Vec<Command> {
    let Some(Asked { package, file, filters }) = asked(command) else { return Vec::new() };
    let is_asked = |name: &str| file.is_none_or(|file| file == name);
    let found = programs.iter().filter(|((of, name), _)| of == package && is_asked(name));
    let run = |(program, folder): &(PathBuf, PathBuf)| {
        let mut process = Command::new(program);
        process.args(&filters).current_dir(folder).env("CARGO_MANIFEST_DIR", folder);
        process
    };
    found.flat_map(|(_, programs)| programs).map(run).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_as_promises_commands_and_states() {
        let page = "# A\n| promise | command | state |\n|---|---|---|\n| it runs | `a b`, `c` | done |\n| it flies | | open |\n";
        let expected = [
            Row { promise: "it runs", commands: vec!["a b", "c"], state: "done" },
            Row { promise: "it flies", commands: vec![], state: "open" },
        ];
        assert_eq!(rows(page), expected);
    }

    #[test]
    fn what_was_skipped_is_not_shown() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let none = Programs::new();
        assert!(execute(root, "echo found nothing", &none));
        for skipped in
            ["echo SKIPPED: no rights", "echo SKIPPED: no rights >&2", "echo NOT COVERED: no strace", "false"]
        {
            assert!(!execute(root, skipped, &none), "{skipped}");
        }
    }

    #[test]
    fn each_filter_has_to_match_a_test_that_ran() {
        let said = "\nrunning 3 tests\ntest trust::a_least ... ok\ntest slow ... ignored\n\
                    test bad - should panic ... ok\n\ntest result: ok. 2 passed; 0 failed\n";
        assert_eq!(ran(said).collect::<Vec<_>>(), ["trust::a_least", "bad - should panic"]);
        for (filters, expected) in [
            ("", &[][..]),
            ("a_least", &[]),
            ("-- trust:: bad", &[]),
            ("-- a_least a_most", &["a_most"]),
            ("-- slow bad", &["slow"]),
            ("-- passed running", &["passed", "running"]),
        ] {
            assert_eq!(idle(&format!("cargo test -p grange-peer --test world {filters}"), said), expected, "{filters}");
        }
        assert!(idle("cargo xtask sim 7", said).is_empty());
    }

    #[test]
    fn a_test_is_run_by_its_program() {
        let key = |file: &str| ("grange".to_owned(), file.to_owned());
        let program = |name: &str| vec![(PathBuf::from(name), PathBuf::from("/cli"))];
        let programs = Programs::from([(key("cloud"), program("/t/cloud")), (key(""), program("/t/grange"))]);
        let [process] = &test_programs("cargo test -p grange --test cloud -- all_may one_", &programs)[..] else {
            panic!("one program")
        };
        assert_eq!(process.get_program(), "/t/cloud");
        assert_eq!(process.get_args().collect::<Vec<_>>(), ["all_may", "one_"]);
        let all = test_programs("cargo test -p grange keys", &programs);
        assert_eq!(all.iter().map(Command::get_program).collect::<Vec<_>>(), ["/t/grange", "/t/cloud"]);
        assert!(test_programs("cargo test -p grange --test dev", &programs).is_empty());
        assert!(test_programs("make test", &programs).is_empty());
    }
}
