//! What can go wrong, by operation.

use std::io;
use std::path::PathBuf;

use tally_coordination::Refusal;
use tally_protocol::{Malformed, Position};
use tally_store::ReadError;

/// Why tables can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file can't be made, read or written.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// The engine refuses, for another reason than damage.
    #[error("{path}: {cause}", path = path.display())]
    Engine {
        /// Which file.
        path: PathBuf,
        /// What it says.
        cause: rusqlite::Error,
    },
}

/// Why events can't be folded.
#[derive(Debug, thiserror::Error)]
pub enum FoldError {
    /// The log can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An event is no envelope.
    #[error("the event at position {position} does not parse: {cause}; run `tally verify`")]
    Malformed {
        /// Where.
        position: Position,
        /// Why.
        cause: Malformed,
    },
    /// The log holds what the rules refuse.
    #[error("the rules refuse the event at position {position}: {cause}; run `tally verify`")]
    Refused {
        /// Where.
        position: Position,
        /// Why.
        cause: Box<Refusal>,
    },
    /// Events are left out, or come again.
    #[error("the next event is that at position {expected}, not {found}")]
    Gap {
        /// The position that is next.
        expected: Position,
        /// The position that came.
        found: Position,
    },
    /// The tables are damaged on disk; they can be made anew.
    #[error("the tables are damaged: {0}")]
    Damaged(rusqlite::Error),
    /// A look at all pages found damage; the tables can be made anew.
    #[error("the tables are damaged: {0}")]
    Pages(String),
    /// The tables hold what the log does not; they can be made anew.
    #[error("the tables are not of this log: {0}")]
    Strays(&'static str),
    /// The tables can't be written.
    #[error("the tables can't be written: {0}")]
    Write(rusqlite::Error),
    /// The tables could not be made anew.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Why a statement has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// The statement is wrong.
    #[error("{what}{place}")]
    Wrong {
        /// What is wrong.
        what: String,
        /// Where, for people: empty or a line of the statement with a mark below.
        place: String,
    },
    /// It would change something.
    #[error("only questions are answered, and this would {0}")]
    Writes(String),
    /// It is none, or several.
    #[error("one statement at a time is answered, and this is {0}")]
    Count(&'static str),
    /// Two columns of the answer have one name.
    #[error("two columns are named {0:?}; give one another name with AS")]
    SameName(String),
    /// The log is not that long.
    #[error("the tables go to {cursor} events, not {size}")]
    Beyond {
        /// How many events they have.
        cursor: u64,
        /// How many were asked for.
        size: u64,
    },
    /// Somebody stopped it.
    #[error("interrupted")]
    Interrupted,
    /// The tables are damaged on disk; they can be made anew.
    #[error("the tables are damaged: {0}")]
    Damaged(rusqlite::Error),
    /// The engine failed.
    #[error("the tables can't be read: {0}")]
    Read(rusqlite::Error),
    /// The answer can't be handed on.
    #[error(transparent)]
    Output(#[from] io::Error),
}

/// Why a view can't be materialized.
#[derive(Debug, thiserror::Error)]
pub enum ViewError {
    /// A name that is none, or taken.
    #[error("a view can't be named {name:?}: {why}")]
    Name {
        /// The name.
        name: String,
        /// Why not.
        why: &'static str,
    },
    /// There is none of this name.
    #[error("no view is named {0:?}; `tally materialize --list` names all")]
    Absent(String),
    /// The tables can't be read or written.
    #[error("the tables can't be written: {0}")]
    Engine(rusqlite::Error),
    /// Its definition can't be kept.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
}

/// Why tables can't be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A file can't be written or read.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        cause: io::Error,
    },
    /// What was exported there is something else.
    #[error("{path}: {what}", path = path.display())]
    Other {
        /// The manifest.
        path: PathBuf,
        /// What is there.
        what: String,
    },
    /// A row does not fit its schema, or the encoder failed.
    #[error("{path}: {cause}", path = path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What it says.
        cause: parquet::errors::ParquetError,
    },
    /// The tables can't be read.
    #[error("the tables can't be read: {0}")]
    Read(rusqlite::Error),
}
