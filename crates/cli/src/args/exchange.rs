//! What `tally export`, `tally import` and `tally check-prov` can be told about the formats of others,
//! and how pictures are drawn.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use tally_protocol::message::ClaimSubject;
use tally_protocol::{AgentId, EnvelopeId, TraceId};

use super::{AsOfArgs, DEFAULT_ADDRESS, SourceArgs};

/// What every export of a whole history takes.
#[derive(Debug, Args)]
pub(crate) struct HistoryArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) at: AsOfArgs,

    /// Where it goes; standard output when nothing is said.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// The languages of PROV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProvFormat {
    /// PROV-JSON.
    Json,
    /// PROV-N.
    N,
    /// PROV-O in Turtle.
    Turtle,
}

#[derive(Debug, Args)]
pub(crate) struct ExportProvArgs {
    #[command(flatten)]
    pub(crate) history: HistoryArgs,

    /// How it is written.
    #[arg(long, value_enum, default_value = "json")]
    pub(crate) format: ProvFormat,

    /// Only the workflow with this trace id: 32 hexadecimal digits.
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<TraceId>,
}

#[derive(Debug, Args)]
pub(crate) struct ExportCloudEventsArgs {
    #[command(flatten)]
    pub(crate) history: HistoryArgs,

    /// Carry the payloads as they were signed, in base64, instead of the messages in JSON.
    #[arg(long)]
    pub(crate) envelopes: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportOtlpArgs {
    #[command(flatten)]
    pub(crate) history: HistoryArgs,

    /// Only the workflow with this trace id: 32 hexadecimal digits.
    #[arg(long, value_name = "ID")]
    pub(crate) trace: Option<TraceId>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckProvArgs {
    /// A document in PROV-JSON; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Clocks of different agents may differ by so many seconds: times contradict each other only
    /// beyond it.
    #[arg(long, value_name = "S", value_parser = super::seconds, default_value_t = 0.0)]
    pub(crate) clock_skew: f64,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(subcommand)]
    pub(crate) what: ImportWhat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ImportWhat {
    /// Run events of OpenLineage, one a line: a claim for each run, with what it read and made.
    Openlineage(ImportFileArgs),
    /// An agent card of A2A 1.0: a claim with what the card says.
    A2a(ImportCardArgs),
}

/// What is imported, by whom, and where to.
#[derive(Debug, Args)]
pub(crate) struct ImportFileArgs {
    /// The document; `-` is standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Where the document can be had, for the evidence; its file name when nothing is said.
    #[arg(long, value_name = "URI")]
    pub(crate) uri: Option<String>,

    /// The importer's private key, from `tally keygen`: the claims are the importer's word.
    #[arg(long, value_name = "FILE", env = "TALLY_KEY")]
    pub(crate) key: PathBuf,

    /// Append to the ledger at this URL.
    #[arg(long, value_name = "URL", env = "TALLY_URL",
          default_value_t = format!("http://{DEFAULT_ADDRESS}"))]
    pub(crate) url: String,

    /// The key that signs the ledger's checkpoints, as `name+id+key`, or a file with it.
    #[arg(long, value_name = "KEY")]
    pub(crate) log_key: Option<String>,

    /// Show the messages that would be signed, one a line, and append nothing; no ledger is asked.
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportCardArgs {
    #[command(flatten)]
    pub(crate) file: ImportFileArgs,

    /// What the card is about here: an agent's did:key, or the id of an envelope such as a capability;
    /// the importer when nothing is said.
    #[arg(long, value_name = "DID|ID", value_parser = subject)]
    pub(crate) about: Option<ClaimSubject>,
}

fn subject(text: &str) -> Result<ClaimSubject, String> {
    if let Ok(agent) = text.parse::<AgentId>() {
        return Ok(ClaimSubject::Agent(agent));
    }
    let id = text.parse::<EnvelopeId>();
    id.map(ClaimSubject::Envelope)
        .map_err(|_| format!("{text:?} is neither a did:key nor the id of an envelope"))
}

/// How a picture is drawn.
#[derive(Debug, Clone, Copy, Args)]
#[group(multiple = false)]
pub(crate) struct DrawArgs {
    /// Draw it in the language of Graphviz: `… --dot | dot -Tsvg > picture.svg`.
    #[arg(long, conflicts_with = "json")]
    pub(crate) dot: bool,

    /// Draw it in the language of Mermaid, for Markdown.
    #[arg(long, conflicts_with = "json")]
    pub(crate) mermaid: bool,

    /// Draw it as an SVG image.
    #[arg(long, conflicts_with = "json")]
    pub(crate) svg: bool,
}

/// A language of pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Picture {
    Dot,
    Mermaid,
    Svg,
}

impl DrawArgs {
    /// The picture that is asked for, if one is.
    pub(crate) fn picture(self) -> Option<Picture> {
        match self {
            Self { dot: true, .. } => Some(Picture::Dot),
            Self { mermaid: true, .. } => Some(Picture::Mermaid),
            Self { svg: true, .. } => Some(Picture::Svg),
            _ => None,
        }
    }
}
