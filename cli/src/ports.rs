//! Ports that are free and will still be after a restart.
//!
//! They are looked for below the range from which the system takes ports for outgoing connections: a port in that
//! range may be taken by a stranger while its node is down.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

/// The lowest port that is tried.
const LOWEST: u16 = 10_240;
/// The lowest port of outgoing connections where the system does not say.
const EPHEMERAL: u16 = 32_768;
/// Ports that a process may take before it comes to those at which the next one begins.
const EACH: u16 = 64;

/// What listens on a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp,
    Udp,
}

/// Gives out ports, none of them twice.
#[derive(Debug)]
pub(crate) struct Ports {
    lowest: u16,
    span: u16,
    next: u16,
    left: u16,
}

/// No port was free.
#[derive(Debug, thiserror::Error)]
#[error("no free port between {lowest} and {highest}")]
pub(crate) struct NoPort {
    lowest: u16,
    highest: u16,
}

impl Ports {
    /// Begins where no other process begins that was started at about the same time: two clouds that are made at once
    /// would find the same ports free, and one of them would not start.
    pub(crate) fn new(process: u32) -> Self {
        Self::between(LOWEST, ephemeral().unwrap_or(EPHEMERAL), process.wrapping_mul(EACH.into()))
    }

    fn between(lowest: u16, end: u16, seed: u32) -> Self {
        // A system that takes almost all ports for itself leaves no better ones.
        let end = if end > lowest.saturating_add(100) { end } else { u16::MAX };
        let span = end - lowest;
        Self { lowest, span, next: (seed % u32::from(span)) as u16, left: span }
    }

    /// The next port that is free on this address.
    pub(crate) fn free(&mut self, address: IpAddr, transport: Transport) -> Result<SocketAddr, NoPort> {
        while self.left > 0 {
            let candidate = SocketAddr::new(address, self.lowest + self.next);
            self.next = (self.next + 1) % self.span;
            self.left -= 1;
            if is_free(candidate, transport) {
                return Ok(candidate);
            }
        }
        Err(NoPort { lowest: self.lowest, highest: self.lowest + (self.span - 1) })
    }
}

/// Whether this can be listened on now.
pub(crate) fn is_free(address: SocketAddr, transport: Transport) -> bool {
    try_listen(address, transport).is_ok()
}

/// Listens for a moment, to find out why that cannot be.
pub(crate) fn try_listen(address: SocketAddr, transport: Transport) -> io::Result<()> {
    match transport {
        Transport::Tcp => TcpListener::bind(address).map(drop),
        Transport::Udp => UdpSocket::bind(address).map(drop),
    }
}

fn ephemeral() -> Option<u16> {
    let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
    text.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn ports_are_free_and_none_comes_twice() {
        let mut ports = Ports::new(12_345);
        let found: BTreeSet<u16> = (0..50).map(|_| ports.free(HERE, Transport::Tcp).unwrap().port()).collect();
        assert_eq!(found.len(), 50);
        assert!(found.iter().all(|port| *port >= LOWEST));
    }

    #[test]
    fn processes_that_start_together_begin_apart() {
        let of = |process| Ports::new(process).free(HERE, Transport::Tcp).unwrap().port();
        let (one, next) = (of(70_000), of(70_001));
        assert!(one.abs_diff(next) >= EACH / 2, "{one} and {next}");
    }

    #[test]
    fn a_port_that_is_taken_is_passed_over() {
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        let taken = listener.local_addr().unwrap();
        assert!(!is_free(taken, Transport::Tcp));
        // A range that begins with the taken port, and has more than a hundred behind it.
        let lowest = taken.port().min(u16::MAX - 200);
        let mut ports = Ports::between(lowest, lowest + 150, 0);
        let found: Vec<u16> = std::iter::from_fn(|| ports.free(HERE, Transport::Tcp).ok()).map(|a| a.port()).collect();
        assert!(!found.contains(&taken.port()));
        assert!(ports.free(HERE, Transport::Tcp).is_err());
    }
}
