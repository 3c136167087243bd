//! The tables, from outside.
