//! Finding each other by multicast.

use std::net::{Ipv4Addr, UdpSocket};
use std::time::Duration;

use super::cloud::{Node, config};

/// Whether this machine hears its own multicast: a namespace with nothing but loopback does not.
fn multicast_works() -> bool {
    const GROUP: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 251);
    let heard = || -> std::io::Result<usize> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.join_multicast_v4(&GROUP, &Ipv4Addr::UNSPECIFIED)?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.send_to(b"?", (GROUP, socket.local_addr()?.port()))?;
        socket.recv(&mut [0; 1])
    };
    heard().is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_find_each_other_without_any_address() {
    if !multicast_works() {
        println!("skipped: no interface carries multicast here");
        return;
    }
    let start = async |key| {
        let mut config = config(key);
        config.bind = None;
        config.mdns = true;
        Node::start(config).await
    };
    let (mut a, mut b) = (start(1).await, start(2).await);
    a.wait_connected(b.id()).await;
    b.wait_connected(a.id()).await;
}
