//! How a stream between peers begins: the gateway says which replica it wants, the provider accepts or refuses.
//!
//! Each side writes one frame, a length byte and as many bytes, and from then on the stream is HTTP/1.1.

use core::fmt::Debug;

use grange_types::{DecodeError, LeaseId, Wire};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::limits::STREAM_HEADER_BYTES;

/// Which replica a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamHeader {
    /// The lease it runs under.
    pub lease: LeaseId,
    /// Its generation.
    pub generation: u64,
}

impl Wire for StreamHeader {
    const NAME: &'static str = "stream-header";
    const LIMIT: usize = STREAM_HEADER_BYTES;
}

/// What the provider says to a [`StreamHeader`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum StreamAnswer {
    /// Requests may follow.
    Accepted,
    /// This node does not run that lease in that generation.
    NotRunning,
}

impl Wire for StreamAnswer {
    const NAME: &'static str = "stream-answer";
    const LIMIT: usize = 16;
}

/// Why a frame could not be exchanged.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The stream ended or broke.
    #[error("the stream between peers broke off")]
    Stream(#[from] std::io::Error),
    /// The bytes are no such frame.
    #[error("the frame cannot be read")]
    Undecodable(#[from] DecodeError),
}

/// Reads one frame.
pub(crate) async fn read_frame<T: Wire>(stream: &mut (impl AsyncRead + Unpin)) -> Result<T, FrameError> {
    let length = usize::from(stream.read_u8().await?);
    if length > T::LIMIT {
        return Err(DecodeError::TooLong { name: T::NAME, length, limit: T::LIMIT }.into());
    }
    let mut bytes = [0; STREAM_HEADER_BYTES];
    let bytes = &mut bytes[..length];
    stream.read_exact(bytes).await?;
    Ok(T::decode(bytes)?)
}

/// Writes one frame.
pub(crate) async fn write_frame<T: Wire + Debug>(
    stream: &mut (impl AsyncWrite + Unpin),
    value: &T,
) -> Result<(), FrameError> {
    let bytes = value.encode();
    let length = u8::try_from(bytes.len()).map_err(|_| DecodeError::TooLong {
        name: T::NAME,
        length: bytes.len(),
        limit: T::LIMIT,
    })?;
    let mut frame = vec![length];
    frame.extend_from_slice(&bytes);
    stream.write_all(&frame).await?;
    stream.flush().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use grange_types::codec::check_golden;

    fn header() -> StreamHeader {
        StreamHeader { lease: LeaseId([0x11; 32]), generation: 300 }
    }

    #[test]
    fn the_bytes_are_frozen() {
        check_golden(&header(), include_str!("../golden/stream-header.hex"));
        check_golden(&StreamAnswer::NotRunning, include_str!("../golden/stream-answer.hex"));
        assert!(
            StreamHeader { lease: LeaseId([0xff; 32]), generation: u64::MAX }.encode().len() <= StreamHeader::LIMIT
        );
    }

    #[tokio::test]
    async fn a_frame_reads_back() {
        let (mut near, mut far) = tokio::io::duplex(256);
        write_frame(&mut near, &header()).await.unwrap();
        assert_eq!(read_frame::<StreamHeader>(&mut far).await.unwrap(), header());
        write_frame(&mut far, &StreamAnswer::Accepted).await.unwrap();
        assert_eq!(read_frame::<StreamAnswer>(&mut near).await.unwrap(), StreamAnswer::Accepted);
    }

    #[tokio::test]
    async fn bytes_that_are_no_frame_are_refused() {
        let check = async |bytes: &[u8]| read_frame::<StreamHeader>(&mut &bytes[..]).await.unwrap_err();
        assert!(matches!(check(&[]).await, FrameError::Stream(_)));
        assert!(matches!(check(&[33, 1, 2]).await, FrameError::Stream(_)));
        assert!(matches!(check(&[255; 256]).await, FrameError::Undecodable(DecodeError::TooLong { .. })));
        assert!(matches!(check(&[2, 1, 2]).await, FrameError::Undecodable(DecodeError::Malformed { .. })));
        let length = u8::try_from(header().encode().len()).unwrap();
        let trailing = [&[length + 1][..], &header().encode(), &[0]].concat();
        assert!(matches!(check(&trailing).await, FrameError::Undecodable(DecodeError::NotCanonical { .. })));
    }
}
