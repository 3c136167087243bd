//! The two ends of a group commit, without threads: [`Sequencer`] plans ahead, [`Committer`] makes
//! durable what was planned.
//!
//! The sequencer plans a group on one that is not durable yet. When the disk has no room for that
//! one, the committer gives it up, and every group that was planned on it: the sequencer goes on
//! from the durable head. Neither waits, answers anyone, or reads a clock.

use std::sync::{Arc, Mutex};

use tally_protocol::{Time, TreeSize, VerifiedEnvelope};
use tally_store::{AppendError as WriteError, Epoch, FileError, LogWriter, Tip, TreeFiles};
use tally_tlog::NoteSigner;

use crate::plan::{Head, Plan, plan};

/// A group, planned on the head that the groups before it make.
#[derive(Debug)]
pub struct Planned {
    /// What is to become of it.
    pub plan: Plan,
    /// How many groups had been given up when it was planned.
    given_up: u64,
}

/// Why a group is not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// There was no room for it, and none of it is in the log.
    #[error("the disk is full: {0}; make room, then append again")]
    Full(#[source] FileError),
    /// It was planned on a group that was given up. None of it is in the log.
    #[error("a group before it found no room on the disk; append again")]
    GivenUp,
    /// Its tree nodes could not be stored. None of it is in the log; nothing more can be committed.
    #[error(transparent)]
    Nodes(FileError),
    /// It may or may not be in the log. Nothing more can be committed.
    #[error(transparent)]
    Unknown(WriteError),
}

/// What is durable, and how many groups are not and never will be.
#[derive(Debug)]
struct Durable {
    head: Head,
    given_up: u64,
}

/// Plans groups, each on the one before.
pub struct Sequencer {
    head: Head,
    given_up: u64,
    durable: Arc<Mutex<Durable>>,
    signer: NoteSigner,
}

impl Sequencer {
    /// Decides on a batch at `now`, the ledger's time.
    pub fn plan(&mut self, batch: &[VerifiedEnvelope], now: Time) -> Planned {
        {
            let durable = self.durable.lock().expect("nobody panics while holding it");
            if durable.given_up != self.given_up {
                self.head = durable.head.clone();
                self.given_up = durable.given_up;
            }
        }
        let plan = plan(&self.head, batch, now, &self.signer);
        self.head = plan.next.clone();
        Planned { plan, given_up: self.given_up }
    }
}

/// Commits planned groups in their order.
pub struct Committer {
    writer: Box<dyn LogWriter>,
    tree: TreeFiles,
    epoch: Epoch,
    durable: Arc<Mutex<Durable>>,
}

/// A sequencer and a committer that go on from `head`, which is durable.
pub fn commit_path(
    head: Head,
    signer: NoteSigner,
    writer: Box<dyn LogWriter>,
    tree: TreeFiles,
    epoch: Epoch,
) -> (Sequencer, Committer) {
    let durable = Arc::new(Mutex::new(Durable { head: head.clone(), given_up: 0 }));
    let sequencer = Sequencer { head, given_up: 0, durable: Arc::clone(&durable), signer };
    (sequencer, Committer { writer, tree, epoch, durable })
}

impl Committer {
    /// Makes a group durable, and then its head the durable one; `None` when it has no events.
    ///
    /// # Errors
    ///
    /// [`CommitError`]. After [`CommitError::Unknown`] and [`CommitError::Nodes`] there is nothing to
    /// do but to open the ledger again.
    pub fn commit(&mut self, planned: &Planned) -> Result<Option<Tip>, CommitError> {
        let plan = &planned.plan;
        let (given_up, before) = {
            let durable = self.durable.lock().expect("nobody panics while holding it");
            (durable.given_up, durable.head.size())
        };
        if planned.given_up != given_up {
            return Err(CommitError::GivenUp);
        }
        let Some(group) = &plan.group else { return Ok(None) };
        // The nodes first: those of a group that is not committed are taken back, but an event
        // without its nodes could not be proved.
        self.tree.append(&plan.nodes).map_err(|error| match error.is_full() {
            true => self.give_up(before, error),
            false => CommitError::Nodes(error),
        })?;
        let tip = self.writer.append(self.epoch, before, group).map_err(|error| match error {
            WriteError::Full(error) => self.give_up(before, error),
            error => CommitError::Unknown(error),
        })?;
        assert_eq!(tip, plan.next.tip(), "the store commits what was planned");
        self.durable.lock().expect("nobody panics while holding it").head = plan.next.clone();
        Ok(Some(tip))
    }

    /// Makes tree nodes durable when there are many that are not.
    ///
    /// # Errors
    ///
    /// [`FileError`]: the nodes can be rebuilt, but not while the ledger is open.
    pub fn settle(&mut self) -> Result<(), FileError> {
        self.tree.settle()
    }

    /// Makes all tree nodes durable, so that the next start need not rebuild them.
    ///
    /// # Errors
    ///
    /// [`FileError`]: what is not durable of them is rebuilt at the next start.
    pub fn finish(mut self) -> Result<(), FileError> {
        self.tree.sync()
    }

    fn give_up(&mut self, before: TreeSize, error: FileError) -> CommitError {
        self.tree.take_back(before);
        self.durable.lock().expect("nobody panics while holding it").given_up += 1;
        CommitError::Full(error)
    }
}
