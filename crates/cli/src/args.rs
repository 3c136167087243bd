//! What the program can be told.

pub(crate) mod analytics;
mod ask;
mod exchange;
mod projection;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use tally_protocol::parts::{Name, Price};
use tally_protocol::{AgentId, AsOf, Digest, EnvelopeId, Time, TraceId, TreeSize};

use analytics::{ExportTablesArgs, MaterializeArgs, SqlArgs};
pub(crate) use ask::{
    AskArgs, AwardArgs, EachArgs, FlowArgs, ImpactArgs, LedgerArgs, LineageArgs, Question,
};
pub(crate) use exchange::*;
pub(crate) use projection::{ProjectionArgs, ProjectionWhat, RebuildArgs};

/// Where a ledger listens, and is looked for, when nothing else is said.
pub(crate) const DEFAULT_ADDRESS: &str = "127.0.0.1:7420";

/// Where a witness listens when nothing else is said.
pub(crate) const DEFAULT_WITNESS_ADDRESS: &str = "127.0.0.1:7430";

const AFTER_HELP: &str = "\
Exit codes: 0 success · 1 a negative verdict or a refusal · 2 wrong usage · 3 disk or network failed

First steps:
  tally demo                        play a workflow on a ledger of its own and look around
  tally serve --data ledger         run a ledger
  tally keygen me.pem               make a key; its did:key is your name
  tally submit --key me.pem FILE    sign messages and append them
  tally verify --data ledger        check everything, offline";

/// Audit-grade coordination of autonomous agents: every message signed, chained, provable.
#[derive(Debug, Parser)]
#[command(name = "tally", version, after_help = AFTER_HELP, propagate_version = true)]
pub(crate) struct Cli {
    /// Answer in JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,

    /// What is logged to standard error: `error`, `warn`, `info`, `debug`, or a filter such as
    /// `tally_node=debug`.
    #[arg(long, global = true, default_value = "warn", env = "TALLY_LOG", value_name = "LEVEL")]
    pub(crate) log_level: String,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a ledger.
    Serve(ServeArgs),
    /// Play a workflow through a ledger of its own, check it, and stay up for questions.
    Demo(DemoArgs),
    /// Make a key.
    Keygen(KeygenArgs),
    /// Sign messages and append them.
    Submit(SubmitArgs),
    /// Read the log.
    Log(LogArgs),
    /// Search the catalog of capabilities.
    Catalog(CatalogArgs),
    /// Show intents with their offers and tasks.
    Intent(ObjectArgs),
    /// Show tasks.
    Task(ObjectArgs),
    /// Show what data or a task came from, or what came of it.
    Lineage(LineageArgs),
    /// Ask how something came about, and what came of it: why, where, who, whose keys, what is
    /// affected.
    Ask(AskArgs),
    /// Show how a workflow was coordinated, and where its time went.
    Workflow(WorkflowArgs),
    /// Say why an offer was chosen: candidates, scores, auction, policies.
    Why(WhyArgs),
    /// Show what the log holds against somebody: late outcomes, missed deadlines, broken promises.
    Findings(FindingsArgs),
    /// List open offers and running tasks that the policies in force do not allow.
    Compliance(ComplianceArgs),
    /// Make every decision of the log again: policies, evaluations, auctions.
    Decisions(DecisionsArgs),
    /// Ask the history in SQL, as of any moment.
    Sql(SqlArgs),
    /// Keep the answer to a question in SQL up to date, under a name.
    Materialize(MaterializeArgs),
    /// Bring a goal to its end without a person: publish, weigh offers, award, watch, try again.
    Pursue(PursueArgs),
    /// Offer a capability and do the work by a command, without a person.
    Provide(ProvideArgs),
    /// Seal a bid for an auction: the commitment for the offer, and the salt that opens it.
    Seal(SealArgs),
    /// Check schemas: is all data of one schema data of another, or is this document?
    Schema(SchemaArgs),
    /// Check the text of a policy before it is put in force.
    Policy(PolicyArgs),
    /// Say in one number what the log has come to: whoever folds the same events gets the same.
    Digest(DigestArgs),
    /// Keep a copy of somebody's ledger that is checked event by event, and serve it.
    Mirror(MirrorArgs),
    /// Get the log receipt of an event as a file that anyone can check offline.
    Prove(ProveArgs),
    /// Put all that says how a task or data came about in a file that anyone can check offline.
    Bundle(BundleArgs),
    /// Check a whole ledger, a log receipt or a bundle offline, trusting nobody.
    Verify(VerifyArgs),
    /// Get the signed head of a ledger, to keep and compare later.
    Checkpoint(CheckpointArgs),
    /// Do two views of one ledger agree? Receipts, checkpoints, mirrors or ledgers; a contradiction
    /// is written as a proof.
    Compare(CompareArgs),
    /// Copy a ledger, while it runs or not; again, to bring the copy up to date.
    Backup(BackupArgs),
    /// Make a ledger from a backup.
    Restore(RestoreArgs),
    /// Name all that is damaged in a data directory; with a copy of the ledger, repair it.
    Fsck(FsckArgs),
    /// Write a ledger as files that others read.
    Export(ExportArgs),
    /// Show how the projections of a running ledger are doing; build them again.
    Projection(ProjectionArgs),
    /// Say on the ledger, as claims of your own, what documents of other systems say.
    Import(ImportArgs),
    /// Hold a PROV-JSON document to the order in time that PROV demands (PROV-CONSTRAINTS).
    CheckProv(CheckProvArgs),
    /// Run a witness: cosign the checkpoints of logs, each only if it extends the one before.
    Witness(WitnessArgs),
}

