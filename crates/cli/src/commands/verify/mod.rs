//! `tally verify`: a whole ledger or its tiles, a log receipt, a bundle or evidence, trusting nobody.
//!
//! What a thing is, it says itself: a directory, a URL, or how a file begins. Everything that is
//! believed comes from the arguments.

mod bundle;
mod evidence;
mod ledger;
mod receipt;
mod rows;
mod server;
mod tiles;
mod witnesses;

use std::path::Path;

use serde::Serialize;
use tally_node::witnessing::COSIGNED;
use tally_store::{LogReader, SegmentReader};
use tally_tlog::{
    Checkpoint, LogProof, Origin, SignedCheckpoint, VerifierKey, WitnessPolicy, root_at,
};
use tally_verify::{BUNDLE_START, Bundle, Verdict};

use crate::args::VerifyArgs;
use crate::error::CliError;
use crate::keys::{log_key_argument, read_bytes};
use crate::output::Output;

pub(crate) use ledger::verify_directory;

pub(crate) async fn run(args: VerifyArgs, output: Output) -> Result<(), CliError> {
    let trusted = Trusted::read(&args)?;
    let subject = args.data.clone().or(args.subject.clone()).expect("the arguments require one");
    let verdict = if let Some(url) = subject.to_str().filter(|text| text.contains("://")) {
        let key = trusted.key(None)?;
        let earlier = read_checkpoints(&args.checkpoint)?;
        let (report, head) = server::verify(url, key, earlier, output).await?;
        let verdict = report.verdict;
        trusted.answer((report, verdict), head.as_ref(), ledger::text, output)
    } else if tiles::is_tiles(&subject) {
        let earlier = read_checkpoints(&args.checkpoint)?;
        let (report, head) = tiles::verify(&subject, trusted.key(None)?, earlier)?;
        let verdict = report.verdict;
        trusted.answer((report, verdict), Some(&head), ledger::text, output)
    } else if args.data.is_some() || subject.is_dir() {
        let earlier = read_checkpoints(&args.checkpoint)?;
        let report = verify_directory(&subject, trusted.key(None)?, earlier, output)?;
        let (verdict, head) = (report.verdict, trusted.cosigned_in(&subject)?);
        trusted.answer((report, verdict), head.as_ref(), ledger::text, output)
    } else {
        verify_file(&subject, &trusted, &args, output)?
    };
    if verdict == Verdict::Valid { Ok(()) } else { Err(CliError::Negative(verdict.name())) }
}

/// A file says itself what it is, by how it begins.
fn verify_file(
    file: &Path,
    trusted: &Trusted,
    args: &VerifyArgs,
    output: Output,
) -> Result<Verdict, CliError> {
    let bytes = read_bytes(file)?;
    if bytes.starts_with(BUNDLE_START) {
        let head = Bundle::parse(&bytes).ok().map(|bundle| bundle.checkpoint);
        let report = bundle::judge(&bytes, trusted.key(head.as_ref())?, args, output)?;
        let verdict = report.verdict;
        return Ok(trusted.answer((report, verdict), head.as_ref(), bundle::text, output));
    }
    if evidence::is_evidence(&bytes) {
        let answer = evidence::judge(&bytes, trusted.key(None)?);
        output.answer(&answer, evidence::text);
        return Ok(answer.verdict());
    }
    let head = LogProof::parse(&bytes).ok().map(|proof| proof.checkpoint().clone());
    let answer = receipt::judge(&bytes, trusted.key(head.as_ref())?, args.author)?;
    let verdict = answer.verdict;
    Ok(trusted.answer((answer, verdict), head.as_ref(), receipt::text, output))
}

/// What the verifier believes beforehand.
struct Trusted {
    key: Option<VerifierKey>,
    policy: Option<WitnessPolicy>,
}

/// An answer, and what the witnesses of the verifier's policy say.
#[derive(Serialize)]
struct Witnessed<T> {
    #[serde(flatten)]
    answer: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    witnesses: Option<witnesses::Witnesses>,
    /// The verdict with the policy taken in.
    #[serde(skip_serializing_if = "Option::is_none")]
    witnessed_verdict: Option<Verdict>,
}

