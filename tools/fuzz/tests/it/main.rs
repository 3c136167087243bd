//! What is kept passes; the driver finds what is planted, and finds the same again.

use std::time::{Duration, Instant};

use tally_fuzz::targets::{Outcome, named};
use tally_fuzz::{Failure, Grammar, Memory, Plan, Stop, TARGETS, Target, check, corpus, fuzz};

/// Most bytes of all kept inputs together.
const MAX_CORPUS_BYTES: usize = 256 * 1024;

/// Inputs for each target: what fits into every run of the tests.
const RUNS: u64 = if cfg!(debug_assertions) { 500 } else { 3_000 };

/// Most time that all of them may take, where the code is optimised.
const MOST_TIME: Duration = Duration::from_secs(60);

fn kept(target: &Target) -> Vec<(String, Vec<u8>)> {
    let mut kept = corpus::read(&corpus::directory(target)).expect("the corpus");
    kept.extend(corpus::read(&corpus::crashes(target)).expect("the crashes"));
    kept
}

fn inputs(target: &Target) -> Vec<Vec<u8>> {
    kept(target).into_iter().map(|(_, input)| input).collect()
}

fn plan(seed: u64, runs: u64) -> Plan {
    Plan { seed, stop: Stop::Runs(runs) }
}

#[test]
fn every_kept_input_passes() {
    for target in TARGETS {
        let kept = kept(target);
        assert!(!kept.is_empty(), "{} has a corpus", target.name);
        for (name, input) in kept {
            if let Err(failure) = check(target, &input) {
                panic!("{} with {name}: {failure}", target.name);
            }
        }
    }
}

#[test]
fn kept_inputs_are_few_and_belong_to_a_target() {
    let bytes = |target: &Target| inputs(target).iter().map(Vec::len).sum::<usize>();
    let total: usize = TARGETS.iter().map(bytes).sum();
    assert!(total <= MAX_CORPUS_BYTES, "{total} bytes are kept");
    for home in ["corpus", "crashes"] {
        for entry in std::fs::read_dir(corpus::home().join(home)).expect("a directory") {
            let name = entry.expect("an entry").file_name().into_string().expect("text");
            assert!(name == "README.md" || named(&name).is_some(), "{home}/{name} is of no target");
        }
    }
}

#[test]
fn libfuzzer_has_every_target() {
    let manifest = std::fs::read_to_string(corpus::home().join("libfuzzer/Cargo.toml"));
    let manifest = manifest.expect("the manifest");
    for target in TARGETS {
        assert!(manifest.contains(&format!("name = \"{}\"", target.name)), "{}", target.name);
        let source = format!("libfuzzer/fuzz_targets/{}.rs", target.name);
        let source = std::fs::read_to_string(corpus::home().join(source)).expect("the target");
        assert!(source.contains(&format!("targets::{}(data)", target.name)), "{}", target.name);
    }
}

/// Without changes, what is made is valid.
#[test]
fn what_is_made_is_accepted() {
    let accepted = |name: &str, expected: &[&str]| {
        let target = named(name).expect("a target");
        let mut rng = tally_fuzz::Rng::new(3);
        for _ in 0..40 {
            let input = (target.make)(&mut rng);
            let ran = check(target, &input).unwrap_or_else(|failure| panic!("{name}: {failure}"));
            let expected: Vec<Outcome> = expected.iter().map(|&e| Outcome::accepted(e)).collect();
            assert!(expected.contains(&ran.outcome), "{name}: {:?}", ran.outcome);
        }
    };
    accepted("signed_envelope", &["signed"]);
    accepted("event", &["event"]);
    accepted("submission", &["messages"]);
    accepted("trace", &["workflow"]);
    accepted("manifest", &["manifest"]);
    accepted("schemas", &["compatible", "incompatible"]);
    accepted("policy", &["allows", "denies"]);
    accepted("bundle", &["valid"]);
    accepted("segment", &["whole"]);
    accepted("ledger", &["whole"]);
    accepted("mark", &["claimed"]);
    accepted("note", &["verified"]);
    accepted("checkpoint", &["verified"]);
    accepted("log_proof", &["verified"]);
    accepted("verifier_key", &["key"]);
    accepted("secret_key", &["key"]);
    accepted("origin", &["origin"]);
    accepted("pem", &["key"]);
    accepted("cosignature", &["cosigned", "silent"]);
    accepted("witness_policy", &["quorum", "none"]);
    accepted("tile_path", &["tile"]);
    accepted("entry_bundle", &["entries"]);
    accepted("add_checkpoint", &["request"]);
    accepted("dsse", &["signed"]);
    accepted("cose_receipt", &["verified"]);
    accepted("cose_key", &["key"]);
    accepted("append_response", &["proven"]);
    accepted("answers", &["proven", "read", "nothing"]);
    accepted("requests", &["read"]);
}

