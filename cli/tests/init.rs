//! `init --template js`: what it writes deploys as it is, and what its author changes is what is served.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The longest that anything here may take on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

/// A cloud of one node in a home of its own, stopped at the end, whatever happens.
struct Cloud {
    home: tempfile::TempDir,
    gateway: String,
}

impl Cloud {
    fn start() -> Self {
        let mut cloud = Self { home: tempfile::tempdir().unwrap(), gateway: String::new() };
        let made = cloud.json(&["dev", "--nodes", "1", "--detach"]);
        cloud.gateway = made["nodes"][0]["gateway"].as_str().unwrap().to_owned();
        cloud
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_grange"));
        command
            .args(arguments)
            .env_remove("GRANGE_NODE")
            .env("XDG_DATA_HOME", self.home.path().join("data"))
            .env("XDG_STATE_HOME", self.home.path().join("state"))
            .stdin(Stdio::null());
        command
    }

    /// The last line that a command with `--json` prints; it must succeed, and warn of nothing.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        last(&self.command(&[arguments, &["--json"]].concat()).output().unwrap())
    }

    /// The project's folder, and its compose file.
    fn project(&self, name: &str) -> (String, PathBuf) {
        let folder = self.home.path().join(name);
        (folder.to_str().unwrap().to_owned(), folder.join("compose.yaml"))
    }

    /// One request through the gateway: its status, or 0, and the body.
    fn get(&self, name: &str, path: &str) -> (u16, String) {
        let config =
            ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(10)));
        let agent = ureq::Agent::new_with_config(config.build());
        match agent.get(format!("{}{path}", self.gateway)).header("host", format!("{name}.localhost")).call() {
            Ok(mut response) => (response.status().as_u16(), response.body_mut().read_to_string().unwrap_or_default()),
            Err(error) => (0, error.to_string()),
        }
    }

    /// Waits until a path answers so: a new revision takes over after the old one.
    #[track_caller]
    fn serves(&self, name: &str, path: &str, expected: (u16, &str)) {
        let began = Instant::now();
        loop {
            let (status, body) = self.get(name, path);
            if status == expected.0 && body.contains(expected.1) {
                return;
            }
            assert!(began.elapsed() < LIMIT, "{path} answers {status} {body:?}, not {expected:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        let _ = self.command(&["dev", "stop"]).output();
    }
}

#[track_caller]
fn last(output: &Output) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{out} {err}");
    serde_json::from_str(out.lines().last().unwrap()).unwrap_or_else(|_| serde_json::from_str(&out).unwrap())
}

#[test]
fn a_service_in_javascript_deploys_as_it_is_written_and_as_it_is_changed() {
    let cloud = Cloud::start();
    let (folder, compose) = cloud.project("shop");
    cloud.json(&["init", "--template", "js", &folder]);
    assert_eq!(cloud.json(&["deploy", &folder])["changed"], true);
    let (status, body) = cloud.get("shop", "/");
    assert!(status == 200 && body.contains("<h1>shop</h1>"), "{status} {body}");
    assert_eq!(cloud.get("shop", "/count"), (200, r#"{"count":1}"#.into()));
    assert_eq!(cloud.get("shop", "/count"), (200, r#"{"count":2}"#.into()), "it is kept from one request to the next");

    // An edit of the script is what is served, and what it throws is its author's business.
    let written = fs::read_to_string(&compose).unwrap();
    let route = r#"if (url.pathname === "/count")"#;
    assert!(written.contains(route), "{written}");
    let boom = r#"if (url.pathname === "/boom") throw new Error("the shelf fell over");"#;
    let edited = written.replace(route, &format!("{boom}\n            {route}")).replace("It can", "It could");
    fs::write(&compose, edited).unwrap();
    assert_eq!(cloud.json(&["deploy", &folder])["changed"], true);
    cloud.serves("shop", "/", (200, "It could"));
    let (status, body) = cloud.get("shop", "/boom");
    assert!(status == 500 && !body.contains("shelf"), "{status} {body}");
    assert_eq!(cloud.get("shop", "/elsewhere").0, 404, "one failed request is not the next one's");
    let log = cloud.command(&["logs", "shop"]).output().unwrap();
    let log = String::from_utf8_lossy(&log.stdout);
    assert!(log.contains("Error: the shelf fell over") && log.contains("script.js:5:"), "{log}");
    assert!(log.contains("nothing is at /elsewhere"), "{log}");
}

#[test]
fn a_script_may_stand_in_a_file_of_its_own() {
    let cloud = Cloud::start();
    let (folder, compose) = cloud.project("own");
    cloud.json(&["init", "--template", "js", &folder]);
    let written = fs::read_to_string(&compose).unwrap();
    let (before, _) = written.split_once("SCRIPT: |").unwrap();
    fs::write(&compose, format!("{before}SCRIPT:\n      GREETING: hello\n")).unwrap();
    // What comes from outside is taken as it is: a dollar is a dollar.
    let script = "export default { fetch: (request, env) => new Response(`${env.GREETING} ${request.method}`) };";
    let output = cloud.command(&["deploy", &folder, "--json"]).env("SCRIPT", script).output().unwrap();
    assert_eq!(last(&output)["changed"], true);
    assert_eq!(cloud.get("own", "/"), (200, "hello GET".into()));
}
