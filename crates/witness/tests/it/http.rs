//! The witness over HTTP: each status, with its content type and what is recorded.

use tally_tlog::{
    Checkpoint, ConsistencyProof, Hash, NoteSignature, NoteSigner, SignedCheckpoint, empty_root,
};
use tally_witness::{AddCheckpoint, MAX_REQUEST_BYTES, origin_hash};

use crate::support::{Answer, Log, Running, cosigner, http, open, sized};

struct Desk {
    running: Running,
    log: Log,
    _directory: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let running = Running::start(open(directory.path()));
        Desk { running, log: Log::new(), _directory: directory }
    }

    fn post(&self, body: &[u8]) -> Answer {
        http(self.running.address, "POST /add-checkpoint", body)
    }

    fn submit(&self, request: &AddCheckpoint) -> Answer {
        self.post(&request.to_bytes())
    }

    fn monitor(&self) -> Answer {
        let path = format!("GET /{}/checkpoint", origin_hash(&self.log.origin));
        http(self.running.address, &path, b"")
    }

    /// An answer that refuses, with a sentence, and leaves no trace.
    fn check_refused(&self, body: &[u8], status: u16, words: &str) {
        let before = self.monitor().body;
        let answer = self.post(body);
        assert_eq!(
            (answer.status, &*answer.kind),
            (status, "text/plain; charset=utf-8"),
            "{answer:?}"
        );
        assert!(answer.body.contains(words) && answer.body.ends_with('\n'), "{answer:?}");
        assert_eq!(self.monitor().body, before, "nothing is recorded");
    }
}

fn with_root(request: &AddCheckpoint, signer: &NoteSigner, root: Hash) -> AddCheckpoint {
    let head = Checkpoint { root, ..request.checkpoint().unverified().clone() };
    AddCheckpoint::new(request.old(), request.proof().clone(), head.sign(signer))
        .expect("a request")
}

#[test]
fn a_checkpoint_is_cosigned_and_shown() {
    let desk = Desk::new();
    let log = &desk.log;
    assert_eq!(desk.monitor().status, 404, "nothing was cosigned yet");
    for (old, new) in [(0, 5), (5, 5), (5, 64), (64, 100)] {
        let answer = desk.submit(&log.request(old, new));
        assert_eq!(answer.status, 200, "{answer:?}");
        let line = answer.body.strip_suffix('\n').expect("a line");
        let line = NoteSignature::parse(line).expect("a signature line");
        let key = cosigner(1).verifier_key();
        let lines = key.verify_lines(&log.signed(new), std::slice::from_ref(&line));
        let at = lines.expect("verified").expect("ours").timestamp.as_u64();
        assert!(at > 1_700_000_000, "the clock's time: {at}");

        let shown = desk.monitor();
        assert_eq!((shown.status, &*shown.kind), (200, "text/plain; charset=utf-8"));
        let shown = SignedCheckpoint::parse(shown.body.as_bytes()).expect("a checkpoint");
        assert!(shown.open(&[log.signer.verifier_key()], &log.origin).is_ok());
        assert!(shown.note().signatures().contains(&line), "the line that was given out");
        assert_eq!(shown.note().signatures().len(), 2);
    }
}

#[test]
fn status_400_is_for_what_is_no_request() {
    let desk = Desk::new();
    let log = &desk.log;
    desk.check_refused(b"", 400, "send `old <size>`");
    desk.check_refused(b"hello\n\n", 400, "the first line");
    desk.check_refused(&[0xff; 100], 400, "no empty line");
    let extension = String::from_utf8(log.request(0, 5).to_bytes()).expect("UTF-8");
    let extension = extension.replacen("=\n\n", "=\nmore\n\n", 1);
    desk.check_refused(extension.as_bytes(), 400, "extension lines");
    // "The old size MUST be equal to or lower than the checkpoint size."
    assert_eq!(desk.submit(&log.request(0, 5)).status, 200);
    let body = AddCheckpoint::new(sized(5), ConsistencyProof::default(), log.signed(4));
    desk.check_refused(&body.expect("a request").to_bytes(), 400, "old size 5 is above");
}

#[test]
fn status_403_is_for_a_log_s_missing_or_forged_signature() {
    let desk = Desk::new();
    let log = &desk.log;
    let head = log.head(5);
    let stranger = NoteSigner::from_seed(log.signer.name().clone(), &[9; 32]);
    let request =
        |checkpoint| AddCheckpoint::new(sized(0), ConsistencyProof::default(), checkpoint);
    let unsigned = request(head.sign(&stranger)).expect("a request");
    desk.check_refused(&unsigned.to_bytes(), 403, "no known key signed");
    // A good signature, and one that claims the same key.
    let mut forged = log.signed(5);
    let other = log.signed(6).note().signatures()[0].clone();
    forged.add_signature(other).expect("room");
    desk.check_refused(&request(forged).expect("a request").to_bytes(), 403, "does not verify");
    // Signatures of unknown keys are ignored.
    let mut more = log.signed(5);
    more.add_signature(head.sign(&stranger).note().signatures()[0].clone()).expect("room");
    assert_eq!(desk.submit(&request(more).expect("a request")).status, 200);
    let shown = desk.monitor().body;
    assert_eq!(shown.matches('\u{2014}').count(), 2, "a stranger's line is not shown: {shown}");
}

