//! The server as operators see it: health, reflection, and an end that loses nothing.

use std::collections::HashSet;
use std::io::{Read, Write};

use tally_client::{Client, Context};
use tally_protocol::{AgentKey, EnvelopeId, Position};
use tally_tests::program::{Server, Shared, tally, wait_for};
use tally_tests::signer::intent;
use tokio_stream::StreamExt;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

/// The services of a ledger.
const SERVICES: [&str; 5] = [
    "tally.v1.Ledger",
    "tally.v1.Projections",
    "tally.v1.Proofs",
    "tally.v1.Query",
    "tally.v1.Replication",
];

/// Clients that append when the server is told to stop.
const CLIENTS: usize = 4;

/// Receipts that they have got by then.
const RECEIPTS: usize = 200;

#[tokio::test]
async fn health_says_that_every_service_is_serving() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let mut health = HealthClient::new(channel(&server).await);
    for service in [""].into_iter().chain(SERVICES) {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.expect("an answer").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service:?}");
    }
    let request = HealthCheckRequest { service: "tally.v1.Nothing".to_owned() };
    assert_eq!(health.check(request).await.expect_err("unknown").code(), Code::NotFound);
}

#[tokio::test]
async fn metrics_tell_of_commits_and_of_the_log() {
    let directory = tempfile::tempdir().expect("a directory");
    // Free when it was asked for; the server has it before anyone else is likely to.
    let address = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.local_addr().expect("an address").to_string()
    };
    let server = Server::start_with(directory.path(), &["--metrics", &address]);
    let author = server.client().await.author(AgentKey::from_seed(&[1; 32]));
    for n in 0..3 {
        author.append(intent(&n.to_string()), Context::default()).await.expect("appended");
    }
    let has = |page: &str, line: &str| page.lines().any(|found| found == line);
    wait_for("the gauges", || {
        let page = get(&address, "/metrics");
        has(&page, "tally_log_events 3").then_some(())
    });
    let page = get(&address, "/metrics");
    for line in [
        "tally_events_committed_total 3",
        "tally_commit_seconds_count 3",
        "tally_commit_running_seconds 0",
        "tally_projection_lag_events{projection=\"graph\"} 0",
        "tally_projection_lag_events{projection=\"index\"} 0",
        "tally_projection_quarantined_events{projection=\"index\"} 0",
        "tally_intake_used_ratio 0",
    ] {
        assert!(has(&page, line), "{line} is not in\n{page}");
    }
}

/// The body of a plain HTTP answer.
fn get(address: &str, path: &str) -> String {
    let mut stream = std::net::TcpStream::connect(address).expect("the port is open");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

#[tokio::test]
async fn reflection_lists_the_services_and_describes_their_messages() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let mut listed = HashSet::new();
    match ask(&server, MessageRequest::ListServices(String::new())).await {
        MessageResponse::ListServicesResponse(list) => {
            listed.extend(list.service.into_iter().map(|service| service.name));
        }
        other => panic!("{other:?}"),
    }
    for service in SERVICES.into_iter().chain(["grpc.health.v1.Health"]) {
        assert!(listed.contains(service), "{service} is not in {listed:?}");
    }
    for symbol in ["tally.v1.Ledger", "tally.v1.Envelope", "tally.v1.Intent.Terms"] {
        match ask(&server, MessageRequest::FileContainingSymbol(symbol.to_owned())).await {
            MessageResponse::FileDescriptorResponse(files) => {
                assert!(!files.file_descriptor_proto.is_empty(), "{symbol}");
            }
            other => panic!("{symbol}: {other:?}"),
        }
    }
}

async fn channel(server: &Server) -> Channel {
    let endpoint = Endpoint::from_shared(server.url.clone()).expect("a URL");
    endpoint.connect().await.expect("a connection")
}

