//! Frames: four bytes of length, little-endian, and so many bytes.
//!
//! A reader takes the limit as an argument, refuses a longer frame before reading it, and lets its buffer grow with
//! what arrives, so that a length alone reserves no memory.

use tokio::io::{AsyncRead, AsyncReadExt};

/// The buffer a reader starts with.
const FIRST_BUFFER: usize = 16 << 10;

/// Why no frame was read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    /// The frame is longer than it may be.
    #[error("a frame of {length} bytes is longer than the limit of {limit}")]
    TooLong {
        /// How long it says it is.
        length: usize,
        /// How long it may be.
        limit: usize,
    },
    /// The stream ended within the frame.
    #[error("the stream ended after {have} of {length} bytes of a frame")]
    Truncated {
        /// The bytes that came.
        have: usize,
        /// The bytes that were promised.
        length: usize,
    },
    /// The stream broke.
    #[error("the stream broke")]
    Broken(#[from] std::io::Error),
}

/// The frame of these bytes.
pub(crate) fn frame(bytes: &[u8]) -> Vec<u8> {
    let mut framed = Vec::with_capacity(4 + bytes.len());
    append_frame(&mut framed, bytes);
    framed
}

/// Appends the frame of these bytes. They are within a limit far below four GiB.
pub(crate) fn append_frame(buffer: &mut Vec<u8>, bytes: &[u8]) {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    buffer.extend_from_slice(&length.to_le_bytes());
    buffer.extend_from_slice(bytes);
}

/// Reads the next frame; nothing at the end of the stream.
pub(crate) async fn read_frame<R>(reader: &mut R, limit: usize) -> Result<Option<Vec<u8>>, FrameError>
where
    R: AsyncRead + Unpin,
{
    let mut header = [0; 4];
    let mut have = 0;
    while have < header.len() {
        match reader.read(&mut header[have..]).await? {
            0 if have == 0 => return Ok(None),
            0 => return Err(FrameError::Truncated { have, length: header.len() }),
            more => have += more,
        }
    }
    let length = u32::from_le_bytes(header) as usize;
    if length > limit {
        return Err(FrameError::TooLong { length, limit });
    }
    let mut bytes = Vec::with_capacity(length.min(FIRST_BUFFER));
    let mut rest = reader.take(length as u64);
    while bytes.len() < length {
        if rest.read_buf(&mut bytes).await? == 0 {
            return Err(FrameError::Truncated { have: bytes.len(), length });
        }
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(mut bytes: &[u8], limit: usize) -> Result<Option<Vec<u8>>, String> {
        read_frame(&mut bytes, limit).await.map_err(|error| error.to_string())
    }

    #[tokio::test]
    async fn frames_survive_and_everything_else_is_an_error() {
        assert_eq!(read(&frame(b"abc"), 3).await, Ok(Some(b"abc".to_vec())));
        assert_eq!(read(&frame(b""), 0).await, Ok(Some(Vec::new())));
        assert_eq!(read(b"", 3).await, Ok(None));
        let error = |text: &str| Err(text.to_owned());
        assert_eq!(read(b"\x03\0", 3).await, error("the stream ended after 2 of 4 bytes of a frame"));
        assert_eq!(read(&frame(b"abc")[..6], 3).await, error("the stream ended after 2 of 3 bytes of a frame"));
        assert_eq!(read(&frame(b"abcd"), 3).await, error("a frame of 4 bytes is longer than the limit of 3"));
        let huge = [0xff; 9];
        let promised = u32::MAX as usize;
        assert_eq!(
            read(&huge, promised).await,
            error(&format!("the stream ended after 5 of {promised} bytes of a frame"))
        );
    }

    #[tokio::test]
    async fn frames_follow_one_another() {
        let mut bytes = frame(b"one");
        append_frame(&mut bytes, b"two");
        let mut reader = bytes.as_slice();
        assert_eq!(read_frame(&mut reader, 9).await.unwrap(), Some(b"one".to_vec()));
        assert_eq!(read_frame(&mut reader, 9).await.unwrap(), Some(b"two".to_vec()));
        assert_eq!(read_frame(&mut reader, 9).await.unwrap(), None);
    }
}
