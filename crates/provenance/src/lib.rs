//! The provenance graph: a fold over admitted events, and the questions it answers.
//!
//! [`Graph::fold`] turns each event into edges in the words of W3C PROV; [`Graph::lineage`] says
//! what a result came from and what came of an input; [`Graph::workflow`] says how a workflow was
//! coordinated (R24) and where its time went (R23). Every edge keeps the event that justifies it.
//! [`Causality`] says which events together tell how a task or data came about.
//!
//! There is no I/O and no clock here, and no rule either: events were admitted by somebody else,
//! so folding never fails, and an edge to something unknown is kept by its id. The graph does not
//! keep envelopes: who wants the scores of an evaluation or the text of a policy reads the event
//! at the position that the edge names. It does not judge either: an attestation that was revoked
//! or a receipt that came too late is in the graph like any other.
//!
//! ```text
//! events ──Graph::fold──▶ Graph ──lineage──▶ Lineage ──▶ summary, JSON, DOT
//!                               ──workflow─▶ Workflow ─▶ critical path, JSON, DOT
//! ```

mod closure;
mod dot;
mod drawing;
mod fold;
mod graph;
mod imported;
mod layout;
mod lineage;
mod mermaid;
mod node;
mod relation;
mod store;
mod svg;
mod workflow;

pub use closure::{Causality, Closure, LeftOut, Subject};
pub use graph::Graph;
pub use imported::{IMPORTED_ACTIVITY, ImportedActivity};
pub use lineage::{
    Direction, Lineage, LineageStart, LineageSummary, LineageTask, Start, TASK_LABEL_KEY, Unknown,
};
pub use node::{DataEntry, NodeRef};
pub use relation::{Class, Edge, Relation};
pub use workflow::{
    CriticalPath, OfferState, PathStep, Timing, Workflow, WorkflowIntent, WorkflowOffer,
    WorkflowReceipt, WorkflowTask,
};
