//! Requests to a node, over its real doors. Whoever asks stands in the host's network.

use std::time::Duration;

use serde_json::Value;

/// Where every node's doors are, each in a network of its own.
pub(crate) const API: &str = "127.0.0.1:8081";
pub(crate) const GATEWAY: &str = "127.0.0.1:8080";

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Question<'a> {
    pub(crate) method: &'a str,
    pub(crate) door: &'a str,
    pub(crate) path: &'a str,
    /// (name, value) of the one header that matters.
    pub(crate) header: (&'a str, &'a str),
    pub(crate) body: Option<&'a Value>,
    pub(crate) within: Duration,
}

/// The status and the body; 0 and the reason where no answer came.
pub(crate) fn ask(question: &Question<'_>) -> (u16, String) {
    let Question { method, door, path, header, body, within } = *question;
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(within)).proxy(None);
    let agent = ureq::Agent::new_with_config(config.build());
    let request =
        ureq::http::Request::builder().method(method).uri(format!("http://{door}{path}")).header(header.0, header.1);
    let request = match body {
        Some(_) => request.header("content-type", "application/json"),
        None => request,
    };
    let answer = request.body(body.map(Value::to_string).unwrap_or_default()).map_err(ureq::Error::from);
    match answer.and_then(|request| agent.run(request)) {
        Ok(mut response) => {
            let status = response.status().as_u16();
            match response.body_mut().with_config().limit(512 << 20).read_to_string() {
                Ok(text) => (status, text),
                Err(error) => (0, error.to_string()),
            }
        }
        Err(error) => (0, error.to_string()),
    }
}
