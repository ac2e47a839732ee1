//! A storm of a user who may do nothing on the machine but make namespaces, and of one who may not even do that.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(dead_code, reason = "each test binary uses a part of it")]
mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use support::{below, grange};

/// The user whom root becomes; others stay who they are.
const NOBODY: u32 = 65_534;

/// Such a user, with a folder of his own.
struct User {
    folder: tempfile::TempDir,
    id: u32,
}

impl User {
    fn new() -> Self {
        let (folder, own) = (tempfile::tempdir().unwrap(), rustix::process::geteuid());
        if own.is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        }
        let user = Self { folder, id: if own.is_root() { NOBODY } else { own.as_raw() } };
        user.give(Path::new(env!("CARGO_BIN_EXE_grange-storm")));
        user
    }

    /// Puts a program where he may run it, wherever it was built.
    fn give(&self, program: &Path) {
        let to = self.at(program.file_name().unwrap().to_str().unwrap());
        fs::copy(program, &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A command that he types in his folder.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new("setpriv");
        if rustix::process::geteuid().is_root() {
            command.args(["--reuid", &self.id.to_string(), "--regid", &self.id.to_string(), "--clear-groups"]);
        }
        command.arg("--no-new-privs").arg(program.as_ref()).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// The arguments of the shortest storm, one that begins with the death of all five.
    fn shortest(&self) -> Vec<String> {
        let path = |name: &str| self.at(name).display().to_string();
        ["5", "--for", "5", "--grange", &path("grange"), "--logs", &path("logs")].map(str::to_owned).into()
    }
}

/// Who a process is for the machine: its user ids.
fn user_ids(pid: u32) -> Vec<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
    line.split_whitespace().map(|id| id.parse().unwrap()).collect()
}

/// The storm's process inside stands in none of our namespaces, and nobody of it is more than that user.
fn is_apart(storm: u32, user: u32) {
    let all = below(storm);
    let name = |pid: u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let inside = all.iter().find(|pid| name(**pid).trim() == "grange-storm");
    let inside = inside.unwrap_or_else(|| panic!("none of {all:?} is inside"));
    for kind in ["user", "net", "mnt", "pid"] {
        let space = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_ne!(space(&inside.to_string()), space("self"), "{kind}");
    }
    assert!(all.len() >= 2, "itself and what it runs: {all:?}");
    for pid in all {
        assert!(user_ids(pid).iter().all(|id| *id == user), "{pid} is {:?}", user_ids(pid));
    }
}

/// Says so past the test program, which keeps to itself what a test that passes prints.
fn skipped(said: &str) {
    drop(writeln!(std::io::stderr(), "{said}"));
}

#[test]
fn a_user_without_rights_has_a_storm_in_namespaces_of_his_own() {
    let user = User::new();
    user.give(&grange());
    let mut storm = user.command(user.at("grange-storm")).args(user.shortest()).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    for line in BufReader::new(storm.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if line.contains("all are killed with -9") {
            is_apart(storm.id(), user.id);
        }
        said.push_str(&line);
        said.push('\n');
    }
    let status = storm.wait().unwrap();
    if said.starts_with("SKIPPED") {
        return skipped(&said);
    }
    assert!(status.success() && said.contains("storm 5: ok"), "{said}");
    assert!(said.contains("all are killed with -9") && said.contains("entries: "), "{said}");
    assert_eq!(fs::read_dir(user.at("logs")).unwrap().count(), 0, "what he was shown well needs no logs");
}

#[test]
fn where_no_namespaces_can_be_made_it_says_what_allows_them() {
    let user = User::new();
    // Inside of a namespace below which there is room for one more, which is where he stands.
    let cage =
        "echo 1 > /proc/sys/user/max_user_namespaces && exec unshare --user --map-user=1000 --map-group=1000 \"$@\"";
    for soak in [false, true] {
        let mut command = user.command("unshare");
        command.args(["--user", "--map-root-user", "sh", "-c", cage, "sh"]).arg(user.at("grange-storm"));
        let arguments = user.shortest();
        let output = if soak { command.args(["--soak", "5"]).args(&arguments[3..]) } else { command.args(&arguments) };
        let output = output.env_remove("CI").output().unwrap();
        let (said, problem) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        if problem.contains("unshare failed") && said.is_empty() {
            return skipped(&format!("SKIPPED: not even the cage can be made here: {problem}"));
        }
        assert!(said.starts_with("SKIPPED: real faults are not tested: "), "{said} {problem}");
        assert!(said.contains("namespaces") && said.contains("\nhelp: run it as root"), "{said}");
        assert!(output.status.success(), "a machine that allows none is no failure: {said}");
        assert_eq!((said.lines().count(), &*problem), (2, ""), "and nothing is said to have been done: {said}");
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_told_with_the_option_that_names_another() {
    let user = User::new();
    fs::write(user.at("grange"), "").unwrap();
    let mut arguments = user.shortest();
    *arguments.last_mut().unwrap() = "/proc/logs".into();
    let output = user.command(user.at("grange-storm")).args(&arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    if said.starts_with("SKIPPED") {
        return skipped(&said);
    }
    assert!(said.contains("cannot make /proc/logs/seed-5") && said.contains("--logs"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
