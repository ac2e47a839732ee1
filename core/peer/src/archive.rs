//! What a node's disk answers to peers that lag behind or begin: pages of blocks, turns, a snapshot piece by piece.

use grange_consensus::Certificate;
use grange_ledger::{Block, HeaderProof};
use grange_types::{Height, Wire, limits};

use crate::light::{Sealed, Turn};
use crate::message::{Piece, SnapshotOffer, SyncReply, SyncRequest, Turns};

/// Answers fit one message with room for its frame.
const PAGE_BYTES: usize = limits::MESSAGE_BYTES - (16 << 10);
/// The most pieces that a snapshot is taken or offered with: 600 MB.
pub(crate) const PIECES: u32 = 1_024;

/// What lies on a node's disk. Everything here may block.
pub trait Archive {
    /// The height of the last block.
    fn last(&self) -> Height;
    /// A block and its certificate; none where there is none, or it is damaged.
    fn block(&self, height: Height) -> Option<(Vec<u8>, Vec<u8>)>;
    /// The first stored [`Turn`] above a height.
    fn turn_above(&self, height: Height) -> Option<Vec<u8>>;
    /// The heights of the snapshots, newest first.
    fn snapshots(&self) -> Vec<Height>;
    /// How many pieces the snapshot at a height has, that of the node's own history included.
    fn pieces(&self, height: Height) -> Option<u32>;
    /// One of them.
    fn piece(&self, height: Height, index: u32) -> Option<Vec<u8>>;
}

/// The answer to a request for what is on the disk; none where it is not for the disk to answer.
pub fn serve(archive: &dyn Archive, request: &SyncRequest) -> Option<Vec<u8>> {
    match request {
        SyncRequest::Blocks { from } => Some(page(archive, *from).encode()),
        SyncRequest::Turns { above } => Some(turns(archive, *above).encode()),
        SyncRequest::Snapshot => Some(offer(archive).encode()),
        SyncRequest::Piece { height, index } => {
            // The last piece is the history of the node's own account, which is nobody else's.
            let own = archive.pieces(*height).is_none_or(|pieces| index + 1 >= pieces);
            let bytes = if own { None } else { archive.piece(*height, *index) };
            Some(Piece { bytes: bytes.unwrap_or_default() }.encode())
        }
        SyncRequest::Proofs { .. } => None,
    }
}

/// A page of blocks from a height on, as many as fit one message.
pub fn page(archive: &dyn Archive, from: Height) -> SyncReply {
    let (mut blocks, mut bytes) = (Vec::new(), 0);
    for height in from.0..=archive.last().0 {
        let Some((block, certificate)) = archive.block(Height(height)) else { break };
        bytes += block.len() + certificate.len() + 16;
        if bytes > PAGE_BYTES && !blocks.is_empty() {
            break;
        }
        blocks.push((block, certificate));
    }
    SyncReply { blocks }
}

fn turns(archive: &dyn Archive, above: Height) -> Turns {
    let (mut turns, mut bytes, mut above) = (Vec::new(), 0, above);
    while let Some(stored) = archive.turn_above(above) {
        bytes += stored.len() + 4;
        let Ok(turn) = Turn::decode(&stored) else { break };
        if bytes > PAGE_BYTES {
            break;
        }
        above = turn.sealed.header.header.height;
        turns.push(turn);
    }
    Turns { turns }
}

/// The newest snapshot whose block and the one after it are here to show it by.
fn offer(archive: &dyn Archive) -> SnapshotOffer {
    let sealed = |height| {
        let (block, certificate) = archive.block(height)?;
        let header = HeaderProof::of(&Block::decode(&block).ok()?);
        Some(Sealed { header, certificate: Certificate::decode(&certificate).ok()? })
    };
    let shown = |height: Height| {
        let pieces = archive.pieces(height)?.saturating_sub(1);
        let last = sealed(height)?.header;
        (pieces > 0 && pieces <= PIECES).then_some(())?;
        Some(Box::new((last, sealed(height.next())?, pieces)))
    };
    SnapshotOffer { offer: archive.snapshots().into_iter().find_map(shown) }
}
