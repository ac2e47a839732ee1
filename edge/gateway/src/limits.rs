//! Every maximum of this crate, with its reason.

use core::time::Duration;

/// Connections to the API: a person's tools and a console.
pub const API_CONNECTIONS: usize = 256;
/// Connections to the ingress: each holds at most two buffers of [`BUFFER_BYTES`], 256 MiB if all are full.
pub const INGRESS_CONNECTIONS: usize = 1_024;
/// What one connection buffers in each direction.
pub const BUFFER_BYTES: usize = 128 << 10;
/// Header fields of one request or answer.
pub const HEADERS: usize = 100;
/// How long a client may take for a request's head, and stay silent between two requests.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a client may take for a JSON body, and be silent within a blob.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a call may take. Finality takes milliseconds; a halted ledger must not hold clients for ever.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// A silent event stream gets a comment this often, so that either side notices when the other is gone.
pub const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// What is read and thrown away of a body that is refused, so that its sender gets to read why.
pub const DRAIN_BYTES: usize = 16 << 20;
/// For how long that is done.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);
/// How long open connections may take to end once the node shuts down. The whole shutdown has five seconds.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Streams to one replica, idle and busy. A peer accepts 512 streams of one connection.
pub const STREAMS_PER_TARGET: usize = 128;
/// An idle stream to a replica is closed after this.
pub const STREAM_IDLE: Duration = Duration::from_secs(30);
/// How long to wait for an idle stream to be done with the request before, instead of opening another one.
pub const REUSE_TIMEOUT: Duration = Duration::from_millis(50);
/// How often idle streams are looked through.
pub const STREAM_SWEEP: Duration = Duration::from_secs(10);
/// How long a stream to a replica may take to open, waiting for a free one included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a replica may stay silent before its answer begins, counted from the last byte of the request it took.
pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a gateway that waits for an answer looks whether the replica is still the current one.
pub const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// Replicas that are tried for one request when none can be reached.
pub const TARGETS_TRIED: usize = 4;
/// A provider closes a stream on which no request came for this long; longer than [`STREAM_IDLE`], so that it is
/// the gateway that closes.
pub const PEER_STREAM_IDLE: Duration = Duration::from_secs(60);
/// How long the header of a stream between peers may take.
pub const STREAM_HEADER_TIMEOUT: Duration = Duration::from_secs(3);
/// The header of a stream between peers, in bytes.
pub const STREAM_HEADER_BYTES: usize = 128;
