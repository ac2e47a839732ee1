//! Ctrl-C during `deploy --json`: one problem on stderr, which says what is true at that time.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};

use serde_json::Value;

/// How far a node comes before it says nothing more.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Silent {
    /// It was asked for a file.
    Before,
    /// It has the order.
    Meanwhile,
    /// It has taken the order and done a step.
    After,
}

/// Speaks HTTP by hand as far as it is told to, says so, and holds the connection.
fn node(mut stream: TcpStream, silent: Silent, told: &Sender<()>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 {
            return;
        }
        let asks_for_a_file = line.starts_with("HEAD");
        while reader.read_line(&mut line).unwrap() > 2 {}
        if asks_for_a_file && silent != Silent::Before {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").unwrap();
            continue;
        }
        if silent == Silent::After {
            let phase = "{\"phase\":\"match\",\"ms\":1}\n";
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
            stream.write_all(format!("{head}{:x}\r\n{phase}\r\n", phase.len()).as_bytes()).unwrap();
        }
        told.send(()).unwrap();
        // Until the other side has gone.
        let _ = reader.read_to_end(&mut Vec::new());
        return;
    }
}

/// Breaks a deployment off when the node falls silent; what is said then.
#[track_caller]
fn check(silent: Silent, expected: &str) {
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, "secret").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let api = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tell = tell.clone();
            std::thread::spawn(move || node(stream.unwrap(), silent, &tell));
        }
    });
    let project = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guestbook");
    let mut deploying = Command::new(env!("CARGO_BIN_EXE_grange"))
        .args(["--json", "--node", &api, "--token-file"])
        .arg(&token)
        .arg("deploy")
        .arg(project)
        .env("XDG_STATE_HOME", home.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    told.recv().unwrap();
    let mut out = BufReader::new(deploying.stdout.take().unwrap());
    let mut line = String::new();
    // What the node did is told by then.
    while silent == Silent::After && !line.contains("match") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended by itself");
    }
    assert!(Command::new("kill").args(["-INT", &deploying.id().to_string()]).status().unwrap().success());
    let output = deploying.wait_with_output().unwrap();
    let problem: Value = serde_json::from_slice(&output.stderr)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    assert_eq!((output.status.code(), problem["exit"].as_u64()), (Some(130), Some(130)), "{problem}");
    assert_eq!((&problem["operation"], &problem["thing"]), (&"deploy".into(), &"guestbook".into()), "{problem}");
    assert!(problem["message"].as_str().unwrap().contains(expected), "{problem}");
    for field in ["code", "remedy"] {
        assert!(problem[field].is_string(), "{field} of {problem}");
    }
    assert!(problem["findings"].is_array(), "{problem}");
}

#[test]
fn who_breaks_a_deployment_off_hears_what_is_true() {
    check(Silent::Before, "before anything was ordered");
    check(Silent::Meanwhile, "was looking at the order");
    check(Silent::After, "goes on deploying guestbook by itself");
}
