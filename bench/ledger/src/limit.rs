//! What no program could save: signatures, and the disk.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use grange_types::{SecretKey, Signature};

use crate::Fault;
use crate::sample;

/// Rounds of each measurement; the middle one counts.
const ROUNDS: usize = 9;
/// Signatures verified in a round, each of another key.
const SIGNATURES: usize = 512;
/// A message of about a receipt's length.
const MESSAGE: usize = 250;

/// How long one `verify_strict` takes, keys and signatures being bytes as they come with a transaction.
pub(crate) fn verification() -> Result<Duration, Fault> {
    let signed: Vec<(SecretKey, Vec<u8>, Signature)> = (0..SIGNATURES)
        .map(|index| {
            let key = SecretKey::from_bytes(&[(index % 251) as u8 + 1; 32]);
            let message: Vec<u8> = (0..MESSAGE).map(|place| (place ^ index) as u8).collect();
            let signature = key.sign(&message);
            (key, message, signature)
        })
        .collect();
    let publics: Vec<_> = signed.iter().map(|(key, ..)| key.public()).collect();
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for ((_, message, signature), key) in signed.iter().zip(&publics) {
            key.verify(message, signature)?;
        }
        times.push(began.elapsed() / SIGNATURES as u32);
    }
    Ok(sample::median(times))
}

/// How long it takes to write so many bytes behind the end of a file and wait until they are on the disk.
pub(crate) fn append(folder: &Path, bytes: usize) -> Result<Duration, Fault> {
    let mut file = File::create(folder.join("limit"))?;
    let content = vec![7; bytes];
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        file.write_all(&content)?;
        file.sync_data()?;
        times.push(began.elapsed());
    }
    Ok(sample::median(times))
}
