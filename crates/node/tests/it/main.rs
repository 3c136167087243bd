//! Tests of the node: the pure plan, and the pipeline on a real directory.

mod archive;
mod author;
mod disk;
mod graph;
mod pipeline;
mod planning;
mod projections;
mod seen;
