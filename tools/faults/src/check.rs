//! The judge. It looks at a directory that no server has open, and believes nobody but the key.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use tally_client::Receipt;
use tally_protocol::{EnvelopeId, Event, Position, TreeSize};
use tally_tests::examiner;
use tally_tlog::{Frontier, Hash, VerifierKey};
use tally_verify::{Item, Verdict};

use crate::Violation;

/// What is kept of a log receipt, whose proof was checked when it came.
#[derive(Debug, Clone)]
pub struct Kept {
    /// The event.
    pub event: Event,
    /// Size of the tree that its checkpoint signs.
    pub size: TreeSize,
    /// Root of that tree.
    pub root: Hash,
}

impl From<&Receipt> for Kept {
    fn from(receipt: &Receipt) -> Self {
        let checkpoint = receipt.checkpoint();
        Self { event: receipt.event().clone(), size: checkpoint.size(), root: checkpoint.root() }
    }
}

/// A log that verifies, from its first event to its last commit.
#[derive(Debug, Default)]
pub struct Log {
    events: Vec<Event>,
}

impl Log {
    /// Verifies all that is in a data directory and reads it. What no commit ends is not in the
    /// log.
    ///
    /// # Errors
    /// [`Violation::Invalid`] with what `tally verify` would say.
    pub fn open(data: &Path, key: &VerifierKey) -> Result<Self, Violation> {
        if let Err(error) = tally_store::scan(data) {
            return Err(Violation::Invalid(error.to_string()));
        }
        let report = examiner::verify(data, key);
        if report.verdict != Verdict::Valid {
            return Err(Violation::Invalid(format!("{report:?}")));
        }
        let event = |item| match item {
            Ok(Item::Event(event)) => Some(event),
            Ok(Item::Commit { .. }) | Err(_) => None,
        };
        Ok(Self { events: examiner::groups(data).into_iter().filter_map(event).collect() })
    }

    /// How many events it has.
    pub fn size(&self) -> TreeSize {
        TreeSize::new(self.events.len() as u64)
    }

    /// Where each envelope is.
    pub fn positions(&self) -> HashMap<EnvelopeId, Position> {
        self.events.iter().map(|event| (event.signed().id(), event.position())).collect()
    }

    /// Compares all receipts with it.
    ///
    /// # Errors
    /// [`Violation::Lost`], [`Violation::Changed`] or [`Violation::Forked`], of the first receipt
    /// that the log does not keep.
    pub fn compare(&self, receipts: &[Kept]) -> Result<(), Violation> {
        let roots = self.roots(receipts.iter().map(|kept| kept.size).collect());
        for Kept { event, size, root } in receipts {
            let (id, position) = (event.signed().id(), event.position());
            match usize::try_from(position.0).ok().and_then(|position| self.events.get(position)) {
                None => return Err(Violation::Lost { id, position, size: self.size() }),
                Some(found) if found.bytes() != event.bytes() => {
                    return Err(Violation::Changed { id, position });
                }
                Some(_) => {}
            }
            let found = roots.get(size).copied();
            if found != Some(*root) {
                return Err(Violation::Forked { size: *size, signed: *root, found });
            }
        }
        Ok(())
    }

    /// The roots of the trees of these sizes, made anew from the leaves.
    fn roots(&self, sizes: BTreeSet<TreeSize>) -> BTreeMap<TreeSize, Hash> {
        let mut frontier = Frontier::new();
        let mut roots = BTreeMap::new();
        for event in &self.events {
            frontier.append(event.leaf(), |_, _| {});
            if sizes.contains(&frontier.size()) {
                roots.insert(frontier.size(), frontier.root());
            }
        }
        roots
    }
}

#[cfg(test)]
mod tests {
    use tally_protocol::{ChainHash, Origin, Time};
    use tally_tests::signer::{Signer, intent};

    use super::*;

    /// A log of so many events, and a receipt for each under the tree that it completes.
    fn log(events: u64) -> (Log, Vec<Kept>) {
        let origin: Origin = "example.com/ledger".parse().expect("an origin");
        let mut author = Signer::new(1, &origin);
        let (mut log, mut receipts) = (Log::default(), Vec::new());
        let (mut chain, mut frontier) = (ChainHash::genesis(&origin), Frontier::new());
        for n in 0..events {
            let signed = author.say(intent(&format!("wish {n}")));
            let event = Event::new(Position(n), chain, Time(5), &signed);
            chain = event.chain();
            frontier.append(event.leaf(), |_, _| {});
            let (size, root) = (frontier.size(), frontier.root());
            receipts.push(Kept { event: event.clone(), size, root });
            log.events.push(event);
        }
        (log, receipts)
    }

    #[test]
    fn a_log_that_keeps_every_receipt_passes() {
        let (mut log, receipts) = log(9);
        log.compare(&receipts).expect("nothing is missing");
        let more =
            Event::new(Position(9), ChainHash([0; 32]), Time(5), &receipts[0].event.signed());
        log.events.push(more);
        log.compare(&receipts).expect("a log may go on");
    }

    #[test]
    fn a_receipt_whose_event_is_gone_is_lost() {
        let (mut log, receipts) = log(9);
        log.events.pop();
        let found = log.compare(&receipts).expect_err("the last event is gone");
        assert!(matches!(found, Violation::Lost { position: Position(8), .. }), "{found}");
    }

    #[test]
    fn a_receipt_whose_event_is_another_has_changed() {
        let (mut log, receipts) = log(9);
        let signed = receipts[4].event.signed();
        log.events[4] =
            Event::new(Position(4), receipts[4].event.previous_chain(), Time(6), &signed);
        let found = log.compare(&receipts[4..]).expect_err("recorded at another time");
        assert!(matches!(found, Violation::Changed { position: Position(4), .. }), "{found}");
    }

    #[test]
    fn a_checkpoint_of_another_tree_is_a_fork() {
        let (log, mut receipts) = log(9);
        receipts[6].root = receipts[5].root;
        let found = log.compare(&receipts).expect_err("the root of another size");
        assert!(matches!(found, Violation::Forked { found: Some(_), .. }), "{found}");
        receipts[6] = receipts[5].clone();
        receipts[6].size = TreeSize::new(10);
        let found = log.compare(&receipts).expect_err("a tree that the log never had");
        assert!(matches!(found, Violation::Forked { found: None, .. }), "{found}");
    }
}
