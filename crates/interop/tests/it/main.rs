//! What is written for others and read from them.

mod a2a;
mod prov;
