//! A ledger that asks witnesses: receipts do not wait for them, or come only with them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use tally_client::{Client, Trust};
use tally_tests::program::{Running, Server, WAIT_LIMIT, tally};
use tally_tests::signer::{Signer, intent};
use tempfile::TempDir;

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// A ledger's directory with its key, and a witness for it.
struct Place {
    dir: TempDir,
    log_key: String,
}

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let server = Server::start(&dir.path().join("data"));
        Self { log_key: server.log_key.to_string(), dir }
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn witness(&self, listen: &str) -> (Running, Value) {
        let data = self.dir.path().join("witness");
        let args = [
            "witness",
            "--json",
            "--listen",
            listen,
            "--data",
            utf8(&data),
            "--log",
            &self.log_key,
        ];
        let mut running = Running::start(args);
        let said = running.line().expect("a greeting");
        (running, serde_json::from_str(&said).expect("JSON"))
    }

    /// A policy of this one witness.
    fn policy(&self, witness: &Value) -> PathBuf {
        let (key, url) = (witness["key"].as_str().expect("a key"), witness["url"].as_str());
        let (log, url) = (&self.log_key, url.expect("a URL"));
        let path = self.dir.path().join("policy");
        let text = format!("log {log}\nwitness w {key} {url}\nquorum w\n");
        std::fs::write(&path, text).expect("written");
        path
    }

    fn serve(&self, policy: &Path, more: &[&str]) -> Server {
        let args = ["--witness-policy", utf8(policy)];
        Server::start_with(&self.data(), &[&args[..], more].concat())
    }

    /// What `tally verify` makes of the receipt of a position, by this policy.
    fn verdict(&self, server: &Server, position: u64, policy: &Path) -> Value {
        let (at, receipt) = (position.to_string(), self.dir.path().join("receipt"));
        let source = ["--url", &server.url, "--log-key", &self.log_key];
        tally(["prove", &at, "-o", utf8(&receipt)].iter().chain(&source)).expect(0);
        let args = ["verify", "--json", utf8(&receipt), "--witness-policy", utf8(policy)];
        let answer = tally(args);
        let judged = answer.json();
        let valid = judged["witnessed_verdict"] == "valid";
        assert_eq!(answer.code(), i32::from(!valid), "{answer:?}");
        judged
    }
}

async fn client(server: &Server) -> Client {
    let trust = Trust::Key(server.log_key.clone());
    Client::connect(&server.url, trust).await.expect("a connection")
}

/// Waits until the ledger gives away a checkpoint with so many signatures.
async fn until_signed_by(client: &Client, signatures: usize) {
    let begun = Instant::now();
    loop {
        let head = client.head().await.expect("a head").checkpoint;
        if head.is_some_and(|head| head.signed().note().signatures().len() == signatures) {
            return;
        }
        assert!(begun.elapsed() < WAIT_LIMIT, "not signed by {signatures}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn receipts_that_do_not_wait_are_witnessed_soon_and_go_on_without() {
    let place = Place::new();
    let (mut running, said) = place.witness("127.0.0.1:0");
    let policy = place.policy(&said);
    let server = place.serve(&policy, &[]);
    let client = client(&server).await;
    let mut author = Signer::new(1, &server.origin);
    client.append(&author.say(intent("one"))).await.expect("appended");
    until_signed_by(&client, 2).await;
    let judged = place.verdict(&server, 0, &policy);
    assert_eq!(judged["witnessed_verdict"], "valid", "{judged}");
    assert_eq!(judged["witnesses"]["cosigned"][0], "w", "{judged}");
    // The directory says so too.
    let data = place.data();
    let args = ["verify", "--json", utf8(&data), "--witness-policy", utf8(&policy)];
    assert_eq!(tally(args).expect(0).json()["witnessed_verdict"], "valid");

    running.end();
    client.append(&author.say(intent("two"))).await.expect("appended without the witness");
    until_signed_by(&client, 1).await;
    let judged = place.verdict(&server, 1, &policy);
    assert_eq!(judged["verdict"], "valid", "{judged}");
    assert_eq!(judged["witnessed_verdict"], "incomplete", "{judged}");
    assert_eq!(judged["witnesses"]["missing"][0], "w", "{judged}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_witnesses_are_required_no_receipt_comes_without() {
    let place = Place::new();
    let (mut running, said) = place.witness("127.0.0.1:0");
    let address = said["url"].as_str().expect("a URL").trim_start_matches("http://").to_owned();
    let policy = place.policy(&said);
    running.end();
    let server = place.serve(&policy, &["--witnesses-required"]);
    let client = client(&server).await;
    let signed = Signer::new(1, &server.origin).say(intent("one"));
    let appending = client.append(&signed);
    tokio::pin!(appending);
    let early = tokio::time::timeout(Duration::from_secs(2), &mut appending).await;
    assert!(early.is_err(), "nothing is answered without the witness: {early:?}");
    let head = client.head().await.expect("a head");
    assert_eq!(head.size.as_u64(), 1, "it is durable");
    assert!(head.checkpoint.is_none(), "and no checkpoint is given away");

    let (_running, _) = place.witness(&address);
    appending.await.expect("a receipt, once the witness is there");
    let judged = place.verdict(&server, 0, &policy);
    assert_eq!(judged["witnessed_verdict"], "valid", "{judged}");
}
