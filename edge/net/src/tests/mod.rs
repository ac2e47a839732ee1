//! Real nodes on loopback. Nothing here sleeps: every test waits for a condition, and fails when it does not come.

mod cloud;
mod content;
mod death;
mod gossip;
mod hostile;
mod lan;
mod links;
mod relay;
