//! The provenance graph: a fold over admitted events, and the questions it answers.
//!
//! [`Graph::fold`] turns each event into edges in the words of W3C PROV; every edge keeps the event
//! that justifies it, and everything is kept with the position at which it came to hold. So every
//! question is asked of a [`View`]: of the whole graph ([`Graph::head`]) or of the graph as it was
//! at an earlier size ([`Graph::at`]).
//!
//! | question | asked by | answer |
//! |---|---|---|
//! | what did it come from, what came of it? | [`View::lineage`] | [`Lineage`] |
//! | what suffices to derive it? | [`View::why`] | [`Why`] |
//! | where is it said to be, and by whom? | [`View::whereabouts`] | [`Whereabouts`] |
//! | who signed what led to it? | [`View::blame`] | [`Blame`] |
//! | whose signatures must be believed? | [`View::keys`] | [`Keys`] |
//! | what is affected by a bad input, agent, key or policy? | [`View::impact`] | [`Impact`] |
//! | how was a workflow coordinated (R24)? | [`View::workflow`] | [`Workflow`] |
//! | where did its time go (R23)? | [`View::bottlenecks`] | [`Bottlenecks`] |
//! | how do two runs differ? | [`View::difference`] | [`Difference`] |
//!
//! [`Causality`] says which events together tell how a task or data came about.
//!
//! There is no I/O and no clock here, and no rule either: events were admitted by somebody else,
//! so folding never fails, and an edge to something unknown is kept by its id. The graph does not
//! keep envelopes: who wants the scores of an evaluation or the text of a policy reads the event
//! at the position that the answer names. It does not judge either: an attestation that was revoked
//! or a receipt that came too late is in the graph like any other.
//!
//! An answer costs what it shows, not what else is in the log; [`View::limited_to`] bounds it.

mod bottlenecks;
mod closure;
mod codec;
mod difference;
mod dot;
mod drawing;
mod fold;
mod graph;
mod impact;
mod imported;
mod layout;
mod lineage;
mod memory;
mod mermaid;
mod node;
mod record;
mod relation;
mod rows;
mod signers;
mod store;
mod svg;
mod unanswered;
mod view;
mod whereabouts;
mod why;
mod workflow;

pub use bottlenecks::{Bottlenecks, Load, TaskTime, Times};
pub use closure::{Causality, Closure, LeftOut, Subject};
pub use difference::{Change, Difference, Run, RunEntry};
pub use graph::Graph;
pub use impact::{Cause, Impact, ImpactOffer, ImpactReceipt, ImpactTask};
pub use imported::{IMPORTED_ACTIVITY, ImportedActivity};
pub use lineage::{
    Direction, Filter, Lineage, LineageQuestion, LineageStart, LineageSummary, LineageTask, Only,
    Start, TASK_LABEL_KEY,
};
pub use memory::CACHE_BYTES;
pub use node::{DataEntry, NodeRef, TaskEntry};
pub use relation::{Class, Edge, Relation};
pub use rows::{GRAPH_VERSION, GraphFailure, GraphRows};
pub use signers::{Blame, Keys, PolicyEntry, Role, Signature, Signer};
pub use unanswered::Unanswered;
pub use view::View;
pub use whereabouts::{Field, Maker, Mention, Place, Whereabouts};
pub use why::{Derivation, MAX_DERIVATIONS, Source, Why};
pub use workflow::{
    CriticalPath, OfferState, PathStep, Timing, Workflow, WorkflowIntent, WorkflowOffer,
    WorkflowReceipt, WorkflowTask,
};