/// Which ledger is read.
#[derive(Debug, Args)]
pub(crate) struct SourceArgs {
    /// Read this data directory; no server needs to run.
    #[arg(long, value_name = "DIR", conflicts_with = "url")]
    pub(crate) data: Option<PathBuf>,

    /// Ask the ledger at this URL.
    #[arg(long, value_name = "URL", env = "TALLY_URL",
          default_value_t = format!("http://{DEFAULT_ADDRESS}"))]
    pub(crate) url: String,

    /// The key that signs the ledger's checkpoints, as `name+id+key`, or a file with it. Without
    /// it, the key that the ledger names is believed.
    #[arg(long, value_name = "KEY")]
    pub(crate) log_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The data directory; made when absent.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ADDRESS)]
    pub(crate) listen: SocketAddr,

    /// The ledger's name, for a new ledger: a URL without scheme that you control. Without it, a
    /// name is made from the key.
    #[arg(long, value_name = "NAME")]
    pub(crate) origin: Option<String>,

    /// The key that signs checkpoints; `log.key` in the data directory when nothing is said.
    #[arg(long, value_name = "FILE")]
    pub(crate) log_key_file: Option<PathBuf>,

    /// A checkpoint that was seen outside: a log that does not contain it would fork, and is not
    /// served. May be given several times.
    #[arg(long, value_name = "FILE")]
    pub(crate) seen: Vec<PathBuf>,

    /// Where to serve metrics over HTTP, for Prometheus; nowhere when nothing is said.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Where to serve the checkpoint and the tiles of the log over plain HTTP (C2SP tlog-tiles), for
    /// everyone; nowhere when nothing is said.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,

    /// Witnesses that are asked to cosign every head, with their URLs: a C2SP tlog-policy. Receipts
    /// do not wait for them.
    #[arg(long, value_name = "FILE")]
    pub(crate) witness_policy: Option<PathBuf>,

    /// Give no receipt and no checkpoint that the policy's quorum has not cosigned.
    #[arg(long, requires = "witness_policy")]
    pub(crate) witnesses_required: bool,

    /// After so many events, and at least 25 times as many as the log has beyond its first 10,000, put
    /// on record what the log has come to, signed by the ledger's key: auditors compare it with their
    /// own fold. 0: never.
    #[arg(long, value_name = "EVENTS", default_value_t = 100_000)]
    pub(crate) state_digest_every: u64,
}

