//! Tests of folds and of what drives them.

mod ahead;
mod folding;
mod history;
mod running;
