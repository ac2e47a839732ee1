//! A newcomer that begins from a snapshot.

use std::path::Path;
use std::time::{Duration, Instant};

use grange_ledger::{Action as Deed, Genesis};
use grange_peer::{Action, Archive, Channel, Config, Event, Head, History, Peer, Recovery, Roles, SyncRequest, serve};
use grange_types::{
    Amount, ByteCount, Height, Isolation, Kind, Millis, PeerId, Prices, Record, Region, Resources, Wire,
};

use crate::chain::{Chain, Who, account, genesis, key};
use crate::store::Store;
use crate::{Fault, limit};

/// Validators of the network.
const VALIDATORS: usize = 4;
/// Blocks behind the snapshot, which the newcomer follows one by one.
const BEHIND: usize = 20;
/// Transfers in each of them.
const TRANSFERS: usize = 500;
/// What each account is given.
const GIFT: Amount = Amount::credits(3);
/// Between two blocks: transactions are forgotten as the chain goes on.
const EVERY: Millis = Millis::seconds(30);
/// Of one key of the one who pays, so many transfers are signed before they go into blocks.
const BATCH: usize = 8_192;

/// Lets a newcomer join a network with a state of so many accounts.
pub(crate) fn run(accounts: usize) -> Result<(), Fault> {
    let folder = tempfile::tempdir()?;
    let payer = key(Who::Owner, 0);
    let genesis = genesis(VALIDATORS, vec![account(payer.public(), Amount::credits(u32::MAX))], 0)?;
    let mut chain = Chain::new(&genesis)?;
    let mut server = Store::open(&folder.path().join("server"))?;
    let bytes = found(&mut chain, &mut server, accounts)?;
    println!(
        "{accounts} accounts, a snapshot of {:.1} MB in {} pieces, {BEHIND} blocks of {TRANSFERS} transfers behind it",
        bytes as f64 / 1e6,
        server.pieces(server.snapshots()[0]).unwrap_or_default(),
    );
    let config = newcomer(genesis)?;
    let mut store = Store::open(&folder.path().join("newcomer"))?;
    let joined = join(config, &server, &mut store, &chain)?;
    print(&joined, bytes, folder.path())
}

/// Makes the chain and what the server has on its disk; gives the length of the snapshot.
fn found(chain: &mut Chain, server: &mut Store, accounts: usize) -> Result<usize, Fault> {
    let mut given = 0;
    while given < accounts {
        let batch = BATCH.min(accounts - given);
        give(chain, given..given + batch)?;
        given += batch;
    }
    // The last block before the snapshot is there to show it.
    let last = chain.decide(EVERY, &[])?;
    server.chain.end_at(Height(last.height.0 - 1))?;
    server.chain.append(last.height, &last.block, &last.certificate)?;
    let mut pieces: Vec<Vec<u8>> = chain.ledger.snapshot().collect();
    let bytes = pieces.iter().map(Vec::len).sum();
    pieces.push(History::default().to_record());
    server.snapshots.write(last.height, &pieces)?;
    for block in 0..BEHIND {
        for decided in give(chain, block * TRANSFERS..(block + 1) * TRANSFERS)? {
            server.chain.append(decided.height, &decided.block, &decided.certificate)?;
        }
    }
    Ok(bytes)
}

/// Gives something to each of some accounts.
fn give(chain: &mut Chain, accounts: std::ops::Range<usize>) -> Result<Vec<crate::chain::Decided>, Fault> {
    let payer = key(Who::Owner, 0);
    let transfers: Vec<_> = accounts
        .map(|number| {
            let to = key(Who::Account, number).public().account();
            chain.sign(&payer, Deed::Transfer { to, amount: GIFT, memo: String::new() })
        })
        .collect();
    let (first, mut blocks) = (chain.decide(EVERY, &transfers)?, Vec::new());
    let done = first.transactions;
    blocks.push(first);
    // What did not fit follows at once: it was signed for this moment.
    blocks.extend(chain.decide_all(Millis(1), &transfers[done..])?);
    Ok(blocks)
}

fn newcomer(genesis: Genesis) -> Result<Config, Fault> {
    Ok(Config {
        key: key(Who::Provider, 0),
        genesis,
        display: "newcomer".into(),
        region: Region::try_from("local".to_owned())?,
        roles: Roles { validator: false, provider: true, gateway: true, relay: false, steward: true },
        capacity: Resources { cpu_millis: 1_000, memory: ByteCount::mib(512), disk: ByteCount::gib(1) },
        kinds: vec![Kind::Site, Kind::Wasm],
        isolation: Isolation::Wasm,
        prices: Prices::default(),
        paused: false,
        canaries: Amount::ZERO,
        lost_after: Config::LOST_AFTER,
        gateway_port: 8_000,
        sequence: 1,
        snapshot_every: Config::SNAPSHOT_EVERY,
        prune: false,
        inline: Config::INLINE,
        rules: grange_ledger::VERSION,
        seed: 1,
    })
}

