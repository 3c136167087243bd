//! `tally policy`: whether a policy can be put in force.

use serde::Serialize;
use tally_policy::Policy;

use crate::args::PolicyArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::text::read_text;

#[derive(Serialize)]
struct Valid {
    rules: usize,
    /// Agents that it names: whose claims it trusts, among others.
    agents: Vec<String>,
}

#[derive(Serialize)]
struct Schema {
    /// In Cedar's own language for schemas.
    schema: &'static str,
}

pub(crate) fn run(args: PolicyArgs, output: Output) -> Result<(), CliError> {
    let Some(file) = args.file else {
        let schema = Schema { schema: tally_policy::SCHEMA };
        output.answer(&schema, |schema| schema.schema.to_owned());
        return Ok(());
    };
    let policy = Policy::parse("policy", 1, &read_text(&file)?)
        .map_err(|error| CliError::Absent(format!("{}: {error}", file.display())))?;
    let valid =
        Valid { rules: policy.rules().len(), agents: policy.agents().iter().cloned().collect() };
    output.answer(&valid, |valid| format!("valid, {} rules", valid.rules));
    Ok(())
}
