//! Waits until a URL of a deployment answers.

use std::thread;
use std::time::{Duration, Instant};

use grange_api::{Problem, ProblemCode};
use ureq::Agent;

use crate::output::Output;

/// How long a deployment's URL may take to answer once its leases are final.
const LIMIT: Duration = Duration::from_secs(30);
/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(10);
/// How long to wait before asking again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);
/// After this, and each time as long, who waits is told for what.
const TELL: Duration = Duration::from_secs(2);

/// Where a URL leads: the gateway on this machine, and the name it is asked by.
#[derive(Debug, PartialEq, Eq)]
struct Target {
    url: String,
    host: Option<String>,
}

/// Waits until a URL answers with a status below 500 that is the app's own, and gives that status.
pub(crate) fn wait(agent: &Agent, url: &str, name: &str, output: Output) -> Result<u16, Problem> {
    let target = target(url);
    let began = Instant::now();
    let (mut told, mut pause) = (began, FIRST_PAUSE);
    loop {
        let reason = match ask(agent, &target) {
            Ok(status) => return Ok(status),
            Err(reason) => reason,
        };
        if began.elapsed() >= LIMIT {
            let message = format!("no answer within {} s: {reason}", LIMIT.as_secs());
            return Err(Problem::new(ProblemCode::Timeout, "deploy", url, message)
                .with_remedy(format!(
                    "`grange logs {name}` and `grange ps {name}` show why; mend it and deploy again, or deploy the file of before"
                )));
        }
        if told.elapsed() >= TELL {
            told = Instant::now();
            let (seconds, limit) = (began.elapsed().as_secs(), LIMIT.as_secs());
            output.progress(&format!("waiting for {url}: {reason} ({seconds} s of at most {limit} s)"));
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// A name below `localhost` is this machine, whether or not its resolver knows.
fn target(url: &str) -> Target {
    let direct = || Target { url: url.to_owned(), host: None };
    let Some((host, path)) = url.strip_prefix("http://").map(|rest| rest.split_once('/').unwrap_or((rest, ""))) else {
        return direct();
    };
    let (name, port) = host.split_once(':').unwrap_or((host, "80"));
    if !name.ends_with(".localhost") {
        return direct();
    }
    Target { url: format!("http://127.0.0.1:{port}/{path}"), host: Some(host.to_owned()) }
}

fn ask(agent: &Agent, target: &Target) -> Result<u16, String> {
    let mut request = agent.get(&target.url).header("accept", "application/problem+json, */*;q=0.9");
    if let Some(host) = &target.host {
        request = request.header("host", host);
    }
    let response = request.config().timeout_global(Some(ANSWER)).build().call();
    let mut response = response.map_err(|error| match error {
        ureq::Error::Timeout(_) => format!("it does not answer within {} s", ANSWER.as_secs()),
        error => error.to_string(),
    })?;
    let status = response.status().as_u16();
    // The gateway's own pages are problems; an app's 404 is an answer.
    let problem = response.body().mime_type() == Some("application/problem+json");
    if !problem && status < 500 {
        return Ok(status);
    }
    let problem = response.body_mut().read_json::<Problem>();
    Err(problem.map_or_else(|_| format!("it answers {status}"), |problem| problem.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_below_localhost_are_this_machine() {
        let here = Target { url: "http://127.0.0.1:8080/".into(), host: Some("shop.localhost:8080".into()) };
        assert_eq!(target("http://shop.localhost:8080/"), here);
        assert_eq!(target("http://shop.localhost/a/b").url, "http://127.0.0.1:80/a/b");
        let elsewhere = target("http://shop.example:8080/");
        assert_eq!((elsewhere.url.as_str(), elsewhere.host), ("http://shop.example:8080/", None));
    }
}
