//! What happened, one readable line an event, and a digest of everything.

use std::io::Write;

use grange_types::Time;

/// Writes lines as they happen.
pub(crate) struct Trace<'a> {
    begun: Time,
    sink: &'a mut dyn Write,
    digest: blake3::Hasher,
    /// Everything that was delivered to a peer.
    pub(crate) events: u64,
}

impl<'a> Trace<'a> {
    pub(crate) fn new(begun: Time, sink: &'a mut dyn Write) -> Self {
        Self { begun, sink, digest: blake3::Hasher::new(), events: 0 }
    }

    /// Writes a line about one host, or about the world.
    pub(crate) fn line(&mut self, now: Time, who: &str, what: std::fmt::Arguments<'_>) {
        let at = now.since(self.begun).0;
        let line = format!("{:>6}.{:03}  {who:<12} {what}\n", at / 1_000, at % 1_000);
        self.digest.update(line.as_bytes());
        // A reader that has gone away is no reason to stop the world.
        let _ = self.sink.write_all(line.as_bytes());
    }

    /// Counts an event that a peer was told, and takes it into the digest.
    pub(crate) fn event(&mut self, now: Time, host: usize, kind: &str, bytes: &[u8]) {
        self.events += 1;
        self.digest.update(&now.0.to_le_bytes());
        self.digest.update(&[u8::try_from(host).unwrap_or(u8::MAX)]);
        self.digest.update(kind.as_bytes());
        self.digest.update(bytes);
    }

    /// Names everything that happened: equal for equal worlds.
    pub(crate) fn digest(&self) -> String {
        let hash = self.digest.finalize();
        hash.to_hex().get(..16).unwrap_or_default().to_owned()
    }
}
