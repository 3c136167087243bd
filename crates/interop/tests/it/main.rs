//! What is written for others and read from them.

mod prov;
