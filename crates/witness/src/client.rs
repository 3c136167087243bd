//! Asking witnesses for cosignatures: one of them, or all of a policy at once.
//!
//! Blocks; believes nothing that a witness says but a cosignature that verifies. What is enough is
//! for the policy to say, and what to do when it is not for the caller.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use tally_tlog::{
    ConsistencyProof, CosignatureError, CosignerKey, NoteError, NoteSignature, Octets, Origin,
    PolicyWitness, Quorum, SignedCheckpoint, Standing, TreeSize, WitnessPolicy,
};
use thiserror::Error;

use crate::request::{AddCheckpoint, RequestError};

/// Most bytes of an answer that are read: many cosignatures, of which one is ours.
const MAX_ANSWER_BYTES: u64 = 64 * 1024;
/// Most characters of an error that are kept.
const MAX_REASON_CHARACTERS: usize = 300;
/// The content type of the size in a "409 Conflict".
const TREE_SIZE: &str = "text/x.tlog.size";

/// Why a proof could not be made: the caller's own.
pub type ProofFailure = Box<dyn std::error::Error + Send + Sync>;

/// A witness somewhere, known by its URL and its key.
#[derive(Debug)]
pub struct WitnessClient {
    agent: ureq::Agent,
    url: String,
    key: CosignerKey,
}

impl WitnessClient {
    /// A client of the witness with this submission prefix and key. A request with its answer takes
    /// at most `timeout`; connections are kept alive between requests.
    pub fn new(submission_prefix: &str, key: CosignerKey, timeout: Duration) -> Self {
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(timeout))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .build()
            .new_agent();
        let url = format!("{}/add-checkpoint", submission_prefix.trim_end_matches('/'));
        WitnessClient { agent, url, key }
    }

    /// Asks for a cosignature on a checkpoint, given that the witness cosigned the log's tree of
    /// `old` leaves last (0 when that is not known), and returns it verified, with that size as it
    /// is now known.
    ///
    /// `prove` gives the proof from an older size to the checkpoint's; it is not asked about size 0
    /// and the checkpoint's own, which need none. When the witness names another latest size, it is
    /// asked once more, with the proof from there.
    ///
    /// # Errors
    ///
    /// [`SubmitError`].
    pub fn submit(
        &self,
        old: TreeSize,
        prove: impl Fn(TreeSize) -> Result<ConsistencyProof, ProofFailure>,
        checkpoint: &SignedCheckpoint,
    ) -> Result<NoteSignature, SubmitError> {
        let size = checkpoint.unverified().size;
        let ask = |old| self.ask(old, &prove, checkpoint);
        let latest = match ask(old.min(size))? {
            Answer::Cosigned(line) => return Ok(line),
            Answer::Latest(latest) => latest,
        };
        if latest > size {
            return Err(SubmitError::Ahead { latest, size });
        }
        match ask(latest)? {
            Answer::Cosigned(line) => Ok(line),
            Answer::Latest(again) => Err(SubmitError::Moving { first: latest, again }),
        }
    }

    fn ask(
        &self,
        old: TreeSize,
        prove: impl Fn(TreeSize) -> Result<ConsistencyProof, ProofFailure>,
        checkpoint: &SignedCheckpoint,
    ) -> Result<Answer, SubmitError> {
        let needs_none = old == TreeSize::ZERO || old == checkpoint.unverified().size;
        let proof = if needs_none { ConsistencyProof::default() } else { prove(old)? };
        let request = AddCheckpoint::new(old, proof, checkpoint.clone())?;
        let post = self.agent.post(&self.url).header("Content-Type", "text/plain; charset=utf-8");
        let mut response = post.send(&request.to_bytes()[..])?;
        let body = response.body_mut().with_config().limit(MAX_ANSWER_BYTES).read_to_vec()?;
        match response.status().as_u16() {
            200 => self.cosignature(&body, checkpoint).map(Answer::Cosigned),
            409 => {
                let kind = response.headers().get("content-type");
                let of_size = kind.is_some_and(|kind| kind.as_bytes() == TREE_SIZE.as_bytes());
                let size = if of_size { parse_size(&body) } else { None };
                size.map(Answer::Latest).ok_or(SubmitError::NoSize)
            }
            status => Err(SubmitError::Refused { status, reason: reason(&body) }),
        }
    }

    /// The witness's own line in an answer. "The client MUST ignore any cosignatures from unknown
    /// keys."
    fn cosignature(
        &self,
        body: &[u8],
        checkpoint: &SignedCheckpoint,
    ) -> Result<NoteSignature, SubmitError> {
        let text = std::str::from_utf8(body).map_err(|_| SubmitError::Malformed)?;
        let text = text.strip_suffix('\n').ok_or(SubmitError::Malformed)?;
        let lines: Result<Vec<NoteSignature>, NoteError> =
            text.split('\n').map(NoteSignature::parse).collect();
        let lines = lines.map_err(|_| SubmitError::Malformed)?;
        let verified =
            self.key.verify_lines(checkpoint, &lines)?.ok_or(SubmitError::NoCosignature)?;
        // "The cosignature MUST NOT omit the timestamp, i.e. the timestamp MUST NOT be zero."
        if verified.timestamp.as_u64() == 0 {
            return Err(SubmitError::NoTime);
        }
        let latest = |line: &&NoteSignature| {
            let one = self.key.verify_lines(checkpoint, std::slice::from_ref(*line));
            one == Ok(Some(verified))
        };
        Ok(lines.iter().find(latest).expect("one of them is the latest").clone())
    }
}