impl Trusted {
    fn read(args: &VerifyArgs) -> Result<Self, CliError> {
        let key = args.log_key.as_deref().map(log_key_argument).transpose()?;
        let policy = args.witness_policy.as_deref().map(read_policy).transpose()?;
        Ok(Self { key, policy })
    }

    /// The key that is to have signed a checkpoint: the one that was given, or that of the policy's
    /// log of this name; without a checkpoint, of its only log.
    fn key(&self, checkpoint: Option<&SignedCheckpoint>) -> Result<Option<VerifierKey>, CliError> {
        if self.key.is_some() {
            return Ok(self.key.clone());
        }
        let logs = self.policy.iter().flat_map(|policy| policy.logs());
        let claimed = checkpoint.map(|checkpoint| checkpoint.unverified().origin.clone());
        let named = |origin: &Origin, key: &VerifierKey| key.name().as_str() == origin.as_str();
        let mut keys = logs
            .map(|log| &log.key)
            .filter(|key| claimed.as_ref().is_none_or(|claimed| named(claimed, key)));
        match (keys.next(), keys.next()) {
            (Some(_), Some(_)) if claimed.is_none() => Err(CliError::Usage(
                "the policy names several logs; pass --log-key with the one that is meant".into(),
            )),
            (key, _) => Ok(key.cloned()),
        }
    }

    /// The checkpoint with cosignatures that a ledger keeps, if its log contains that tree.
    fn cosigned_in(&self, data: &Path) -> Result<Option<SignedCheckpoint>, CliError> {
        if self.policy.is_none() {
            return Ok(None);
        }
        let path = data.join(COSIGNED);
        if !path.exists() {
            return Ok(None);
        }
        let signed = SignedCheckpoint::parse(&read_bytes(&path)?)
            .map_err(|error| CliError::Absent(format!("{}: invalid: {error}", path.display())))?;
        let head = signed.unverified().clone();
        let Ok((reader, _)) = SegmentReader::open_read_only(data, &mut |_| {}) else {
            // The verdict on the log says why.
            return Ok(None);
        };
        let tree = crate::commands::compare::read_tree(&reader)?;
        let holds = head.size <= reader.tip().size
            && root_at(&tree, head.size).is_ok_and(|root| root == head.root);
        Ok(holds.then_some(signed))
    }

    /// Gives the answer, tempered by the policy.
    fn answer<T: Serialize>(
        &self,
        (answer, verdict): (T, Verdict),
        checkpoint: Option<&SignedCheckpoint>,
        text: impl FnOnce(&T) -> String,
        output: Output,
    ) -> Verdict {
        let Some(policy) = &self.policy else {
            output.answer(&answer, text);
            return verdict;
        };
        let witnesses = witnesses::Witnesses::of(policy, checkpoint);
        let verdict = witnesses.temper(verdict);
        let witnessed =
            Witnessed { answer, witnesses: Some(witnesses), witnessed_verdict: Some(verdict) };
        output.answer(&witnessed, |witnessed| {
            let said = witnessed.witnesses.as_ref().map(witnesses::Witnesses::text);
            format!("{}\n{}", text(&witnessed.answer), said.unwrap_or_default())
        });
        verdict
    }
}

pub(crate) fn read_policy(path: &Path) -> Result<WitnessPolicy, CliError> {
    WitnessPolicy::parse(&read_bytes(path)?)
        .map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

pub(crate) fn read_checkpoints(paths: &[std::path::PathBuf]) -> Result<Vec<Checkpoint>, CliError> {
    let read = |path: &std::path::PathBuf| {
        let bytes = read_bytes(path)?;
        let signed = SignedCheckpoint::parse(&bytes).map_err(|error| {
            CliError::Usage(format!("{} is no checkpoint: {error}", path.display()))
        })?;
        Ok(signed.unverified().clone())
    };
    paths.iter().map(read).collect()
}
