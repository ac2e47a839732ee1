//! A log that is followed to its end.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::support::{Cloud, text, until};

/// Follows the log of the shop, until its first line is there.
fn follow(cloud: &Cloud, arguments: &[&str]) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut command = cloud.command(&[&["logs", "-f", "shop"], arguments].concat());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    lines.read_line(&mut first).unwrap();
    assert!(first.contains("nothing is at /first"), "{first}");
    (child, lines)
}

/// What it wrote after the first line, to both streams, once it has ended by itself.
#[track_caller]
fn rest(mut child: Child, mut lines: BufReader<std::process::ChildStdout>) -> (String, String) {
    until("it ends by itself", Duration::from_secs(30), || child.try_wait().unwrap().is_some());
    let (mut out, mut err) = (String::new(), Vec::new());
    lines.read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_end(&mut err).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{}", text(&err));
    (out, text(&err))
}

#[test]
fn whoever_follows_a_log_is_told_when_what_wrote_it_is_removed() {
    let cloud = Cloud::start(4);
    let folder = cloud.root.path().join("shop");
    let folder = folder.to_str().unwrap();
    cloud.json(&["init", "--template", "js", folder]);
    cloud.json(&["deploy", folder]);
    assert_eq!(cloud.get(1, "shop", "/first").0, 404);
    let (plain, json) = (follow(&cloud, &[]), follow(&cloud, &["--json"]));

    let unknown = cloud.problem(&["logs", "shop", "--service", "nope"]);
    assert_eq!((&unknown["code"], &unknown["thing"]), (&"not-found".into(), &"nope".into()), "{unknown}");
    assert_eq!(unknown["message"], "shop has no service nope; its services are web", "{unknown}");
    assert!(unknown["remedy"].as_str().unwrap().contains("`grange ps shop`"), "{unknown}");

    assert_eq!(cloud.get(1, "shop", "/last").0, 404);
    cloud.json(&["down", "shop", "--yes"]);
    let (out, err) = rest(plain.0, plain.1);
    assert!(out.contains("web.0 nothing is at /last"), "what it wrote at last is there: {out}");
    assert_eq!(err.lines().last(), Some("shop was removed: its log ends here"), "{err}");
    let (out, err) = rest(json.0, json.1);
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert!(last["text"].as_str().unwrap().contains("nothing is at /last"), "{out}");
    assert_eq!(last["stream"], "stdout", "{last}");
    assert_eq!(err, "", "scripts read lines, and know the end by the exit code");
    assert_eq!(cloud.problem(&["logs", "-f", "shop"])["code"], "not-found", "what is not there is not followed");
}