#[derive(Debug, Args)]
pub(crate) struct MirrorArgs {
    /// The ledger to copy, or another mirror of it.
    #[arg(long, value_name = "URL")]
    pub(crate) from: String,

    /// The data directory of the copy; made when absent.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// The key that signs the ledger's checkpoints, as `name+id+key`, or a file with it. Get it from
    /// somewhere else than the ledger.
    #[arg(long, value_name = "KEY")]
    pub(crate) log_key: String,

    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7421")]
    pub(crate) listen: SocketAddr,

    /// The name under which the mirror cosigns what it holds: a URL without scheme that you control.
    /// Without it, a name is made from the key.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Fetch what is there now, and end: exit code 1 when the ledger can't be trusted.
    #[arg(long, conflicts_with_all = ["listen", "metrics", "http"])]
    pub(crate) once: bool,

    /// Where to serve metrics over HTTP, for Prometheus; nowhere when nothing is said.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<SocketAddr>,

    /// Where to serve the checkpoint and the tiles of the log over plain HTTP (C2SP tlog-tiles);
    /// nowhere when nothing is said.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) http: Option<SocketAddr>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckpointArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Where it goes; standard output when nothing is said.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// A checkpoint or log receipt (a file), a data directory, or the URL of a running ledger or
    /// mirror.
    #[arg(value_name = "A")]
    pub(crate) one: String,

    /// Another.
    #[arg(value_name = "B")]
    pub(crate) other: String,

    /// The key that signs the ledger's checkpoints, as `name+id+key`, or a file with it; `log.pub`
    /// in a data directory when nothing is said.
    #[arg(long, value_name = "KEY")]
    pub(crate) log_key: Option<String>,

    /// Where the proof of a contradiction goes.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct DigestArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) at: AsOfArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// A recorded workflow in WfFormat 1.5 to play; a small scenario of our own when nothing is
    /// said.
    #[arg(long, value_name = "FILE")]
    pub(crate) trace: Option<PathBuf>,

    /// The data directory; made when absent.
    #[arg(long, value_name = "DIR", default_value = "tally-data")]
    pub(crate) data: PathBuf,

