//! What `tally ask` and `tally lineage` can be told.

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use tally_protocol::{AgentId, Digest, EnvelopeId, TraceId};
use tally_provenance::{Class, Filter, LineageQuestion, Only, Run};

use crate::args::{AsOfArgs, DrawArgs, LineageDirection, LineageStartArgs, SourceArgs};

#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    #[command(subcommand)]
    pub(crate) question: Question,
}

/// A question about how something came about, or what came of it.
#[derive(Debug, Subcommand)]
pub(crate) enum Question {
    /// What suffices to derive it: minimal sets of inputs and tasks.
    Why(FlowArgs),
    /// Where data is said to be and came from: every field that names it.
    Where(FlowArgs),
    /// Who signed what led to it, with role and event.
    Blame(FlowArgs),
    /// Whose signatures must be believed for it.
    Keys(FlowArgs),
    /// What is affected by a bad input, agent, key or policy.
    Impact(ImpactArgs),
    /// Why an offer was chosen, and why the others were not.
    Award(AwardArgs),
    /// How two runs of a workflow, two intents or two tasks differ.
    Difference(DifferenceArgs),
    /// Where the time of a workflow went: waiting and running, by task, agent and capability.
    Bottlenecks(BottlenecksArgs),
    /// Many questions at once, each answered in a line of JSON.
    Each(EachArgs),
}

/// Which ledger is asked, and as of when.
#[derive(Debug, Args)]
pub(crate) struct LedgerArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    #[command(flatten)]
    pub(crate) at: AsOfArgs,
}

#[derive(Debug, Args)]
pub(crate) struct FlowArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,

    #[command(flatten)]
    pub(crate) start: LineageStartArgs,

    /// Of several data at one URI, the one with this digest.
    #[arg(long, value_name = "DIGEST", requires = "data_ref")]
    pub(crate) digest: Option<Digest>,
}

#[derive(Debug, Args)]
pub(crate) struct ImpactArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,

    #[command(flatten)]
    pub(crate) cause: CauseArgs,

    /// Of several data at one URI, the one with this digest.
    #[arg(long, value_name = "DIGEST", requires = "data_ref")]
    pub(crate) digest: Option<Digest>,

    /// Of an agent or key, what it signed from this position on.
    #[arg(long, value_name = "POSITION", default_value_t = 0)]
    pub(crate) from: u64,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct CauseArgs {
    /// Data, by its URI.
    #[arg(long, value_name = "URI")]
    pub(crate) data_ref: Option<String>,

    /// A task, by its label `wf.task` or its id.
    #[arg(long, value_name = "LABEL")]
    pub(crate) task: Option<String>,

    /// An agent, by any of its keys.
    #[arg(long, value_name = "DID")]
    pub(crate) agent: Option<AgentId>,

    /// One key.
    #[arg(long, value_name = "DID")]
    pub(crate) key: Option<AgentId>,

    /// A version of a policy, by the update that put it in force.
    #[arg(long, value_name = "ID")]
    pub(crate) policy: Option<EnvelopeId>,
}

#[derive(Debug, Args)]
pub(crate) struct AwardArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,

    /// The intent, or a task of it: 64 hexadecimal digits.
    #[arg(value_name = "INTENT|TASK")]
    pub(crate) id: EnvelopeId,

    /// Only why this offer was not chosen.
    #[arg(long, value_name = "OFFER")]
    pub(crate) against: Option<EnvelopeId>,
}

#[derive(Debug, Args)]
pub(crate) struct DifferenceArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,

    /// A trace id (32 hexadecimal digits), or an intent or a task (64).
    #[arg(value_name = "RUN", value_parser = run)]
    pub(crate) first: Run,

    /// Another.
    #[arg(value_name = "RUN", value_parser = run)]
    pub(crate) second: Run,
}

#[derive(Debug, Args)]
pub(crate) struct BottlenecksArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,

    /// A trace id (32 hexadecimal digits), or an intent or a task (64) of the workflow.
    #[arg(value_name = "RUN", value_parser = run)]
    pub(crate) run: Run,
}

#[derive(Debug, Args)]
pub(crate) struct EachArgs {
    #[command(flatten)]
    pub(crate) source: SourceArgs,

    /// Questions, one a line: the arguments as a list in JSON, as in
    /// `["ask", "why", "--data-ref", "file:chart.pdf"]` or `["lineage", "--task", …]`; `-` is
    /// standard input.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct LineageArgs {
    #[command(flatten)]
    pub(crate) ledger: LedgerArgs,

    #[command(flatten)]
    pub(crate) start: LineageStartArgs,

    /// Which way to look.
    #[arg(long, value_enum)]
    pub(crate) direction: LineageDirection,

    /// Most steps; from a task to its data is one.
    #[arg(long, value_name = "N")]
    pub(crate) depth: Option<u32>,

    #[command(flatten)]
    pub(crate) filter: FilterArgs,

    #[command(flatten)]
    pub(crate) draw: DrawArgs,
}

/// What of a lineage is shown.
#[derive(Debug, Args)]
pub(crate) struct FilterArgs {
    /// Show only tasks, or only data.
    #[arg(long, value_enum, value_name = "KIND")]
    only: Option<OnlyArg>,

    /// Show only tasks that this agent executes, and data that they made.
    #[arg(long, value_name = "DID")]
    agent: Option<AgentId>,

    /// Show only tasks whose intent has this label, and data that they made.
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Option<(String, String)>,

    /// Follow only what stands on this ground; may be given several times.
    #[arg(long, value_enum, value_name = "CLASS")]
    class: Vec<ClassArg>,

    /// Of data show only what has a URI that begins so.
    #[arg(long, value_name = "URI")]
    uri_prefix: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OnlyArg {
    Tasks,
    Data,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ClassArg {
    /// An agent signed it.
    Asserted,
    /// It follows by a rule.
    Inferred,
    /// It was taken over from another system.
    Imported,
}

impl LineageArgs {
    /// The question, without where it starts.
    pub(crate) fn question(&self) -> LineageQuestion {
        LineageQuestion {
            direction: self.direction.into(),
            depth: self.depth,
            filter: self.filter.filter(),
        }
    }
}

impl FilterArgs {
    fn filter(&self) -> Filter {
        let class = |class: &ClassArg| match class {
            ClassArg::Asserted => Class::Asserted,
            ClassArg::Inferred => Class::Inferred,
            ClassArg::Imported => Class::Imported,
        };
        Filter {
            only: self.only.map(|only| match only {
                OnlyArg::Tasks => Only::Tasks,
                OnlyArg::Data => Only::Data,
            }),
            agent: self.agent,
            label: self.label.clone(),
            classes: self.class.iter().map(class).collect::<BTreeSet<Class>>(),
            uri_prefix: self.uri_prefix.clone(),
        }
    }
}

impl From<LineageDirection> for tally_provenance::Direction {
    fn from(direction: LineageDirection) -> Self {
        match direction {
            LineageDirection::Up => Self::Up,
            LineageDirection::Down => Self::Down,
        }
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let parts = text.split_once('=').ok_or("a label looks like KEY=VALUE")?;
    Ok((parts.0.to_owned(), parts.1.to_owned()))
}

/// A trace id is half as long as the id of an envelope.
fn run(text: &str) -> Result<Run, String> {
    let trace = || text.parse::<TraceId>().map(Run::Trace);
    let part = |_| text.parse::<EnvelopeId>().map(Run::Part);
    trace().or_else(part).map_err(|_| {
        format!("{text:?} is neither a trace id (32 hexadecimal digits) nor an intent or task (64)")
    })
}
