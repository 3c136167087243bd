//! A mirror holds what its writer signed, byte for byte, and nothing else: whatever the writer, the
//! network or the power supply do.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::Value;
use tally_client::{Client, Trust};
use tally_node::{
    Config, Mirror, MirrorConfig, Node, OpenError, Replica, Standing, SystemClock, Until, Upstream,
    history,
};
use tally_protocol::{Position, SignedEnvelope};
use tally_store::{LogReader, ReadLimit, SegmentReader};
use tally_tests::life::{Life, origin};
use tally_tests::operator::Operator;
use tally_tests::program::{POLL_PAUSE, Running, Server, WAIT_LIMIT, tally};
use tally_tests::signer::{Signer, cancel, intent};
use tally_tests::upstream::{BadNetwork, Directory};
use tally_tlog::{NoteSigner, TreeSize, VerifierKey};
use tempfile::TempDir;
use tokio::sync::watch;

fn utf8(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn reader(data: &Path) -> SegmentReader {
    SegmentReader::open_read_only(data, &mut |_| {}).expect("a log").0
}

fn events(data: &Path) -> Vec<bytes::Bytes> {
    let reader = reader(data);
    let limit = ReadLimit { events: usize::MAX, bytes: usize::MAX };
    let events = reader.read(Position(0), limit).expect("events");
    events.iter().map(|event| event.bytes().clone()).collect()
}

/// Both directories hold the same events, the same nodes of the tree and the same checkpoint.
#[track_caller]
fn assert_same(writer: &Path, mirror: &Path) {
    assert_eq!(reader(writer).tip(), reader(mirror).tip());
    assert_eq!(reader(writer).checkpoint(), reader(mirror).checkpoint());
    assert!(events(writer) == events(mirror), "the events differ");
    let files = |data: &Path| {
        let entries = std::fs::read_dir(data.join("tree")).expect("a tree");
        let mut files: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
        files.sort();
        let read = |path: &std::path::PathBuf| {
            (path.file_name().map(ToOwned::to_owned), std::fs::read(path).expect("a level"))
        };
        files.iter().map(read).collect::<Vec<_>>()
    };
    assert!(files(writer) == files(mirror), "the trees differ");
}

fn open(data: &Path, log_key: &VerifierKey) -> (Node, Replica) {
    let begun = Instant::now();
    loop {
        let config = MirrorConfig {
            data: data.to_owned(),
            log_key: log_key.clone(),
            writer: "test".into(),
            cosigner: None,
            clock: Arc::new(SystemClock),
        };
        match Node::open_mirror(config, |_| {}) {
            Ok(opened) => return opened,
            // A child of another test has the lock too, from its fork to its exec.
            Err(OpenError::Store(tally_store::OpenError::Locked { .. }))
                if begun.elapsed() < WAIT_LIMIT =>
            {
                std::thread::sleep(POLL_PAUSE);
            }
            Err(error) => panic!("the mirror opens: {error}"),
        }
    }
}

async fn follow<U: Upstream + 'static>(
    upstream: U,
    data: &Path,
    log_key: &VerifierKey,
) -> Standing {
    let (node, replica) = open(data, log_key);
    let (_stop_to, stop) = watch::channel(false);
    let mirror = Mirror::new(upstream, node.clone(), replica);
    let mirror = mirror.with_longest_retry(Duration::from_millis(1));
    let standing = mirror.run(Until::Current, stop).await;
    node.shut_down().await;
    standing.expect("the disk is fine")
}

// ------------------------------------------------------------------ honest writers

/// Most events of one group.
const GROUP: usize = 200;

/// A ledger of so many intents by a few authors, in groups as they come.
async fn busy_ledger(data: &Path, events: usize) -> VerifierKey {
    let signer = NoteSigner::from_seed(origin().key_name(), &[3; 32]);
    let (key, secret) = (signer.verifier_key(), signer.to_secret_text().to_string());
    let config = Config::new(data.to_owned(), origin(), signer);
    let node = Node::open(config, |_| {}).expect("it opens");
    add_events(&node, events).await;
    node.shut_down().await;
    std::fs::write(data.join("log.key"), secret).expect("written");
    key
}

