//! A node to try a network with: it prints what happens and answers requests with their own bytes.
//!
//! ```text
//! peer KEY BIND [relay=BIND] [through=URL] [mdns] [KEY@ADDRESS | KEY@URL]…
//!
//! peer 1 192.0.2.1:4001 relay=192.0.2.1:3340
//! peer 2 10.0.0.2:4002 through=http://192.0.2.1:3340 1@192.0.2.1:4001
//! peer 3 0.0.0.0:4003 2@http://192.0.2.1:3340
//! ```
//! KEY is a number from 0 to 255. Keys made of numbers are no secret: this is for trying things out only.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use grange_net::{Config, Net, NetEvent, PeerAddress, Protocol, RelayOffer};
use grange_types::{NetworkId, SecretKey};

type Failure = Box<dyn std::error::Error>;

fn known(text: &str) -> Result<PeerAddress, Failure> {
    let (key, place) = text.split_once('@').ok_or("a peer is KEY@ADDRESS or KEY@URL")?;
    let peer = SecretKey::from_bytes(&[key.parse()?; 32]).public().peer();
    Ok(match place.parse() {
        Ok(address) => PeerAddress { peer, addresses: vec![address], relays: Vec::new() },
        Err(_) => PeerAddress { peer, addresses: Vec::new(), relays: vec![place.to_owned()] },
    })
}

fn config() -> Result<Config, Failure> {
    let mut arguments = std::env::args().skip(1);
    let key = arguments.next().ok_or("usage: peer KEY BIND [relay=BIND] [through=URL] [mdns] [KEY@ADDRESS]…")?;
    let mut config = Config::new(NetworkId([1; 32]), SecretKey::from_bytes(&[key.parse()?; 32]));
    config.bind = arguments.next().map(|bind| bind.parse()).transpose()?;
    for argument in arguments {
        match argument.split_once('=') {
            Some(("relay", bind)) => config.relay = Some(RelayOffer::new(bind.parse()?)),
            Some(("through", url)) => config.relays.push(url.to_owned()),
            _ if argument == "mdns" => config.mdns = true,
            _ => config.bootstrap.push(known(&argument)?),
        }
    }
    Ok(config)
}

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let started = Instant::now();
    let (net, mut events) = Net::start(config()?).await?;
    println!("{:?} at {:?}", net.peer_id(), net.addresses());
    let mut seconds = tokio::time::interval(Duration::from_secs(5));
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = seconds.tick() => {
                for status in net.peers() {
                    println!("{:8.3} {status:?}", started.elapsed().as_secs_f64());
                }
                continue;
            }
            _ = tokio::signal::ctrl_c() => break,
        };
        match event {
            Some(NetEvent::Request { bytes, reply, .. }) => reply.send(bytes),
            Some(NetEvent::Connected(peer)) => {
                println!("{:8.3} Connected({peer:?})", started.elapsed().as_secs_f64());
                let net = net.clone();
                tokio::spawn(async move {
                    let answer = net.request(peer, Protocol::Market, vec![1; 1_000], Duration::from_secs(2)).await;
                    println!("asked {peer:?}: {:?}", answer.map(|answer| answer.len()));
                });
            }
            Some(event) => println!("{:8.3} {event:?}", started.elapsed().as_secs_f64()),
            None => break,
        }
    }
    net.shutdown().await;
    Ok(())
}
