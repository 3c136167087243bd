//! What the ledger's key says that its log has come to: put on record at intervals, and held to the
//! log by everyone who verifies it.

use std::path::Path;

use serde_json::Value;
use tally_client::Context;
use tally_coordination::State;
use tally_protocol::message::{Attest, Claim, ClaimSubject};
use tally_protocol::parts::{Name, Text};
use tally_protocol::state_digest::STATE_DIGEST;
use tally_protocol::{AgentKey, Digest, Message, StateDigest, TreeSize};
use tally_tests::life::origin;
use tally_tests::operator::Operator;
use tally_tests::program::{Server, tally, wait_for};
use tally_tests::signer::{Signer, intent};
use tally_tlog::NoteSigner;

fn verify(data: &Path) -> Value {
    tally(["verify", "--json", "--data", data.to_str().expect("UTF-8")]).json()
}

#[tokio::test]
async fn a_ledger_says_what_it_has_come_to_and_is_believed_by_nobody() {
    let directory = tempfile::tempdir().expect("a directory");
    // Two lives: what was promised in the first is promised anew in the second.
    for life in 0..2 {
        let server = Server::start_with(directory.path(), &["--state-digest-every", "50"]);
        let author = server.client().await.author(AgentKey::from_seed(&[1 + life; 32]));
        for n in 0..260 {
            author.append(intent(&n.to_string()), Context::default()).await.expect("appended");
        }
        // The last ones are on their way.
        wait_for("two more digests", || {
            let report = verify(directory.path());
            assert_eq!(report["verdict"], "valid", "{report}");
            let agreed = report["state_digests"]["agreed"].as_u64().expect("a number");
            assert_eq!(report["state_digests"]["unchecked"], 0, "{report}");
            (agreed >= 3 * (u64::from(life) + 1)).then_some(())
        });
    }
}

/// An operator's ledger of intents; at position 3 the key states a digest of size 0 and promises
/// one of size 6, which stands at position 8.
fn operated(directory: &Path, digest: impl FnOnce(&State) -> Digest, signer: Option<&NoteSigner>) {
    let mut operator = Operator::begin(directory, &origin());
    let own = NoteSigner::from_seed(origin().key_name(), &[3; 32]);
    let signer = signer.unwrap_or(&own);
    let (mut author, mut ledger) = (Signer::new(1, &origin()), Signer::new(2, &origin()));
    let agent = ledger.agent();
    let mut state = State::new(origin());
    let mut at_six = None;
    let mut record = |operator: &mut Operator, signed| {
        let position = operator.record(&signed);
        let parsed = signed.parse().expect("it reads");
        let admitted =
            tally_coordination::admit(&state, parsed.id(), parsed.envelope(), operator.now());
        state.fold(admitted.expect("admitted"));
        operator.commit();
        if position.0 == 5 {
            at_six = Some(state.clone());
        }
    };
    for n in 0..3 {
        record(&mut operator, author.say(intent(&n.to_string())));
    }
    let empty = State::new(origin()).digest();
    let (size, next) = (TreeSize::ZERO, TreeSize::new(6));
    let promise = StateDigest { size, digest: empty, next }.sign(&origin(), signer);
    record(&mut operator, ledger.say(claim(agent, &promise)));
    for n in 3..7 {
        record(&mut operator, author.say(intent(&n.to_string())));
    }
    let said = at_six.as_ref().map(digest).expect("six events");
    let said = StateDigest { size: next, digest: said, next: TreeSize::new(12) };
    operator.record(&ledger.say(claim(agent, &said.sign(&origin(), signer))));
    operator.commit();
}

fn claim(agent: tally_protocol::AgentId, note: &str) -> Message {
    Message::Attest(Attest::Claim(Claim {
        subject: ClaimSubject::Agent(agent),
        kind: Name::new(STATE_DIGEST).expect("a name"),
        statement: Text::new(note).expect("a text"),
        evidence: Vec::new(),
        expires_at_us: None,
    }))
}

#[test]
fn a_key_that_says_what_is_not_so_is_caught() {
    let directory = || tempfile::tempdir().expect("a directory");
    let honest = directory();
    operated(honest.path(), State::digest, None);
    let report = verify(honest.path());
    assert_eq!(report["verdict"], "valid", "{report}");
    assert_eq!(report["state_digests"], serde_json::json!({ "agreed": 2, "unchecked": 0 }));

    let lying = directory();
    operated(lying.path(), |_| Digest([7; 32]), None);
    let report = verify(lying.path());
    assert_eq!(report["verdict"], "invalid", "{report}");
    assert_eq!(report["first_bad"]["rule"], "state", "{report}");
    assert_eq!(report["first_bad"]["position"], 8, "{report}");

    // What another key says of the state is a claim like any other.
    let foreign = directory();
    let stranger = NoteSigner::from_seed(origin().key_name(), &[4; 32]);
    operated(foreign.path(), |_| Digest([7; 32]), Some(&stranger));
    let report = verify(foreign.path());
    assert_eq!(report["verdict"], "valid", "{report}");
    assert_eq!(report["state_digests"], serde_json::json!({ "agreed": 0, "unchecked": 0 }));
}