/// What a join came to.
struct Joined {
    whole: Duration,
    /// What the server took of it to answer.
    served: Duration,
    /// What the newcomer took to store the snapshot.
    stored: Duration,
    /// What the newcomer took to build the state of the pieces and compare its root.
    built: Duration,
    /// What it took for everything else that it was told: most of it to verify the blocks behind the snapshot.
    followed: Duration,
    questions: usize,
}

/// The newcomer, and whom it asks.
struct Meeting<'a> {
    peer: Peer,
    server: &'a Store,
    store: &'a mut Store,
    joined: Joined,
}

fn join(config: Config, server: &Store, store: &mut Store, chain: &Chain) -> Result<Joined, Fault> {
    let recovery = Recovery { first: Height(1), wal_height: Height(1), ..Recovery::default() };
    let (from, now) = (chain.proposer(), chain.time);
    let began = Instant::now();
    let peer = Peer::new(config, &recovery)?;
    let joined = Joined {
        whole: Duration::ZERO,
        served: Duration::ZERO,
        stored: Duration::ZERO,
        built: Duration::ZERO,
        followed: Duration::ZERO,
        questions: 0,
    };
    let mut meeting = Meeting { peer, server, store, joined };
    meeting.peer.start(now, recovery);
    meeting.peer.handle(now, Event::Connected(from));
    let head = Head { height: server.last(), first: server.chain.first() }.encode();
    let mut events = vec![Event::Message { from, channel: Channel::Sync, bytes: head }];
    while let Some(event) = events.pop() {
        let asked = Instant::now();
        meeting.peer.handle(now, event);
        let took = asked.elapsed();
        let installed = meeting.carry_out(from, &mut events)?;
        *(if installed { &mut meeting.joined.built } else { &mut meeting.joined.followed }) += took;
    }
    meeting.joined.whole = began.elapsed();
    let ours = meeting.peer.ledger();
    if (ours.height(), ours.state_root()) != (chain.ledger.height(), chain.ledger.state_root()) {
        return Err(format!("the newcomer stands at height {} of {}", ours.height(), chain.ledger.height()).into());
    }
    Ok(meeting.joined)
}

impl Meeting<'_> {
    /// Does what the newcomer wants done; what it asks is answered from the server's disk. Says whether it has a state now.
    fn carry_out(&mut self, from: PeerId, events: &mut Vec<Event>) -> Result<bool, Fault> {
        let mut installed = false;
        while let Some(action) = self.peer.poll_action() {
            match action {
                Action::Request { id, to, channel: Channel::Sync, bytes, .. } if to == from => {
                    let began = Instant::now();
                    let answer = serve(self.server, &SyncRequest::decode(&bytes)?);
                    self.joined.served += began.elapsed();
                    self.joined.questions += 1;
                    events.push(Event::Response { id, answer });
                }
                Action::Install { height, state } => {
                    let began = Instant::now();
                    self.store.snapshots.write(height, &state)?;
                    self.store.chain.end_at(height)?;
                    self.joined.stored += began.elapsed();
                    installed = true;
                }
                Action::Commit { height, block, certificate } => {
                    self.store.chain.append(height, &block, &certificate)?;
                }
                Action::Turn { height, turn } => self.store.turns.append(height, &turn)?,
                Action::Note { event: "sync.snapshot_refused", reason, .. } => return Err(reason.into()),
                Action::Halt(why) => return Err(format!("the newcomer halts: {why}").into()),
                // The rest is for others, or for a log of votes that it does not cast.
                _ => {}
            }
        }
        Ok(installed)
    }
}

fn print(joined: &Joined, bytes: usize, folder: &Path) -> Result<(), Fault> {
    let content = vec![7; bytes];
    let began = Instant::now();
    std::hint::black_box(grange_types::BlobId::of(&content));
    let hashed = began.elapsed();
    let written = limit::append(folder, bytes)?;
    let Joined { whole, served, stored, built, followed, questions } = joined;
    println!("  joined after {:.2} s: {questions} questions", whole.as_secs_f64());
    println!("    answered from the server's disk {:.2} s", served.as_secs_f64());
    println!("    state built and its root compared {:.2} s", built.as_secs_f64());
    println!("    stored {:.2} s", stored.as_secs_f64());
    println!("    {BEHIND} blocks verified and followed {:.2} s", followed.as_secs_f64());
    println!(
        "  its {:.1} MB hashed once {:.3} s, written and flushed once {:.2} s",
        bytes as f64 / 1e6,
        hashed.as_secs_f64(),
        written.as_secs_f64()
    );
    Ok(())
}
