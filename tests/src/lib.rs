//! What the tests of the whole share: the program as a child process, authors who sign by hand,
//! an operator who forges, an examiner, plain HTTP, and recorded workflows with their lineage.
//!
//! Nothing here is a test. What a test expects is never computed with the code that it tests: the
//! lineage of a workflow comes straight from its file.

pub mod desk;
pub mod examiner;
pub mod http;
pub mod life;
pub mod operator;
pub mod program;
pub mod scribe;
pub mod signer;
pub mod story;
pub mod torsion;
pub mod upstream;
pub mod workflow;