async fn ask(server: &Server, message: MessageRequest) -> MessageResponse {
    let mut client = ServerReflectionClient::new(channel(server).await);
    let request = ServerReflectionRequest { host: String::new(), message_request: Some(message) };
    let answers = client.server_reflection_info(tokio_stream::once(request)).await;
    let mut answers = answers.expect("an answer").into_inner();
    let answer = answers.next().await.expect("one answer").expect("an answer");
    answer.message_response.expect("a response")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_told_to_stop_keeps_what_it_acknowledged() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let receipts = Shared::new();
    let (more_to, mut more) = tokio::sync::mpsc::unbounded_channel();
    let mut clients = Vec::new();
    for number in 0..CLIENTS {
        let client = server.client().await;
        clients.push(tokio::spawn(append_until_it_ends(
            client,
            number,
            receipts.clone(),
            more_to.clone(),
        )));
    }
    let follower = server.client().await.subscribe(Position(0)).await.expect("a subscription");
    let following = tokio::spawn(follow_until_it_ends(follower));
    // A reader that never reads does not hold the end up.
    let _idle = server.client().await.subscribe(Position(0)).await.expect("a subscription");
    for _ in 0..RECEIPTS {
        more.recv().await.expect("the clients are at work");
    }

    let Server { running, .. } = server;
    running.terminate();
    let status = tokio::task::spawn_blocking(|| running.wait()).await.expect("waited");
    assert_eq!(status.code(), Some(0), "{status}");
    let followed = following.await.expect("the follower ends");
    for client in clients {
        client.abort();
        // Aborted, or ended by itself when the ledger stopped.
        let _ended = client.await;
    }

    let receipts: Vec<(u64, EnvelopeId)> = receipts.take();
    assert!(receipts.len() >= RECEIPTS);
    let path = directory.path().to_str().expect("UTF-8");
    let report = tally(["verify", "--json", "--data", path]).expect(0).json();
    assert_eq!(report["verdict"], "valid", "{report}");
    assert_eq!(report["notes"].as_array().map(Vec::len), Some(0), "a clean end: {report}");
    let log = tally(["log", "--json", "--data", path]).expect(0).json_lines();
    for (position, id) in receipts {
        let event = &log[usize::try_from(position).expect("small")];
        assert_eq!(event["id"], id.to_string(), "at {position}");
    }
    assert!(followed <= log.len() as u64);
}

async fn append_until_it_ends(
    client: Client,
    number: usize,
    receipts: Shared<(u64, EnvelopeId)>,
    more: tokio::sync::mpsc::UnboundedSender<()>,
) {
    let author = client.author(AgentKey::generate());
    for n in 0.. {
        let said = intent(&format!("wish {n} of {number}"));
        let Ok(receipt) = author.append(said, Context::default()).await else { return };
        receipts.push((receipt.position().0, receipt.event().signed().id()));
        if more.send(()).is_err() {
            return;
        }
    }
}

/// Follows to the end of the stream and says how many events came.
async fn follow_until_it_ends(mut events: tally_client::Subscription) -> u64 {
    while let Ok(Some(_)) = events.next().await {}
    events.position().0
}

/// One directory has one writer.
#[test]
fn a_second_server_on_the_same_data_is_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let server = Server::start(directory.path());
    let path = directory.path().to_str().expect("UTF-8");
    let second = tally(["serve", "--data", path, "--listen", "127.0.0.1:0", "--json"]).expect(3);
    let text = second.json()["error"]["message"].as_str().expect("a message").to_owned();
    assert!(text.contains("lock") && text.contains(path), "{text}");
    let people = tally(["serve", "--data", path, "--listen", "127.0.0.1:0"]).expect(3);
    assert!(people.stderr.contains("tally: ") && people.stderr.contains("lock"), "{people:?}");

    // Reading takes no lock, and the first goes on.
    tally(["log", "--data", path]).expect(0);
    tally(["log", "--url", &server.url]).expect(0);
    server.kill();
    drop(Server::start(directory.path()));
}
