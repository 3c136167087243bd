//! The store against its promises, from outside: every test breaks files and opens again.

mod damage;
mod format;
mod ledger;
mod reading;
mod rebuild;
