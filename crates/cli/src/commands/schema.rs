//! `tally schema`: whether schemas fit, before anything is signed.

use std::path::Path;

use serde::Serialize;
use tally_schema::{Compatibility, Schema, compare};

use crate::args::SchemaArgs;
use crate::error::CliError;
use crate::output::Output;
use crate::text::read_text;

#[derive(Serialize)]
struct Verdict {
    /// `compatible`, `incompatible`, `unknown`; `valid`, `invalid`.
    verdict: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    path: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    found: String,
}

pub(crate) fn run(args: SchemaArgs, output: Output) -> Result<(), CliError> {
    let schema = read(&args.schema)?;
    let verdict = match (&args.against.within, &args.against.data) {
        (Some(wide), _) => compared(compare(&schema, &read(wide)?)),
        (None, Some(data)) => validated(&schema, data)?,
        (None, None) => unreachable!("the arguments require one of them"),
    };
    output.answer(&verdict, |Verdict { verdict, found, .. }| match found.as_str() {
        "" => (*verdict).to_owned(),
        found => format!("{verdict}: {found}"),
    });
    match verdict.verdict {
        "compatible" | "valid" => Ok(()),
        other => Err(CliError::Negative(other)),
    }
}

fn compared(answer: Compatibility) -> Verdict {
    let found = answer.to_string();
    match answer {
        Compatibility::Compatible => {
            Verdict { verdict: "compatible", path: String::new(), found: String::new() }
        }
        Compatibility::Incompatible { misfit, .. } => {
            Verdict { verdict: "incompatible", path: misfit.schema, found }
        }
        Compatibility::Unknown { path, .. } => Verdict { verdict: "unknown", path, found },
    }
}

fn validated(schema: &Schema, data: &Path) -> Result<Verdict, CliError> {
    let value = serde_json::from_str(&read_text(data)?)
        .map_err(|error| CliError::Usage(format!("{}: {error}", data.display())))?;
    let invalid = schema.validate(&value).err().map(|invalid| invalid.to_string());
    let verdict = if invalid.is_none() { "valid" } else { "invalid" };
    Ok(Verdict { verdict, path: String::new(), found: invalid.unwrap_or_default() })
}

fn read(path: &Path) -> Result<Schema, CliError> {
    let wrong = |error| CliError::Usage(format!("{}: {error}", path.display()));
    Schema::parse(read_text(path)?).map_err(wrong)
}
