//! Recorded workflows in WfFormat 1.5, and the scenario that the program ships in the same format
//! with a few notes of its own under `tally`.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::Deserialize;

use crate::error::CliError;

/// Most bytes of a trace.
const MAX_TRACE_BYTES: u64 = 256 * 1024 * 1024;

/// Most tasks of a trace.
const MAX_TRACE_TASKS: usize = 100_000;

const SHIPPED: &str = include_str!("../../scenarios/harbour-survey.json");

/// A workflow as it is recorded.
#[derive(Debug, Deserialize)]
pub(crate) struct Trace {
    pub(crate) name: String,
    #[serde(rename = "schemaVersion")]
    schema_version: String,
    pub(crate) workflow: Workflow,
    /// What the shipped scenario adds; other traces have none.
    #[serde(default)]
    pub(crate) tally: Notes,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Workflow {
    pub(crate) specification: Specification,
    #[serde(default)]
    pub(crate) execution: Execution,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Specification {
    pub(crate) tasks: Vec<Task>,
    #[serde(default)]
    pub(crate) files: Vec<File>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) parents: Vec<String>,
    #[serde(default)]
    pub(crate) input_files: Vec<String>,
    #[serde(default)]
    pub(crate) output_files: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct File {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) size_in_bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Execution {
    #[serde(default)]
    pub(crate) tasks: Vec<Executed>,
    #[serde(default)]
    pub(crate) machines: Vec<Machine>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Executed {
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) runtime_in_seconds: f64,
    #[serde(default)]
    pub(crate) machines: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Machine {
    pub(crate) node_name: String,
}

/// What happens beside the plan.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Notes {
    /// Tasks whose first attempt fails, and why.
    #[serde(default)]
    pub(crate) failures: HashMap<String, String>,
    /// Tasks whose best offer is countered once.
    #[serde(default)]
    pub(crate) counters: HashSet<String>,
}

impl Trace {
    /// Reads a trace from a file.
    pub(crate) fn read(path: &Path) -> Result<Self, CliError> {
        let usage = |text: String| CliError::Usage(format!("{}: {text}", path.display()));
        let length = std::fs::metadata(path).map_err(|error| usage(error.to_string()))?.len();
        if length > MAX_TRACE_BYTES {
            return Err(usage(format!("has {length} bytes, the limit is {MAX_TRACE_BYTES}")));
        }
        let text = std::fs::read_to_string(path).map_err(|error| usage(error.to_string()))?;
        Self::parse(&text).map_err(usage)
    }

    /// The scenario that the program ships.
    pub(crate) fn shipped() -> Self {
        Self::parse(SHIPPED).expect("a test holds the shipped scenario to the format")
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let trace: Self = serde_json::from_str(text)
            .map_err(|error| format!("is no workflow in WfFormat 1.5: {error}"))?;
        if trace.schema_version != "1.5" {
            return Err(format!("is WfFormat {}, 1.5 is read", trace.schema_version));
        }
        let tasks = &trace.workflow.specification.tasks;
        if tasks.is_empty() || tasks.len() > MAX_TRACE_TASKS {
            return Err(format!("has {} tasks, 1 to {MAX_TRACE_TASKS} are read", tasks.len()));
        }
        Ok(trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_scenario_is_wfformat_with_a_failure() {
        let trace = Trace::shipped();
        assert!(trace.workflow.specification.tasks.len() >= 5);
        assert!(!trace.tally.failures.is_empty());
        let ids: HashSet<_> = trace.workflow.specification.tasks.iter().map(|t| &t.id).collect();
        assert!(trace.tally.failures.keys().all(|id| ids.contains(id)));
        assert!(trace.tally.counters.iter().all(|id| ids.contains(id)));
    }

    #[test]
    fn what_is_no_trace_says_why() {
        let check = |text: &str, expect: &str| {
            let error = Trace::parse(text).expect_err("refused");
            assert!(error.contains(expect), "{error}");
        };
        check("{}", "missing field");
        check(
            r#"{"name":"x","schemaVersion":"1.4","workflow":{"specification":{"tasks":[]}}}"#,
            "WfFormat 1.4",
        );
        check(
            r#"{"name":"x","schemaVersion":"1.5","workflow":{"specification":{"tasks":[]}}}"#,
            "has 0 tasks",
        );
    }
}