    /// Where to listen; another port is taken when this one is.
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_ADDRESS)]
    pub(crate) listen: SocketAddr,

    /// End when the workflow is done.
    #[arg(long)]
    pub(crate) no_wait: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeygenArgs {
    /// Where the private key goes; never overwritten.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Make a key that signs the checkpoints of the ledger with this name, not an agent's.
    #[arg(long, value_name = "ORIGIN")]
    pub(crate) log: Option<String>,

    /// Make a key that signs COSE receipts: a COSE_Key, with the public half beside it in PEM.
    #[arg(long, conflicts_with = "log")]
    pub(crate) cose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct SubmitArgs {
    /// Messages in JSON: one, a list, or one a line; `-` is standard input. A message looks like
    /// `{"intent": {"open": {"outcome": "…"}}}`, or with its context
    /// `{"message": {…}, "trace_id": "…", "causes": ["…"]}`.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) writer: WriterArgs,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// First position.
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    pub(crate) from: u64,

    /// First position that is not wanted; the head when nothing is said.
    #[arg(long, value_name = "POSITION", conflicts_with = "follow")]
    pub(crate) to: Option<u64>,

    /// Go on with every new event.
    #[arg(long, conflicts_with = "data")]
    pub(crate) follow: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CatalogArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// The kind of work.
    #[arg(long, value_name = "CATEGORY")]
    pub(crate) category: Option<String>,

    /// A tag; all that are given must be there.
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,

    /// Criteria in JSON, as in a Discover message; the options above are added to them.
    #[arg(long, value_name = "JSON")]
    pub(crate) criteria: Option<String>,

    /// The schema of the data that there is; a capability must take all of it.
    #[arg(long, value_name = "FILE")]
    pub(crate) input_schema: Option<PathBuf>,

    /// The schema of the data that is wanted; a capability must give nothing else.
    #[arg(long, value_name = "FILE")]
    pub(crate) output_schema: Option<PathBuf>,

    /// Most that it may cost, in the smallest unit, as in `500 EUR`.
    #[arg(long, value_name = "PRICE", value_parser = price)]
    pub(crate) max_cost: Option<Price>,

    /// Ask this agent's policies too.
    #[arg(long, value_name = "DID")]
    pub(crate) searcher: Option<AgentId>,

    /// Why is this version of a capability not found?
    #[arg(long, value_name = "ID")]
    pub(crate) why_not: Option<EnvelopeId>,

    /// Say also what does not fit, and why.
    #[arg(long)]
    pub(crate) misses: bool,

    #[command(flatten)]
    pub(crate) at: AsOfArgs,
}

/// The moment that an answer is as of.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct AsOfArgs {
    /// Answer as of an earlier moment: when the log had so many events, or a time of the ledger, as
    /// in `2026-11-22T10:00:00Z` (what was recorded by then).
    #[arg(long, visible_alias = "at", value_name = "POSITION|TIME", value_parser = as_of)]
    pub(crate) as_of: Option<AsOf>,
}

/// A number of events, or a time.
fn as_of(text: &str) -> Result<AsOf, String> {
    if let Ok(size) = text.parse() {
        return Ok(AsOf::Size(TreeSize::new(size)));
    }
    let time = text.parse::<jiff::Timestamp>().map_err(|_| {
        format!("{text:?} is neither a number of events nor a time such as 2026-11-22T10:00:00Z")
    })?;
    Ok(AsOf::Time(Time(time.as_microsecond())))
}

#[derive(Debug, Args)]
pub(crate) struct WorkflowArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) of: WorkflowOfArgs,

    #[command(flatten)]
    pub(crate) at: AsOfArgs,

    #[command(flatten)]
    pub(crate) draw: DrawArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WorkflowOfArgs {
    /// An intent of it: 64 hexadecimal digits.
    #[arg(value_name = "INTENT")]
    pub(crate) intent: Option<EnvelopeId>,

    /// Its trace id: 32 hexadecimal digits.
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<TraceId>,
}

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// The intent, or a task of it: 64 hexadecimal digits.
    #[arg(value_name = "INTENT|TASK")]
    pub(crate) id: EnvelopeId,
}

#[derive(Debug, Args)]
pub(crate) struct FindingsArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Only about this agent.
    #[arg(long, value_name = "DID")]
    pub(crate) agent: Option<AgentId>,

    #[command(flatten)]
    pub(crate) at: AsOfArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ComplianceArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) at: AsOfArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DecisionsArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Only those of the event at this position.
    #[arg(long, value_name = "POSITION")]
    pub(crate) position: Option<u64>,
}

#[derive(Debug, Args)]
pub(crate) struct PursueArgs {
    /// What is wanted: the terms of an intent in JSON, as in `{"outcome": "…", "category": "…"}`;
    /// `-` is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    #[command(flatten)]
    pub(crate) writer: WriterArgs,

    /// So many offers are enough to choose from.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) offers: usize,

    /// Longest wait for that many, in seconds.
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    pub(crate) wait: f64,

    /// How often a task is tried at most.
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) attempts: u32,

    /// Longest time that a task may take, in seconds.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) done_within: Option<f64>,

    /// Longest silence of an executor, in seconds.
    #[arg(long, value_name = "S", value_parser = seconds)]
    pub(crate) heartbeat: Option<f64>,
}

