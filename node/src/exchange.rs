//! Blobs between peers: who lacks one asks those who may have it, and checks what comes by its name.
//!
//! A request is the blob's 32-byte name on a fresh stream; the answer is its length as eight bytes little-endian and its
//! content, or a length of `u64::MAX` when the peer does not have it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use grange_disk::{Blobs, DiskError};
use grange_net::{Net, PeerStream, Protocol};
use grange_types::{BlobId, ByteCount, Manifest, PeerId, SiteIndex, Wire, limits};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncSeekExt, AsyncWrite, AsyncWriteExt};

use crate::ingress::Ingress;

const ABSENT: u64 = u64::MAX;
/// A blob travels in pieces, the last of which may be shorter.
const PIECE: usize = 128 << 10;
/// A piece that is not whole after this is not waited for, on either side: the least speed is 12.8 KiB/s, at which eight
/// files at once fit through a megabit a second. Whoever trickles is given up with the first piece, and a blob takes at
/// most this long for each of its pieces and once more for its length: 64 MiB less than an hour and a half.
const PIECE_WITHIN: Duration = Duration::from_secs(10);
/// Files of a site fetched at once.
const AT_ONCE: usize = 8;
/// The longest index of a site.
const INDEX_BYTES: ByteCount = ByteCount(SiteIndex::LIMIT as u64);

/// Why a blob could not be had from a peer.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no stream to {}", .peer.short())]
    Stream { peer: PeerId, source: grange_net::RequestError },
    #[error("the stream from {} broke", .peer.short())]
    Broken { peer: PeerId, source: io::Error },
    #[error("{} does not have it", .peer.short())]
    Absent { peer: PeerId },
    #[error("{} has {length} for it, and it is at most {limit} long", .peer.short())]
    TooLong { peer: PeerId, length: ByteCount, limit: ByteCount },
    #[error("what {} sent cannot be kept", .peer.short())]
    Refused { peer: PeerId, source: DiskError },
}

/// Fetches blobs that are missing here. Gives those that are here afterwards.
pub(crate) async fn fetch_all(net: &Net, blobs: &Arc<Blobs>, wanted: &[BlobId], from: &[PeerId]) -> Vec<BlobId> {
    let mut here = Vec::new();
    for blob in wanted {
        if fetch(net, blobs, *blob, from).await {
            here.push(*blob);
        }
    }
    here
}

/// Fetches a site's index and then its files. Whether all are here.
pub(crate) async fn fetch_site(net: &Net, blobs: &Arc<Blobs>, index: BlobId, from: &[PeerId]) -> bool {
    if !fetch_within(net, blobs, index, INDEX_BYTES, from).await {
        return false;
    }
    let Ok(Some(bytes)) = blobs.read(index) else { return false };
    let Ok(index) = SiteIndex::decode(&bytes) else { return false };
    let missing: BTreeMap<BlobId, ByteCount> = index
        .files
        .iter()
        .map(|file| (file.blob, file.size.min(limits::BLOB_BYTES)))
        .filter(|(blob, _)| !blobs.claim(*blob).unwrap_or(false))
        .take(limits::SITE_FILES)
        .collect();
    let missing: Vec<(BlobId, ByteCount)> = missing.into_iter().collect();
    for batch in missing.chunks(AT_ONCE) {
        let fetches = batch.iter().map(|(blob, size)| fetch_within(net, blobs, *blob, *size, from));
        if futures_util::future::join_all(fetches).await.contains(&false) {
            return false;
        }
    }
    true
}

/// Fetches one blob from the first peer that has it. Whether it is here.
pub(crate) async fn fetch(net: &Net, blobs: &Arc<Blobs>, blob: BlobId, from: &[PeerId]) -> bool {
    fetch_within(net, blobs, blob, limits::BLOB_BYTES, from).await
}

/// The same, for a blob that is known not to be longer than this.
async fn fetch_within(net: &Net, blobs: &Arc<Blobs>, blob: BlobId, limit: ByteCount, from: &[PeerId]) -> bool {
    if blobs.claim(blob).unwrap_or(false) {
        return true;
    }
    for peer in from {
        match fetch_from(net, blobs, blob, limit, *peer).await {
            Ok(()) => return true,
            Err(error) => {
                tracing::debug!(blob = %blob, peer = %peer, error = &error as &dyn std::error::Error, "blob.fetch_failed")
            }
        }
    }
    false
}

async fn fetch_from(net: &Net, blobs: &Blobs, blob: BlobId, limit: ByteCount, peer: PeerId) -> Result<(), FetchError> {
    let stream = net.open_stream(peer, Protocol::Blob).await.map_err(|source| FetchError::Stream { peer, source })?;
    take(stream, blobs, blob, limit, peer, PIECE_WITHIN).await
}

