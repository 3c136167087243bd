//! Rows: a ratio, its goal, and the figures that it is computed from; and beside them what peers did
//! to which no row is held.

use std::collections::BTreeMap;

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use tally_load::Machine;

/// What a ratio is to reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// This, or more.
    AtLeast(f64),
    /// This, or less.
    AtMost(f64),
}

impl Goal {
    /// Whether a ratio reaches it.
    pub fn is_reached(self, ratio: f64) -> bool {
        match self {
            Self::AtLeast(least) => ratio >= least,
            Self::AtMost(most) => ratio <= most,
        }
    }
}

/// Every row, in the order in which they are shown.
///
/// | rows | path | against |
/// |---|---|---|
/// | `append_in_process_*` | durable appends to a node, everything on | signatures in batches, all cores |
/// | `stream_cpu_*` | the server's processor time of an event over gRPC streams, its projections caught up | that of a signature in a batch |
/// | `unary_against_postgresql` | single appends, 64 clients | durable inserts, 64 clients |
/// | `stream_against_postgresql` | appends over streams | the better way to insert batches of 256 |
/// | `idle_latency` | one append on an idle ledger | 1.5 fdatasync, one signature check and an empty round trip |
/// | `verify_*` | `tally verify` of the whole ledger | signatures in batches, all cores |
/// | `replay_against_decode` | a new projection built beside the others | reading and decoding, all cores |
/// | `replay_against_verify` | the same | `tally verify` |
/// | `growth_*` | the larger ledger | the smaller |
///
/// The number at the end of a name is that of different signers.
pub const GOALS: [(&str, Goal); 16] = [
    ("append_in_process_16", Goal::AtLeast(0.6)),
    ("append_in_process_1000", Goal::AtLeast(0.6)),
    ("stream_cpu_16", Goal::AtMost(2.0)),
    ("stream_cpu_1000", Goal::AtMost(2.0)),
    ("unary_against_postgresql", Goal::AtLeast(1.0)),
    ("stream_against_postgresql", Goal::AtLeast(1.0)),
    ("idle_latency", Goal::AtMost(1.0)),
    ("verify_16", Goal::AtLeast(0.75)),
    ("verify_1000", Goal::AtLeast(0.75)),
    ("replay_against_decode", Goal::AtLeast(0.7)),
    ("replay_against_verify", Goal::AtLeast(10.0)),
    ("growth_append", Goal::AtMost(1.3)),
    ("growth_proof", Goal::AtMost(1.3)),
    ("growth_query", Goal::AtMost(1.3)),
    ("growth_memory", Goal::AtMost(1.3)),
    ("growth_start", Goal::AtMost(1.3)),
];

fn goal(key: &str) -> Goal {
    let row = GOALS.iter().find(|(name, _)| *name == key);
    row.unwrap_or_else(|| panic!("{key} has a goal")).1
}

/// A path and its limit, measured once.
#[derive(Debug, Clone)]
pub struct Measured {
    /// The one by the other.
    pub ratio: f64,
    /// All figures that it is computed from, with units in their names.
    pub raw: Value,
}

/// What a row came to.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// The median of all runs; absent when it could not be measured.
    pub ratio: Option<f64>,
    /// What it is to reach.
    pub goal: Goal,
    /// Whether it does.
    pub reached: bool,
    /// The figures of the run that has the median; `ratios` are those of all runs.
    pub raw: Value,
}

impl Row {
    fn median(goal: Goal, mut runs: Vec<Measured>) -> Self {
        let ratios: Vec<f64> = runs.iter().map(|run| run.ratio).collect();
        runs.sort_by(|a, b| a.ratio.total_cmp(&b.ratio));
        let Measured { ratio, mut raw } = runs.swap_remove(middle(runs.len()));
        raw["ratios"] = json!(ratios);
        Self { ratio: Some(ratio), goal, reached: goal.is_reached(ratio), raw }
    }

    fn absent(goal: Goal, why: &str) -> Self {
        Self { ratio: None, goal, reached: false, raw: json!({ "absent": why }) }
    }
}

/// How figures end that are shown of a peer.
const RATE: &str = "_per_second";

/// All rows of one invocation.
#[derive(Debug, Default)]
pub struct Report {
    runs: BTreeMap<&'static str, Vec<Measured>>,
    absent: BTreeMap<&'static str, String>,
    peers: BTreeMap<String, Vec<Value>>,
}

impl Report {
    /// Takes in one run of a row.
    ///
    /// # Panics
    /// When no row has this name.
    pub fn add(&mut self, key: &'static str, measured: Measured) {
        let _known = goal(key);
        self.runs.entry(key).or_default().push(measured);
    }

    /// Says why a row could not be measured.
    ///
    /// # Panics
    /// When no row has this name.
    pub fn absent(&mut self, key: &'static str, why: impl Into<String>) {
        let _known = goal(key);
        self.absent.insert(key, why.into());
    }

    /// Takes in what a peer did in one run, or what installs it: as it says it, without a goal.
    pub fn peer(&mut self, peer: String, figures: Value) {
        self.peers.entry(peer).or_default().push(figures);
    }

