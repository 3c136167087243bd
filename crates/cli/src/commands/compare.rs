//! `tally compare`: do two views of one ledger agree? If not, the proof as a file.
//!
//! A view is a checkpoint, a log receipt, a data directory (of a ledger or a mirror) or a running
//! server. What a server says is believed only as far as it proves it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::Serialize;
use tally_client::{Client, Trust};
use tally_protocol::{Event, Origin, Position, SignedEnvelope, TreeSize};
use tally_store::LogReader;
use tally_tlog::{
    ConsistencyProof, Hash, LogProof, MemoryTree, SignedCheckpoint, VerifiedCheckpoint,
    VerifierKey, consistency_proof, inclusion_proof, root_at, verify_consistency,
};
use tally_verify::evidence::Evidence;

use crate::args::CompareArgs;
use crate::error::CliError;
use crate::keys::{log_key_argument, log_key_in, parse_origin, read_bytes};
use crate::output::Output;
use crate::source::open_directory;

use tally_node::history::READ_LIMIT;

pub(crate) async fn run(args: CompareArgs, output: Output) -> Result<(), CliError> {
    let key = trusted_key(&args, output)?;
    let origin = parse_origin(key.name().as_str())?;
    let one = View::open(&args.one, &key, &origin, output).await?;
    let other = View::open(&args.other, &key, &origin, output).await?;
    let comparison = compare(&one, &other).await?;
    let mut answer = Answer {
        verdict: comparison.verdict(),
        one: one.side(),
        other: other.side(),
        found: comparison.text(&one, &other),
        evidence: None,
    };
    if let Comparison::Contradiction(evidence) = &comparison {
        if let Some(path) = &args.out {
            let text = format!("{}\n", evidence.to_json());
            std::fs::write(path, text).map_err(|e| CliError::failed(path.display(), e))?;
            answer.evidence = Some(path.clone());
        } else {
            output.say("note: pass -o FILE to keep the proof, which others can check");
        }
    }
    output.answer(&answer, Answer::text);
    match comparison {
        Comparison::Consistent | Comparison::Behind { .. } => Ok(()),
        Comparison::Unknown { .. } | Comparison::Contradiction(_) => {
            Err(CliError::Negative(comparison.verdict()))
        }
    }
}

/// The key that both sides are held to.
fn trusted_key(args: &CompareArgs, output: Output) -> Result<VerifierKey, CliError> {
    if let Some(key) = &args.log_key {
        return log_key_argument(key);
    }
    for side in [&args.one, &args.other] {
        if Path::new(side).is_dir()
            && let Some(key) = log_key_in(Path::new(side))?
        {
            output.say("note: believed log.pub beside the data; pass --log-key to hold both sides to a key that you got elsewhere");
            return Ok(key);
        }
    }
    Err(CliError::Usage("which ledger is it? Pass --log-key with the key that signs it".into()))
}

// ------------------------------------------------------------------ what is compared

/// One view of the ledger; its head is verified.
struct View {
    name: String,
    head: VerifiedCheckpoint,
    behind: Behind,
}

/// What a view can show beside its head.
enum Behind {
    Nothing,
    Event(Box<(Event, LogProof)>),
    Log { tree: MemoryTree, events: Vec<Event> },
    Server(Box<Client>),
}

impl View {
    async fn open(
        name: &str,
        key: &VerifierKey,
        origin: &Origin,
        output: Output,
    ) -> Result<Self, CliError> {
        let open = |note: &[u8]| {
            SignedCheckpoint::parse(note)
                .and_then(|signed| signed.open(std::slice::from_ref(key), origin))
                .map_err(|error| CliError::Absent(format!("{name}: invalid: {error}")))
        };
        let empty = || CliError::Absent(format!("{name} is empty: nothing was signed"));
        let (head, behind) = if name.contains("://") {
            let client = Client::connect(name, Trust::Key(key.clone())).await?;
            let head = client.head().await?.checkpoint.ok_or_else(empty)?;
            (head, Behind::Server(Box::new(client)))
        } else if Path::new(name).is_dir() {
            let reader = open_directory(Path::new(name), output)?;
            let note = reader.checkpoint();
            if note.is_empty() {
                return Err(empty());
            }
            let head = open(&note)?;
            let (tree, events) = read_log(&reader)?;
            if (tree.size(), tree.root()) != (head.size(), head.root()) {
                let found = "its events are not those that were signed; run `tally verify`";
                return Err(CliError::Absent(format!("{name}: invalid: {found}")));
            }
            (head, Behind::Log { tree, events })
        } else {
            let bytes = read_bytes(Path::new(name))?;
            match LogProof::parse(&bytes) {
                Ok(proof) => open_receipt(name, proof, key, origin)?,
                Err(_) => (open(&bytes)?, Behind::Nothing),
            }
        };
        Ok(Self { name: name.to_owned(), head, behind })
    }

