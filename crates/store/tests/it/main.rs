//! The store against its promises, from outside: every test breaks files and opens again.

mod copy;
mod damage;
mod durable;
mod format;
mod fsck;
mod full;
mod ledger;
mod reading;
mod rebuild;
mod repair;
mod rows;
mod signed;
mod start;