    /// The rows that were measured or said to be absent, in the order of [`GOALS`].
    pub fn rows(&self) -> Vec<(&'static str, Row)> {
        let row = |&(key, goal): &(&'static str, Goal)| {
            let measured = self.runs.get(key).map(|runs| Row::median(goal, runs.clone()));
            let absent = || self.absent.get(key).map(|why| Row::absent(goal, why));
            Some((key, measured.or_else(absent)?))
        };
        GOALS.iter().filter_map(row).collect()
    }

    /// A table for people.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["ROW", "RATIO", "GOAL", ""]);
        for (key, row) in self.rows() {
            let goal = match row.goal {
                Goal::AtLeast(least) => format!("≥ {least:.2}"),
                Goal::AtMost(most) => format!("≤ {most:.2}"),
            };
            let (ratio, verdict) = match row.ratio {
                None => ("–".into(), format!("absent: {}", row.raw["absent"])),
                Some(ratio) if row.reached => (format!("{ratio:.2}"), "reached".into()),
                Some(ratio) => (format!("{ratio:.2}"), "not reached".into()),
            };
            table.add_row([key.to_owned(), ratio, goal, verdict]);
        }
        for (peer, runs) in &self.peers {
            for said in figures(runs) {
                table.add_row([peer.as_str(), "–", "–", &said]);
            }
        }
        table
    }
}

/// What people read of all runs of a peer: the medians of its rates, or what installs it.
fn figures(runs: &[Value]) -> Vec<String> {
    let of_run = |run: &Value| {
        if let Some(install) = run["install"].as_str() {
            let what = run["absent"].as_str().unwrap_or_default();
            return vec![format!("absent: {what} is not installed: {install}")];
        }
        let names = run.as_object().into_iter().flat_map(Map::keys);
        let rates = names.filter(|name| name.ends_with(RATE));
        rates.map(|name| format!("{name}: {:.0}", median(runs, name))).collect()
    };
    runs.first().map(of_run).unwrap_or_default()
}

fn median(runs: &[Value], name: &str) -> f64 {
    let mut figures: Vec<f64> = runs.iter().filter_map(|run| run[name].as_f64()).collect();
    figures.sort_by(f64::total_cmp);
    figures.get(middle(figures.len())).copied().unwrap_or(f64::NAN)
}

/// The place of the median; the lower of two.
fn middle(count: usize) -> usize {
    count.saturating_sub(1) / 2
}

/// One object: a key a row, `machine`, and if there are any `peers`, each with the figures of all runs.
impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let rows = self.rows().into_iter().map(|(key, row)| (key.to_owned(), json!(row)));
        let machine = ("machine".to_owned(), json!(Machine::here()));
        let peers = (!self.peers.is_empty()).then(|| ("peers".to_owned(), json!(self.peers)));
        rows.chain([machine]).chain(peers).collect::<Map<_, _>>().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(ratio: f64) -> Measured {
        Measured { ratio, raw: json!({ "of_run": ratio }) }
    }

    #[test]
    fn a_goal_is_reached_from_its_side() {
        assert!(Goal::AtLeast(0.6).is_reached(0.6) && !Goal::AtLeast(0.6).is_reached(0.59));
        assert!(Goal::AtMost(2.0).is_reached(2.0) && !Goal::AtMost(2.0).is_reached(2.01));
        assert!(
            !Goal::AtLeast(0.0).is_reached(f64::NAN) && !Goal::AtMost(9.0).is_reached(f64::NAN)
        );
    }

    #[test]
    fn a_row_is_the_median_with_the_figures_of_that_run() {
        let mut report = Report::default();
        for ratio in [0.9, 0.1, 0.7] {
            report.add("verify_16", measured(ratio));
        }
        report.add("stream_cpu_16", measured(2.5));
        report.absent("unary_against_postgresql", "not installed");
        let answer = json!(report);
        let expected = json!({
            "ratio": 0.7,
            "goal": { "at_least": 0.75 },
            "reached": false,
            "raw": { "of_run": 0.7, "ratios": [0.9, 0.1, 0.7] },
        });
        assert_eq!(answer["verify_16"], expected);
        let keys: Vec<_> = answer.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["stream_cpu_16", "unary_against_postgresql", "verify_16", "machine"]);
        assert_eq!(answer["unary_against_postgresql"]["ratio"], Value::Null);
        assert_eq!(answer["unary_against_postgresql"]["reached"], json!(false));
    }

    #[test]
    fn peers_stand_beside_the_rows_without_a_goal() {
        let mut report = Report::default();
        report.add("verify_16", measured(0.9));
        let runs = [30.4, 10.0, 20.0];
        for rate in runs {
            report.peer("sqlite".into(), json!({ "version": "3", "rows_per_second": rate }));
            let absent = json!({ "absent": "nats-server", "install": "pip install it" });
            report.peer("nats".into(), absent);
        }
        let answer = json!(report);
        let rates = answer["peers"]["sqlite"].as_array().expect("all runs").iter();
        let rates: Vec<_> = rates.map(|run| run["rows_per_second"].as_f64()).collect();
        assert_eq!(rates, runs.map(Some));
        assert_eq!(answer["peers"]["nats"][0]["absent"], "nats-server");
        let table = report.table().to_string();
        assert!(table.contains("rows_per_second: 20"), "{table}");
        assert!(table.contains("nats-server is not installed: pip install it"), "{table}");
    }

    #[test]
    #[should_panic(expected = "no_such_row has a goal")]
    fn every_row_has_a_goal() {
        Report::default().add("no_such_row", measured(1.0));
    }
}
