//! The check of one account by somebody who keeps no state.

use std::time::Instant;

use grange_consensus::Certificate;
use grange_ledger::{Block, HeaderProof, StateKey};
use grange_peer::{Proofs, Sealed, Shown, Trust};
use grange_types::{Amount, Millis, Wire};

use crate::chain::{Chain, Who, account, genesis, key};
use crate::{Fault, limit, sample};

/// Sizes of the set of validators; the last is the largest there may be.
const VALIDATORS: [usize; 4] = [4, 16, 64, 128];
/// Accounts that are looked up.
const LOOKS: usize = 1_000;
/// What each account has.
const BALANCE: Amount = Amount::credits(7);

/// Checks accounts of a state of so many, under certificates of more and more validators.
pub(crate) fn run(accounts: usize) -> Result<(), Fault> {
    let one = limit::verification()?;
    println!("{accounts} accounts, {LOOKS} looks each; one verification takes {:.1} µs", one.as_secs_f64() * 1e6);
    // Keys of a million accounts take a while; every size has the same.
    let mut all: Vec<_> = (0..accounts).map(|number| account(key(Who::Account, number).public(), BALANCE)).collect();
    all.sort_unstable_by_key(|account| account.id);
    for validators in VALIDATORS {
        look(validators, all.clone(), one)?;
    }
    Ok(())
}

fn look(
    validators: usize,
    accounts: Vec<grange_ledger::GenesisAccount>,
    one: std::time::Duration,
) -> Result<(), Fault> {
    let genesis = genesis(validators, accounts, 0)?;
    let trust = Trust::from_genesis(&genesis);
    let mut chain = Chain::new(&genesis)?;
    // The header of a block carries the root of the state before it.
    let decided = chain.decide(Millis::seconds(1), &[])?;
    let sealed = Sealed {
        header: HeaderProof::of(&Block::decode(&decided.block)?),
        certificate: Certificate::decode(&decided.certificate)?,
    };
    let (mut times, mut bytes, count) = (Vec::with_capacity(LOOKS), 0, genesis.accounts.len());
    for look in 0..LOOKS {
        let asked = StateKey::Account(genesis.accounts[look * (count / LOOKS).max(1) % count].id);
        let (entry, proof) = chain.ledger.prove(&asked);
        let answer = Proofs { sealed: sealed.clone(), shown: vec![Shown { entry, proof }] }.encode();
        bytes = bytes.max(answer.len());
        let began = Instant::now();
        let Proofs { sealed, shown } = Proofs::decode(&answer)?;
        let header = trust.check(&sealed)?;
        let [shown] = &shown[..] else { return Err("the answer is of other length".into()) };
        shown.check(header, &asked)?;
        times.push(began.elapsed());
        let other = StateKey::Account(genesis.accounts[(look + 1) % count].id);
        if count > 1 && asked != other && shown.check(header, &other).is_ok() {
            return Err("a proof of one account is taken for another's".into());
        }
    }
    println!("{validators} validators, an answer of at most {bytes} bytes");
    sample::print("check", times.clone());
    let signatures = one * validators as u32;
    let ratio = sample::median(times).as_secs_f64() / signatures.as_secs_f64();
    println!("  check ÷ its {validators} signatures alone {ratio:.2}");
    Ok(())
}
