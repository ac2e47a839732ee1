//! A blob on its way in: counted and hashed as it passes, kept only if it is what it is named.

use axum::body::{Body, Bytes};
use grange_api::{Blob, Operation, Problem, ProblemCode};
use grange_types::limits::BLOB_BYTES;
use grange_types::{BlobId, ByteCount};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;

use crate::backend::BlobWriter;
use crate::limits;

/// Refuses a blob whose length already says that it is too large.
pub(super) fn refuse_too_large(operation: Operation, fields: &HeaderMap, body: &Body) -> Result<(), Problem> {
    let said = fields.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    if said.unwrap_or(0).max(body.size_hint().lower()) > BLOB_BYTES.0 {
        return Err(too_large(operation));
    }
    Ok(())
}

/// Takes the bytes of a blob.
pub(super) async fn receive(
    operation: Operation,
    mut body: Body,
    mut writer: Box<dyn BlobWriter>,
    blob: BlobId,
) -> Result<Blob, Problem> {
    let mut hasher = blake3::Hasher::new();
    let mut size = ByteCount(0);
    while let Some(bytes) = piece(operation, &mut body).await? {
        size = ByteCount(size.0.saturating_add(bytes.len() as u64));
        if size > BLOB_BYTES {
            drain(body).await;
            return Err(too_large(operation));
        }
        hasher.update(&bytes);
        writer.write(bytes).await?;
    }
    let found = BlobId(*hasher.finalize().as_bytes());
    if found != blob {
        let message = format!("the bytes have the hash {found}");
        return Err(Problem::new(ProblemCode::HashMismatch, operation.id(), blob.to_string(), message));
    }
    writer.commit().await?;
    Ok(Blob { id: blob, size })
}

/// The next piece of a body; nothing at its end.
async fn piece(operation: Operation, body: &mut Body) -> Result<Option<Bytes>, Problem> {
    loop {
        let frame = timeout(limits::BODY_TIMEOUT, body.frame()).await.map_err(|_| {
            Problem::new(
                ProblemCode::Timeout,
                operation.id(),
                "body",
                "the next piece of the body did not arrive in time",
            )
        })?;
        match frame {
            None => return Ok(None),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) => return Ok(Some(bytes)),
                // Trailers say nothing here.
                Err(_) => continue,
            },
            Some(Err(_)) => {
                return Err(Problem::new(ProblemCode::Malformed, operation.id(), "body", "the body broke off"));
            }
        }
    }
}

/// Reads and throws away some of a body that is not wanted, so that its sender gets to read the answer.
pub(super) async fn drain(mut body: Body) {
    let draining = async {
        let mut drained = 0;
        while let Some(Ok(frame)) = body.frame().await {
            drained += frame.data_ref().map_or(0, Bytes::len);
            if drained > limits::DRAIN_BYTES {
                break;
            }
        }
    };
    if timeout(limits::DRAIN_TIMEOUT, draining).await.is_err() {
        tracing::debug!("api.drain-late");
    }
}

fn too_large(operation: Operation) -> Problem {
    let message = format!("the blob is above the limit of {BLOB_BYTES}");
    Problem::new(ProblemCode::TooLarge, operation.id(), "body", message)
}
