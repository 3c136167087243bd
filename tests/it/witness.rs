//! `tally witness` as an operator runs it, asked for the checkpoints of a real ledger.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tally_store::TreeReader;
use tally_tests::http::get;
use tally_tests::program::{Running, Server, WAIT_LIMIT, copy, demo_args, shipped, tally};
use tally_tlog::{ConsistencyProof, CosignerKey, SignedCheckpoint, TreeSize, consistency_proof};
use tally_witness::{ProofFailure, SubmitError, WitnessClient, origin_hash};

fn text(path: &Path) -> &str {
    path.to_str().expect("a UTF-8 path")
}

/// A witness that `tally witness` runs.
struct Witness {
    running: Running,
    said: Value,
}

impl Witness {
    fn start(data: &Path, log: &str) -> Self {
        let args =
            ["witness", "--json", "--listen", "127.0.0.1:0", "--data", text(data), "--log", log];
        let mut running = Running::start(args);
        let line = running.line().expect("a greeting");
        Witness { running, said: serde_json::from_str(&line).expect("JSON") }
    }

    fn key(&self) -> CosignerKey {
        self.said["key"].as_str().and_then(|key| key.parse().ok()).expect("a key")
    }

    fn url(&self) -> &str {
        self.said["url"].as_str().expect("a URL")
    }

    fn client(&self) -> WitnessClient {
        WitnessClient::new(self.url(), self.key(), WAIT_LIMIT)
    }

    /// The latest size of the one log, as it was at the start.
    fn size(&self) -> u64 {
        self.said["logs"][0]["size"].as_u64().expect("a size")
    }
}

/// The checkpoint of a data directory.
fn checkpoint(data: &Path) -> SignedCheckpoint {
    let proof = tally(["prove", "--json", "--data", text(data), "0"]).expect(0).json();
    let proof = proof["proof"].as_str().expect("a proof").to_owned();
    let (_, checkpoint) = proof.split_once("\n\n").expect("the checkpoint comes last");
    SignedCheckpoint::parse(checkpoint.as_bytes()).expect("a checkpoint")
}

fn prover(
    data: &Path,
    to: &SignedCheckpoint,
) -> impl Fn(TreeSize) -> Result<ConsistencyProof, ProofFailure> {
    let tree = TreeReader::open_read_only(&data.join("tree")).expect("the tree");
    let size = to.unverified().size;
    move |old| Ok(consistency_proof(&tree, old, size)?)
}

fn submit(witness: &Witness, data: &Path) -> Result<(), SubmitError> {
    let checkpoint = checkpoint(data);
    let line = witness.client().submit(TreeSize::ZERO, prover(data, &checkpoint), &checkpoint)?;
    let verified = witness.key().verify_lines(&checkpoint, &[line]).expect("verified");
    assert!(verified.is_some());
    Ok(())
}

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let place = Place(tempfile::tempdir().expect("a directory"));
        copy(&shipped().data(), &place.path("data"));
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn log_key(&self) -> String {
        text(&self.path("data/log.pub")).to_owned()
    }
}

#[test]
fn a_ledger_s_checkpoints_are_cosigned_as_it_grows_and_forks_are_not() {
    let place = Place::new();
    let (data, home) = (place.path("data"), place.path("witness"));
    let fork = place.path("fork");
    copy(&data, &fork);
    let witness = Witness::start(&home, &place.log_key());
    assert_eq!(witness.size(), 0);
    submit(&witness, &data).expect("the first checkpoint");
    tally(demo_args(&data, None)).expect(0);
    submit(&witness, &data).expect("a later one");
    submit(&witness, &data).expect("the same again");

    // A power cut, and the witness is back with what it knew.
    let key = witness.key();
    witness.running.kill();
    let witness = Witness::start(&home, &place.log_key());
    assert_eq!((witness.key(), witness.size()), (key, 248));
    // The ledger's older copy is behind; grown by itself it is a fork.
    let behind = submit(&witness, &fork).expect_err("behind");
    assert!(matches!(behind, SubmitError::Ahead { .. }), "{behind}");
    for _ in 0..2 {
        tally(demo_args(&fork, None)).expect(0);
    }
    let forked = submit(&witness, &fork).expect_err("a fork");
    assert!(matches!(forked, SubmitError::Refused { status: 422, .. }), "{forked}");

    // What it cosigned is there for everyone.
    let origin = &checkpoint(&data).unverified().origin.clone();
    let address = witness.url().replacen("http://", "", 1);
    let shown = get(&address, &format!("/{}/checkpoint", origin_hash(origin)));
    let shown = SignedCheckpoint::parse(&shown.body).expect("a checkpoint");
    assert_eq!(shown.unverified().size, TreeSize::new(248));
    assert!(witness.key().verify(&shown).expect("verified").is_some());
    // And the ledger's owner can hold a copy to it before serving it.
    let seen = place.path("seen");
    std::fs::write(&seen, checkpoint(&data).to_bytes()).expect("written");
    let args = ["serve", "--listen", "127.0.0.1:0", "--data", text(&fork), "--seen", text(&seen)];
    tally(args).expect(1);
}

