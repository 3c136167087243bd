//! What other systems recorded: claims that an importer signs, as edges of the class *imported*.
//!
//! A claim of the kind [`IMPORTED_ACTIVITY`] whose statement is an [`ImportedActivity`] in JSON says
//! that an activity elsewhere read and made data. It is one agent's word about another system: the
//! edges say so by their class, and an edge that somebody asserts is stronger. A statement that does
//! not read is a claim like any other, and makes no edge. Whether the document behind it says the
//! same is not looked at here; the claim's evidence names it.

use serde::{Deserialize, Serialize};
use tally_protocol::message::Claim;

use crate::graph::Graph;
use crate::node::DataEntry;
use crate::relation::{Class, Relation};

/// The kind of claims that state an imported activity.
pub const IMPORTED_ACTIVITY: &str = "imported.activity";

/// What an activity of another system read and made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportedActivity {
    /// The format that it was recorded in, as in `openlineage`.
    pub system: String,
    /// What the other system calls it: unique there.
    pub activity: String,
    /// What it said of the activity, as in `COMPLETE`.
    pub state: String,
    /// When that was, by the other system's clock: RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    /// What it read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<DataEntry>,
    /// What it made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub generated: Vec<DataEntry>,
}

impl ImportedActivity {
    /// What a claim states, if it is of this kind.
    pub fn of(claim: &Claim) -> Option<Self> {
        let is_it = claim.kind.as_str() == IMPORTED_ACTIVITY;
        is_it.then(|| serde_json::from_str(claim.statement.as_str()).ok()).flatten()
    }

    /// Its name in the graph: system, colon, activity.
    pub fn name(&self) -> String {
        format!("{}:{}", self.system, self.activity)
    }
}

impl Graph {
    /// Takes in the activity that a claim states, if it states one.
    pub(crate) fn fold_imported(&mut self, claim: &Claim) {
        let Some(said) = ImportedActivity::of(claim) else { return };
        let activity = self.store.imported(&said.name());
        for DataEntry { uri, digest } in &said.used {
            let used = self.store.data(uri, *digest);
            self.store.link(activity, Relation::Used, used, Class::Imported);
        }
        for DataEntry { uri, digest } in &said.generated {
            let made = self.store.data(uri, *digest);
            self.store.link(made, Relation::WasGeneratedBy, activity, Class::Imported);
        }
    }
}
