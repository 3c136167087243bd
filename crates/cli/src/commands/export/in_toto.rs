//! `tally export in-toto`: task receipts as in-toto statements.
//!
//! The log is read from its first event on and every rule is run again: what a statement says beside
//! the author's own words follows from that, and from nothing that a server or a disk says.

use tally_coordination::State;
use tally_interop::{FoundReceipt, TaskReceipts};
use tally_protocol::EnvelopeId;

use super::dsse::verified;
use super::lines::Lines;
use super::proofs::Proofs;
use crate::args::ExportInTotoArgs;
use crate::error::CliError;
use crate::keys::read_agent_key;
use crate::output::Output;
use crate::source::Source;

/// The label of an intent that names its task in a workflow.
const TASK_LABEL: &str = "wf.task";

pub(super) async fn run(args: ExportInTotoArgs, output: Output) -> Result<(), CliError> {
    let key = read_agent_key(&args.key)?;
    let source = Source::open(&args.source, output).await?;
    let (state, found) = read(&source).await?;
    let found = wanted(&state, found, args.task.as_deref())?;
    let (data, log_key) = (args.source.data.as_deref(), args.source.log_key.as_deref());
    let proofs = Proofs::open(&source, data, log_key)?;
    let mut lines = Lines::to(args.out.as_deref(), output)?;
    let bar = output.progress("exporting", found.len() as u64);
    for receipt in found {
        let envelope = verified(receipt.event())?;
        let proof = proofs.receipt(receipt.event()).await?;
        let statement = receipt.statement(&envelope, &state, &proof);
        let statement = statement.expect("the state has folded the receipt's own event");
        lines.write(&statement.sign(&key))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    lines.finish("in-toto statements in DSSE", &[])
}

/// All receipts, and the state that the log comes to.
async fn read(source: &Source) -> Result<(State, Vec<FoundReceipt>), CliError> {
    let mut receipts = TaskReceipts::new();
    let fold = |event: &tally_protocol::Event, _: &tally_coordination::Change| {
        let parsed = event.signed().parse();
        let parsed = parsed.map_err(|error| CliError::failed(event.position(), error))?;
        receipts.fold(event, &parsed);
        Ok(())
    };
    let state = source.replay(None, fold).await?;
    Ok((state, receipts.into_found()))
}

/// The receipts of one task, by its id, or of all attempts of a label; all when nothing is said.
fn wanted(
    state: &State,
    found: Vec<FoundReceipt>,
    task: Option<&str>,
) -> Result<Vec<FoundReceipt>, CliError> {
    let Some(text) = task else { return Ok(found) };
    let id = text.parse::<EnvelopeId>().ok();
    let is_wanted = |task: EnvelopeId| id.map_or(is_labelled(state, task, text), |id| id == task);
    let found: Vec<_> = found.into_iter().filter(|found| is_wanted(found.task())).collect();
    if found.is_empty() {
        let what = "no task with a receipt has the id or the label";
        return Err(CliError::Absent(format!("{what} {text:?}")));
    }
    Ok(found)
}

fn is_labelled(state: &State, task: EnvelopeId, value: &str) -> bool {
    let intent = state.task(&task).and_then(|task| state.intent(&task.terms.intent));
    let labels = intent.as_ref().map_or(&[][..], |intent| &intent.terms.labels);
    labels.iter().any(|label| label.key.as_str() == TASK_LABEL && label.value.as_str() == value)
}
