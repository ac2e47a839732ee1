//! HTTP as a load generator wants it: one kept connection, one request at a time, and nothing that costs time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::Fault;

/// An answer's head is never longer than this.
const HEAD_BYTES: usize = 16 << 10;
/// How long a page may take when one asks only whether it is there.
const PAGE_TIME: Duration = Duration::from_secs(10);

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) const fn is_success(&self) -> bool {
        self.status >= 200 && self.status < 300
    }

    pub(crate) fn text(&self) -> String {
        format!("{} {}", self.status, String::from_utf8_lossy(&self.body).trim())
    }
}

/// A connection that is kept from request to request. Answers must say their length, as the API's do.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, Fault> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::with_capacity(4 << 10) })
    }

    /// Sends a whole request and reads its answer.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> Result<Answer, Fault> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read().await?;
            if let Some(head) = Head::read(&self.buffer)? {
                break head;
            }
            if self.buffer.len() > HEAD_BYTES {
                return Err("the answer's head has no end".into());
            }
        };
        while self.buffer.len() < head.bytes + head.length {
            self.read().await?;
        }
        Ok(Answer { status: head.status, body: self.buffer.split_off(head.bytes) })
    }

    async fn read(&mut self) -> Result<(), Fault> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the node closed the connection".into()),
            _ => Ok(()),
        }
    }
}

/// Everything of a POST to the API but the length and the body, which [`post`] adds.
pub(crate) fn post_head(address: SocketAddr, path: &str, token: &str, kind: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\ncontent-type: {kind}\r\n\
         content-length: "
    )
    .into_bytes()
}

/// Writes a whole request into a buffer that is used again and again.
pub(crate) fn post(buffer: &mut Vec<u8>, head: &[u8], body: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(head);
    buffer.extend_from_slice(format!("{}\r\n\r\n", body.len()).as_bytes());
    buffer.extend_from_slice(body);
}

/// One GET on a connection of its own, for a name at a gateway or for a node itself.
pub(crate) fn get(address: SocketAddr, host: &str, path: &str) -> Result<Answer, Fault> {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PAGE_TIME));
    let agent = ureq::Agent::new_with_config(config.build());
    let mut response = agent.get(format!("http://{address}{path}")).header("host", host).call()?;
    Ok(Answer { status: response.status().as_u16(), body: response.body_mut().read_to_vec()? })
}

/// What matters of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    bytes: usize,
    length: usize,
}

impl Head {
    /// Reads it, if it is there to its end.
    fn read(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(bytes.get(..end).unwrap_or_default())?;
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let length = lines.find_map(|line| {
            let (name, value) = line.split_once(':')?;
            if name.eq_ignore_ascii_case("content-length") { value.trim().parse().ok() } else { None }
        });
        match status.zip(length) {
            Some((status, length)) => Ok(Some(Self { status, bytes: end + 4, length })),
            None => Err(format!("the answer has no status or no length: {text}").into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_read_once_it_is_whole() {
        let whole = b"HTTP/1.1 200 OK\r\nContent-Type: x\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(Head::read(&whole[..40]).unwrap(), None);
        assert_eq!(Head::read(whole).unwrap(), Some(Head { status: 200, bytes: 55, length: 3 }));
        assert!(Head::read(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }

    #[test]
    fn a_request_is_whole() {
        let mut buffer = b"old".to_vec();
        post(&mut buffer, &post_head("127.0.0.1:1".parse().unwrap(), "/x", "t", "k"), b"body");
        let text = String::from_utf8(buffer).unwrap();
        assert!(text.starts_with("POST /x HTTP/1.1\r\nhost: 127.0.0.1:1\r\n"), "{text}");
        assert!(text.ends_with("content-length: 4\r\n\r\nbody"), "{text}");
    }
}