    fn side(&self) -> Side {
        Side {
            name: self.name.clone(),
            size: self.head.size().as_u64(),
            root: self.head.root().to_base64(),
        }
    }

    /// What this view has in place of an older tree, and the proof of it under its head. `None`
    /// when it can't show it.
    async fn prefix(&self, old: TreeSize) -> Result<Option<(Hash, ConsistencyProof)>, CliError> {
        let failed = |error: &dyn std::fmt::Display| CliError::failed(&self.name, error);
        let (root, proof) = match &self.behind {
            Behind::Nothing | Behind::Event(_) => return Ok(None),
            Behind::Log { tree, .. } => {
                let root = root_at(tree, old).map_err(|error| failed(&error))?;
                let proof = consistency_proof(tree, old, self.head.size());
                (root, proof.map_err(|error| failed(&error))?)
            }
            Behind::Server(client) => client.unverified_consistency(old, self.head.size()).await?,
        };
        verify_consistency(old, self.head.size(), root, self.head.root(), &proof).map_err(
            |error| {
                let name = &self.name;
                CliError::Absent(format!("{name}: invalid: it gave a proof that fails: {error}"))
            },
        )?;
        Ok(Some((root, proof)))
    }

    /// The event at a position with its proof under this view's head, if it can show it.
    async fn event(&self, at: Position) -> Result<Option<(Event, LogProof)>, CliError> {
        let failed = |error: &dyn std::fmt::Display| CliError::failed(&self.name, error);
        match &self.behind {
            Behind::Nothing => Ok(None),
            Behind::Event(shown) => Ok((shown.0.position() == at).then(|| (**shown).clone())),
            Behind::Log { tree, events } => {
                let Some(event) = events.get(at.0 as usize) else { return Ok(None) };
                let path = inclusion_proof(tree, at.leaf(), self.head.size());
                let path = path.map_err(|error| failed(&error))?;
                let (extra, head) = (event.bytes().to_vec(), self.head.signed().clone());
                let proof = LogProof::new(Some(extra), at.leaf(), path, head);
                Ok(Some((event.clone(), proof.map_err(|error| failed(&error))?)))
            }
            Behind::Server(client) => {
                if !self.head.size().contains(at.leaf()) {
                    return Ok(None);
                }
                let receipt = client.receipt_at(at).await?;
                let (event, proof) = (receipt.event(), receipt.proof());
                let (path, head) = (proof.inclusion_proof().clone(), proof.checkpoint().clone());
                let proof = LogProof::new(Some(event.bytes().to_vec()), at.leaf(), path, head);
                Ok(Some((event.clone(), proof.map_err(|error| failed(&error))?)))
            }
        }
    }
}

fn open_receipt(
    name: &str,
    proof: LogProof,
    key: &VerifierKey,
    origin: &Origin,
) -> Result<(VerifiedCheckpoint, Behind), CliError> {
    let invalid =
        |found: &dyn std::fmt::Display| CliError::Absent(format!("{name}: invalid: {found}"));
    let Some(extra) = proof.unauthenticated_extra() else {
        let head = proof.checkpoint().open(std::slice::from_ref(key), origin);
        return Ok((head.map_err(|error| invalid(&error))?, Behind::Nothing));
    };
    let event = Event::decode(Bytes::copy_from_slice(extra)).map_err(|error| invalid(&error))?;
    if event.position().leaf() != proof.index() {
        return Err(invalid(&format!("its event says it is at {}", event.position())));
    }
    let head = proof.verify(event.leaf(), std::slice::from_ref(key), origin);
    Ok((head.map_err(|error| invalid(&error))?, Behind::Event(Box::new((event, proof)))))
}

/// The tree over a log's events, computed again.
pub(crate) fn read_tree(reader: &dyn LogReader) -> Result<MemoryTree, CliError> {
    read_log(reader).map(|(tree, _)| tree)
}

fn read_log(reader: &dyn LogReader) -> Result<(MemoryTree, Vec<Event>), CliError> {
    let (mut tree, mut events) = (MemoryTree::new(), Vec::new());
    let size = reader.tip().size;
    while tree.size() < size {
        let read = reader.read(Position::at_tip(tree.size()), READ_LIMIT)?;
        for event in &read {
            tree.append(event.leaf());
        }
        events.extend(read);
    }
    Ok((tree, events))
}

// ------------------------------------------------------------------ the comparison

enum Comparison {
    /// The same tree.
    Consistent,
    /// One continues the other.
    Behind { one_is_behind: bool },
    /// Both can't be honest.
    Contradiction(Box<Evidence>),
    /// Neither side can show enough.
    Unknown { needed: String },
}

