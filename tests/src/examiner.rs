//! The examination of a data directory in this process, as `tally verify --data` makes it.

use std::path::Path;

use tally_protocol::{Origin, Position};
use tally_store::{ScanError, Scanned, SegmentReader, scan};
use tally_tlog::VerifierKey;
use tally_verify::{FirstBad, Item, Judge, Report, Trust, Verdict, verify_ledger};

/// Judges a data directory by a trusted key.
///
/// # Panics
/// When there is no log at all.
pub fn verify(data: &Path, key: &VerifierKey) -> Report {
    let origin = Origin::new(key.name().as_str()).expect("a log key is named after its ledger");
    let trust = Trust { origin, keys: vec![key.clone()], earlier: Vec::new() };
    let mut report = verify_ledger(groups(data).into_iter(), Judge::new(trust), |_| {});
    let mark = tally_store::claim(data).expect("the mark can be read");
    let Some(mark) = mark else { return report };
    let torn = report.first_bad.as_ref().is_some_and(|bad| bad.rule == "frame");
    if torn && report.size >= mark.size && is_cut(data) {
        report.first_bad = None;
        report.verdict = Verdict::Valid;
    }
    if report.first_bad.is_none() && report.size < mark.size {
        let position = Position::at_tip(report.size);
        report.first_bad = Some(FirstBad::new(position, "mark", "the log ends early"));
        report.verdict = Verdict::Invalid;
    }
    report
}

/// Everything up to the last whole group, and what is wrong behind it.
///
/// # Panics
/// When there is no log at all.
pub fn groups(data: &Path) -> Vec<Result<Item, FirstBad>> {
    let (mut items, mut open) = (Vec::new(), Vec::new());
    for located in scan(data).expect("a log") {
        match located.map(|located| located.item) {
            Ok(Scanned::Segment(_)) => {}
            Ok(Scanned::Event(event)) => open.push(Ok(Item::Event(event))),
            Ok(Scanned::Commit(commit)) => {
                items.append(&mut open);
                items.push(Ok(Item::Commit {
                    size: commit.size,
                    chain: commit.chain,
                    root: commit.root,
                    checkpoint: commit.checkpoint,
                }));
            }
            Err(ScanError::Damaged(damage)) => {
                items.push(Err(FirstBad::new(damage.position, "frame", damage)));
            }
            Err(ScanError::File(error)) => panic!("{error}"),
        }
    }
    items
}

fn is_cut(data: &Path) -> bool {
    let opened = SegmentReader::open_read_only(data, &mut |_| {});
    opened.is_ok_and(|(_, report)| report.cut.is_some())
}
