//! What nothing on this machine can be faster than: signatures, the disk, a round trip.
//!
//! The checks here are those of `ed25519-zebra` on keys, signatures and messages that lie ready in
//! memory, each core with batches of its own: no ledger, no parse, no copy.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use ed25519_zebra::{Signature, VerificationKey, VerificationKeyBytes, batch};
use serde::Serialize;
use tally_api::v1::GetLogReceiptRequest;
use tally_api::v1::proofs_client::ProofsClient;
use tally_protocol::envelope::pre_authentication_encoding;

use crate::machine::cores;
use crate::{Failure, Latencies, Load, Process};

/// Signatures in a batch.
pub const BATCH: usize = 1_024;

/// Signatures that are checked again and again: more than the caches near a core hold.
const PREPARED: usize = 16 * BATCH;

/// Bytes of one append to the disk.
const BLOCK: usize = 4_096;

/// A key, its signature and what was signed.
struct Signed {
    key: VerificationKeyBytes,
    signature: Signature,
    message: Vec<u8>,
}

/// The signatures of a load, ready to be checked.
pub struct Prepared(Vec<Signed>);

/// How fast signatures are checked in batches of [`BATCH`].
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SignatureRate {
    /// Threads that checked.
    pub cores: usize,
    /// Signatures a second of all of them.
    pub per_second: f64,
    /// Processor time of a signature, microseconds.
    pub cpu_us_per_signature: f64,
}

impl Prepared {
    /// Takes signatures in the order in which a ledger would have them.
    ///
    /// # Panics
    /// When an envelope of the load is malformed.
    pub fn new(load: &Load) -> Self {
        let signed = load.in_turn().take(PREPARED).map(|signed| {
            let parsed = signed.clone().parse().expect("a market writes what can be read");
            Signed {
                key: VerificationKeyBytes::from(*parsed.envelope().author.as_bytes()),
                signature: Signature::from(signed.signature),
                message: pre_authentication_encoding(&signed.payload),
            }
        });
        Self(signed.collect())
    }

    /// Checks on all cores for so long.
    pub fn on_all_cores(&self, time: Duration) -> SignatureRate {
        self.rate(cores(), time)
    }

    /// Checks on so many threads for so long.
    ///
    /// # Panics
    /// When a signature is bad.
    pub fn rate(&self, cores: usize, time: Duration) -> SignatureRate {
        let (own, began) = (Process::own(), Instant::now());
        let (cpu, checked) = (own.cpu(), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for core in 0..cores {
                let checked = &checked;
                scope.spawn(move || {
                    let batches = self.0.chunks(BATCH).cycle().skip(core);
                    for batch in batches {
                        check(batch);
                        checked.fetch_add(batch.len() as u64, Ordering::Relaxed);
                        if began.elapsed() >= time {
                            return;
                        }
                    }
                });
            }
        });
        let (elapsed, checked) = (began.elapsed(), checked.into_inner() as f64);
        SignatureRate {
            cores,
            per_second: checked / elapsed.as_secs_f64(),
            cpu_us_per_signature: (own.cpu() - cpu).as_secs_f64() * 1e6 / checked,
        }
    }

    /// The median time of checking one signature by itself, its key decompressed for it.
    ///
    /// # Panics
    /// When a signature is bad.
    pub fn single(&self) -> Duration {
        let mut latencies = Latencies::default();
        for signed in self.0.iter().take(BATCH) {
            let began = Instant::now();
            let key = VerificationKey::try_from(signed.key).expect("a key of an author");
            key.verify(&signed.signature, &signed.message).expect("signed by its author");
            latencies.record(began.elapsed());
        }
        latencies.quantile(0.5)
    }
}

fn check(signatures: &[Signed]) {
    let mut batch = batch::Verifier::new();
    for Signed { key, signature, message } in signatures {
        batch.queue((*key, *signature, message));
    }
    batch.verify(rand::rng()).expect("signed by their authors");
}

/// The median time of appending 4 KiB to a file in this directory and making them durable.
///
/// # Errors
/// [`Failure::System`].
pub fn fdatasync(directory: &Path, time: Duration) -> Result<Duration, Failure> {
    let path = directory.join("appended");
    let failed = || Failure::system(path.display().to_string());
    let mut file = File::create(&path).map_err(failed())?;
    let (mut latencies, began) = (Latencies::default(), Instant::now());
    while began.elapsed() < time {
        let appending = Instant::now();
        file.write_all(&[7; BLOCK]).and_then(|()| file.sync_data()).map_err(failed())?;
        latencies.record(appending.elapsed());
    }
    std::fs::remove_file(&path).map_err(failed())?;
    Ok(latencies.quantile(0.5))
}

/// The median time of a call that does nothing, one at a time, to a server of [`crate::EmptyServer`].
///
/// # Errors
/// [`Failure`] when the server does not answer.
pub async fn round_trip(url: &str, time: Duration) -> Result<Duration, Failure> {
    let mut client = ProofsClient::connect(url.to_owned()).await?;
    let (mut latencies, began) = (Latencies::default(), Instant::now());
    while began.elapsed() < time {
        let calling = Instant::now();
        client.get_log_receipt(GetLogReceiptRequest::default()).await?;
        latencies.record(calling.elapsed());
    }
    Ok(latencies.quantile(0.5))
}

#[cfg(test)]
mod tests {
    use tally_benches::origin;

    use super::*;
    use crate::Wanted;

    fn load(lanes: usize, envelopes: usize) -> Load {
        Load::sign(&origin(), Wanted { signers: 16, lanes, envelopes, seed: 1 })
    }

    #[test]
    fn rates_are_of_what_was_checked() {
        let prepared = Prepared::new(&load(2, 2 * BATCH));
        let time = Duration::from_millis(100);
        let rate = prepared.rate(1, time);
        assert!(rate.per_second > 1_000.0, "{rate:?}");
        assert!(prepared.single() > Duration::from_secs_f64(1.0 / rate.per_second));
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_bad_signature_is_no_figure() {
        let mut load = load(1, 4);
        load.lanes[0][2].signature[0] ^= 1;
        Prepared::new(&load).rate(1, Duration::ZERO);
    }
}