#[test]
fn a_bounded_run_finds_nothing() {
    let start = Instant::now();
    for target in TARGETS {
        let summary = fuzz(target, &inputs(target), &plan(2, RUNS));
        if let Some(found) = summary.found {
            panic!("{}: {}, input {}", target.name, found.failure, hex::encode(found.input));
        }
        assert_eq!(summary.runs, RUNS);
        assert!(summary.outcomes > 1, "{} gives more than one answer", target.name);
    }
    assert!(cfg!(debug_assertions) || start.elapsed() < MOST_TIME, "{:?}", start.elapsed());
}

#[test]
fn a_seed_gives_the_same_inputs_and_answers_again() {
    for target in TARGETS {
        let run = |seed| fuzz(target, &inputs(target), &plan(seed, 300));
        let (first, again, other) = (run(11), run(11), run(12));
        assert_eq!(first.digest, again.digest, "{}", target.name);
        assert_eq!(first.outcomes, again.outcomes, "{}", target.name);
        assert_ne!(first.digest, other.digest, "{}", target.name);
    }
}

/// A target with something wrong in it.
fn planted(run: fn(&[u8]) -> Outcome) -> Target {
    Target {
        name: "planted",
        run,
        make: |_| b"size 12\nroot abcdef\n".to_vec(),
        repair: |_, _| {},
        grammar: Grammar::Text,
        memory: Memory::USUAL,
    }
}

#[test]
fn a_planted_panic_is_found_and_made_small() {
    let target = planted(|data| {
        let text = String::from_utf8_lossy(data);
        let Some(size) = text.lines().find_map(|line| line.strip_prefix("size ")) else {
            return Outcome::accepted("no size");
        };
        match size.parse::<u64>() {
            // The bug: a size at the end of the range.
            Ok(size) => assert!(size < u64::MAX, "size {size} overflows"),
            Err(error) => return Outcome::refused(&error),
        }
        Outcome::accepted("size")
    });
    let summary = fuzz(&target, &[], &plan(5, 50_000));
    let found = summary.found.expect("the bug is found");
    let Failure::Panicked(message) = &found.failure else { panic!("{}", found.failure) };
    assert!(message.contains("overflows") && message.contains("main.rs"), "{message}");
    assert_eq!(found.input, b"size 18446744073709551615");
    let again = fuzz(&target, &[], &plan(5, 50_000));
    assert_eq!(again.found, Some(found));
    assert_eq!(again.runs, summary.runs);
}

#[test]
fn a_planted_appetite_is_found() {
    let target = planted(|data| {
        let claimed = data.iter().find(|byte| !byte.is_ascii()).copied().unwrap_or_default();
        let buffer: Vec<u8> = Vec::with_capacity(usize::from(claimed) * 64 * 1024);
        Outcome::accepted(if std::hint::black_box(buffer).capacity() > 0 { "some" } else { "none" })
    });
    let summary = fuzz(&target, &[], &plan(5, 50_000));
    let failure = summary.found.expect("the appetite is found").failure;
    assert!(matches!(failure, Failure::Memory { peak_bytes, limit } if peak_bytes > limit));
}