async fn add_events(node: &Node, events: usize) {
    let mut authors: Vec<_> = (1..=8).map(|n| Signer::new(n, &origin())).collect();
    let mut waiting = Vec::with_capacity(GROUP);
    for n in 0..events {
        let author = &mut authors[n % 8];
        let signed = author.say(intent(&format!("wish {n}"))).parse().expect("an envelope");
        waiting.push(node.enqueue(signed).await.expect("taken in"));
        if waiting.len() == GROUP || n + 1 == events {
            for appending in waiting.drain(..) {
                appending.receipt().await.expect("appended");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_ends_byte_identical_and_comes_to_the_same() {
    let (writer, mirror) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let key = busy_ledger(writer.path(), 3_000).await;
    let standing = follow(Directory::of(writer.path()), mirror.path(), &key).await;
    assert_eq!(standing, Standing::Current);
    assert_same(writer.path(), mirror.path());
    let state = |data: &Path| history::fold_state(&reader(data)).expect("a state").digest();
    assert_eq!(state(writer.path()), state(mirror.path()));
}

/// A live writer under load: the mirror keeps up, and whenever both are asked for a digest of the
/// same size, it is the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_live_mirror_keeps_up_and_its_digests_agree() {
    let (data, copy) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let server = Server::start(data.path());
    let mirror = start_mirror(&server, copy.path());
    let (key, url) = (server.log_key.clone(), mirror.url.clone());
    let mirrored = Client::connect(&url, Trust::Key(key.clone())).await.expect("the mirror");
    let client = Client::connect(&server.url, Trust::Key(key)).await.expect("the writer");
    let mut author = Signer::new(1, &server.origin);
    let mut compared = 0;
    for round in 0..20 {
        let said = (0..50).map(|n| author.say(intent(&format!("{round} {n}")))).collect();
        for receipt in client.append_all(said).await.expect("a stream") {
            receipt.expect("appended");
        }
        let size = client.head().await.expect("a head").size;
        let (as_of, digest) = client.state_digest(size).await.expect("a digest");
        let (there, other) = mirrored.state_digest(size).await.expect("a digest");
        assert_eq!((as_of, digest), (there, other), "round {round}");
        compared += 1;
    }
    assert_eq!(compared, 20);
    // The mirror answers like the writer, under the writer's signature and its own.
    let last = Position(client.head().await.expect("a head").size.as_u64() - 1);
    let receipt = mirrored.receipt_at(last).await.expect("a receipt that holds");
    assert_eq!(
        receipt.event().bytes(),
        client.receipt_at(last).await.expect("too").event().bytes()
    );
    let note = mirrored.head().await.expect("a head").checkpoint.expect("signed");
    let signers = note.signed().note().signatures().len();
    assert_eq!(signers, 2, "the ledger and the mirror");
}

fn start_mirror(server: &Server, copy: &Path) -> Server {
    mirror_of(&server.url, &server.log_key, copy)
}

fn mirror_of(url: &str, key: &VerifierKey, copy: &Path) -> Server {
    let key = key.to_string();
    let args = ["mirror", "--json", "--listen", "127.0.0.1:0", "--from", url, "--log-key", &key];
    let running = Running::start(args.iter().chain(&["--data", utf8(copy)]));
    Server::greet(running).unwrap_or_else(|_| panic!("the mirror starts"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_appends_to_a_mirror_and_it_says_where_to() {
    let (data, copy) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    let server = Server::start(data.path());
    let mirror = start_mirror(&server, copy.path());
    let trust = Trust::Key(server.log_key.clone());
    let client = Client::connect(&mirror.url, trust).await.expect("the mirror");
    let signed = Signer::new(1, &server.origin).say(intent("a wish"));
    let refused = client.append(&signed).await.expect_err("refused").to_string();
    assert!(refused.contains(&server.url), "{refused}");
    let head = client.head().await.expect("a head");
    assert_eq!(head.size, TreeSize::ZERO);
}

/// A running ledger or mirror is verified from all that it sends; and nobody else's key will do.
#[test]
fn what_is_served_is_verified_over_the_network() {
    let (data, copy) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    tally(["demo", "--no-wait", "--listen", "127.0.0.1:0", "--data", utf8(data.path())]).expect(0);
    let server = Server::start(data.path());
    let mirror = start_mirror(&server, copy.path());
    let key = server.log_key.to_string();
    let local = tally(["verify", "--json", utf8(data.path())]).expect(0).json();
    assert_eq!(local["size"], server.size);
    let report = tally(["verify", "--json", &server.url, "--log-key", &key]).expect(0).json();
    assert_eq!(report, local);
    // The mirror may still be catching up.
    until(|| tally(["verify", "--json", &mirror.url, "--log-key", &key]).expect(0).json() == local);
    let stranger = NoteSigner::from_seed(server.origin.key_name(), &[8; 32]).verifier_key();
    let refused = tally(["verify", &server.url, "--log-key", &stranger.to_string()]);
    assert_ne!(refused.code(), 0, "{refused:?}");
}

/// A mirror can be mirrored, and its directory does not become a ledger by accident.
#[test]
fn a_mirror_of_a_mirror_is_the_same_and_neither_is_served_as_the_ledger() {
    let dirs: Vec<TempDir> = (0..3).map(|_| tempfile::tempdir().expect("a directory")).collect();
    let [data, first, second] = &dirs[..] else { unreachable!() };
    tally(["demo", "--no-wait", "--listen", "127.0.0.1:0", "--data", utf8(data.path())]).expect(0);
    let server = Server::start(data.path());
    let mirror = start_mirror(&server, first.path());
    let key = server.log_key.to_string();
    let once = ["mirror", "--json", "--once", "--log-key", &key, "--data", utf8(second.path())];
    // The first may still be catching up: what it has shown is what the second holds.
    until(|| once_of(&once, &mirror.url)["size"] == server.size);
    assert_same(data.path(), second.path());
    drop(mirror);
    let refused = tally(["serve", "--listen", "127.0.0.1:0", "--data", utf8(first.path())]);
    assert!(refused.expect(2).stderr.contains("holds a mirror"));
    let refused = tally(
        ["mirror", "--from", &server.url, "--log-key", &key, "--data"]
            .iter()
            .copied()
            .chain([utf8(data.path())]),
    );
    assert!(refused.expect(2).stderr.contains("mirror into another directory"));
}

/// Looks again and again at what can only be looked at, but not for ever.
fn until(mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < WAIT_LIMIT, "it does not come to that");
    }
}

fn once_of(args: &[&str], url: &str) -> Value {
    tally(args.iter().copied().chain(["--from", url])).expect(0).json()
}

// ------------------------------------------------------------------ crashes and networks

/// Killed at a hundred random moments while it catches up, it ends as if nothing had happened.
#[tokio::test(flavor = "multi_thread")]
async fn killed_a_hundred_times_it_ends_byte_identical() {
    const KILLS: usize = 100;
    /// Milliseconds.
    const SHORT: u64 = 30;
    let (data, copy) = (tempfile::tempdir().expect("one"), tempfile::tempdir().expect("two"));
    busy_ledger(data.path(), 60_000).await;
    let server = Server::start(data.path());
    let key = server.log_key.to_string();
    let args = [
        "mirror",
        "--json",
        "--listen",
        "127.0.0.1:0",
        "--from",
        &server.url,
        "--log-key",
        &key,
        "--data",
        utf8(copy.path()),
    ];
    let mut chance = StdRng::seed_from_u64(5);
    let (mut sizes, mut underway, mut patience) = (vec![0], 0, SHORT);
    for _ in 0..KILLS {
        let mut running = Running::start(args);
        running.line().expect("it says where it serves");
        std::thread::sleep(Duration::from_millis(chance.random_range(0..patience)));
        running.end();
        let size = SegmentReader::open_read_only(copy.path(), &mut |_| {})
            .map_or(0, |(reader, _)| reader.tip().size.as_u64());
        underway += usize::from(size < server.size);
        // A slow machine needs longer to keep anything at all.
        patience = if sizes.last() == Some(&size) { patience + SHORT } else { SHORT };
        sizes.push(size);
    }
    assert!(sizes.is_sorted(), "what was kept stays: {sizes:?}");
    assert!(sizes[KILLS] > 0, "it got somewhere");
    assert!(underway > KILLS / 2, "killed {underway} times on the way: {sizes:?}");
    let once = [
        "mirror",
        "--json",
        "--once",
        "--from",
        &server.url,
        "--log-key",
        &key,
        "--data",
        utf8(copy.path()),
    ];
    let answer = tally(once).expect(0).json();
    assert_eq!(answer["size"], server.size);
    assert_same(data.path(), copy.path());
    tally(["verify", "--log-key", &key, "--data", utf8(copy.path())]).expect(0);
}

/// Whatever the network does, nothing is kept that the writer did not sign, and in the end
/// everything is there.
#[tokio::test(flavor = "multi_thread")]
async fn over_a_bad_network_it_keeps_nothing_unverified_and_converges() {
    let data = tempfile::tempdir().expect("a directory");
    let key = busy_ledger(data.path(), 600).await;
    let honest = events(data.path());
    let mut interrupted = 0;
    for seed in 0..40 {
        let copy = tempfile::tempdir().expect("a directory");
        for tries in 0.. {
            assert!(tries < 500, "seed {seed} does not converge");
            let network = BadNetwork::new(Directory::of(data.path()), 1_000 * seed + tries);
            let standing = follow(network, copy.path(), &key).await;
            let kept = events(copy.path());
            assert!(honest.starts_with(&kept), "seed {seed} kept what was never written");
            match standing {
                Standing::Current => break,
                // A damaged message looks like a lie; it is asked for again.
                Standing::Refused { .. } | Standing::Waiting { .. } => interrupted += 1,
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        assert_same(data.path(), copy.path());
    }
    assert!(interrupted > 40, "only {interrupted} tries met damage");
}

// ------------------------------------------------------------------ dishonest operators

/// An operator writes a history, a mirror sees the first of it, and then the operator has another.
struct Crime {
    honest: TempDir,
    other: TempDir,
    mirror: TempDir,
    key: VerifierKey,
    seen: usize,
}

impl Crime {
    /// The mirror sees the first `seen` envelopes of the life; `write` makes the other history.
    async fn commit(seen: usize, write: impl FnOnce(&mut Operator, &mut Life)) -> Self {
        let new = || tempfile::tempdir().expect("a directory");
        let (honest, other, mirror) = (new(), new(), new());
        let mut life = Life::new();
        let mut operator = Operator::begin(honest.path(), &origin());
        each(&mut operator, &life.said[..seen]);
        let key = operator.log_key();
        drop(operator);
        let standing = follow(Directory::of(honest.path()), mirror.path(), &key).await;
        assert_eq!(standing, Standing::Current);
        let mut operator = Operator::begin(other.path(), &origin());
        write(&mut operator, &mut life);
        drop(operator);
        Self { honest, other, mirror, key, seen }
    }

    /// How the mirror stands once it has been shown the other history; it has kept nothing of it.
    async fn standing(&self) -> Standing {
        let standing =
            follow(Directory::of(self.other.path()), self.mirror.path(), &self.key).await;
        assert_same_log(self.honest.path(), self.mirror.path());
        standing
    }

    /// The verdict on the other history of somebody who kept the checkpoint that the mirror saw.
    fn verdict(&self) -> Value {
        let kept = self.mirror.path().join("kept");
        let (kept, key) = (utf8(&kept).to_owned(), self.key.to_string());
        tally(["checkpoint", "--data", utf8(self.honest.path()), "-o", &kept]).expect(0);
        let other = utf8(self.other.path()).to_owned();
        let args = ["verify", "--json", "--data", &other, "--log-key", &key, "--checkpoint", &kept];
        tally(args).expect(1).json()
    }

    /// The mirror has a proof of the fork that anyone can check, and `verify` says where.
    async fn is_a_fork(&self) {
        let standing = self.standing().await;
        let Standing::Forked { evidence } = standing else { panic!("{standing:?}") };
        let key = self.key.to_string();
        let judged =
            tally(["verify", "--json", utf8(&evidence), "--log-key", &key]).expect(0).json();
        assert_eq!(judged["verdict"], "valid", "{judged}");
        assert_eq!(judged["against"], origin().as_str(), "{judged}");
        let report = self.verdict();
        assert_eq!(report["first_bad"]["rule"], "tree", "{report}");
        assert_eq!(report["first_bad"]["position"], self.seen - 1, "{report}");
        self.compare("fork");
    }

    fn compare(&self, verdict: &str) {
        let (one, other) = (utf8(self.mirror.path()), utf8(self.other.path()));
        let key = self.key.to_string();
        let answer = tally(["compare", "--json", one, other, "--log-key", &key]).json();
        assert_eq!(answer["verdict"], verdict, "{answer}");
    }

    /// The mirror refuses an event, and `verify` the same one, by the same rule.
    async fn is_refused(&self, position: u64, rule: &str) {
        let standing = self.standing().await;
        let Standing::Refused { bad } = standing else { panic!("{standing:?}") };
        assert_eq!((bad.position, &*bad.rule), (Position(position), rule), "{bad:?}");
        let report = self.verdict();
        assert_eq!(report["first_bad"]["position"], position, "{report}");
        assert_eq!(report["first_bad"]["rule"], rule, "{report}");
    }
}

fn assert_same_log(writer: &Path, mirror: &Path) {
    assert!(events(writer) == events(mirror), "the mirror kept something of the other history");
    assert_eq!(reader(writer).checkpoint(), reader(mirror).checkpoint());
}

fn each(operator: &mut Operator, said: &[SignedEnvelope]) {
    for signed in said {
        operator.record(signed);
        operator.commit();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_honest_operator_is_followed() {
    let crime = Crime::commit(5, |operator, life| each(operator, &life.said)).await;
    let standing = follow(Directory::of(crime.other.path()), crime.mirror.path(), &crime.key).await;
    assert_eq!(standing, Standing::Current);
    assert_same_log(crime.other.path(), crime.mirror.path());
}

/// A writer whose witnesses are slow gives away an older checkpoint than the mirror holds: nothing
/// speaks against it.
#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_waits_for_its_witnesses_is_not_accused() {
    let crime = Crime::commit(5, |operator, life| each(operator, &life.said)).await;
    let slow = Directory::of(crime.other.path()).publishing(3);
    assert_eq!(follow(slow, crime.mirror.path(), &crime.key).await, Standing::Current);
    let slow = Directory::of(crime.other.path()).publishing(6);
    assert_eq!(follow(slow, crime.mirror.path(), &crime.key).await, Standing::Current);
    assert!(reader(crime.mirror.path()).tip().size >= TreeSize::new(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edited_event_is_a_fork() {
    let edit = |operator: &mut Operator, life: &mut Life| {
        let mut said = life.said.clone();
        // Its author helps.
        said[0] = Signer::new(2, &origin()).say(tally_tests::signer::capability("diving"));
        said.truncate(1);
        let mut other = Signer::new(1, &origin());
        said.extend((0..6).map(|n| other.say(intent(&format!("wish {n}")))));
        each(operator, &said);
    };
    Crime::commit(5, edit).await.is_a_fork().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_event_is_a_fork() {
    let drop_one = |operator: &mut Operator, life: &mut Life| {
        // The initiator's start is the last that it said, so its chain does not show the gap.
        let mut said = life.said[..3].to_vec();
        let mut third = Signer::new(3, &origin());
        said.extend((0..4).map(|n| third.say(intent(&format!("wish {n}")))));
        each(operator, &said);
    };
    Crime::commit(5, drop_one).await.is_a_fork().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reordered_events_are_a_fork() {
    let swap = |operator: &mut Operator, life: &mut Life| {
        life.said.swap(0, 1);
        each(operator, &life.said);
    };
    Crime::commit(5, swap).await.is_a_fork().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_inserted_event_is_a_fork() {
    let insert = |operator: &mut Operator, life: &mut Life| {
        let mut third = Signer::new(3, &origin());
        life.said.insert(1, third.say(intent("a wish from behind")));
        each(operator, &life.said);
    };
    Crime::commit(5, insert).await.is_a_fork().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backdated_event_is_a_fork() {
    let backdate = |operator: &mut Operator, life: &mut Life| {
        let begin = operator.now();
        for (n, signed) in life.said.iter().enumerate() {
            operator.record_at(signed, begin.plus_us(n as u64));
            operator.commit();
        }
    };
    Crime::commit(5, backdate).await.is_a_fork().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_truncated_log_is_behind_what_was_signed() {
    let truncate = |operator: &mut Operator, life: &mut Life| each(operator, &life.said[..3]);
    let crime = Crime::commit(5, truncate).await;
    assert_eq!(crime.standing().await, Standing::WriterBehind { writer: 3 });
    let report = crime.verdict();
    assert_eq!(report["first_bad"]["rule"], "tree", "{report}");
    assert_eq!(report["first_bad"]["position"], 3, "{report}");
    crime.compare("behind");
}

/// Truncated, and then gone on with differently.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_lost_its_end_and_went_on_is_a_fork() {
    let lose = |operator: &mut Operator, life: &mut Life| {
        let mut said = life.said[..3].to_vec();
        let mut initiator = Signer::new(1, &origin());
        initiator.say(intent("the depth of the basin"));
        said.push(initiator.say(cancel(life.intent)));
        let mut third = Signer::new(3, &origin());
        said.extend((0..3).map(|n| third.say(intent(&format!("wish {n}")))));
        each(operator, &said);
    };
    Crime::commit(5, lose).await.is_a_fork().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_rules_refuse_is_refused_by_the_mirror() {
    let admit = |operator: &mut Operator, life: &mut Life| {
        let mut said = life.said[..5].to_vec();
        // Somebody else reports success.
        let mut third = Signer::new(3, &origin());
        said.push(third.say(tally_tests::signer::done(life.task, "succeeded")));
        each(operator, &said);
    };
    Crime::commit(5, admit).await.is_refused(5, "R7.executor").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn time_that_goes_back_is_refused_by_the_mirror() {
    let back = |operator: &mut Operator, life: &mut Life| {
        each(operator, &life.said[..5]);
        let begin = operator.now();
        operator.record_at(&life.said[5], tally_protocol::Time(begin.0 - 1));
        operator.commit();
    };
    Crime::commit(5, back).await.is_refused(5, "time").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_of_another_tree_is_refused_by_the_mirror() {
    let lie = |operator: &mut Operator, life: &mut Life| {
        each(operator, &life.said[..5]);
        operator.record(&life.said[5]);
        operator.commit_root(tally_tlog::Hash::new([7; 32]));
    };
    let crime = Crime::commit(5, lie).await;
    let standing = crime.standing().await;
    let Standing::Refused { bad } = standing else { panic!("{standing:?}") };
    assert_eq!((bad.position, &*bad.rule), (Position(5), "consistency"), "{bad:?}");
    let report = crime.verdict();
    assert_eq!(report["first_bad"]["rule"], "tree", "{report}");
    assert_eq!(report["first_bad"]["position"], 5, "{report}");
}

/// Each of two mirrors sees a history that holds; side by side they are the proof.
#[tokio::test(flavor = "multi_thread")]
async fn two_histories_are_found_by_comparing_two_mirrors() {
    let other = |operator: &mut Operator, life: &mut Life| {
        let mut third = Signer::new(3, &origin());
        life.said.insert(0, third.say(intent("a wish that others do not see")));
        each(operator, &life.said);
    };
    let crime = Crime::commit(5, other).await;
    let second = tempfile::tempdir().expect("a directory");
    let standing = follow(Directory::of(crime.other.path()), second.path(), &crime.key).await;
    assert_eq!(standing, Standing::Current, "on its own it holds");
    let proof = second.path().join("fork.json");
    let key = crime.key.to_string();
    let sides = [utf8(crime.mirror.path()), utf8(second.path())];
    let args = ["compare", "--json", "--log-key", &key, "-o", utf8(&proof)];
    let answer = tally(args.iter().copied().chain(sides)).expect(1).json();
    assert_eq!(answer["verdict"], "fork", "{answer}");
    let judged = tally(["verify", "--json", utf8(&proof), "--log-key", &key]).expect(0).json();
    assert_eq!(judged["verdict"], "valid", "{judged}");
    assert_eq!(judged["against"], origin().as_str());
}

/// A receipt under a tree that nobody else sees: it holds on its own, and is a proof against the
/// operator beside any mirror.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_receipt_is_found_beside_a_mirror() {
    let forge = |operator: &mut Operator, life: &mut Life| {
        let mut third = Signer::new(3, &origin());
        life.said.insert(2, third.say(intent("never shown to anybody")));
        each(operator, &life.said[..4]);
    };
    let crime = Crime::commit(5, forge).await;
    let receipt = crime.other.path().join("receipt");
    // Opening it makes the tree's nodes, from which receipts are cut.
    let (node, replica) = open(crime.other.path(), &crime.key);
    replica.finish().expect("nodes");
    node.shut_down().await;
    let data = utf8(crime.other.path());
    tally(["prove", "2", "--data", data, "-o", utf8(&receipt)]).expect(0);
    let key = crime.key.to_string();
    let alone = tally(["verify", "--json", utf8(&receipt), "--log-key", &key]).expect(0).json();
    assert_eq!(alone["verdict"], "valid", "{alone}");
    let proof = crime.other.path().join("proof.json");
    let args = ["compare", "--json", utf8(&receipt), utf8(crime.mirror.path()), "--log-key", &key];
    let answer = tally(args.iter().copied().chain(["-o", utf8(&proof)])).expect(1).json();
    assert_eq!(answer["verdict"], "fork", "{answer}");
    let judged = tally(["verify", "--json", utf8(&proof), "--log-key", &key]).expect(0).json();
    assert_eq!(judged["verdict"], "valid", "{judged}");
    assert!(judged["found"].as_str().expect("text").contains("position 2"), "{judged}");
}