#[derive(Debug, Args)]
pub(crate) struct ProvideArgs {
    /// The capability in JSON, as in `{"name": "…", "category": "…"}`; intents of its category are
    /// offered for.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The command, run once a task: the intent and its inputs come as JSON on standard input; what
    /// it prints is the output; an exit code other than 0 is a failure, with what it said on
    /// standard error as the reason.
    #[arg(value_name = "COMMAND", last = true, required = true)]
    pub(crate) command: Vec<OsString>,

    #[command(flatten)]
    pub(crate) writer: WriterArgs,

    /// What it costs, in the smallest unit, as in `500 EUR`; bid as it is in every auction.
    #[arg(long, value_name = "PRICE", value_parser = price, default_value = "0 EUR")]
    pub(crate) price: Price,

    /// Media type of the output.
    #[arg(long, value_name = "TYPE", default_value = "application/json")]
    pub(crate) media_type: String,
}

/// Who writes, and where.
#[derive(Debug, Args)]
pub(crate) struct WriterArgs {
    /// The author's private key, from `tally keygen`.
    #[arg(long, value_name = "FILE", env = "TALLY_KEY")]
    pub(crate) key: PathBuf,

    /// Append to the ledger at this URL.
    #[arg(long, value_name = "URL", env = "TALLY_URL",
          default_value_t = format!("http://{DEFAULT_ADDRESS}"))]
    pub(crate) url: String,

    /// The key that signs the ledger's checkpoints, as `name+id+key`, or a file with it.
    #[arg(long, value_name = "KEY")]
    pub(crate) log_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SealArgs {
    /// The intent of the auction.
    #[arg(value_name = "INTENT")]
    pub(crate) intent: EnvelopeId,

    /// The bid, in the smallest unit, as in `500 EUR`.
    #[arg(value_name = "PRICE", value_parser = price)]
    pub(crate) price: Price,

    /// The bidder: the agent that signs the offer.
    #[arg(long, value_name = "DID")]
    pub(crate) bidder: AgentId,
}

