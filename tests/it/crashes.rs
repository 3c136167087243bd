//! SIGKILL at any moment: what was acknowledged is in the log, at the same place, with the same
//! bytes.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use tally_client::{Client, Context, Receipt};
use tally_protocol::{AgentKey, EnvelopeId, Position};
use tally_tests::program::{Running, Server, Shared, copy, demo_args, tally, wait_for};
use tally_tests::signer::intent;
use tally_tests::workflow::{Shape, generate};
use tally_tlog::Hash;

/// The workflow that is interrupted.
const SHAPE: Shape = Shape { lanes: 6, steps: 6, fan_in: 30, waits_for: 12 };

/// Receipts that the whole workflow gives at least.
const RECEIPTS: usize = 300;

/// Moments at which it is interrupted.
const MOMENTS: usize = 20;

/// Times that a loaded server is killed.
const CYCLES: usize = 10;

/// Clients that load it.
const CLIENTS: u64 = 6;

#[test]
fn a_killed_demo_has_everything_that_its_agents_hold_receipts_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let trace = directory.path().join("trace.json");
    generate(&trace, 2, SHAPE);
    for moment in 0..MOMENTS {
        let data = directory.path().join(format!("data-{moment}"));
        let wanted = 1 + moment * RECEIPTS / MOMENTS;
        let mut demo = Running::start(demo_args(&data, Some(&trace)));
        wait_for("receipts", || {
            assert!(!demo.has_ended(), "the workflow gives {RECEIPTS} receipts");
            (receipts(&data).len() >= wanted).then_some(())
        });
        demo.kill();

        let before = check_data(&data);
        let server = Server::start(&data);
        assert!(server.size >= before, "{} events after {before}", server.size);
        assert_eq!(check_data(&data), server.size);
        drop(server);
        if moment == MOMENTS / 2 {
            check_goes_on(&data, &trace);
        }
    }
}

/// A demo can be played again in the directory of one that was killed.
fn check_goes_on(data: &Path, trace: &Path) {
    let again = data.with_extension("again");
    copy(data, &again);
    let answer = tally(demo_args(&again, Some(trace))).expect(0).json();
    assert_eq!(answer["verdict"], "valid");
    assert_eq!(answer["completed"], true);
    check_data(&again);
}

/// The whole lines of the agents' receipts.
fn receipts(data: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(data.join("receipts.jsonl")).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(|line| serde_json::from_str(line).expect("a receipt")).collect()
}

/// The ledger verifies and has every receipt's event at its place; gives its size.
fn check_data(data: &Path) -> u64 {
    let path = data.to_str().expect("UTF-8");
    let report = tally(["verify", "--json", "--data", path]).expect(0).json();
    assert_eq!(report["verdict"], "valid", "{report}");
    let log = tally(["log", "--json", "--data", path]).expect(0).json_lines();
    let receipts = receipts(data);
    assert!(!receipts.is_empty());
    for receipt in receipts {
        let position = receipt["position"].as_u64().expect("a position");
        let event = log.get(usize::try_from(position).expect("small"));
        let event = event.unwrap_or_else(|| panic!("{position} is gone, of {}", log.len()));
        for field in ["position", "id", "leaf"] {
            assert_eq!(event[field], receipt[field], "{field} at {position}");
        }
    }
    assert!(report["size"].as_u64().expect("a size") >= log.len() as u64);
    log.len() as u64
}

#[test]
fn a_killed_server_has_everything_that_it_gave_receipts_for() {
    let directory = tempfile::tempdir().expect("a directory");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let mut held: HashMap<EnvelopeId, (Position, Hash)> = HashMap::new();
    for cycle in 0..CYCLES {
        let server = Server::start(directory.path());
        assert!(
            server.size >= held.len() as u64,
            "{} receipts, {} events",
            held.len(),
            server.size
        );
        let new = runtime.block_on(async {
            let client = server.client().await;
            check_held(&client, &held, cycle).await;
            load_and_kill(server, 20 + 37 * cycle).await
        });
        for receipt in new {
            let event = receipt.event();
            held.insert(event.signed().id(), (event.position(), event.leaf()));
        }
    }
    let server = Server::start(directory.path());
    runtime.block_on(async { check_held(&server.client().await, &held, 0).await });
    drop(server);
    let path = directory.path().to_str().expect("UTF-8");
    let report = tally(["verify", "--json", "--data", path]).expect(0).json();
    assert_eq!(report["verdict"], "valid", "{report}");
    assert!(held.len() >= CYCLES * 20);
}

/// Loads a server from all sides until so many receipts were given, kills it, and gives all
/// receipts that the clients got.
async fn load_and_kill(server: Server, wanted: usize) -> Vec<Receipt> {
    let receipts = Shared::new();
    let (more_to, mut more) = tokio::sync::mpsc::unbounded_channel();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        // The same authors in every cycle: their chains go on across the crash.
        let author = server.client().await.author(key(number));
        let (receipts, more_to) = (receipts.clone(), more_to.clone());
        clients.push(tokio::spawn(async move {
            for n in 0.. {
                let said = intent(&format!("wish {n} of {number}"));
                let Ok(receipt) = author.append(said, Context::default()).await else { return };
                receipts.push(receipt);
                if more_to.send(()).is_err() {
                    return;
                }
            }
        }));
    }
    for _ in 0..wanted {
        more.recv().await.expect("the clients are at work");
    }
    server.kill();
    for client in clients {
        client.abort();
        // Aborted, or ended by itself when the connection broke.
        let _ended = client.await;
    }
    receipts.take()
}

fn key(number: u64) -> AgentKey {
    let mut seed = [5; 32];
    seed[..8].copy_from_slice(&number.to_be_bytes());
    AgentKey::from_seed(&seed)
}

async fn check_held(client: &Client, held: &HashMap<EnvelopeId, (Position, Hash)>, cycle: usize) {
    for (id, (position, leaf)) in held {
        let receipt = client
            .receipt_of(id)
            .await
            .unwrap_or_else(|error| panic!("cycle {cycle}: {id} at {position} is gone: {error}"));
        assert_eq!(receipt.position(), *position, "cycle {cycle}: {id} has moved");
        assert_eq!(receipt.event().leaf(), *leaf, "cycle {cycle}: {id} has changed");
    }
}
