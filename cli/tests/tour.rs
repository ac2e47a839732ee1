//! `grange tour`, which `make run` is: what it prints, how it ends, and that it resumes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The longest that a cloud may take until the guestbook is served, on a loaded machine.
const LIMIT: Duration = Duration::from_secs(60);

fn grange(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_grange"));
    command
        .current_dir(home)
        .env("XDG_DATA_HOME", home.join("data"))
        .env("XDG_STATE_HOME", home.join("state"))
        .env_remove("GRANGE_NODE")
        .stdin(Stdio::null());
    command
}

/// Stops the cloud of a home at the end, whatever happens.
struct Stop<'a>(&'a Path);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let _ = grange(self.0).args(["dev", "stop"]).output();
    }
}

struct Tour {
    process: Child,
    lines: mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Tour {
    /// With an app, or outside the repository with the one that comes with the program.
    fn start(home: &Path, app: Option<&Path>) -> Self {
        let mut process =
            grange(home).arg("tour").args(app).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let (sender, lines) = mpsc::channel();
        let output = BufReader::new(process.stdout.take().unwrap());
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Self { process, lines, seen: Vec::new() }
    }

    /// Reads on until a line has these words.
    #[track_caller]
    fn until(&mut self, words: &str) -> String {
        let deadline = Instant::now() + LIMIT;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                let _ = self.process.kill();
                let mut errors = String::new();
                let _ = self.process.stderr.take().unwrap().read_to_string(&mut errors);
                panic!("{words:?} was never said:\n{}\n{errors}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(words) {
                return line;
            }
        }
    }

    /// Ctrl-C: it ends by itself, well, and soon.
    fn interrupt(mut self) {
        // SAFETY: a signal to a child that was not waited for yet.
        assert_eq!(unsafe { libc::kill(self.process.id() as i32, libc::SIGINT) }, 0);
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(5), "it did not end within 5 s of Ctrl-C");
            std::thread::sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), Some(0));
    }
}

impl Drop for Tour {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the command that the tour prints, with a path or an option more.
fn curl(line: &str, path: &str, data: Option<&str>) -> (u16, String) {
    let (_, rest) = line.split_once("'Host: ").unwrap();
    let (host, rest) = rest.split_once('\'').unwrap();
    let url = format!("{}{path}", rest.trim().trim_end_matches('/'));
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(Duration::from_secs(5)));
    let agent = ureq::Agent::new_with_config(config.build());
    let request = ureq::http::Request::builder().uri(url).header("host", host);
    let request = request.method(if data.is_some() { "POST" } else { "GET" });
    let mut response = agent.run(request.body(data.unwrap_or_default().to_owned()).unwrap()).unwrap();
    (response.status().as_u16(), response.body_mut().read_to_string().unwrap())
}

/// Processes of the binary whose command line names a folder.
fn running(home: &Path) -> usize {
    let home = home.to_str().unwrap();
    let names = |entry: std::fs::DirEntry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        [line, environment].iter().any(|text| String::from_utf8_lossy(text).contains(home))
    };
    std::fs::read_dir("/proc").unwrap().flatten().map(names).filter(|found| *found).count()
}

#[test]
fn the_main_job_is_shown_ends_on_ctrl_c_and_resumes() {
    let home = tempfile::tempdir().unwrap();
    let mut tour = Tour::start(home.path(), None);
    tour.until("cloud");
    tour.until("4 operators");
    tour.until("credits/hour");
    tour.until("together");
    for phase in ["upload", "match", "quote", "finalize", "start", "url"] {
        assert!(tour.until(phase).ends_with("ms"), "{phase} has its time");
    }
    tour.until("the leases:");
    tour.until("http://guestbook.localhost:");
    let command = tour.until("curl -H");
    tour.until("on a second operator's disk");
    assert_eq!(curl(&command, "/", None).0, 200);
    assert_eq!(curl(&command, "/entries", None), (200, "[]".into()));
    assert_eq!(curl(&command, "/entries", Some(r#"{"name":"ada","message":"hello"}"#)).0, 201);
    tour.until("paid 0.");
    assert!(running(home.path()) >= 5, "four nodes and the tour itself");
    tour.interrupt();
    assert_eq!(running(home.path()), 0, "no process is left");

    let mut tour = Tour::start(home.path(), Some(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/guestbook")));
    tour.until("already deployed");
    let command = tour.until("curl -H");
    let (status, entries) = curl(&command, "/entries", None);
    assert!(status == 200 && entries.contains("hello"), "{status} {entries}");
    tour.interrupt();

    // In a cloud that runs already a tour is a guest: it goes, also when it is refused, and the cloud stays.
    let exit = |arguments: &[&str]| grange(home.path()).args(arguments).output().unwrap().status.code();
    assert_eq!(exit(&["dev", "--detach"]), Some(0));
    let _stop = Stop(home.path());
    let cloud = running(home.path());
    for refused in [&["tour", "/nowhere"][..], &["tour", "--nodes", "3"]] {
        assert_ne!(exit(refused), Some(0), "{refused:?}");
        assert_eq!(running(home.path()), cloud, "{refused:?}");
    }
    let mut tour = Tour::start(home.path(), None);
    tour.until("the cloud ran before, and goes on");
    tour.until("paid 0.");
    tour.interrupt();
    assert_eq!(running(home.path()), cloud);
    assert_eq!(exit(&["status"]), Some(0));
}
