//! Receipts: verified inside their transactions, executed, and appended to the chain.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use grange_ledger::{Action, Block, Ledger, Transaction};
use grange_types::{
    Amount, BlobId, Counters, DeploymentId, Isolation, Kind, LeaseId, LeaseTerms, Millis, PeerId, Prices, Quote,
    Receipt, Resources, SecretKey, Signed, SlotSpec, TxId, Wire,
};

use crate::chain::{Chain, Decided, Who, account, genesis, key};
use crate::store::Store;
use crate::{Fault, limit};

/// Owners, each with one deployment.
const OWNERS: usize = 256;
/// Slots of a deployment, each with a lease.
const SLOTS: usize = 16;
/// Providers among whom the leases are shared out.
const PROVIDERS: usize = 64;
/// What a replica costs an hour.
const RATE: Amount = Amount::credits(36);
/// Between two receipts of a lease.
const EVERY: Millis = Millis::seconds(1);

/// A lease, who pays it, and who is paid.
struct Leased {
    lease: LeaseId,
    terms: LeaseTerms,
    owner: SecretKey,
    provider: SecretKey,
}

/// How many receipts a provider hands in at once: each by itself, and as many as it has leases here.
const TOGETHER: [usize; 2] = [1, OWNERS * SLOTS / PROVIDERS];

/// Times so many receipts.
pub(crate) fn run(count: usize) -> Result<(), Fault> {
    TOGETHER.into_iter().try_for_each(|together| time(count, together))
}

fn time(count: usize, together: usize) -> Result<(), Fault> {
    let owners = (0..OWNERS).map(|owner| account(key(Who::Owner, owner).public(), Amount::credits(1_000_000)));
    let genesis = genesis(4, owners.collect(), PROVIDERS)?;
    let mut chain = Chain::new(&genesis)?;
    let leased = open(&mut chain)?;
    // Whoever only follows stands here when the receipts come.
    let validator = chain.ledger.clone();
    let (mut blocks, mut made, mut sequence) = (Vec::new(), 0, 0);
    while made < count {
        sequence += 1;
        let receipts = receipts(&mut chain, &leased, sequence, together);
        made += leased.len();
        blocks.extend(chain.decide_all(EVERY, &receipts)?);
    }
    println!("{made} receipts of {} leases, {together} in a transaction, in {} blocks", leased.len(), blocks.len());
    let executed = execute(validator.clone(), &blocks)?;
    let folder = tempfile::tempdir()?;
    let whole = follow(validator, &blocks, &mut Store::open(folder.path())?)?;
    if whole.ledger.state_root() != chain.ledger.state_root() {
        return Err("whoever followed the blocks has another state".into());
    }
    check_paid(&whole.ledger, &leased, sequence)?;
    let largest =
        blocks.iter().map(|decided| decided.block.len() + decided.certificate.len()).max().unwrap_or_default();
    let signatures = 1.0 + 1.0 / together as f64;
    print(
        &whole,
        executed,
        (made, signatures),
        blocks.len(),
        (limit::verification()?, limit::append(folder.path(), largest)?),
    );
    Ok(())
}

/// Opens the deployments and their leases.
fn open(chain: &mut Chain) -> Result<Vec<Leased>, Fault> {
    let mut deployments = Vec::new();
    let mut opening = Vec::new();
    for owner in 0..OWNERS {
        let owner = key(Who::Owner, owner);
        let action = Action::OpenDeployment {
            name: None,
            manifest: BlobId::of(b"manifest"),
            budget: Amount::credits(100_000),
            slots: (0..SLOTS as u32).map(slot).collect(),
            delegates: Vec::new(),
        };
        let transaction = chain.sign(&owner, action);
        deployments.push((DeploymentId(transaction.0.0), owner));
        opening.push(transaction);
    }
    chain.decide_all(EVERY, &opening)?;
    let (mut leased, mut opening) = (Vec::new(), Vec::new());
    for (index, (deployment, owner)) in deployments.into_iter().enumerate() {
        for slot in 0..SLOTS {
            let provider = key(Who::Provider, (index * SLOTS + slot) % PROVIDERS);
            let terms = terms(&provider);
            let valid_until = chain.expires();
            let quote =
                Quote { deployment, slot: slot as u32, generation: 1, terms: terms.clone(), valid_until, nonce: 1 };
            let quote = Box::new(Signed::seal(chain.ledger.network(), &provider, valid_until, quote));
            let transaction = chain.sign(&owner, Action::OpenLease { quote, replaces: None });
            leased.push(Leased { lease: LeaseId(transaction.0.0), terms, owner: owner.clone(), provider });
            opening.push(transaction);
        }
    }
    chain.decide_all(EVERY, &opening)?;
    Ok(leased)
}

fn slot(replica: u32) -> SlotSpec {
    SlotSpec {
        service: "web".into(),
        replica,
        max_rate: RATE,
        isolation: Isolation::Wasm,
        route: Some("/".into()),
        revision: BlobId::of(b"revision"),
    }
}

fn terms(provider: &SecretKey) -> LeaseTerms {
    LeaseTerms {
        provider: provider.public().peer(),
        operator: provider.public().account(),
        kind: Kind::Wasm,
        workload: BlobId::of(b"workload"),
        resources: Resources { cpu_millis: 1_000, ..Resources::default() },
        isolation: Isolation::Wasm,
        prices: Prices { cpu_hour: RATE, ..Prices::default() },
        max_rate: RATE,
    }
}

