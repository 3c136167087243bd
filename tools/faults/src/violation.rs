//! What a ledger must never do.

use std::path::PathBuf;
use std::process::ExitStatus;

use serde::{Serialize, Serializer};
use tally_client::{ConnectError, Error, Rejection};
use tally_protocol::{EnvelopeId, Position, TreeSize};
use tally_tlog::Hash;
use tonic::Code;

/// A promise that was broken.
#[derive(Debug, thiserror::Error)]
pub enum Violation {
    /// What an agent holds a receipt for is not in the log.
    #[error("lost: the receipt of {id} is for position {position}, the log has {size} events")]
    Lost {
        /// The envelope.
        id: EnvelopeId,
        /// Where the receipt says it is.
        position: Position,
        /// How many events there are.
        size: TreeSize,
    },
    /// The log holds something else where an agent's receipt says its event is.
    #[error("changed: position {position} does not hold the bytes of the receipt of {id}")]
    Changed {
        /// The envelope.
        id: EnvelopeId,
        /// Where the receipt says it is.
        position: Position,
    },
    /// The checkpoint of a receipt is not of this log.
    #[error(
        "forked: a receipt's checkpoint of size {size} has root {signed}, the log has {found:?}"
    )]
    Forked {
        /// Size of its tree.
        size: TreeSize,
        /// The root that it signs.
        signed: Hash,
        /// The root that the log has at that size, if it is that long.
        found: Option<Hash>,
    },
    /// The log does not verify.
    #[error("invalid: {0}")]
    Invalid(String),
    /// An envelope that was appended again was not answered as it must be.
    #[error(
        "again: {id} was in the log at {before:?} before it was appended again; the answer is \
         position {after}, duplicate: {duplicate}"
    )]
    Again {
        /// The envelope.
        id: EnvelopeId,
        /// Where it was before.
        before: Option<Position>,
        /// Where the new receipt says it is.
        after: Position,
        /// What the answer says.
        duplicate: bool,
    },
    /// An envelope was refused, which says that nothing has changed, and is in the log.
    #[error("refused with {code:?}, yet {id} is in the log at {position}")]
    RefusedYetThere {
        /// The envelope.
        id: EnvelopeId,
        /// Where it is.
        position: Position,
        /// How it was refused.
        code: Code,
    },
    /// An envelope was admitted though the one before it was not.
    #[error("out of turn: {id} was admitted, the envelope before it was not")]
    OutOfTurn {
        /// The envelope.
        id: EnvelopeId,
    },
    /// What any ledger must admit was refused.
    #[error("refused: {code:?}, {rejection}", code = rejection.code)]
    Refused {
        /// What the ledger said.
        rejection: Rejection,
    },
    /// The ledger's answer proves nothing.
    #[error("bad answer: {0}")]
    BadAnswer(Error),
    /// A client could not connect to a ledger that serves.
    #[error("no connection: {0}")]
    Connect(ConnectError),
    /// What was appended can't be read from a ledger that serves.
    #[error("not readable: {0}")]
    Unreadable(Error),
    /// No answer came.
    #[error("silent: no answer in time")]
    Silent,
    /// A start made the log longer or shorter.
    #[error("the log had {before} events, and after a start {after}")]
    Size {
        /// What was found on disk.
        before: TreeSize,
        /// What the server says, or was found after it.
        after: TreeSize,
    },
    /// After a restart the ledger signs with another key.
    #[error("the ledger has another key than before")]
    OtherKey,
    /// The server does not start though nothing is wrong any more.
    #[error("does not start, {status}: {stderr}")]
    NoStart {
        /// How it ended.
        status: ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// The server ended as it must not.
    #[error("ended with {0}")]
    Ended(ExitStatus),
    /// The server broke off a client's call, and stayed.
    #[error("broke off a call, and neither ended nor went on")]
    Lingers,
    /// The server went on after a fault, yet an envelope is still without a receipt.
    #[error("{0} envelopes are without a receipt at the end")]
    Unsettled(usize),
    /// The server panicked.
    #[error("panicked: {0}")]
    Panicked(String),
    /// A full disk ended the ledger, instead of having it refuse appends.
    #[error("a full disk stopped the ledger; it must refuse with RESOURCE_EXHAUSTED and go on")]
    StoppedByFullDisk,
    /// A build of a projection did not go on where its rows were last written when the server was killed.
    #[error("a build had come to {at}, and after a start it is at {cursor}")]
    Restarted {
        /// Where it was seen.
        at: u64,
        /// Where it went on.
        cursor: u64,
    },
    /// A build of a projection did not come to its end.
    #[error("a build was begun, came to {at}, and was never switched in")]
    NeverBuilt {
        /// Where it was seen.
        at: u64,
    },
    /// A projection that was built again has other rows.
    #[error("built again, the projection has other rows")]
    OtherRows,
    /// A full disk was never noticed.
    #[error("the disk is full, and nothing is refused")]
    NeverRefused,
}

/// A violation, and what is needed to look at it.
#[derive(Debug, thiserror::Error, Serialize)]
#[error("{what}: {violation}\n    {}", directory.display())]
pub struct Failure {
    /// The cycle or the case.
    pub what: String,
    /// What was broken.
    #[source]
    #[serde(serialize_with = "as_text")]
    pub violation: Box<Violation>,
    /// What is wrong, if that is known.
    pub known: Option<&'static str>,
    /// The directory with the ledger.
    pub directory: PathBuf,
}

fn as_text<S: Serializer>(violation: &Violation, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(violation)
}

/// What is known to be broken: part of the violation's text, and what is wrong. It is reported, and
/// fails no attack that is not strict. Remove what is mended.
const KNOWN: &[(&str, &str)] = &[];

impl Failure {
    /// A violation by a ledger in this directory.
    pub fn new(what: String, violation: Violation, directory: PathBuf) -> Self {
        let text = violation.to_string();
        let known = KNOWN.iter().find(|(part, _)| text.contains(part)).map(|(_, wrong)| *wrong);
        Self { what, violation: Box::new(violation), known, directory }
    }
}

/// What came of an attack.
#[derive(Debug, Serialize)]
pub struct Report<T> {
    /// What was done.
    pub summary: T,
    /// What was broken.
    pub failures: Vec<Failure>,
}
