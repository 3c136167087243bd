//! The client: honest witnesses, lying ones, silent ones, and the quorum of a policy.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tally_tlog::{Cosigner, NoteSignature, Standing, TreeSize, WitnessPolicy};
use tally_witness::{Collector, ProofFailure, SubmitError, Witness, WitnessClient};

use crate::support::{Log, Running, TIMEOUT, at, canned, cosigner, response, sized};

const PLAIN: &str = "text/plain; charset=utf-8";
const SIZE: &str = "text/x.tlog.size";

struct Place {
    running: Running,
    _directory: tempfile::TempDir,
}

fn start(n: u8) -> Place {
    let directory = tempfile::tempdir().expect("a directory");
    let key = Log::new().signer.verifier_key();
    let witness = Witness::open(directory.path(), cosigner(n), [key]).expect("a witness");
    Place { running: Running::start(witness), _directory: directory }
}

fn client(url: &str) -> WitnessClient {
    WitnessClient::new(url, cosigner(1).verifier_key(), TIMEOUT)
}

#[test]
fn a_client_catches_up_by_itself() {
    let place = start(1);
    let log = Log::new();
    // A slash at the end of a prefix is no harm.
    let client = client(&format!("{}/", place.running.url()));
    let proofs = AtomicUsize::new(0);
    let submit = |old: u64, new: u64| {
        let prove = |from: TreeSize| {
            proofs.fetch_add(1, Ordering::SeqCst);
            log.prover(new)(from)
        };
        client.submit(sized(old), prove, &log.signed(new))
    };
    submit(0, 5).expect("the first");
    submit(5, 5).expect("again");
    assert_eq!(proofs.load(Ordering::SeqCst), 0, "neither needs a proof");
    submit(5, 9).expect("with a proof");
    submit(0, 20).expect("the witness says 9");
    submit(3, 30).expect("the witness says 20");
    submit(90, 40).expect("a guess above the checkpoint");
    // It has seen more than this log has.
    match submit(0, 39) {
        Err(SubmitError::Ahead { latest, size }) => {
            assert_eq!((latest, size), (sized(40), sized(39)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_fork_and_a_failing_proof_are_told() {
    let place = start(1);
    let client = client(&place.running.url());
    let (log, fork) = (Log::new(), Log::forking_at(3));
    client.submit(sized(0), log.prover(5), &log.signed(5)).expect("cosigned");
    match client.submit(sized(5), fork.prover(9), &fork.signed(9)) {
        Err(SubmitError::Refused { status: 422, reason }) => {
            assert!(reason.contains("does not extend"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let broken = |_: TreeSize| Err(ProofFailure::from("the disk is gone"));
    let error = client.submit(sized(5), broken, &log.signed(9)).expect_err("no proof");
    assert_eq!(error.to_string(), "the proof could not be made: the disk is gone");
}

/// A line of this witness on the checkpoint of `size`.
fn line(witness: &Cosigner, size: u64, seconds: u64) -> String {
    format!("{}\n", witness.cosign(&Log::new().head(size), at(seconds)))
}

fn ask(answers: &[String]) -> Result<NoteSignature, SubmitError> {
    let log = Log::new();
    client(&canned(answers.to_vec())).submit(sized(3), log.prover(5), &log.signed(5))
}

macro_rules! answered {
    ($answers:expr, $expected:pat) => {
        let answered = ask(&$answers);
        assert!(matches!(answered, $expected), "{answered:?}");
    };
}

#[test]
fn what_a_witness_says_is_believed_only_as_far_as_it_verifies() {
    let own = cosigner(1);
    let ok = |body: &str| [response("200 OK", PLAIN, body)];
    ask(&ok(&line(&own, 5, 10))).expect("cosigned");
    // "The client MUST ignore any cosignatures from unknown keys."
    let among =
        format!("{}{}{}", line(&cosigner(2), 5, 10), line(&own, 5, 10), line(&cosigner(3), 4, 9));
    let found = ask(&ok(&among)).expect("cosigned");
    assert_eq!(format!("{found}\n"), line(&own, 5, 10));
    let latest =
        ask(&ok(&format!("{}{}", line(&own, 5, 10), line(&own, 5, 12)))).expect("cosigned");
    assert_eq!(format!("{latest}\n"), line(&own, 5, 12));

    answered!(ok(&line(&own, 4, 10)), Err(SubmitError::BadCosignature(_)));
    let both = format!("{}{}", line(&own, 5, 10), line(&own, 4, 10));
    answered!(ok(&both), Err(SubmitError::BadCosignature(_)));
    answered!(ok(&line(&own, 5, 0)), Err(SubmitError::NoTime));
    answered!(ok(&line(&cosigner(2), 5, 10)), Err(SubmitError::NoCosignature));
    for body in ["", "\n", "cosigned\n", line(&own, 5, 10).trim_end(), "\u{2014} x\n"] {
        answered!(ok(body), Err(SubmitError::Malformed));
    }
    answered!(ok(&line(&own, 5, 10).repeat(1_000)), Err(SubmitError::Transport(_)));
}

#[test]
fn conflicts_end() {
    let conflict = |body: &str| response("409 Conflict", SIZE, body);
    let own = line(&cosigner(1), 5, 10);
    ask(&[conflict("4\n"), response("200 OK", PLAIN, &own)]).expect("cosigned");
    answered!([conflict("4\n"), conflict("5\n")], Err(SubmitError::Moving { .. }));
    answered!([conflict("3\n"), conflict("3\n")], Err(SubmitError::Moving { .. }));
    answered!([conflict("6\n")], Err(SubmitError::Ahead { .. }));
    for body in ["", "4", "04\n", "-1\n", "4\n\n", "four\n", "18446744073709551616\n"] {
        answered!([conflict(body)], Err(SubmitError::NoSize));
    }
    answered!([response("409 Conflict", PLAIN, "4\n")], Err(SubmitError::NoSize));
}

#[test]
fn other_answers_are_reasons() {
    let words = format!("no\u{7}\u{1b}[31m way {}", "x".repeat(5_000));
    match ask(&[response("403 Forbidden", PLAIN, &words)]) {
        Err(SubmitError::Refused { status: 403, reason }) => {
            assert!(reason.starts_with("no[31m way xxx") && reason.len() <= 300, "{reason}");
        }
        other => panic!("{other:?}"),
    }
    let elsewhere = "HTTP/1.1 307 Temporary Redirect\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    answered!([elsewhere.to_owned()], Err(SubmitError::Refused { status: 307, .. }));
    answered!(["HTTP/1.1 nonsense\r\n\r\n".to_owned()], Err(SubmitError::Transport(_)));
}

#[test]
fn a_silent_witness_costs_the_timeout_and_no_more() {
    let log = Log::new();
    let limit = Duration::from_millis(300);
    let client = WitnessClient::new(&canned(Vec::new()), cosigner(1).verifier_key(), limit);
    let start = Instant::now();
    let answered = client.submit(sized(0), log.prover(5), &log.signed(5));
    assert!(matches!(answered, Err(SubmitError::Transport(_))), "{answered:?}");
    assert!(start.elapsed() < TIMEOUT, "{:?}", start.elapsed());
}

/// Witnesses w1 to w6: three honest, a liar, a silent one, one without a URL; two of them suffice.
#[test]
fn a_policy_s_witnesses_are_collected() {
    let log = Log::new();
    let honest = [1, 2, 3].map(start);
    let lie = response("200 OK", PLAIN, &line(&cosigner(4), 6, 10));
    let liar = canned(vec![lie.clone(), lie]);
    let silent = canned(Vec::new());
    let url = |n: u8| match n {
        1..=3 => honest[usize::from(n) - 1].running.url(),
        4 => liar.clone(),
        5 => silent.clone(),
        _ => String::new(),
    };
    let policy = |quorum: &str| {
        let witness = |n: u8| format!("witness w{n} {} {}\n", cosigner(n).verifier_key(), url(n));
        let witnesses: String = (1..=6).map(witness).collect();
        let text = format!("{witnesses}group g {quorum} w1 w2 w3 w4 w5 w6\nquorum g\n");
        WitnessPolicy::parse(text.as_bytes()).expect("a policy")
    };
    let collector = Collector::new(policy("3"), Duration::from_secs(2));
    let start = Instant::now();
    let collected = collector.collect(&log.signed(5), log.prover(5));
    assert!(start.elapsed() < collector.longest() * 2, "all at once: {:?}", start.elapsed());
    assert!(collected.quorum.met, "{:?}", collected.quorum);
    let standings: Vec<&str> = collected
        .quorum
        .witnesses
        .iter()
        .map(|(_, standing)| match standing {
            Standing::Cosigned(_) => "cosigned",
            Standing::Silent => "silent",
            Standing::Bad(_) => "bad",
        })
        .collect();
    assert_eq!(standings, ["cosigned", "cosigned", "cosigned", "silent", "silent", "silent"]);
    let failures: Vec<String> =
        collected.failures.iter().map(|(name, error)| format!("{name}: {error}")).collect();
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert_eq!(failures[0], "w4: the answer is a lie: a cosignature does not verify");
    assert!(failures[1].starts_with("w5: no answer: "), "{failures:?}");
    assert!(collected.checkpoint.to_bytes().starts_with(&log.signed(5).to_bytes()));
    assert_eq!(collected.checkpoint.note().signatures().len(), 4);

    // Four are never reached; what is there already is not asked for again.
    let strict = Collector::new(policy("4"), Duration::from_secs(2));
    let again = strict.collect(&collected.checkpoint, |_| panic!("nobody needs a proof"));
    assert!(!again.quorum.met);
    assert_eq!(again.checkpoint, collected.checkpoint);
    // The collector remembers what they cosigned: the proof is from there at once.
    let asked = AtomicUsize::new(0);
    let grown = collector.collect(&log.signed(9), |old| {
        asked.fetch_add(1, Ordering::SeqCst);
        assert_eq!(old, sized(5));
        log.prover(9)(old)
    });
    assert!(grown.quorum.met);
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}

#[test]
fn a_policy_without_urls_asks_nobody() {
    let log = Log::new();
    let text = format!("witness w1 {}\nquorum w1\n", cosigner(1).verifier_key());
    let policy = WitnessPolicy::parse(text.as_bytes()).expect("a policy");
    let collected = Collector::new(policy, TIMEOUT).collect(&log.signed(5), log.prover(5));
    assert!(!collected.quorum.met && collected.failures.is_empty());
    assert_eq!(collected.checkpoint, log.signed(5));
}
