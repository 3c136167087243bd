//! Evidence: one document, or a file with one on each line.

use serde::Serialize;
use tally_tlog::VerifierKey;
use tally_verify::Verdict;
use tally_verify::evidence::{Evidence, EvidenceReport};

/// What a file of evidence comes to: it is as good as its worst document.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum EvidenceAnswer {
    One(EvidenceReport),
    Many { verdict: Verdict, documents: Vec<EvidenceReport> },
}

impl EvidenceAnswer {
    pub(super) fn verdict(&self) -> Verdict {
        match self {
            Self::One(report) => report.verdict,
            Self::Many { verdict, .. } => *verdict,
        }
    }
}

/// Whether a file begins like evidence.
pub(super) fn is_evidence(bytes: &[u8]) -> bool {
    let first = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    Evidence::parse(first).is_ok() || Evidence::parse(bytes).is_ok()
}

pub(super) fn judge(bytes: &[u8], key: Option<VerifierKey>) -> EvidenceAnswer {
    let keys: Vec<_> = key.into_iter().collect();
    let one = |document: &[u8]| match Evidence::parse(document) {
        Ok(evidence) => evidence.judge(&keys),
        Err(error) => {
            EvidenceReport { verdict: Verdict::Invalid, against: None, found: error.to_string() }
        }
    };
    if let Ok(evidence) = Evidence::parse(bytes) {
        return EvidenceAnswer::One(evidence.judge(&keys));
    }
    let lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let documents: Vec<_> = lines.map(one).collect();
    let has = |verdict| documents.iter().any(|document| document.verdict == verdict);
    let verdict = match (has(Verdict::Invalid), has(Verdict::Incomplete)) {
        (true, _) => Verdict::Invalid,
        (false, true) => Verdict::Incomplete,
        (false, false) => Verdict::Valid,
    };
    EvidenceAnswer::Many { verdict, documents }
}

pub(super) fn text(answer: &EvidenceAnswer) -> String {
    let line = |report: &EvidenceReport| format!("{}: {}", report.verdict.name(), report.found);
    match answer {
        EvidenceAnswer::One(report) => line(report),
        EvidenceAnswer::Many { documents, .. } => {
            documents.iter().map(line).collect::<Vec<_>>().join("\n")
        }
    }
}