#[test]
fn status_404_is_for_unknown_logs() {
    let desk = Desk::new();
    let signer = NoteSigner::from_seed("other.example".parse().expect("a name"), &[100; 32]);
    let origin = "other.example".parse().expect("an origin");
    let head = Checkpoint { origin, ..desk.log.head(5) };
    let body = AddCheckpoint::new(sized(0), ConsistencyProof::default(), head.sign(&signer));
    desk.check_refused(
        &body.expect("a request").to_bytes(),
        404,
        "does not know the log other.example",
    );
    for path in ["/x/checkpoint", "/", "/add-checkpoint/", &format!("/{}", "0".repeat(64))] {
        assert_eq!(http(desk.running.address, &format!("GET {path}"), b"").status, 404, "{path}");
    }
    let upper = origin_hash(&desk.log.origin).to_uppercase();
    assert_eq!(desk.submit(&desk.log.request(0, 5)).status, 200);
    let answer = http(desk.running.address, &format!("GET /{upper}/checkpoint"), b"");
    assert_eq!(answer.status, 404, "the hash is in lower case");
    assert_eq!(http(desk.running.address, "GET /add-checkpoint", b"").status, 405);
}

#[test]
fn status_409_tells_the_latest_size() {
    let desk = Desk::new();
    let log = &desk.log;
    let conflict = |request: &AddCheckpoint, size: &str| {
        let answer = desk.submit(request);
        assert_eq!((answer.status, &*answer.kind), (409, "text/x.tlog.size"), "{answer:?}");
        assert_eq!(answer.body, size);
    };
    conflict(&log.request(1, 5), "0\n");
    assert_eq!(desk.submit(&log.request(0, 5)).status, 200);
    conflict(&log.request(0, 9), "5\n");
    conflict(&log.request(4, 9), "5\n");
    conflict(&log.request(6, 9), "5\n");
    assert_eq!(desk.submit(&log.request(5, 9)).status, 200);
    // A rollback.
    conflict(&log.request(5, 5), "9\n");
    conflict(&log.request(0, 9), "9\n");
}

#[test]
fn status_413_is_for_too_many_bytes() {
    let desk = Desk::new();
    let answer = desk.post(&vec![b'x'; MAX_REQUEST_BYTES + 1]);
    assert_eq!(answer.status, 413, "{answer:?}");
}

#[test]
fn status_422_is_for_what_does_not_extend_the_latest() {
    let desk = Desk::new();
    let log = &desk.log;
    let signer = &log.signer;
    // Size 0 has one root.
    let empty = String::from_utf8(log.request(0, 0).to_bytes()).expect("UTF-8");
    let root = empty_root().to_string();
    let other = empty.replace(&root, &Hash::new([1; 32]).to_string());
    desk.check_refused(other.as_bytes(), 422, "empty tree's root");
    // A proof where none is needed.
    let proof = log.proof(3, 5);
    let body = AddCheckpoint::new(sized(0), proof, log.signed(5)).expect("a request");
    desk.check_refused(&body.to_bytes(), 422, "more hashes");
    assert_eq!(desk.submit(&log.request(0, 5)).status, 200);
    // The same size with another root, with a proof, or without one where one is needed.
    let same = with_root(&log.request(5, 5), signer, Hash::new([1; 32]));
    desk.check_refused(&same.to_bytes(), 422, "does not lead to the root");
    let body = AddCheckpoint::new(sized(5), log.proof(3, 5), log.signed(5)).expect("a request");
    desk.check_refused(&body.to_bytes(), 422, "more hashes");
    let body = AddCheckpoint::new(sized(5), ConsistencyProof::default(), log.signed(9));
    desk.check_refused(&body.expect("a request").to_bytes(), 422, "fewer hashes");
    let body = AddCheckpoint::new(sized(5), log.proof(4, 9), log.signed(9)).expect("a request");
    desk.check_refused(&body.to_bytes(), 422, "");
    let grown = with_root(&log.request(5, 9), signer, Hash::new([1; 32]));
    desk.check_refused(&grown.to_bytes(), 422, "does not lead");
    // A log that forks, with a proof that is right for its own history.
    let fork = Log::forking_at(3);
    desk.check_refused(&fork.request(5, 9).to_bytes(), 422, "does not extend the latest");
    assert_eq!(desk.submit(&log.request(5, 9)).status, 200, "the honest one goes on");
}

#[test]
fn a_connection_serves_many_requests() {
    use std::io::{Read, Write};
    let desk = Desk::new();
    let mut stream = std::net::TcpStream::connect(desk.running.address).expect("open");
    for (old, new) in [(0, 5), (5, 6), (6, 7)] {
        let body = desk.log.request(old, new).to_bytes();
        let head = format!(
            "POST /add-checkpoint HTTP/1.1\r\nHost: w\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body].concat()).expect("asked");
        let mut answer = String::new();
        while !answer.ends_with("=\n") {
            let mut buffer = [0; 1024];
            let read = stream.read(&mut buffer).expect("answered");
            assert!(read > 0, "closed after {answer}");
            answer.push_str(std::str::from_utf8(&buffer[..read]).expect("UTF-8"));
        }
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
}