#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// The schema, in JSON Schema 2020-12.
    #[arg(value_name = "SCHEMA")]
    pub(crate) schema: PathBuf,

    #[command(flatten)]
    pub(crate) against: SchemaAgainstArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct SchemaAgainstArgs {
    /// Is all its data data of this schema too?
    #[arg(long, value_name = "SCHEMA")]
    pub(crate) within: Option<PathBuf>,

    /// Is this document data of it?
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct PolicyArgs {
    /// The policy, in Cedar; `-` is standard input.
    #[arg(value_name = "FILE", required_unless_present = "schema")]
    pub(crate) file: Option<PathBuf>,

    /// Print the Cedar schema that policies are held to: what they can ask about.
    #[arg(long, conflicts_with = "file")]
    pub(crate) schema: bool,
}

/// An amount and its currency.
fn price(text: &str) -> Result<Price, String> {
    let (amount, currency) =
        text.trim().split_once(' ').ok_or("write AMOUNT CURRENCY, as in \"500 EUR\"")?;
    let amount = amount.parse().map_err(|_| format!("{amount:?} is no whole number"))?;
    let currency = Name::new(currency).map_err(|error| format!("{currency:?}: {error}"))?;
    Ok(Price { amount, currency })
}

#[derive(Debug, Args)]
pub(crate) struct ObjectArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Its id: 64 hexadecimal digits.
    #[arg(value_name = "ID")]
    pub(crate) id: Option<EnvelopeId>,

    /// A label of the intent, as in `wf.task=mProject_ID0000002`.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Option<String>,

    /// Only what has not ended.
    #[arg(long)]
    pub(crate) live: bool,

    /// Most answers, newest first.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,

    #[command(flatten)]
    pub(crate) at: AsOfArgs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LineageDirection {
    /// What it came from.
    Up,
    /// What came of it.
    Down,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct LineageStartArgs {
    /// Data, by its URI.
    #[arg(long, value_name = "URI")]
    pub(crate) data_ref: Option<String>,

    /// A task, by its label `wf.task` or its id.
    #[arg(long, value_name = "LABEL")]
    pub(crate) task: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ProveArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// The event: its position, or the id of its envelope.
    #[arg(value_name = "POSITION|ID")]
    pub(crate) event: String,

    /// Where the receipt goes; standard output when nothing is said.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BundleArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// A task, by its id or its label `wf.task` (then its last attempt), or data that a task made,
    /// by its URI.
    #[arg(value_name = "TASK|DATA-URI")]
    pub(crate) subject: String,

    /// Which data, where several are at the URI: 64 hexadecimal digits.
    #[arg(long, value_name = "HEX")]
    pub(crate) digest: Option<Digest>,

    /// Most steps back; from data to the task that made it is one, and so is a cause or a task that
    /// another one builds on. The file says what is left out.
    #[arg(long, value_name = "N")]
    pub(crate) depth: Option<u32>,

    /// An earlier checkpoint of the ledger: the file proves that the log has only grown since.
    #[arg(long, value_name = "FILE")]
    pub(crate) older: Option<PathBuf>,

    /// Where the bundle goes.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A log receipt made by `tally prove`, a bundle made by `tally bundle`, evidence made by
    /// `tally compare`; a ledger's data directory, or one of tiles; or the URL of a running ledger
    /// or mirror.
    #[arg(value_name = "FILE|DIR|URL", required_unless_present = "data", conflicts_with = "data")]
    pub(crate) subject: Option<PathBuf>,

    /// A ledger's data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// The key that signs the ledger's checkpoints, as `name+id+key`, or a file with it. For a
    /// directory, `log.pub` in it is believed when nothing is said.
    #[arg(long, value_name = "KEY")]
    pub(crate) log_key: Option<String>,

    /// A checkpoint that you kept earlier: history must contain it.
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Vec<PathBuf>,

    /// Which witnesses must have cosigned, and by which keys logs are known: a C2SP tlog-policy.
    #[arg(long, value_name = "FILE")]
    pub(crate) witness_policy: Option<PathBuf>,

    /// The author that must have signed a log receipt's envelope.
    #[arg(long, value_name = "DID", requires = "subject")]
    pub(crate) author: Option<AgentId>,
}

#[derive(Debug, Args)]
pub(crate) struct BackupArgs {
    /// The ledger's data directory.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// Where the backup is, or is to be.
    #[arg(long, value_name = "DIR")]
    pub(crate) to: PathBuf,

    /// Copy the ledger's private key too: whoever has the backup can then sign for the ledger.
    #[arg(long)]
    pub(crate) with_key: bool,
}

#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup.
    #[arg(long, value_name = "DIR")]
    pub(crate) from: PathBuf,

    /// Where the ledger is to be; nothing may be there yet.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// A checkpoint that was seen outside: a ledger that does not contain it is not restored,
    /// because it would fork.
    #[arg(long, value_name = "FILE")]
    pub(crate) seen: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct FsckArgs {
    /// The ledger's data directory, or a backup. Without a copy to repair from, nothing in it is
    /// changed.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// Repair the log from this data directory or backup of the same ledger. Only what hashes to
    /// the signed checkpoint is taken; damaged segments are kept in `damaged`.
    #[arg(long, value_name = "DIR")]
    pub(crate) repair_from: Option<PathBuf>,

    /// The key that signs the ledger's checkpoints, as `name+id+key`, or a file with it; `log.pub`
    /// in the data directory when nothing is said.
    #[arg(long, value_name = "KEY")]
    pub(crate) log_key: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(subcommand)]
    pub(crate) what: ExportWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExportWhat {
    /// The checkpoint and the tiles of the log (C2SP tlog-tiles), as `tally serve --http` serves
    /// them, for any web server; again, to bring the files up to date.
    Tiles(ExportTilesArgs),
    /// The tables of `tally sql` as Parquet files, in parts of the log; again, to add what is new.
    Parquet(ExportTablesArgs),
    /// The same as JSON lines.
    Jsonl(ExportTablesArgs),
    /// Envelopes as their authors signed them, in DSSE: one a line.
    Dsse(ExportDsseArgs),
    /// Task receipts as in-toto statements in DSSE, one a line, with the author's envelope and the
    /// log receipt in each.
    InToto(ExportInTotoArgs),
    /// COSE receipts (RFC 9942) that events are in the log, one a line; for the ledger's operator.
    Cose(ExportCoseArgs),
    /// Provenance in the words of W3C PROV: PROV-JSON, PROV-N, or PROV-O in Turtle.
    Prov(ExportProvArgs),
    /// Tasks as run events of OpenLineage 2-0-2, one a line.
    Openlineage(HistoryArgs),
    /// Every event as a cloud event (CloudEvents 1.0), one a line.
    Cloudevents(ExportCloudEventsArgs),
    /// Tasks as spans of OpenTelemetry (OTLP in JSON): one request.
    Otlp(ExportOtlpArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExportTilesArgs {
    /// The ledger's data directory; a server may be at work on it.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// Where the files are, or are to be.
    #[arg(value_name = "OUT")]
    pub(crate) out: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct ExportDsseArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Only this event: its position, or the id of its envelope.
    #[arg(value_name = "POSITION|ID")]
    pub(crate) event: Option<String>,

    /// Where the lines go; standard output when nothing is said.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportInTotoArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Only the receipts of this task, by its id, or of all attempts with this label `wf.task`.
    #[arg(value_name = "TASK")]
    pub(crate) task: Option<String>,

    /// The private key that signs the statements, from `tally keygen`. The authors of receipts signed
    /// other bytes, and those are in each statement.
    #[arg(long, value_name = "FILE", env = "TALLY_KEY")]
    pub(crate) key: PathBuf,

    /// Where the lines go; standard output when nothing is said.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportCoseArgs {
    /// The ledger's data directory; a server may be at work on it.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// Only this event: its position, or the id of its envelope.
    #[arg(value_name = "POSITION|ID")]
    pub(crate) event: Option<String>,

    /// The key that signs the receipts, from `tally keygen --cose`; `cose.key` in the data directory
    /// when nothing is said, made when absent. It is never the key that signs checkpoints.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: Option<PathBuf>,

    /// The key that signs the ledger's checkpoints, as `name+id+key`, or a file with it; `log.pub`
    /// in the data directory when nothing is said.
    #[arg(long, value_name = "KEY")]
    pub(crate) log_key: Option<String>,

    /// Where the lines go; standard output when nothing is said.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct WitnessArgs {
    /// The witness's directory: its key, and what it cosigned; made when absent. Never put an older
    /// copy of it back: the witness would cosign a second history.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,

    /// The key of a log that is witnessed, as `name+id+key`, or a file with it; its name is the
    /// log's origin. May be given several times.
    #[arg(long, value_name = "KEY", required = true)]
    pub(crate) log: Vec<String>,

    /// Where to listen.
    #[arg(long, value_name = "ADDRESS", default_value = DEFAULT_WITNESS_ADDRESS)]
    pub(crate) listen: SocketAddr,

    /// The witness's name, for a new witness: a URL without scheme that you control. Without it, a
    /// name is made from the key.
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// A time span in seconds.
fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?;
    match std::time::Duration::try_from_secs_f64(seconds) {
        Ok(_) if seconds <= MAX_SECONDS => Ok(seconds),
        _ => Err(format!("{text} is not between 0 and {MAX_SECONDS} seconds")),
    }
}

/// Longest time span that can be asked for: ten years.
const MAX_SECONDS: f64 = 3.2e8;
