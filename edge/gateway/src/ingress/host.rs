//! Which name a Host header asks for.

use grange_types::limits::NAME_BYTES;

/// Why a Host header asks for no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostError {
    /// There is none.
    #[error("the request has no Host header")]
    Missing,
    /// It is not of the form.
    #[error("the Host header is not of the form NAME.localhost")]
    NotOurs,
}

/// The name in `NAME.localhost`, `NAME.localhost:PORT`, with or without a final dot, in whatever case.
pub(crate) fn name(host: &str) -> Result<String, HostError> {
    let host = match host.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => host,
    };
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let name = host.strip_suffix(".localhost").ok_or(HostError::NotOurs)?;
    let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if name.is_empty() || name.len() > NAME_BYTES || !name.bytes().all(legal) {
        return Err(HostError::NotOurs);
    }
    Ok(name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stands_before_localhost() {
        for host in [
            "guestbook.localhost",
            "guestbook.localhost:8080",
            "GuestBook.LocalHost:1",
            "guestbook.localhost.",
            "guestbook.localhost.:80",
            "guestbook.localhost:",
        ] {
            assert_eq!(name(host).as_deref(), Ok("guestbook"), "{host}");
        }
        for host in [
            "",
            "localhost",
            ".localhost",
            "localhost:80",
            "127.0.0.1:80",
            "[::1]:80",
            "a.b.localhost",
            "guestbook.localhost.example.org",
            "guestbook.example.org",
            "guest_book.localhost",
            "güestbook.localhost",
            "guestbook.localhost:80:80",
            &format!("{}.localhost", "a".repeat(64)),
        ] {
            assert_eq!(name(host), Err(HostError::NotOurs), "{host}");
        }
    }
}