impl Comparison {
    fn verdict(&self) -> &'static str {
        match self {
            Self::Consistent => "consistent",
            Self::Behind { .. } => "behind",
            Self::Contradiction(evidence) => match evidence.claim.kind() {
                "equivocation" => "equivocation",
                _ => "fork",
            },
            Self::Unknown { .. } => "incomplete",
        }
    }

    fn text(&self, one: &View, other: &View) -> String {
        let (size, second) = (one.head.size(), other.head.size());
        match self {
            Self::Consistent => format!("both are the tree of {size} events"),
            Self::Behind { one_is_behind } => {
                let (behind, ahead) = if *one_is_behind { (one, other) } else { (other, one) };
                let by = ahead.head.size().as_u64() - behind.head.size().as_u64();
                format!("{} is {by} events behind {}, which continues it", behind.name, ahead.name)
            }
            Self::Contradiction(evidence) => match evidence.claim.kind() {
                "equivocation" => "an author signed two envelopes with one sequence".into(),
                "two_events" => "the ledger signed two different events at one position".into(),
                _ => format!("the ledger signed two histories, of {size} and {second} events"),
            },
            Self::Unknown { needed } => needed.clone(),
        }
    }
}

async fn compare(one: &View, other: &View) -> Result<Comparison, CliError> {
    if let Some(evidence) = equivocation(one, other) {
        return Ok(Comparison::Contradiction(Box::new(evidence)));
    }
    if let Some(evidence) = two_events(one, other).await? {
        return Ok(Comparison::Contradiction(Box::new(evidence)));
    }
    let one_is_behind = one.head.size() <= other.head.size();
    let (older, newer) = if one_is_behind { (one, other) } else { (other, one) };
    let (old, new) = (older.head.size(), newer.head.size());
    if old == new {
        if older.head.root() == newer.head.root() {
            return Ok(Comparison::Consistent);
        }
        let (a, b) = (older.head.signed(), newer.head.signed());
        let evidence = Evidence::fork(a, b, newer.head.root(), None);
        return Ok(Comparison::Contradiction(Box::new(evidence)));
    }
    if old == TreeSize::ZERO {
        return Ok(Comparison::Behind { one_is_behind });
    }
    let Some((root, proof)) = newer.prefix(old).await? else {
        let needed = format!(
            "{} alone does not show whether it continues {}; compare with a ledger or a mirror of \
             {new} events or more",
            newer.name, older.name
        );
        return Ok(Comparison::Unknown { needed });
    };
    if root == older.head.root() {
        return Ok(Comparison::Behind { one_is_behind });
    }
    let (a, b) = (older.head.signed(), newer.head.signed());
    Ok(Comparison::Contradiction(Box::new(Evidence::fork(a, b, root, Some(&proof)))))
}

/// Two receipts of one position, or a receipt and a log, that have different events there.
async fn two_events(one: &View, other: &View) -> Result<Option<Evidence>, CliError> {
    let at = |view: &View| match &view.behind {
        Behind::Event(shown) => Some(shown.0.position()),
        Behind::Nothing | Behind::Log { .. } | Behind::Server(_) => None,
    };
    let Some(at) = at(one).or(at(other)) else { return Ok(None) };
    let (Some((event, proof)), Some((second, other))) =
        (one.event(at).await?, other.event(at).await?)
    else {
        return Ok(None);
    };
    Ok((event.bytes() != second.bytes()).then(|| Evidence::two_events(&proof, &other)))
}

/// Two receipts whose envelopes are of one author and one sequence, and say different things.
fn equivocation(one: &View, other: &View) -> Option<Evidence> {
    let signed = |view: &View| -> Option<SignedEnvelope> {
        match &view.behind {
            Behind::Event(shown) => Some(shown.0.signed()),
            Behind::Nothing | Behind::Log { .. } | Behind::Server(_) => None,
        }
    };
    let (one, other) = (signed(one)?, signed(other)?);
    let (a, b) = (one.clone().parse().ok()?, other.clone().parse().ok()?);
    let (said, second) = (a.envelope(), b.envelope());
    let same = said.author == second.author && said.author_sequence == second.author_sequence;
    (same && a.id() != b.id()).then(|| Evidence::equivocation(&said.origin, &one, &other))
}

// ------------------------------------------------------------------ the answer

#[derive(Serialize)]
struct Side {
    name: String,
    size: u64,
    root: String,
}

#[derive(Serialize)]
struct Answer {
    verdict: &'static str,
    one: Side,
    other: Side,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    evidence: Option<PathBuf>,
}

impl Answer {
    fn text(&self) -> String {
        let mut text = format!("{}: {}", self.verdict, self.found);
        for side in [&self.one, &self.other] {
            text.push_str(&format!("\n{:>8} events, root {}  {}", side.size, side.root, side.name));
        }
        if let Some(path) = &self.evidence {
            let path = path.display();
            text.push_str(&format!(
                "\nthe proof is in {path}; check it with: tally verify {path} --log-key KEY"
            ));
        }
        text
    }
}