/// What a lease has earned after so many receipts.
fn earned(terms: &LeaseTerms, sequence: u64) -> (Counters, Amount) {
    let counters = Counters { served: Millis(EVERY.0 * sequence), requests: sequence * 100, ..Counters::default() };
    (counters, terms.prices.charge(&terms.resources, &counters))
}

/// The next receipt of every lease, signed by its owner, some together in a transaction that their provider signed.
fn receipts(chain: &mut Chain, leased: &[Leased], sequence: u64, together: usize) -> Vec<(TxId, Signed<Transaction>)> {
    // The block that they are in is a moment later.
    chain.time = chain.time.after(EVERY);
    let (network, expires) = (chain.ledger.network(), chain.expires());
    let mut made = Vec::with_capacity(leased.len());
    let mut waiting: BTreeMap<PeerId, Vec<Signed<Receipt>>> = BTreeMap::new();
    for Leased { lease, terms, owner, provider } in leased {
        let (counters, amount) = earned(terms, sequence);
        let disputed = Amount::ZERO;
        let receipt = Receipt { lease: *lease, generation: 1, sequence, counters, amount, disputed };
        let receipt = Signed::seal(network, owner, expires, receipt);
        if together == 1 {
            made.push(chain.sign(provider, Action::Settle { receipt: Box::new(receipt) }));
            continue;
        }
        let receipts = waiting.entry(terms.provider).or_default();
        receipts.push(receipt);
        if receipts.len() == together {
            let receipts = std::mem::take(receipts);
            made.push(chain.sign(provider, Action::SettleMany { receipts }));
        }
    }
    made
}

/// What the phases took.
struct Whole {
    ledger: Ledger,
    decode: Duration,
    prepare: Duration,
    commit: Duration,
    append: Duration,
}

/// What a validator does with blocks that it sees for the first time.
fn follow(mut ledger: Ledger, blocks: &[Decided], store: &mut Store) -> Result<Whole, Fault> {
    // The chain begins where the ledger stands.
    store.chain.end_at(ledger.height())?;
    let [mut decode, mut prepare, mut commit, mut append] = [Duration::ZERO; 4];
    for decided in blocks {
        let began = Instant::now();
        let block = Block::decode(&decided.block)?;
        decode += began.elapsed();
        let began = Instant::now();
        let prepared = ledger.prepare(block, &|_, _| false)?;
        prepare += began.elapsed();
        let began = Instant::now();
        store.chain.append(decided.height, &decided.block, &decided.certificate)?;
        append += began.elapsed();
        let began = Instant::now();
        ledger.commit(prepared)?;
        commit += began.elapsed();
    }
    Ok(Whole { ledger, decode, prepare, commit, append })
}

/// How long the same blocks take to prepare when every signature in them was verified before.
fn execute(mut ledger: Ledger, blocks: &[Decided]) -> Result<Duration, Fault> {
    let mut took = Duration::ZERO;
    for decided in blocks {
        let block = Block::decode(&decided.block)?;
        let began = Instant::now();
        let prepared = ledger.prepare(block, &|_, _| true)?;
        took += began.elapsed();
        ledger.commit(prepared)?;
    }
    Ok(took)
}

/// Every lease was paid what its last receipt says.
fn check_paid(ledger: &Ledger, leased: &[Leased], sequence: u64) -> Result<(), Fault> {
    for Leased { lease, terms, .. } in leased {
        let (_, expected) = earned(terms, sequence);
        let paid = ledger.view().lease(*lease).map(|lease| lease.settled);
        if paid != Some(expected) {
            return Err(format!("lease {} was paid {paid:?} in place of {expected}", lease.short()).into());
        }
    }
    Ok(())
}

fn print(
    whole: &Whole,
    executed: Duration,
    (made, signatures): (usize, f64),
    blocks: usize,
    (one, flush): (Duration, Duration),
) {
    let each = |span: Duration| span.as_secs_f64() * 1e6 / made as f64;
    let total = whole.decode + whole.prepare + whole.append + whole.commit;
    let (verified, alone) = (whole.prepare.saturating_sub(executed), one.mul_f64(signatures));
    println!("  receipts a second, one core: {:.0}", made as f64 / total.as_secs_f64());
    println!("  of {:.1} µs each:", each(total));
    println!("    decode {:.1}", each(whole.decode));
    println!("    verify {:.1}; {signatures:.2} signatures alone {:.1}", each(verified), alone.as_secs_f64() * 1e6);
    println!("    execute {:.1}, merge and root {:.1}", each(executed), each(whole.commit));
    let (append, flush) = (whole.append.as_secs_f64() * 1e3 / blocks as f64, flush.as_secs_f64() * 1e3);
    println!(
        "    append and flush {:.1}; {append:.2} ms a block, {flush:.2} ms for the largest alone",
        each(whole.append)
    );
    let limit = made as f64 / (alone.as_secs_f64() * made as f64 + flush / 1e3 * blocks as f64);
    println!(
        "  limit, signatures and flushes alone: {limit:.0} a second; seen ÷ limit {:.2}",
        made as f64 / total.as_secs_f64() / limit
    );
}
