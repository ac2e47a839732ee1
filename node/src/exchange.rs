//! Blobs between peers: who lacks one asks those who may have it, and checks what comes by its name.
//!
//! A request is the blob's 32-byte name on a fresh stream; the answer is its length as eight bytes little-endian and its
//! content, or a length of `u64::MAX` when the peer does not have it.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use grange_disk::{Blobs, DiskError};
use grange_net::{Net, PeerStream, Protocol};
use grange_types::{BlobId, Manifest, PeerId, SiteIndex, Wire, limits};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt};

use crate::ingress::Ingress;

const ABSENT: u64 = u64::MAX;
const PIECE: usize = 256 << 10;
/// A peer that sends nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(10);
/// Files of a site fetched at once.
const AT_ONCE: usize = 8;

/// Why a blob could not be had from a peer.
#[derive(Debug, thiserror::Error)]
enum FetchError {
    #[error("no stream to {}", .peer.short())]
    Stream { peer: PeerId, source: grange_net::RequestError },
    #[error("the stream from {} broke", .peer.short())]
    Broken { peer: PeerId, source: io::Error },
    #[error("{} does not have it", .peer.short())]
    Absent { peer: PeerId },
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
    if !fetch(net, blobs, index, from).await {
        return false;
    }
    let Ok(Some(bytes)) = blobs.read(index) else { return false };
    let Ok(index) = SiteIndex::decode(&bytes) else { return false };
    let missing: BTreeSet<BlobId> = index
        .files
        .iter()
        .map(|file| file.blob)
        .filter(|blob| !blobs.claim(*blob).unwrap_or(false))
        .take(limits::SITE_FILES)
        .collect();
    let missing: Vec<BlobId> = missing.into_iter().collect();
    for batch in missing.chunks(AT_ONCE) {
        let fetches = batch.iter().map(|blob| fetch(net, blobs, *blob, from));
        if futures_util::future::join_all(fetches).await.contains(&false) {
            return false;
        }
    }
    true
}

/// Fetches one blob from the first peer that has it. Whether it is here.
pub(crate) async fn fetch(net: &Net, blobs: &Arc<Blobs>, blob: BlobId, from: &[PeerId]) -> bool {
    if blobs.claim(blob).unwrap_or(false) {
        return true;
    }
    for peer in from {
        match fetch_from(net, blobs, blob, *peer).await {
            Ok(()) => return true,
            Err(error) => {
                tracing::debug!(blob = %blob, peer = %peer, error = &error as &dyn std::error::Error, "blob.fetch_failed")
            }
        }
    }
    false
}

async fn fetch_from(net: &Net, blobs: &Blobs, blob: BlobId, peer: PeerId) -> Result<(), FetchError> {
    let mut stream =
        net.open_stream(peer, Protocol::Blob).await.map_err(|source| FetchError::Stream { peer, source })?;
    let broken = |source| FetchError::Broken { peer, source };
    let refused = |source| FetchError::Refused { peer, source };
    stream.write_all(blob.as_bytes()).await.map_err(broken)?;
    let length = timed(stream.read_u64_le()).await.map_err(broken)?;
    if length == ABSENT || length > limits::BLOB_BYTES.0 {
        return Err(FetchError::Absent { peer });
    }
    let mut writer = blobs.writer(blob).map_err(refused)?;
    let mut piece = vec![0; PIECE.min(length as usize + 1)];
    let mut left = length as usize;
    while left > 0 {
        let wanted = left.min(piece.len());
        let read = timed(stream.read(&mut piece[..wanted])).await.map_err(broken)?;
        if read == 0 {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
        writer.write(&piece[..read]).map_err(refused)?;
        left -= read;
    }
    tokio::task::block_in_place(|| writer.finish()).map(drop).map_err(refused)
}

async fn timed<T>(future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(SILENCE, future).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Answers a peer that wants a blob. A manifest is given only to who may read it; to all others it is not here.
pub(crate) async fn serve(mut stream: PeerStream, from: PeerId, blobs: &Blobs, ingress: &Ingress) -> io::Result<()> {
    let mut name = [0; 32];
    timed(stream.read_exact(&mut name)).await?;
    let blob = BlobId(name);
    let Ok(mut file) = tokio::fs::File::open(&blobs.path(blob)).await else {
        return absent(stream).await;
    };
    let length = file.metadata().await?.len();
    if is_manifest(&mut file, length).await? && !ingress.may_read(from, blob).await {
        tracing::info!(peer = %from, blob = %blob, "blob.denied");
        return absent(stream).await;
    }
    timed(stream.write_u64_le(length)).await?;
    let mut piece = vec![0; PIECE];
    loop {
        let read = file.read(&mut piece).await?;
        if read == 0 {
            return stream.shutdown().await;
        }
        // Whoever takes nothing any more holds nothing any more.
        timed(stream.write_all(&piece[..read])).await?;
    }
}

async fn absent(mut stream: PeerStream) -> io::Result<()> {
    stream.write_u64_le(ABSENT).await?;
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
