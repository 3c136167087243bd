//! What the graph says about histories made by hand and by chance.

mod against_naive;
mod drawing;
mod history;
mod lineage;
mod paged;
mod questions;
mod relations;
mod time;
mod why;
mod workflow;
