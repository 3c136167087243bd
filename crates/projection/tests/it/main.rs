//! Tests of folds and of what drives them.

mod folding;
mod history;
mod running;
