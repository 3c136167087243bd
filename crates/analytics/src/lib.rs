//! The history as tables: SQL over them as of any position, materialized views, columnar files.
//!
//! ```text
//! log ──Tables::catch_up──▶ SQLite: rows and cursor in one transaction
//!                               ├─▶ Tables::query        read-only SQL, as of any tree size
//!                               ├─▶ materialize          named views with stored rows
//!                               └─▶ export               Parquet or JSON lines, partitioned
//! ```
//!
//! The tables are a projection: a deterministic fold over the log with a name, a version and a
//! cursor. What they hold follows from the log alone, whatever the pieces in which it was folded,
//! and a file that is damaged, of another version or of another log is made anew. Each column is
//! described once, in [`tables`](schema()); the tables of SQLite, the documentation, the schema of
//! the Parquet files and the manifest follow from that.
//!
//! This is the only crate that knows SQLite and Parquet. It judges nothing by itself: standings and
//! findings are those of `tally_coordination`, edges those of `tally_provenance`. It checks no
//! signatures, and it is no evidence: who doubts a row reads the event at its position.

mod cell;
mod database;
mod error;
pub mod export;
mod fold;
pub mod materialize;
mod query;
mod rows;
mod schema;
mod tables;

pub use cell::{Kind, Value};
pub use error::{ExportError, FoldError, OpenError, QueryError, ViewError};
pub use query::{Answer, MOST_STATEMENT_BYTES};
pub use rows::schema;
pub use schema::{Column, Table};
pub use tables::{NAME, Opened, Tables, VERSION, Whence};