#[test]
fn a_witness_keeps_its_key_and_ends_when_told() {
    let place = Place::new();
    let home = place.path("witness");
    let witness = Witness::start(&home, &place.log_key());
    let key = witness.key();
    assert!(key.name().as_str().ends_with(".witness.localhost"), "{key}");
    assert_eq!(
        std::fs::read_to_string(home.join("witness.pub")).expect("a file").trim(),
        key.to_string()
    );
    let secret = home.join("witness.key").metadata().expect("a file");
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&secret.permissions()) & 0o077, 0);
    // One directory has one witness.
    let log = place.log_key();
    let args = ["witness", "--listen", "127.0.0.1:0", "--data", text(&home), "--log", &log];
    assert!(tally(args).expect(3).stderr.contains("lock"));
    witness.running.terminate();
    assert_eq!(witness.running.wait().code(), Some(0));
    assert!(
        tally(args.iter().chain(&["--name", "other.example"])).expect(2).stderr.contains("--name")
    );
    let again = Witness::start(&home, &place.log_key());
    assert_eq!(again.key(), key);
    // A log key is needed, and must be one.
    let home = place.path("nobody");
    let args = ["witness", "--listen", "127.0.0.1:0", "--data", text(&home)];
    tally(args).expect(2);
    tally(args.iter().chain(&["--log", "not a key"])).expect(2);
    tally(args.iter().chain(&["--log", &key.to_string()])).expect(2);
    assert!(!home.exists(), "nothing was made");
}

#[test]
fn a_damaged_record_refuses_the_start() {
    let place = Place::new();
    let (data, home) = (place.path("data"), place.path("witness"));
    let witness = Witness::start(&home, &place.log_key());
    submit(&witness, &data).expect("cosigned");
    witness.running.kill();
    let hash = origin_hash(&checkpoint(&data).unverified().origin);
    let record = home.join("logs").join(&hash);
    let whole = std::fs::read_to_string(&record).expect("a record");
    std::fs::write(&record, whole.replacen("\n124\n", "\n123\n", 1)).expect("written");
    let log = place.log_key();
    let args = ["witness", "--listen", "127.0.0.1:0", "--data", text(&home), "--log", &log];
    let said = tally(args).expect(3).stderr;
    assert!(said.contains(&hash) && said.contains("damaged"), "{said}");
    std::fs::write(&record, whole).expect("written");
    assert_eq!(Witness::start(&home, &log).size(), 124);
}

/// The same `tally serve` beside which a witness stands, by its own address.
#[test]
fn the_served_checkpoint_is_the_one_that_is_witnessed() {
    let place = Place::new();
    let (data, home) = (place.path("data"), place.path("witness"));
    let server = Server::start_with(&data, &["--http", "127.0.0.1:0"]);
    let witness = Witness::start(&home, &server.log_key.to_string());
    let served = get(server.http.as_deref().expect("an address"), "/checkpoint").body;
    let served = SignedCheckpoint::parse(&served).expect("a checkpoint");
    let line = witness.client().submit(TreeSize::ZERO, prover(&data, &served), &served);
    let mut cosigned = served.clone();
    cosigned.add_signature(line.expect("cosigned")).expect("room");
    assert!(witness.key().verify(&cosigned).expect("verified").is_some());
}