/// What a witness answers.
enum Answer {
    /// The cosignature, verified.
    Cosigned(NoteSignature),
    /// The size of the latest checkpoint that it cosigned.
    Latest(TreeSize),
}

/// The witnesses of a policy, asked together. Keeps connections, and remembers what each of them
/// cosigned last.
#[derive(Debug)]
pub struct Collector {
    policy: WitnessPolicy,
    timeout: Duration,
    members: Vec<Member>,
}

/// A witness of the policy that has a URL.
#[derive(Debug)]
struct Member {
    name: Octets,
    client: Option<WitnessClient>,
    /// The size that it is thought to have cosigned last, by log.
    latest: Mutex<HashMap<Origin, TreeSize>>,
}

/// What the witnesses of a policy gave.
#[derive(Debug)]
pub struct Collected {
    /// The checkpoint, with all valid cosignatures added below its own lines.
    pub checkpoint: SignedCheckpoint,
    /// What the policy makes of it.
    pub quorum: Quorum,
    /// The witnesses that were asked and did not cosign, with the reason.
    pub failures: Vec<(Octets, SubmitError)>,
}

impl Collector {
    /// Gets ready to ask all witnesses of a policy that have a URL. One request to one witness takes
    /// at most `timeout`, and there are at most two of them to each.
    pub fn new(policy: WitnessPolicy, timeout: Duration) -> Self {
        let with_url = policy.witnesses().iter().filter(|witness| witness.url.is_some());
        let members = with_url.map(|witness| Member::new(witness, timeout)).collect();
        Collector { policy, timeout, members }
    }

    /// The policy.
    pub fn policy(&self) -> &WitnessPolicy {
        &self.policy
    }

    /// The longest that [`Collector::collect`] takes, beside the making of proofs.
    pub fn longest(&self) -> Duration {
        self.timeout * 2
    }

    /// Asks all witnesses at once, each in a thread of its own, and waits for all of them. Those
    /// whose cosignature the checkpoint has already are not asked.
    ///
    /// `prove` is as for [`WitnessClient::submit`].
    pub fn collect(
        &self,
        checkpoint: &SignedCheckpoint,
        prove: impl Fn(TreeSize) -> Result<ConsistencyProof, ProofFailure> + Sync,
    ) -> Collected {
        let before = self.policy.judge(checkpoint);
        let asked = self.members.iter().filter(|member| !has_cosigned(&before, &member.name));
        let answers: Vec<(Octets, Result<NoteSignature, SubmitError>)> = thread::scope(|scope| {
            let ask = |member: &'_ Member| member.submit(&prove, checkpoint);
            let threads: Vec<_> =
                asked.map(|member| (member, scope.spawn(move || ask(member)))).collect();
            let join = |(member, thread): (&Member, thread::ScopedJoinHandle<'_, _>)| {
                (member.name.clone(), thread.join().unwrap_or(Err(SubmitError::Panicked)))
            };
            threads.into_iter().map(join).collect()
        });
        self.gather(checkpoint, answers)
    }