/// Takes a blob in over a fresh stream.
async fn take(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    blobs: &Blobs,
    blob: BlobId,
    limit: ByteCount,
    peer: PeerId,
    within: Duration,
) -> Result<(), FetchError> {
    let broken = |source| FetchError::Broken { peer, source };
    let refused = |source| FetchError::Refused { peer, source };
    timed(within, stream.write_all(blob.as_bytes())).await.map_err(broken)?;
    let length = timed(within, stream.read_u64_le()).await.map_err(broken)?;
    if length == ABSENT {
        return Err(FetchError::Absent { peer });
    }
    if length > limit.0 {
        return Err(FetchError::TooLong { peer, length: ByteCount(length), limit });
    }
    let mut writer = blobs.writer(blob).map_err(refused)?;
    let mut piece = vec![0; PIECE.min(length as usize)];
    let mut left = length as usize;
    while left > 0 {
        let wanted = left.min(piece.len());
        timed(within, stream.read_exact(&mut piece[..wanted])).await.map_err(broken)?;
        writer.write(&piece[..wanted]).map_err(refused)?;
        left -= wanted;
    }
    tokio::task::block_in_place(|| writer.finish()).map(drop).map_err(refused)
}

async fn timed<T>(within: Duration, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(within, future).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Answers a peer that wants a blob. A manifest is given only to who may read it; to all others it is not here.
pub(crate) async fn serve(mut stream: PeerStream, from: PeerId, blobs: &Blobs, ingress: &Ingress) -> io::Result<()> {
    let mut name = [0; 32];
    timed(PIECE_WITHIN, stream.read_exact(&mut name)).await?;
    let blob = BlobId(name);
    let Ok(mut file) = tokio::fs::File::open(&blobs.path(blob)).await else {
        return absent(stream).await;
    };
    let length = file.metadata().await?.len();
    if is_manifest(&mut file, length).await? && !ingress.may_read(from, blob).await {
        tracing::info!(peer = %from, blob = %blob, "blob.denied");
        return absent(stream).await;
    }
    timed(PIECE_WITHIN, stream.write_u64_le(length)).await?;
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return stream.shutdown().await;
        }
        // Whoever takes nothing any more holds nothing any more.
        timed(PIECE_WITHIN, stream.write_all(&piece[..read])).await?;
    }
}

async fn absent(mut stream: PeerStream) -> io::Result<()> {
    timed(PIECE_WITHIN, stream.write_u64_le(ABSENT)).await?;
    stream.shutdown().await
}

/// Whether a blob is a deployment's manifest; leaves the file at its beginning.
async fn is_manifest(file: &mut tokio::fs::File, length: u64) -> io::Result<bool> {
    if length > Manifest::LIMIT as u64 {
        return Ok(false);
    }
    let mut content = Vec::with_capacity(length as usize);
    file.read_to_end(&mut content).await?;
    file.rewind().await?;
    Ok(Manifest::decode(&content).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::DuplexStream;

    const PEER: PeerId = PeerId([7; 32]);
    const WITHIN: Duration = Duration::from_millis(200);

    /// Takes a blob of this content from a peer that does this once it was asked; what came of it, and how long it took.
    async fn taken<F>(content: &[u8], peer: impl FnOnce(DuplexStream) -> F) -> (Result<(), FetchError>, Duration)
    where
        F: Future<Output = DuplexStream> + Send + 'static,
    {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path()).unwrap();
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let blob = BlobId::of(content);
        let began = std::time::Instant::now();
        let taking = take(ours, &blobs, blob, ByteCount::mib(1), PEER, WITHIN);
        let giving = async move {
            let mut name = [0; 32];
            theirs.read_exact(&mut name).await.unwrap();
            let held = peer(theirs).await;
            // Who holds the stream says nothing more.
            std::future::pending::<()>().await;
            drop(held);
        };
        let taken = tokio::select! {
            taken = taking => taken,
            () = giving => unreachable!("it never ends"),
        };
        assert_eq!(taken.is_ok(), blobs.claim(blob).unwrap(), "what was not taken whole is not here");
        (taken, began.elapsed())
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_whole_blob_is_taken_and_a_longer_one_is_not() {
        let content = vec![3; 3 * PIECE + 1];
        let given = content.clone();
        let (whole, _) = taken(&content, |mut stream| async move {
            stream.write_u64_le(given.len() as u64).await.unwrap();
            stream.write_all(&given).await.unwrap();
            stream
        })
        .await;
        assert!(whole.is_ok(), "{whole:?}");
        let (long, _) = taken(b"", |mut stream| async move {
            stream.write_u64_le((1 << 20) + 1).await.unwrap();
            stream
        })
        .await;
        assert!(matches!(long, Err(FetchError::TooLong { .. })), "{long:?}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_trickles_or_says_nothing_is_given_up() {
        let (silent, _) = taken(b"x", |stream| async move { stream }).await;
        assert!(matches!(silent, Err(FetchError::Broken { .. })), "{silent:?}");
        let content = vec![3; 2 * PIECE];
        let (trickled, took) = taken(&content, |mut stream| async move {
            stream.write_u64_le(2 * PIECE as u64).await.unwrap();
            let mut pause = tokio::time::interval(WITHIN / 10);
            loop {
                pause.tick().await;
                if stream.write_all(&[3]).await.is_err() {
                    return stream;
                }
            }
        })
        .await;
        assert!(matches!(trickled, Err(FetchError::Broken { .. })), "{trickled:?}");
        assert!(took < WITHIN * 20, "with the first piece: {took:?}");
    }
}