    fn gather(
        &self,
        checkpoint: &SignedCheckpoint,
        answers: Vec<(Octets, Result<NoteSignature, SubmitError>)>,
    ) -> Collected {
        let mut checkpoint = checkpoint.clone();
        let mut failures = Vec::new();
        for (name, answer) in answers {
            let added = answer.and_then(|line| Ok(checkpoint.add_signature(line)?));
            failures.extend(added.err().map(|error| (name, error)));
        }
        let quorum = self.policy.judge(&checkpoint);
        Collected { checkpoint, quorum, failures }
    }
}

impl Member {
    fn new(witness: &PolicyWitness, timeout: Duration) -> Self {
        let url = witness.url.as_ref().and_then(|url| url.as_str());
        let client = url.map(|url| WitnessClient::new(url, witness.key.clone(), timeout));
        Member { name: witness.name.clone(), client, latest: Mutex::default() }
    }

    fn submit(
        &self,
        prove: impl Fn(TreeSize) -> Result<ConsistencyProof, ProofFailure>,
        checkpoint: &SignedCheckpoint,
    ) -> Result<NoteSignature, SubmitError> {
        let client = self.client.as_ref().ok_or(SubmitError::UrlNotUtf8)?;
        let claim = checkpoint.unverified();
        let known = self.latest().get(&claim.origin).copied().unwrap_or_default();
        let line = client.submit(known, prove, checkpoint)?;
        self.latest().insert(claim.origin.clone(), claim.size);
        Ok(line)
    }

    fn latest(&self) -> MutexGuard<'_, HashMap<Origin, TreeSize>> {
        self.latest.lock().expect("no holder of the lock panics")
    }
}

fn has_cosigned(quorum: &Quorum, name: &Octets) -> bool {
    let cosigned = |standing: &Standing| matches!(standing, Standing::Cosigned(_));
    quorum.witnesses.iter().any(|(other, standing)| other == name && cosigned(standing))
}

/// "the tree size of the latest cosigned checkpoint in decimal, followed by a newline".
fn parse_size(body: &[u8]) -> Option<TreeSize> {
    std::str::from_utf8(body).ok()?.strip_suffix('\n')?.parse().ok()
}

/// A witness's words, short and without control characters: they end in logs and on terminals.
fn reason(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    text.trim().chars().filter(|c| !c.is_control()).take(MAX_REASON_CHARACTERS).collect()
}

/// Why a witness gave no cosignature.
#[derive(Debug, Error)]
pub enum SubmitError {
    /// The policy's URL is not text.
    #[error("the witness's URL is not UTF-8")]
    UrlNotUtf8,
    /// The proof could not be made.
    #[error("the proof could not be made: {0}")]
    Proof(#[from] ProofFailure),
    /// The proof is too long.
    #[error("the request can't be made: {0}")]
    Request(#[from] RequestError),
    /// No answer, or not in time, or too long.
    #[error("no answer: {0}")]
    Transport(#[from] ureq::Error),
    /// The witness refused.
    #[error("refused with status {status}: {reason}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// A conflict without the size of the latest checkpoint.
    #[error("a conflict was answered without a tree size")]
    NoSize,
    /// The witness has cosigned a larger tree of the log: this one lags behind, or forks.
    #[error("it has cosigned {latest} leaves already, more than the {size} of this checkpoint")]
    Ahead {
        /// The size that it cosigned.
        latest: TreeSize,
        /// The size of the checkpoint.
        size: TreeSize,
    },
    /// The witness named one latest size, then another.
    #[error("its latest checkpoint had {first} leaves, then {again}: somebody else submits too")]
    Moving {
        /// The size it named first.
        first: TreeSize,
        /// The size it named then.
        again: TreeSize,
    },
    /// The answer is not lines of signatures.
    #[error("the answer is not lines of signatures")]
    Malformed,
    /// No line of the witness's key.
    #[error("the answer has no line of the witness's key")]
    NoCosignature,
    /// A line of the witness's key that does not verify.
    #[error("the answer is a lie: {0}")]
    BadCosignature(#[from] CosignatureError),
    /// A cosignature without a time.
    #[error("the cosignature's time is zero")]
    NoTime,
    /// The checkpoint has no room for another line.
    #[error("the checkpoint can take no more signatures: {0}")]
    Full(#[from] NoteError),
    /// A defect: the thread that asked panicked.
    #[error("asking it failed within this program")]
    Panicked,
}
